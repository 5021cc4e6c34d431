//! Cuts seeds for the fuzz targets from captures, in the form that the targets read.

use core::net::{Ipv4Addr, SocketAddrV4};

use vnetem_packet::{FiveTuple, Fragment, Headers, Protocol, Rewrite, Transport, rewrite};

use crate::captures::Capture;

/// One input of one target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seed {
    /// The target's name.
    pub target: &'static str,
    /// The capture's name without folders, and a number.
    pub name: String,
    /// The input.
    pub bytes: Vec<u8>,
}

/// Rewrites both ends, to `20.1.1.1:1024` and `52.239.1.9:443`.
const BOTH_ENDS: [u8; 13] = [3, 20, 1, 1, 1, 4, 0, 52, 239, 1, 9, 1, 187];
/// Set in the first byte of `icmp_inner`: the rest is the whole error.
const WHOLE: u8 = 0x80;
/// The number of packets in one input of `pipeline_bytes`.
const PIPELINE: usize = 12;
/// Hosts of the network in which `pipeline_bytes` plays, with the numbers of their edges: two of
/// one network, and one on the internet.
const HOSTS: [(u8, Ipv4Addr); 3] = [
    (0, Ipv4Addr::new(10, 0, 0, 5)),
    (3, Ipv4Addr::new(10, 0, 1, 5)),
    (8, Ipv4Addr::new(198, 51, 100, 20)),
];

/// Cuts all seeds from a capture: each packet for targets that read one, each run of packets for
/// the target that reads many, and fragments for the target that joins them. Most are alike;
/// `-merge=1` of libFuzzer keeps those that reach something new.
#[must_use]
pub fn cut(capture: &Capture) -> Vec<Seed> {
    let name = capture.name.replace('/', "-");
    let packets = || capture.packets.iter().map(|(_, bytes)| bytes.as_slice());
    let seed = |target, number, bytes| Seed { target, name: format!("{name}-{number}"), bytes };
    let mut seeds = Vec::new();
    for (number, bytes) in packets().enumerate() {
        seeds.push(seed("parse_ipv4", number, bytes.to_vec()));
        seeds.push(seed("rewrite_roundtrip", number, [&BOTH_ENDS, bytes].concat()));
        seeds.push(seed("icmp_inner", number, error(number, bytes)));
    }
    for (number, row) in packets().collect::<Vec<_>>().chunks(PIPELINE).enumerate() {
        seeds.push(seed("pipeline_bytes", number, pipeline(row)));
    }
    let fragments = fragments(packets());
    if !fragments.is_empty() {
        seeds.push(seed("frag_tracker", 0, fragments));
    }
    seeds
}

/// Returns an ICMP error as it is. Anything else becomes a quote, of each type and length in turn.
fn error(number: usize, bytes: &[u8]) -> Vec<u8> {
    let is_error =
        Headers::parse(bytes).is_ok_and(|headers| headers.transport == Transport::IcmpError);
    let how = if is_error { WHOLE } else { u8::try_from(number & 15).unwrap_or_default() };
    let [_, ends @ ..] = BOTH_ENDS;
    [&[how], ends.as_slice(), bytes].concat()
}

/// Puts packets between two hosts. The first sender is in the network. The parity of its remote's
/// port decides whether that is in the network or on the internet. What cannot be read comes in as
/// it is.
fn pipeline(packets: &[&[u8]]) -> Vec<u8> {
    let [near, internal, external] = HOSTS;
    let mut begun: Vec<FiveTuple> = Vec::new();
    let mut input = vec![0];
    for bytes in packets {
        let mut bytes = bytes.to_vec();
        let mut edge = near.0;
        if let Ok(headers) = Headers::parse(&bytes) {
            let tuple = headers.tuple();
            let is_answer = begun.contains(&tuple.reversed());
            if !is_answer && !begun.contains(&tuple) {
                begun.push(tuple);
            }
            let client = if is_answer { tuple.destination } else { tuple.source };
            let far = if client.port() & 1 == 0 { internal } else { external };
            let (from, to) = if is_answer { (far, near) } else { (near, far) };
            let at = |address, end: SocketAddrV4| Some(SocketAddrV4::new(address, end.port()));
            let (source, destination) = (at(from.1, tuple.source), at(to.1, tuple.destination));
            rewrite(&mut bytes, &headers, Rewrite { source, destination }, headers.ttl);
            edge = from.0;
        }
        let Ok(length) = u16::try_from(bytes.len()) else { continue };
        input.push(edge);
        input.extend(length.to_be_bytes());
        input.append(&mut bytes);
    }
    input
}

/// Returns fragments in their order, with offsets and lengths in quarters of their datagram's first
/// fragment, since the target knows few offsets.
fn fragments<'a>(packets: impl Iterator<Item = &'a [u8]>) -> Vec<u8> {
    let mut input = Vec::new();
    let mut datagrams = Vec::new();
    for bytes in packets {
        let Ok(headers) = Headers::parse(bytes) else { continue };
        let payload = headers.total_length.saturating_sub(headers.header_length.into());
        let (kind, offset) = match headers.fragment {
            Fragment::Whole => continue,
            Fragment::First => (0x80, 0),
            Fragment::Later { offset, last } => (if last { 0x40 } else { 0 }, offset),
        };
        let id = (headers.source, headers.identification);
        let number = datagrams.iter().position(|(known, _)| *known == id).unwrap_or_else(|| {
            datagrams.push((id, payload));
            datagrams.len() - 1
        });
        let unit = datagrams.get(number).map_or(payload, |(_, first)| *first).div_ceil(4).max(1);
        let key = u8::from(headers.protocol == Protocol::TCP) << 2
            | u8::try_from(number & 3).unwrap_or_default() << 3;
        let [high, low] = offset.div_ceil(unit).to_be_bytes();
        let length = u8::try_from(payload.div_ceil(unit)).unwrap_or(u8::MAX);
        input.extend([kind | key, 0, high, low, length, 0]);
    }
    input
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::captures::read_captures;
    use crate::fuzz;

    #[test]
    fn capture_extracts_are_correct() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus/captures");
        let captures = read_captures(&root).unwrap();
        let seeds: Vec<_> = captures.iter().flat_map(cut).collect();
        for target in
            ["parse_ipv4", "rewrite_roundtrip", "icmp_inner", "frag_tracker", "pipeline_bytes"]
        {
            assert!(seeds.iter().filter(|seed| seed.target == target).count() > 2, "{target}");
        }
        for Seed { target, bytes, .. } in seeds {
            match target {
                "parse_ipv4" => fuzz::parse_ipv4(&bytes),
                "rewrite_roundtrip" => fuzz::rewrite_roundtrip(&bytes),
                "icmp_inner" => fuzz::icmp_inner(&bytes),
                "frag_tracker" => fuzz::frag_tracker(&bytes),
                _ => fuzz::pipeline_bytes(&bytes),
            }
        }
    }

    /// INV-fragment-follows-first, INV-bad-fragments-dropped: a datagram in three parts stays one
    /// in the target's encoding.
    #[test]
    fn datagram_fragments_adjoin_and_end() {
        let packet: vnetem_packet_text::Packet =
            "10.0.0.4:5 > 8.8.8.8:53 udp len 3992".parse().unwrap();
        let parts = vnetem_packet_text::fragments(&packet.build(), 1500, 7);
        let cut = fragments(parts.iter().map(AsRef::as_ref));
        let expected = [[0x80, 0, 0, 0, 4, 0], [0, 0, 0, 4, 4, 0], [0x40, 0, 0, 8, 3, 0]].concat();
        assert_eq!(cut, expected);
    }
}
