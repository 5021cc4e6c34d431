//! Names the points at which packets enter and leave the emulated network.

use core::fmt;
use core::hint::select_unpredictable;

use vnetem_nat::{RevalidationKey, Zone};
use vnetem_packet::{Identity, SiteId, SubnetId};

/// Number of a network interface, never reused within one control plane.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NicId(pub u32);

/// Number of a service that endpoints can be enabled for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ServiceId(pub u8);

/// Number of an endpoint policy, never reused within one control plane.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EndpointPolicyId(pub u32);

/// Number of a resource (one account, one server) with rules of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ResourceId(pub u32);

/// Number of a load balancer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LoadBalancerId(pub u32);

/// Number of a private endpoint, never reused within one control plane.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PrivateEndpointId(pub u32);

/// Names an attachment point: where a packet enters or leaves. A reply enters by the edge at which
/// the flow's first packet left.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Edge {
    /// Any host of a subnet that has no declared interface.
    Subnet(SubnetId),
    /// One declared network interface, a forwarding appliance for example.
    Nic(NicId),
    /// The internet.
    Internet,
    /// A service. It has an identity if packets reach it over a service endpoint, and none if they
    /// reach it by public addresses.
    Service {
        /// The service.
        service: ServiceId,
        /// What the service learns of the caller (S-04). The identity travels beside the bytes.
        identity: Option<Identity>,
    },
    /// A service in the subnet's own region, reached without an endpoint over the path inside the
    /// region. It sees the private source and no identity (C-03). The subnet is named so that
    /// replies find their way back.
    SameRegion {
        /// The service.
        service: ServiceId,
        /// The subnet.
        subnet: SubnetId,
    },
    /// An on-premises site.
    Site(SiteId),
    /// The platform as the hosts of a subnet see it, at 168.63.129.16 and 169.254.169.254: DNS,
    /// metadata and health probes.
    Platform(SubnetId),
    /// The one resource that a private endpoint leads to (L-05).
    PrivateEndpoint(PrivateEndpointId),
}

/// An [`Edge`] packed into 32 bits: what a data plane takes and a verdict names.
///
/// Make it once from an [`Edge`] and keep it. It needs no snapshot, and holds for all of them. All
/// callers of one subnet over the endpoint of one service share one `EdgeId`. So it has no address,
/// which the packet itself has; [`Forward::edge`](crate::Forward::edge) names the whole edge.
#[repr(C, packed(2))]
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EdgeId(u32);

/// The fields of an [`EdgeId`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    Subnet(SubnetId),
    Nic(NicId),
    Internet,
    Public(ServiceId),
    Endpoint(ServiceId, SubnetId),
    SameRegion(ServiceId, SubnetId),
    Site(SiteId),
    Platform(SubnetId),
    Private(PrivateEndpointId),
}

/// The most services that one control plane can hold. A revalidation key and a stored edge have
/// five bits for a service, and 0 means none.
pub const MAX_SERVICES: usize = 31;

/// The most subnets, sites and interfaces that one control plane can make in its life: a stored
/// edge has 24 bits for them.
pub const MAX_PLACES: u32 = (1 << 24) - 1;

const KIND: u32 = 29;
const SERVICE: u32 = 24;
/// A service number that no service has. It marks the edge of the platform.
const PLATFORM: u32 = 31;
/// Marks the edge of a host whose replies leave by another edge. Such an edge names no service.
const ELSEWHERE: u32 = 1 << 28;

impl EdgeId {
    /// The internet.
    pub const INTERNET: Self = Self(0);
    /// A hairpin: the far end of a flow to one of the network's own public addresses (T-33). It
    /// counts as public, since the packet comes in again from the internet.
    pub(crate) const HAIRPIN: Self = Self(1);

    /// Stands for no edge. Packets that enter there are dropped as `unknown-edge`.
    pub(crate) const NOWHERE: Self = Self(u32::MAX);

    /// Packs an edge. One with a number beyond [`MAX_PLACES`] or [`MAX_SERVICES`] exists in no
    /// network, and packets that enter there are dropped.
    #[must_use]
    #[inline]
    pub const fn new(edge: Edge) -> Self {
        let (number, service, id) = match edge {
            Edge::Internet => return Self::INTERNET,
            Edge::Subnet(id) => (id.0, 0, Self::subnet(id)),
            Edge::Nic(id) => (id.0, 0, Self::nic(id)),
            Edge::Site(id) => (id.0, 0, Self::site(id)),
            Edge::Platform(id) => (id.0, 0, Self::platform(id)),
            Edge::PrivateEndpoint(id) => (id.0, 0, Self::private(id)),
            Edge::Service { service, identity: None } => (0, service.0, Self::public(service)),
            Edge::Service { service, identity: Some(Identity { subnet, .. }) } => {
                (subnet.0, service.0, Self::endpoint(service, subnet))
            }
            Edge::SameRegion { service, subnet } => {
                (subnet.0, service.0, Self::same_region(service, subnet))
            }
        };
        if number > MAX_PLACES || service as usize >= MAX_SERVICES { Self::NOWHERE } else { id }
    }

    pub(crate) const fn subnet(id: SubnetId) -> Self {
        Self(1 << KIND | id.0)
    }

    pub(crate) const fn nic(id: NicId) -> Self {
        Self(2 << KIND | id.0)
    }

    pub(crate) const fn site(id: SiteId) -> Self {
        Self(3 << KIND | id.0)
    }

    /// Makes the edge of a service that is reached by public addresses.
    pub(crate) const fn public(service: ServiceId) -> Self {
        Self(4 << KIND | (service.0 as u32) << SERVICE)
    }

    /// Makes the edge of a service that is reached over the endpoint of a subnet.
    pub(crate) const fn endpoint(service: ServiceId, subnet: SubnetId) -> Self {
        Self(5 << KIND | (service.0 as u32) << SERVICE | subnet.0)
    }

    /// Makes the edge of a service that a subnet reaches by the path inside the region.
    pub(crate) const fn same_region(service: ServiceId, subnet: SubnetId) -> Self {
        Self(6 << KIND | (service.0 as u32) << SERVICE | subnet.0)
    }

    /// Makes the edge of the platform as a subnet sees it.
    pub(crate) const fn platform(subnet: SubnetId) -> Self {
        Self(6 << KIND | PLATFORM << SERVICE | subnet.0)
    }

    /// Marks the edge of a host whose replies leave by another edge than the one that the first
    /// packet used. The marked edge names the same place and equals no edge by which packets
    /// enter.
    pub(crate) const fn answering_elsewhere(self) -> Self {
        Self(self.0 | ELSEWHERE)
    }

    /// Returns whether the edge is marked by [`answering_elsewhere`](Self::answering_elsewhere).
    pub(crate) const fn answers_elsewhere(self) -> bool {
        matches!(self.0 >> KIND, 1 | 2) && self.0 & ELSEWHERE != 0
    }

    /// Removes the mark of [`answering_elsewhere`](Self::answering_elsewhere).
    pub(crate) const fn plain(self) -> Self {
        if self.answers_elsewhere() { Self(self.0 & !ELSEWHERE) } else { self }
    }

    /// Returns the edge that belongs to a zone. Of several edges in one zone it returns the one
    /// that stands for all.
    pub(crate) const fn of_zone(zone: Zone) -> Self {
        Self(zone.0)
    }

    pub(crate) const fn private(id: PrivateEndpointId) -> Self {
        Self(7 << KIND | id.0)
    }

    /// Returns the index of its ingress entry, and what the entry calls the edge. Services come
    /// first, then the internet and subnets by number. A service has one entry for all the ways by
    /// which it is reached.
    #[inline(always)]
    pub(crate) fn ingress(self) -> (usize, Self) {
        let (service, number) = (self.0 >> SERVICE & 0x1F, self.0 & MAX_PLACES);
        let place = (number as usize).wrapping_add(MAX_SERVICES);
        let public = Self(4 << KIND | service << SERVICE);
        let is_service = self.0 >> KIND & !1 == 4;
        (
            select_unpredictable(is_service, service as usize, place),
            select_unpredictable(is_service, public, self),
        )
    }

    pub(crate) const fn place(self) -> Place {
        let low = self.0 & MAX_PLACES;
        let service = ServiceId((self.0 >> SERVICE & 0x1f) as u8);
        match self.0 >> KIND {
            1 => Place::Subnet(SubnetId(low)),
            2 => Place::Nic(NicId(low)),
            3 => Place::Site(SiteId(low)),
            4 => Place::Public(service),
            5 => Place::Endpoint(service, SubnetId(low)),
            6 if service.0 as u32 == PLATFORM => Place::Platform(SubnetId(low)),
            6 => Place::SameRegion(service, SubnetId(low)),
            7 => Place::Private(PrivateEndpointId(low)),
            _ => Place::Internet,
        }
    }

    /// Returns the zone in which packets from this edge are looked up. Everything public is one
    /// zone, so that no two flows share a public tuple (INV-tuple-unique-per-side). What a subnet
    /// reaches by private sources has a zone for each subnet, so that overlapping networks never
    /// meet (INV-networks-isolated).
    pub(crate) const fn zone(self) -> Zone {
        match self.place() {
            Place::Platform(_) => Zone(self.0),
            _ => self.plain_zone(),
        }
    }

    /// Returns the same of an edge that is not the platform's. There is no branch, because packets
    /// come from all kinds of edges in any order.
    #[inline(always)]
    pub(crate) const fn plain_zone(self) -> Zone {
        const NUMBER: u32 = 7 << KIND | MAX_PLACES;
        const PARTS: [u32; 8] = [0, u32::MAX, u32::MAX, u32::MAX, 0, NUMBER, NUMBER, u32::MAX];
        #[allow(clippy::indexing_slicing, reason = "three bits are left")]
        Zone(self.0 & PARTS[(self.0 >> KIND) as usize])
    }

    /// Returns whether packets reach this edge by public addresses: the internet, or a service
    /// without an endpoint.
    pub(crate) const fn is_public(self) -> bool {
        self.0 == Self::INTERNET.0 || self.0 >> KIND == 4
    }
}

/// Returns the revalidation key of the flows that a place opened towards a service, or towards
/// anything else.
pub(crate) const fn revalidation_key(place: u32, service: Option<ServiceId>) -> RevalidationKey {
    let service = match service {
        Some(service) => service.0 as u32 + 1,
        None => 0,
    };
    RevalidationKey(place << 5 | service)
}

/// Returns the place to which a revalidation key belongs.
pub(crate) const fn place_of(revalidation_key: RevalidationKey) -> u32 {
    revalidation_key.0 >> 5
}

/// Returns the service to which a revalidation key belongs.
pub(crate) const fn service_of(revalidation_key: RevalidationKey) -> Option<ServiceId> {
    let [low, ..] = revalidation_key.0.to_le_bytes();
    match low & 0x1F {
        0 => None,
        service => Some(ServiceId(service - 1)),
    }
}

/// The place number of the internet in revalidation keys. Subnets and sites share the numbers from
/// 1 on.
pub(crate) const INTERNET_PLACE: u32 = 0;

impl From<Edge> for EdgeId {
    #[inline]
    fn from(edge: Edge) -> Self {
        Self::new(edge)
    }
}

/// Says whether an edge packs into this one. The address of an identity makes no difference.
impl PartialEq<Edge> for EdgeId {
    #[inline]
    fn eq(&self, edge: &Edge) -> bool {
        *self == Self::new(*edge)
    }
}

impl fmt::Debug for EdgeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::NOWHERE => f.write_str("EdgeId(nowhere)"),
            Self::HAIRPIN => f.write_str("EdgeId(hairpin)"),
            id => f.debug_tuple("EdgeId").field(&id.place()).finish(),
        }
    }
}

impl fmt::Display for NicId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "nic#{}", self.0)
    }
}

impl fmt::Display for LoadBalancerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "load-balancer#{}", self.0)
    }
}

impl fmt::Display for PrivateEndpointId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "private-endpoint#{}", self.0)
    }
}

impl fmt::Display for ServiceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "service#{}", self.0)
    }
}

impl fmt::Display for EndpointPolicyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "policy#{}", self.0)
    }
}

impl fmt::Display for ResourceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "resource#{}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn edge_code_round_trips() {
        let top = MAX_PLACES;
        for (code, place) in [
            (EdgeId::INTERNET, Place::Internet),
            (EdgeId::HAIRPIN, Place::Internet),
            (EdgeId::subnet(SubnetId(top)), Place::Subnet(SubnetId(top))),
            (EdgeId::nic(NicId(1)), Place::Nic(NicId(1))),
            (EdgeId::site(SiteId(7)), Place::Site(SiteId(7))),
            (EdgeId::private(PrivateEndpointId(top)), Place::Private(PrivateEndpointId(top))),
            (EdgeId::public(ServiceId(30)), Place::Public(ServiceId(30))),
            (EdgeId::platform(SubnetId(top)), Place::Platform(SubnetId(top))),
            (
                EdgeId::same_region(ServiceId(30), SubnetId(top)),
                Place::SameRegion(ServiceId(30), SubnetId(top)),
            ),
            (
                EdgeId::endpoint(ServiceId(30), SubnetId(top)),
                Place::Endpoint(ServiceId(30), SubnetId(top)),
            ),
        ] {
            assert_eq!(code.place(), place);
        }
    }

    #[test]
    fn numbers_beyond_limits_pack_nowhere() {
        let (beyond, service) = (SubnetId(MAX_PLACES + 1), ServiceId(31));
        for edge in [
            Edge::Subnet(beyond),
            Edge::Nic(NicId(u32::MAX)),
            Edge::Platform(beyond),
            Edge::Service { service, identity: None },
            Edge::SameRegion { service: ServiceId(0), subnet: beyond },
            Edge::SameRegion { service, subnet: SubnetId(1) },
        ] {
            assert_eq!(EdgeId::new(edge), EdgeId::NOWHERE, "{edge:?}");
        }
        let top = Edge::SameRegion { service: ServiceId(30), subnet: SubnetId(MAX_PLACES) };
        assert_ne!(EdgeId::new(top), EdgeId::NOWHERE);
    }

    /// Callers of one subnet share an edge of a service, and those of two subnets never do.
    #[test]
    fn packed_edge_has_no_address() {
        let edge = |subnet, address: [u8; 4]| {
            let vnet = vnetem_packet::VnetId(1);
            let identity = Identity { vnet, subnet: SubnetId(subnet), address: address.into() };
            EdgeId::from(Edge::Service { service: ServiceId(2), identity: Some(identity) })
        };
        assert_eq!(edge(5, [10, 0, 0, 4]), edge(5, [10, 0, 0, 5]));
        assert_ne!(edge(5, [10, 0, 0, 4]), edge(6, [10, 0, 0, 4]));
        assert_eq!(edge(5, [10, 0, 0, 4]), EdgeId::endpoint(ServiceId(2), SubnetId(5)));
    }

    #[test]
    fn marked_edge_has_the_same_place() {
        for code in [EdgeId::subnet(SubnetId(MAX_PLACES)), EdgeId::nic(NicId(1))] {
            let marked = code.answering_elsewhere();
            assert!(marked != code && marked.answers_elsewhere() && !code.answers_elsewhere());
            assert_eq!((marked.place(), marked.plain()), (code.place(), code));
        }
        // Services from number 16 on have the same bit.
        for code in [EdgeId::public(ServiceId(16)), EdgeId::endpoint(ServiceId(30), SubnetId(1))] {
            assert!(!code.answers_elsewhere());
            assert_eq!(code.plain(), code);
        }
    }

    /// INV-networks-isolated, INV-keys-name-network: zones of different realms never coincide;
    /// everything public is one zone.
    #[test]
    fn zones_keep_realms_apart() {
        let endpoint =
            |service, subnet| EdgeId::endpoint(ServiceId(service), SubnetId(subnet)).zone();
        assert_eq!(EdgeId::INTERNET.zone(), EdgeId::public(ServiceId(3)).zone());
        assert_eq!(EdgeId::INTERNET.zone(), EdgeId::HAIRPIN.zone());
        assert!(!EdgeId::HAIRPIN.is_public(), "nothing else comes in there");
        assert_eq!(endpoint(1, 5), endpoint(2, 5));
        assert_ne!(endpoint(1, 5), endpoint(1, 6));
        let zones = [
            EdgeId::INTERNET.zone(),
            EdgeId::subnet(SubnetId(5)).zone(),
            EdgeId::nic(NicId(5)).zone(),
            EdgeId::site(SiteId(5)).zone(),
            EdgeId::private(PrivateEndpointId(5)).zone(),
            endpoint(1, 5),
            EdgeId::same_region(ServiceId(1), SubnetId(5)).zone(),
            EdgeId::platform(SubnetId(5)).zone(),
        ];
        for (i, a) in zones.iter().enumerate() {
            assert!(zones.iter().skip(i + 1).all(|b| a != b));
        }
    }

    #[test]
    fn revalidation_keys_differ_by_service() {
        assert_eq!(revalidation_key(3, None), RevalidationKey(96));
        assert_eq!(revalidation_key(3, Some(ServiceId(0))), RevalidationKey(97));
        assert_eq!(revalidation_key(3, Some(ServiceId(30))), RevalidationKey(127));
    }
}
