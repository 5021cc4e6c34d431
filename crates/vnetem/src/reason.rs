//! Lists why a packet was dropped or denied. One list gives each variant its stable name and its
//! counter.

use core::fmt;

use vnetem_authz::{Refusal, RuleDirection};
use vnetem_nat::{NoTuple, OpenError};
use vnetem_packet::Malformed;

macro_rules! reasons {
    ($($(#[$doc:meta])* $variant:ident = $name:literal,)*) => {
        /// The network could not carry the packet, or was told not to.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[non_exhaustive]
        pub enum DropReason {
            /// The bytes are no valid IPv4 packet (INV-malformed-headers-dropped,
            /// INV-malformed-transport-dropped).
            Malformed(Malformed),
            $($(#[$doc])* $variant,)*
        }

        impl DropReason {
            /// All reasons except the malformed ones, which are [`Malformed::ALL`].
            const OTHERS: &'static [Self] = &[$(Self::$variant),*];

            /// Returns the stable name, in kebab-case.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self {
                    Self::Malformed(cause) => cause.name(),
                    $(Self::$variant => $name,)*
                }
            }
        }
    };
}

reasons! {
    /// The edge does not exist in this configuration.
    UnknownEdge = "unknown-edge",
    /// No host at this edge may send from the source address (INV-spoofed-source-dropped).
    SpoofedSource = "spoofed-source",
    /// The source address belongs to no single host: this network, loopback, multicast, reserved or
    /// broadcast (INV-special-addresses-refused).
    MartianSource = "martian-source",
    /// The destination belongs to no single host, or equals the source
    /// (INV-special-addresses-refused).
    MartianDestination = "martian-destination",
    /// The time to live would reach 0 (INV-last-hop-ends).
    TtlExpired = "ttl-expired",
    /// The packet belongs to no flow and may not open one (P-25).
    NoFlow = "no-flow",
    /// The packet came from the public side or from a service, and belongs to no flow
    /// (INV-unsolicited-dropped).
    Unsolicited = "unsolicited",
    /// A reply came in by another edge than the one by which the flow leaves.
    WrongEdge = "wrong-edge",
    /// A later fragment came before its first one, or after the entry of that was gone (P-30,
    /// INV-early-fragment-dropped). An entry ends by time, with its flow, or for a newer one where
    /// there is no room (INV-fragment-state-bounded).
    FragmentWithoutFirst = "fragment-without-first",
    /// A fragment overlaps another one, or reaches beyond the end of its datagram
    /// (INV-bad-fragments-dropped).
    FragmentRefused = "fragment-refused",
    /// No route leads to the destination.
    NoRoute = "no-route",
    /// The route's next hop is None.
    RouteNone = "route-none",
    /// The destination is inside the virtual network but in no subnet, or the machine at either end
    /// is deallocated (N-29).
    NoSuchHost = "no-such-host",
    /// The appliance that the route names is in no subnet that can be reached.
    NoNextHop = "no-next-hop",
    /// The private endpoint is pending, rejected or disconnected (L-07).
    PrivateEndpointUnapproved = "private-endpoint-unapproved",
    /// A user route to the network itself overrides the private endpoint's route and carries
    /// nothing to it (L-11).
    PrivateEndpointRoute = "private-endpoint-route",
    /// The subnet is private: it has no outbound method (N-03).
    NoOutbound = "no-outbound",
    /// An appliance forwards to the internet a packet that has another host's source. Outbound
    /// methods translate an interface's own address only.
    ForeignSource = "foreign-source",
    /// The outbound method does not carry this protocol, or carries no fragments (N-18).
    OutboundUnsupported = "outbound-unsupported",
    /// The destination is an address of the sender's own outbound method, which allows no hairpin
    /// (T-33). Behind a shard it is any public address of the network outside the sender's own
    /// pool.
    Hairpin = "hairpin",
    /// Every public port towards this remote is in use (N-17, INV-refused-only-when-full).
    SnatExhausted = "snat-exhausted",
    /// The internal address has reached its limit of flows or ports (T-10).
    PortQuota = "port-quota",
    /// The internal address opens flows faster than its rate limit (T-10).
    FlowRate = "flow-rate",
    /// The flow table is full (INV-memory-bounded).
    FlowTableFull = "flow-table-full",
    /// The free entries of the flow table are guaranteed to other tenants (docs/shares.md).
    FlowShareUsed = "flow-share-used",
    /// The table of revalidation keys is full, or its free entries are guaranteed to other tenants
    /// (docs/shares.md).
    CellTableFull = "cell-table-full",
    /// The table of mapping state is full, or its free entries are guaranteed to other tenants
    /// (docs/shares.md). It holds limited addresses, mappings, permitted remotes and port blocks.
    MappingTableFull = "mapping-table-full",
    /// Another live flow has the same tuple on one side (INV-tuple-unique-per-side).
    TupleInUse = "tuple-in-use",
    /// The public tuple is in hold-down (INV-hold-down-kept).
    TupleHeld = "tuple-in-hold-down",
    /// A new configuration would change the flow's source, so the flow is closed (S-17).
    SourceSwitched = "source-switched",
    /// A new configuration would change the flow's path, so the flow is closed.
    PathSwitched = "path-switched",
    /// The flow's public address was removed, so the flow is closed (N-08).
    Withdrawn = "withdrawn",
    /// The flow's port was taken back from its machine, so the flow ended (N-28).
    PortReclaimed = "port-reclaimed",
    /// The segment belongs to a closed flow (INV-tombstone-answers).
    FlowClosed = "flow-closed",
    /// An ICMP error quotes a packet that belongs to no live flow (INV-icmp-quote-translated).
    QuoteUnknown = "quote-unknown",
    /// An ICMP error quotes a TCP sequence number that is not in flight (RFC 5927 4.1).
    QuoteOutOfWindow = "quote-out-of-window",
    /// An ICMP redirect concerns a translated flow, and the gateway that it names is on another
    /// link (RFC 1122 3.2.2.2, T-22).
    Redirect = "icmp-redirect",
    /// An ICMP error has a wrong checksum, so its quote cannot be trusted (T-22, RFC 5508 REQ-3).
    IcmpChecksum = "icmp-checksum",
    /// The transport checksum is wrong, and
    /// [`Settings::verify_checksums`](crate::Settings::verify_checksums) is on (T-39).
    TransportChecksum = "transport-checksum",
    /// The packet is longer than the MTU of the next link (T-27).
    TooLong = "too-long",
    /// The segment does not fit the state of its connection.
    TcpInvalid = "tcp-invalid",
}

impl From<NoTuple> for DropReason {
    fn from(why: NoTuple) -> Self {
        match why {
            NoTuple::Exhausted => Self::SnatExhausted,
            NoTuple::Quota => Self::PortQuota,
            NoTuple::Rate => Self::FlowRate,
        }
    }
}

impl From<OpenError> for DropReason {
    fn from(why: OpenError) -> Self {
        match why {
            OpenError::TableFull => Self::FlowTableFull,
            OpenError::ShareUsed => Self::FlowShareUsed,
            OpenError::CellsFull => Self::CellTableFull,
            OpenError::MappingsFull => Self::MappingTableFull,
            OpenError::TupleInUse => Self::TupleInUse,
            OpenError::TupleHeld => Self::TupleHeld,
        }
    }
}

/// Policy denied the packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum DenyReason {
    /// The resource's rules refuse the caller, and the [`DenyMode`](vnetem_authz::DenyMode) does
    /// not deliver such packets.
    Refused(Refusal),
    /// A security group denies the packet. The data plane sends nothing back and opens no flow
    /// (P-28, P-32).
    SecurityGroup(RuleDirection),
}

impl DropReason {
    /// The number of reasons.
    pub const COUNT: usize = Self::OTHERS.len() + Malformed::ALL.len();

    /// Iterates over all reasons, in the order of their counters.
    pub fn all() -> impl Iterator<Item = Self> {
        let malformed = Malformed::ALL.iter().map(|&cause| Self::Malformed(cause));
        malformed.chain(Self::OTHERS.iter().copied())
    }

    /// Returns the index of the reason's counter.
    #[must_use]
    pub(crate) fn index(self) -> usize {
        let (list, cause): (&[Self], _) = match self {
            Self::Malformed(cause) => {
                return Malformed::ALL.iter().position(|other| *other == cause).unwrap_or(0);
            }
            other => (Self::OTHERS, other),
        };
        Malformed::ALL.len() + list.iter().position(|other| *other == cause).unwrap_or(0)
    }
}

impl DenyReason {
    const DIRECTIONS: [RuleDirection; 2] = [RuleDirection::Outbound, RuleDirection::Inbound];

    /// The number of reasons.
    pub const COUNT: usize = Refusal::ALL.len() + Self::DIRECTIONS.len();

    /// Iterates over all reasons, in the order of their counters.
    pub fn all() -> impl Iterator<Item = Self> {
        let refused = Refusal::ALL.into_iter().map(Self::Refused);
        refused.chain(Self::DIRECTIONS.into_iter().map(Self::SecurityGroup))
    }

    /// Returns the index of the reason's counter.
    #[must_use]
    pub(crate) fn index(self) -> usize {
        match self {
            Self::Refused(refusal) => refusal as usize,
            Self::SecurityGroup(RuleDirection::Outbound) => Refusal::ALL.len(),
            Self::SecurityGroup(RuleDirection::Inbound) => Refusal::ALL.len() + 1,
        }
    }

    /// Returns the stable name, in kebab-case.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Refused(refusal) => refusal.name(),
            Self::SecurityGroup(RuleDirection::Outbound) => "security-group-outbound",
            Self::SecurityGroup(RuleDirection::Inbound) => "security-group-inbound",
        }
    }
}

impl fmt::Display for DropReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl fmt::Display for DenyReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    /// INV-one-cause-per-drop: each refusal of the flow table has a name of its own.
    #[test]
    fn every_refusal_has_its_own_reason() {
        let reasons: BTreeSet<_> = OpenError::ALL.into_iter().map(DropReason::from).collect();
        assert_eq!(reasons.len(), OpenError::ALL.len());
    }

    /// INV-one-cause-per-drop: each reason has a counter and a name of its own.
    #[test]
    fn reasons_have_own_counter_and_name() {
        let all: Vec<_> = DropReason::all().collect();
        assert_eq!(all.len(), DropReason::COUNT);
        for (at, reason) in all.iter().enumerate() {
            assert_eq!(reason.index(), at, "{reason}");
        }
        let denied: Vec<_> = DenyReason::all().collect();
        assert_eq!(denied.len(), DenyReason::COUNT);
        for (at, reason) in denied.iter().enumerate() {
            assert_eq!(reason.index(), at, "{reason}");
        }
        let names: BTreeSet<_> = all
            .iter()
            .map(|reason| reason.name())
            .chain(denied.iter().map(|reason| reason.name()))
            .collect();
        assert_eq!(names.len(), all.len() + denied.len());
        assert!(names.iter().all(|name| {
            name.bytes()
                .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
        }));
    }
}
