//! Faults 10 to 17: floods.

use std::collections::BTreeSet;
use std::time::Duration;

use vnetem::{DropReason, Edge, Headers, Settings, packet::Malformed};
use vnetem_packet_text::fragments;
use vnetem_verify::said::Disposition;

use crate::rig::{BYSTANDER, FILM, Rig, bytes, dropped, is_forwarded, random, small};

/// INV-memory-bounded, INV-half-open-limited: half-open flows fill the table up to the other
/// network's share, and further ones are refused. An established connection goes on. There is room
/// again after the short timer of half-open flows.
#[test]
fn fault_10_syn_flood() {
    let mut rig = Rig::new(small(1024));
    let mut refused = 0;
    for number in 0..20_000_u32 {
        let (host, port) = (number % 200 + 5, 1024 + number / 200);
        let line = format!("10.0.0.{host}:{port} > 93.184.216.34:80 tcp S seq {number}");
        match rig.says(Edge::Subnet(rig.web), &line).0 {
            Disposition::Drop(DropReason::FlowShareUsed) => refused += 1,
            disposition => assert!(is_forwarded(disposition), "{disposition:?}"),
        }
        if number % 1000 == 0 {
            rig.bystander_talks();
        }
    }
    assert_eq!((rig.live(), refused), (768, 20_000 - 767));
    rig.connect(rig.beta, "10.0.0.5:40000", FILM);
    rig.wait(Duration::from_secs(30));
    assert_eq!(rig.live(), 2, "half-open flows have a short timer");
    rig.connect(rig.web, "10.0.0.5:40000", FILM);
    rig.bystander_talks();
}

/// INV-inexact-reset-ignored: resets with random numbers, and with numbers around the right one,
/// end nothing.
#[test]
fn fault_11_reset_flood() {
    let mut rig = Rig::new(Settings::replayable(0));
    let mut random = random(11);
    for number in 0..10_000_u32 {
        let [mine, theirs] = rig.numbers();
        let wrong = if number % 2 == 0 { random() as u32 } else { number.wrapping_sub(5_000) };
        // An exact number, or an answer to what was acknowledged, may end the connection.
        let sequence = theirs.wrapping_add(wrong);
        if sequence == theirs || wrong == 0 {
            continue;
        }
        let line = format!("{FILM} > {} tcp R seq {sequence}", rig.seen());
        rig.says(Edge::Internet, &line);
        let back = format!("{BYSTANDER} > {FILM} tcp R seq {}", mine.wrapping_add(wrong));
        rig.says(Edge::Subnet(rig.web), &back);
        if number % 500 == 1 {
            rig.bystander_talks();
        }
    }
    assert_eq!(rig.live(), 1);
    assert_eq!(rig.made(), [], "a reset is never answered (INV-resets-bounded)");
    rig.bystander_talks();
}

/// INV-icmp-quote-translated: an ICMP error about a flow that does not exist is dropped, opens
/// nothing and is not answered.
#[test]
fn fault_12_icmp_errors_about_nothing() {
    let mut rig = Rig::new(Settings::replayable(0));
    for port in 0..5_000 {
        let about = format!("20.1.1.1:{} > {FILM} tcp A", 2_000 + port);
        let line = format!("93.184.216.34 > 20.1.1.1 icmp unreachable port about {about}");
        let (disposition, _) = rig.says(Edge::Internet, &line);
        // One of the ports is the bystander's.
        let is_own = rig.seen().port() == 2_000 + port;
        assert!(is_own || disposition == dropped(DropReason::QuoteUnknown), "{disposition:?}");
    }
    assert_eq!((rig.opened(), rig.made().len()), (1, 0));
    rig.bystander_talks();
}

/// P-30, INV-early-fragment-dropped: later fragments without a first one are dropped and not
/// remembered. Whole datagrams still pass in parts.
#[test]
fn fault_13_fragments_without_a_first() {
    let mut rig = Rig::new(Settings::replayable(0));
    let near = Edge::Subnet(rig.web);
    for id in 0..5_000_u32 {
        let offset = 8 * (1 + id % 100);
        let line = format!("10.0.0.5 > 93.184.216.34 udp frag id {id} offset {offset} more len 64");
        let disposition = rig.says(near, &line).0;
        assert_eq!(disposition, dropped(DropReason::FragmentWithoutFirst));
    }
    assert_eq!(rig.opened(), 1);
    let datagram = bytes("10.0.0.5:40000 > 93.184.216.34:53 udp len 300");
    for part in fragments(&datagram, 100, 17) {
        assert!(is_forwarded(rig.send(near, &part).0));
    }
    rig.bystander_talks();
}

/// INV-bad-fragments-dropped, RFC 1858: fragments of one byte hide nothing, since only the last one
/// of a datagram may be so short.
#[test]
fn fault_14_one_byte_fragments() {
    let mut rig = Rig::new(Settings::replayable(0));
    let near = Edge::Subnet(rig.web);
    for protocol in ["tcp", "udp", "icmp"] {
        for offset in (0..512).step_by(8) {
            let line =
                format!("10.0.0.5 > 93.184.216.34 {protocol} frag id 5 offset {offset} more len 1");
            let disposition = rig.says(near, &line).0;
            assert_eq!(
                disposition,
                dropped(DropReason::Malformed(Malformed::FragmentLength)),
                "{line}"
            );
        }
    }
    let tiny = "10.0.0.5 > 93.184.216.34 tcp frag id 6 offset 0 more len 8";
    assert_eq!(rig.says(near, tiny).0, dropped(DropReason::Malformed(Malformed::TinyFragment)));
    let over = "10.0.0.5 > 93.184.216.34 tcp frag id 6 offset 8 len 1";
    assert_eq!(rig.says(near, over).0, dropped(DropReason::Malformed(Malformed::TinyFragment)));
    assert_eq!(rig.opened(), 1);
    let datagram = bytes("10.0.0.5:40000 > 93.184.216.34:53 udp len 65");
    let parts = fragments(&datagram, 92, 7);
    assert_eq!(parts.last().unwrap().len(), 21, "the last part has one byte");
    assert!(parts.iter().all(|part| is_forwarded(rig.send(near, part).0)));
    rig.bystander_talks();
}

/// INV-spoofed-source-dropped, INV-special-addresses-refused: packets under another host's address
/// change nothing, even if that address has a flow.
#[test]
fn fault_15_spoofed_sources() {
    let mut rig = Rig::new(Settings::replayable(0));
    for (edge, source) in [
        (Edge::Subnet(rig.web), "10.0.1.4:50001"),
        (Edge::Subnet(rig.web), "192.168.1.1:50001"),
        (Edge::Subnet(rig.web), "93.184.216.34:443"),
        (Edge::Internet, "10.0.0.4:50001"),
        (Edge::Internet, "20.1.1.1:1024"),
    ] {
        for port in 1..200 {
            let (disposition, _) = rig.says(edge, &format!("{source} > 8.8.8.8:{port} tcp S"));
            let spoofed = [DropReason::SpoofedSource, DropReason::MartianSource].map(dropped);
            let dropped = matches!(disposition, Disposition::Drop(_));
            assert!(
                spoofed.contains(&disposition) || dropped && edge == Edge::Internet,
                "{disposition:?}"
            );
        }
    }
    // Beta has the same address as the bystander, and its packets are its own.
    let (disposition, _) =
        rig.says(Edge::Subnet(rig.beta), &format!("{BYSTANDER} > {FILM} tcp R seq 1001"));
    assert_eq!(disposition, dropped(DropReason::NoFlow));
    assert_eq!((rig.opened(), rig.live()), (1, 1));
    rig.bystander_talks();
}

/// INV-unsolicited-dropped: a scan from outside finds nothing and leaves nothing. One from inside
/// gets a port of its own for each flow.
#[test]
fn fault_16_port_scan() {
    let mut rig = Rig::new(Settings::replayable(0));
    for port in (1..=65_535_u32).step_by(13) {
        let line = format!("198.51.100.9:4444 > 20.1.1.1:{port} tcp S seq 5");
        assert_eq!(rig.says(Edge::Internet, &line).0, dropped(DropReason::Unsolicited));
    }
    assert_eq!((rig.opened(), rig.made().len()), (1, 0));
    let mut seen = BTreeSet::new();
    for port in 1..2_000 {
        let line = format!("10.0.0.5:40000 > 93.184.216.34:{port} tcp S seq 5");
        let (disposition, after) = rig.says(Edge::Subnet(rig.web), &line);
        assert!(is_forwarded(disposition));
        let tuple = Headers::parse(&after).unwrap().tuple();
        assert!(seen.insert((tuple.source, tuple.destination)), "INV-mapping-unique");
    }
    rig.bystander_talks();
}

/// INV-collisions-harmless: tuples with equal sums and differences fill the table to the last
/// place, and each is found, because the hash is keyed.
#[test]
fn fault_17_colliding_keys() {
    let mut rig = Rig::new(small(4096));
    let mut lines = Vec::new();
    // One of two networks can have three quarters at most.
    let from = |rig: &Rig, at: usize| Edge::Subnet(if at < 3071 { rig.web } else { rig.beta });
    for number in 0..4095_u32 {
        // Source port and host change against destination port and host, so xor and sum of all
        // words are constant.
        let [host, port] = [number % 64, number / 64];
        let ends = format!(
            "10.0.0.{}:{} > 93.184.0.{}:{}",
            5 + host,
            2000 + port,
            100 - host,
            2000 - port
        );
        let edge = from(&rig, lines.len());
        let (disposition, _) = rig.says(edge, &format!("{ends} udp len 4"));
        assert!(is_forwarded(disposition), "flow {number}: {disposition:?}");
        lines.push(ends);
    }
    assert_eq!(rig.live(), 4096);
    for (at, ends) in lines.iter().enumerate() {
        let edge = from(&rig, at);
        assert!(is_forwarded(rig.says(edge, &format!("{ends} udp len 4")).0));
    }
    assert_eq!(rig.opened(), 4096);
    rig.bystander_talks();
}
