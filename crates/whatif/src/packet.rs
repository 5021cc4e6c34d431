//! The packets by which flows are asked about: the smallest ones that open, answer and use a flow.

use vnetem::Protocol;
use vnetem::packet::{FiveTuple, Headers, TcpFlags, checksum};

/// Bytes of an IPv4 header and of the longest transport header that is written.
const LONGEST: usize = 40;

/// A packet in place, without allocation.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Packet {
    bytes: [u8; LONGEST],
    length: usize,
}

/// What a TCP segment says; datagrams have none of it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Segment {
    pub(crate) flags: TcpFlags,
    pub(crate) sequence: u32,
    pub(crate) acknowledgement: u32,
}

impl Segment {
    /// The first segment of a connection.
    pub(crate) const SYN: Self = Self { flags: TcpFlags::SYN, sequence: 1_000, acknowledgement: 0 };
    /// The answer to it.
    pub(crate) const SYN_ACK: Self = Self {
        flags: TcpFlags(TcpFlags::SYN.0 | TcpFlags::ACK.0),
        sequence: 5_000,
        acknowledgement: 1_001,
    };
    /// The last segment of the handshake.
    pub(crate) const ACK: Self =
        Self { flags: TcpFlags::ACK, sequence: 1_001, acknowledgement: 5_001 };
}

impl Packet {
    /// Writes a packet of a flow; of protocols other than TCP and UDP it has no ports.
    pub(crate) fn new(tuple: &FiveTuple, segment: Segment) -> Self {
        let (source, destination) = (tuple.source.ip().octets(), tuple.destination.ip().octets());
        let [s0, s1, s2, s3] = source;
        let [d0, d1, d2, d3] = destination;
        let protocol = tuple.protocol.0;
        let (transport, sum_at) = match tuple.protocol {
            Protocol::TCP => (20, Some(16)),
            Protocol::UDP => (8, Some(6)),
            Protocol::ICMP => (8, Some(2)),
            _ => (0, None),
        };
        let [p0, p1] = tuple.source.port().to_be_bytes();
        let [q0, q1] = tuple.destination.port().to_be_bytes();
        let [n0, n1, n2, n3] = segment.sequence.to_be_bytes();
        let [a0, a1, a2, a3] = segment.acknowledgement.to_be_bytes();
        let mut bytes = [
            0x45,
            0,
            0,
            20 + transport,
            0,
            0,
            0x40,
            0,
            64,
            protocol,
            0,
            0, //
            s0,
            s1,
            s2,
            s3,
            d0,
            d1,
            d2,
            d3, //
            p0,
            p1,
            q0,
            q1,
            n0,
            n1,
            n2,
            n3,
            a0,
            a1,
            a2,
            a3,
            0x50,
            segment.flags.0,
            0xff,
            0xff,
            0,
            0,
            0,
            0,
        ];
        match tuple.protocol {
            Protocol::UDP => copy(&mut bytes, 24, &[0, 8, 0, 0]),
            // An echo request (RFC 792).
            Protocol::ICMP => copy(&mut bytes, 20, &[8, 0, 0, 0, p0, p1, 0, 1]),
            _ => {}
        }
        let length = 20 + usize::from(transport);
        if let Some(place) = sum_at {
            let pseudo = match tuple.protocol {
                Protocol::ICMP => 0,
                _ => checksum::pseudo_header(source, destination, protocol, transport.into()),
            };
            let body = bytes.get(20..length).unwrap_or_default();
            let sum = !checksum::add(pseudo, checksum::sum(body));
            copy(&mut bytes, 20 + place, &(if sum == 0 { 0xffff } else { sum }).to_be_bytes());
        }
        let sum = !checksum::sum(bytes.get(..20).unwrap_or_default());
        copy(&mut bytes, 10, &sum.to_be_bytes());
        Self { bytes, length }
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        self.bytes.get(..self.length).unwrap_or_default()
    }

    pub(crate) fn bytes_mut(&mut self) -> &mut [u8] {
        self.bytes.get_mut(..self.length).unwrap_or_default()
    }

    /// The tuple that the packet has now.
    pub(crate) fn tuple(&self) -> Option<FiveTuple> {
        Headers::parse(self.bytes()).ok().map(|headers| headers.tuple())
    }
}

fn copy(bytes: &mut [u8], place: usize, from: &[u8]) {
    let to = bytes.iter_mut().skip(place);
    to.zip(from).for_each(|(to, from)| *to = *from);
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

    use vnetem::packet::Checksums;

    use super::*;

    #[test]
    fn packets_are_whole_and_checksums_right() {
        for protocol in [Protocol::TCP, Protocol::UDP, Protocol::ICMP, Protocol(50)] {
            let tuple = FiveTuple {
                protocol,
                source: "10.0.0.4:50000".parse().unwrap(),
                destination: "52.239.1.9:443".parse().unwrap(),
            };
            let packet = Packet::new(&tuple, Segment::SYN_ACK);
            let headers = Headers::parse(packet.bytes()).unwrap();
            assert!(Checksums::of(packet.bytes(), &headers).none_wrong(), "{protocol:?}");
            assert_eq!(headers.source, *tuple.source.ip());
        }
    }
}
