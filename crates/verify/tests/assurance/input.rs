//! Faults 1 to 9: bad input.

use std::time::Duration;

use vnetem::packet::{Checksums, TransportChecksum};
use vnetem::{DropReason, Edge, Headers, Settings, control::Scope, packet::Malformed};
use vnetem_packet_text::fragments;
use vnetem_verify::said::Disposition;
use vnetem_verify::toggling::toggle_under_tcp;

use crate::rig::{ACCOUNT, BYSTANDER, FILM, Rig, bytes, end, is_forwarded, random};

fn kinds() -> [Vec<u8>; 6] {
    [
        bytes("10.0.0.5:40000 > 93.184.216.34:80 tcp S seq 7 mss 1460"),
        bytes("10.0.0.5:40001 > 93.184.216.34:53 udp len 20"),
        bytes("10.0.0.5 > 93.184.216.34 icmp echo id 9 seq 1 len 12"),
        bytes("10.0.0.5 > 93.184.216.34 ip-47 len 16"),
        bytes(&format!(
            "10.0.0.4 > 93.184.216.34 icmp unreachable port about {FILM} > {BYSTANDER} tcp A"
        )),
        fragments(&bytes("10.0.0.5:40002 > 93.184.216.34:53 udp len 100"), 76, 3)
            .remove(0)
            .to_vec(),
    ]
}

/// INV-any-bytes-safe: any bytes from every side, half of them with an IPv4 header in front.
#[test]
fn fault_01_any_bytes() {
    let mut rig = Rig::new(Settings::replayable(0));
    let mut random = random(1);
    for number in 0..20_000 {
        let length = random() as usize % 100;
        let mut bytes: Vec<u8> = (0..length).map(|_| random() as u8).collect();
        if number % 2 == 0 && length >= 20 {
            bytes[0] = 0x45;
            bytes[2..4].copy_from_slice(&(length as u16).to_be_bytes());
        }
        let edge = [Edge::Subnet(rig.web), Edge::Internet, Edge::Subnet(rig.beta)][number % 3];
        let (disposition, _) = rig.send(edge, &bytes);
        assert!(!is_forwarded(disposition), "noise has a right header checksum once in 65,536");
    }
    let malformed: u64 =
        Malformed::ALL.map(|why| rig.drops(DropReason::Malformed(why))).iter().sum();
    assert_eq!((malformed, rig.opened()), (20_000, 1));
    rig.bystander_talks();
}

/// INV-malformed-headers-dropped, INV-malformed-transport-dropped: a packet that is cut anywhere is
/// refused, and nothing changes.
#[test]
fn fault_02_truncated_at_every_length() {
    let mut rig = Rig::new(Settings::replayable(0));
    let mut cuts = 0;
    for packet in kinds() {
        for length in 0..packet.len() {
            let before = format!("{:?}", rig.plane.flow_counters());
            let (disposition, _) = rig.send(Edge::Subnet(rig.web), &packet[..length]);
            assert!(
                matches!(disposition, Disposition::Drop(DropReason::Malformed(_))),
                "{length}: {disposition:?}"
            );
            assert_eq!(format!("{:?}", rig.plane.flow_counters()), before);
            cuts += 1;
        }
    }
    assert!(cuts > 250);
    rig.bystander_talks();
}

/// INV-header-checksum-checked, INV-wrong-checksum-stays-wrong: a flip in the header is detected.
/// One behind the header is forwarded and never repaired.
#[test]
fn fault_03_single_bit_flips() {
    let mut rig = Rig::new(Settings::replayable(0));
    let [mut carried, mut refused] = [0, 0];
    for packet in &kinds()[..3] {
        for bit in 0..packet.len() * 8 {
            let mut flipped = packet.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            let (disposition, after) = rig.send(Edge::Subnet(rig.web), &flipped);
            if is_forwarded(disposition) {
                assert!(bit >= 160, "a flipped header went on: bit {bit}");
                let headers = Headers::parse(&after).unwrap();
                let transport = Checksums::of(&after, &headers).transport;
                // UDP's checksum 0 means none, but no flip here makes it 0.
                assert_eq!(transport, TransportChecksum::Wrong, "bit {bit} was mended");
                carried += 1;
            } else {
                refused += 1;
            }
        }
    }
    assert!(carried > 300 && refused >= 3 * 160, "{carried} {refused}");
    rig.bystander_talks();
}

/// Every packet is sent twice: the same bytes leave twice, and nothing is opened twice.
#[test]
fn fault_04_duplicated() {
    let mut rig = Rig::new(Settings::replayable(0));
    let near = Edge::Subnet(rig.web);
    let mut external = None;
    for (far, line) in [
        (false, "tcp S seq 1000"),
        (true, "tcp SA seq 9000 ack 1001"),
        (false, "tcp A seq 1001 ack 9001"),
        (false, "tcp PA seq 1001 ack 9001 len 10"),
        (true, "tcp A seq 9001 ack 1011"),
        (false, "tcp FA seq 1011 ack 9001"),
        (true, "tcp FA seq 9001 ack 1012"),
        (false, "tcp A seq 1012 ack 9002"),
    ] {
        let ends = match (far, external) {
            (true, Some(seen)) => format!("{ACCOUNT} > {seen}"),
            _ => format!("10.0.0.5:40000 > {ACCOUNT}"),
        };
        let public = Edge::Service { service: rig.storage, identity: None };
        let edge = if far { public } else { near };
        let first = rig.says(edge, &format!("{ends} {line}"));
        assert!(is_forwarded(first.0), "{line}: {:?}", first.0);
        assert_eq!(rig.says(edge, &format!("{ends} {line}")), first, "{line}");
        if !far {
            external = Some(Headers::parse(&first.1).unwrap().tuple().source);
        }
    }
    assert_eq!(rig.opened(), 2, "one, and the bystander's");
    rig.bystander_talks();
}

/// INV-reset-number-exact: segments that overtake each other pass. The reset of a later toggle has
/// the number after the highest.
#[test]
fn fault_05_reordered() {
    let mut rig = Rig::new(Settings::replayable(0));
    let seen = rig.connect(rig.web, "10.0.0.5:40000", ACCOUNT);
    for sequence in [4001, 2001, 3001, 1001] {
        let line = format!("10.0.0.5:40000 > {ACCOUNT} tcp A seq {sequence} ack 9001 len 1000");
        assert!(is_forwarded(rig.says(Edge::Subnet(rig.web), &line).0));
    }
    rig.network.enable_endpoint(rig.web, rig.storage, Scope::Worldwide).unwrap();
    rig.apply();
    let made = rig.made();
    let to_service = made.iter().map(|made| bytes_of(&made.packet));
    let sequences: Vec<u32> =
        to_service.filter(|(source, _)| *source == seen).map(|(_, sequence)| sequence).collect();
    assert_eq!(sequences, [5001], "the highest end that was forwarded");
    rig.bystander_talks();
}

fn bytes_of(packet: &[u8]) -> (std::net::SocketAddrV4, u32) {
    let headers = Headers::parse(packet).unwrap();
    let vnetem::packet::Transport::Tcp(segment) = headers.transport else { panic!("{headers}") };
    (headers.tuple().source, segment.sequence)
}

/// INV-deadline-exact, P-25, INV-tombstone-answers: a packet after its flow's deadline finds no
/// flow, and does not leave untranslated.
#[test]
fn fault_06_delayed_past_expiry() {
    let mut rig = Rig::new(Settings::replayable(0));
    let (seen, [mine, theirs]) = (rig.seen(), rig.numbers());
    rig.wait(Duration::from_secs(240));
    assert_eq!(rig.live(), 0);
    let late = format!("{BYSTANDER} > {FILM} tcp PA seq {mine} ack {theirs} len 10");
    assert_eq!(rig.says(Edge::Subnet(rig.web), &late).0, Disposition::Drop(DropReason::NoFlow));
    let answer = format!("{FILM} > {seen} tcp A seq {theirs} ack {mine}");
    assert_eq!(rig.says(Edge::Internet, &answer).0, Disposition::Drop(DropReason::Unsolicited));
    assert_eq!(rig.live(), 0);
    rig.call_the_film();
    rig.bystander_talks();
}

/// INV-both-ends-learn: three of ten packets are lost on either side, including resets. Toggles
/// still close both ends.
#[test]
fn fault_07_thirty_percent_lost() {
    let sums = toggle_under_tcp(7, 300, 3).unwrap();
    assert_eq!((sums.toggles, sums.ends), (3, 6));
    assert!(sums.resets > 0 && sums.elsewhere > 0, "{sums:?}");
}

/// INV-trailer-ignored: bytes after a packet change neither its verdict nor its checksums, and are
/// not delivered.
#[test]
fn fault_08_trailers_and_padding() {
    for packet in kinds() {
        let [mut bare, mut trailed] =
            [Rig::new(Settings::replayable(0)), Rig::new(Settings::replayable(0))];
        for length in [1, 6, 18, 46] {
            let mut longer = packet.clone();
            longer.extend((0..length).map(|byte| byte as u8 ^ 0xa5));
            let (disposition, bytes) = bare.send(Edge::Subnet(bare.web), &packet);
            let (same, with) = trailed.send(Edge::Subnet(trailed.web), &longer);
            assert_eq!(same, disposition);
            assert_eq!(with[..packet.len()], bytes[..]);
            assert_eq!(with[packet.len()..], longer[packet.len()..]);
        }
        assert_eq!(bare.opened(), trailed.opened());
        trailed.bystander_talks();
    }
}

/// INV-header-checksum-checked, INV-wrong-checksum-stays-wrong: a wrong header checksum is dropped
/// under its own name. A wrong transport checksum is left to the receiver.
#[test]
fn fault_09_wrong_checksums() {
    let mut rig = Rig::new(Settings::replayable(0));
    let near = Edge::Subnet(rig.web);
    let wrong = DropReason::Malformed(Malformed::HeaderChecksum);
    for kind in ["tcp S", "udp len 9"] {
        let line = format!("10.0.0.5:40000 > {FILM} {kind}");
        assert_eq!(rig.says(near, &format!("{line} bad-ip-checksum")).0, Disposition::Drop(wrong));
        assert_eq!(rig.opened(), 1 + u64::from(kind != "tcp S"));
        let (disposition, after) = rig.says(near, &format!("{line} bad-checksum"));
        assert!(is_forwarded(disposition));
        let headers = Headers::parse(&after).unwrap();
        assert_ne!(headers.tuple().source, end("10.0.0.5:40000"));
        assert_eq!(Checksums::of(&after, &headers).transport, TransportChecksum::Wrong);
    }
    assert_eq!(rig.drops(wrong), 2);
    rig.bystander_talks();
}
