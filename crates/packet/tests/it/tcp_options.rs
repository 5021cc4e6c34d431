use etherparse::TcpOptionElement;
use proptest::prelude::*;
use vnetem_packet::{Checksums, Headers, TcpOptions, clamp_maximum_segment_size, tcp_options};

use crate::packets::{Body, Packet, cases, octets, padded, words};

fn segment(flags: u8, options: &[u8]) -> Vec<u8> {
    let (options, data) = (padded(options.to_vec()), vec![2, 4, 0xFF, 0xFF]);
    let body =
        Body::Tcp { ports: [50_001, 443], sequence: 1, acknowledgement: 2, flags, options, data };
    Packet::new("10.0.0.4", "52.239.1.9", body).bytes()
}

fn read(options: &[u8]) -> (Option<u16>, Option<u8>) {
    let packet = segment(2, options);
    let TcpOptions { maximum_segment_size, window_scale } =
        tcp_options(&packet, &Headers::parse(&packet).unwrap());
    (maximum_segment_size, window_scale)
}

#[test]
fn options_end_at_mark_or_error() {
    assert_eq!(read(&[]), (None, None));
    assert_eq!(read(&[2, 4, 0x05, 0xB4, 1, 3, 3, 7]), (Some(1460), Some(7)));
    assert_eq!(read(&[1, 1, 1, 3, 3, 200, 2, 4, 0, 0]), (Some(0), Some(14)), "RFC 7323 2.3");
    assert_eq!(read(&[0, 2, 4, 0x05, 0xB4]), (None, None), "behind the end mark");
    assert_eq!(read(&[8, 0, 2, 4, 0x05, 0xB4]), (None, None), "behind a length of 0");
    assert_eq!(read(&[8, 1, 2, 4, 0x05, 0xB4]), (None, None), "behind a length of 1");
    assert_eq!(read(&[3, 3, 5, 2, 40, 0x05, 0xB4]), (None, Some(5)), "longer than the header");
    assert_eq!(read(&[2, 3, 5, 3, 3, 5]), (None, Some(5)), "of the wrong length");
    assert_eq!(read(&[2, 4, 0, 1, 2, 4, 0, 2]), (Some(2), None), "the last counts");
    assert_eq!(read(&[1, 1, 1, 1, 1, 1, 1, 2]), (None, None), "no length");
}

/// The checksum stays right at every offset of the option, for all values (T-36).
#[test]
fn clamping_checksum_right_at_every_offset() {
    for padding in 0..8 {
        for size in words().step_by(7).chain([1399, 1400, 1401, u16::MAX]) {
            let [high, low] = size.to_be_bytes();
            let options = [vec![1; padding], vec![2, 4, high, low, 3, 3, 7]].concat();
            let packet = segment(2, &options);
            let headers = Headers::parse(&packet).unwrap();
            let mut bytes = packet.clone();
            assert_eq!(clamp_maximum_segment_size(&mut bytes, &headers, 1400), size > 1400);
            let [high, low] = size.min(1400).to_be_bytes();
            let options = [vec![1; padding], vec![2, 4, high, low, 3, 3, 7]].concat();
            assert_eq!(bytes, segment(2, &options), "offset {padding} size {size}");
            assert!(Checksums::of(&bytes, &headers).none_wrong());
        }
    }
}

#[test]
fn only_syn_segment_size_is_clamped() {
    let options = [2, 4, 0x05, 0xB4, 1, 2, 4, 0x23, 0x28];
    let mut packet = segment(0x12, &options);
    let headers = Headers::parse(&packet).unwrap();
    assert!(clamp_maximum_segment_size(&mut packet, &headers, 1200));
    assert_eq!(packet, segment(0x12, &[2, 4, 0x04, 0xB0, 1, 2, 4, 0x04, 0xB0]));
    assert!(!clamp_maximum_segment_size(&mut packet, &headers, 1200), "a second time");
    for flags in octets().filter(|flags| flags & 2 == 0) {
        let packet = segment(flags, &options);
        let mut bytes = packet.clone();
        assert!(!clamp_maximum_segment_size(&mut bytes, &Headers::parse(&packet).unwrap(), 1200));
        assert_eq!(bytes, packet);
    }
}

proptest! {
    #![proptest_config(cases(4000))]

    /// Any bytes may stand for options. Whatever etherparse reads up to its first error is read
    /// here too (INV-any-bytes-safe).
    #[test]
    fn options_are_read_as_etherparse_does(options in prop::collection::vec(prop_oneof![0u8..9, any::<u8>()], 0..=40)) {
        let options = padded(options);
        let mut theirs = (None, None);
        let mut icmp_error = false;
        for option in etherparse::TcpOptionsIterator::from_slice(&options) {
            match option {
                Ok(TcpOptionElement::MaximumSegmentSize(size)) => theirs.0 = Some(size),
                Ok(TcpOptionElement::WindowScale(shift)) => theirs.1 = Some(shift.min(14)),
                Ok(_) => {}
                Err(_) => icmp_error = true,
            }
        }
        if !icmp_error {
            prop_assert_eq!(read(&options), theirs);
        }
    }

    /// Only the value and the checksum change. A wrong checksum stays wrong by the same amount.
    /// INV-only-needed-bytes-change, INV-wrong-checksum-stays-wrong, T-36.
    #[test]
    fn clamping_changes_only_value_and_checksum(
        options in prop::collection::vec(prop_oneof![Just(1u8), 2u8..5, any::<u8>()], 0..=40), limit: u16, wrong: u16,
    ) {
        let mut packet = segment(2, &options);
        crate::reference::put(&mut packet, 36, wrong);
        let headers = Headers::parse(&packet).unwrap();
        let mut bytes = packet.clone();
        let clamped = clamp_maximum_segment_size(&mut bytes, &headers, limit);
        prop_assert_eq!(clamped, bytes != packet);
        prop_assert_eq!(tcp_options(&bytes, &headers).window_scale, tcp_options(&packet, &headers).window_scale);
        let old = tcp_options(&packet, &headers).maximum_segment_size;
        prop_assert_eq!(tcp_options(&bytes, &headers).maximum_segment_size, old.map(|size| size.min(limit)));
        let sums = [&packet, &bytes].map(|packet| crate::reference::transport_sum(packet) % 0xFFFF);
        prop_assert_eq!(sums[0], sums[1]);
        let end = 20 + usize::from(packet[32] >> 4) * 4;
        prop_assert_eq!(&bytes[..36], &packet[..36]);
        prop_assert_eq!(&bytes[38..40], &packet[38..40]);
        prop_assert_eq!(&bytes[end..], &packet[end..]);
    }
}
