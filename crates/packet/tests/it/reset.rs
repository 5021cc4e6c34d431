use proptest::prelude::*;
use vnetem_packet::{Checksums, Headers, Reset, TcpFlags, Transport, TransportChecksum};

use crate::packets::{Body, Packet, cases, end};

const SEQUENCE: u32 = 0xFFFF_FFF8;
const ACKNOWLEDGEMENT: u32 = 77;

fn segment(flags: u8, length: usize) -> Packet {
    let data = vec![7; length];
    let body = Body::Tcp {
        ports: [50_001, 443],
        sequence: SEQUENCE,
        acknowledgement: ACKNOWLEDGEMENT,
        flags,
        options: vec![],
        data,
    };
    Packet::new("10.0.0.4", "52.239.1.9", body)
}

/// Tries all control bits, with and without data, across the wrap of the sequence space, against
/// RFC 9293 3.10.7.1 (INV-reset-answers-segment).
#[test]
fn segments_are_answered_as_rfc_9293() {
    for flags in (0..64).step_by(if cfg!(miri) { 9 } else { 1 }) {
        let [fin, syn, reset, _, acknowledges, _] =
            [0, 1, 2, 3, 4, 5].map(|bit| flags >> bit & 1 == 1);
        for length in [0, 1, 9, 1400] {
            let answer =
                Reset::answering(&Headers::parse(&segment(flags, length).bytes()).unwrap());
            let taken = u64::from(SEQUENCE) + length as u64 + u64::from(syn) + u64::from(fin);
            let expected = match (reset, acknowledges) {
                (true, _) => None,
                (false, true) => Some((ACKNOWLEDGEMENT, None)),
                (false, false) => Some((0, Some(u32::try_from(taken & 0xFFFF_FFFF).unwrap()))),
            };
            assert_eq!(
                answer.map(|reset| (reset.sequence, reset.acknowledgement)),
                expected,
                "flags {flags:06b}"
            );
            if let Some(reset) = answer {
                assert_eq!(reset.source, "52.239.1.9:443".parse().unwrap());
                assert_eq!(reset.destination, "10.0.0.4:50001".parse().unwrap());
            }
        }
    }
}

/// The length of a fragmented segment is unknown, its acknowledgement is known.
#[test]
fn first_fragment_answered_by_acknowledgement_only() {
    let answer = |flags| {
        let fragments = segment(flags, 100).fragments(64);
        let [first, later] =
            [&fragments[0], &fragments[1]].map(|bytes| Headers::parse(bytes).unwrap());
        assert_eq!(Reset::answering(&later), None);
        Reset::answering(&first).map(|reset| (reset.sequence, reset.acknowledgement))
    };
    assert_eq!(answer(0x10), Some((ACKNOWLEDGEMENT, None)));
    assert_eq!(answer(0x02), None);
}

#[test]
fn non_segment_gets_no_reset() {
    let body = Body::Udp { ports: [1, 2], with_checksum: true, data: vec![] };
    let packet = Packet::new("10.0.0.4", "52.239.1.9", body).bytes();
    assert_eq!(Reset::answering(&Headers::parse(&packet).unwrap()), None);
}

proptest! {
    #![proptest_config(cases(256))]

    /// A reset reads back with the given fields and right checksums, and is never answered
    /// (INV-generated-packets-valid, INV-resets-bounded).
    #[test]
    fn a_reset_reads_back(source in end(), destination in end(), sequence: u32, acknowledgement: Option<u32>, identification: u16, ttl: u8) {
        let reset = Reset { source, destination, sequence, acknowledgement };
        let packet = reset.write(identification, ttl);
        let headers = Headers::parse(&packet).unwrap();
        let Transport::Tcp(segment) = headers.transport else { panic!("{headers:?}") };
        prop_assert_eq!(headers.tuple().source, source);
        prop_assert_eq!(headers.tuple().destination, destination);
        prop_assert_eq!((headers.identification, headers.ttl, headers.total_length), (identification, ttl, 40));
        prop_assert!(headers.dont_fragment);
        prop_assert_eq!((segment.sequence, segment.window, segment.payload_length), (sequence, 0, 0));
        prop_assert_eq!(segment.acknowledgement, acknowledgement.unwrap_or(0));
        let flags = if acknowledgement.is_some() { 0x14 } else { 0x04 };
        prop_assert_eq!(segment.flags, TcpFlags(flags));
        prop_assert_eq!(Checksums::of(&packet, &headers), Checksums { header: true, transport: TransportChecksum::Right });
        prop_assert_eq!(Reset::answering(&headers), None);
    }

    /// Etherparse computes the same checksum.
    #[test]
    fn reset_checksum_agrees_with_etherparse(source in end(), destination in end(), sequence: u32) {
        let packet = Reset { source, destination, sequence, acknowledgement: None }.write(1, 64);
        let tcp = etherparse::TcpSlice::from_slice(&packet[20..]).unwrap();
        let expected = tcp.calc_checksum_ipv4(source.ip().octets(), destination.ip().octets()).unwrap();
        prop_assert_eq!(tcp.checksum(), expected);
    }
}
