//! Every kind of place: the source address that a server sees there.

use bytes::Bytes;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use vnetem::{
    NicId,
    authz::{Arrival, DefaultAction, RuleLimits, RuleSet, RuleState, ServiceAnswer},
    control::{NextHop, Placement, PrivateEndpointState, Scope},
};
use vnetem_packet::{Headers, IcmpError, IcmpErrorKind};
use vnetem_sim::net::Packets;
use vnetem_sim::{
    App, Appliance, BoxError, HostHandle, Outcome, Place, Sim, TcpListener, TcpStream, http,
};

use crate::azure::{Azure, SECOND, ask, whoami};

async fn seen_as(to: &str) -> Result<String, BoxError> {
    Ok(ask(&mut TcpStream::connect(to).await?).await?)
}

/// F-16: a server answers as the service does, by the rules of its resource.
#[test]
fn server_judges_callers_by_rules() -> Result<(), BoxError> {
    let mut azure = Azure::new();
    let (vm, web, storage, stdata) = (azure.vm(4), azure.web, azure.storage, azure.stdata);
    let closed = || RuleSet::new(RuleLimits::STORAGE, DefaultAction::Deny);
    azure.network.set_rules(stdata, closed())?;
    let mut sim = Sim::new(azure.network, 1);
    sim.host("stdata", Place::Resource(stdata), move || async move {
        let listener = TcpListener::bind("0.0.0.0:80").await?;
        loop {
            let (mut stream, _) = listener.accept().await?;
            let line = match stream.judge(stdata) {
                Some(ServiceAnswer::Http { status, code, .. }) => format!("{status} {code}\n"),
                _ => "200\n".to_owned(),
            };
            stream.write_all(line.as_bytes()).await?;
        }
    });
    sim.client("vm", vm, async {
        for expected in ["403 Forbidden\n", "200\n"] {
            let mut line = String::new();
            TcpStream::connect("stdata:80").await?.read_to_string(&mut line).await?;
            assert_eq!(line, expected);
            tokio::time::sleep(10 * SECOND).await;
        }
        Ok(())
    });
    sim.at(5 * SECOND, move |now| {
        now.edit(|net| -> Result<(), BoxError> {
            net.enable_endpoint(web, storage, Scope::Worldwide)?;
            let mut rules = closed();
            rules.set_vnet_rule(web, RuleState::Succeeded)?;
            Ok(net.set_rules(stdata, rules)?)
        })
        .unwrap();
    });
    Ok(sim.run()?)
}

/// L-05: over a private endpoint the server sees a caller without an identity, and the name means
/// the endpoint.
#[test]
fn private_endpoint_leads_to_resource() -> Result<(), BoxError> {
    let mut azure = Azure::new();
    let (vm, stdata) = (azure.vm(4), azure.stdata);
    let alpha = azure.network.vnet_named("alpha").unwrap();
    let links = azure.network.add_subnet(alpha, "links", "10.0.1.0/24".parse()?)?;
    let endpoint = azure.network.add_private_endpoint(links, "pe", [10, 0, 1, 5].into(), stdata)?;
    azure.network.set_private_endpoint_state(endpoint, PrivateEndpointState::Approved)?;
    azure.network.link_names(endpoint, alpha, true)?;
    let mut sim = Sim::new(azure.network, 1);
    let arrivals = async || -> Outcome {
        let listener = TcpListener::bind("0.0.0.0:80").await?;
        loop {
            let (mut stream, peer) = listener.accept().await?;
            let by = match stream.arrival() {
                Some(Arrival::PrivateEndpoint { .. }) => "private",
                Some(Arrival::Public(_)) => "public",
                _ => "otherwise",
            };
            let local = stream.local_addr()?;
            stream.write_all(format!("{} {local} {by}", peer.ip()).as_bytes()).await?;
        }
    };
    sim.host("stdata", Place::Resource(stdata), arrivals);
    sim.client("vm", vm, async {
        for (name, seen) in [
            ("stdata:80", "10.0.0.4 10.0.1.5:80 private"),
            ("52.239.1.9:80", "20.1.1.1 52.239.1.9:80 public"),
        ] {
            let mut line = String::new();
            TcpStream::connect(name).await?.read_to_string(&mut line).await?;
            assert_eq!(line, seen);
        }
        Ok(())
    });
    Ok(sim.run()?)
}

#[test]
fn site_and_subnet_call_each_other() -> Result<(), BoxError> {
    let mut azure = Azure::new();
    let vm = azure.vm(4);
    let alpha = azure.network.vnet_named("alpha").unwrap();
    let range = "192.168.0.0/16".parse()?;
    let site = azure.network.add_site("office", &[range], &[[198, 51, 100, 7].into()])?;
    azure.network.connect(alpha, site, &[range])?;
    let mut sim = Sim::new(azure.network, 1);
    sim.client("vm", vm, async {
        HostHandle::current()?.spawn(whoami(80));
        tokio::time::sleep(SECOND).await;
        assert_eq!(seen_as("desk:80").await?, "10.0.0.4");
        Ok(())
    });
    sim.client("desk", Place::Site(site, [192, 168, 0, 9].into()), async {
        HostHandle::current()?.spawn(whoami(80));
        tokio::time::sleep(SECOND).await;
        assert_eq!(seen_as("vm:80").await?, "192.168.0.9");
        Ok(())
    });
    Ok(sim.run()?)
}

/// C-03: inside the region Storage sees the private source, and no identity.
#[test]
fn same_region_path_shows_private_source() -> Result<(), BoxError> {
    let mut azure = Azure::new();
    let (vm, storage) = (azure.vm(4), azure.storage);
    let alpha = azure.network.vnet_named("alpha").unwrap();
    let region = "westeurope".to_owned();
    azure.network.set_service_regions(storage, [("52.239.0.0/16".parse()?, region.clone())])?;
    azure.network.place_vnet(alpha, Placement { region, ..Placement::default() })?;
    azure.network.set_same_region_path(storage, true)?;
    let mut sim = azure.sim();
    sim.client("vm", vm, async {
        assert_eq!(seen_as("stdata:80").await?, "10.0.0.4");
        Ok(())
    });
    Ok(sim.run()?)
}

/// The ready-made front end refuses by the rules of its resource.
#[test]
fn ready_made_front_end_answers() -> Result<(), BoxError> {
    let azure = Azure::new();
    let (vm, stdata) = (azure.vm(4), azure.stdata);
    let mut sim = Sim::new(azure.network, 1);
    sim.serve(stdata, App::Http);
    sim.client("vm", vm, async {
        let mut stream = TcpStream::connect("stdata:80").await?;
        let request = http::Request::get("stdata", "/photo?bytes=50000").write();
        stream.write_all(&request).await?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await?;
        assert!(answer.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&answer[..80]));
        assert!(answer.len() > 50_000);
        Ok(())
    });
    Ok(sim.run()?)
}

/// Routes the web subnet's traffic to an appliance at 10.0.9.4, and has it judged there.
fn with_appliance(azure: &mut Azure) -> Result<NicId, BoxError> {
    let network = &mut azure.network;
    let alpha = network.vnet_named("alpha").unwrap();
    let edge = network.add_subnet(alpha, "edge", "10.0.9.0/24".parse()?)?;
    let gateway = vnetem::control::Outbound::NatGateway(vec!["20.9.9.9".parse()?]);
    network.set_outbound(edge, gateway)?;
    let nic = network.add_nic(edge, "nva", [10, 0, 9, 4].into())?;
    network.set_ip_forwarding(nic, true)?;
    let hop = NextHop::VirtualAppliance([10, 0, 9, 4].into());
    network.set_route(azure.web, "0.0.0.0/0".parse()?, hop)?;
    Ok(nic)
}

#[test]
fn ready_made_appliance_translates() -> Result<(), BoxError> {
    let mut azure = Azure::new();
    let nic = with_appliance(&mut azure)?;
    let vm = azure.vm(4);
    let mut sim = azure.sim();
    sim.appliance("nva", nic, Appliance::translating([10, 0, 9, 4].into()));
    sim.client("vm", vm, async {
        assert_eq!(seen_as("stdata:80").await?, "20.9.9.9");
        Ok(())
    });
    sim.run()?;
    assert_eq!(
        sim.world(|world| world.appliance(world.station("nva")?).map(|it| it.log().len())),
        Some(1)
    );
    Ok(())
}

/// An appliance as an async function: here the ready-made translation, driven by hand.
#[test]
fn async_appliance_translates() -> Result<(), BoxError> {
    let mut azure = Azure::new();
    let nic = with_appliance(&mut azure)?;
    let vm = azure.vm(4);
    let mut sim = azure.sim();
    sim.host("nva", Place::Nic(nic), || async {
        let packets = Packets::open_all()?;
        let mut inner = Appliance::translating(HostHandle::current()?.address());
        let start = tokio::time::Instant::now();
        loop {
            let packet = packets.receive().await;
            let now = vnetem::Time(0) + start.elapsed();
            if let Some(packet) = inner.forward(now, packet) {
                packets.send(packet);
            }
        }
    });
    sim.client("vm", vm, async {
        for _ in 0..3 {
            assert_eq!(seen_as("stdata:80").await?, "20.9.9.9");
        }
        Ok(())
    });
    Ok(sim.run()?)
}

/// RFC 1122 4.2.3.9: an ICMP error fails a connect at once, and leaves open connections alone.
#[test]
fn icmp_error_fails_connect() -> Result<(), BoxError> {
    let mut azure = Azure::new();
    let nic = with_appliance(&mut azure)?;
    let vm = azure.vm(4);
    let mut sim = azure.sim();
    sim.host("nva", Place::Nic(nic), || async {
        let packets = Packets::open()?;
        let source = HostHandle::current()?.address();
        loop {
            let about = packets.receive().await;
            let Ok(headers) = Headers::parse(&about) else { continue };
            let mut buffer = [0; IcmpError::MAXIMUM_LENGTH];
            let error = IcmpError { kind: IcmpErrorKind::HostUnreachable, source };
            let length = error.write(&about, &headers, &mut buffer);
            packets.send(Bytes::copy_from_slice(&buffer[..length]));
        }
    });
    sim.client("vm", vm, async {
        let start = tokio::time::Instant::now();
        let error = TcpStream::connect("stdata:80").await.unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::HostUnreachable);
        assert!(start.elapsed() < SECOND);
        Ok(())
    });
    Ok(sim.run()?)
}
