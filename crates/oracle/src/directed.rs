//! Packets for the corner cases that random ones miss.

use vnetem_nat::Side;

use crate::draft::Segment;
use crate::packet::word;
use crate::{Draft, place};

/// Returns packets to send first, in this order, with the side that sends each. They need Linux to
/// preserve the source port of a socket's first flow, which it does while nobody else has the port.
#[must_use]
pub fn directed() -> Vec<(Side, Vec<u8>)> {
    let mut packets = Vec::new();
    packets.extend(sums_that_fold_to_zero());
    packets.extend(odd_options());
    packets.extend(lengths());
    packets.push(bad_options());
    packets
}

/// Makes a datagram whose header has an option of length 0.
fn bad_options() -> (Side, Vec<u8>) {
    let mut draft = Draft::udp((place::host(3), place::remote(3)), (33_400, 53), b"", true);
    draft.options = vec![7, 0, 0, 0];
    (Side::Internal, draft.build())
}

/// Makes UDP datagrams from both sides whose checksum is 0 before or after translation, and is sent
/// as 0xFFFF (T-30, RFC 768).
fn sums_that_fold_to_zero() -> Vec<(Side, Vec<u8>)> {
    let port = 33_001;
    let internal = (place::host(0), place::remote(0));
    let translated = (place::EXTERNAL, place::remote(0));
    let external = (place::remote(0), place::EXTERNAL);
    let back = (place::remote(0), place::host(0));
    let mut packets = Vec::new();
    // The first two bytes of data make the sum fold to zero, as sent or as it arrives.
    for (from, sent, judged, ports) in [
        (Side::Internal, internal, internal, (port, 53)),
        (Side::Internal, internal, translated, (port, 53)),
        (Side::External, external, external, (53, port)),
        (Side::External, external, back, (53, port)),
    ] {
        for tail in [&b""[..], b"x", b"even", &[0xFF; 33]] {
            let data = |word: u16| [&word.to_be_bytes()[..], tail].concat();
            // The data word that makes the sum all ones: what is left over after a word of zero.
            let rest = word(&Draft::udp(judged, ports, &data(0), true).payload, 6);
            packets.push((from, Draft::udp(sent, ports, &data(rest), true).build()));
        }
    }
    packets
}

/// Makes a whole connection with options of TCP at odd offsets or that end the list early, and with
/// options of IPv4 (T-32, T-36).
fn odd_options() -> Vec<(Side, Vec<u8>)> {
    let lists: [&[u8]; 6] = [
        &[1, 2, 4, 5, 0xB4, 1, 1, 0],
        &[1, 1, 1, 2, 4, 5, 0xB4, 0],
        &[1, 8, 10, 1, 2, 3, 4, 5, 6, 7, 8, 0],
        &[0, 2, 4, 5],
        &[254, 4, 1, 2, 1, 3, 3, 14],
        &[3, 3, 15, 2, 4, 0xFF, 0xFF, 1],
    ];
    let mut packets = Vec::new();
    for (options, n) in lists.into_iter().zip(0_u16..) {
        let (port, remote) = (33_100 + n, place::remote(1));
        let mut segment = |from: Side, flags, sequence, acknowledgement, data: &[u8]| {
            let internal = from == Side::Internal;
            let ends = if internal { (place::host(1), remote) } else { (remote, place::EXTERNAL) };
            let ports = if internal { (port, 443) } else { (443, port) };
            let (options, data) = (options.to_vec(), data.to_vec());
            let segment = Segment { ports, sequence, acknowledgement, flags, options, data };
            let mut draft = Draft::tcp(ends, &segment);
            if n % 2 == 1 {
                draft.options = vec![1, 1, 1, 1, 1, 1, 1, 0];
            }
            packets.push((from, draft.build()));
        };
        // Sequence numbers that cross zero.
        let (ours, theirs) = (u32::MAX - 1, u32::MAX);
        segment(Side::Internal, 0x02, ours, 0, b"");
        segment(Side::External, 0x12, theirs, ours.wrapping_add(1), b"");
        segment(Side::Internal, 0x10, ours.wrapping_add(1), theirs.wrapping_add(1), b"");
        segment(Side::Internal, 0x18, ours.wrapping_add(1), theirs.wrapping_add(1), b"odd");
        segment(Side::External, 0x18, theirs.wrapping_add(1), ours.wrapping_add(4), b"even");
    }
    packets
}

/// Makes datagrams without data and of the longest on a link of 1,500 bytes, and ICMP errors that
/// quote 8 bytes of each.
fn lengths() -> Vec<(Side, Vec<u8>)> {
    let port = 33_300;
    let (internal, external) =
        ((place::host(2), place::remote(2)), (place::remote(2), place::EXTERNAL));
    let mut packets = Vec::new();
    for length in [0, 1, 2, 1471, 1472] {
        let data = vec![0xA5; length];
        packets.push((Side::Internal, Draft::udp(internal, (port, 53), &data, true).build()));
        packets.push((Side::External, Draft::udp(external, (53, port), &data, true).build()));
    }
    let arrived = Draft::udp((place::EXTERNAL, place::remote(2)), (port, 53), &[7; 33], true);
    let arrived = arrived.build();
    for length in 28..=arrived.len() {
        let quote = arrived.get(..length).unwrap_or_default();
        let ends = (place::TRANSIT, place::EXTERNAL);
        packets.push((Side::External, Draft::icmp(ends, (3, 4), 1400, quote).build()));
    }
    packets
}
