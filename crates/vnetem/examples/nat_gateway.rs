//! A NAT gateway between two interfaces: private hosts behind one public address.
//!
//! ```text
//! cargo run -p vnetem --example nat_gateway
//! ```

use std::error::Error;
use std::net::Ipv4Addr;

use vnetem::{
    DataPlane, Edge, EdgeId, EditError, Headers, Ipv4Net, Network, Settings, SubnetId, Time,
    control::Outbound, nat::PoolRules,
};
use vnetem_packet_text::Packet;

/// A gateway with an internal and an external interface.
struct Gateway {
    plane: DataPlane,
    internal: EdgeId,
}

impl Gateway {
    /// Makes a gateway for the hosts of 192.168.0.0/24, with the rules of Linux.
    fn new(public: Ipv4Addr, seed: u64) -> Result<Self, Box<dyn Error>> {
        let mut network = Network::new();
        let subnet = inside(&mut network)?;
        let (addresses, rules) = (vec![public], PoolRules::LINUX);
        let pool = Outbound::Pool { addresses, first_port: 1024, last_port: 65535, rules };
        network.set_outbound(subnet, pool)?;
        let plane = DataPlane::new(network.commit(), Settings::replayable(seed));
        Ok(Self { plane, internal: Edge::Subnet(subnet).into() })
    }

    /// Translates a packet from the internal interface.
    fn outbound(&mut self, now: Time, packet: &mut [u8]) -> bool {
        self.plane.process(now, self.internal, packet).forwarded_to() == Some(EdgeId::INTERNET)
    }

    /// Translates a packet from the external interface.
    fn inbound(&mut self, now: Time, packet: &mut [u8]) -> bool {
        self.plane.process(now, EdgeId::INTERNET, packet).forwarded_to() == Some(self.internal)
    }
}

/// Adds the private hosts.
fn inside(network: &mut Network) -> Result<SubnetId, EditError> {
    let range = Ipv4Net::new_assert(Ipv4Addr::new(192, 168, 0, 0), 24);
    let vnet = network.add_vnet("lan", &[range])?;
    network.add_subnet(vnet, "hosts", range)
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut gateway = Gateway::new(Ipv4Addr::new(20, 1, 1, 1), 1)?;

    let query: Packet = "192.168.0.10:5353 > 198.51.100.1:53 udp len 24".parse()?;
    let mut bytes = query.build().to_vec();
    assert!(gateway.outbound(Time(0), &mut bytes));
    println!("{query}   leaves as   {}", Packet::read(&bytes)?);

    let external = Headers::parse(&bytes)?.tuple().source;
    let reply: Packet = format!("198.51.100.1:53 > {external} udp len 48").parse()?;
    let mut bytes = reply.build().to_vec();
    assert!(gateway.inbound(Time(5_000_000), &mut bytes));
    println!("{reply}   arrives as   {}", Packet::read(&bytes)?);

    let scan: Packet = format!("203.0.113.9:53 > {external} udp len 48").parse()?;
    let mut bytes = scan.build().to_vec();
    assert!(!gateway.inbound(Time(6_000_000), &mut bytes), "no flow asked for it");
    println!("{scan}   is dropped");
    Ok(())
}

#[cfg(test)]
mod tests {
    #[test]
    fn only_the_called_remote_gets_in() -> Result<(), Box<dyn std::error::Error>> {
        super::main()
    }
}
