//! Why a packet went no further. One list gives variant, stable name and counter together.

use core::fmt;

use vnetem_authz::{Refusal, RuleDirection};
use vnetem_nat::{NoTuple, OpenError};
use vnetem_packet::Malformed;

macro_rules! reasons {
    ($($(#[$doc:meta])* $variant:ident = $name:literal,)*) => {
        /// The network could not carry the packet, or would not.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum DropReason {
            /// The bytes are no packet that may be forwarded (INV-malformed-headers-dropped,
            /// INV-malformed-transport-dropped).
            Malformed(Malformed),
            $($(#[$doc])* $variant,)*
        }

        impl DropReason {
            /// All reasons but the malformed ones, which are [`Malformed::ALL`].
            const OTHERS: &'static [Self] = &[$(Self::$variant),*];

            /// The stable name, in kebab-case.
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
    /// The edge is none of this configuration's.
    UnknownEdge = "unknown-edge",
    /// The source address is not one that may be sent from this edge (INV-spoofed-source-dropped).
    SpoofedSource = "spoofed-source",
    /// The source address can be no host's: this network, loopback, multicast, reserved, broadcast
    /// (INV-special-addresses-refused).
    MartianSource = "martian-source",
    /// The destination address can be no single host's, or is the source itself
    /// (INV-special-addresses-refused).
    MartianDestination = "martian-destination",
    /// The time to live would reach 0 (INV-last-hop-ends).
    TtlExpired = "ttl-expired",
    /// There is no flow and this packet may not open one (P-25).
    NoFlow = "no-flow",
    /// From the public side, to a translated address or from a service, without a flow
    /// (INV-unsolicited-dropped).
    Unsolicited = "unsolicited",
    /// An answer came in by another edge than the question left by.
    WrongEdge = "wrong-edge",
    /// A later fragment came before its first one, or after its entry was gone: by time, with its
    /// flow, or for a newer one where there was no room (P-30, INV-early-fragment-dropped,
    /// INV-fragment-state-bounded).
    FragmentWithoutFirst = "fragment-without-first",
    /// A fragment overlaps another, or reaches beyond what its first one allows
    /// (INV-bad-fragments-dropped).
    FragmentRefused = "fragment-refused",
    /// No route leads to the destination.
    NoRoute = "no-route",
    /// The route's next hop is None.
    RouteNone = "route-none",
    /// The destination is inside the virtual network but in no subnet, or a machine at either end
    /// is deallocated (N-29).
    NoSuchHost = "no-such-host",
    /// The appliance of the route is in no subnet that can be reached.
    NoNextHop = "no-next-hop",
    /// The private endpoint is pending, rejected or disconnected (L-07).
    PrivateEndpointUnapproved = "private-endpoint-unapproved",
    /// A user route to the network itself took the private endpoint's own route away, and carries
    /// nothing to it (L-11).
    PrivateEndpointRoute = "private-endpoint-route",
    /// The subnet is private: no outbound method (N-03).
    NoOutbound = "no-outbound",
    /// An appliance forwards it to the internet under another's address: outbound methods translate
    /// an interface's own.
    ForeignSource = "foreign-source",
    /// The outbound method does not carry this protocol, or no fragments (N-18).
    OutboundUnsupported = "outbound-unsupported",
    /// To a public address of the sender's own outbound method, which lets nothing turn round
    /// (T-33); behind a shard, to any public address that is ours but those of its own pool.
    Hairpin = "hairpin",
    /// Every public port towards this remote is taken (N-17, INV-refused-only-when-full).
    SnatExhausted = "snat-exhausted",
    /// Its inside address has as many flows or ports as it may (T-10).
    PortQuota = "port-quota",
    /// Its inside address opens flows faster than it may (T-10).
    FlowRate = "flow-rate",
    /// The flow table is full (INV-memory-bounded).
    FlowTableFull = "flow-table-full",
    /// What is free of the flow table is guaranteed to other tenants (docs/shares.md).
    FlowShareUsed = "flow-share-used",
    /// The table of cells is full, or what is free of it is guaranteed to other tenants
    /// (docs/shares.md).
    CellTableFull = "cell-table-full",
    /// What flows of a pool share finds no room: inside addresses, sockets, remotes, blocks; or
    /// what is free is guaranteed to other tenants (docs/shares.md).
    MappingTableFull = "mapping-table-full",
    /// Another live flow has the same tuple on one side (INV-tuple-unique-per-side).
    TupleInUse = "tuple-in-use",
    /// The public tuple is in hold-down (INV-hold-down-kept).
    TupleHeld = "tuple-in-hold-down",
    /// The flow's source would change by a new configuration: it is closed (S-17).
    SourceSwitched = "source-switched",
    /// The flow's path would change by a new configuration: it is closed.
    PathSwitched = "path-switched",
    /// The flow's public address was taken away: it is closed (N-08).
    Withdrawn = "withdrawn",
    /// The flow's port was taken back from its machine: it is lost (N-28).
    PortReclaimed = "port-reclaimed",
    /// A later segment of a closed flow (INV-tombstone-answers).
    FlowClosed = "flow-closed",
    /// An ICMP error about a packet of no live flow (INV-icmp-quote-translated).
    QuoteUnknown = "quote-unknown",
    /// An ICMP error quotes a TCP sequence number that is not under way in its flow (RFC 5927 4.1).
    QuoteOutOfWindow = "quote-out-of-window",
    /// An ICMP redirect about a packet of a translated flow: the gateway that it names is on
    /// another link (RFC 1122 3.2.2.2, T-22).
    Redirect = "icmp-redirect",
    /// An ICMP error with a wrong checksum: what it quotes cannot be trusted (T-22, RFC 5508
    /// REQ-3).
    IcmpChecksum = "icmp-checksum",
    /// The transport checksum is wrong, and
    /// [`Settings::verify_checksums`](crate::Settings::verify_checksums) asks for it (T-39).
    TransportChecksum = "transport-checksum",
    /// The packet is longer than the next link takes (T-27).
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

/// Policy said no.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum DenyReason {
    /// The resource's rules refuse it, and the [`DenyMode`](vnetem_authz::DenyMode) is not to
    /// deliver.
    Refused(Refusal),
    /// A security group in the way denies it; nothing is sent back and no flow is made (P-28,
    /// P-32).
    SecurityGroup(RuleDirection),
}

impl DropReason {
    /// Number of reasons.
    pub const COUNT: usize = Self::OTHERS.len() + Malformed::ALL.len();

    /// Every reason, in the order of their counters.
    pub fn all() -> impl Iterator<Item = Self> {
        let malformed = Malformed::ALL.iter().map(|&cause| Self::Malformed(cause));
        malformed.chain(Self::OTHERS.iter().copied())
    }

    /// The place of the reason's counter.
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

    /// Number of reasons.
    pub const COUNT: usize = Refusal::ALL.len() + Self::DIRECTIONS.len();

    /// Every reason, in the order of their counters.
    pub fn all() -> impl Iterator<Item = Self> {
        let refused = Refusal::ALL.into_iter().map(Self::Refused);
        refused.chain(Self::DIRECTIONS.into_iter().map(Self::SecurityGroup))
    }

    /// The place of the reason's counter.
    #[must_use]
    pub(crate) fn index(self) -> usize {
        match self {
            Self::Refused(refusal) => refusal as usize,
            Self::SecurityGroup(RuleDirection::Outbound) => Refusal::ALL.len(),
            Self::SecurityGroup(RuleDirection::Inbound) => Refusal::ALL.len() + 1,
        }
    }

    /// The stable name, in kebab-case.
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

    /// INV-one-cause-per-drop: no refusal of the flow table goes by the name of another.
    #[test]
    fn every_refusal_has_its_own_reason() {
        let reasons: BTreeSet<_> = OpenError::ALL.into_iter().map(DropReason::from).collect();
        assert_eq!(reasons.len(), OpenError::ALL.len());
    }

    /// INV-one-cause-per-drop: each reason has a counter and a name of its own.
    #[test]
    fn every_reason_has_its_own_counter_and_name() {
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
