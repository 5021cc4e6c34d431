//! The service tunnel: how the identity of a caller travels inside the bytes.
//!
//! An IPv4 packet becomes IPv6, whose source holds the VNet, the subnet and the private source, and
//! is carried as an Ethernet frame in NVGRE (RFC 7637) or VXLAN (RFC 7348) over IPv4 (W-01 to
//! W-03):
//!
//! ```text
//! 10.1.1.1 > 50.1.2.1 tcp
//! 40.1.2.1 > 50.1.2.1 nvgre 100 | ethernet | fd00:108:0:d204:0:200:a01:101 > 2603:10e1:100:2::3201:201 tcp
//! ```
//!
//! [`Tunnel::encapsulate`] goes that way, [`Encapsulated::parse`] reads what came, and
//! [`Encapsulated::decapsulate`] gives IPv4 back. All of it is pure: whether a packet is wanted at
//! all, the flow table knows (W-07, C-18). Which bits of an address mean what is known only to
//! [`Layout`], since it is not public (U-03).
//!
//! Not modelled: ICMP is carried as it is and not turned into ICMPv6, since endpoints carry TCP
//! only (E-13, C-16); the length of the outer packet is not held against an MTU (U-14).
//!
//! ```
//! use vnetem_packet::tunnel::{Encapsulated, Encapsulation, Fragments, Key, Layout, Overlay, Tag, Tunnel, Underlay};
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
//! // At the service: who calls, and the packet as it was.
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

/// One direction of a service tunnel: what becomes of the addresses of a packet, and what is put
/// around it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Tunnel {
    /// What is laid over the source: on the way to the service, the caller's VNet and subnet
    /// (W-01).
    pub source: Overlay,
    /// What is laid over the destination: on the way to the service, the service's prefix.
    pub destination: Overlay,
    /// What is put around the packet (W-03).
    pub underlay: Underlay,
    /// What becomes of fragments.
    pub fragments: Fragments,
}

/// What becomes of fragments in a tunnel (U-16).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Fragments {
    /// Each is carried with an IPv6 fragment header (RFC 7915 4.1), and the first one's checksum is
    /// updated.
    #[default]
    Carry,
    /// They are refused.
    Refuse,
}

impl Tunnel {
    /// By how many bytes a packet grows at most: in VXLAN, as a fragment.
    pub const MAXIMUM_OVERHEAD: usize = 78;

    /// Writes the packet as it travels in the tunnel into `buffer` and gives its length in bytes.
    ///
    /// `headers` must be what [`Headers::parse`] said of `packet`. The inner hop limit is the
    /// packet's time to live, the inner traffic class and flow label are 0 (W-09); the outer time
    /// to live is 64 (W-11). Transport checksums are right for the IPv6 pseudo-header if they were
    /// right before (W-20), and wrong by the same amount if not (INV-wrong-checksum-stays-wrong); a
    /// UDP checksum that was absent is computed, since IPv6 wants one (RFC 7915 4.5).
    ///
    /// # Errors
    ///
    /// The packet has options, is of a protocol that is none in IPv6, is a fragment that is not
    /// carried, grows too long, or is longer than `buffer`; then what stands in `buffer` means
    /// nothing.
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
