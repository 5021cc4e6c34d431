//! Puts the data plane between two smoltcp interfaces.
//!
//! ```text
//! cargo run -p vnetem-sim --example between_smoltcp
//! ```
//!
//! A client in a subnet talks to a storage account while the endpoint is enabled. Its connection is
//! reset. The account sees the next one under its private address.

use std::error::Error;

use smoltcp::iface::{Config, Interface, SocketHandle, SocketSet};
use smoltcp::socket::tcp::{Socket, SocketBuffer, State};
use smoltcp::wire::{HardwareAddress, Ipv4Address, Ipv4Cidr};
use vnetem::{
    DataPlane, Edge, EdgeId, Network, Settings, Time,
    control::{Outbound, Scope},
};
use vnetem_sim::Port;

type Host = (Port, Interface, SocketSet<'static>);

fn host(address: Ipv4Address) -> Result<Host, Box<dyn Error>> {
    let (mut port, clock) = (Port::new(1500), smoltcp::time::Instant::ZERO);
    let mut interface = Interface::new(Config::new(HardwareAddress::Ip), &mut port, clock);
    interface.update_ip_addrs(|list| list.extend([Ipv4Cidr::new(address, 32).into()]));
    interface.routes_mut().add_default_ipv4_route(address)?;
    Ok((port, interface, SocketSet::new(vec![])))
}

fn socket(host: &mut Host) -> SocketHandle {
    let buffer = || SocketBuffer::new(vec![0; 4096]);
    host.2.add(Socket::new(buffer(), buffer()))
}

fn main() -> Result<(), Box<dyn Error>> {
    let (vm, account) = (Ipv4Address::new(10, 0, 0, 4), Ipv4Address::new(52, 239, 1, 9));
    let mut network = Network::new();
    let storage = network.add_service("Microsoft.Storage", &["52.239.0.0/16".parse()?])?;
    let alpha = network.add_vnet("alpha", &["10.0.0.0/16".parse()?])?;
    let web = network.add_subnet(alpha, "web", "10.0.0.0/24".parse()?)?;
    network.set_outbound(web, Outbound::NatGateway(vec!["20.1.1.1".parse()?]))?;
    let mut plane = DataPlane::new(network.commit(), Settings::replayable(0));

    let (mut client, mut server) = (host(vm)?, host(account)?);
    let mut far = EdgeId::from(Edge::Service { service: storage, identity: None });
    for (port, toggle_at, survives) in [(50_001, 25, false), (50_002, 99, true)] {
        let (asks, answers) = (socket(&mut client), socket(&mut server));
        server.2.get_mut::<Socket>(answers).listen(443)?;
        client.2.get_mut::<Socket>(asks).connect(client.1.context(), (account, 443), port)?;
        for millisecond in 0..50 {
            let now = Time(millisecond * 1_000_000);
            if millisecond == toggle_at {
                network.enable_endpoint(web, storage, Scope::Worldwide)?;
                plane.apply(now, network.commit());
            }
            for (port, interface, sockets) in [&mut client, &mut server] {
                let clock = smoltcp::time::Instant::from_millis(i64::try_from(millisecond)?);
                interface.poll(clock, port, sockets);
            }
            while let Some(packet) = client.0.sent.pop_front() {
                let mut packet = packet.to_vec();
                if let Some(to) = plane.process(now, Edge::Subnet(web), &mut packet).forwarded_to()
                {
                    far = to; // answers enter by the edge where the question left
                    server.0.received.push_back(packet.into());
                }
            }
            while let Some(packet) = server.0.sent.pop_front() {
                let mut packet = packet.to_vec();
                if plane.process(now, far, &mut packet).forwarded_to().is_some() {
                    client.0.received.push_back(packet.into());
                }
            }
            while let Some(made) = plane.poll_transmit(now) {
                let end = if made.to == Edge::Subnet(web) { &mut client } else { &mut server };
                end.0.received.push_back(made.packet);
            }
        }
        let client = client.2.get::<Socket>(asks).state();
        let seen = server.2.get::<Socket>(answers).remote_endpoint();
        println!("client {client}, server sees {seen:?}");
        assert_eq!(client == State::Established, survives);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_example_runs() -> Result<(), Box<dyn std::error::Error>> {
        super::main()
    }
}
