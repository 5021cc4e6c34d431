//! Strategies of proptest for a forwarding path.
//!
//! They make few addresses and ports, so that flows collide. They make packets of every kind, and
//! packets that nobody should send.
//!
//! ```
//! use proptest::prelude::*;
//! use vnetem_packet_text::strategies;
//! use vnetem_packet::Headers;
//!
//! proptest!(|(packet in strategies::packet())| {
//!     prop_assert!(Headers::parse(&packet.build()).is_ok());
//! });
//! proptest!(|(bytes in strategies::adversarial())| {
//!     let _ = Headers::parse(&bytes);
//! });
//! ```

use core::net::{Ipv4Addr, SocketAddrV4};

use proptest::prelude::*;
use proptest::sample::select;
use vnetem_packet::{FiveTuple, Protocol, TcpFlags};

use crate::{Content, Datagram, Echo, Flaws, IcmpError, Packet, Part, Problem, Segment, fragments};

/// Generates one of eight private addresses in two subnets, the same in every VNet.
pub fn private_address() -> impl Strategy<Value = Ipv4Addr> {
    (0_u8..2, 4_u8..8).prop_map(|(subnet, host)| Ipv4Addr::new(10, 0, subnet, host))
}

/// Generates one of five public addresses: three of Storage's range, one of Sql's, one of no
/// service.
pub fn public_address() -> impl Strategy<Value = Ipv4Addr> {
    select(vec![
        Ipv4Addr::new(52, 239, 1, 8),
        Ipv4Addr::new(52, 239, 1, 9),
        Ipv4Addr::new(52, 239, 255, 255),
        Ipv4Addr::new(40, 68, 37, 1),
        Ipv4Addr::new(93, 184, 216, 34),
    ])
}

/// Generates a private or a public address.
pub fn address() -> impl Strategy<Value = Ipv4Addr> {
    prop_oneof![3 => private_address(), 3 => public_address(), 1 => odd_address()]
}

/// Generates a special address that is no usable host (INV-special-addresses-refused).
pub fn odd_address() -> impl Strategy<Value = Ipv4Addr> {
    select(vec![
        Ipv4Addr::new(0, 0, 0, 0),
        Ipv4Addr::new(0, 1, 2, 3),
        Ipv4Addr::new(100, 64, 0, 1),
        Ipv4Addr::new(127, 0, 0, 1),
        Ipv4Addr::new(168, 63, 129, 16),
        Ipv4Addr::new(169, 254, 169, 254),
        Ipv4Addr::new(224, 0, 0, 1),
        Ipv4Addr::new(240, 0, 0, 1),
        Ipv4Addr::new(255, 255, 255, 255),
        Ipv4Addr::new(10, 0, 0, 255),
    ])
}

/// Generates one of four client ports.
pub fn client_port() -> impl Strategy<Value = u16> {
    50_000_u16..50_004
}

/// Generates one of three server ports.
pub fn server_port() -> impl Strategy<Value = u16> {
    select(vec![80_u16, 443, 1433])
}

/// Generates control bits: mostly those of ordinary connections, sometimes any.
pub fn tcp_flags() -> impl Strategy<Value = TcpFlags> {
    // S, SA, A, PA, FA, R, RA.
    let usual = select(vec![0x02_u8, 0x12, 0x10, 0x18, 0x11, 0x04, 0x14]);
    prop_oneof![9 => usual, 1 => any::<u8>()].prop_map(TcpFlags)
}

/// Generates sequence numbers close together, at 0 or at the wrap.
pub fn sequence() -> impl Strategy<Value = u32> {
    (select(vec![0_u32, 1000, u32::MAX - 20]), 0_u32..40)
        .prop_map(|(base, more)| base.wrapping_add(more))
}

/// Generates the tuple of a client with a private address and a public server: TCP, UDP, or ICMP
/// with its identifier in the source port.
pub fn tuple() -> impl Strategy<Value = FiveTuple> {
    let ends = (private_address(), client_port(), public_address(), server_port());
    let protocol = select(vec![Protocol::TCP, Protocol::TCP, Protocol::UDP, Protocol::ICMP]);
    (protocol, ends).prop_map(|(protocol, (client, client_port, server, server_port))| {
        let server_port = if protocol == Protocol::ICMP { 0 } else { server_port };
        FiveTuple {
            protocol,
            source: SocketAddrV4::new(client, client_port),
            destination: SocketAddrV4::new(server, server_port),
        }
    })
}

/// Generates a valid packet of that tuple, in the direction of the tuple.
pub fn packet_of(tuple: FiveTuple) -> impl Strategy<Value = Packet> {
    let (source, destination) = (tuple.source, tuple.destination);
    let (source_port, destination_port) = (source.port(), destination.port());
    let segment =
        (tcp_flags(), sequence(), sequence(), any::<u16>(), option_of(any::<u16>()), length());
    let segment = (segment, option_of(0_u8..15)).prop_map(move |(fields, window_scale)| {
        let (flags, sequence, acknowledgement, window, maximum_segment_size, length) = fields;
        Content::Tcp(Segment {
            source_port,
            destination_port,
            flags,
            sequence,
            acknowledgement,
            window,
            maximum_segment_size,
            window_scale,
            length,
        })
    });
    let datagram = (any::<bool>(), length()).prop_map(move |(checksum, length)| {
        Content::Udp(Datagram { source_port, destination_port, checksum, length })
    });
    // A request has its identifier in the source, a reply in the destination. The other port is 0.
    let reply = source_port == 0;
    let identifier = if reply { destination_port } else { source_port };
    let echo = (any::<u16>(), length()).prop_map(move |(sequence, length)| {
        Content::Echo(Echo { reply, identifier, sequence, length })
    });
    let protocol = tuple.protocol;
    let data = length().prop_map(move |length| Content::Data { protocol, length });
    let content = match protocol {
        Protocol::TCP => segment.boxed(),
        Protocol::UDP => datagram.boxed(),
        Protocol::ICMP => echo.boxed(),
        _ => data.boxed(),
    };
    (content, time_to_live(), any::<bool>()).prop_map(move |(content, ttl, dont_fragment)| Packet {
        ttl,
        dont_fragment,
        ..Packet::new(*source.ip(), *destination.ip(), content)
    })
}

/// Generates an ICMP error from some router on the path that quotes a packet of that tuple, whole
/// or cut.
pub fn error_about(tuple: FiveTuple) -> impl Strategy<Value = Packet> {
    (packet_of(tuple), address(), select(Problem::ALL.to_vec()), option_of(8_u16..40)).prop_map(
        |(about, source, problem, quoted)| {
            let destination = about.source;
            let icmp_error = IcmpError { problem, about: Box::new(about), quoted };
            Packet::new(source, destination, Content::Error(icmp_error))
        },
    )
}

/// Generates a valid packet of any kind, in either direction: TCP, UDP, echo, other protocols, ICMP
/// errors, single fragments.
pub fn packet() -> impl Strategy<Value = Packet> {
    let whole = either_direction().prop_flat_map(packet_of);
    let error = either_direction().prop_flat_map(error_about);
    let other = (address(), address(), select(vec![2_u8, 47, 50, 132]), length()).prop_map(
        |(source, destination, protocol, length)| {
            let protocol = Protocol(protocol);
            Packet::new(source, destination, Content::Data { protocol, length })
        },
    );
    prop_oneof![6 => whole, 2 => error, 1 => other, 2 => fragment()]
}

/// Generates a later fragment, or a first one with its transport header.
pub fn fragment() -> impl Strategy<Value = Packet> {
    let part = (0_u16..3, 0_u16..4, any::<bool>());
    (tuple(), part, 1_u16..8).prop_map(|(tuple, (identification, offset, more), words)| {
        let offset = offset * 24;
        let part = Part { identification, offset, more: more || offset == 0 };
        let (source, destination) = (*tuple.source.ip(), *tuple.destination.ip());
        let data = Content::Data { protocol: tuple.protocol, length: words * 8 };
        let packet = Packet { fragment: Some(part), ..Packet::new(source, destination, data) };
        if offset > 0 {
            return packet;
        }
        let (source_port, destination_port) = (tuple.source.port(), tuple.destination.port());
        let content = match tuple.protocol {
            // 20 bytes of header and 4 of data make a multiple of 8.
            Protocol::TCP => Content::Tcp(Segment {
                length: words * 8 + 4,
                ..Segment::new(source_port, destination_port, TcpFlags::ACK)
            }),
            Protocol::UDP => Content::Udp(Datagram {
                source_port,
                destination_port,
                checksum: true,
                length: words * 8,
            }),
            _ => Content::Echo(Echo {
                reply: false,
                identifier: source_port,
                sequence: 0,
                length: words * 8,
            }),
        };
        Packet { content, ..packet }
    })
}

/// Generates all fragments of a datagram, in any order, possibly with some missing and some twice.
pub fn fragmented() -> impl Strategy<Value = Vec<Vec<u8>>> {
    let datagram = (tuple(), 100_u16..400, 0_u16..3, 28_u16..120);
    datagram
        .prop_flat_map(|(tuple, length, identification, mtu)| {
            let packet = Packet::udp(tuple.source, tuple.destination, length).build();
            let parts = fragments(&packet, mtu, identification);
            let count = parts.len();
            let order = prop::collection::vec(0..count, count..count * 2);
            (Just(parts), prop_oneof![Just((0..count).collect::<Vec<_>>()).prop_shuffle(), order])
        })
        .prop_map(|(parts, order)| {
            order
                .into_iter()
                .filter_map(|index| parts.get(index))
                .map(|part| part.to_vec())
                .collect()
        })
}

/// Generates bytes that a forwarding path must survive.
///
/// They are packets with wrong checksums, wrong lengths, flipped bits, IPv4 options or trailers,
/// packets cut short, and bytes of no form at all. The header checksum is often corrected, so that
/// the damage gets past it.
pub fn adversarial() -> impl Strategy<Value = Vec<u8>> {
    let flaws = (any::<bool>(), any::<bool>());
    let flawed = (packet(), flaws).prop_map(|(packet, (checksum, header_checksum))| {
        Packet { flaws: Flaws { checksum, header_checksum }, ..packet }.build().to_vec()
    });
    let built = packet().prop_map(|packet| packet.build().to_vec());
    let harmed = (built, prop::collection::vec(harm(), 1..4), any::<bool>()).prop_map(
        |(mut bytes, harms, mend)| {
            for harm in harms {
                harm.apply(&mut bytes);
            }
            if mend {
                mend_header_checksum(&mut bytes);
            }
            bytes
        },
    );
    let noise = prop::collection::vec(any::<u8>(), 0..100);
    let dressed_noise = noise.clone().prop_map(|mut bytes| {
        if let Some(first) = bytes.first_mut() {
            *first = 0x45;
        }
        let length = u16::try_from(bytes.len()).unwrap_or(u16::MAX).to_be_bytes();
        bytes.iter_mut().skip(2).zip(length).for_each(|(to, from)| *to = from);
        mend_header_checksum(&mut bytes);
        bytes
    });
    prop_oneof![2 => flawed, 6 => harmed, 1 => noise, 1 => dressed_noise]
}

/// A kind of damage.
#[derive(Clone, Debug)]
enum Harm {
    Truncate(prop::sample::Index),
    FlipBit(prop::sample::Index),
    SetByte(prop::sample::Index, u8),
    /// In the first 40 bytes, where the headers are.
    SetHeaderByte(usize, u8),
    TotalLength(u16),
    /// Options after the fixed header, with the lengths adapted.
    Options(Vec<u8>),
    Trailer(Vec<u8>),
}

fn harm() -> impl Strategy<Value = Harm> {
    let options = prop_oneof![
        // No-operations, a record route, a loose source route, a router alert, and anything.
        Just(vec![1, 1, 1, 0]),
        Just(vec![7, 7, 4, 0, 0, 0, 0, 0]),
        Just(vec![131, 7, 4, 8, 8, 8, 8, 0]),
        Just(vec![148, 4, 0, 0]),
        prop::collection::vec(any::<u8>(), 1..11).prop_map(|words| words.repeat(4)),
    ];
    prop_oneof![
        any::<prop::sample::Index>().prop_map(Harm::Truncate),
        any::<prop::sample::Index>().prop_map(Harm::FlipBit),
        (any::<prop::sample::Index>(), any::<u8>()).prop_map(|(at, byte)| Harm::SetByte(at, byte)),
        (0_usize..40, any::<u8>()).prop_map(|(at, byte)| Harm::SetHeaderByte(at, byte)),
        any::<u16>().prop_map(Harm::TotalLength),
        options.prop_map(Harm::Options),
        prop::collection::vec(any::<u8>(), 1..20).prop_map(Harm::Trailer),
    ]
}

impl Harm {
    fn apply(self, bytes: &mut Vec<u8>) {
        let count = bytes.len().max(1);
        match self {
            Self::Truncate(at) => bytes.truncate(at.index(count)),
            Self::FlipBit(at) => {
                let bit = at.index(count * 8);
                bytes.iter_mut().skip(bit / 8).take(1).for_each(|byte| *byte ^= 1 << (bit % 8));
            }
            Self::SetByte(at, value) => Self::SetHeaderByte(at.index(count), value).apply(bytes),
            Self::SetHeaderByte(at, value) => {
                bytes.iter_mut().skip(at).take(1).for_each(|byte| *byte = value);
            }
            Self::TotalLength(length) => {
                bytes
                    .iter_mut()
                    .skip(2)
                    .zip(length.to_be_bytes())
                    .for_each(|(to, from)| *to = from);
            }
            Self::Options(options) => {
                if bytes.len() >= 20 {
                    let words = u8::try_from(5 + options.len() / 4).unwrap_or(15).min(15);
                    bytes.splice(20..20, options);
                    let length = u16::try_from(bytes.len()).unwrap_or(u16::MAX);
                    Self::SetHeaderByte(0, 0x40 | words).apply(bytes);
                    Self::TotalLength(length).apply(bytes);
                }
            }
            Self::Trailer(more) => bytes.extend(more),
        }
    }
}

fn mend_header_checksum(bytes: &mut [u8]) {
    let length = usize::from(bytes.first().copied().unwrap_or_default() & 15) * 4;
    let Some(header) = bytes.get_mut(..length) else { return };
    header.iter_mut().skip(10).take(2).for_each(|byte| *byte = 0);
    let sum = (!vnetem_packet::checksum::sum(header)).to_be_bytes();
    header.iter_mut().skip(10).zip(sum).for_each(|(to, from)| *to = from);
}

fn either_direction() -> impl Strategy<Value = FiveTuple> {
    (tuple(), any::<bool>())
        .prop_map(|(tuple, reverse)| if reverse { tuple.reversed() } else { tuple })
}

fn option_of<T: Clone + core::fmt::Debug>(
    strategy: impl Strategy<Value = T>,
) -> impl Strategy<Value = Option<T>> {
    prop::option::weighted(0.3, strategy)
}

fn length() -> impl Strategy<Value = u16> {
    prop_oneof![4 => Just(0_u16), 4 => 0_u16..40, 1 => 1300_u16..1600]
}

fn time_to_live() -> impl Strategy<Value = u8> {
    prop_oneof![8 => Just(Packet::TTL), 2 => select(vec![0_u8, 1, 2, 255])]
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::strategy::ValueTree;
    use proptest::test_runner::TestRunner;
    use smoltcp::wire::{IpAddress, IpProtocol, Ipv4Packet, TcpPacket, UdpPacket};
    use vnetem_packet::{Headers, Malformed, Transport};

    use super::*;

    fn sample<T>(strategy: impl Strategy<Value = T>, count: usize) -> Vec<T> {
        let mut runner = TestRunner::deterministic();
        (0..count).map(|_| strategy.new_tree(&mut runner).unwrap().current()).collect()
    }

    #[test]
    fn tuples_collide() {
        let tuples: BTreeSet<_> = sample(tuple(), 1000).into_iter().collect();
        assert!(tuples.len() < 700, "{}", tuples.len());
    }

    /// A strategy must reach every cause of [`Malformed`](vnetem_packet::Malformed), or the code
    /// behind it goes untested.
    #[test]
    fn every_packet_kind_is_generated() {
        let mut causes = BTreeSet::new();
        let mut kinds = BTreeSet::new();
        for bytes in sample(adversarial(), 30_000) {
            match Headers::parse(&bytes) {
                Err(cause) => {
                    causes.insert(cause.name());
                }
                Ok(headers) => {
                    kinds.insert(match headers.transport {
                        Transport::Tcp(_) => "tcp",
                        Transport::Udp => "udp",
                        Transport::IcmpRequest => "request",
                        Transport::IcmpReply => "reply",
                        Transport::IcmpError => "error",
                        Transport::IcmpOther => "other-icmp",
                        Transport::None => "none",
                    });
                }
            }
        }
        let known = [
            Malformed::NotIpv4,
            Malformed::Truncated,
            Malformed::HeaderLength,
            Malformed::TotalLength,
            Malformed::HeaderChecksum,
            Malformed::SourceRoute,
            Malformed::HeaderOptions,
            Malformed::FragmentLength,
            Malformed::FragmentEnd,
            Malformed::TinyFragment,
            Malformed::TcpHeader,
            Malformed::UdpLength,
            Malformed::IcmpLength,
        ];
        for cause in known {
            assert!(causes.contains(cause.name()), "{cause} is never met: {causes:?}");
        }
        assert_eq!(kinds.len(), 7, "{kinds:?}");
    }

    proptest! {
        #[test]
        fn packet_has_the_requested_tuple(
            (tuple, packet) in either_direction().prop_flat_map(|tuple| (Just(tuple), packet_of(tuple))),
        ) {
            let headers = Headers::parse(&packet.build()).unwrap();
            prop_assert_eq!(headers.tuple(), tuple);
        }

        #[test]
        fn error_quotes_the_requested_tuple(
            (tuple, packet) in either_direction().prop_flat_map(|tuple| (Just(tuple), error_about(tuple))),
        ) {
            let bytes = packet.build();
            let headers = Headers::parse(&bytes).unwrap();
            let quote = vnetem_packet::Quote::parse(&bytes, &headers).unwrap();
            prop_assert_eq!(quote.tuple(), tuple);
        }

        /// Smoltcp, an independent parser, checks the checksums.
        #[test]
        fn smoltcp_finds_every_checksum_right(packet in packet()) {
            let bytes = packet.build();
            let header = Ipv4Packet::new_checked(&bytes[..]).unwrap();
            prop_assert!(header.verify_checksum());
            let ends = (IpAddress::Ipv4(header.src_addr()), IpAddress::Ipv4(header.dst_addr()));
            let whole = packet.fragment.is_none();
            match (header.next_header(), &packet.content) {
                (IpProtocol::Tcp, Content::Tcp(_)) if whole => {
                    let segment = TcpPacket::new_checked(header.payload()).unwrap();
                    prop_assert!(segment.verify_checksum(&ends.0, &ends.1));
                }
                (IpProtocol::Udp, Content::Udp(_)) if whole => {
                    let datagram = UdpPacket::new_checked(header.payload()).unwrap();
                    prop_assert!(datagram.verify_checksum(&ends.0, &ends.1));
                }
                (IpProtocol::Icmp, Content::Echo(_) | Content::Error(_)) if whole => {
                    let message = smoltcp::wire::Icmpv4Packet::new_checked(header.payload()).unwrap();
                    prop_assert!(message.verify_checksum());
                }
                _ => {}
            }
        }
    }
}
