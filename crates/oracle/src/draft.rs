//! Makes packets to send, field by field.

use core::net::Ipv4Addr;

use vnetem::packet::checksum::sum;

use crate::packet::{ICMP, TCP, UDP, word};

/// An IPv4 packet in the making: the header fields, and what follows the header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Draft {
    /// Source address.
    pub source: Ipv4Addr,
    /// Destination address.
    pub destination: Ipv4Addr,
    /// Protocol number.
    pub protocol: u8,
    /// Time to live.
    pub ttl: u8,
    /// Type of service.
    pub tos: u8,
    /// Identification.
    pub identification: u16,
    /// Flags and fragment offset.
    pub fragment: u16,
    /// Options of the IPv4 header, a multiple of four bytes.
    pub options: Vec<u8>,
    /// What follows the header.
    pub payload: Vec<u8>,
}

/// The don't-fragment bit.
pub(crate) const DONT_FRAGMENT: u16 = 0x4000;

/// The fields of a TCP segment.
#[derive(Clone, Debug, Default)]
pub(crate) struct Segment {
    pub(crate) ports: (u16, u16),
    pub(crate) sequence: u32,
    pub(crate) acknowledgement: u32,
    pub(crate) flags: u8,
    /// Options, a multiple of four bytes.
    pub(crate) options: Vec<u8>,
    pub(crate) data: Vec<u8>,
}

impl Draft {
    fn new(source: Ipv4Addr, destination: Ipv4Addr, protocol: u8, payload: Vec<u8>) -> Self {
        let (tos, identification, fragment) = (0, 0x1234, DONT_FRAGMENT);
        let options = Vec::new();
        Self {
            source,
            destination,
            protocol,
            ttl: 64,
            tos,
            identification,
            fragment,
            options,
            payload,
        }
    }

    /// Makes a UDP datagram. Without a checksum it has 0 there.
    #[must_use]
    pub fn udp(
        (source, destination): (Ipv4Addr, Ipv4Addr),
        ports: (u16, u16),
        data: &[u8],
        checksum: bool,
    ) -> Self {
        let length = u16::try_from(8 + data.len()).unwrap_or(u16::MAX);
        let mut payload = [ports.0, ports.1, length, 0].map(u16::to_be_bytes).concat();
        payload.extend_from_slice(data);
        let mut draft = Self::new(source, destination, UDP, payload);
        if checksum {
            draft.fill(6);
            // A sum of 0 is sent as 0xFFFF (RFC 768).
            if word(&draft.payload, 6) == 0 {
                draft.put(6, 0xFFFF);
            }
        }
        draft
    }

    /// Makes a TCP segment.
    pub(crate) fn tcp((source, destination): (Ipv4Addr, Ipv4Addr), segment: &Segment) -> Self {
        let mut payload = [segment.ports.0, segment.ports.1].map(u16::to_be_bytes).concat();
        payload.extend_from_slice(&segment.sequence.to_be_bytes());
        payload.extend_from_slice(&segment.acknowledgement.to_be_bytes());
        let words = u8::try_from(5 + segment.options.len() / 4).unwrap_or(15);
        payload.extend_from_slice(&[words << 4, segment.flags, 0xFA, 0xF0, 0, 0, 0, 0]);
        payload.extend_from_slice(&segment.options);
        payload.extend_from_slice(&segment.data);
        let mut draft = Self::new(source, destination, TCP, payload);
        draft.fill(16);
        draft
    }

    /// Makes an ICMP message: type, code, the other four bytes of its header, and data.
    #[must_use]
    pub fn icmp(
        (source, destination): (Ipv4Addr, Ipv4Addr),
        (kind, code): (u8, u8),
        rest: u32,
        data: &[u8],
    ) -> Self {
        let mut payload = vec![kind, code, 0, 0];
        payload.extend_from_slice(&rest.to_be_bytes());
        payload.extend_from_slice(data);
        let mut draft = Self::new(source, destination, ICMP, payload);
        draft.fill(2);
        draft
    }

    /// Returns the bytes.
    #[must_use]
    pub fn build(&self) -> Vec<u8> {
        let words = u8::try_from(5 + self.options.len() / 4).unwrap_or(15);
        let length = 20 + self.options.len() + self.payload.len();
        let mut packet = vec![0x40 | words, self.tos];
        packet.extend_from_slice(&u16::try_from(length).unwrap_or(u16::MAX).to_be_bytes());
        packet.extend_from_slice(&self.identification.to_be_bytes());
        packet.extend_from_slice(&self.fragment.to_be_bytes());
        packet.extend_from_slice(&[self.ttl, self.protocol, 0, 0]);
        packet.extend_from_slice(&self.source.octets());
        packet.extend_from_slice(&self.destination.octets());
        packet.extend_from_slice(&self.options);
        let checksum = !sum(&packet);
        put(&mut packet, 10, checksum);
        packet.extend_from_slice(&self.payload);
        packet
    }

    /// Puts two bytes somewhere behind the header.
    pub(crate) fn put(&mut self, at: usize, word: u16) {
        put(&mut self.payload, at, word);
    }

    /// Puts the right checksum into its place.
    pub(crate) fn fill(&mut self, at: usize) {
        self.put(at, 0);
        let mut covered = Vec::new();
        if self.protocol != ICMP {
            covered.extend_from_slice(&self.source.octets());
            covered.extend_from_slice(&self.destination.octets());
            let length = u16::try_from(self.payload.len()).unwrap_or(u16::MAX);
            covered.extend_from_slice(&u16::from(self.protocol).to_be_bytes());
            covered.extend_from_slice(&length.to_be_bytes());
        }
        covered.extend_from_slice(&self.payload);
        self.put(at, !sum(&covered));
    }
}

pub(crate) fn put(bytes: &mut [u8], at: usize, word: u16) {
    if let Some(place) = bytes.get_mut(at..at + 2) {
        place.copy_from_slice(&word.to_be_bytes());
    }
}
