//! Reads what the writer writes by three other readers: pcap-file, a parser of blocks written here
//! from the specification, and Wireshark.

use std::io::{self, ErrorKind, Write};
use std::path::PathBuf;
use std::process::{Command, Output};

use pcap_file::DataLink;
use pcap_file::pcapng::blocks::enhanced_packet::EnhancedPacketOption;
use pcap_file::pcapng::blocks::interface_description::{
    InterfaceDescriptionOption, InterfaceTsResolution,
};
use pcap_file::pcapng::blocks::opt_common::{CommonOption, UnknownOption};
use pcap_file::pcapng::{Block, PcapNgReader};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use vnetem_io::{CaptureError, CaptureReader, CaptureWriter, Direction, Record};

/// A SYN from 10.0.0.4 to 52.239.1.9, and what it became behind a translation to 20.1.1.1.
const INSIDE: [u8; 40] = [
    0x45, 0, 0, 40, 0, 1, 0x40, 0, 64, 6, 0xfa, 0xd3, 10, 0, 0, 4, 52, 239, 1, 9, //
    0xc3, 0x51, 0x01, 0xbb, 0, 0, 0, 1, 0, 0, 0, 0, 0x50, 0x02, 0xff, 0xff, 0xaa, 0xd9, 0, 0,
];
const OUTSIDE: [u8; 40] = [
    0x45, 0, 0, 40, 0, 1, 0x40, 0, 63, 6, 0xf0, 0xd5, 20, 1, 1, 1, 52, 239, 1, 9, //
    0x04, 0x00, 0x01, 0xbb, 0, 0, 0, 1, 0, 0, 0, 0, 0x50, 0x02, 0xff, 0xff, 0x5f, 0x2d, 0, 0,
];

/// Two copies of one packet, and another that is dropped.
const STORY: [(&str, Record<'static>); 3] = [
    (
        "in:web/vm1",
        Record {
            time: 1_000_000_001,
            packet_id: 7,
            direction: Direction::Inbound,
            comment: "",
            bytes: &INSIDE,
        },
    ),
    (
        "out:service/storage",
        Record {
            time: 1_000_000_001,
            packet_id: 7,
            direction: Direction::Outbound,
            comment: "vnetem verdict=forward reason=default-route stage=source",
            bytes: &OUTSIDE,
        },
    ),
    (
        "drop",
        Record {
            time: 1_000_000_250,
            packet_id: 8,
            direction: Direction::Inbound,
            comment: "vnetem verdict=drop reason=no-route stage=route",
            bytes: &INSIDE,
        },
    ),
];

/// The first bytes of every file and of a packet. If they change, the format has changed.
#[test]
fn file_begins_with_the_format_bytes() {
    let mut writer = CaptureWriter::new(Vec::new()).unwrap();
    let record = Record {
        time: 0x1_0000_0002,
        packet_id: 7,
        direction: Direction::Outbound,
        comment: "why",
        bytes: &INSIDE,
    };
    writer.write("drop", &record).unwrap();
    #[rustfmt::skip]
    let header = [
        // Section: type, length 28, magic, version 1.0, length unknown, length again.
        0x0a, 0x0d, 0x0d, 0x0a, 28, 0, 0, 0, 0x4d, 0x3c, 0x2b, 0x1a, 1, 0, 0, 0,
        0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 28, 0, 0, 0,
        // Interface: type, length 40, link 101, no limit, name "drop", nanoseconds, end.
        1, 0, 0, 0, 40, 0, 0, 0, 101, 0, 0, 0, 0, 0, 0, 0,
        2, 0, 4, 0, b'd', b'r', b'o', b'p', 9, 0, 1, 0, 9, 0, 0, 0, 0, 0, 0, 0, 40, 0, 0, 0,
        // Packet: type, length 104, interface 0, time high and low, lengths.
        6, 0, 0, 0, 104, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 40, 0, 0, 0, 40, 0, 0, 0,
    ];
    #[rustfmt::skip]
    let options = [
        // Outbound, id 7, comment, end; length again.
        2, 0, 4, 0, 2, 0, 0, 0, 5, 0, 8, 0, 7, 0, 0, 0, 0, 0, 0, 0, 1, 0, 3, 0, b'w', b'h', b'y', 0, 0, 0, 0, 0,
        104, 0, 0, 0,
    ];
    assert_eq!(writer.finish().unwrap(), [&header[..], &INSIDE, &options].concat());
}

#[test]
fn pcap_file_reads_places_and_comments() {
    let file = written(&STORY);
    let mut reader = PcapNgReader::new(file.as_slice()).unwrap();
    let mut packets = Vec::new();
    while let Some(block) = reader.next_block() {
        match block.unwrap().0 {
            Block::InterfaceDescription(_) => {}
            Block::EnhancedPacket(packet) => packets.push(packet.into_owned()),
            other => panic!("{other:?}"),
        }
    }
    let places: Vec<_> =
        reader.interfaces().iter().map(|interface| interface.options.clone()).collect();
    let expected = STORY.map(|(place, _)| {
        vec![
            InterfaceDescriptionOption::IfName(place.into()),
            InterfaceDescriptionOption::IfTsResol(InterfaceTsResolution::NANO),
        ]
    });
    assert_eq!(places, expected);
    assert!(reader.interfaces().iter().all(|interface| interface.linktype == DataLink::RAW));
    assert_eq!(packets.len(), STORY.len());
    for ((number, packet), (_, record)) in (0..).zip(&packets).zip(&STORY) {
        assert_eq!((packet.interface_id, packet.data.as_ref()), (number, record.bytes));
        assert_eq!(packet.timestamp.as_nanos(), record.time.into());
        let packet_id = record.packet_id.to_le_bytes();
        let mut options = vec![
            EnhancedPacketOption::Flags(1 + u32::from(record.direction == Direction::Outbound)),
            EnhancedPacketOption::Common(CommonOption::Unknown(UnknownOption::new(5, &packet_id))),
        ];
        if !record.comment.is_empty() {
            options
                .push(EnhancedPacketOption::Common(CommonOption::Comment(record.comment.into())));
        }
        assert_eq!(packet.options, options);
    }
}

/// Runs if Wireshark's `tshark` is installed, and reports a skip otherwise.
#[test]
fn wireshark_shows_places_and_comments() {
    let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("story.pcapng");
    std::fs::write(&path, written(&STORY)).unwrap();
    let fields = [
        "frame.interface_name",
        "frame.packet_id",
        "frame.packet_flags_direction",
        "frame.time_epoch",
        "frame.comment",
        "ip.src",
        "ip.checksum.status",
        "tcp.checksum.status",
    ];
    let tshark = |more: &[&str]| -> io::Result<Output> {
        let fields = fields.iter().flat_map(|field| ["-e", field]);
        let checks = ["-o", "ip.check_checksum:TRUE", "-o", "tcp.check_checksum:TRUE"];
        let mut command = Command::new("tshark");
        command
            .args(["-T", "fields", "-r"])
            .arg(&path)
            .args(checks)
            .args(fields)
            .args(more)
            .output()
    };
    let shown = match tshark(&[]) {
        Err(error) if error.kind() == ErrorKind::NotFound => {
            return vnetem_checks::skip("what Wireshark shows", "there is no tshark");
        }
        output => String::from_utf8(output.unwrap().stdout).unwrap(),
    };
    let lines: Vec<_> = shown.lines().collect();
    let (first, second, third) = (STORY[0].1, STORY[1].1, STORY[2].1);
    assert_eq!(
        lines,
        [
            format!("in:web/vm1\t7\t0x00000001\t1.000000001\t{}\t10.0.0.4\t1\t1", first.comment),
            format!(
                "out:service/storage\t7\t0x00000002\t1.000000001\t{}\t20.1.1.1\t1\t1",
                second.comment
            ),
            format!("drop\t8\t0x00000001\t1.000000250\t{}\t10.0.0.4\t1\t1", third.comment),
        ]
    );
    for (filter, count) in [
        ("frame.packet_id == 7", 2),
        ("frame.interface_name == \"drop\"", 1),
        ("frame.comment contains \"no-route\"", 1),
    ] {
        let found = tshark(&["-Y", filter]).unwrap().stdout;
        assert_eq!(String::from_utf8(found).unwrap().lines().count(), count, "{filter}");
    }
}

#[test]
fn unrepresentable_packet_refused_file_continues() {
    let mut writer = CaptureWriter::new(Vec::new()).unwrap();
    let long = "x".repeat(65_536);
    let record = STORY[0].1;
    writer.write("in", &record).unwrap();
    for (place, comment) in [("in", long.as_str()), (long.as_str(), "")] {
        let error = writer.write(place, &Record { comment, ..record }).unwrap_err();
        assert!(matches!(error, CaptureError::Unwritable(_)), "{error}");
        assert!(error.to_string().contains("65536"), "{error}");
    }
    writer.write("in", &Record { comment: &long[..65_535], ..record }).unwrap();
    assert_eq!(CaptureReader::new(writer.finish().unwrap().as_slice()).unwrap().count(), 2);
}

#[test]
fn failing_writer_is_reported() {
    struct Full;
    impl Write for Full {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(ErrorKind::StorageFull.into())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let error = CaptureWriter::new(Full).err().unwrap();
    assert!(matches!(error, CaptureError::Io(error) if error.kind() == ErrorKind::StorageFull));
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// Any records at any places: the blocks say what was written, in order, and nothing else. The
    /// same calls make the same bytes.
    #[test]
    fn the_blocks_say_what_was_written(records in records()) {
        let story: Vec<_> = records.iter().map(|record| (record.0, record.1.borrowed())).collect();
        let file = written(&story);
        prop_assert_eq!(&file, &written(&story));
        let (places, packets) = blocks(&file);
        let mut named: Vec<&str> = Vec::new();
        for (place, _) in &story {
            if !named.contains(place) {
                named.push(place);
            }
        }
        prop_assert_eq!(places, named);
        let owned: Vec<_> = records.into_iter().map(|(place, record)| (place.to_owned(), record)).collect();
        prop_assert_eq!(packets, owned);
    }

    /// The reader returns times, places and packets.
    #[test]
    fn the_reader_reads_what_was_written(records in records()) {
        let story: Vec<_> = records.iter().map(|record| (record.0, record.1.borrowed())).collect();
        let file = written(&story);
        let mut reader = CaptureReader::new(file.as_slice()).unwrap();
        for (place, record) in &story {
            let packet = reader.next().unwrap().unwrap();
            prop_assert_eq!((packet.time, packet.bytes.as_slice()), (record.time, record.bytes));
            prop_assert_eq!(reader.interface_name(packet.interface), Some(*place));
        }
        prop_assert!(reader.next().is_none());
        prop_assert_eq!(reader.skipped().total(), 0);
    }
}

fn written(story: &[(&str, Record<'_>)]) -> Vec<u8> {
    let write = || -> Result<Vec<u8>, CaptureError> {
        let mut writer = CaptureWriter::new(Vec::new())?;
        for (place, record) in story {
            writer.write(place, record)?;
        }
        writer.finish()
    };
    write().unwrap_or_default()
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Owned {
    time: u64,
    packet_id: u64,
    direction: Direction,
    comment: String,
    bytes: Vec<u8>,
}

impl Owned {
    fn borrowed(&self) -> Record<'_> {
        let Self { time, packet_id, direction, ref comment, ref bytes } = *self;
        Record { time, packet_id, direction, comment, bytes }
    }
}

/// Generates packets of any length that match their header.
fn records() -> impl Strategy<Value = Vec<(&'static str, Owned)>> {
    let place = select(vec!["in:web/vm1", "out:internet", "drop", "\u{fc}ber"]);
    let direction = select(vec![Direction::Inbound, Direction::Outbound]);
    let record =
        (any::<u64>(), any::<u64>(), direction, "[a-z =\u{e9}]{0,9}", vec(any::<u8>(), 0..40))
            .prop_map(|(time, packet_id, direction, comment, payload)| {
                let total = u16::try_from(20 + payload.len()).unwrap_or_default().to_be_bytes();
                let header = [
                    0x45, 0, total[0], total[1], 0, 0, 0, 0, 64, 17, 0, 0, 10, 0, 0, 4, 10, 0, 0, 5,
                ];
                Owned {
                    time,
                    packet_id,
                    direction,
                    comment,
                    bytes: [&header[..], &payload].concat(),
                }
            });
    vec((place, record), 0..12)
}

/// Reads a file as a reference: places, and packets with theirs. Any deviation is a panic.
#[allow(
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a file of ours; any deviation fails the test"
)]
fn blocks(file: &[u8]) -> (Vec<String>, Vec<(String, Owned)>) {
    let word = |bytes: &[u8]| u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]);
    let long = |bytes: &[u8]| u64::from(word(bytes)) | u64::from(word(&bytes[4..])) << 32;
    let (mut places, mut packets) = (Vec::new(), Vec::new());
    let mut rest = file;
    while !rest.is_empty() {
        let length = word(&rest[4..]) as usize;
        assert_eq!((length % 4, word(&rest[length - 4..]) as usize), (0, length));
        let body = &rest[8..length - 4];
        match word(rest) {
            0x0a0d_0d0a => {
                assert_eq!(rest.len(), file.len(), "one section, at the beginning");
                assert_eq!(
                    (word(body), word(&body[4..]), long(&body[8..])),
                    (0x1a2b_3c4d, 1, u64::MAX)
                );
                assert_eq!(body.len(), 16);
            }
            1 => {
                assert_eq!((word(body), word(&body[4..])), (101, 0));
                let options = options(&body[8..]);
                assert_eq!((options.len(), options[0].0, &options[1]), (2, 2, &(9, vec![9])));
                places.push(text(&options[0].1));
            }
            6 => {
                let captured = word(&body[12..]) as usize;
                assert_eq!(word(&body[16..]) as usize, captured, "nothing is cut");
                let behind = 20 + captured.next_multiple_of(4);
                assert!(body[20 + captured..behind].iter().all(|&byte| byte == 0));
                let options = options(&body[behind..]);
                assert_eq!((options[0].0, options[1].0), (2, 5));
                let comment = match &options[2..] {
                    [] => String::new(),
                    [(1, comment)] => text(comment),
                    other => panic!("{other:?}"),
                };
                packets.push((
                    places[word(body) as usize].clone(),
                    Owned {
                        time: u64::from(word(&body[4..])) << 32 | u64::from(word(&body[8..])),
                        packet_id: long(&options[1].1),
                        direction: match word(&options[0].1) {
                            1 => Direction::Inbound,
                            2 => Direction::Outbound,
                            other => panic!("direction {other}"),
                        },
                        comment,
                        bytes: body[20..20 + captured].to_vec(),
                    },
                ));
            }
            other => panic!("block {other:#x}"),
        }
        rest = &rest[length..];
    }
    (places, packets)
}

/// Returns codes and values, up to the end mark, which must be the last four bytes.
#[allow(clippy::indexing_slicing, reason = "options of ours; any deviation fails the test")]
fn options(mut bytes: &[u8]) -> Vec<(u16, Vec<u8>)> {
    let mut options = Vec::new();
    loop {
        let code = u16::from_le_bytes([bytes[0], bytes[1]]);
        let length = usize::from(u16::from_le_bytes([bytes[2], bytes[3]]));
        if code == 0 {
            assert_eq!((length, bytes.len()), (0, 4));
            return options;
        }
        options.push((code, bytes[4..4 + length].to_vec()));
        bytes = &bytes[4 + length.next_multiple_of(4)..];
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
