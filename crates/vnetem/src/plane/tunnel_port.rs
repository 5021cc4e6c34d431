//! The edge of a service whose other side reads the identity from the bytes instead of finding it
//! beside them.

use core::fmt;
use core::net::Ipv4Addr;

use vnetem_packet::tunnel::{
    DoesNotFit, Encapsulated, Fragments, Layout, Overlay, Tag, Tunnel, Undecodable, Underlay,
    Untranslatable,
};
use vnetem_packet::{Headers, Identity, Malformed};

use crate::{Edge, ServiceId, TrafficCount};

/// How a service's tunnel looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TunnelSettings {
    /// Where VNet and subnet stand in the IPv6 source (U-03).
    pub layout: Layout,
    /// The number of the callers' region.
    pub region: u16,
    /// What is laid over the service's address: its prefix (W-01), or a fixed address (W-15),
    /// behind which the outer destination has to be the packet's own.
    pub destination: Overlay,
    /// What is put around (W-03, W-12); the outer source is the host's, or a gateway's (W-04).
    pub underlay: Underlay,
    /// What becomes of fragments (U-16).
    pub fragments: Fragments,
}

/// The edge of one service, spoken as a service tunnel: what leaves for the service's side is
/// wrapped, what comes from there is unwrapped.
///
/// By default the identity of a caller travels beside the bytes, in [`Edge::Service`]. A port
/// stands between the data plane and a peer that speaks the tunnel: whatever leaves by that edge,
/// of [`process`](crate::DataPlane::process) as of
/// [`poll_transmit`](crate::DataPlane::poll_transmit), goes through
/// [`encapsulate`](Self::encapsulate), and what the peer sends goes through
/// [`decapsulate`](Self::decapsulate) and on to `process`, which drops what belongs to no flow
/// (W-07). Packets grow, so both write into a buffer of the caller's, and neither allocates.
///
/// The outer packet may be up to [`Tunnel::MAXIMUM_OVERHEAD`] bytes longer than the inner one; no
/// MTU is enforced on it and nothing is fragmented for it (U-14). A packet with IPv4 options does
/// not enter, which is counted (U-15).
#[derive(Clone, Debug)]
pub struct TunnelPort {
    service: ServiceId,
    settings: TunnelSettings,
    counters: TunnelCounters,
}

/// What went through a port: every packet that was handed in is counted once, as through or as
/// dropped.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TunnelCounters {
    /// Packets that were wrapped, and their bytes before.
    pub encapsulated: TrafficCount,
    /// Packets that were unwrapped, and their bytes afterwards.
    pub decapsulated: TrafficCount,
    drops: [u64; TunnelDrop::COUNT],
}

/// Why a packet did not get through a port.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum TunnelDrop {
    /// It does not leave over an endpoint of the port's service.
    OtherEdge,
    /// It is no IPv4 packet.
    Malformed(Malformed),
    /// The caller's number is too wide for the layout.
    Identity(DoesNotFit),
    /// It cannot change its IP version: options (U-15), fragments that are not carried (U-16), and
    /// so on.
    Untranslatable(Untranslatable),
    /// The bytes are no packet of a service tunnel.
    Undecodable(Undecodable),
    /// They are one of another tunnel: of another key or encapsulation (W-12), from another service
    /// or to no caller of ours.
    OtherTunnel,
}

impl TunnelPort {
    /// A port of a service.
    #[must_use]
    pub fn new(service: ServiceId, settings: TunnelSettings) -> Self {
        Self { service, settings, counters: TunnelCounters::default() }
    }

    /// Writes a packet that leaves by `to` as it travels in the tunnel (W-01) into `buffer` and
    /// gives its length in bytes.
    ///
    /// # Errors
    ///
    /// Why it does not enter the tunnel; it is then counted as dropped, and what stands in `buffer`
    /// means nothing.
    pub fn encapsulate(
        &mut self,
        to: Edge,
        packet: &[u8],
        buffer: &mut [u8],
    ) -> Result<usize, TunnelDrop> {
        let wrapped = self.wrap(to, packet, buffer);
        match wrapped {
            Ok(_) => self.counters.encapsulated.add(packet.len()),
            Err(reason) => self.counters.drop(reason),
        }
        wrapped
    }

    /// Writes what the peer sent as IPv4 (W-06) into `buffer`; gives the edge by which it enters
    /// the data plane and its length in bytes.
    ///
    /// # Errors
    ///
    /// Why it is none of this tunnel; it is then counted as dropped, and what stands in `buffer`
    /// means nothing.
    pub fn decapsulate(
        &mut self,
        bytes: &[u8],
        buffer: &mut [u8],
    ) -> Result<(Edge, usize), TunnelDrop> {
        let unwrapped = self.unwrap(bytes, buffer);
        match unwrapped {
            Ok((_, length)) => self.counters.decapsulated.add(length),
            Err(reason) => self.counters.drop(reason),
        }
        unwrapped
    }

    /// What went through so far.
    #[must_use]
    pub const fn counters(&self) -> &TunnelCounters {
        &self.counters
    }

    fn wrap(&self, to: Edge, packet: &[u8], buffer: &mut [u8]) -> Result<usize, TunnelDrop> {
        let identity = match to {
            Edge::Service { service, identity: Some(identity) } if service == self.service => {
                identity
            }
            _ => return Err(TunnelDrop::OtherEdge),
        };
        let headers = Headers::parse(packet).map_err(TunnelDrop::Malformed)?;
        let TunnelSettings { destination, underlay, fragments, .. } = self.settings;
        let tunnel = Tunnel { source: self.over(identity)?, destination, underlay, fragments };
        tunnel.encapsulate(packet, &headers, buffer).map_err(TunnelDrop::Untranslatable)
    }

    fn unwrap(&self, bytes: &[u8], buffer: &mut [u8]) -> Result<(Edge, usize), TunnelDrop> {
        let received = Encapsulated::parse(bytes).map_err(TunnelDrop::Undecodable)?;
        let TunnelSettings { layout, destination, underlay, .. } = self.settings;
        // It travels towards the caller, so the caller is its destination.
        let [embedded, caller] = received.embedded();
        let identity = layout.decode(received.destination).identity(caller);
        let identity = identity.ok_or(TunnelDrop::OtherTunnel)?;
        let remote = if is_fixed(destination) { received.underlay.source } else { embedded };
        let ours = received.underlay.encapsulation == underlay.encapsulation
            && received.underlay.key == underlay.key
            && destination.over(remote) == received.source
            && self.over(identity)?.over(caller) == received.destination;
        if !ours {
            return Err(TunnelDrop::OtherTunnel);
        }
        let length = received
            .decapsulate(bytes, [remote, caller], buffer)
            .map_err(TunnelDrop::Untranslatable)?;
        Ok((Edge::Service { service: self.service, identity: Some(identity) }, length))
    }

    /// What is laid over the address of a caller.
    fn over(&self, caller: Identity) -> Result<Overlay, TunnelDrop> {
        let tag = Tag::of(Tag::SERVICE_TUNNEL, self.settings.region, caller);
        self.settings.layout.encode(tag).map_err(TunnelDrop::Identity)
    }
}

impl TunnelCounters {
    /// Packets dropped for a reason. Those that are malformed, do not fit or cannot be decoded have
    /// one counter each, whatever the details.
    #[must_use]
    pub fn drops(&self, reason: TunnelDrop) -> u64 {
        self.drops.get(reason.index()).copied().unwrap_or(0)
    }

    /// Packets dropped for whatever reason.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.drops.iter().sum()
    }

    fn drop(&mut self, reason: TunnelDrop) {
        if let Some(counter) = self.drops.get_mut(reason.index()) {
            *counter += 1;
        }
    }
}

impl TunnelDrop {
    const COUNT: usize = 5 + Untranslatable::ALL.len();

    /// The stable name, in kebab-case.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::OtherEdge => "tunnel-other-edge",
            Self::Malformed(cause) => cause.name(),
            Self::Identity(_) => "tunnel-identity",
            Self::Untranslatable(cause) => cause.name(),
            Self::Undecodable(cause) => cause.name(),
            Self::OtherTunnel => "tunnel-other",
        }
    }

    fn index(self) -> usize {
        match self {
            Self::OtherEdge => 0,
            Self::Malformed(_) => 1,
            Self::Identity(_) => 2,
            Self::Undecodable(_) => 3,
            Self::OtherTunnel => 4,
            Self::Untranslatable(cause) => 5 + cause as usize,
        }
    }
}

impl fmt::Display for TunnelDrop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl core::error::Error for TunnelDrop {}

/// Whether nothing of the address below shows through (W-15).
fn is_fixed(overlay: Overlay) -> bool {
    overlay.over(Ipv4Addr::UNSPECIFIED) == overlay.over(Ipv4Addr::BROADCAST)
}
