//! Embeds the data plane without any I/O: bytes and time in, verdicts and bytes out.
//!
//! A VM opens a connection to a storage account, the endpoint is enabled in the middle of it,
//! and `trace` explains the next packet. Run it with `cargo run -p vnetem --example raw_bytes`.

use std::error::Error;
use std::time::Duration;

use vnetem::{
    DataPlane, Disposition, Edge, Headers, Network, Settings, SourceMode, Time,
    control::{NextHop, Outbound, Scope},
};

fn main() -> Result<(), Box<dyn Error>> {
    let mut network = Network::new();
    let storage = network.add_service("Microsoft.Storage", &["52.239.0.0/16".parse()?])?;
    let alpha = network.add_vnet("alpha", &["10.0.0.0/16".parse()?])?;
    let web = network.add_subnet(alpha, "web", "10.0.0.0/24".parse()?)?;
    network.set_outbound(web, Outbound::NatGateway(vec!["20.1.1.1".parse()?]))?;
    network.set_route(web, "20.0.0.0/8".parse()?, NextHop::None)?;

    // The same run every time. Between real programs `Settings::secret(entropy)`:
    // nobody can guess its ports.
    let mut plane = DataPlane::new(network.commit(), Settings::replayable(1));
    let (vm, account) = (Edge::Subnet(web), "52.239.1.9:443".parse()?);

    // The handshake, without the endpoint.
    let mut now = Time(0);
    let mut packet = segment("10.0.0.4:50001".parse()?, account, SYN, 1_000, 0);
    let verdict = plane.process(now, vm, &mut packet);
    let Disposition::Forward(forward) = verdict.disposition else {
        return Err("the first packet stays".into());
    };
    let SourceMode::Translated(public) = forward.source() else {
        return Err("not translated".into());
    };
    println!(
        "{}   leaves to {}",
        Headers::parse(&packet)?,
        plane.snapshot().describe(forward.edge(plane.snapshot()))
    );

    now += Duration::from_millis(10);
    let mut packet = segment(account, public, SYN | ACK, 9_000, 1_001);
    let verdict = plane.process(now, forward.to(), &mut packet);
    println!("{}   comes back {:?}", Headers::parse(&packet)?, verdict.forwarded_to());

    // The switch: both ends of the open connection get a reset.
    network.enable_endpoint(web, storage, Scope::Worldwide)?;
    plane.apply(now, network.commit());
    while let Some(made) = plane.poll_transmit(now) {
        let to = plane.snapshot().describe(made.to);
        println!("{}   made for {to}", Headers::parse(&made.packet)?);
    }

    // Explain what would happen to a new connection.
    let packet = segment("10.0.0.4:50002".parse()?, account, SYN, 5_000, 0);
    println!("\n{}\n", plane.trace(now, vm, &packet));

    let counters = plane.counters();
    println!(
        "received {} + generated {} = forwarded {} + transmitted {} + dropped {}",
        counters.received.packets,
        counters.generated.packets,
        counters.forwarded.packets,
        counters.transmitted.packets,
        counters.dropped.packets
    );
    Ok(())
}

const SYN: u8 = 2;
const ACK: u8 = 16;

/// Makes a TCP segment without data. It has no TCP checksum, which the data plane does not check.
fn segment(
    source: std::net::SocketAddrV4,
    destination: std::net::SocketAddrV4,
    flags: u8,
    sequence: u32,
    acknowledgement: u32,
) -> [u8; 40] {
    let mut packet = [0; 40];
    packet[..12].copy_from_slice(&[0x45, 0, 0, 40, 0, 0, 0x40, 0, 64, 6, 0, 0]);
    packet[12..16].copy_from_slice(&source.ip().octets());
    packet[16..20].copy_from_slice(&destination.ip().octets());
    packet[20..22].copy_from_slice(&source.port().to_be_bytes());
    packet[22..24].copy_from_slice(&destination.port().to_be_bytes());
    packet[24..28].copy_from_slice(&sequence.to_be_bytes());
    packet[28..32].copy_from_slice(&acknowledgement.to_be_bytes());
    packet[32..36].copy_from_slice(&[5 << 4, flags, 0xff, 0xff]);
    let checksum = !vnetem::packet::checksum::sum(&packet[..20]);
    packet[10..12].copy_from_slice(&checksum.to_be_bytes());
    packet
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_example_runs() -> Result<(), Box<dyn std::error::Error>> {
        super::main()
    }
}
