//! Parses the bytes of a tunnel. Lengths are checked here and nowhere else.

use core::net::{Ipv4Addr, Ipv6Addr};

use super::translate::{self, EXTENSION_HEADERS, FRAGMENT_HEADER, FRAGMENT_LENGTH, IPV6_LENGTH};
use super::underlay::{
    ETHERNET_LENGTH, GRE, GRE_LENGTH, IPV6_TYPE, NVGRE, UDP_LENGTH, VXLAN_FLAG, VXLAN_LENGTH,
    VXLAN_PORT,
};
use super::{
    Encapsulation, Fragments, Key, Overlay, Tunnel, Undecodable, Underlay, Untranslatable,
};
use crate::{Checksums, Fragment, Headers, Protocol, TransportChecksum};

/// What a tunnel's packet says: a small value that borrows nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Encapsulated {
    /// The outer headers. Keep them with the flow, so that the reply is wrapped alike (W-05).
    pub underlay: Underlay,
    /// Inner source. Towards the service it holds the caller's identity and private address (W-01).
    pub source: Ipv6Addr,
    /// Inner destination.
    pub destination: Ipv6Addr,
    /// Protocol above the inner header.
    pub protocol: Protocol,
    /// Hop limit of the inner header.
    pub hop_limit: u8,
    /// Low word of the identification and the offset word, if there is a fragment header (RFC 8200
    /// 4.5).
    pub(super) fragment: Option<(u16, u16)>,
    /// Where the payload starts and how long it is, in bytes.
    start: usize,
    length: usize,
}

impl Encapsulated {
    /// Reads a packet of a tunnel. Bytes behind the inner payload, such as frame padding, are
    /// ignored (INV-trailer-ignored).
    ///
    /// Transport headers are not checked. Pass the result of [`decapsulate`](Self::decapsulate) to
    /// [`Headers::parse`] like any packet.
    ///
    /// # Errors
    ///
    /// The first cause found for which the bytes are no packet of a service tunnel.
    pub fn parse(bytes: &[u8]) -> Result<Self, Undecodable> {
        let outer = Headers::parse(bytes).map_err(Undecodable::Outer)?;
        if outer.fragment != Fragment::Whole {
            return Err(Undecodable::OuterFragment);
        }
        let end = usize::from(outer.total_length);
        let mut reader = Reader { bytes, at: usize::from(outer.header_length), end };
        let (encapsulation, key) = read_tunnel(bytes, &outer, &mut reader)?;
        let frame = reader.take::<ETHERNET_LENGTH>().ok_or(Undecodable::InnerFrame)?;
        let [destination_mac, source_mac] = [mac(&frame[..6]), mac(&frame[6..12])];
        if frame[12..] != IPV6_TYPE {
            return Err(Undecodable::InnerFrame);
        }
        let underlay = Underlay {
            source: outer.source,
            destination: Some(outer.destination),
            encapsulation,
            key,
            dscp: bytes.get(1).copied().unwrap_or_default() >> 2,
            source_mac,
            destination_mac,
        };
        read_inner(underlay, reader)
    }

    /// Gives the IPv4 addresses in the lowest 32 bits of source and destination (W-02).
    ///
    /// If the tunnel replaced one of them by a fixed address, only the flow knows the original
    /// (W-15).
    #[must_use]
    pub fn embedded(&self) -> [Ipv4Addr; 2] {
        [self.source, self.destination].map(|address| {
            let [.., a, b, c, d] = address.octets();
            Ipv4Addr::new(a, b, c, d)
        })
    }

    /// Gives the tunnel for the reply: the same encapsulation, every address pair swapped (W-05,
    /// W-06, W-12).
    #[must_use]
    pub fn reply(&self) -> Tunnel {
        Tunnel {
            source: Overlay::exactly(self.destination),
            destination: Overlay::exactly(self.source),
            underlay: Underlay {
                // A parsed packet always has an outer destination.
                source: self.underlay.destination.unwrap_or(self.underlay.source),
                destination: Some(self.underlay.source),
                source_mac: self.underlay.destination_mac,
                destination_mac: self.underlay.source_mac,
                ..self.underlay
            },
            fragments: Fragments::Carry,
        }
    }

    /// Writes the packet as IPv4 between source and destination `ends` into `buffer` and gives its
    /// length in bytes.
    ///
    /// `bytes` must be the bytes that were parsed. The header has no options, identification 1 and
    /// no flags (W-10), unless the packet is a fragment (RFC 7915 5.1.1). The TTL is the hop limit.
    /// Right transport checksums stay right and wrong ones stay wrong (W-20,
    /// INV-wrong-checksum-stays-wrong).
    ///
    /// # Errors
    ///
    /// The packet grows too long or does not fit `buffer`. The content of `buffer` is then
    /// undefined.
    pub fn decapsulate(
        &self,
        bytes: &[u8],
        ends: [Ipv4Addr; 2],
        buffer: &mut [u8],
    ) -> Result<usize, Untranslatable> {
        let payload = bytes
            .get(self.start..self.start.saturating_add(self.length))
            .ok_or(Untranslatable::Truncated)?;
        translate::to_ipv4(self, payload, ends, buffer)
    }
}

/// Reads what stands between the outer header and the frame.
fn read_tunnel(
    bytes: &[u8],
    outer: &Headers,
    reader: &mut Reader<'_>,
) -> Result<(Encapsulation, Key), Undecodable> {
    if outer.protocol == GRE {
        return match reader.take::<GRE_LENGTH>() {
            Some(&[d, e, f, g, a, b, c, _]) if [d, e, f, g] == NVGRE => {
                Ok((Encapsulation::Nvgre, Key::from_bytes([a, b, c])))
            }
            _ => Err(Undecodable::GreHeader),
        };
    }
    if outer.protocol != Protocol::UDP || outer.destination_port != VXLAN_PORT {
        return Err(Undecodable::NotTunnel);
    }
    if Checksums::of(bytes, outer).transport == TransportChecksum::Wrong {
        return Err(Undecodable::OuterChecksum);
    }
    match (reader.take::<UDP_LENGTH>(), reader.take::<VXLAN_LENGTH>()) {
        (Some(_), Some(&[flags, _, _, _, a, b, c, _])) if flags & VXLAN_FLAG != 0 => {
            Ok((Encapsulation::Vxlan, Key::from_bytes([a, b, c])))
        }
        _ => Err(Undecodable::VxlanHeader),
    }
}

/// Reads the IPv6 packet in the frame.
fn read_inner(underlay: Underlay, mut reader: Reader<'_>) -> Result<Encapsulated, Undecodable> {
    let header = reader.take::<IPV6_LENGTH>().ok_or(Undecodable::InnerHeader)?;
    let length = usize::from(u16::from_be_bytes([header[4], header[5]]));
    let end = reader.at.saturating_add(length);
    if header[0] >> 4 != 6 || end > reader.end {
        return Err(Undecodable::InnerHeader);
    }
    reader.end = end;
    let [source, destination] = [address(&header[8..24]), address(&header[24..])];
    let (mut protocol, mut fragment) = (header[6], None);
    if protocol == FRAGMENT_HEADER {
        let &[next, _, a, b, _, _, c, d] =
            reader.take::<FRAGMENT_LENGTH>().ok_or(Undecodable::InnerFragment)?;
        let words = (u16::from_be_bytes([c, d]), u16::from_be_bytes([a, b]));
        (protocol, fragment) = (next, Some(words));
    }
    if EXTENSION_HEADERS.contains(&protocol) {
        return Err(Undecodable::ExtensionHeader);
    }
    Ok(Encapsulated {
        underlay,
        source,
        destination,
        protocol: Protocol(protocol),
        hop_limit: header[7],
        fragment,
        start: reader.at,
        length: reader.end.saturating_sub(reader.at),
    })
}

/// Takes bytes from the front of a packet.
struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
    end: usize,
}

impl<'a> Reader<'a> {
    fn take<const N: usize>(&mut self) -> Option<&'a [u8; N]> {
        let taken = self.bytes.get(self.at..self.end)?.first_chunk()?;
        self.at = self.at.saturating_add(N);
        Some(taken)
    }
}

fn mac(bytes: &[u8]) -> [u8; 6] {
    bytes.first_chunk().copied().unwrap_or_default()
}

fn address(bytes: &[u8]) -> Ipv6Addr {
    Ipv6Addr::from(bytes.first_chunk::<16>().copied().unwrap_or_default())
}
