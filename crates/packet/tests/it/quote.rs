use std::net::SocketAddrV4;

use proptest::prelude::*;
use vnetem_packet::{
    Checksums, Fragment, Headers, Malformed, Protocol, Quote, Rewrite, Transport, rewrite_quoting,
    verify_icmp_checksum,
};

use crate::packets::{
    Body, Packet, body, bytes, cases, message, octets, packet, packet_of, rewrites,
};
use crate::reference::{self, is_cut_to_zeros, keep_identifier_apart, mend, put, word};

/// Makes an ICMP error about the first `length` bytes of `about`.
fn error(message: u8, code: u8, about: &[u8], length: usize) -> Packet {
    let data = about[..length.min(about.len())].to_vec();
    Packet::new("198.51.100.7", "20.1.1.1", Body::Icmp { message, code, rest: [0; 4], data })
}

fn parse(packet: &[u8]) -> Result<Quote, Malformed> {
    Quote::parse(packet, &Headers::parse(packet).unwrap())
}

fn udp() -> Vec<u8> {
    let body = Body::Udp { ports: [50_001, 53], with_checksum: true, data: vec![7; 9] };
    Packet::new("20.1.1.1", "52.239.1.9", body).bytes()
}

fn tcp() -> Vec<u8> {
    let body = Body::Tcp {
        ports: [50_001, 443],
        sequence: 9,
        acknowledgement: 2,
        flags: 16,
        options: vec![],
        data: vec![7; 9],
    };
    Packet::new("20.1.1.1", "52.239.1.9", body).bytes()
}

fn to(source: &str) -> Rewrite {
    Rewrite { source: Some(source.parse().unwrap()), destination: None }
}

/// Eight bytes behind the quoted header suffice, seven do not (T-25).
#[test]
fn eight_quoted_bytes_suffice() {
    for about in [tcp(), udp()] {
        for length in 0..=about.len() {
            let quote = parse(&error(3, 3, &about, length).bytes());
            match length {
                0..28 => assert_eq!(quote, Err(Malformed::QuoteTruncated)),
                _ => assert_eq!(quote.unwrap().tuple(), Headers::parse(&about).unwrap().tuple()),
            }
        }
    }
}

#[test]
fn tcp_checksum_needs_its_last_byte() {
    let has =
        |length| parse(&error(3, 3, &tcp(), length).bytes()).unwrap().has_transport_checksum();
    assert_eq!(
        (28..40).map(has).collect::<Vec<_>>(),
        [[false; 10].as_slice(), &[true; 2]].concat()
    );
    assert!(parse(&error(3, 3, &udp(), 28).bytes()).unwrap().has_transport_checksum());
}

/// T-22, RFC 5508 REQ-3.
#[test]
fn quoted_header_checksum_must_be_right() {
    let mut about = tcp();
    about[8] ^= 1;
    assert_eq!(parse(&error(11, 0, &about, 28).bytes()), Err(Malformed::QuoteHeader));
    mend(&mut about);
    assert!(parse(&error(11, 0, &about, 28).bytes()).is_ok());
}

#[test]
fn non_header_quote_is_refused() {
    let refused = |offset: usize, value: u8| {
        let mut about = tcp();
        about[offset] = value;
        if offset > 0 {
            mend(&mut about);
        }
        parse(&error(3, 3, &about, 28).bytes())
    };
    assert_eq!(refused(0, 0x65), Err(Malformed::QuoteHeader), "version");
    assert_eq!(refused(0, 0x44), Err(Malformed::QuoteHeader), "header length");
    assert_eq!(refused(0, 0x4F), Err(Malformed::QuoteTruncated), "more header than quoted");
    assert_eq!(refused(3, 19), Err(Malformed::QuoteHeader), "total length");
    assert_eq!(
        refused(3, 27),
        Err(Malformed::QuoteTruncated),
        "total length ends before the ports"
    );
    assert!(refused(3, 28).is_ok());
}

/// An error about an error is refused; an error about a query is not (RFC 1122 3.2.2).
#[test]
fn error_about_error_is_refused() {
    for message in octets() {
        let body = Body::Icmp { message, code: 0, rest: [0, 7, 0, 1], data: vec![] };
        let about = Packet::new("20.1.1.1", "52.239.1.9", body).bytes();
        let quote = parse(&error(3, 3, &about, 28).bytes());
        match message {
            3 | 4 | 5 | 11 | 12 => assert_eq!(quote, Err(Malformed::QuoteOfError)),
            _ => assert_eq!(quote.unwrap().tuple(), Headers::parse(&about).unwrap().tuple()),
        }
    }
}

#[test]
fn only_errors_quote() {
    for message in octets() {
        let quotes = parse(&error(message, 0, &udp(), 28).bytes()).is_ok();
        assert_eq!(quotes, matches!(message, 3 | 4 | 5 | 11 | 12), "type {message}");
    }
    assert_eq!(parse(&udp()), Err(Malformed::NoQuote));
}

/// A quoted later fragment has addresses and no ports, and only the addresses are rewritten (T-25).
#[test]
fn quoted_later_fragment_changes_addresses_only() {
    let body = Body::Udp { ports: [50_001, 53], with_checksum: true, data: vec![7; 40] };
    let about = Packet::new("20.1.1.1", "52.239.1.9", body).fragments(16).remove(1);
    let packet = error(11, 1, &about, 60).bytes();
    let (headers, quote) = (Headers::parse(&packet).unwrap(), parse(&packet).unwrap());
    assert_eq!(quote.headers.fragment, Fragment::Later { offset: 16, last: false });
    assert_eq!((quote.headers.source_port, quote.headers.transport), (0, Transport::None));
    let mut bytes = packet.clone();
    rewrite_quoting(&mut bytes, &headers, &quote, Rewrite::default(), to("10.0.0.4:50001"), 63);
    let mut expected = about[..20].to_vec();
    expected[12..16].copy_from_slice(&[10, 0, 0, 4]);
    mend(&mut expected);
    assert_eq!(bytes[28..48], expected);
    assert_eq!(bytes[48..], about[20..]);
    assert!(Checksums::of(&bytes, &headers).none_wrong());
}

/// A quote may have source routes, since a quote is not routed (T-25).
#[test]
fn quoted_options_are_accepted() {
    let about = Packet {
        options: vec![131, 3, 4, 0],
        ..Packet::new("20.1.1.1", "52.239.1.9", Body::Other { protocol: 47, data: vec![] })
    };
    let about = about.bytes();
    assert_eq!(Headers::parse(&about), Err(Malformed::SourceRoute));
    assert_eq!(parse(&error(3, 5, &about, 24).bytes()).unwrap().headers.header_length, 24);
}

/// The checksum is checked only if the whole message is present (T-22).
#[test]
fn icmp_checksum_verified_unless_truncated() {
    let packet = error(3, 3, &udp(), 37);
    let fragment = packet.fragments(40).remove(0);
    for (bytes, expected) in [(packet.bytes(), false), (fragment, true)] {
        let headers = Headers::parse(&bytes).unwrap();
        assert!(verify_icmp_checksum(&bytes, &headers));
        let mut wrong = bytes.clone();
        wrong[30] ^= 1;
        assert_eq!(verify_icmp_checksum(&wrong, &headers), expected);
    }
}

proptest! {
    #![proptest_config(cases(4000))]

    /// The quote equals a quote of the rewritten packet, wherever it ends. All checksums equal
    /// those from scratch (INV-icmp-quote-translated, T-22, T-23).
    #[test]
    fn error_quotes_the_rewritten_packet(
        about in packet(), extra in 0usize..70, outer in rewrites(), inner in rewrites(), ttl: u8, code in 0u8..16,
        message in prop::sample::select(vec![3u8, 4, 5, 11, 12]),
    ) {
        let about = about.bytes();
        let inner = keep_identifier_apart(inner, &about);
        let length = usize::from(about[0] & 15) * 4 + 8 + extra;
        let packet = error(message, code, &about, length).bytes();
        let headers = Headers::parse(&packet).unwrap();
        let Ok(quote) = Quote::parse(&packet, &headers) else {
            let unquotable = Headers::parse(&about).unwrap().transport == Transport::IcmpError;
            prop_assert!(unquotable);
            return Ok(());
        };
        prop_assert_eq!(quote.tuple(), Headers::parse(&about).unwrap().tuple());
        let mut bytes = packet.clone();
        rewrite_quoting(&mut bytes, &headers, &quote, outer, inner, ttl);
        let mut quoted = reference::rewrite(&about, inner, about[8]);
        if length < quoted.len() && is_cut_to_zeros(&quoted, length) {
            return Ok(());
        }
        if quote.headers.protocol == Protocol::TCP && extra == 9 {
            // Half a checksum counts as none.
            quoted[length - 1] = about[length - 1];
        }
        let expected = error(message, code, &quoted, length);
        prop_assert_eq!(bytes, reference::rewrite(&expected.bytes(), outer, ttl));
    }

    /// A wrong ICMP checksum stays wrong by the same amount, whatever changes in the quote
    /// (INV-wrong-checksum-stays-wrong).
    #[test]
    fn wrong_icmp_checksum_stays_wrong(about in packet(), inner in rewrites(), wrong: u16) {
        let about = about.bytes();
        let mut packet = error(3, 3, &about, 60).bytes();
        put(&mut packet, 22, wrong);
        let headers = Headers::parse(&packet).unwrap();
        let Ok(quote) = Quote::parse(&packet, &headers) else { return Ok(()) };
        let mut bytes = packet.clone();
        rewrite_quoting(&mut bytes, &headers, &quote, Rewrite::default(), inner, 9);
        prop_assert_eq!(reference::transport_sum(&packet) % 0xFFFF, reference::transport_sum(&bytes) % 0xFFFF);
    }

    /// A wrong checksum inside the quote is not corrected either (INV-wrong-checksum-stays-wrong).
    #[test]
    fn wrong_quoted_checksum_is_kept(inner in rewrites(), wrong: u16) {
        let mut about = tcp();
        put(&mut about, 36, wrong);
        let packet = error(3, 3, &about, about.len()).bytes();
        let headers = Headers::parse(&packet).unwrap();
        let mut bytes = packet.clone();
        rewrite_quoting(&mut bytes, &headers, &Quote::parse(&packet, &headers).unwrap(), Rewrite::default(), inner, 9);
        prop_assert_eq!(reference::transport_sum(&about) % 0xFFFF, reference::transport_sum(&bytes[28..]) % 0xFFFF);
        prop_assert!(Checksums::of(&bytes, &headers).none_wrong());
    }

    /// A rewrite and its reverse restore every byte (INV-icmp-quote-translated,
    /// INV-rewrite-reverses).
    #[test]
    fn error_rewrite_is_reversible(about in bytes(), inner in rewrites(), length in 28usize..90) {
        let packet = error(11, 0, &about, length).bytes();
        let headers = Headers::parse(&packet).unwrap();
        let Ok(quote) = Quote::parse(&packet, &headers) else { return Ok(()) };
        if is_cut_to_zeros(&about, length) {
            return Ok(());
        }
        let inner = match quote.headers.fragment {
            Fragment::Later { .. } => inner,
            _ => keep_identifier_apart(inner, &about),
        };
        let tuple = quote.tuple();
        let back = |end: Option<SocketAddrV4>, old| end.map(|_| old);
        let back = Rewrite { source: back(inner.source, tuple.source), destination: back(inner.destination, tuple.destination) };
        let mut bytes = packet.clone();
        rewrite_quoting(&mut bytes, &headers, &quote, Rewrite::default(), inner, 63);
        let there = Quote::parse(&bytes, &headers).unwrap();
        rewrite_quoting(&mut bytes, &headers, &there, Rewrite::default(), back, headers.ttl);
        prop_assert_eq!(bytes, packet);
    }

    /// Any bytes may stand in a quote. An accepted quote can be rewritten (INV-any-bytes-safe).
    #[test]
    fn any_quote_is_refused_or_rewritten(data in prop::collection::vec(any::<u8>(), 0..80), first in 0x44u8..0x4A, mended: bool, inner in rewrites()) {
        let mut data = data;
        if let Some(byte) = data.first_mut() {
            *byte = first;
        }
        if mended && data.len() >= 40 {
            mend(&mut data);
        }
        let packet = error(3, 1, &data, data.len()).bytes();
        let headers = Headers::parse(&packet).unwrap();
        let Ok(quote) = Quote::parse(&packet, &headers) else { return Ok(()) };
        let mut bytes = packet.clone();
        rewrite_quoting(&mut bytes, &headers, &quote, inner, inner, 9);
        prop_assert!(Checksums::of(&bytes, &headers).none_wrong());
        prop_assert_eq!(word(&bytes, 2), word(&packet, 2));
    }

    /// A message that is no error is never read as a quote.
    #[test]
    fn what_is_no_error_quotes_nothing(packet in packet_of(prop_oneof![body(), message()])) {
        let packet = packet.bytes();
        let headers = Headers::parse(&packet).unwrap();
        if headers.transport != Transport::IcmpError {
            prop_assert_eq!(Quote::parse(&packet, &headers), Err(Malformed::NoQuote));
        }
    }
}
