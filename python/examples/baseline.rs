//! The Rust side of `benches/speed.py`: processes a batch for each line that comes in, and prints
//! the nanoseconds that it took.

use std::io::{BufRead, Write};
use std::time::Instant;

use vnetem::control::Outbound;
use vnetem::{BatchPacket, DataPlane, Edge, Network, Settings, Time};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let file = std::env::args().nth(1).ok_or("of which packets? Give a file")?;
    let original = std::fs::read(file)?;
    let mut network = Network::new();
    let alpha = network.add_vnet("alpha", &["10.0.0.0/16".parse()?])?;
    let web = network.add_subnet(alpha, "web", "10.0.0.0/20".parse()?)?;
    network.set_outbound(web, Outbound::NatGateway(vec!["20.1.1.1".parse()?]))?;
    let mut plane = DataPlane::new(network.commit(), Settings::replayable(1));

    let mut buffer = original.clone();
    for line in std::io::stdin().lock().lines() {
        line?;
        let (mut taken, mut forwarded) = (0, 0);
        // The second time counts: other programs have used the caches.
        for _ in 0..2 {
            // A packet is rewritten in place, so it is restored before the next time, unmeasured.
            buffer.copy_from_slice(&original);
            let mut slots = Vec::new();
            let mut rest = buffer.as_mut_slice();
            while let [_, _, high, low, ..] = rest {
                let length = usize::from(u16::from_be_bytes([*high, *low]));
                let (packet, more) = rest.split_at_mut(length);
                slots.push(BatchPacket::new(Edge::Subnet(web), packet));
                rest = more;
            }
            let begun = Instant::now();
            plane.process_batch(Time(0), &mut slots);
            taken = begun.elapsed().as_nanos();
            let left = |slot: &&BatchPacket<'_>| {
                slot.verdict.is_some_and(|verdict| verdict.forwarded_to().is_some())
            };
            forwarded = slots.iter().filter(left).count();
        }
        println!("{taken} {forwarded}");
        std::io::stdout().flush()?;
    }
    Ok(())
}
