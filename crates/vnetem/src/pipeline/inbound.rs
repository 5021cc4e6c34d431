//! Packets from the internet without a flow: to an interface's own public address (N-11, S-19), or
//! to the port of a mapping whose filter lets them in (T-03).

use core::net::{Ipv4Addr, SocketAddrV4};

use vnetem_nat::{
    Cause, Flow, Inbound, MappingPolicy, NewFlow, RevalidationKey, Side, TimerProfile, Zone, opens,
};
use vnetem_packet::{FiveTuple, Headers};

use crate::edge::{EdgeId, revalidation_key};
use crate::pipeline::Pipeline;
use crate::pipeline::decision::CachedDecision;
use crate::pipeline::origin::{Entry, Origin};
use crate::pipeline::path::Path;
use crate::pipeline::plan::{FlowChange, Stop, Way};
use crate::pipeline::trace::{Note, Step};
use crate::snapshot::NicView;
use crate::{AccessVerdict, DropReason, NicId};

/// An internal end that takes a packet from the public side.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Target {
    internal: SocketAddrV4,
    far: EdgeId,
    revalidation_key: RevalidationKey,
    mapping_policy: MappingPolicy,
}

impl Pipeline<'_> {
    /// Decides on a packet without a flow to the public address of an interface: one to one to its
    /// private address.
    pub(crate) fn decide_inbound(
        &self,
        entry: Entry<'_>,
        id: NicId,
        headers: &Headers,
        change: &mut FlowChange,
        note: &mut impl Note,
    ) -> Result<Way, Stop> {
        let Some(nic) = self.snapshot.nic(id).filter(|nic| !nic.deallocated) else {
            return Err(DropReason::NoSuchHost.into());
        };
        if !opens(headers) {
            return Err(DropReason::NoFlow.into());
        }
        if nic.instance.as_ref().is_some_and(|own| !own.carries(headers.protocol, false)) {
            return Err(DropReason::OutboundUnsupported.into());
        }
        let internal = SocketAddrV4::new(nic.address, headers.destination_port);
        let timers = nic.instance.as_ref().map_or(TimerProfile::Table, |own| own.rules.timers);
        let (far, mapping_policy) =
            (EdgeId::nic(id), MappingPolicy::ONE_TO_ONE.with_timers(timers));
        let revalidation_key = self.cell_of(nic, headers.source);
        self.open_inbound(
            entry,
            Target { internal, far, revalidation_key, mapping_policy },
            headers,
            change,
            note,
        )
    }

    /// Decides on a packet without a flow from the public side to an internal end that takes it.
    pub(crate) fn open_inbound(
        &self,
        entry: Entry<'_>,
        target: Target,
        headers: &Headers,
        change: &mut FlowChange,
        note: &mut impl Note,
    ) -> Result<Way, Stop> {
        let Target { internal, far, revalidation_key, mapping_policy } = target;
        let tuple = headers.tuple();
        if self.is_spoofed(entry, far, headers.source) {
            return Err(DropReason::SpoofedSource.into());
        }
        // P-10: groups see the packet after its translation to the private address.
        let private = FiveTuple { destination: internal, ..tuple };
        self.may_arrive(far, &private, note)?;
        note.step(|| Step::Source { translated: None, identity: None });
        let marked = self.far_of(entry.code, far, &private.reversed(), note);
        let new = NewFlow {
            protocol: tuple.protocol,
            internal,
            internal_zone: self.zone(far),
            external: tuple.destination,
            external_zone: Zone::PUBLIC,
            remote: tuple.source,
            initiator: Side::External,
            revalidation_key,
            tenant: self.snapshot.tenant_of(revalidation_key),
            generation: self.snapshot.generation(),
            cached: CachedDecision {
                near: entry.code,
                far: marked,
                access: AccessVerdict::Unjudged,
            },
            mapping_policy,
        };
        self.open(entry, new, headers, change)
    }

    /// Finds the internal socket behind a public port (T-03), if it would have the port by the
    /// present configuration.
    pub(crate) fn mapped(&self, inbound: &Inbound, tuple: &FiveTuple) -> Option<Target> {
        let Inbound { internal, zone, mapping_policy } = *inbound;
        let entry = self.entry_of(EdgeId::of_zone(zone), *internal.ip())?;
        let (far, revalidation_key, timers) =
            self.mapped_today(entry, internal, tuple.reversed(), false)?;
        let mapping_policy = mapping_policy.with_timers(timers);
        (entry.zone == zone).then_some(Target { internal, far, revalidation_key, mapping_policy })
    }

    /// Returns edge, revalidation key and timers of an internal socket, if its pool has this public
    /// end by the present configuration and its mappings are independent. Whether its routes lead
    /// to the pool concerns its answers alone.
    fn mapped_today(
        &self,
        entry: Entry<'_>,
        internal: SocketAddrV4,
        public: FiveTuple,
        open: bool,
    ) -> Option<(EdgeId, RevalidationKey, TimerProfile)> {
        let Origin::Subnet(subnet) = entry.origin else { return None };
        let private = FiveTuple { source: internal, ..public };
        let own = || {
            let own = self.outbound(entry, subnet)?;
            own.carries(private.protocol, false).then_some(own)
        };
        let outbound = match self.path(entry, &private, false, &mut ()) {
            // A flow that is open goes on when the address of its far end becomes ours, as one from
            // inside does (N-07).
            Ok(Path { outbound: Some(Err(DropReason::Hairpin)), .. }) if open => {
                self.outbound(entry, subnet)?
            }
            Ok(Path { outbound: Some(outbound), .. }) => outbound.ok()?,
            Ok(Path { outbound: None, .. }) | Err(_) => own()?,
        };
        let has = outbound.rules.is_independent() && outbound.has(public.source);
        let service = self.snapshot.service_at(*public.destination.ip());
        has.then_some((entry.code, revalidation_key(subnet.id.0, service), outbound.rules.timers))
    }

    /// Revalidates a flow that the internet opened: it ends with its public address (N-08).
    pub(crate) fn judge_inbound(
        &self,
        flow: &Flow<CachedDecision>,
    ) -> Result<(RevalidationKey, CachedDecision), (Cause, DropReason)> {
        let withdrawn = (Cause::Withdrawn, DropReason::Withdrawn);
        let owner = self.snapshot.public.get(flow.external.ip()).ok_or(withdrawn)?;
        let CachedDecision { near, far: marked, access } = flow.cached;
        let (before, answer) = (marked.plain(), flow.tuple(Side::Internal));
        let cached =
            || CachedDecision { near, far: self.far_of(near, before, &answer, &mut ()), access };
        if owner.instance.is_none() {
            let (far, revalidation_key, _) = self
                .entry_of(before, *flow.internal.ip())
                .and_then(|entry| {
                    let public = flow.tuple(Side::External).reversed();
                    self.mapped_today(entry, flow.internal, public, true)
                })
                .ok_or(withdrawn)?;
            return if far == before {
                Ok((revalidation_key, cached()))
            } else {
                Err((Cause::PathSwitched, DropReason::PathSwitched))
            };
        }
        let nic = owner.instance.and_then(|id| Some((id, self.snapshot.nic(id)?)));
        let (id, nic) = nic.ok_or(withdrawn)?;
        if before != EdgeId::nic(id) || nic.address != *flow.internal.ip() {
            return Err(withdrawn);
        }
        if self.zone(before) != flow.internal_zone {
            return Err((Cause::PathSwitched, DropReason::PathSwitched));
        }
        Ok((self.cell_of(nic, *flow.remote.ip()), cached()))
    }

    /// Returns the revalidation key of a flow that somebody opened to an interface. Whatever
    /// changes about the interface invalidates its subnet; an endpoint there concerns answers to
    /// its service.
    fn cell_of(&self, nic: &NicView, caller: Ipv4Addr) -> RevalidationKey {
        revalidation_key(nic.subnet.0, self.snapshot.service_at(caller))
    }
}
