//! Finds the IPv4 packet in a frame.

use std::fmt;

/// Why a frame gave no packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Skip {
    /// The link type is not supported.
    UnknownLink,
    /// The frame carries another protocol than IPv4.
    OtherProtocol,
    /// The frame says that it carries IPv4, but what it carries is not of version 4 or is shorter
    /// than an IPv4 header.
    NotIpv4,
    /// The frame is shorter than its link header.
    CutFrame,
    /// The packet's block breaks the rules of pcapng, though the file can be read on.
    MalformedBlock,
    /// The record or block is longer than 16 MiB; no IPv4 packet needs that.
    TooLong,
}

impl Skip {
    /// All reasons.
    pub const ALL: [Self; 6] = [
        Self::UnknownLink,
        Self::OtherProtocol,
        Self::NotIpv4,
        Self::CutFrame,
        Self::MalformedBlock,
        Self::TooLong,
    ];

    /// Returns the stable name, in kebab-case.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::UnknownLink => "unknown-link",
            Self::OtherProtocol => "other-protocol",
            Self::NotIpv4 => "not-ipv4",
            Self::CutFrame => "cut-frame",
            Self::MalformedBlock => "malformed-block",
            Self::TooLong => "too-long",
        }
    }
}

impl fmt::Display for Skip {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Returns the IPv4 packet in a frame of this link type, without the padding that a link may add.
pub(crate) fn ipv4_packet(link: u16, frame: &[u8]) -> Result<&[u8], Skip> {
    match link {
        NULL | LOOP => match frame {
            // The address family is in the byte order of the capturing machine.
            [2, 0, 0, 0, packet @ ..] | [0, 0, 0, 2, packet @ ..] => checked(packet),
            [_, _, _, _, ..] => Err(Skip::OtherProtocol),
            _ => Err(Skip::CutFrame),
        },
        ETHERNET => ether_type(frame.get(12..).ok_or(Skip::CutFrame)?),
        PPP | PPP_HDLC => match frame {
            [0xff, 0x03, rest @ ..] => ppp(rest),
            _ => ppp(frame),
        },
        RAW | RAW_BSD | RAW_OPENBSD => match frame {
            [first, ..] if first >> 4 == 6 => Err(Skip::OtherProtocol),
            _ => checked(frame),
        },
        FDDI => llc(frame.get(13..).ok_or(Skip::CutFrame)?),
        LINUX_SLL => ether_type(frame.get(14..).ok_or(Skip::CutFrame)?),
        IPV4 => checked(frame),
        LINUX_SLL2 => match (frame, frame.get(20..)) {
            ([0x08, 0x00, ..], Some(packet)) => checked(packet),
            (_, Some(_)) => Err(Skip::OtherProtocol),
            (_, None) => Err(Skip::CutFrame),
        },
        _ => Err(Skip::UnknownLink),
    }
}

const NULL: u16 = 0;
const ETHERNET: u16 = 1;
const PPP: u16 = 9;
const FDDI: u16 = 10;
const RAW_BSD: u16 = 12;
const RAW_OPENBSD: u16 = 14;
const PPP_HDLC: u16 = 50;
const RAW: u16 = 101;
const LOOP: u16 = 108;
const LINUX_SLL: u16 = 113;
const IPV4: u16 = 228;
const LINUX_SLL2: u16 = 276;

/// Returns what follows a type field, with which the bytes begin: tags (802.1Q, 802.1ad), a PPPoE
/// session, LLC behind a length, or the packet.
fn ether_type(mut bytes: &[u8]) -> Result<&[u8], Skip> {
    loop {
        match bytes {
            [0x08, 0x00, packet @ ..] => return checked(packet),
            [0x81, 0x00, rest @ ..] | [0x88, 0xa8, rest @ ..] | [0x91, 0x00, rest @ ..] => {
                bytes = rest.get(2..).ok_or(Skip::CutFrame)?;
            }
            [0x88, 0x64, rest @ ..] => return ppp(rest.get(6..).ok_or(Skip::CutFrame)?),
            [0..=0x05, _, rest @ ..] => return llc(rest),
            [] | [_] => return Err(Skip::CutFrame),
            _ => return Err(Skip::OtherProtocol),
        }
    }
}

/// Returns what follows an LLC header with SNAP, with which the bytes begin (RFC 1042).
fn llc(bytes: &[u8]) -> Result<&[u8], Skip> {
    match bytes {
        [0xaa, 0xaa, 0x03, 0, 0, 0, rest @ ..] => ether_type(rest),
        [_, _, _, _, _, _, ..] => Err(Skip::OtherProtocol),
        _ => Err(Skip::CutFrame),
    }
}

/// Returns what follows PPP's protocol field, with which the bytes begin. It may be compressed to
/// one byte (RFC 1661 6.5).
fn ppp(bytes: &[u8]) -> Result<&[u8], Skip> {
    match bytes {
        [0x00, 0x21, packet @ ..] | [0x21, packet @ ..] => checked(packet),
        [] | [0x00] => Err(Skip::CutFrame),
        _ => Err(Skip::OtherProtocol),
    }
}

fn checked(packet: &[u8]) -> Result<&[u8], Skip> {
    match packet {
        [first, _, high, low, ..] if first >> 4 == 4 && packet.len() >= 20 => {
            let total = usize::from(u16::from_be_bytes([*high, *low]));
            // The packet's parser reports an impossible length.
            Ok(if total < 20 { packet } else { packet.get(..total).unwrap_or(packet) })
        }
        _ => Err(Skip::NotIpv4),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PACKET: [u8; 20] = [0x45, 0, 0, 20, 0, 0, 0, 0, 64, 17, 0, 0, 10, 0, 0, 4, 10, 0, 0, 5];

    fn framed(header: &[u8]) -> Vec<u8> {
        [header, &PACKET].concat()
    }

    fn ethernet(rest: &[u8]) -> Vec<u8> {
        framed(&[&[2; 12], rest].concat())
    }

    #[test]
    fn packet_is_found_behind_link_headers() {
        let sll = [&[0, 0, 0, 1, 0, 6, 1, 2, 3, 4, 5, 6, 0, 0][..], &[0x08, 0x00]].concat();
        let sll2 = [&[0x08, 0x00][..], &[0; 18]].concat();
        for (link, frame) in [
            (NULL, framed(&[2, 0, 0, 0])),
            (NULL, framed(&[0, 0, 0, 2])),
            (LOOP, framed(&[0, 0, 0, 2])),
            (ETHERNET, ethernet(&[0x08, 0x00])),
            (ETHERNET, ethernet(&[0x81, 0x00, 0, 7, 0x08, 0x00])),
            (ETHERNET, ethernet(&[0x88, 0xa8, 0, 7, 0x81, 0x00, 0, 9, 0x08, 0x00])),
            (ETHERNET, ethernet(&[0x91, 0x00, 0, 7, 0x08, 0x00])),
            (ETHERNET, ethernet(&[0, 28, 0xaa, 0xaa, 0x03, 0, 0, 0, 0x08, 0x00])),
            (ETHERNET, ethernet(&[0x88, 0x64, 0x11, 0, 0, 1, 0, 22, 0x00, 0x21])),
            (PPP, framed(&[0xff, 0x03, 0x00, 0x21])),
            (FDDI, framed(&[&[0x50; 13][..], &[0xaa, 0xaa, 0x03, 0, 0, 0, 0x08, 0x00]].concat())),
            (PPP, framed(&[0x00, 0x21])),
            (PPP, framed(&[0x21])),
            (PPP_HDLC, framed(&[0xff, 0x03, 0x00, 0x21])),
            (RAW, framed(&[])),
            (RAW_BSD, framed(&[])),
            (RAW_OPENBSD, framed(&[])),
            (IPV4, framed(&[])),
            (LINUX_SLL, framed(&sll)),
            (LINUX_SLL2, framed(&sll2)),
        ] {
            assert_eq!(ipv4_packet(link, &frame), Ok(&PACKET[..]), "link type {link}");
            let header = frame.len() - PACKET.len();
            for cut in header..frame.len() {
                assert_eq!(
                    ipv4_packet(link, &frame[..cut]),
                    Err(Skip::NotIpv4),
                    "link type {link}"
                );
            }
            for cut in 0..header {
                assert!(ipv4_packet(link, &frame[..cut]).is_err(), "link type {link}");
            }
        }
    }

    #[test]
    fn skipped_frames_have_their_reason() {
        let version_6 = [&[0x60][..], &[0; 39]].concat();
        for (link, frame, reason) in [
            (NULL, vec![24, 0, 0, 0, 0x60], Skip::OtherProtocol),
            (NULL, vec![2, 0, 0], Skip::CutFrame),
            (ETHERNET, ethernet(&[0x08, 0x06]), Skip::OtherProtocol),
            (ETHERNET, ethernet(&[0, 28, 0x42, 0x42, 0x03, 0, 0, 0]), Skip::OtherProtocol),
            (
                ETHERNET,
                ethernet(&[0x88, 0x64, 0x11, 0, 0, 1, 0, 22, 0x00, 0x57]),
                Skip::OtherProtocol,
            ),
            (ETHERNET, vec![2; 13], Skip::CutFrame),
            (ETHERNET, [&[2; 12][..], &[0x81, 0x00, 0]].concat(), Skip::CutFrame),
            (RAW, version_6.clone(), Skip::OtherProtocol),
            (RAW, vec![0x55; 40], Skip::NotIpv4),
            (IPV4, version_6, Skip::NotIpv4),
            (PPP, vec![0xff, 0x03], Skip::CutFrame),
            (PPP, vec![0xc0, 0x21, 1], Skip::OtherProtocol),
            (105, framed(&[]), Skip::UnknownLink),
        ] {
            assert_eq!(ipv4_packet(link, &frame), Err(reason), "link type {link}, {frame:02x?}");
        }
    }

    #[test]
    fn padding_removed_wrong_length_kept() {
        let padded = [&ethernet(&[0x08, 0x00])[..], &[0; 26]].concat();
        assert_eq!(ipv4_packet(ETHERNET, &padded), Ok(&PACKET[..]));
        for total in [0, 19, 21, 65535_u16] {
            let mut packet = PACKET;
            packet[2..4].copy_from_slice(&total.to_be_bytes());
            assert_eq!(ipv4_packet(RAW, &packet), Ok(&packet[..]));
        }
    }
}
