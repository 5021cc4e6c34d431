//! Outbound translation: the methods in their order, what each carries, and the public address and
//! port of a new flow.

use core::net::{Ipv4Addr, SocketAddrV4};

use vnetem_nat::{Chosen, Flow, Mapping, MappingPolicy, NoTuple, Pool, PoolRules, Side, Wanted};
use vnetem_packet::{FiveTuple, Protocol};

use crate::DropReason;
use crate::edge::Place;
use crate::pipeline::Pipeline;
use crate::pipeline::decision::CachedDecision;
use crate::pipeline::origin::{Entry, FlowEnds, Origin};
use crate::pipeline::path::Path;
use crate::snapshot::{Method, NicView, OutboundView, PortPool, SubnetView};

/// A port-restricted cone: one port for an internal socket towards all remotes, open to those that
/// it sent to.
const CONE: PoolRules = PoolRules { mapping: Mapping::Independent, ..PoolRules::AZURE };

impl Method {
    /// Says whether the method carries a protocol, or fragments of it (N-11, N-18, T-21, T-28).
    pub(crate) const fn carries(self, protocol: Protocol, fragment: bool) -> bool {
        match self {
            Self::Default | Self::NatGateway | Self::LoadBalancer => {
                !fragment && matches!(protocol, Protocol::TCP | Protocol::UDP)
            }
            Self::Instance => {
                matches!(protocol, Protocol::TCP | Protocol::UDP | Protocol::ICMP | Protocol::ESP)
            }
            Self::Pool => matches!(protocol, Protocol::TCP | Protocol::UDP | Protocol::ICMP),
        }
    }

    /// Says whether the subnet's method goes before those of its interfaces.
    const fn is_first(self) -> bool {
        matches!(self, Self::NatGateway | Self::Pool)
    }
}

impl<'a> Pipeline<'a> {
    /// Finds the outbound method: a NAT gateway or plain pool, else the interface's own address,
    /// else the load balancer's rule, else the platform's default (N-01, C-07). A machine that had
    /// the default keeps it (N-29).
    pub(crate) fn outbound(
        &self,
        entry: Entry<'a>,
        subnet: &'a SubnetView,
    ) -> Option<&'a OutboundView> {
        let own = subnet.outbound.as_ref();
        let nic = self.nic_of(entry);
        own.filter(|outbound| outbound.method.is_first())
            .or_else(|| nic.and_then(|nic| nic.instance.as_ref()))
            .or_else(|| nic.and_then(|nic| nic.balanced.as_ref()))
            .or_else(|| nic.and_then(|nic| nic.kept.as_ref()))
            .or(own)
    }

    /// Whether a public address is one of the method by which a sender's new flows leave.
    pub(crate) fn is_own_public(&self, entry: Entry<'_>, address: Ipv4Addr) -> bool {
        let own = match entry.origin {
            Origin::Subnet(subnet) => self.outbound(entry, subnet),
            Origin::Site(site) => site.outbound.as_ref(),
            Origin::Internet | Origin::Service | Origin::Platform(_) => None,
        };
        own.is_some_and(|own| own.is_at(address))
    }

    /// Chooses the public source of a new flow.
    pub(crate) fn external(
        &self,
        outbound: &OutboundView,
        entry: Entry<'_>,
        path: &Path<'_>,
        tuple: &FiveTuple,
    ) -> Result<Chosen, NoTuple> {
        let wanted = Wanted {
            protocol: tuple.protocol,
            internal: tuple.source,
            internal_zone: entry.zone,
            remote: tuple.destination,
            external_zone: path.zone,
            suggestion: self.suggestion,
        };
        // N-22: over UDP a load balancer is a port-restricted cone.
        let cone;
        let rules = match (outbound.method, tuple.protocol) {
            (Method::LoadBalancer, Protocol::UDP) => {
                cone = PoolRules { timers: outbound.rules.timers, ..CONE };
                &cone
            }
            _ => &outbound.rules,
        };
        // Of one pool there is nothing to choose.
        let mapped = match outbound.pools.len() {
            0 | 1 => None,
            _ => self.flows.mapped(rules, &wanted),
        };
        let has_it = |pool: &&PortPool| mapped.is_some_and(|external| pool.has(external));
        let others = outbound.pools.iter().filter(|pool| !has_it(pool));
        let mut why = NoTuple::Exhausted;
        for pool in outbound.pools.iter().filter(has_it).chain(others) {
            let addresses = pool.addresses.as_slice();
            // N-11: one to one, so that the port is the interface's own.
            if outbound.method == Method::Instance
                && let Some(address) = addresses.first()
            {
                let external = SocketAddrV4::new(*address, tuple.source.port());
                let mapping_policy = MappingPolicy::ONE_TO_ONE.with_timers(rules.timers);
                return Ok(Chosen { external, mapping_policy });
            }
            let PortPool { first_port, last_port, .. } = *pool;
            let (first_port, last_port) = match self.shard {
                Some(shard) if outbound.method != Method::LoadBalancer => {
                    let Some(slice) = shard.slice(first_port, last_port) else { continue };
                    slice
                }
                _ => (first_port, last_port),
            };
            let pool = Pool { addresses, first_port, last_port, rules };
            match self.flows.choose(self.now, pool, &wanted) {
                Ok(chosen) => return Ok(chosen),
                Err(refused) => why = refused,
            }
        }
        Err(why)
    }

    /// Says whether a live flow of this initiator may keep a public source. Its method need not be
    /// the one that a new flow would take (N-07). It must still have the address, and the port
    /// where ports are given out (N-08).
    pub(crate) fn may_keep(&self, entry: Entry<'_>, external: SocketAddrV4) -> bool {
        self.method_behind(entry, external).is_some()
    }

    /// Says whether a public source is at an address of the load balancer in whose pool the
    /// initiator is a member: where it may not [keep](Self::may_keep) the source, its port was
    /// taken back (N-28).
    pub(crate) fn is_reclaimed(&self, entry: Entry<'_>, external: SocketAddrV4) -> bool {
        self.nic_of(entry).is_some_and(|nic| nic.frontends.contains(external.ip()))
    }

    /// Refuses a fragment of a live flow whose outbound method carries none (N-18).
    pub(crate) fn may_carry_fragment(&self, flow: &Flow<CachedDecision>) -> Result<(), DropReason> {
        if !flow.is_translated() || flow.initiator == Side::External {
            return Ok(());
        }
        let entry = self.entry_of(flow.cached.near, *flow.internal.ip());
        let method = entry.and_then(|entry| self.method_behind(entry, flow.external));
        match method {
            Some(method) if method != Method::Pool && !method.carries(flow.protocol, true) => {
                Err(DropReason::OutboundUnsupported)
            }
            _ => Ok(()),
        }
    }

    /// Returns the largest segment that SYNs of a flow may announce, by the rules of its pool
    /// (T-36).
    #[inline(always)] // hardly any pool clamps
    pub(crate) fn segment_size(&self, flow_ends: &FlowEnds) -> Option<u16> {
        if self.snapshot.clamps { self.clamped_size(flow_ends) } else { None }
    }

    #[inline(never)]
    fn clamped_size(&self, flow_ends: &FlowEnds) -> Option<u16> {
        let (internal, external) = flow_ends.addresses();
        let entry = self.entry_of(flow_ends.edge_of(Side::Internal), *internal.ip())?;
        let Origin::Subnet(subnet) = entry.origin else { return None };
        let outbound = self.outbound(entry, subnet)?;
        outbound.rules.segment_size.filter(|_| internal != external && outbound.has(external))
    }

    /// Finds the method that a public source is of.
    fn method_behind(&self, entry: Entry<'_>, external: SocketAddrV4) -> Option<Method> {
        match entry.origin {
            Origin::Subnet(subnet) => {
                let nic = self.nic_of(entry);
                let own = subnet.outbound.iter().filter(|own| own.is_at(*external.ip()));
                let of_nic =
                    nic.into_iter().flat_map(|nic| [&nic.instance, &nic.balanced, &nic.kept]);
                let of_nic = of_nic.flatten().filter(|view| view.has(external));
                let found = own.chain(of_nic).next().map(|view| view.method);
                found.or(subnet.retained.contains(external.ip()).then_some(Method::Default))
            }
            Origin::Site(site) => {
                let mut own = site.outbound.iter().chain(&site.peering);
                own.find(|own| own.has(external)).map(|own| own.method)
            }
            Origin::Internet | Origin::Service | Origin::Platform(_) => None,
        }
    }

    fn nic_of(&self, entry: Entry<'_>) -> Option<&'a NicView> {
        match entry.code.place() {
            Place::Nic(id) => self.snapshot.nic(id),
            _ => None,
        }
    }
}
