//! Drives a data plane from an event loop: what to call, in which order, and when to wake up.
//!
//! ```text
//! cargo run -p vnetem --example event_loop
//! ```
//!
//! The inputs are a list with times. A program with sockets waits for the next packet instead, with
//! [`DataPlane::poll_timeout`] as its deadline.

use std::collections::VecDeque;
use std::error::Error;
use std::sync::Arc;

use vnetem::{
    DataPlane, Edge, Network, Settings, Snapshot, Time,
    control::{Outbound, Scope},
};
use vnetem_packet_text::Packet;

/// What the loop waits for, besides timeouts.
enum Input {
    Packet(Edge, Vec<u8>),
    Change(Arc<Snapshot>),
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut network = Network::new();
    let storage = network.add_service("Microsoft.Storage", &["52.239.0.0/16".parse()?])?;
    let alpha = network.add_vnet("alpha", &["10.0.0.0/16".parse()?])?;
    let web = network.add_subnet(alpha, "web", "10.0.0.0/24".parse()?)?;
    network.set_outbound(web, Outbound::NatGateway(vec!["20.1.1.1".parse()?]))?;
    let mut plane = DataPlane::new(network.commit(), Settings::replayable(1));
    network.enable_endpoint(web, storage, Scope::Worldwide)?;

    let packet = |line: &str| -> Result<Input, Box<dyn Error>> {
        Ok(Input::Packet(Edge::Subnet(web), line.parse::<Packet>()?.build().to_vec()))
    };
    let mut inputs = VecDeque::from([
        (Time(0), packet("10.0.0.4:50001 > 52.239.1.9:443 tcp S seq 1000")?),
        (Time(10_000_000), packet("10.0.0.4:5353 > 198.51.100.1:53 udp len 8")?),
        (Time(1_000_000_000), Input::Change(network.commit())),
    ]);
    let mut transmitted = 0;
    let mut now = Time(0);
    loop {
        // 1. Sleep until the next input or the next timeout, whichever comes first.
        let next = inputs.front().map(|(at, _)| *at);
        let Some(at) = next.into_iter().chain(plane.poll_timeout()).min() else { break };
        now = now.max(at);

        // 2. Handle exactly that.
        if next == Some(at) {
            match inputs.pop_front() {
                Some((_, Input::Packet(edge, mut bytes))) => {
                    let verdict = plane.process(now, edge, &mut bytes);
                    match verdict.edge(plane.snapshot()) {
                        Some(to) => send(&plane, now, to, &bytes),
                        None => println!("{:>6} ms  {:?}", millis(now), verdict.disposition),
                    }
                }
                Some((_, Input::Change(snapshot))) => {
                    let applied = plane.apply(now, snapshot);
                    println!("{:>6} ms  change: {applied:?}", millis(now));
                }
                None => {}
            }
        } else {
            plane.handle_timeout(now);
        }

        // 3. Drain, until neither has more.
        while let Some(made) = plane.poll_transmit(now) {
            transmitted += 1;
            send(&plane, now, made.to, &made.packet);
        }
        while let Some(event) = plane.poll_event() {
            println!("{:>6} ms  {:?}  {}", millis(event.at), event.kind, event.tuple);
        }
    }
    assert_eq!(transmitted, 2, "the change resets both ends of the TCP connection");
    assert_eq!(plane.flows().count(), 0, "all flows have ended by their timers");
    Ok(())
}

/// Stands for the caller's own output.
fn send(plane: &DataPlane, now: Time, to: Edge, packet: &[u8]) {
    let text = Packet::read(packet).map_or("malformed".to_owned(), |packet| packet.to_string());
    println!("{:>6} ms  to {}: {text}", millis(now), plane.snapshot().describe(to));
}

fn millis(time: Time) -> u64 {
    time.0 / 1_000_000
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_loop_ends_with_all_flows() -> Result<(), Box<dyn std::error::Error>> {
        super::main()
    }
}
