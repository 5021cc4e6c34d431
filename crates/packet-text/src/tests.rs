//! Compares lines, packets and bytes with one another.

use proptest::prelude::*;
use vnetem_packet::{Checksums, Fragment, Headers, Transport, TransportChecksum};

use super::*;
use crate::strategies;

fn parse(line: &str) -> Packet {
    line.parse().unwrap_or_else(|error| panic!("{line}: {error}"))
}

#[test]
fn lines_of_every_kind_round_trip() {
    for line in [
        "10.0.0.4:50001 > 52.239.1.9:443 tcp S",
        "10.0.0.4:50001 > 52.239.1.9:443 tcp PA seq 1 ack 2 win 512 len 10",
        "10.0.0.4:50001 > 52.239.1.9:443 tcp SA seq 7 ack 8 mss 1460 wscale 7",
        "10.0.0.4:50001 > 52.239.1.9:443 tcp . ttl 1 df",
        "10.0.0.4:50001 > 52.239.1.9:443 tcp FSRPAUEC",
        "10.0.0.4:53 > 52.239.1.9:53 udp len 20",
        "10.0.0.4:53 > 52.239.1.9:53 udp no-checksum len 20 ttl 255",
        "10.0.0.4 > 52.239.1.9 icmp echo id 7",
        "52.239.1.9 > 10.0.0.4 icmp reply id 7 seq 3 len 8",
        "8.8.8.8 > 10.0.0.4 icmp unreachable port about 10.0.0.4:5 > 8.8.8.8:53 udp",
        "8.8.8.8 > 10.0.0.4 icmp unreachable fragmentation-needed mtu 1400 quote 8 about 10.0.0.4:5 > 8.8.8.8:53 tcp A len 100",
        "8.8.8.8 > 10.0.0.4 icmp time-exceeded ttl 9 bad-checksum about 10.0.0.4:5 > 8.8.8.8:53 udp bad-ip-checksum",
        "8.8.8.8 > 10.0.0.4 icmp time-exceeded reassembly about 10.0.0.4 > 8.8.8.8 udp len 8 frag id 1 offset 0 more",
        "8.8.8.8 > 10.0.0.4 icmp parameter-problem about 10.0.0.4 > 8.8.8.8 icmp echo id 1",
        "10.0.0.4:5 > 8.8.8.8:53 udp len 16 frag id 9 offset 0 more",
        "10.0.0.4 > 8.8.8.8 udp len 8 frag id 9 offset 24",
        "10.0.0.4 > 8.8.8.8 ip-47 len 20 df",
        "10.0.0.4:1 > 8.8.8.8:2 tcp S bad-checksum bad-ip-checksum",
    ] {
        assert_eq!(parse(line).to_string(), line);
    }
}

#[test]
fn default_fields_are_accepted_not_printed() {
    let line = "10.0.0.4:5 > 8.8.8.8:53 tcp A seq 0 ack 1 win 65535 len 0 ttl 64";
    assert_eq!(parse(line).to_string(), "10.0.0.4:5 > 8.8.8.8:53 tcp A ack 1");
}

#[test]
fn words_may_stand_in_any_order() {
    let line = "10.0.0.4:5 > 8.8.8.8:53 tcp A df len 7 ttl 9 ack 3 seq 2";
    assert_eq!(parse(line).to_string(), "10.0.0.4:5 > 8.8.8.8:53 tcp A seq 2 ack 3 len 7 ttl 9 df");
}

#[test]
fn error_names_word_and_expectation() {
    for (line, message) in [
        ("", "expected an address, or address:port, found nothing"),
        ("10.0.0.4:5 8.8.8.8:53", "expected `>`, found `8.8.8.8:53`"),
        (
            "10.0.0.4:5 > 8.8.8.8 tcp S",
            "expected two addresses, both with a port or both without, found `8.8.8.8`",
        ),
        ("10.0.0.4:5 > 8.8.8.8:53 sctp", "expected `tcp` or `udp`, found `sctp`"),
        ("10.0.0.4:5 > 8.8.8.8:53 tcp X", "expected TCP flags, found `X`"),
        ("10.0.0.4:5 > 8.8.8.8:53 tcp S seq many", "expected a sequence number, found `many`"),
        ("10.0.0.4:5 > 8.8.8.8:53 udp len 70000", "expected a length up to 65455, found `70000`"),
        ("10.0.0.4:5 > 8.8.8.8:53 udp len 65500", "expected a length up to 65455, found `65500`"),
        ("10.0.0.4:5 > 8.8.8.8:53 udp frag id 1 offset 7", "expected a multiple of 8, found `7`"),
        (
            "10.0.0.4:5 > 8.8.8.8:53 udp win 5",
            "expected a word of a UDP datagram, or the end of the line, found `win`",
        ),
        (
            "10.0.0.4:5 > 8.8.8.8:53 udp about 1.1.1.1 > 2.2.2.2 udp",
            "expected a word of a UDP datagram, or the end of the line, found `about`",
        ),
        (
            "10.0.0.4 > 8.8.8.8 icmp unreachable moon",
            "expected `net`, `host`, `protocol`, `port`, `prohibited` or `fragmentation-needed`, found `moon`",
        ),
        ("10.0.0.4 > 8.8.8.8 icmp time-exceeded", "expected `about`, found nothing"),
    ] {
        assert_eq!(line.parse::<Packet>().unwrap_err().to_string(), message, "{line}");
    }
}

#[test]
fn quotes_of_quotes_have_an_end() {
    let line = "1.1.1.1 > 2.2.2.2 icmp time-exceeded about ".repeat(10_000);
    assert_eq!(line.parse::<Packet>().unwrap_err().expected, "no deeper quote");
}

/// A computed checksum of 0 is sent as all ones, and no checksum as 0 (T-30,
/// INV-udp-zero-checksum).
#[test]
fn computed_udp_checksum_is_never_zero() {
    // With these ports the sum is all ones.
    let field = |packet: &Packet| u16::from_be_bytes([packet.build()[26], packet.build()[27]]);
    let base = field(&parse("10.0.0.4:0 > 8.8.8.8:53 udp"));
    let corner = parse(&format!("10.0.0.4:{base} > 8.8.8.8:53 udp"));
    assert_eq!(field(&corner), 0xffff);
    assert_eq!(field(&parse("10.0.0.4:5 > 8.8.8.8:53 udp no-checksum")), 0);
}

#[test]
fn fragments_carry_the_datagram_between_them() {
    let packet = parse("10.0.0.4:5 > 8.8.8.8:53 udp len 3000 df ttl 9").build();
    let parts = fragments(&packet, 1500, 77);
    assert_eq!(parts.len(), 3);
    let mut data = Vec::new();
    for (index, part) in parts.iter().enumerate() {
        let headers = Headers::parse(part).unwrap();
        assert!(part.len() <= 1500);
        assert_eq!((headers.identification, headers.ttl), (77, 9));
        match headers.fragment {
            Fragment::First => assert_eq!(index, 0),
            Fragment::Later { offset, last } => {
                assert_eq!(usize::from(offset), data.len());
                assert_eq!(last, index == 2);
            }
            Fragment::Whole => panic!("{headers}"),
        }
        data.extend_from_slice(&part[20..]);
    }
    assert_eq!(data, packet[20..]);
    assert_eq!(fragments(&packet, 3028, 77), vec![packet.clone()]);
    assert_eq!(fragments(&packet, 27, 77), Vec::<bytes::Bytes>::new());
}

#[test]
fn flaw_changes_only_the_checksum() {
    for line in [
        "10.0.0.4:1 > 8.8.8.8:2 tcp S",
        "10.0.0.4:1 > 8.8.8.8:2 udp len 3",
        "10.0.0.4 > 8.8.8.8 icmp echo id 3",
        "8.8.8.8 > 10.0.0.4 icmp unreachable port",
    ] {
        let about = if line.contains("port") { " about 10.0.0.4:5 > 8.8.8.8:53 udp" } else { "" };
        let good = parse(&format!("{line}{about}")).build();
        let bad = parse(&format!("{line} bad-checksum{about}")).build();
        let headers = Headers::parse(&bad).unwrap();
        assert_eq!(Checksums::of(&bad, &headers).transport, TransportChecksum::Wrong, "{line}");
        assert_eq!(good.iter().zip(&bad).filter(|(a, b)| a != b).count(), 1, "{line}");
        let worse = parse(&format!("{line} bad-ip-checksum{about}")).build();
        assert_eq!(Headers::parse(&worse), Err(vnetem_packet::Malformed::HeaderChecksum));
    }
}

/// Eight quoted bytes tell which flow an error is about (T-25).
#[test]
fn truncated_quote_reads_what_is_there() {
    let line = "8.8.8.8 > 10.0.0.4 icmp time-exceeded quote 8 about 10.0.0.4:5 > 9.9.9.9:80 tcp A seq 7 ack 9 len 10";
    let read = Packet::read(&parse(line).build()).unwrap();
    assert_eq!(
        read.to_string(),
        "8.8.8.8 > 10.0.0.4 icmp time-exceeded quote 8 about 10.0.0.4:5 > 9.9.9.9:80 tcp . seq 7 win 0"
    );
}

#[test]
fn other_icmp_messages_read_as_data() {
    let mut bytes = parse("8.8.8.8 > 10.0.0.4 icmp echo id 7 len 12").build().to_vec();
    bytes[20] = 13;
    let read = Packet::read(&bytes).unwrap();
    assert_eq!(read.content, Content::Data { protocol: Protocol::ICMP, length: 20 });
    assert!(Headers::parse(&bytes).unwrap().transport == Transport::IcmpRequest);
}

fn quoted_whole(packet: &Packet) -> bool {
    match &packet.content {
        Content::Error(icmp_error) => {
            icmp_error.quoted.is_none() && icmp_error.about.build().len() <= 548
        }
        _ => true,
    }
}

/// Says whether a line tells all of a packet. A later fragment reads as data, and so does a first
/// one that is shorter than its header says.
fn says_all(packet: &Packet) -> bool {
    let tiny = matches!(packet.content, Content::Data { protocol: Protocol(1 | 6 | 17), .. });
    quoted_whole(packet) && !(tiny && packet.fragment.is_none())
}

proptest! {
    #[test]
    fn lines_and_packets_round_trip(packet in strategies::packet(), checksum: bool, header_checksum: bool) {
        let packet = Packet { flaws: Flaws { checksum, header_checksum }, ..packet };
        let line = packet.to_string();
        let read: Packet = line.parse().unwrap();
        prop_assert_eq!(&read, &packet);
        prop_assert_eq!(read.to_string(), line);
    }

    #[test]
    fn bytes_say_what_the_packet_said(packet in strategies::packet(), header_checksum: bool) {
        prop_assume!(says_all(&packet));
        let packet = Packet { flaws: Flaws { checksum: false, header_checksum }, ..packet };
        prop_assert_eq!(Packet::read(&packet.build()), Ok(packet));
    }

    #[test]
    fn a_wrong_checksum_is_seen(packet in strategies::packet()) {
        prop_assume!(says_all(&packet) && packet.fragment.is_none());
        prop_assume!(!matches!(packet.content, Content::Data { .. } | Content::Udp(Datagram { checksum: false, .. })));
        let packet = Packet { flaws: Flaws { checksum: true, header_checksum: false }, ..packet };
        prop_assert_eq!(Packet::read(&packet.build()), Ok(packet));
    }

    /// Whatever bytes are read, the packet prints as a line that parses to the same packet.
    #[test]
    fn readable_bytes_print_and_parse(bytes in strategies::adversarial()) {
        if let Ok(packet) = Packet::read(&bytes) {
            prop_assert_eq!(packet.to_string().parse::<Packet>(), Ok(packet));
        }
    }

    #[test]
    fn any_line_parses_without_panic(line in "[0-9a-zA-Z.:> -]{0,80}") {
        let _ = line.parse::<Packet>();
    }
}
