//! The service tunnel: carries the identity of a caller inside the bytes.
//!
//! An IPv4 packet becomes IPv6, whose source holds VNet, subnet and private source (W-01, W-02). It
//! travels as an Ethernet frame in NVGRE (RFC 7637) or VXLAN (RFC 7348) over IPv4 (W-03).
//!
//! ```text
//! 10.1.1.1 > 50.1.2.1 tcp
//! 40.1.2.1 > 50.1.2.1 nvgre 100 | ethernet |
//!     fd00:108:0:d204:0:200:a01:101 > 2603:10e1:100:2::3201:201 tcp
//! ```
//!
//! - [`Tunnel::encapsulate`] wraps a packet.
//! - [`Encapsulated::parse`] reads a packet of a tunnel.
//! - [`Encapsulated::decapsulate`] restores the IPv4 packet.
//!
//! All three are pure. The flow table decides whether a packet is expected at all (W-07, C-18).
//! Azure does not publish which bits of an address mean what, so only [`Layout`] knows (U-03).
//!
//! Not modelled:
//!
//! - ICMP is carried unchanged and not as ICMPv6, since endpoints carry TCP only (E-13, C-16).
//! - The length of the outer packet is not compared with an MTU (U-14).
//!
//! ```
//! use vnetem_packet::tunnel::{Encapsulated, Encapsulation, Fragments, Key, Layout};
//! use vnetem_packet::tunnel::{Overlay, Tag, Tunnel, Underlay};
//! use vnetem_packet::{Headers, Identity, Reset, SubnetId, VnetId};
//!
//! let reset = Reset {
//!     source: "10.0.0.4:50001".parse()?,
//!     destination: "52.239.1.9:443".parse()?,
//!     sequence: 7,
//!     acknowledgement: None,
//! };
//! let packet = reset.write(1, 64);
//!
//! let identity = Identity { vnet: VnetId(3), subnet: SubnetId(7), address: "10.0.0.4".parse()? };
//! let tunnel = Tunnel {
//!     source: Layout::default().encode(Tag::of(Tag::SERVICE_TUNNEL, 1, identity))?,
//!     destination: Overlay::prefix("2603:10e1:100:2::".parse()?),
//!     underlay: Underlay {
//!         source: "40.1.2.1".parse()?,
//!         destination: None,
//!         encapsulation: Encapsulation::Nvgre,
//!         key: Key::SERVICE_TUNNEL,
//!         dscp: 0,
//!         source_mac: [0x02, 0, 0, 0, 0, 1],
//!         destination_mac: [0x02, 0, 0, 0, 0, 2],
//!     },
//!     fragments: Fragments::Carry,
//! };
//! let mut wire = [0; 40 + Tunnel::MAXIMUM_OVERHEAD];
//! let length = tunnel.encapsulate(&packet, &Headers::parse(&packet)?, &mut wire)?;
//!
//! // The service learns the caller and gets the packet back.
//! let received = Encapsulated::parse(&wire[..length])?;
//! let [source, destination] = received.embedded();
//! assert_eq!(Layout::default().decode(received.source).identity(source), Some(identity));
//! let mut plain = [0; 40];
//! received.decapsulate(&wire[..length], [source, destination], &mut plain)?;
//! assert_eq!(Headers::parse(&plain)?.to_string(), "10.0.0.4:50001 > 52.239.1.9:443 tcp R");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod encapsulated;
mod error;
mod layout;
mod overlay;
mod translate;
mod underlay;

pub use encapsulated::Encapsulated;
pub use error::{Undecodable, Untranslatable};
pub use layout::{DoesNotFit, Layout, Tag};
pub use overlay::Overlay;
pub use underlay::{Encapsulation, Key, Underlay};

use crate::{Fragment, Headers};

/// One direction of a service tunnel: how addresses change, and what encloses the packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Tunnel {
    /// Laid over the source. Towards the service it holds the caller's VNet and subnet (W-01).
    pub source: Overlay,
    /// Laid over the destination. Towards the service it is the service's prefix.
    pub destination: Overlay,
    /// The headers that enclose the packet (W-03).
    pub underlay: Underlay,
    /// How the tunnel treats fragments.
    pub fragments: Fragments,
}

/// How a tunnel treats fragments (U-16).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Fragments {
    /// Carries each with an IPv6 fragment header and updates the checksum of the first (RFC 7915
    /// 4.1).
    #[default]
    Carry,
    /// Refuses them.
    Refuse,
}

impl Tunnel {
    /// The most bytes by which a packet grows: a fragment in VXLAN.
    pub const MAXIMUM_OVERHEAD: usize = 78;

    /// Writes the packet as it travels in the tunnel into `buffer` and gives its length in bytes.
    ///
    /// `headers` must be the result of [`Headers::parse`] for `packet`.
    ///
    /// - The inner hop limit is the packet's TTL; inner traffic class and flow label are 0 (W-09).
    ///   The outer TTL is 64 (W-11).
    /// - Transport checksums that were right are right for the IPv6 pseudo-header (W-20). Wrong
    ///   ones stay wrong by the same amount (INV-wrong-checksum-stays-wrong).
    /// - An absent UDP checksum is computed, since IPv6 requires one (RFC 7915 4.5).
    ///
    /// # Errors
    ///
    /// The packet has options, a protocol number that IPv6 uses for a header, or is a fragment that
    /// is not carried. Or it grows too long, or does not fit `buffer`. The content of `buffer` is
    /// then undefined.
    pub fn encapsulate(
        &self,
        packet: &[u8],
        headers: &Headers,
        buffer: &mut [u8],
    ) -> Result<usize, Untranslatable> {
        if headers.fragment != Fragment::Whole && self.fragments == Fragments::Refuse {
            return Err(Untranslatable::Fragment);
        }
        let ends = [self.source.over(headers.source), self.destination.over(headers.destination)];
        let overhead = self.underlay.overhead();
        let inner = buffer.get_mut(overhead..).ok_or(Untranslatable::BufferTooShort)?;
        let length = translate::to_ipv6(packet, headers, ends, inner)?.saturating_add(overhead);
        self.underlay.write(headers, length, buffer)?;
        Ok(length)
    }
}
