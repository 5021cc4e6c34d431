use etherparse::{NetSlice, SlicedPacket, TransportSlice};
use proptest::prelude::*;
use vnetem_packet::{
    Checksums, Fragment, Headers, Malformed, TcpFlags, Transport, TransportChecksum,
};

use crate::packets::{Body, Packet, bytes, cases, packet_of, words};
use crate::reference::{self, mend, put};

fn whole(body: Body) -> Vec<u8> {
    Packet::new("10.0.0.4", "52.239.1.9", body).bytes()
}

fn tcp() -> Vec<u8> {
    let (ports, options, data) = ([50_001, 443], vec![1; 12], b"some data".to_vec());
    whole(Body::Tcp { ports, sequence: 1, acknowledgement: 2, flags: 0x18, options, data })
}

fn udp() -> Vec<u8> {
    whole(Body::Udp { ports: [50_001, 53], with_checksum: true, data: b"some data".to_vec() })
}

fn icmp() -> Vec<u8> {
    whole(Body::Icmp { message: 8, code: 0, rest: [0x12, 0x34, 0, 1], data: b"some data".to_vec() })
}

fn agrees(packet: &[u8]) {
    assert_eq!(Headers::parse(packet), reference::parse(packet), "{packet:02x?}");
}

/// Tries all values of version and header length (INV-malformed-headers-dropped).
#[test]
fn first_bytes_agree_with_reference() {
    for mut packet in [tcp(), udp(), icmp()] {
        for first in 0..=u8::MAX {
            packet[0] = first;
            if usize::from(first & 15) * 4 <= packet.len() && first & 15 >= 5 {
                mend(&mut packet);
            }
            agrees(&packet);
        }
    }
}

/// Tries all total lengths (INV-malformed-headers-dropped).
#[test]
fn total_lengths_agree_with_reference() {
    for mut packet in [tcp(), udp(), icmp()] {
        for length in words() {
            put(&mut packet, 2, length);
            mend(&mut packet);
            agrees(&packet);
        }
    }
}

/// Tries all values of flags and fragment offset, with payloads of a multiple of eight bytes and
/// others (INV-bad-fragments-dropped).
#[test]
fn fragment_words_agree_with_reference() {
    for packet in [tcp(), udp(), icmp()] {
        for length in [20, 24, 28, 36, 40, 41, packet.len()] {
            let mut packet = packet[..length.min(packet.len())].to_vec();
            let length = u16::try_from(packet.len()).unwrap();
            put(&mut packet, 2, length);
            for word in words() {
                put(&mut packet, 6, word);
                mend(&mut packet);
                agrees(&packet);
            }
        }
    }
}

/// Tries all TCP data offsets, UDP lengths and ICMP types (INV-malformed-transport-dropped).
#[test]
fn transport_lengths_agree_with_reference() {
    for fragmentation in [0, 0x2000] {
        let [mut tcp, mut udp, mut icmp] = [tcp(), udp(), icmp()];
        for packet in [&mut tcp, &mut udp, &mut icmp] {
            packet.truncate(20 + (packet.len() - 20) / 8 * 8);
            let length = u16::try_from(packet.len()).unwrap();
            put(packet, 2, length);
            put(packet, 6, fragmentation);
            mend(packet);
        }
        for value in words() {
            put(&mut udp, 24, value);
            agrees(&udp);
            [tcp[32], icmp[20]] = [value.to_be_bytes()[0]; 2];
            agrees(&tcp);
            agrees(&icmp);
        }
    }
}

/// Cuts each packet at each length, with the total length adapted and not.
/// INV-any-bytes-safe, INV-malformed-headers-dropped, INV-malformed-transport-dropped.
#[test]
fn truncations_agree_with_reference() {
    for packet in [tcp(), udp(), icmp()] {
        for length in 0..packet.len() {
            let mut packet = packet[..length].to_vec();
            agrees(&packet);
            if length >= 20 {
                put(&mut packet, 2, u16::try_from(length).unwrap());
                mend(&mut packet);
                agrees(&packet);
            }
        }
    }
}

/// No other checksum passes, except that zero has two forms (INV-header-checksum-checked).
#[test]
fn only_the_right_header_checksum_passes() {
    let mut packet = tcp();
    let right = reference::word(&packet, 10);
    for checksum in words() {
        put(&mut packet, 10, checksum);
        let expected = (checksum != right).then_some(Malformed::HeaderChecksum);
        assert_eq!(Headers::parse(&packet).err(), expected, "{checksum:#06x}");
    }
}

fn with_options(options: &[u8]) -> Result<Headers, Malformed> {
    let body = Body::Other { protocol: 47, data: vec![0; 8] };
    let packet =
        Packet { options: options.to_vec(), ..Packet::new("10.0.0.4", "52.239.1.9", body) };
    Headers::parse(&packet.bytes())
}

/// T-32, INV-options-kept-or-refused.
#[test]
fn source_routes_refused_other_options_pass() {
    let loose = [131, 7, 4, 10, 0, 0, 1, 0];
    let strict = [1, 137, 7, 4, 10, 0, 0, 1];
    assert_eq!(with_options(&loose), Err(Malformed::SourceRoute));
    assert_eq!(with_options(&strict), Err(Malformed::SourceRoute));
    assert_eq!(
        with_options(&[[148, 4, 0, 0].as_slice(), &strict].concat()),
        Err(Malformed::SourceRoute)
    );
    assert_eq!(
        with_options(&[0, 131, 3, 4]).map(|headers| headers.header_length),
        Ok(24),
        "behind the end mark"
    );
    assert_eq!(
        with_options(&[148, 4, 131, 137]).map(|headers| headers.header_length),
        Ok(24),
        "a value"
    );
    assert_eq!(with_options(&[1, 1, 148, 1]), Err(Malformed::HeaderOptions));
    assert_eq!(with_options(&[148, 5, 0, 0]), Err(Malformed::HeaderOptions));
    assert_eq!(with_options(&[1, 1, 1, 148]), Err(Malformed::HeaderOptions));
}

/// Checks what the causes of fragments mean, by hand (INV-bad-fragments-dropped, RFC 1858 and
/// 3128).
#[test]
fn overlapping_and_overlong_fragments_are_refused() {
    let fragment = |packet: &[u8], word: u16, length: usize| {
        let mut packet = packet[..20 + length].to_vec();
        put(&mut packet, 2, u16::try_from(20 + length).unwrap());
        put(&mut packet, 6, word);
        mend(&mut packet);
        Headers::parse(&packet).map(|headers| headers.fragment)
    };
    let packet = whole(Body::Tcp {
        ports: [50_001, 443],
        sequence: 1,
        acknowledgement: 2,
        flags: 2,
        options: vec![1; 12],
        data: vec![0; 80],
    });
    assert_eq!(fragment(&packet, 0x2000, 8), Err(Malformed::TinyFragment), "no flags");
    assert_eq!(fragment(&packet, 0x2000, 24), Err(Malformed::TinyFragment), "not all options");
    assert_eq!(fragment(&packet, 0x2000, 32), Ok(Fragment::First));
    assert_eq!(fragment(&packet, 0x2001, 32), Err(Malformed::TinyFragment), "over the flags");
    assert_eq!(fragment(&packet, 0x0001, 32), Err(Malformed::TinyFragment), "over the flags, last");
    assert_eq!(fragment(&packet, 0x2002, 32), Ok(Fragment::Later { offset: 16, last: false }));
    assert_eq!(fragment(&packet, 0x2002, 31), Err(Malformed::FragmentLength));
    assert_eq!(fragment(&packet, 0x0002, 31), Ok(Fragment::Later { offset: 16, last: true }));
    assert_eq!(fragment(&packet, 0x0002, 0), Err(Malformed::FragmentLength));
    // A datagram has at most 65,535 bytes including its header (RFC 791 3.1).
    let last = Fragment::Later { offset: 65_504, last: true };
    assert_eq!(fragment(&packet, 65_504 / 8, 11), Ok(last));
    assert_eq!(fragment(&packet, 65_504 / 8, 12), Err(Malformed::FragmentEnd));
}

/// A first fragment has its ports. Its UDP length may exceed it.
#[test]
fn only_first_fragment_has_ports() {
    let body = Body::Udp { ports: [50_001, 53], with_checksum: true, data: vec![7; 40] };
    let fragments = Packet::new("10.0.0.4", "52.239.1.9", body).fragments(16);
    let [first, middle, last] = fragments.as_slice() else { panic!("{fragments:?}") };
    let [first, middle, last] = [first, middle, last].map(|bytes| Headers::parse(bytes).unwrap());
    assert_eq!(
        (first.source_port, first.destination_port, first.transport),
        (50_001, 53, Transport::Udp)
    );
    assert_eq!(
        (middle.source_port, middle.destination_port, middle.transport),
        (0, 0, Transport::None)
    );
    assert_eq!(middle.fragment, Fragment::Later { offset: 16, last: false });
    assert_eq!(last.fragment, Fragment::Later { offset: 32, last: true });
}

/// As in Linux, bytes beyond a datagram's own length are ignored, and its checksum leaves them out
/// (INV-malformed-transport-dropped, RFC 768).
#[test]
fn udp_length_can_exclude_trailing_bytes() {
    let datagram = |claimed: u16, trailing: usize| {
        let mut bytes = udp();
        let total = u16::try_from(bytes.len() + trailing).unwrap();
        bytes.resize(usize::from(total), 0x5A);
        put(&mut bytes, 2, total);
        put(&mut bytes, 24, claimed);
        mend(&mut bytes);
        bytes
    };
    for (claimed, trailing, accepted) in
        [(17, 0, true), (17, 5, true), (8, 5, true), (7, 5, false), (0, 5, false), (23, 5, false)]
    {
        let bytes = datagram(claimed, trailing);
        let headers = Headers::parse(&bytes);
        agrees(&bytes);
        match headers {
            Ok(headers) => {
                assert!(accepted, "{claimed}");
                assert_eq!(headers.source_port, 50_001);
                let right = claimed == 17;
                let checksum = Checksums::of(&bytes, &headers).transport;
                assert_eq!(checksum == TransportChecksum::Right, right, "{claimed} {trailing}");
            }
            Err(cause) => assert!(!accepted && cause == Malformed::UdpLength, "{claimed}"),
        }
    }
}

#[test]
fn names_are_distinct_and_kebab_case() {
    let mut names = Malformed::ALL.map(Malformed::name);
    names.sort_unstable();
    assert!(names.windows(2).all(|pair| pair[0] != pair[1]));
    assert!(names.iter().all(|name| {
        name.chars().all(|letter| letter.is_ascii_lowercase() || "-4".contains(letter))
    }));
}

/// Packets with one to three bytes changed, with the header checksum corrected or not.
fn nearly_right() -> impl Strategy<Value = Vec<u8>> {
    let change = (0usize..48, any::<u8>());
    (
        bytes(),
        prop::collection::vec(change, 0..=3),
        any::<bool>(),
        any::<Option<prop::sample::Index>>(),
    )
        .prop_map(|(mut packet, changes, mended, cut)| {
            for (offset, value) in changes {
                let length = packet.len();
                packet[offset % length] = value;
            }
            if let Some(cut) = cut {
                packet.truncate(cut.index(packet.len() + 1));
            }
            if mended && packet.len() >= 60 {
                mend(&mut packet);
            }
            packet
        })
}

proptest! {
    #![proptest_config(cases(4000))]

    /// T-39, INV-any-bytes-safe.
    #[test]
    fn any_bytes_agree_with_reference(bytes in prop::collection::vec(any::<u8>(), 0..100)) {
        prop_assert_eq!(Headers::parse(&bytes), reference::parse(&bytes));
    }

    #[test]
    fn mutated_packets_agree_with_reference(packet in nearly_right()) {
        prop_assert_eq!(Headers::parse(&packet), reference::parse(&packet));
    }

    #[test]
    fn valid_packets_agree_with_reference(packet in bytes()) {
        prop_assert_eq!(Headers::parse(&packet), reference::parse(&packet));
    }

    /// INV-trailer-ignored.
    #[test]
    fn bytes_after_total_length_are_ignored(packet in bytes(), trailer in prop::collection::vec(any::<u8>(), 1..80)) {
        prop_assert_eq!(Headers::parse(&[packet.clone(), trailer].concat()), Headers::parse(&packet));
    }

    /// Etherparse reads the same out of whole packets.
    #[test]
    fn parsing_agrees_with_etherparse(packet in packet_of(prop_oneof![crate::packets::tcp(), crate::packets::udp()])) {
        let packet = packet.bytes();
        let headers = Headers::parse(&packet).unwrap();
        let sliced = SlicedPacket::from_ip(&packet).unwrap();
        let Some(NetSlice::Ipv4(ip)) = sliced.net else { panic!("no IPv4") };
        prop_assert_eq!(headers.source, ip.header().source_addr());
        prop_assert_eq!(headers.destination, ip.header().destination_addr());
        prop_assert_eq!(headers.ttl, ip.header().ttl());
        prop_assert_eq!(headers.dont_fragment, ip.header().dont_fragment());
        prop_assert_eq!(headers.identification, ip.header().identification());
        match (headers.transport, sliced.transport) {
            (Transport::Tcp(segment), Some(TransportSlice::Tcp(tcp))) => {
                prop_assert_eq!([headers.source_port, headers.destination_port], [tcp.source_port(), tcp.destination_port()]);
                prop_assert_eq!(segment.sequence, tcp.sequence_number());
                prop_assert_eq!(segment.acknowledgement, tcp.acknowledgment_number());
                prop_assert_eq!(segment.window, tcp.window_size());
                prop_assert_eq!(usize::from(segment.payload_length), tcp.payload().len());
                prop_assert_eq!(segment.flags.contains(TcpFlags::SYN), tcp.syn());
                prop_assert_eq!(segment.flags.contains(TcpFlags::RST), tcp.rst());
            }
            (Transport::Udp, Some(TransportSlice::Udp(udp))) => {
                prop_assert_eq!([headers.source_port, headers.destination_port], [udp.source_port(), udp.destination_port()]);
            }
            (ours, theirs) => prop_assert!(false, "{ours:?} {theirs:?}"),
        }
    }
}
