//! Reads both formats in all their variants, made by hand.

use vnetem_io::{CaptureError, CaptureReader, CapturedPacket, Skip};

const PACKET: [u8; 20] = [0x45, 0, 0, 20, 0, 0, 0, 0, 64, 17, 0, 0, 10, 0, 0, 4, 10, 0, 0, 5];

/// pcap: four magic numbers.
#[test]
fn pcap_orders_and_resolutions_are_read() {
    for (magic, big, unit) in [
        ([0xa1, 0xb2, 0xc3, 0xd4], true, 1_000),
        ([0xa1, 0xb2, 0x3c, 0x4d], true, 1),
        ([0xd4, 0xc3, 0xb2, 0xa1], false, 1_000),
        ([0x4d, 0x3c, 0xb2, 0xa1], false, 1),
    ] {
        let file = pcap(magic, big, 101, &[(3, 999_999), (4_000_000_000, 1)]);
        let expected = [3_000_000_000 + 999_999 * unit, 4_000_000_000_000_000_000 + unit]
            .map(|time| CapturedPacket { time, interface: 0, id: None, bytes: PACKET.to_vec() });
        assert_eq!(all(&file), expected);
    }
}

/// The upper half of the link type's word has other uses.
#[test]
fn checksum_flags_keep_the_link_type() {
    let file = pcap([0xd4, 0xc3, 0xb2, 0xa1], false, 0x2400_0065, &[(0, 0)]);
    assert_eq!(all(&file).len(), 1);
}

#[test]
fn unread_link_type_is_counted() {
    let file = pcap([0xd4, 0xc3, 0xb2, 0xa1], false, 105, &[(0, 0); 3]);
    let mut reader = CaptureReader::new(file.as_slice()).unwrap();
    assert!(reader.next().is_none());
    assert_eq!((reader.skipped().count(Skip::UnknownLink), reader.skipped().total()), (3, 3));
}

/// pcapng: microseconds unless an option says otherwise, in powers of ten or two, from an origin of
/// its own.
#[test]
fn times_follow_the_interface_resolution() {
    for (options, ticks, time) in [
        (vec![], 1_500_000, 1_500_000_000),
        (option(9, &[3]), 1_500, 1_500_000_000),
        (option(9, &[9]), 1_500, 1_500),
        (option(9, &[0x80 | 10]), 1_536, 1_500_000_000),
        ([option(9, &[9]), option(14, &2_u64.to_le_bytes())].concat(), 7, 2_000_000_007),
        (option(9, &[0]), u64::MAX >> 1, u64::MAX),
    ] {
        let file = [section(), interface(101, &options), enhanced(0, ticks, &PACKET)].concat();
        assert_eq!(
            all(&file),
            [CapturedPacket { time, interface: 0, id: None, bytes: PACKET.to_vec() }]
        );
    }
}

/// Simple packets have no time. Obsolete ones do, and the number of their interface is short.
#[test]
fn packet_blocks_read_others_skipped() {
    let simple = [&20_u32.to_le_bytes()[..], &PACKET].concat();
    let obsolete = [&[1, 0, 0, 0][..], &words(&[0, 5, 20, 20]), &PACKET].concat();
    let file = [
        section(),
        interface(101, &option(2, b"one")),
        interface(228, &option(2, b"other")),
        block(3, &simple),
        block(4, &[0; 4]),
        block(2, &obsolete),
        block(0x0bad_cafe, &[1; 8]),
    ]
    .concat();
    let mut reader = CaptureReader::new(file.as_slice()).unwrap();
    let packets: Vec<_> = reader.by_ref().map(Result::unwrap).collect();
    let places: Vec<_> = packets.iter().map(|packet| (packet.interface, packet.time)).collect();
    assert_eq!(places, [(0, 0), (1, 5_000)]);
    assert_eq!(reader.interface_name(0), Some("one"));
    assert_eq!(reader.interface_name(1), Some("other"));
    assert_eq!(reader.interface_name(2), None);
    assert_eq!(reader.skipped().total(), 0);
}

/// A second section has its own interfaces.
#[test]
fn sections_follow_one_another() {
    let one = [section(), interface(101, &option(2, b"one")), enhanced(0, 1, &PACKET)].concat();
    let other =
        [section(), interface(1, &option(2, b"other")), enhanced(0, 2, &ethernet())].concat();
    let file = [one, other].concat();
    let mut reader = CaptureReader::new(file.as_slice()).unwrap();
    for (name, time) in [("one", 1_000), ("other", 2_000)] {
        assert_eq!(reader.next().unwrap().unwrap().time, time);
        assert_eq!(reader.interface_name(0), Some(name));
    }
}

/// A packet of an unknown interface, one shorter than it says, and then a good one.
#[test]
fn malformed_block_counted_next_one_read() {
    let short = [&words(&[0, 0, 1, 100, 100])[..], &PACKET].concat();
    let file = [
        section(),
        interface(101, &[]),
        enhanced(7, 1, &PACKET),
        block(6, &short),
        enhanced(0, 2, &PACKET),
    ]
    .concat();
    let mut reader = CaptureReader::new(file.as_slice()).unwrap();
    assert_eq!(reader.next().unwrap().unwrap().time, 2_000);
    assert!(reader.next().is_none());
    assert_eq!(reader.skipped().count(Skip::MalformedBlock), 2);
}

#[test]
fn broken_file_ends_with_reason() {
    let good = [section(), interface(101, &[]), enhanced(0, 1, &PACKET)].concat();
    let mut lengths = good.clone();
    let last = lengths.len() - 4;
    lengths[last] ^= 4;
    let mut reader = CaptureReader::new(lengths.as_slice()).unwrap();
    let error = reader.next().unwrap().unwrap_err();
    assert!(error.to_string().starts_with("the capture is malformed: "), "{error}");
    assert!(reader.next().is_none());

    for cut in section().len() + 1..good.len() {
        let results: Vec<_> = CaptureReader::new(&good[..cut]).unwrap().take(2).collect();
        let whole = cut == section().len() + interface(101, &[]).len();
        assert!(matches!(results.as_slice(), [Err(CaptureError::Truncated)]) || whole, "{cut}");
    }
}

#[test]
fn non_capture_is_recognised_immediately() {
    for bytes in [&b""[..], b"\xd4\xc3", b"PK\x03\x04", b"{\"a\": 1}"] {
        let error = CaptureReader::new(bytes).err().unwrap();
        let CaptureError::NotACapture(first) = error else { panic!("{error}") };
        assert_eq!(first, bytes[..bytes.len().min(4)]);
    }
    let header = pcap([0xd4, 0xc3, 0xb2, 0xa1], false, 1, &[]);
    let error = CaptureReader::new(&header[..20]).err().unwrap();
    assert!(matches!(error, CaptureError::Truncated), "{error}");
}

/// A record longer than 16 MiB is counted under its own reason, and a shorter one is read. The next
/// packet is read in either case.
#[test]
fn long_records_cost_no_later_packet() {
    const MIB: usize = 1 << 20;
    for (length, too_long) in [
        (100, 0),
        (65_535, 0),
        (262_144, 0),
        (8_000_000 - 16, 0),
        (8_000_000, 0),
        (8 * MIB, 0),
        (16 * MIB - 64, 0),
        (16 * MIB, 1),
        (40 * MIB + 4, 1),
    ] {
        let mut frame = PACKET.to_vec();
        frame.resize(length, 0);
        let long = u32::try_from(length).unwrap();
        for big in [false, true] {
            let word = |word: u32| if big { word.to_be_bytes() } else { word.to_le_bytes() };
            let magic = if big { [0xa1, 0xb2, 0xc3, 0xd4] } else { [0xd4, 0xc3, 0xb2, 0xa1] };
            let mut file = pcap(magic, big, 101, &[(1, 0)]);
            file.extend([word(2), word(0), word(long), word(long)].concat());
            file.extend(&frame);
            file.extend(&pcap(magic, big, 101, &[(3, 0)])[24..]);
            let at = |packet: &CapturedPacket| packet.time / 1_000_000_000;
            expect_packets(&file, too_long, at, &format!("pcap {length}"));
        }
        let simple = [&words(&[long])[..], &frame].concat();
        let obsolete = [&words(&[0, 0, 2, long, long])[..], &frame].concat();
        for (kind, body) in [(6, None), (3, Some(simple)), (2, Some(obsolete))] {
            let block = body.map_or_else(|| enhanced(0, 2, &frame), |body| block(kind, &body));
            let file = [
                section(),
                interface(101, &[]),
                enhanced(0, 1, &PACKET),
                block,
                enhanced(0, 3, &PACKET),
            ]
            .concat();
            let at =
                |packet: &CapturedPacket| if packet.time == 0 { 2 } else { packet.time / 1_000 };
            expect_packets(&file, too_long, at, &format!("block {kind} of {length}"));
        }
    }
}

/// Three packets, of which the second may be too long.
#[allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]
fn expect_packets(file: &[u8], too_long: u64, at: impl Fn(&CapturedPacket) -> u64, what: &str) {
    let mut reader = CaptureReader::new(file).unwrap();
    let packets: Vec<_> = reader.by_ref().map(Result::unwrap).collect();
    let times: Vec<_> = packets.iter().map(at).collect();
    let expected: &[u64] = if too_long == 0 { &[1, 2, 3] } else { &[1, 3] };
    assert_eq!(times, expected, "{what}");
    assert!(packets.iter().all(|packet| packet.bytes == PACKET), "{what}");
    assert_eq!(reader.skipped().count(Skip::TooLong), too_long, "{what}");
    assert_eq!(reader.skipped().total(), too_long, "{what}");
}

/// Options of a packet, names, and blocks of unknown kinds may be long too, and are not frames.
#[test]
fn long_other_blocks_are_skipped() {
    let comment = option(1, &[b'x'; 65_532]);
    let options = comment.repeat(130);
    let commented = [&words(&[0, 0, 2, 20, 20])[..], &PACKET, &options].concat();
    for length in [9 << 20, 20 << 20] {
        let file = [
            section(),
            interface(101, &[]),
            block(4, &vec![0; length]),
            block(0x0bad_cafe, &vec![1; length]),
            block(6, &commented),
            enhanced(0, 3, &PACKET),
        ]
        .concat();
        let mut reader = CaptureReader::new(file.as_slice()).unwrap();
        let packets: Vec<_> = reader.by_ref().map(Result::unwrap).collect();
        let times: Vec<_> = packets.iter().map(|packet| packet.time).collect();
        assert_eq!((times, reader.skipped().total()), (vec![2_000, 3_000], 0));
    }
}

/// A section or an interface that is too long ends the reading, and so does a file that ends in a
/// long record. Each has its own reason.
#[test]
fn long_records_end_with_their_reason() {
    let long = vec![0; 17 << 20];
    let packet = enhanced(0, 1, &PACKET);
    for (block, said) in [
        (block(0x0a0d_0d0a, &[&words(&[0x1a2b_3c4d])[..], &long].concat()), "describes a section"),
        (block(1, &long), "describes a section or interface"),
    ] {
        let file = [section(), interface(101, &[]), packet.clone(), block].concat();
        let mut reader = CaptureReader::new(file.as_slice()).unwrap();
        assert!(reader.next().unwrap().is_ok());
        let error = reader.next().unwrap().unwrap_err();
        assert!(matches!(error, CaptureError::Malformed(_)), "{error}");
        assert!(error.to_string().contains(said), "{error}");
        assert!(reader.next().is_none());
    }
    let whole = [section(), interface(101, &[]), enhanced(0, 1, &long)].concat();
    let mut otherwise = whole.clone();
    let last = otherwise.len() - 4;
    otherwise[last] ^= 4;
    let error = CaptureReader::new(otherwise.as_slice()).unwrap().next().unwrap().unwrap_err();
    assert!(error.to_string().contains("ends with another length"), "{error}");
    for cut in [whole.len() - 1, whole.len() - 4, whole.len() - (1 << 20), 100] {
        let error = CaptureReader::new(&whole[..cut]).unwrap().next().unwrap().unwrap_err();
        assert!(matches!(error, CaptureError::Truncated), "{cut}: {error}");
    }
}

fn all(file: &[u8]) -> Vec<CapturedPacket> {
    CaptureReader::new(file)
        .map(|reader| reader.map_while(Result::ok).collect())
        .unwrap_or_default()
}

fn pcap(magic: [u8; 4], big: bool, link: u32, times: &[(u32, u32)]) -> Vec<u8> {
    let word = |word: u32| if big { word.to_be_bytes() } else { word.to_le_bytes() };
    let version = if big { [0, 2, 0, 4] } else { [2, 0, 4, 0] };
    let mut file = [magic, version, word(0), word(0), word(65535), word(link)].concat();
    for &(seconds, fraction) in times {
        file.extend([word(seconds), word(fraction), word(20), word(20)].concat());
        file.extend(PACKET);
    }
    file
}

fn section() -> Vec<u8> {
    block(0x0a0d_0d0a, &words(&[0x1a2b_3c4d, 1, u32::MAX, u32::MAX]))
}

fn interface(link: u32, options: &[u8]) -> Vec<u8> {
    block(1, &[&words(&[link, 0])[..], options].concat())
}

fn enhanced(interface: u32, ticks: u64, frame: &[u8]) -> Vec<u8> {
    let [high, low] =
        [ticks >> 32, ticks & 0xffff_ffff].map(|half| u32::try_from(half).unwrap_or_default());
    let length = u32::try_from(frame.len()).unwrap_or_default();
    block(6, &[&words(&[interface, high, low, length, length])[..], frame].concat())
}

fn ethernet() -> Vec<u8> {
    [&[2; 12][..], &[0x08, 0x00], &PACKET].concat()
}

fn option(code: u16, value: &[u8]) -> Vec<u8> {
    let length = u16::try_from(value.len()).unwrap_or_default();
    padded([&code.to_le_bytes()[..], &length.to_le_bytes(), value].concat())
}

fn block(kind: u32, body: &[u8]) -> Vec<u8> {
    let body = padded(body.to_vec());
    let length = u32::try_from(body.len() + 12).unwrap_or_default();
    [&words(&[kind, length])[..], &body, &words(&[length])].concat()
}

fn words(words: &[u32]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_le_bytes()).collect()
}

fn padded(mut bytes: Vec<u8>) -> Vec<u8> {
    bytes.resize(bytes.len().next_multiple_of(4), 0);
    bytes
}
