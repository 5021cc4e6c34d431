//! Compares the service tunnel with published vectors and with headers built from scratch, and
//! feeds it any bytes.

use std::collections::BTreeSet;
use std::net::{Ipv4Addr, Ipv6Addr};

use proptest::prelude::*;
use proptest::sample::Index;
use vnetem_packet::tunnel::{
    Encapsulated, Encapsulation, Fragments, Key, Layout, Overlay, Tag, Tunnel, Undecodable,
    Underlay, Untranslatable,
};
use vnetem_packet::{Headers, Identity, Malformed, Rewrite, SubnetId, VnetId, rewrite};

use crate::packets::{Body, Packet, address, body, cases, packet_of, tcp, udp};
use crate::reference::{checksum, checksum_offset, mend, put, transport_sum, word as word_at};

const CALLER: &str = "fd00:108:0:d204:0:200::";
const SERVICE: &str = "2603:10e1:100:2::";
/// Numbers of IPv6 extension headers that are protocols in IPv4.
const EXTENSION_HEADERS: [u8; 7] = [0, 43, 44, 60, 135, 139, 140];
const CLIENT_MAC: [u8; 6] = [2, 0, 0, 0, 0, 1];
const GATEWAY_MAC: [u8; 6] = [2, 0, 0, 0, 0, 2];

/// The three published routes come out byte for byte (W-13, W-14, W-15).
#[test]
fn published_vectors_match_exactly() {
    let exact = Overlay::exactly("2603:10e1:100:2::4601:203".parse().unwrap());
    let vectors = [
        (
            "50.1.2.1",
            tunnel("40.1.2.1", None),
            "4500006600010000402f1c6528010201320102012000655800006400\
             02000000000202000000000186dd60000000001406\
             40fd0001080000d204000002000a010101260310e1010000020000000032010201\
             c35101bb00000007000000005002200081d70000",
        ),
        (
            "60.1.2.1",
            tunnel("30.1.2.1", Some("25.1.2.1")),
            "4500006600010000402f3f651e010201190102012000655800006400\
             02000000000202000000000186dd60000000001406\
             40fd0001080000d204000002000a010101260310e101000002000000003c010201\
             c35101bb00000007000000005002200077d70000",
        ),
        (
            "70.1.2.1",
            Tunnel { destination: exact, ..tunnel("34.1.2.1", None) },
            "4500006600010000402f0e6522010201460102012000655800006400\
             02000000000202000000000186dd60000000001406\
             40fd0001080000d204000002000a010101260310e1010000020000000046010203\
             c35101bb0000000700000000500220006dd50000",
        ),
    ];
    for (destination, tunnel, expected) in vectors {
        let wire = encapsulated(&tunnel, &syn(destination).bytes()).unwrap();
        assert_eq!(wire.iter().map(|byte| format!("{byte:02x}")).collect::<String>(), expected);
    }
}

/// The same private address in two subnets makes two callers. The address is the lowest 32 bits
/// (W-01, W-02, S-05).
#[test]
fn equal_addresses_carry_two_identities() {
    let layout = Layout::default();
    let address = Ipv4Addr::new(10, 1, 1, 1);
    for (vnet, subnet) in [(1, 1), (1, 2), (2, 1), (u32::MAX, 0xFFFF)] {
        let identity = Identity { vnet: VnetId(vnet), subnet: SubnetId(subnet), address };
        let source = layout.encode(Tag::of(Tag::SERVICE_TUNNEL, 5, identity)).unwrap();
        let tunnel = Tunnel { source, ..tunnel("40.1.2.1", None) };
        let wire = encapsulated(&tunnel, &syn("50.1.2.1").bytes()).unwrap();
        let received = Encapsulated::parse(&wire).unwrap();
        let tag = layout.decode(received.source);
        assert_eq!((tag.kind, tag.region), (Tag::SERVICE_TUNNEL, 5));
        assert_eq!(received.embedded(), [address, Ipv4Addr::new(50, 1, 2, 1)]);
        assert_eq!(tag.identity(received.embedded()[0]), Some(identity));
    }
}

/// The key is 100 and the outer source the host; the outer destination is the service's unless
/// another is given (W-03).
#[test]
fn default_tunnel_destination_is_packets_own() {
    for (given, expected) in [(None, "50.1.2.1"), (Some("25.1.2.1"), "25.1.2.1")] {
        let wire = encapsulated(&tunnel("40.1.2.1", given), &syn("50.1.2.1").bytes()).unwrap();
        let outer = Headers::parse(&wire).unwrap();
        assert_eq!((outer.source, outer.destination), (ip("40.1.2.1"), ip(expected)));
        assert_eq!(Encapsulated::parse(&wire).unwrap().underlay.key.number(), 100);
    }
}

/// A gateway changes the outer source and nothing inside, not even a port (W-04).
#[test]
fn gateway_replaces_only_outer_source() {
    let packet = syn("50.1.2.1").bytes();
    let host = encapsulated(&tunnel("100.64.0.9", None), &packet).unwrap();
    let gateway = encapsulated(&tunnel("40.1.2.1", None), &packet).unwrap();
    let changed: Vec<_> = (0..host.len()).filter(|&at| host[at] != gateway[at]).collect();
    assert!(changed.iter().all(|at| [10, 11, 12, 13, 14, 15].contains(at)), "{changed:?}");
    assert_ne!(host[12..16], gateway[12..16]);
}

/// The service replies from a backend's port with what it kept of the request. The caller sees the
/// address and port that it called, as without a tunnel (W-05, W-06, W-12).
#[test]
fn reply_uses_the_requests_record() {
    for encapsulation in [Encapsulation::Nvgre, Encapsulation::Vxlan] {
        let mut there = tunnel("40.1.2.1", None);
        there.underlay.encapsulation = encapsulation;
        let request = syn("50.1.2.1").bytes();
        let wire = encapsulated(&there, &request).unwrap();
        let received = Encapsulated::parse(&wire).unwrap();

        // The backend in the figure listens on another port (W-05).
        let mut at_backend = decapsulated(&received, &wire, received.embedded());
        let backend = Some("10.9.9.9:2200".parse().unwrap());
        rewritten(&mut at_backend, Rewrite { source: None, destination: backend });
        let answer = Body::Tcp {
            ports: [2200, 50_001],
            sequence: 9,
            acknowledgement: 8,
            flags: 0x12,
            options: vec![],
            data: vec![],
        };
        let mut answer = Packet::new("10.9.9.9", "10.1.1.1", answer).bytes();
        let service = Some("50.1.2.1:443".parse().unwrap());
        rewritten(&mut answer, Rewrite { source: service, destination: None });

        let back = encapsulated(&received.reply(), &answer).unwrap();
        let returned = Encapsulated::parse(&back).unwrap();
        assert_eq!(returned.underlay.encapsulation, encapsulation);
        assert_eq!(returned.underlay.key, there.underlay.key);
        let outer = Headers::parse(&back).unwrap();
        assert_eq!((outer.source, outer.destination), (ip("50.1.2.1"), ip("40.1.2.1")));
        assert_eq!(
            [returned.source, returned.destination],
            [received.destination, received.source]
        );
        assert_eq!(returned.underlay.source_mac, GATEWAY_MAC);
        assert_eq!(returned.underlay.destination_mac, CLIENT_MAC);

        let seen = decapsulated(&returned, &back, returned.embedded());
        let headers = Headers::parse(&seen).unwrap();
        assert_eq!(headers.to_string(), "50.1.2.1:443 > 10.1.1.1:50001 tcp SA");
        assert_eq!(transport_sum(&seen), 0xFFFF);
    }
}

/// Behind a fixed overlay the flow restores the addresses (W-06, W-15).
#[test]
fn fixed_overlay_restores_flow_addresses() {
    let there = Tunnel {
        destination: Overlay::exactly("2603:10e1:100:2::4601:203".parse().unwrap()),
        ..tunnel("34.1.2.1", None)
    };
    let wire = encapsulated(&there, &syn("70.1.2.1").bytes()).unwrap();
    let received = Encapsulated::parse(&wire).unwrap();
    assert_eq!(received.embedded()[1], ip("70.1.2.3"));
    let fast_headers = decapsulated(&received, &wire, [ip("10.1.1.1"), ip("70.1.2.1")]);
    assert_eq!(
        Headers::parse(&fast_headers).unwrap().to_string(),
        "10.1.1.1:50001 > 70.1.2.1:443 tcp S"
    );
    assert_eq!(transport_sum(&fast_headers), 0xFFFF);
}

/// Traffic class and flow label are 0, the payload length excludes the old header, next header and
/// hop limit are kept (W-09).
#[test]
fn ipv6_header_carries_ipv4_fields() {
    let packet = Packet { ttl: 17, service: 0xB8, dont_fragment: true, ..syn("50.1.2.1") };
    let wire = encapsulated(&tunnel("40.1.2.1", None), &packet.bytes()).unwrap();
    assert_eq!(wire[42..50], [0x60, 0, 0, 0, 0, 20, 6, 17]);
}

/// The header has 20 bytes, identification 1, no flags, offset 0, and the hop limit as TTL (W-10).
#[test]
fn returned_ipv4_header_matches_published_one() {
    let packet = Packet {
        ttl: 17,
        service: 0xB8,
        identification: 0x1234,
        dont_fragment: true,
        ..syn("50.1.2.1")
    };
    let wire = encapsulated(&tunnel("40.1.2.1", None), &packet.bytes()).unwrap();
    let fast_headers = there_and_back(&wire);
    assert_eq!(fast_headers[..10], [0x45, 0, 0, 40, 0, 1, 0, 0, 17, 6]);
    assert_eq!(checksum(&[&fast_headers[..20]]), 0);
}

/// The outer TTL is 64, and the inner TTL stays. The outer DSCP is the configured one (W-11).
#[test]
fn outer_header_ignores_inner_ttl_dscp() {
    let mut tunnel = tunnel("40.1.2.1", None);
    tunnel.underlay.dscp = 26;
    let wires = [(1, 0x00), (64, 0xB8), (255, 0xFF)].map(|(ttl, service)| {
        let packet = Packet { ttl, service, ..syn("50.1.2.1") };
        let wire = encapsulated(&tunnel, &packet.bytes()).unwrap();
        assert_eq!((wire[1], wire[8], wire[49]), (26 << 2, 64, ttl));
        assert_eq!(Encapsulated::parse(&wire).unwrap().underlay.dscp, 26);
        wire[..42].to_vec()
    });
    assert!(wires.windows(2).all(|pair| pair[0] == pair[1]));
}

/// The extra prefix of a private endpoint is set above the private address (W-18, C-14).
#[test]
fn private_endpoint_prefix_is_ored_in() {
    let overlay = Overlay::prefix("fd40:108:0:d204:0:200::".parse().unwrap())
        .then(Overlay::ones("2001:0:20::".parse().unwrap()));
    let expected: Ipv6Addr = "fd41:108:20:d204:0:200:a01:101".parse().unwrap();
    assert_eq!(overlay.over(ip("10.1.1.1")), expected);
}

/// A private endpoint's packet differs from a service endpoint's only in the addresses (L-08).
#[test]
fn private_endpoint_has_tunnel_wire_form() {
    let packet = syn("50.1.2.1").bytes();
    let tag = Layout::default().decode(CALLER.parse().unwrap());
    let [service, private] = [Tag::SERVICE_TUNNEL, Tag::PRIVATE_ENDPOINT].map(|kind| {
        let source = Layout::default().encode(Tag { kind, ..tag }).unwrap();
        encapsulated(&Tunnel { source, ..tunnel("40.1.2.1", None) }, &packet).unwrap()
    });
    let changed: Vec<_> = (0..service.len()).filter(|&at| service[at] != private[at]).collect();
    // Only the kind and the TCP checksum differ.
    assert_eq!(changed, [51, 99]);
    assert_eq!([&service[50..52], &private[50..52]], [[0xFD, 0x00], [0xFD, 0x40]]);
}

/// A log can show an identity as an IPv6 address (W-16, W-17, C-04).
#[test]
fn identity_prints_as_ipv6_address() {
    let overlay = Overlay::prefix(CALLER.parse().unwrap());
    assert_eq!(overlay.over(ip("10.1.1.1")).to_string(), "fd00:108:0:d204:0:200:a01:101");
}

/// The outer length is the inner length plus each header once (W-19).
#[test]
fn every_header_is_counted_once() {
    for (encapsulation, headers) in
        [(Encapsulation::Nvgre, 14 + 8 + 20), (Encapsulation::Vxlan, 14 + 8 + 8 + 20)]
    {
        for data in [0, 1, 1000] {
            let body = Body::Udp { ports: [1, 2], with_checksum: true, data: vec![7; data] };
            let mut tunnel = tunnel("40.1.2.1", None);
            tunnel.underlay.encapsulation = encapsulation;
            let packet = Packet::new("10.1.1.1", "50.1.2.1", body).bytes();
            let wire = encapsulated(&tunnel, &packet).unwrap();
            assert_eq!(wire.len(), 40 + 8 + data + headers);
            assert_eq!(usize::from(word_at(&wire, 2)), wire.len());
            if encapsulation == Encapsulation::Vxlan {
                assert_eq!(usize::from(word_at(&wire, 24)), wire.len() - 20);
            }
        }
    }
}

/// VXLAN has port 4789, no checksum, the valid flag, and one source port per flow (W-12).
#[test]
fn vxlan_source_port_is_per_flow() {
    let mut tunnel = tunnel("40.1.2.1", None);
    tunnel.underlay.encapsulation = Encapsulation::Vxlan;
    let wire = |port, data: &[u8]| {
        let body = Body::Udp { ports: [port, 443], with_checksum: true, data: data.to_vec() };
        encapsulated(&tunnel, &Packet::new("10.1.1.1", "50.1.2.1", body).bytes()).unwrap()
    };
    let one = wire(50_001, b"");
    assert_eq!(one[22..36], [18, 181, 0, 78, 0, 0, 8, 0, 0, 0, 0, 0, 100, 0]);
    assert_eq!(one[9], 17);
    assert!(word_at(&one, 20) >= 0xC000);
    assert_eq!(word_at(&one, 20), word_at(&wire(50_001, b"more"), 20));
    assert_ne!(word_at(&one, 20), word_at(&wire(50_002, b""), 20));
}

/// The default layout fits both published samples and can be replaced. A value too wide for its
/// field is an error (U-03).
#[test]
fn identity_layout_is_replaceable() {
    let layout = Layout::default();
    for (sample, tag) in [
        (CALLER, (Tag::SERVICE_TUNNEL, 0x108, 0xd204_0000, 0x200)),
        ("fd40:c00:31:4a4f:6b31:100::", (Tag::PRIVATE_ENDPOINT, 0xc00, 0x31_4a4f_6b31, 0x100)),
    ] {
        let sample: Ipv6Addr = sample.parse().unwrap();
        let read = layout.decode(sample);
        assert_eq!((read.kind, read.region, read.vnet_key, read.subnet), tag);
        assert_eq!(layout.encode(read).unwrap().over(Ipv4Addr::UNSPECIFIED), sample);
    }
    let key_of_another = layout.decode("fd40:c00:31:4a4f:6b31:100::".parse().unwrap());
    assert_eq!(key_of_another.identity(Ipv4Addr::UNSPECIFIED), None);

    let other = Layout::new(8, 8, 48, 32).unwrap();
    let tag = Tag { kind: 0xfd, region: 7, vnet_key: 3, subnet: 0x1_0000 };
    let address = other.encode(tag).unwrap().over(ip("10.1.1.1"));
    assert_eq!(address, "fd07:0:0:3:1:0:a01:101".parse::<Ipv6Addr>().unwrap());
    assert_eq!(other.decode(address), tag);

    let refused = layout.encode(tag).unwrap_err();
    assert_eq!(refused.to_string(), "subnet 0x10000 does not fit the layout's 16 bits");
    for widths in [[16, 16, 48, 15], [16, 16, 48, 17], [17, 15, 48, 16], [0, 0, 65, 31]] {
        let [kind, region, vnet, subnet] = widths;
        assert_eq!(Layout::new(kind, region, vnet, subnet), None, "{widths:?}");
    }
}

/// Options are refused, not lost (U-15).
#[test]
fn packet_with_options_is_not_encapsulated() {
    let packet = Packet { options: vec![1, 1, 1, 0], ..syn("50.1.2.1") };
    let refused = encapsulated(&tunnel("40.1.2.1", None), &packet.bytes());
    assert_eq!(refused, Err(Untranslatable::Options));
}

/// A payload that IPv6 would read as headers is refused, so no caller can forge headers in the
/// tunnel (INV-identity-not-forged).
#[test]
fn ipv6_extension_protocol_is_not_encapsulated() {
    let of = |protocol| {
        let body = Body::Other { protocol, data: vec![6, 0, 0, 0, 0, 0, 0, 0] };
        encapsulated(&tunnel("40.1.2.1", None), &Packet::new("10.1.1.1", "50.1.2.1", body).bytes())
    };
    // The parser reads TCP, UDP and ICMP, and these bytes are none of them.
    let unread = (0..=255).filter(|protocol| ![1, 6, 17].contains(protocol));
    let refused = unread.filter(|&protocol| of(protocol) == Err(Untranslatable::Protocol));
    assert_eq!(refused.collect::<Vec<_>>(), EXTENSION_HEADERS);
}

/// Fragments that are carried one by one join to a datagram with a right checksum on either side
/// (U-16, INV-fragment-checksum-right).
#[test]
fn fragments_reassemble_on_both_sides() {
    let body = Body::Udp { ports: [1, 2], with_checksum: true, data: (0..100).collect() };
    let packet = Packet { identification: 0xBEEF, ..Packet::new("10.1.1.1", "50.1.2.1", body) };
    let tunnel = tunnel("40.1.2.1", None);
    let (mut inside, mut outside) = (Vec::<u8>::new(), Vec::<u8>::new());
    let pieces = packet.fragments(24);
    for (index, piece) in pieces.iter().enumerate() {
        let wire = encapsulated(&tunnel, piece).unwrap();
        assert_eq!((wire[48], word_at(&wire, 46)), (44, word_at(piece, 2) - 20 + 8));
        let more = u16::from(index + 1 < pieces.len());
        let place = u16::try_from(inside.len()).unwrap() | more;
        assert_eq!(wire[82..90], [17, 0, high(place), low(place), 0, 0, 0xBE, 0xEF]);
        inside.extend(&wire[90..]);
        let fast_headers = there_and_back(&wire);
        assert_eq!(fast_headers[4..8], piece[4..8], "identification, flags and offset");
        outside.extend(&fast_headers[20..]);
    }
    let ends = [tunnel.source.over(ip("10.1.1.1")), tunnel.destination.over(ip("50.1.2.1"))];
    assert_eq!(checksum(&[&pseudo_header(ends, 17, inside.len()), &inside]), 0);
    assert_eq!(outside, packet.payload());
}

/// A tunnel without fragments refuses first and later ones. IPv6 has no place for a UDP fragment
/// without a checksum (U-16).
#[test]
fn fragments_refused_where_not_carried() {
    let refusing = Tunnel { fragments: Fragments::Refuse, ..tunnel("40.1.2.1", None) };
    for piece in Packet::new("10.1.1.1", "50.1.2.1", long_segment()).fragments(40) {
        assert_eq!(encapsulated(&refusing, &piece), Err(Untranslatable::Fragment));
        assert!(encapsulated(&tunnel("40.1.2.1", None), &piece).is_ok());
    }
    let body = Body::Udp { ports: [1, 2], with_checksum: false, data: vec![0; 40] };
    let pieces = Packet::new("10.1.1.1", "50.1.2.1", body).fragments(24);
    let carried = pieces.iter().map(|piece| encapsulated(&tunnel("40.1.2.1", None), piece).err());
    assert_eq!(carried.collect::<Vec<_>>(), [Some(Untranslatable::UncheckedFragment), None]);
}

/// A result too long for its length field is refused, and the longest that fits is carried
/// (INV-lengths-agree).
#[test]
fn overlong_packet_is_not_encapsulated() {
    let of = |length: usize| {
        let data = vec![0; length - 28];
        let body = Body::Udp { ports: [1, 2], with_checksum: true, data };
        Packet::new("10.1.1.1", "50.1.2.1", body).bytes()
    };
    let tunnel = tunnel("40.1.2.1", None);
    let longest = 65_535 - 62;
    assert_eq!(encapsulated(&tunnel, &of(longest)).unwrap().len(), 65_535);
    assert_eq!(encapsulated(&tunnel, &of(longest + 1)), Err(Untranslatable::TooLong));
    assert_eq!(encapsulated(&tunnel, &of(65_535)), Err(Untranslatable::TooLong));
}

/// A packet that fills its buffer exactly is written, and a shorter buffer is refused, in both
/// directions.
#[test]
fn buffers_are_filled_exactly() {
    for encapsulation in [Encapsulation::Nvgre, Encapsulation::Vxlan] {
        let mut tunnel = tunnel("40.1.2.1", None);
        tunnel.underlay.encapsulation = encapsulation;
        let packet = syn("50.1.2.1").bytes();
        let headers = Headers::parse(&packet).unwrap();
        let wire = encapsulated(&tunnel, &packet).unwrap();
        let received = Encapsulated::parse(&wire).unwrap();
        for length in 0..=wire.len() {
            let mut buffer = vec![0; length];
            let expected = match length == wire.len() {
                true => Ok(length),
                false => Err(Untranslatable::BufferTooShort),
            };
            assert_eq!(tunnel.encapsulate(&packet, &headers, &mut buffer), expected);
        }
        for length in 0..=packet.len() {
            let expected = match length == packet.len() {
                true => Ok(length),
                false => Err(Untranslatable::BufferTooShort),
            };
            let ends = received.embedded();
            assert_eq!(received.decapsulate(&wire, ends, &mut vec![0; length]), expected);
        }
        let truncated = received.decapsulate(&wire[..wire.len() - 1], received.embedded(), &mut []);
        assert_eq!(truncated, Err(Untranslatable::Truncated));
    }
    let packet = syn("50.1.2.1").bytes();
    let headers = Headers::parse(&packet).unwrap();
    let refused = tunnel("40.1.2.1", None).encapsulate(&packet[..39], &headers, &mut [0; 200]);
    assert_eq!(refused, Err(Untranslatable::Truncated));
}

/// Each cause has an example.
#[test]
fn non_tunnel_packet_has_its_reason() {
    use Undecodable as No;
    let nvgre = encapsulated(&tunnel("40.1.2.1", None), &syn("50.1.2.1").bytes()).unwrap();
    let mut tunnel = tunnel("40.1.2.1", None);
    tunnel.underlay.encapsulation = Encapsulation::Vxlan;
    let vxlan = encapsulated(&tunnel, &syn("50.1.2.1").bytes()).unwrap();
    let fragment = {
        let pieces = Packet::new("10.1.1.1", "50.1.2.1", long_segment()).fragments(40);
        encapsulated(&tunnel, &pieces[0]).unwrap()
    };
    // The bytes, the changes, the outer length, and the expected cause.
    type Case<'a> = (&'a [u8], &'a [(usize, u8)], usize, Undecodable);
    let cases: &[Case<'_>] = &[
        (&nvgre, &[(0, 0x65)], 102, No::Outer(Malformed::NotIpv4)),
        (&nvgre, &[(6, 0x20)], 100, No::OuterFragment),
        (&nvgre, &[(9, 6)], 102, No::Outer(Malformed::TcpHeader)),
        (&nvgre, &[(9, 4)], 102, No::NotTunnel),
        // The published model sets a routing field in place of the key.
        (&nvgre, &[(20, 0x40)], 102, No::GreHeader),
        (&nvgre, &[(20, 0xA0)], 102, No::GreHeader),
        (&nvgre, &[(20, 0x30)], 102, No::GreHeader),
        (&nvgre, &[(21, 1)], 102, No::GreHeader),
        (&nvgre, &[(23, 0x59)], 102, No::GreHeader),
        (&nvgre, &[], 27, No::GreHeader),
        (&nvgre, &[(41, 0)], 102, No::InnerFrame),
        (&nvgre, &[], 41, No::InnerFrame),
        (&nvgre, &[(42, 0x40)], 102, No::InnerHeader),
        (&nvgre, &[(47, 21)], 102, No::InnerHeader),
        (&nvgre, &[], 81, No::InnerHeader),
        (&nvgre, &[(48, 0)], 102, No::ExtensionHeader),
        (&nvgre, &[(48, 43)], 102, No::ExtensionHeader),
        (&nvgre, &[(48, 60)], 102, No::ExtensionHeader),
        (&nvgre, &[(48, 44), (47, 7)], 102, No::InnerFragment),
        (&vxlan, &[(26, 1)], 110, No::OuterChecksum),
        (&vxlan, &[(23, 182)], 110, No::NotTunnel),
        (&vxlan, &[(28, 0)], 110, No::VxlanHeader),
        (&vxlan, &[(24, 0), (25, 15)], 35, No::VxlanHeader),
        (&fragment, &[(90, 60)], 138, No::ExtensionHeader),
        (&fragment, &[(90, 44)], 138, No::ExtensionHeader),
    ];
    for (wire, changes, length, expected) in cases {
        let mut bytes = wire.to_vec();
        for (at, byte) in *changes {
            bytes[*at] = *byte;
        }
        put(&mut bytes, 2, u16::try_from(*length).unwrap());
        mend(&mut bytes);
        assert_eq!(Encapsulated::parse(&bytes).err(), Some(*expected), "{changes:?} {length}");
    }
    let causes = cases.iter().map(|(.., cause)| cause.name());
    let names: BTreeSet<_> =
        causes.chain(Untranslatable::ALL.iter().map(|cause| cause.name())).collect();
    assert_eq!(names.len(), 11 + Untranslatable::ALL.len());
}

/// A UDP datagram without a checksum over IPv6 (RFC 6935) has none in IPv4 either
/// (INV-udp-zero-checksum).
#[test]
fn absent_checksum_stays_absent_on_return() {
    let body = Body::Udp { ports: [1, 2], with_checksum: true, data: vec![7; 9] };
    let packet = Packet::new("10.1.1.1", "50.1.2.1", body).bytes();
    let mut wire = encapsulated(&tunnel("40.1.2.1", None), &packet).unwrap();
    put(&mut wire, 88, 0);
    assert_eq!(word_at(&there_and_back(&wire), 26), 0);
}

/// Frame padding and outer options do not belong to the packet (INV-trailer-ignored).
#[test]
fn frame_padding_is_ignored() {
    let packet = syn("50.1.2.1").bytes();
    let wire = encapsulated(&tunnel("40.1.2.1", None), &packet).unwrap();
    let mut padded = [&wire[..20], &[1, 1, 1, 0], &wire[20..], &[0xEE; 9]].concat();
    padded[0] = 0x46;
    let length = u16::try_from(padded.len()).unwrap();
    put(&mut padded, 2, length);
    mend(&mut padded);
    assert_eq!(there_and_back(&padded), there_and_back(&wire));
}

#[test]
fn a_key_has_24_bits() {
    assert_eq!(Key::new(100), Some(Key::SERVICE_TUNNEL));
    assert_eq!(Key::new(0xFF_FFFF).map(Key::number), Some(0xFF_FFFF));
    assert_eq!(Key::new(0x100_0000), None);
}

proptest! {
    #![proptest_config(cases(1_000))]

    /// Each bit under the mask comes from the prefix, each other bit from the address (W-08).
    #[test]
    fn mask_selects_the_prefix_bits(value: u128, mask: u128, upper: (u128, u128), address in address()) {
        let overlay = |(value, mask)| Overlay::new(Ipv6Addr::from_bits(value), Ipv6Addr::from_bits(mask));
        let over = overlay((value, mask)).over(address).to_bits();
        let both = overlay((value, mask)).then(overlay(upper)).over(address).to_bits();
        for bit in 0..128 {
            let at = |word: u128| word >> bit & 1;
            let low = if at(mask) == 1 { at(value) } else { at(address.to_bits().into()) };
            prop_assert_eq!(at(over), low);
            prop_assert_eq!(at(both), if at(upper.1) == 1 { at(upper.0) } else { low });
        }
    }

    /// The result equals a packet built from scratch, each checksum included (W-20, W-09, W-19,
    /// INV-checksums-stay-right).
    #[test]
    fn packet_equals_one_built_anew(packet in packet_of(carried()), tunnel in tunnels()) {
        let packet = Packet { options: Vec::new(), ..packet };
        prop_assert_eq!(encapsulated(&tunnel, &packet.bytes()).unwrap(), built(&tunnel, &packet));
    }

    /// Addresses, ports and payload return, and checksums are right (INV-tunnel-round-trip, W-20).
    #[test]
    fn decapsulation_reverses_encapsulation(packet in packet_of(prop_oneof![4 => tcp(), 2 => udp(), 1 => carried()]), tunnel in tunnels()) {
        let packet = Packet { options: Vec::new(), ..packet };
        let wire = encapsulated(&tunnel, &packet.bytes()).unwrap();
        let received = Encapsulated::parse(&wire).unwrap();
        let fast_headers = decapsulated(&received, &wire, [packet.source, packet.destination]);
        // W-10 fixes some fields, and an absent UDP checksum is computed. All else is kept.
        let mended = match packet.body.clone() {
            Body::Udp { ports, data, .. } => Body::Udp { ports, with_checksum: true, data },
            body => body,
        };
        let expected = Packet { service: 0, identification: 1, dont_fragment: false, body: mended, ..packet };
        prop_assert_eq!(fast_headers, expected.bytes());
    }

    /// A wrong checksum stays wrong in both directions (INV-wrong-checksum-stays-wrong).
    #[test]
    fn wrong_checksum_survives_the_tunnel(body in prop_oneof![tcp(), udp()], error in 1..0xFFFF_u16, tunnel in tunnels()) {
        let packet = Packet::new("10.1.1.1", "50.1.2.1", body);
        let mut bytes = packet.bytes();
        let place = 20 + checksum_offset(packet.protocol()).unwrap();
        let wrong = add(word_at(&bytes, place), error);
        prop_assume!(packet.protocol() == 6 || (wrong != 0 && word_at(&bytes, place) != 0));
        put(&mut bytes, place, wrong);
        let off = transport_sum(&bytes);
        let wire = encapsulated(&tunnel, &bytes).unwrap();
        let received = Encapsulated::parse(&wire).unwrap();
        let ends = [received.source, received.destination];
        let inner = &wire[wire.len() - (bytes.len() - 20)..];
        let pseudo = pseudo_header(ends, packet.protocol(), inner.len());
        prop_assert!(same(!checksum(&[&pseudo, inner]), off));
        let fast_headers = decapsulated(&received, &wire, [packet.source, packet.destination]);
        prop_assert!(same(transport_sum(&fast_headers), off));
        prop_assert_ne!(off, 0xFFFF);
    }

    /// Any bytes and any damaged packet are refused or read. A packet that is read can be written
    /// and parsed (INV-any-bytes-safe, INV-no-read-past-end).
    #[test]
    fn no_bytes_break_the_tunnel(packet in packet_of(carried()), tunnel in tunnels(), cut: Index, damage in prop::collection::vec((any::<Index>(), any::<u8>()), 0..4), bare in prop::collection::vec(any::<u8>(), 0..200)) {
        let packet = Packet { options: Vec::new(), ..packet };
        let mut wire = encapsulated(&tunnel, &packet.bytes()).unwrap();
        for (at, byte) in damage {
            let at = at.index(wire.len());
            wire[at] = byte;
        }
        let length = u16::try_from(cut.index(wire.len()) + 1).unwrap();
        put(&mut wire, 2, length);
        for trusted in [true, false] {
            // A right outer checksum gets the damage past the outer header's check.
            if trusted && usize::from(wire[0] & 15) * 4 <= wire.len() && wire[0] & 15 >= 5 {
                mend(&mut wire);
            }
            survives(&wire);
        }
        survives(&bare);
    }
}

fn survives(bytes: &[u8]) {
    let Ok(received) = Encapsulated::parse(bytes) else { return };
    let mut buffer = [0; 70_000];
    let Ok(length) = received.decapsulate(bytes, received.embedded(), &mut buffer) else { return };
    let Ok(headers) = Headers::parse(&buffer[..length]) else { return };
    let mut again = [0; 70_000];
    let _ = received.reply().encapsulate(&buffer[..length], &headers, &mut again);
}

/// Builds the packet of a tunnel header by header, with every checksum from scratch.
fn built(tunnel: &Tunnel, packet: &Packet) -> Vec<u8> {
    let ends = [tunnel.source.over(packet.source), tunnel.destination.over(packet.destination)];
    let mut payload = packet.payload();
    let protocol = packet.protocol();
    if let (6 | 17, Some(offset)) = (protocol, checksum_offset(protocol)) {
        put(&mut payload, offset, 0);
        let right = checksum(&[&pseudo_header(ends, protocol, payload.len()), &payload]);
        put(&mut payload, offset, if protocol == 17 && right == 0 { 0xFFFF } else { right });
    }
    let mut inner = vec![0x60, 0, 0, 0];
    inner.extend(u16::try_from(payload.len()).unwrap().to_be_bytes());
    inner.extend([protocol, packet.ttl]);
    inner.extend(ends[0].octets());
    inner.extend(ends[1].octets());
    inner.extend(payload);
    let mut frame = tunnel.underlay.destination_mac.to_vec();
    frame.extend(tunnel.underlay.source_mac);
    frame.extend([0x86, 0xDD]);
    frame.extend(inner);
    let key = tunnel.underlay.key.number().to_be_bytes();
    let mut around = match tunnel.underlay.encapsulation {
        Encapsulation::Nvgre => vec![0x20, 0, 0x65, 0x58, key[1], key[2], key[3], 0],
        Encapsulation::Vxlan => {
            let headers = Headers::parse(&packet.bytes()).unwrap();
            let words = [packet.source.octets(), packet.destination.octets()].concat();
            let ports = [headers.source_port, headers.destination_port].map(u16::to_be_bytes);
            let port = 0xC000 | !checksum(&[&words, ports.as_flattened()]);
            let length = u16::try_from(16 + frame.len()).unwrap();
            let mut bytes = [port, 4789, length, 0].map(u16::to_be_bytes).concat();
            bytes.extend([8, 0, 0, 0, key[1], key[2], key[3], 0]);
            bytes
        }
    };
    around.extend(frame);
    let protocol = if tunnel.underlay.encapsulation == Encapsulation::Nvgre { 47 } else { 17 };
    let destination = tunnel.underlay.destination.unwrap_or(packet.destination);
    let outer = Packet {
        ttl: 64,
        service: tunnel.underlay.dscp * 4,
        ..Packet::new(
            &tunnel.underlay.source.to_string(),
            &destination.to_string(),
            Body::Other { protocol, data: around },
        )
    };
    outer.bytes()
}

fn pseudo_header(ends: [Ipv6Addr; 2], protocol: u8, length: usize) -> Vec<u8> {
    let mut bytes = [ends[0].octets(), ends[1].octets()].concat();
    bytes.extend(u32::try_from(length).unwrap().to_be_bytes());
    bytes.extend([0, 0, 0, protocol]);
    bytes
}

fn encapsulated(tunnel: &Tunnel, packet: &[u8]) -> Result<Vec<u8>, Untranslatable> {
    let headers = Headers::parse(packet).unwrap();
    let mut buffer = vec![0xAA; packet.len() + Tunnel::MAXIMUM_OVERHEAD];
    let length = tunnel.encapsulate(packet, &headers, &mut buffer)?;
    buffer.truncate(length);
    Ok(buffer)
}

fn decapsulated(received: &Encapsulated, wire: &[u8], ends: [Ipv4Addr; 2]) -> Vec<u8> {
    let mut buffer = vec![0xAA; wire.len()];
    let length = received.decapsulate(wire, ends, &mut buffer).unwrap();
    buffer.truncate(length);
    buffer
}

fn there_and_back(wire: &[u8]) -> Vec<u8> {
    let received = Encapsulated::parse(wire).unwrap();
    decapsulated(&received, wire, received.embedded())
}

fn rewritten(packet: &mut [u8], to: Rewrite) {
    let headers = Headers::parse(packet).unwrap();
    rewrite(packet, &headers, to, headers.ttl);
}

fn tunnel(source: &str, destination: Option<&str>) -> Tunnel {
    Tunnel {
        source: Overlay::prefix(CALLER.parse().unwrap()),
        destination: Overlay::prefix(SERVICE.parse().unwrap()),
        underlay: Underlay {
            source: ip(source),
            destination: destination.map(ip),
            encapsulation: Encapsulation::Nvgre,
            key: Key::SERVICE_TUNNEL,
            dscp: 0,
            source_mac: CLIENT_MAC,
            destination_mac: GATEWAY_MAC,
        },
        fragments: Fragments::Carry,
    }
}

/// Any tunnel, often with overlays of all zeros or all ones: the corner cases of ones' complement
/// sums.
fn tunnels() -> impl Strategy<Value = Tunnel> {
    let bits = || prop_oneof![Just(0), Just(u128::MAX), any::<u128>()];
    let overlay = (bits(), bits()).prop_map(|(value, mask)| {
        Overlay::new(Ipv6Addr::from_bits(value), Ipv6Addr::from_bits(mask))
    });
    let encapsulation = prop_oneof![Just(Encapsulation::Nvgre), Just(Encapsulation::Vxlan)];
    let ends = (address(), prop::option::of(address()));
    ([overlay.clone(), overlay], ends, encapsulation, 0..0x100_0000_u32, 0..64_u8).prop_map(
        |([source_bits, destination_bits], (source, destination), encapsulation, key, dscp)| {
            Tunnel {
                source: source_bits,
                destination: destination_bits,
                underlay: Underlay {
                    source,
                    destination,
                    encapsulation,
                    key: Key::new(key).unwrap(),
                    dscp,
                    source_mac: CLIENT_MAC,
                    destination_mac: GATEWAY_MAC,
                },
                fragments: Fragments::Carry,
            }
        },
    )
}

/// Any packet that may enter a tunnel.
fn carried() -> impl Strategy<Value = Body> {
    body().prop_filter("an extension header in IPv6", |body| {
        !matches!(body, Body::Other { protocol, .. } if EXTENSION_HEADERS.contains(protocol))
    })
}

fn syn(destination: &str) -> Packet {
    let body = Body::Tcp {
        ports: [50_001, 443],
        sequence: 7,
        acknowledgement: 0,
        flags: 2,
        options: vec![],
        data: vec![],
    };
    Packet::new("10.1.1.1", destination, body)
}

fn long_segment() -> Body {
    Body::Tcp {
        ports: [50_001, 443],
        sequence: 7,
        acknowledgement: 0,
        flags: 16,
        options: vec![],
        data: vec![7; 60],
    }
}

/// Says whether two sums are the same number: 0x0000 and 0xFFFF are both zero.
fn same(left: u16, right: u16) -> bool {
    left == right || [left, right].iter().all(|sum| [0, 0xFFFF].contains(sum))
}

/// Adds two words as checksums do.
fn add(left: u16, right: u16) -> u16 {
    let (sum, carry) = left.overflowing_add(right);
    sum + u16::from(carry)
}

fn ip(text: &str) -> Ipv4Addr {
    text.parse().unwrap()
}

fn high(word: u16) -> u8 {
    word.to_be_bytes()[0]
}

fn low(word: u16) -> u8 {
    word.to_be_bytes()[1]
}
