//! Packets as fields, and strategies that make them.

use std::net::{Ipv4Addr, SocketAddrV4};

use proptest::prelude::*;
use vnetem_packet::{FiveTuple, Rewrite};

use crate::reference::{checksum, put};

/// The number of cases of a property. Miri gets four, since each takes a thousand times as long.
pub(crate) fn cases(count: u32) -> ProptestConfig {
    let cases = if cfg!(miri) { 4 } else { count };
    ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() }
}

/// All octets. Miri gets the first ones, among them every ICMP error.
pub(crate) fn octets() -> impl Iterator<Item = u8> {
    0..=if cfg!(miri) { 16 } else { u8::MAX }
}

/// All words. Miri gets sixteen, among them both ends.
pub(crate) fn words() -> impl Iterator<Item = u16> {
    (0..=u16::MAX).step_by(if cfg!(miri) { 0x1111 } else { 1 })
}

/// A whole datagram as its fields.
#[derive(Clone, Debug)]
pub(crate) struct Packet {
    pub(crate) source: Ipv4Addr,
    pub(crate) destination: Ipv4Addr,
    pub(crate) ttl: u8,
    pub(crate) service: u8,
    pub(crate) identification: u16,
    pub(crate) dont_fragment: bool,
    /// Header options, a multiple of four bytes.
    pub(crate) options: Vec<u8>,
    pub(crate) body: Body,
}

/// What follows the IPv4 header.
#[derive(Clone, Debug)]
pub(crate) enum Body {
    Tcp {
        ports: [u16; 2],
        sequence: u32,
        acknowledgement: u32,
        flags: u8,
        options: Vec<u8>,
        data: Vec<u8>,
    },
    Udp {
        ports: [u16; 2],
        with_checksum: bool,
        data: Vec<u8>,
    },
    Icmp {
        message: u8,
        code: u8,
        rest: [u8; 4],
        data: Vec<u8>,
    },
    Other {
        protocol: u8,
        data: Vec<u8>,
    },
}

impl Packet {
    pub(crate) fn new(source: &str, destination: &str, body: Body) -> Self {
        let (source, destination) = (source.parse().unwrap(), destination.parse().unwrap());
        let options = Vec::new();
        Self {
            source,
            destination,
            ttl: 64,
            service: 0,
            identification: 1,
            dont_fragment: false,
            options,
            body,
        }
    }

    pub(crate) fn protocol(&self) -> u8 {
        match self.body {
            Body::Tcp { .. } => 6,
            Body::Udp { .. } => 17,
            Body::Icmp { .. } => 1,
            Body::Other { protocol, .. } => protocol,
        }
    }

    /// Gives transport header and data, with the checksum from scratch.
    pub(crate) fn payload(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        let offset = match &self.body {
            Body::Tcp { ports, sequence, acknowledgement, flags, options, data } => {
                bytes.extend(ports.iter().flat_map(|port| port.to_be_bytes()));
                bytes.extend(sequence.to_be_bytes());
                bytes.extend(acknowledgement.to_be_bytes());
                bytes.push(u8::try_from((20 + options.len()) / 4).unwrap() << 4);
                bytes.push(*flags);
                bytes.extend([0x20, 0x00, 0, 0, 0, 0]);
                bytes.extend(options);
                bytes.extend(data);
                16
            }
            Body::Udp { ports, data, .. } => {
                bytes.extend(ports.iter().flat_map(|port| port.to_be_bytes()));
                bytes.extend(u16::try_from(8 + data.len()).unwrap().to_be_bytes());
                bytes.extend([0, 0]);
                bytes.extend(data);
                6
            }
            Body::Icmp { message, code, rest, data } => {
                bytes.extend([*message, *code, 0, 0]);
                bytes.extend(rest);
                bytes.extend(data);
                2
            }
            Body::Other { data, .. } => return data.clone(),
        };
        if matches!(self.body, Body::Udp { with_checksum: false, .. }) {
            return bytes;
        }
        let sum = match self.body {
            Body::Icmp { .. } => checksum(&[&bytes]),
            _ => checksum(&[&self.pseudo_header(bytes.len()), &bytes]),
        };
        let sum = if self.protocol() == 17 && sum == 0 { 0xFFFF } else { sum };
        put(&mut bytes, offset, sum);
        bytes
    }

    fn pseudo_header(&self, length: usize) -> Vec<u8> {
        let mut bytes = [self.source.octets(), self.destination.octets()].concat();
        bytes.extend([0, self.protocol()]);
        bytes.extend(u16::try_from(length).unwrap().to_be_bytes());
        bytes
    }

    /// Gives the datagram as one packet.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        self.with_header(&self.payload(), 0)
    }

    /// Cuts the datagram after each `size` bytes of payload, a multiple of eight.
    pub(crate) fn fragments(&self, size: usize) -> Vec<Vec<u8>> {
        let payload = self.payload();
        let count = payload.len().div_ceil(size);
        let parts = payload.chunks(size).enumerate().map(|(index, part)| {
            let more = if index + 1 < count { 0x2000 } else { 0 };
            self.with_header(part, more | u16::try_from(index * size / 8).unwrap())
        });
        parts.collect()
    }

    fn with_header(&self, payload: &[u8], fragmentation: u16) -> Vec<u8> {
        let length = 20 + self.options.len();
        let flags = if self.dont_fragment { 0x4000 } else { 0 };
        let mut bytes = vec![0x40 | u8::try_from(length / 4).unwrap(), self.service];
        bytes.extend(u16::try_from(length + payload.len()).unwrap().to_be_bytes());
        bytes.extend(self.identification.to_be_bytes());
        bytes.extend((fragmentation | flags).to_be_bytes());
        bytes.extend([self.ttl, self.protocol(), 0, 0]);
        bytes.extend(self.source.octets());
        bytes.extend(self.destination.octets());
        bytes.extend(&self.options);
        let sum = checksum(&[&bytes]);
        put(&mut bytes, 10, sum);
        bytes.extend(payload);
        bytes
    }
}

/// Bytes, often few, and often all zero or all one: the corner cases of ones' complement sums.
pub(crate) fn data(longest: usize) -> impl Strategy<Value = Vec<u8>> {
    let byte = prop_oneof![Just(0), Just(0xFF), any::<u8>()];
    prop_oneof![
        prop::collection::vec(any::<u8>(), 0..=longest),
        (0..=longest, byte).prop_map(|(length, byte)| vec![byte; length]),
    ]
}

pub(crate) fn word() -> impl Strategy<Value = u16> {
    prop_oneof![1 => Just(0), 1 => Just(0xFFFF), 4 => any::<u16>()]
}

pub(crate) fn address() -> impl Strategy<Value = Ipv4Addr> {
    (word(), word())
        .prop_map(|(high, low)| Ipv4Addr::from_bits(u32::from(high) << 16 | u32::from(low)))
}

/// Header options that may pass: padding, record route, timestamp, router alert, and unknown kinds.
fn header_options() -> impl Strategy<Value = Vec<u8>> {
    let kind = any::<u8>().prop_filter("no source route", |kind| ![0, 1, 131, 137].contains(kind));
    let option = prop_oneof![
        Just(vec![1]),
        (kind, data(8)).prop_map(|(kind, value)| {
            let length = u8::try_from(value.len() + 2).unwrap();
            [vec![kind, length], value].concat()
        }),
    ];
    prop_oneof![4 => Just(Vec::new()), 1 => prop::collection::vec(option, 0..=4).prop_map(|options| padded(options.concat()))]
}

/// Cuts options to 40 bytes and pads them to a multiple of four with end marks.
pub(crate) fn padded(mut options: Vec<u8>) -> Vec<u8> {
    if options.len() > 40 {
        options.clear();
    }
    options.resize(options.len().next_multiple_of(4), 0);
    options
}

pub(crate) fn tcp() -> impl Strategy<Value = Body> {
    let options = prop::collection::vec(any::<u8>(), 0..=40).prop_map(padded);
    ([word(), word()], any::<(u32, u32, u8)>(), options, data(40)).prop_map(
        |(ports, (sequence, acknowledgement, flags), options, data)| Body::Tcp {
            ports,
            sequence,
            acknowledgement,
            flags,
            options,
            data,
        },
    )
}

pub(crate) fn udp() -> impl Strategy<Value = Body> {
    ([word(), word()], prop::bool::weighted(0.8), data(40))
        .prop_map(|(ports, with_checksum, data)| Body::Udp { ports, with_checksum, data })
}

pub(crate) fn query() -> impl Strategy<Value = Body> {
    let message = prop::sample::select(vec![0, 8, 13, 14, 15, 16, 17, 18]);
    let code = prop_oneof![4 => Just(0), 1 => any::<u8>()];
    (message, code, word(), word(), data(40)).prop_map(
        |(message, code, identifier, number, data)| {
            let ([a, b], [c, d]) = (identifier.to_be_bytes(), number.to_be_bytes());
            Body::Icmp { message, code, rest: [a, b, c, d], data }
        },
    )
}

pub(crate) fn other() -> impl Strategy<Value = Body> {
    let protocol =
        any::<u8>().prop_filter("one that is not read", |protocol| ![1, 6, 17].contains(protocol));
    (protocol, data(40)).prop_map(|(protocol, data)| Body::Other { protocol, data })
}

/// An ICMP message that is no query.
pub(crate) fn message() -> impl Strategy<Value = Body> {
    let message = any::<u8>()
        .prop_filter("no query", |message| ![0, 8, 13, 14, 15, 16, 17, 18].contains(message));
    (message, any::<u8>(), any::<[u8; 4]>(), data(60))
        .prop_map(|(message, code, rest, data)| Body::Icmp { message, code, rest, data })
}

pub(crate) fn body() -> impl Strategy<Value = Body> {
    prop_oneof![4 => tcp(), 4 => udp(), 4 => query(), 1 => message(), 1 => other()]
}

pub(crate) fn packet_of(body: impl Strategy<Value = Body>) -> impl Strategy<Value = Packet> {
    (address(), address(), any::<(u8, u8, u16, bool)>(), header_options(), body).prop_map(
        |(source, destination, (ttl, service, identification, dont_fragment), options, body)| {
            Packet {
                source,
                destination,
                ttl,
                service,
                identification,
                dont_fragment,
                options,
                body,
            }
        },
    )
}

pub(crate) fn packet() -> impl Strategy<Value = Packet> {
    packet_of(body())
}

/// The bytes of a packet that is whole or a fragment, with correct lengths and checksums.
pub(crate) fn bytes() -> impl Strategy<Value = Vec<u8>> {
    let size = prop::sample::select(vec![8, 24, 64]);
    prop_oneof![
        3 => packet().prop_map(|packet| packet.bytes()),
        1 => (packet(), size, any::<prop::sample::Index>()).prop_map(|(packet, size, index)| {
            let mut fragments = packet.fragments(size);
            match fragments.len() {
                0 => packet.bytes(),
                count => fragments.swap_remove(index.index(count)),
            }
        }),
    ]
}

pub(crate) fn end() -> impl Strategy<Value = SocketAddrV4> {
    (address(), word()).prop_map(|(address, port)| SocketAddrV4::new(address, port))
}

/// New ends: none, one or both.
pub(crate) fn rewrites() -> impl Strategy<Value = Rewrite> {
    (prop::option::of(end()), prop::option::of(end()))
        .prop_map(|(source, destination)| Rewrite { source, destination })
}

/// Makes the reply to `packet` of a host that sees the ends `seen`.
pub(crate) fn reply_to(packet: &[u8], seen: FiveTuple) -> Vec<u8> {
    let start = usize::from(packet[0] & 15) * 4;
    let (from, to) = (seen.destination, seen.source);
    let body = match packet[9] {
        6 => Body::Tcp {
            ports: [from.port(), to.port()],
            sequence: 1,
            acknowledgement: 2,
            flags: 0x12,
            options: Vec::new(),
            data: Vec::new(),
        },
        17 => Body::Udp { ports: [from.port(), to.port()], with_checksum: true, data: Vec::new() },
        _ => {
            let message = match packet[start] {
                8 => 0,
                0 => 8,
                odd @ (13 | 15 | 17) => odd + 1,
                even => even - 1,
            };
            let [a, b] = (from.port() | to.port()).to_be_bytes();
            Body::Icmp { message, code: 0, rest: [a, b, 0, 0], data: Vec::new() }
        }
    };
    Packet::new(&from.ip().to_string(), &to.ip().to_string(), body).bytes()
}
