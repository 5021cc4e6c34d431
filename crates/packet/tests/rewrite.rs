//! Rewriting against checksums from scratch.

#![allow(clippy::unwrap_used, reason = "a test may fail by panic")]
use vnetem_packet::{Checksums, Headers, Rewrite, TransportChecksum, rewrite};

fn syn() -> Vec<u8> {
    let mut bytes = vec![0; 45];
    let written = etherparse::PacketBuilder::ipv4([10, 0, 0, 4], [52, 239, 1, 9], 64)
        .tcp(50001, 443, 7, 1000)
        .syn()
        .write_to_slice(&mut bytes, b"hello")
        .unwrap();
    assert_eq!(written, 45);
    bytes
}

#[test]
fn rewriting_keeps_right_checksums_right() {
    let mut packet = syn();
    let headers = Headers::parse(&packet).unwrap();
    assert_eq!(headers.to_string(), "10.0.0.4:50001 > 52.239.1.9:443 tcp S");
    let to = Rewrite { source: Some("20.1.1.1:1024".parse().unwrap()), destination: None };
    rewrite(&mut packet, &headers, to, 63);
    let headers = Headers::parse(&packet).unwrap();
    assert_eq!(headers.to_string(), "20.1.1.1:1024 > 52.239.1.9:443 tcp S");
    assert_eq!(headers.ttl, 63);
    assert_eq!(
        Checksums::of(&packet, &headers),
        Checksums { header: true, transport: TransportChecksum::Right }
    );
}
