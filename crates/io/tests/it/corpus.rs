//! Reads captures of other projects, compares them with counts that another program made, and reads
//! them again with damage.

use std::fs;
use std::path::PathBuf;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};
use vnetem_io::{CaptureError, CaptureReader, CapturedPacket, Skip};

/// A row of the manifest.
struct Row {
    file: String,
    packets: u64,
    ipv4_bad: u64,
    /// IPv4 packets; fragments; TCP, UDP, ICMP, others by protocol field; with options; with a
    /// wrong header checksum.
    counts: [u64; 8],
}

#[test]
fn captures_give_their_manifests_packets() {
    let manifest = manifest();
    assert_eq!(manifest.len(), 61);
    for Row { file, packets, ipv4_bad, counts } in manifest {
        let bytes = capture(&file);
        let mut reader = CaptureReader::new(bytes.as_slice()).unwrap();
        let read: Vec<CapturedPacket> = reader.by_ref().map_while(Result::ok).collect();
        let skipped = reader.skipped();
        assert_eq!(counted(&read), counts, "{file}");
        assert_eq!(skipped.count(Skip::NotIpv4), ipv4_bad, "{file}");
        assert_eq!(read.len() as u64 + skipped.total(), packets, "{file}");
        assert_eq!(
            skipped.count(Skip::MalformedBlock) + skipped.count(Skip::UnknownLink),
            0,
            "{file}"
        );
    }
}

/// The one capture that ends early gives its packets, then the reason, then nothing.
#[test]
fn truncated_capture_ends_with_reason() {
    for Row { file, .. } in manifest() {
        let bytes = capture(&file);
        let mut reader = CaptureReader::new(bytes.as_slice()).unwrap();
        let last = reader.by_ref().last().unwrap();
        match file.as_str() {
            "suricata-verify/bug-6875-01__fuzz.pcap" => {
                assert!(matches!(last, Err(CaptureError::Truncated)), "{last:?}");
            }
            _ => assert!(last.is_ok(), "{file} {last:?}"),
        }
        assert!(reader.next().is_none());
    }
}

/// Times of packets are as Wireshark shows them for these files.
#[test]
fn times_are_exact_to_the_nanosecond() {
    for (file, place, time) in [
        ("arkime/dns-mx.pcap", 0, DNS_MX),
        ("tcpdump/tcp-handshake-nano.pcap", 1, HANDSHAKE_NANO),
        ("gopacket/pcapgo__tests__epb.pcapng", 0, EPB),
    ] {
        let bytes = capture(file);
        let packet = CaptureReader::new(bytes.as_slice()).unwrap().nth(place).unwrap().unwrap();
        assert_eq!(packet.time, time, "{file}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever is overwritten or cut off, there is no panic, reading ends, and every packet can be
    /// IPv4.
    #[test]
    fn damaged_capture_ends_without_panic(
        file in select(SMALL.to_vec()),
        damage in vec((any::<Index>(), any::<u8>()), 0..8),
        end in any::<Index>(),
        cut in any::<bool>(),
    ) {
        let mut bytes = capture(file);
        let whole = bytes.len() as u64;
        for (place, byte) in damage {
            let place = place.index(bytes.len());
            bytes[place] = byte;
        }
        if cut {
            bytes.truncate(end.index(bytes.len()));
        }
        if let Ok(mut reader) = CaptureReader::new(bytes.as_slice()) {
            let mut packets = 0;
            let mut failures = 0;
            for packet in reader.by_ref() {
                match packet {
                    Ok(packet) => {
                        prop_assert!(packet.bytes.len() >= 20 && packet.bytes[0] >> 4 == 4);
                        packets += 1;
                    }
                    Err(_) => failures += 1,
                }
            }
            prop_assert!(failures <= 1);
            // A record has at least 12 bytes of its own, in either format.
            prop_assert!(packets + reader.skipped().total() <= whole / 12);
        }
    }
}

const DNS_MX: u64 = 1_386_104_996_973_318_000;
const HANDSHAKE_NANO: u64 = 1_418_145_370_052_027_262;
const EPB: u64 = 1_734_755_450_619_187_329;

/// One of each format and byte order.
const SMALL: [&str; 6] = [
    "arkime/twovlan.pcap",
    "tcpdump/tcp-handshake-nano.pcap",
    "tcpdump/icmp-cksum-oobr-3.pcapng",
    "gopacket/pcapgo__tests__epb.pcapng",
    "zeek/ipv4__fragmented-4.pcap",
    "pcapplusplus/Packet++Test__PacketExamples__Sll2Packet.pcap",
];

/// Counts straight from the bytes, as a reference.
#[allow(clippy::indexing_slicing, reason = "the reader gives 20 bytes at least")]
fn counted(packets: &[CapturedPacket]) -> [u64; 8] {
    let count = |claim: fn(&[u8]) -> bool| {
        packets.iter().filter(|packet| claim(&packet.bytes)).count() as u64
    };
    [
        packets.len() as u64,
        count(|bytes| u16::from_be_bytes([bytes[6], bytes[7]]) & 0x3fff != 0),
        count(|bytes| bytes[9] == 6),
        count(|bytes| bytes[9] == 17),
        count(|bytes| bytes[9] == 1),
        count(|bytes| !matches!(bytes[9], 1 | 6 | 17)),
        count(|bytes| bytes[0] & 15 > 5),
        count(|bytes| {
            let length = usize::from(bytes[0] & 15) * 4;
            // A header that is cut short cannot be checked.
            let whole = (20..=bytes.len()).contains(&length);
            let words = bytes.get(..length).unwrap_or_default().chunks(2);
            let sum: u32 =
                words.map(|word| u32::from(u16::from_be_bytes([word[0], word[1]]))).sum();
            whole && !sum.is_multiple_of(0xffff)
        }),
    ]
}

fn manifest() -> Vec<Row> {
    let text = String::from_utf8(capture("MANIFEST.tsv")).unwrap_or_default();
    let mut lines = text.lines().map(|line| line.split('\t').collect::<Vec<_>>());
    let names = lines.next().unwrap_or_default();
    lines
        .map(|row| {
            let field = |name: &str| {
                let place = names.iter().position(|field| *field == name);
                place.and_then(|place| row.get(place).copied()).unwrap_or_default()
            };
            let number = |name: &str| field(name).parse().unwrap_or(u64::MAX);
            Row {
                file: field("file").to_owned(),
                packets: number("packets"),
                ipv4_bad: number("ipv4_bad"),
                counts: ["ipv4", "frags", "tcp", "udp", "icmp", "other", "ip_opts", "bad_ip_ck"]
                    .map(number),
            }
        })
        .collect()
}

#[allow(clippy::unwrap_used, reason = "without its captures the test would show nothing")]
fn capture(file: &str) -> Vec<u8> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../verify/corpus/captures");
    fs::read(folder.join(file)).unwrap()
}
