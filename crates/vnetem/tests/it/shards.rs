//! 64 shards that share nothing: every packet of a flow meets its own, and the number of workers
//! changes no byte.

use std::net::{Ipv4Addr, SocketAddrV4};
use std::sync::Arc;

use etherparse::PacketBuilder;
use vnetem::{
    DataPlane, Disposition, Domains, DropReason, Edge, EdgeId, Headers, Network, Settings, Shard,
    Sharding, Snapshot, SourceMode, Time, Verdict,
    control::{NextHop, Outbound, Scope},
    nat::Direction,
};

use crate::packets::{datagram, fragments, ip, net, segment};

/// A packet and where it enters.
#[derive(Clone)]
struct Arrival {
    edge: EdgeId,
    bytes: Vec<u8>,
}

fn arrival(edge: impl Into<EdgeId>, bytes: Vec<u8>) -> Arrival {
    Arrival { edge: edge.into(), bytes }
}

/// What became of it.
#[derive(Clone, Debug, PartialEq)]
struct Departure {
    verdict: Verdict,
    bytes: Vec<u8>,
}

/// Subnets behind a gateway, a plain pool, with an endpoint and with a forced tunnel; a site; an
/// interface with a public address.
fn network() -> (Arc<Snapshot>, Vec<(Edge, [u8; 3])>) {
    let mut network = Network::new();
    let storage = network.add_service("storage", &[net("52.239.0.0/16")]).unwrap();
    let alpha = network.add_vnet("alpha", &[net("10.0.0.0/16")]).unwrap();
    let subnet =
        |network: &mut Network, name, prefix| network.add_subnet(alpha, name, net(prefix)).unwrap();
    let gateway = subnet(&mut network, "gateway", "10.0.1.0/24");
    let pool = subnet(&mut network, "pool", "10.0.2.0/24");
    let nva = subnet(&mut network, "nva", "10.0.3.0/24");
    let tunnelled = subnet(&mut network, "tunnelled", "10.0.4.0/24");
    let bare = subnet(&mut network, "bare", "10.0.5.0/24");
    let addresses = vec![ip("20.1.1.1"), ip("20.1.1.2")];
    network.set_outbound(gateway, Outbound::NatGateway(addresses)).unwrap();
    network
        .set_outbound(
            pool,
            Outbound::Pool {
                addresses: vec![ip("20.1.2.1")],
                first_port: 5000,
                last_port: 20_000,
                rules: vnetem::nat::PoolRules::default(),
            },
        )
        .unwrap();
    network.set_outbound(bare, Outbound::Private).unwrap();
    network.set_outbound(nva, Outbound::NatGateway(vec![ip("20.1.3.1")])).unwrap();
    network.enable_endpoint(gateway, storage, Scope::Worldwide).unwrap();
    let appliance = network.add_nic(nva, "appliance", ip("10.0.3.4")).unwrap();
    network.set_ip_forwarding(appliance, true).unwrap();
    let hop = NextHop::VirtualAppliance(ip("10.0.3.4"));
    network.set_route(tunnelled, net("0.0.0.0/0"), hop).unwrap();
    let own = network.add_nic(bare, "own", ip("10.0.5.4")).unwrap();
    network.set_public_address(own, Some(ip("20.1.9.9"))).unwrap();
    let edges = vec![
        (Edge::Subnet(gateway), [10, 0, 1]),
        (Edge::Subnet(pool), [10, 0, 2]),
        (Edge::Subnet(tunnelled), [10, 0, 4]),
        (Edge::Nic(own), [10, 0, 5]),
    ];
    (network.commit(), edges)
}

fn udp(source: SocketAddrV4, destination: SocketAddrV4) -> Vec<u8> {
    datagram(source, destination, &[7; 18])
}

fn syn(source: SocketAddrV4, destination: SocketAddrV4) -> Vec<u8> {
    segment(source, destination, "S", (1000, 0), &[])
}

/// Hosts of every place call the internet, a service, and each other.
fn openings(edges: &[(Edge, [u8; 3])]) -> Vec<Arrival> {
    let mut arrivals = Vec::new();
    for &(edge, [a, b, c]) in edges {
        let hosts = if matches!(edge, Edge::Nic(_)) { 4..=4 } else { 4..=67 };
        for host in hosts {
            for port in [40_000, 40_001] {
                let source = SocketAddrV4::new(Ipv4Addr::new(a, b, c, host), port);
                let to = |text: &str| text.parse().unwrap();
                arrivals.push(arrival(edge, udp(source, to("8.8.8.8:53"))));
                arrivals.push(arrival(edge, syn(source, to("52.239.1.9:443"))));
                arrivals.push(arrival(edge, udp(source, to("10.0.2.200:9000"))));
            }
        }
    }
    arrivals
}

/// The answers to what left, each where its question left.
fn answers(departures: &[Departure]) -> Vec<Arrival> {
    let forwarded = departures.iter().filter_map(|departure| match departure.verdict.disposition {
        Disposition::Forward(forward) => Some((forward.to(), &departure.bytes)),
        _ => None,
    });
    forwarded
        .filter_map(|(edge, bytes)| {
            let tuple = Headers::parse(bytes).unwrap().tuple();
            let udp = tuple.protocol == vnetem::Protocol::UDP;
            let bytes = udp.then(|| self::udp(tuple.destination, tuple.source))?;
            Some(arrival(edge, bytes))
        })
        .collect()
}

/// One data plane for each shard, shared out among workers.
struct Fleet {
    sharding: Sharding,
    planes: Vec<DataPlane>,
    workers: usize,
}

impl Fleet {
    fn new(snapshot: &Arc<Snapshot>, workers: usize) -> Self {
        let plane = |shard| {
            let mut settings = Settings { shard: Some(shard), ..Settings::replayable(0) };
            settings.flows.capacity = 512;
            settings.flows.held = 64;
            settings.flows.revalidation_keys = 64;
            DataPlane::new(Arc::clone(snapshot), settings)
        };
        let planes = Shard::all().map(plane).collect();
        Self { sharding: Sharding::new(snapshot, 64), planes, workers }
    }

    /// All packets, by as many threads as there are workers, in the order of the packets.
    fn process(&mut self, arrivals: &[Arrival]) -> Vec<Departure> {
        let mut queues = vec![Vec::new(); usize::from(Shard::COUNT)];
        for (number, arrival) in arrivals.iter().enumerate() {
            let shard = self.sharding.shard(arrival.edge, &arrival.bytes);
            queues[shard.index()].push(number);
        }
        let mut mappings: Vec<Vec<(&mut DataPlane, Vec<usize>)>> =
            (0..self.workers).map(|_| Vec::new()).collect();
        for (shard, (plane, queue)) in self.planes.iter_mut().zip(queues).enumerate() {
            mappings[shard % self.workers].push((plane, queue));
        }
        let work = |share: Vec<(&mut DataPlane, Vec<usize>)>| {
            let mut done = Vec::new();
            for (plane, queue) in share {
                for number in queue {
                    let Arrival { edge, mut bytes } = arrivals[number].clone();
                    let verdict = plane.process(Time(1_000), edge, &mut bytes);
                    done.push((number, Departure { verdict, bytes }));
                }
            }
            done
        };
        let mut departures = std::thread::scope(|scope| {
            let threads: Vec<_> =
                mappings.into_iter().map(|share| scope.spawn(move || work(share))).collect();
            threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect::<Vec<_>>()
        });
        departures.sort_by_key(|(number, _)| *number);
        departures.into_iter().map(|(_, departure)| departure).collect()
    }
}

/// N-19: the ports of a load balancer's member are its own, so that its shard has all of them and
/// not a 64th.
#[test]
fn member_has_its_ports_in_shard() {
    let mut network = Network::new();
    let alpha = network.add_vnet("alpha", &[net("10.0.0.0/16")]).unwrap();
    let pool = network.add_subnet(alpha, "pool", net("10.0.0.0/24")).unwrap();
    let balancer = network.add_load_balancer(alpha, "lb", &[ip("20.1.1.1")]).unwrap();
    let member = network.add_nic(pool, "member", ip("10.0.0.4")).unwrap();
    network.add_member(balancer, member).unwrap();
    let settings = Settings { shard: Shard::all().nth(9), ..Settings::replayable(0) };
    let mut plane = DataPlane::new(network.commit(), settings);
    for port in 1..=1024 {
        let source = SocketAddrV4::new(ip("10.0.0.4"), port);
        let mut packet = syn(source, "8.8.8.8:443".parse().unwrap());
        let disposition = plane.process(Time(0), Edge::Nic(member), &mut packet).disposition;
        assert!(matches!(disposition, Disposition::Forward(_)), "{port}: {disposition:?}");
    }
}

#[test]
fn answer_reaches_its_flows_shard() {
    let (snapshot, edges) = network();
    let mut fleet = Fleet::new(&snapshot, 1);
    let opened = fleet.process(&openings(&edges));
    let mut translated = 0;
    for departure in &opened {
        let Disposition::Forward(forward) = departure.verdict.disposition else {
            panic!("{departure:?}");
        };
        translated += usize::from(forward.source() != SourceMode::Preserved);
    }
    assert!(translated > 380, "{translated} of {}", opened.len());
    let answered = fleet.process(&answers(&opened));
    assert!(answered.len() > 700);
    for departure in &answered {
        let Disposition::Forward(forward) = departure.verdict.disposition else {
            panic!("{departure:?}");
        };
        assert_eq!(forward.direction(), Direction::Reply, "{departure:?}");
    }
    let busy = fleet.planes.iter().filter(|plane| plane.flow_counters().live > 0).count();
    assert!(busy > 50, "{busy} shards have flows");
}

/// T-35, T-04: without ports a public address is somebody's towards one far end, which therefore
/// says the shard; nobody else gets it there.
#[test]
fn t_35_portless_answer_finds_its_flow() {
    let gre = |source: Ipv4Addr, destination: Ipv4Addr| {
        let mut bytes = Vec::new();
        let packet = PacketBuilder::ipv4(source.octets(), destination.octets(), 64);
        packet.write(&mut bytes, 47.into(), &[7; 12]).unwrap();
        bytes
    };
    let mut network = Network::new();
    let alpha = network.add_vnet("alpha", &[net("10.0.0.0/16")]).unwrap();
    let web = network.add_subnet(alpha, "web", net("10.0.0.0/24")).unwrap();
    let rules =
        vnetem::nat::PoolRules { other_protocols: true, ..vnetem::nat::PoolRules::default() };
    let (addresses, first_port, last_port) = (vec![ip("20.1.1.1")], 1024, 65_535);
    let pool = Outbound::Pool { addresses, first_port, last_port, rules };
    network.set_outbound(web, pool).unwrap();
    let mut fleet = Fleet::new(&network.commit(), 1);
    let host = |last| Ipv4Addr::new(10, 0, 0, last);
    let far = |last| Ipv4Addr::new(8, 8, 8, last);
    let edge = Edge::Subnet(web);
    for last in 4..=67 {
        let asked = fleet.process(&[arrival(edge, gre(host(last), far(last)))]);
        assert!(matches!(asked[0].verdict.disposition, Disposition::Forward(_)), "{asked:?}");
        let answer = gre(far(last), ip("20.1.1.1"));
        let answered = fleet.process(&[arrival(Edge::Internet, answer)]);
        let Disposition::Forward(forward) = answered[0].verdict.disposition else {
            panic!("{answered:?}")
        };
        assert_eq!((forward.to(), forward.direction()), (edge.into(), Direction::Reply));
        let other = fleet.process(&[arrival(edge, gre(host(last + 64), far(last)))]);
        assert_eq!(other[0].verdict.disposition, Disposition::Drop(DropReason::SnatExhausted));
    }
}

#[test]
fn worker_count_changes_no_byte() {
    let (snapshot, edges) = network();
    let run = |workers| {
        let mut fleet = Fleet::new(&snapshot, workers);
        let opened = fleet.process(&openings(&edges));
        let answered = fleet.process(&answers(&opened));
        let again = fleet.process(&openings(&edges));
        [opened, answered, again].concat()
    };
    let one = run(1);
    assert!(one == run(2) && one == run(4));
}

/// No two shards give the same public port towards one remote, and each has its part of every
/// address.
#[test]
fn shards_never_share_a_public_tuple() {
    let (snapshot, edges) = network();
    let mut fleet = Fleet::new(&snapshot, 1);
    let mut tuples = std::collections::BTreeSet::new();
    for departure in fleet.process(&openings(&edges)) {
        if let Disposition::Forward(forward) = departure.verdict.disposition
            && forward.source() != SourceMode::Preserved
        {
            let tuple = Headers::parse(&departure.bytes).unwrap().tuple();
            assert!(tuples.insert(tuple), "{tuple} twice");
        }
    }
}

/// N-17, exact for each shard: a pool with one port a shard serves one flow of each towards one
/// remote.
#[test]
fn a_slice_is_exhausted_by_itself() {
    let mut network = Network::new();
    let alpha = network.add_vnet("alpha", &[net("10.0.0.0/16")]).unwrap();
    let web = network.add_subnet(alpha, "web", net("10.0.0.0/24")).unwrap();
    network
        .set_outbound(
            web,
            Outbound::Pool {
                addresses: vec![ip("20.1.1.1")],
                first_port: 5000,
                last_port: 5063,
                rules: vnetem::nat::PoolRules::default(),
            },
        )
        .unwrap();
    let snapshot = network.commit();
    let mut fleet = Fleet::new(&snapshot, 1);
    let remote = "8.8.8.8:53".parse().unwrap();
    let host = |n: u8| SocketAddrV4::new(Ipv4Addr::new(10, 0, 0, n), 40_000);
    let arrivals: Vec<_> =
        (4..254).map(|n| arrival(Edge::Subnet(web), udp(host(n), remote))).collect();
    let mut shards: Vec<_> =
        arrivals.iter().map(|it| fleet.sharding.shard(it.edge, &it.bytes)).collect();
    shards.sort_unstable();
    shards.dedup();
    let departures = fleet.process(&arrivals);
    let forwarded = departures.iter().filter(|it| it.verdict.forwarded_to().is_some()).count();
    assert_eq!(forwarded, shards.len());
    assert!(
        departures
            .iter()
            .filter(|it| it.verdict.forwarded_to().is_none())
            .all(|it| { it.verdict.disposition == Disposition::Drop(DropReason::SnatExhausted) })
    );
}

/// P-30 and T-22 through the shards: later fragments follow the first, errors the packet that they
/// quote.
#[test]
fn fragments_and_errors_follow_their_flow() {
    let (snapshot, edges) = network();
    let mut fleet = Fleet::new(&snapshot, 1);
    let (edge, _) = edges[1];
    let remote = "8.8.8.8:53".parse().unwrap();
    for host in 4..60 {
        let source = SocketAddrV4::new(Ipv4Addr::new(10, 0, 2, host), 40_000);
        let out = fleet.process(&[arrival(edge, udp(source, remote))]);
        let external = Headers::parse(&out[0].bytes).unwrap().tuple().source;
        let whole = udp(remote, external);
        let fragments = fragments(&whole, 16, u16::from_be_bytes([host, host]));
        let fragments = fragments.map(|bytes| arrival(Edge::Internet, bytes));
        let mut error = Vec::new();
        PacketBuilder::ipv4([8, 8, 8, 8], external.ip().octets(), 64)
            .icmpv4_raw(3, 3, [0; 4])
            .write(&mut error, &out[0].bytes)
            .unwrap();
        let arrivals = [fragments.to_vec(), vec![arrival(Edge::Internet, error)]];
        for departure in fleet.process(&arrivals.concat()) {
            assert_eq!(departure.verdict.forwarded_to(), Some(edge.into()), "{departure:?}");
        }
    }
}

/// INV-tombstone-answers: what comes to an address that was taken away finds the shard whose
/// tombstone answers.
#[test]
fn withdrawn_address_leads_to_tombstones_shard() {
    let mut network = Network::new();
    let alpha = network.add_vnet("alpha", &[net("10.0.0.0/16")]).unwrap();
    let web = network.add_subnet(alpha, "web", net("10.0.1.0/24")).unwrap();
    let gateway = |address| Outbound::NatGateway(vec![ip(address)]);
    network.set_outbound(web, gateway("20.1.1.1")).unwrap();
    let mut sharding = Sharding::new(&network.commit(), 8);
    for host in 4..20 {
        network.set_outbound(web, gateway("20.1.1.1")).unwrap();
        sharding.apply(&network.commit());
        let internal = SocketAddrV4::new(Ipv4Addr::new(10, 0, 1, host), 50_000);
        let far = SocketAddrV4::new(ip("9.9.9.9"), 443);
        let mut opens = syn(internal, far);
        let shard = sharding.shard(Edge::Subnet(web), &opens);
        let settings = Settings { shard: Some(shard), ..Settings::replayable(0) };
        let mut plane = DataPlane::new(network.commit(), settings);
        let disposition = plane.process(Time(0), Edge::Subnet(web), &mut opens).disposition;
        let Disposition::Forward(forward) = disposition else {
            panic!("not forwarded: {disposition:?}");
        };
        let SourceMode::Translated(external) = forward.source() else {
            panic!("not translated: {disposition:?}");
        };
        let mut answer = segment(far, external, "SA", (7, 1001), &[]);
        assert_eq!(sharding.shard(Edge::Internet, &answer), shard);
        let disposition = plane.process(Time(0), Edge::Internet, &mut answer).disposition;
        assert!(matches!(disposition, Disposition::Forward(_)));
        network.set_outbound(web, gateway("20.1.1.2")).unwrap();
        plane.apply(Time(0), network.commit());
        sharding.apply(&network.commit());
        assert_eq!(std::iter::from_fn(|| plane.poll_transmit(Time(0))).count(), 2, "both hear");
        let mut late = segment(far, external, "A", (8, 1001), &[]);
        assert_eq!(sharding.shard(Edge::Internet, &late), shard, "host {host}");
        let disposition = plane.process(Time(0), Edge::Internet, &mut late).disposition;
        assert_eq!(disposition, Disposition::Drop(DropReason::FlowClosed));
        assert!(plane.poll_transmit(Time(0)).is_some(), "the tombstone answers");
    }
}

/// What the internet and a service's public edge answer, and GRE, meet the shard of their flow in a
/// network of any range: none of them says who is inside.
#[test]
fn ranges_of_any_class_keep_shards() {
    for range in ["30.1", "192.0", "198.18", "100.64", "10.0", "172.20", "1.1", "32.0"] {
        let length = if range == "32.0" { 7 } else { 16 };
        let mut network = Network::new();
        let storage = network.add_service("storage", &[net("52.239.0.0/16")]).unwrap();
        let vnet = network.add_vnet("net", &[net(&format!("{range}.0.0/{length}"))]).unwrap();
        // Who has the same addresses elsewhere, and who has those of the internet.
        network.add_vnet("overlapping", &[net(&format!("{range}.0.0/16"))]).unwrap();
        network.add_vnet("squatter", &[net("8.8.0.0/16")]).unwrap();
        let subnet = |network: &mut Network, name, third| {
            network.add_subnet(vnet, name, net(&format!("{range}.{third}.0/24"))).unwrap()
        };
        let pool = subnet(&mut network, "pool", 1);
        let own = subnet(&mut network, "own", 2);
        let members = subnet(&mut network, "members", 3);
        let rules =
            vnetem::nat::PoolRules { other_protocols: true, ..vnetem::nat::PoolRules::LINUX };
        let outbound = Outbound::Pool {
            addresses: vec![ip("20.1.1.1")],
            first_port: 1024,
            last_port: 65_535,
            rules,
        };
        network.set_outbound(pool, outbound).unwrap();
        let at = |third: u8, host: u8| ip(&format!("{range}.{third}.{host}"));
        let balancer = network.add_load_balancer(vnet, "lb", &[ip("20.1.4.4")]).unwrap();
        let mut senders: Vec<(Edge, Ipv4Addr)> = Vec::new();
        for host in 4..32 {
            senders.push((Edge::Subnet(pool), at(1, host)));
            let nic = network.add_nic(own, &format!("own{host}"), at(2, host)).unwrap();
            let public = Ipv4Addr::new(20, 1, 9, host);
            network.set_public_address(nic, Some(public)).unwrap();
            senders.push((Edge::Nic(nic), at(2, host)));
            let nic = network.add_nic(members, &format!("member{host}"), at(3, host)).unwrap();
            network.add_member(balancer, nic).unwrap();
            senders.push((Edge::Nic(nic), at(3, host)));
        }
        network.enable_endpoint(own, storage, Scope::Worldwide).unwrap();
        let mut fleet = Fleet::new(&network.commit(), 1);
        let mut asked = Vec::new();
        for &(edge, address) in &senders {
            let from = SocketAddrV4::new(address, 40_000);
            // The public, an address that an unconnected network has too, the endpoint, a
            // neighbour.
            for to in ["9.9.9.9:53", "8.8.8.8:53", "52.239.1.9:443"] {
                asked.push(arrival(edge, udp(from, to.parse().unwrap())));
            }
            let service = "52.239.1.9:443".parse().unwrap();
            asked.push(arrival(edge, syn(from, service)));
            let neighbour = SocketAddrV4::new(at(1, 200), 9000);
            asked.push(arrival(edge, udp(from, neighbour)));
        }
        let mut gre = Vec::new();
        for far in 1..28 {
            let (_, source) = senders[3 * usize::from(far)];
            let to = Ipv4Addr::new(9, 9, 8, far);
            gre.push(arrival(Edge::Subnet(pool), bare(source, to)));
        }
        for (asked, answer) in
            [(asked, answers as fn(&[Departure]) -> Vec<Arrival>), (gre, bare_answers)]
        {
            let departures = fleet.process(&asked);
            assert!(departures.iter().all(is_forwarded), "{range}: {departures:?}");
            let came = answer(&departures);
            assert!(came.len() * 5 >= departures.len() * 4, "{range}: {}", came.len());
            let back = fleet.process(&came);
            let lost = back.iter().filter(|departure| !is_forwarded(departure)).count();
            assert_eq!(lost, 0, "{range}: answers lost of {}", back.len());
        }
    }
}

/// What sites, appliances and peers say to each other meets one shard at every edge on its way.
#[test]
fn connected_networks_share_their_shards() {
    let mut network = Network::new();
    let [spoke, hub, other] = [("spoke", "30.1"), ("hub", "198.18"), ("other", "10.3")]
        .map(|(name, range)| network.add_vnet(name, &[net(&format!("{range}.0.0/16"))]).unwrap());
    let site = network.add_site("office", &[net("150.1.0.0/16")], &[ip("20.3.3.3")]).unwrap();
    network.peer(spoke, hub).unwrap();
    network.peer(hub, other).unwrap();
    network.connect(hub, site, &[net("150.1.0.0/16")]).unwrap();
    let web = network.add_subnet(spoke, "web", net("30.1.0.0/24")).unwrap();
    let mid = network.add_subnet(hub, "mid", net("198.18.0.0/24")).unwrap();
    let db = network.add_subnet(other, "db", net("10.3.0.0/24")).unwrap();
    let [one, two] = [4, 5].map(|last| {
        let nic = network.add_nic(mid, &format!("fw{last}"), Ipv4Addr::new(198, 18, 0, last));
        network.set_ip_forwarding(*nic.as_ref().unwrap(), true).unwrap();
        nic.unwrap()
    });
    let to_one = NextHop::VirtualAppliance(ip("198.18.0.4"));
    for subnet in [web, db] {
        network.set_route(subnet, net("0.0.0.0/0"), to_one).unwrap();
    }
    let mut fleet = Fleet::new(&network.commit(), 1);
    let mut passed = 0;
    for host in 4..=67 {
        let [a, b] = [[30, 1, 0, host], [10, 3, 0, host]].map(|it| SocketAddrV4::new(it.into(), 7));
        let c = SocketAddrV4::new(Ipv4Addr::new(150, 1, 0, host), 7);
        let (d, e) = (SocketAddrV4::new(*b.ip(), 8), SocketAddrV4::new(ip("198.18.0.5"), 7));
        // Both ways over each hop, the question first.
        for (from, to, source, destination) in [
            (Edge::Subnet(web), Edge::Nic(one), a, b),
            (Edge::Nic(one), Edge::Subnet(db), a, b),
            (Edge::Subnet(web), Edge::Nic(one), a, c),
            (Edge::Nic(one), Edge::Site(site), a, c),
            (Edge::Nic(one), Edge::Subnet(web), d, a),
            (Edge::Nic(one), Edge::Nic(two), b, e),
        ] {
            let ask = arrival(from, udp(source, destination));
            let answer = arrival(to, udp(destination, source));
            let done = fleet.process(&[ask, answer]);
            let edges: Vec<_> = done.iter().map(|it| it.verdict.forwarded_to()).collect();
            // The second appliance answers by its own routes, past the first.
            let back = if to == Edge::Nic(two) { Edge::Subnet(db) } else { from };
            assert_eq!(
                edges,
                [to, back].map(|edge| Some(edge.into())),
                "{source} > {destination} from {from:?}"
            );
            passed += 1;
        }
    }
    assert_eq!(passed, 64 * 6);
}

fn is_forwarded(departure: &Departure) -> bool {
    matches!(departure.verdict.disposition, Disposition::Forward(_))
}

/// A packet without ports (GRE).
fn bare(source: Ipv4Addr, destination: Ipv4Addr) -> Vec<u8> {
    let mut bytes = vec![0; 28];
    etherparse::Ipv4Header::new(
        8,
        64,
        etherparse::IpNumber::GRE,
        source.octets(),
        destination.octets(),
    )
    .unwrap()
    .write(&mut &mut bytes[..20])
    .unwrap();
    bytes
}

/// The answers to packets without ports.
fn bare_answers(departures: &[Departure]) -> Vec<Arrival> {
    let answer = |departure: &Departure| {
        let headers = Headers::parse(&departure.bytes).unwrap();
        let bytes = bare(headers.destination, headers.source);
        Some(arrival(departure.verdict.forwarded_to()?, bytes))
    };
    departures.iter().filter_map(answer).collect()
}

/// A domain has everything that a packet of it can meet without the internet: peers, sites behind
/// gateways, and whoever had the same public address.
#[test]
fn domain_has_what_is_connected() {
    let mut network = Network::new();
    let vnets: Vec<_> = (0..6_u8)
        .map(|number| {
            let range = format!("10.{number}.0.0/16");
            let vnet = network.add_vnet(&format!("net{number}"), &[net(&range)]).unwrap();
            let prefix = net(&format!("10.{number}.0.0/24"));
            (vnet, network.add_subnet(vnet, "web", prefix).unwrap())
        })
        .collect();
    let pool = |address| Outbound::NatGateway(vec![ip(address)]);
    network.peer(vnets[0].0, vnets[1].0).unwrap();
    network.set_outbound(vnets[1].1, pool("20.1.1.1")).unwrap();
    let nic = network.add_nic(vnets[4].1, "own", ip("10.4.0.4")).unwrap();
    network.set_public_address(nic, Some(ip("20.1.9.9"))).unwrap();
    let before = network.commit();
    let domains = Domains::new([&*before]);
    let at = |domains: &Domains, number: usize| domains.at(Edge::Subnet(vnets[number].1));
    assert_eq!((domains.len(), domains.addresses(0), domains.addresses(1)), (5, 512, 256));
    assert_eq!([0, 1].map(|number| at(&domains, number)), [Some(0); 2]);
    assert_eq!([2, 3, 4, 5].map(|number| at(&domains, number)), [1, 2, 3, 4].map(Some));
    assert_eq!(domains.at(Edge::Nic(nic)), Some(3));
    assert_eq!(domains.behind(ip("20.1.9.9")), Some(3));
    assert_eq!(domains.behind(ip("8.8.8.8")), None);
    assert_eq!(domains.at(Edge::Internet), None);

    // One split serves both sides of a change, such as that of a public address.
    network.set_outbound(vnets[1].1, pool("20.1.1.9")).unwrap();
    network.set_outbound(vnets[2].1, pool("20.1.1.1")).unwrap();
    network.peer(vnets[3].0, vnets[5].0).unwrap();
    let after = network.commit();
    let domains = Domains::new([&*before, &*after]);
    assert_eq!((domains.len(), at(&domains, 3)), (3, at(&domains, 5)));
    assert_eq!(at(&domains, 2), at(&domains, 1));
}
