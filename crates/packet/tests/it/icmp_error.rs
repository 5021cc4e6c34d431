use std::net::Ipv4Addr;

use proptest::prelude::*;
use vnetem_packet::{
    Checksums, Fragment, Headers, IcmpError, IcmpErrorKind, Quote, Transport, TransportChecksum,
};

use crate::packets::{Body, Packet, address, bytes, cases, octets, packet};

const KINDS: [(IcmpErrorKind, u8, u8, u16); 5] = [
    (IcmpErrorKind::TimeExceeded, 11, 0, 0),
    (IcmpErrorKind::FragmentationNeeded { mtu: 1400 }, 3, 4, 1400),
    (IcmpErrorKind::HostUnreachable, 3, 1, 0),
    (IcmpErrorKind::PortUnreachable, 3, 3, 0),
    (IcmpErrorKind::AdministrativelyProhibited, 3, 13, 0),
];

fn udp(source: Ipv4Addr, destination: Ipv4Addr, length: usize) -> Packet {
    let body = Body::Udp { ports: [50_001, 53], with_checksum: true, data: vec![7; length] };
    Packet { source, destination, ..Packet::new("0.0.0.0", "0.0.0.0", body) }
}

fn may_answer(source: &str, destination: &str) -> bool {
    let packet = udp(source.parse().unwrap(), destination.parse().unwrap(), 9).bytes();
    IcmpError::may_answer(&Headers::parse(&packet).unwrap())
}

/// Tries the first and last address of each range, and their neighbours (INV-last-hop-ends, RFC
/// 1122 3.2.2).
#[test]
fn only_single_hosts_get_errors() {
    let sources = [
        "0.0.0.0",
        "0.255.255.255",
        "127.0.0.0",
        "127.255.255.255",
        "224.0.0.0",
        "239.255.255.255",
        "240.0.0.0",
    ];
    for source in sources.into_iter().chain(["255.255.255.254", "255.255.255.255"]) {
        assert!(!may_answer(source, "52.239.1.9"), "from {source}");
    }
    for destination in
        ["0.0.0.0", "0.255.255.255", "224.0.0.0", "239.255.255.255", "255.255.255.255"]
    {
        assert!(!may_answer("10.0.0.4", destination), "to {destination}");
    }
    for address in
        ["1.0.0.0", "126.255.255.255", "128.0.0.0", "223.255.255.255", "10.0.0.4", "169.254.1.1"]
    {
        assert!(may_answer(address, "52.239.1.9"), "from {address}");
        assert!(may_answer("10.0.0.4", address), "to {address}");
    }
}

/// Errors answer every ICMP message but errors, and first fragments but no later ones
/// (INV-last-hop-ends).
#[test]
fn no_error_about_errors_or_fragments() {
    for message in octets() {
        let body = Body::Icmp { message, code: 0, rest: [0; 4], data: vec![7; 40] };
        let fragments = Packet::new("10.0.0.4", "52.239.1.9", body).fragments(24);
        let [first, later] =
            [&fragments[0], &fragments[1]].map(|bytes| Headers::parse(bytes).unwrap());
        assert_eq!(
            IcmpError::may_answer(&first),
            !matches!(message, 3 | 4 | 5 | 11 | 12),
            "type {message}"
        );
        assert!(!IcmpError::may_answer(&later));
    }
}

/// An error has 576 bytes at most, and never quotes bytes behind the total length (T-26,
/// INV-trailer-ignored).
#[test]
fn as_much_is_quoted_as_fits() {
    for length in [0, 1, 500, 519, 520, 521, 1400, 60_000] {
        let mut about = udp([10, 0, 0, 4].into(), [52, 239, 1, 9].into(), length).bytes();
        let headers = Headers::parse(&about).unwrap();
        let quoted = about.len().min(548);
        about.extend([0xEE; 30]);
        let mut buffer = [0xAA; IcmpError::MAXIMUM_LENGTH];
        let error = IcmpError { kind: IcmpErrorKind::TimeExceeded, source: [10, 0, 0, 1].into() };
        let written = error.write(&about, &headers, &mut buffer);
        assert_eq!(written, 28 + quoted);
        assert_eq!(buffer[28..written], about[..quoted]);
    }
}

proptest! {
    #![proptest_config(cases(1000))]

    /// An error reads back with right checksums and ends, and quotes its packet
    /// (INV-generated-packets-valid, T-26).
    #[test]
    fn an_error_reads_back(about in bytes(), kind in prop::sample::select(KINDS.to_vec()), source in address(), trash: u8) {
        let Ok(headers) = Headers::parse(&about) else { return Ok(()) };
        let (kind, message, code, rest) = kind;
        let mut buffer = [trash; IcmpError::MAXIMUM_LENGTH];
        let length = IcmpError { kind, source }.write(&about, &headers, &mut buffer);
        let packet = &buffer[..length];
        let error = Headers::parse(packet).unwrap();
        prop_assert_eq!(usize::from(error.total_length), length);
        prop_assert_eq!((error.source, error.destination, error.ttl), (source, headers.source, 64));
        prop_assert_eq!((error.transport, error.fragment), (Transport::IcmpError, Fragment::Whole));
        prop_assert_eq!(error.identification, headers.identification);
        prop_assert_eq!([packet[20], packet[21]], [message, code]);
        prop_assert_eq!(&packet[24..28], &[[0, 0], rest.to_be_bytes()].concat());
        prop_assert_eq!(Checksums::of(packet, &error), Checksums { header: true, transport: TransportChecksum::Right });
        prop_assert!(!IcmpError::may_answer(&error));
        prop_assert!(trash == 0 || buffer[length..].iter().all(|byte| *byte == trash));
    }

    /// The quote in vnetem's own errors is readable and has the tuple of the packet.
    #[test]
    fn error_quote_has_the_packets_tuple(about in packet(), kind in prop::sample::select(KINDS.to_vec())) {
        let about = about.bytes();
        let headers = Headers::parse(&about).unwrap();
        if !IcmpError::may_answer(&headers) {
            return Ok(());
        }
        let mut buffer = [0; IcmpError::MAXIMUM_LENGTH];
        let length = IcmpError { kind: kind.0, source: headers.destination }.write(&about, &headers, &mut buffer);
        let error = Headers::parse(&buffer[..length]).unwrap();
        prop_assert_eq!(Quote::parse(&buffer[..length], &error).unwrap().tuple(), headers.tuple());
    }
}
