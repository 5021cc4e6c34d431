//! What comes from the internet without a flow: to an interface's own public address (N-11, S-19), or to the port of a mapping that lets it
//! in (T-03).

use core::net::SocketAddrV4;

use vnetem_nat::{
    Cause, Cell, Flow, Inbound, NewFlow, OpenError, Sharing, Side, TimerProfile, Zone, opens,
};
use vnetem_packet::{FiveTuple, Headers};

use crate::decision::{Decision, Judgement};
use crate::edge::{EdgeCode, cell};
use crate::origin::{Entry, Origin};
use crate::pipeline::Pipeline;
use crate::snapshot::NicView;
use crate::trace::{Note, Step};
use crate::{DropReason, Mark, NicId};

/// An inside end that takes a packet from the public side.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Target {
    inside: SocketAddrV4,
    far: EdgeCode,
    cell: Cell,
    sharing: Sharing,
}

impl Pipeline<'_> {
    /// A packet without a flow to the public address of an interface: one to one to its private address.
    pub(crate) fn decide_inbound(
        self,
        entry: Entry<'_>,
        id: NicId,
        headers: &Headers,
        note: &mut impl Note,
    ) -> Decision {
        let Some(nic) = self.snapshot.nic(id).filter(|nic| !nic.deallocated) else {
            return Decision::Drop(DropReason::NoSuchHost, None);
        };
        if !opens(headers) {
            return Decision::Drop(DropReason::NoFlow, None);
        }
        if nic.instance.as_ref().is_some_and(|own| !own.carries(headers.protocol, false)) {
            return Decision::Drop(DropReason::OutboundUnsupported, None);
        }
        let inside = SocketAddrV4::new(nic.address, headers.destination_port);
        let timers = nic.instance.as_ref().map_or(TimerProfile::Table, |own| own.rules.timers);
        let (far, sharing) = (EdgeCode::nic(id), Sharing::ONE_TO_ONE.with_timers(timers));
        self.open_inbound(entry, Target { inside, far, cell: cell_of(nic), sharing }, headers, note)
    }

    /// A packet without a flow from the public side to an inside end that takes it.
    pub(crate) fn open_inbound(
        self,
        entry: Entry<'_>,
        target: Target,
        headers: &Headers,
        note: &mut impl Note,
    ) -> Decision {
        let Target { inside, far, cell, sharing } = target;
        let tuple = headers.tuple();
        // P-10: what arrives is judged after it was translated to the private address.
        let private = FiveTuple { destination: inside, ..tuple };
        if let Err(reason) = self.may_arrive(far, &private, note) {
            return Decision::Deny(reason, None);
        }
        note.step(|| Step::Source { translated: None, identity: None });
        let new = NewFlow {
            protocol: tuple.protocol,
            inside,
            inside_zone: self.zone(far),
            external: tuple.destination,
            outside_zone: Zone::PUBLIC,
            remote: tuple.source,
            opener: Side::Outside,
            cell,
            generation: self.snapshot.generation(),
            judgement: Judgement { near: entry.code, far, mark: Mark::Unjudged },
            sharing,
        };
        match self.flows.may_open(self.now, new) {
            Ok(opening) => Decision::Open(opening),
            Err(OpenError::TableFull) => Decision::Drop(DropReason::FlowTableFull, None),
            Err(OpenError::TupleInUse) => Decision::Drop(DropReason::TupleInUse, None),
        }
    }

    /// Where a packet to the public port of an inside socket goes (T-03): to that, as long as the socket would have the port today.
    pub(crate) fn mapped(self, inbound: &Inbound, tuple: &FiveTuple) -> Option<Target> {
        let Inbound { inside, zone, sharing } = *inbound;
        let entry = self.entry_of(EdgeCode::of_zone(zone), *inside.ip())?;
        let (far, cell, timers) = self.mapped_today(entry, inside, tuple.reversed(), false)?;
        let sharing = sharing.with_timers(timers);
        (entry.zone == zone).then_some(Target { inside, far, cell, sharing })
    }

    /// Edge, cell and timers of an inside socket, if what it sends by this public tuple would leave by a pool whose mappings are independent.
    fn mapped_today(
        self,
        entry: Entry<'_>,
        inside: SocketAddrV4,
        public: FiveTuple,
        open: bool,
    ) -> Option<(EdgeCode, Cell, TimerProfile)> {
        let private = FiveTuple { source: inside, ..public };
        let path = self.path(entry, &private, false, &mut ()).ok()?;
        let outbound = match (path.outbound?, entry.origin) {
            // A flow that is open goes on when the address of its far end becomes ours, as one from inside does (N-07).
            (Err(DropReason::Hairpin), Origin::Subnet(subnet)) if open => {
                self.outbound(entry, subnet)?
            }
            (outbound, _) => outbound.ok()?,
        };
        let has = outbound.rules.is_independent() && outbound.has(public.source);
        let cell = cell(entry.origin.number(), path.service);
        has.then_some((entry.code, cell, outbound.rules.timers))
    }

    /// Whether a flow that the internet opened would be the same today: it ends with its public address (N-08).
    pub(crate) fn judge_inbound(
        self,
        flow: &Flow<Judgement>,
    ) -> Result<(Cell, Judgement), (Cause, DropReason)> {
        let withdrawn = (Cause::Withdrawn, DropReason::Withdrawn);
        let owner = self.snapshot.public.get(flow.external.ip()).ok_or(withdrawn)?;
        if owner.instance.is_none() {
            let (far, cell, _) = self
                .entry_of(flow.judgement.far, *flow.inside.ip())
                .and_then(|entry| {
                    let public = flow.tuple(Side::Outside).reversed();
                    self.mapped_today(entry, flow.inside, public, true)
                })
                .ok_or(withdrawn)?;
            return if far == flow.judgement.far {
                Ok((cell, flow.judgement))
            } else {
                Err((Cause::PathSwitched, DropReason::PathSwitched))
            };
        }
        let nic = owner.instance.and_then(|id| Some((id, self.snapshot.nic(id)?)));
        let (id, nic) = nic.ok_or(withdrawn)?;
        if flow.judgement.far != EdgeCode::nic(id) || nic.address != *flow.inside.ip() {
            return Err(withdrawn);
        }
        if self.zone(flow.judgement.far) != flow.inside_zone {
            return Err((Cause::PathSwitched, DropReason::PathSwitched));
        }
        Ok((cell_of(nic), flow.judgement))
    }
}

/// Whatever changes about the interface touches its subnet.
fn cell_of(nic: &NicView) -> Cell {
    cell(nic.subnet.0, None)
}
