use proptest::prelude::*;
use vnetem_packet::{
    Checksums, FastHeaders, Fragment, Headers, Rewrite, Transport, TransportChecksum, rewrite,
    rewrite_by,
};

use crate::packets::{Body, Packet, body, bytes, cases, packet, packet_of, query, rewrites, words};
use crate::reference::{
    self, checksum_offset, is_cut_to_zeros, keep_identifier_apart, put, transport_sum, word,
};

fn rewritten(packet: &[u8], to: Rewrite, ttl: u8) -> Vec<u8> {
    let headers = Headers::parse(packet).unwrap();
    let mut bytes = packet.to_vec();
    rewrite(&mut bytes, &headers, to, ttl);
    bytes
}

/// Gives each end its old address and port back.
fn undo(headers: &Headers, to: Rewrite) -> Rewrite {
    let tuple = headers.tuple();
    Rewrite {
        source: to.source.map(|_| tuple.source),
        destination: to.destination.map(|_| tuple.destination),
    }
}

/// Over all ports the computed checksum takes every value. A 0 is written 0xFFFF in UDP and 0 in
/// TCP (INV-udp-zero-checksum, T-30).
#[test]
fn zero_udp_checksum_becomes_ones() {
    let udp = Body::Udp { ports: [50_001, 53], with_checksum: true, data: vec![7; 9] };
    let tcp = Body::Tcp {
        ports: [50_001, 53],
        sequence: 1,
        acknowledgement: 2,
        flags: 16,
        options: vec![],
        data: vec![7; 9],
    };
    for (body, offset, zero) in [(udp, 26, 0xFFFF), (tcp, 36, 0)] {
        let packet = Packet::new("10.0.0.4", "52.239.1.9", body).bytes();
        let mut seen = 0;
        for port in words() {
            let to = Rewrite {
                source: Some(format!("20.1.1.1:{port}").parse().unwrap()),
                destination: None,
            };
            let bytes = rewritten(&packet, to, 63);
            assert_eq!(bytes, reference::rewrite(&packet, to, 63), "port {port}");
            seen += usize::from(word(&bytes, offset) == zero);
        }
        assert!(seen > 0 || cfg!(miri), "no port made the checksum zero");
    }
}

/// An echo reply without data whose identifier becomes 0 is all zeros, so its checksum is 0xFFFF.
/// Bytes behind the total length do not count.
/// INV-udp-zero-checksum, INV-checksums-stay-right, INV-trailer-ignored.
#[test]
fn all_zero_reply_checksum_is_ones() {
    let body = Body::Icmp { message: 0, code: 0, rest: [0, 5, 0, 0], data: vec![0; 6] };
    let packet = Packet::new("52.239.1.9", "20.1.1.1", body).bytes();
    let to = Rewrite { source: None, destination: Some("10.0.0.4:0".parse().unwrap()) };
    let bytes = rewritten(&packet, to, 63);
    assert_eq!(bytes, reference::rewrite(&packet, to, 63));
    assert_eq!(word(&bytes, 22), 0xFFFF);
    let trailed = rewritten(&[packet, vec![1; 3]].concat(), to, 63);
    assert_eq!(trailed[..34], bytes);
}

/// A sum of 0xFFFF of a message that is not all zeros gives a checksum of 0.
#[test]
fn reply_summing_ones_checksum_is_zero() {
    let body = Body::Icmp { message: 0, code: 0, rest: [0, 5, 0xFF, 0xFF], data: vec![] };
    let packet = Packet::new("52.239.1.9", "20.1.1.1", body).bytes();
    let to = Rewrite { source: None, destination: Some("10.0.0.4:0".parse().unwrap()) };
    let bytes = rewritten(&packet, to, 63);
    assert_eq!(bytes, reference::rewrite(&packet, to, 63));
    assert_eq!(word(&bytes, 22), 0);
}

/// Headers of one packet with the bytes of another are wrong use, but do not panic
/// (INV-no-read-past-end).
#[test]
fn bytes_shorter_than_headers_stay() {
    let body = Body::Udp { ports: [1, 2], with_checksum: true, data: vec![0; 9] };
    let packet = Packet::new("10.0.0.4", "52.239.1.9", body).bytes();
    let headers = Headers::parse(&packet).unwrap();
    for length in 0..packet.len() {
        let mut bytes = packet[..length].to_vec();
        rewrite(
            &mut bytes,
            &headers,
            Rewrite { source: Some("1.2.3.4:5".parse().unwrap()), destination: None },
            1,
        );
        assert_eq!(bytes, packet[..length]);
    }
}

/// Packets long enough to be cut into fragments.
fn long() -> impl Strategy<Value = Packet> {
    packet_of(body()).prop_map(|mut packet| {
        match &mut packet.body {
            Body::Tcp { data, .. }
            | Body::Udp { data, .. }
            | Body::Icmp { data, .. }
            | Body::Other { data, .. } => {
                data.splice(..0, [0x5A; 70]);
            }
        }
        packet
    })
}

proptest! {
    #![proptest_config(cases(4000))]

    /// All bytes, checksums included, equal a rewrite that computes everything from scratch
    /// (INV-checksums-stay-right, N-26, T-31).
    #[test]
    fn rewrite_equals_full_recomputation(packet in packet(), to in rewrites(), ttl: u8) {
        let packet = packet.bytes();
        let to = keep_identifier_apart(to, &packet);
        prop_assert_eq!(rewritten(&packet, to, ttl), reference::rewrite(&packet, to, ttl));
    }

    /// The headers given for a rewritten packet equal those that its bytes state.
    #[test]
    fn headers_follow_their_packet(packet in packet(), to in rewrites()) {
        let packet = packet.bytes();
        let (to, headers) = (keep_identifier_apart(to, &packet), Headers::parse(&packet).unwrap());
        let rewritten = rewritten(&packet, to, headers.ttl);
        prop_assert_eq!(Ok(to.applied(&headers)), Headers::parse(&rewritten));
    }

    /// Two rewrites in turn equal their join, as for a hairpin.
    #[test]
    fn two_rewrites_are_one(packet in packet(), first in rewrites(), second in rewrites(), ttl: u8) {
        let packet = packet.bytes();
        let [first, second] = [first, second].map(|to| keep_identifier_apart(to, &packet));
        let one_by_one = rewritten(&rewritten(&packet, first, ttl), second, ttl);
        prop_assert_eq!(rewritten(&packet, first.then(second), ttl), one_by_one);
    }

    /// An independent check finds right checksums right, and absent ones absent
    /// (INV-checksums-stay-right, T-30).
    #[test]
    fn right_or_absent_checksums_stay_so(packet in packet(), to in rewrites(), ttl: u8) {
        let packet = packet.bytes();
        let headers = Headers::parse(&packet).unwrap();
        let before = Checksums::of(&packet, &headers);
        let after = Checksums::of(&rewritten(&packet, keep_identifier_apart(to, &packet), ttl), &headers);
        prop_assert_eq!(before, after);
        prop_assert!(before.none_wrong());
    }

    /// Fragments that are rewritten one by one join to the datagram rewritten as a whole.
    /// INV-checksums-stay-right, INV-fragment-checksum-right, T-28.
    #[test]
    fn rewritten_fragments_reassemble_correctly(packet in long(), to in rewrites(), ttl: u8, units in 4usize..9) {
        let whole = packet.bytes();
        let to = keep_identifier_apart(to, &whole);
        let header = 20 + packet.options.len();
        let parts = packet.fragments(units * 8);
        let mut payload: Vec<u8> = Vec::new();
        for part in &parts {
            let Ok(headers) = Headers::parse(part) else { return Ok(()) };
            let bytes = rewritten(part, to, ttl);
            prop_assert!(Checksums::of(&bytes, &headers).header);
            payload.extend(&bytes[header..]);
        }
        prop_assert!(parts.len() > 1);
        prop_assert_eq!(&payload[..], &reference::rewrite(&whole, to, ttl)[header..]);
    }

    /// A checksum keeps the amount by which it is wrong, for every error. A UDP checksum stays
    /// absent or present (INV-wrong-checksum-stays-wrong).
    #[test]
    fn wrong_checksum_error_is_preserved(packet in packet(), to in rewrites(), wrong: u16) {
        let mut packet = packet.bytes();
        let to = keep_identifier_apart(to, &packet);
        let Some(offset) = checksum_offset(packet[9]) else { return Ok(()) };
        let offset = offset + usize::from(packet[0] & 15) * 4;
        put(&mut packet, offset, wrong);
        let bytes = rewritten(&packet, to, 9);
        if packet[9] == 17 && wrong == 0 {
            prop_assert_eq!(word(&bytes, offset), 0);
        } else {
            prop_assert_eq!(transport_sum(&packet) % 0xFFFF, transport_sum(&bytes) % 0xFFFF);
            prop_assert!(packet[9] != 17 || word(&bytes, offset) != 0);
        }
    }

    /// Only addresses, ports or identifier, TTL and checksums change; trailers do not.
    /// INV-only-needed-bytes-change, INV-trailer-ignored, INV-options-kept-or-refused, T-29.
    #[test]
    fn nothing_else_changes(packet in bytes(), to in rewrites(), ttl: u8, trailer in prop::collection::vec(any::<u8>(), 0..9)) {
        let Ok(headers) = Headers::parse(&packet) else { return Ok(()) };
        let packet = [packet, trailer].concat();
        let bytes = rewritten(&packet, to, ttl);
        prop_assert_eq!(bytes.len(), packet.len());
        let header = usize::from(headers.header_length);
        let transport: &[usize] = match headers.transport {
            Transport::Tcp(_) => &[0, 1, 2, 3, 16, 17],
            Transport::Udp => &[0, 1, 2, 3, 6, 7],
            Transport::IcmpRequest | Transport::IcmpReply => &[2, 3, 4, 5],
            Transport::IcmpError | Transport::IcmpOther | Transport::None => &[],
        };
        for (offset, (old, new)) in packet.iter().zip(&bytes).enumerate() {
            let allowed = offset == 8
                || (10..20).contains(&offset)
                || offset.checked_sub(header).is_some_and(|offset| transport.contains(&offset));
            prop_assert!(old == new || allowed, "offset {offset}");
        }
    }

    /// A packet that keeps its ends keeps its checksum, even the other form of zero, in both
    /// rewrites (INV-only-needed-bytes-change).
    #[test]
    fn unchanged_addresses_keep_the_checksum(packet in packet_of(prop_oneof![crate::packets::tcp(), crate::packets::udp(), query()]), checksum in prop_oneof![Just(0), Just(0xFFFF), any::<u16>()]) {
        let mut packet = packet.bytes();
        let headers = Headers::parse(&packet).unwrap();
        let header = usize::from(headers.header_length);
        put(&mut packet, header + checksum_offset(headers.protocol.0).unwrap(), checksum);
        let bytes = rewritten(&packet, Rewrite::default(), headers.ttl.saturating_sub(1));
        prop_assert_eq!(&bytes[header..], &packet[header..]);
        if let Some(fast_headers) = FastHeaders::parse(&packet) {
            let mut forwarded = packet.clone();
            FastHeaders::forward(&mut forwarded, fast_headers.ends);
            prop_assert_eq!(forwarded, bytes);
        }
    }

    /// The reverse rewrite restores every byte (INV-rewrite-reverses).
    #[test]
    fn undone_a_rewrite_leaves_no_trace(packet in bytes(), to in rewrites(), ttl: u8) {
        let Ok(headers) = Headers::parse(&packet) else { return Ok(()) };
        let to = match headers.fragment {
            Fragment::First if is_cut_to_zeros(&packet, packet.len()) => return Ok(()),
            Fragment::Later { .. } => to,
            _ => keep_identifier_apart(to, &packet),
        };
        let there = rewritten(&packet, to, ttl);
        let back = rewritten(&there, undo(&headers, to), headers.ttl);
        prop_assert_eq!(Headers::parse(&back).unwrap().tuple(), headers.tuple());
        prop_assert_eq!(back, packet);
    }

    /// The reply to a rewritten packet returns to the sender (INV-rewrite-reverses).
    #[test]
    fn reply_is_rewritten_back_to_sender(packet in packet_of(prop_oneof![crate::packets::tcp(), crate::packets::udp(), query()]), to in rewrites()) {
        let packet = packet.bytes();
        let to = keep_identifier_apart(to, &packet);
        let asked = Headers::parse(&packet).unwrap();
        let seen = Headers::parse(&rewritten(&packet, to, 63)).unwrap().tuple();
        let reply = crate::packets::reply_to(&packet, seen);
        let headers = Headers::parse(&reply).unwrap();
        prop_assert_eq!(headers.tuple(), seen.reversed());
        let back = Rewrite { source: to.destination.map(|_| asked.tuple().destination), destination: to.source.map(|_| asked.tuple().source) };
        let back = Headers::parse(&rewritten(&reply, back, 63)).unwrap();
        prop_assert_eq!(back.tuple(), asked.tuple().reversed());
    }

    /// A stored difference serves all packets of a flow.
    #[test]
    fn stored_difference_equals_computed_one(packet in packet(), other in packet(), to in rewrites(), ttl: u8) {
        let first = packet.bytes();
        let to = keep_identifier_apart(to, &first);
        let delta = to.delta(&Headers::parse(&first).unwrap());
        let mut later = packet;
        (later.ttl, later.identification, later.options) = (other.ttl, other.identification, other.options);
        let (later, expected) = (later.bytes(), rewritten(&later.bytes(), to, ttl));
        let mut bytes = later.clone();
        rewrite_by(&mut bytes, &Headers::parse(&later).unwrap(), to, delta, ttl);
        prop_assert_eq!(bytes, expected);
    }

    /// The check from scratch sees one wrong bit.
    #[test]
    fn a_flipped_bit_is_seen(packet in packet(), at: prop::sample::Index, bit in 0u8..8) {
        let packet = packet.bytes();
        let headers = Headers::parse(&packet).unwrap();
        let mut bytes = packet.clone();
        let at = at.index(bytes.len());
        bytes[at] ^= 1 << bit;
        let checksums = Checksums::of(&bytes, &headers);
        let in_header = at < usize::from(headers.header_length);
        prop_assert_eq!(checksums.header, !in_header);
        let now_absent = headers.transport == Transport::Udp && word(&bytes, usize::from(headers.header_length) + 6) == 0;
        if !in_header && Checksums::of(&packet, &headers).transport == TransportChecksum::Right && !now_absent {
            prop_assert_eq!(checksums.transport, TransportChecksum::Wrong);
        }
    }
}
