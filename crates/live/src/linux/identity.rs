//! Identity for real servers: a header of the PROXY protocol, version 2, before the first byte of a
//! connection.
//!
//! The server's connection begins as many bytes earlier as the header has. The sequence number of
//! the SYN is that much less, and acknowledgements of the header are not passed on. All that
//! follows is as the two ends send it, so resets and windows are theirs.

use std::collections::{HashMap, VecDeque};
use std::net::{Ipv4Addr, SocketAddrV4};

use ppp::v2::{Builder, Command, IPv4, Protocol, Version};
use vnetem::Headers;
use vnetem_packet::checksum::{pseudo_header, sum, update};

use super::stations::{TupleKey, ends, reversed};

/// The kind of the field with the VNet and subnet of the caller, `net-a/app`, of those that the
/// protocol leaves to its users (PP2_TYPE_MIN_CUSTOM and on).
pub(super) const SUBNET: u8 = 0xE0;

/// Connections whose header is remembered at once.
const REMEMBERED: usize = 1 << 16;

const SYN: u8 = 0x02;
const RST: u8 = 0x04;
const PSH: u8 = 0x08;
const ACK: u8 = 0x10;

/// Connections to one server, by their packets to it.
#[derive(Default)]
pub(super) struct IdentityHeaders {
    connections: HashMap<TupleKey, Connection>,
    order: VecDeque<TupleKey>,
}

struct Connection {
    header: Vec<u8>,
    /// The first sequence number behind the SYN, as the client has it.
    start: u32,
    /// Whether the server has acknowledged the header.
    taken: bool,
    /// Whether the header was sent at all.
    sent: bool,
}

impl IdentityHeaders {
    /// A connection is opened by a SYN, from a subnet if the server may know it.
    pub(super) fn open(&mut self, ends: TupleKey, packet: &[u8], subnet: Option<&str>) {
        let (Some(tcp), Some(header)) = (Tcp::of(packet), header(ends, subnet)) else { return };
        let start = tcp.sequence(packet).wrapping_add(1);
        // The same SYN again does not begin anew.
        if self.connections.get(&ends).is_some_and(|old| old.start == start) {
            return;
        }
        let connection = Connection { header, start, taken: false, sent: false };
        if self.connections.insert(ends, connection).is_none() {
            self.order.push_back(ends);
        }
        if self.order.len() > REMEMBERED
            && let Some(oldest) = self.order.pop_front()
        {
            self.connections.remove(&oldest);
        }
    }

    /// A packet goes to the server: gives the packet with the header that goes before it, if the
    /// server has still to learn who calls. `begun` is whether the checksum is only begun.
    pub(super) fn toward_server(&mut self, packet: &mut [u8], begun: bool) -> Option<Vec<u8>> {
        let tcp = Tcp::of(packet)?;
        let connection = self.connections.get_mut(&ends(packet)?)?;
        let (flags, sequence) = (tcp.flags(packet), tcp.sequence(packet));
        let earlier = connection.earlier();
        if flags & SYN != 0 {
            tcp.set(packet, SEQUENCE, sequence.wrapping_sub(earlier), begun);
            return None;
        }
        if connection.taken {
            return None;
        }
        if flags & RST != 0 {
            // Exactly what the server expects next.
            if !connection.sent && sequence == connection.start {
                tcp.set(packet, SEQUENCE, sequence.wrapping_sub(earlier), begun);
            }
            return None;
        }
        if flags & ACK == 0 || sequence != connection.start && connection.sent {
            return None;
        }
        connection.sent = true;
        tcp.with(packet, connection.start.wrapping_sub(earlier), &connection.header)
    }

    /// A packet comes from the server: what it says of the header is not for the client.
    pub(super) fn toward_client(&mut self, packet: &mut [u8], begun: bool) {
        let (Some(tcp), Some(ends)) = (Tcp::of(packet), ends(packet)) else { return };
        let Some(connection) = self.connections.get_mut(&reversed(ends)) else { return };
        if tcp.flags(packet) & ACK == 0 {
            return;
        }
        let acknowledged = tcp.acknowledgement(packet);
        let short = connection.start.wrapping_sub(acknowledged);
        if (1..=connection.earlier()).contains(&short) {
            tcp.set(packet, ACKNOWLEDGEMENT, connection.start, begun);
        } else {
            connection.taken = true;
        }
    }
}

impl Connection {
    fn earlier(&self) -> u32 {
        u32::try_from(self.header.len()).unwrap_or(0)
    }
}

/// The header for a connection between these ends.
fn header((addresses, ports, _): TupleKey, subnet: Option<&str>) -> Option<Vec<u8>> {
    let [a0, a1, a2, a3, b0, b1, b2, b3] = addresses;
    let [p0, p1, q0, q1] = ports;
    let end = |address: [u8; 4], port| SocketAddrV4::new(Ipv4Addr::from(address), port);
    let source = end([a0, a1, a2, a3], u16::from_be_bytes([p0, p1]));
    let destination = end([b0, b1, b2, b3], u16::from_be_bytes([q0, q1]));
    let addresses = IPv4::new(*source.ip(), *destination.ip(), source.port(), destination.port());
    let version = Version::Two | Command::Proxy;
    let builder = Builder::with_addresses(version, Protocol::Stream, addresses);
    let builder = match subnet {
        Some(subnet) => builder.write_tlv(SUBNET, subnet.as_bytes()).ok()?,
        None => builder,
    };
    builder.build().ok()
}

/// Where a TCP header begins in a packet that has a whole one.
#[derive(Clone, Copy)]
struct Tcp(usize);

const SEQUENCE: usize = 4;
const ACKNOWLEDGEMENT: usize = 8;
const CHECKSUM: usize = 16;

impl Tcp {
    fn of(packet: &[u8]) -> Option<Self> {
        let start = usize::from(packet.first()? & 15) * 4;
        // A later fragment has no header.
        let first = packet.get(6..8)? == [0, 0] || packet.get(6..8)? == [0x40, 0];
        (packet.get(9) == Some(&6) && first && packet.len() >= start + 20).then_some(Self(start))
    }

    fn word(self, packet: &[u8], at: usize) -> u32 {
        let bytes = packet.get(self.0 + at..).and_then(|rest| rest.first_chunk());
        bytes.map_or(0, |bytes| u32::from_be_bytes(*bytes))
    }

    fn sequence(self, packet: &[u8]) -> u32 {
        self.word(packet, SEQUENCE)
    }

    fn acknowledgement(self, packet: &[u8]) -> u32 {
        self.word(packet, ACKNOWLEDGEMENT)
    }

    fn flags(self, packet: &[u8]) -> u8 {
        packet.get(self.0 + 13).copied().unwrap_or(0)
    }

    /// Sets a number, and keeps the checksum right unless it is only begun.
    fn set(self, packet: &mut [u8], at: usize, value: u32, begun: bool) {
        let old = self.word(packet, at);
        self.write(packet, at, &value.to_be_bytes());
        if begun {
            return;
        }
        let [checksum, _] = halves(self.word(packet, CHECKSUM));
        let changed = halves(old).into_iter().zip(halves(value));
        let checksum = changed.fold(checksum, |sum, (old, new)| update(sum, old, new));
        self.write(packet, CHECKSUM, &checksum.to_be_bytes());
    }

    /// A packet with the headers of another, another sequence number, and these bytes.
    fn with(self, packet: &[u8], sequence: u32, bytes: &[u8]) -> Option<Vec<u8>> {
        let headers = self.0 + usize::from(packet.get(self.0 + 12)? >> 4) * 4;
        let mut made = packet.get(..headers)?.to_vec();
        made.extend(bytes);
        let length = u16::try_from(made.len()).ok()?;
        made.get_mut(2..4)?.copy_from_slice(&length.to_be_bytes());
        made.get_mut(10..12)?.fill(0);
        let checksum = !sum(made.get(..self.0)?);
        made.get_mut(10..12)?.copy_from_slice(&checksum.to_be_bytes());
        self.write(&mut made, SEQUENCE, &sequence.to_be_bytes());
        self.write(&mut made, 13, &[ACK | PSH]);
        self.write(&mut made, CHECKSUM, &[0, 0]);
        let [a0, a1, a2, a3, b0, b1, b2, b3] = *made.get(12..)?.first_chunk()?;
        let segment = made.get(self.0..)?;
        let length = u16::try_from(segment.len()).ok()?;
        let pseudo = pseudo_header([a0, a1, a2, a3], [b0, b1, b2, b3], 6, length);
        let checksum = !vnetem_packet::checksum::add(pseudo, sum(segment));
        self.write(&mut made, CHECKSUM, &checksum.to_be_bytes());
        debug_assert!(Headers::parse(&made).is_ok(), "what is made is a packet");
        Some(made)
    }

    fn write(self, packet: &mut [u8], at: usize, bytes: &[u8]) {
        let at = self.0 + at;
        if let Some(field) = packet.get_mut(at..at + bytes.len()) {
            field.copy_from_slice(bytes);
        }
    }
}

fn halves(word: u32) -> [u16; 2] {
    let [a, b, c, d] = word.to_be_bytes();
    [u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d])]
}

#[cfg(test)]
mod tests {
    use vnetem_packet::Checksums;
    use vnetem_packet_text::Packet;

    use super::*;

    const N: u32 = 40;

    fn packet(words: &str) -> Vec<u8> {
        words.parse::<Packet>().unwrap().build().to_vec()
    }

    fn right(packet: &[u8]) -> Headers {
        let headers = Headers::parse(packet).unwrap();
        assert!(Checksums::of(packet, &headers).none_wrong(), "{headers}");
        headers
    }

    fn text(packet: &[u8]) -> String {
        right(packet);
        Packet::read(packet).unwrap().to_string()
    }

    #[test]
    fn header_goes_before_the_first_byte() {
        let mut headers = IdentityHeaders::default();
        let mut syn = packet("10.0.0.4:50000 > 20.60.26.10:80 tcp S seq 1000");
        headers.open(ends(&syn).unwrap(), &syn, Some("net-a/app"));
        assert_eq!(headers.toward_server(&mut syn, false), None);
        assert_eq!(text(&syn), "10.0.0.4:50000 > 20.60.26.10:80 tcp S seq 960");
        let mut answer = packet("20.60.26.10:80 > 10.0.0.4:50000 tcp SA seq 7 ack 961");
        headers.toward_client(&mut answer, false);
        assert_eq!(text(&answer), "20.60.26.10:80 > 10.0.0.4:50000 tcp SA seq 7 ack 1001");
        let mut data = packet("10.0.0.4:50000 > 20.60.26.10:80 tcp PA seq 1001 ack 8 len 5");
        let first = headers.toward_server(&mut data, false).unwrap();
        right(&data);
        assert!(
            text(&first).starts_with("10.0.0.4:50000 > 20.60.26.10:80 tcp PA seq 961 ack 8"),
            "{}",
            text(&first)
        );
        assert_eq!(first.len(), 40 + N as usize);
        let said = ppp::v2::Header::try_from(&first[40..]).unwrap();
        assert_eq!(said.addresses, IPv4::new([10, 0, 0, 4], [20, 60, 26, 10], 50000, 80).into());
        let tlv = said.tlvs().next().unwrap().unwrap();
        assert_eq!((tlv.kind, &*tlv.value), (SUBNET, &b"net-a/app"[..]));
    }

    #[test]
    fn header_comes_again_until_taken() {
        let mut headers = IdentityHeaders::default();
        let mut syn = packet("10.0.0.4:50000 > 20.60.26.10:80 tcp S seq 1000");
        headers.open(ends(&syn).unwrap(), &syn, Some("net-a/app"));
        let _ = headers.toward_server(&mut syn, false);
        let ack = || packet("10.0.0.4:50000 > 20.60.26.10:80 tcp A seq 1001 ack 8");
        assert!(headers.toward_server(&mut ack(), false).is_some());
        assert!(headers.toward_server(&mut ack(), false).is_some(), "it may have been lost");
        let mut later = packet("10.0.0.4:50000 > 20.60.26.10:80 tcp A seq 1500 ack 8");
        assert_eq!(headers.toward_server(&mut later, false), None);
        let mut answer = packet("20.60.26.10:80 > 10.0.0.4:50000 tcp A seq 8 ack 1001");
        headers.toward_client(&mut answer, false);
        assert_eq!(headers.toward_server(&mut ack(), false), None);
        let mut other = packet("10.0.0.5:50000 > 20.60.26.10:80 tcp A seq 1001 ack 8");
        assert_eq!(headers.toward_server(&mut other, false), None);
    }
}
