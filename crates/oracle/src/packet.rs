//! Packets as they come out, and their fields.

use core::fmt::Write;

use vnetem_nat::Side;

/// A packet that came out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Emitted {
    /// The side where it came out.
    pub to: Side,
    /// The packet, without what may follow it.
    pub bytes: Vec<u8>,
}

/// Protocol numbers.
pub(crate) const ICMP: u8 = 1;
pub(crate) const TCP: u8 = 6;
pub(crate) const UDP: u8 = 17;

/// Returns the two bytes at an offset, or 0 behind the end.
pub(crate) fn word(bytes: &[u8], at: usize) -> u16 {
    bytes
        .get(at..at + 2)
        .map_or(0, |pair| pair.iter().fold(0, |word, byte| word << 8 | u16::from(*byte)))
}

/// Returns the four bytes at an offset, or 0 behind the end.
pub(crate) fn double(bytes: &[u8], at: usize) -> u32 {
    u32::from(word(bytes, at)) << 16 | u32::from(word(bytes, at + 2))
}

/// Returns the byte at an offset, or 0 behind the end.
pub(crate) fn byte(bytes: &[u8], at: usize) -> u8 {
    bytes.get(at).copied().unwrap_or(0)
}

/// Returns where the IPv4 header ends.
pub(crate) fn header(packet: &[u8]) -> usize {
    usize::from(byte(packet, 0) & 15) * 4
}

/// Returns what follows the IPv4 header.
pub(crate) fn payload(packet: &[u8]) -> &[u8] {
    packet.get(header(packet)..).unwrap_or_default()
}

/// Returns the port of a packet's source, or the identifier of an ICMP query.
pub(crate) fn source_port(packet: &[u8]) -> u16 {
    let at = header(packet) + if byte(packet, 9) == ICMP { 4 } else { 0 };
    word(packet, at)
}

/// Returns whether a packet is an ICMP error, which belongs to the flow of the packet that it
/// quotes.
pub(crate) fn is_error(packet: &[u8]) -> bool {
    byte(packet, 9) == ICMP && matches!(byte(payload(packet), 0), 3 | 4 | 5 | 11 | 12)
}

/// Shows a packet in one line: ends, protocol, flags or type, numbers, length.
#[must_use]
pub fn show(packet: &[u8]) -> String {
    let address = |at| core::net::Ipv4Addr::from_bits(double(packet, at));
    let (source, destination, rest) = (address(12), address(16), payload(packet));
    let mut text = String::new();
    let _ = match byte(packet, 9) {
        ICMP => write!(
            text,
            "{source} > {destination} icmp {}/{} id {}",
            byte(rest, 0),
            byte(rest, 1),
            word(rest, 4)
        ),
        protocol => write!(
            text,
            "{source}:{} > {destination}:{} protocol {protocol}",
            word(rest, 0),
            word(rest, 2)
        ),
    };
    if byte(packet, 9) == TCP {
        let _ = write!(
            text,
            " flags {:02x} seq {} ack {}",
            byte(rest, 13),
            double(rest, 4),
            double(rest, 8)
        );
    }
    let _ = write!(text, " ttl {} length {}", byte(packet, 8), packet.len());
    text
}
