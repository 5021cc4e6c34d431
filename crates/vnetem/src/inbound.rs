//! What comes from the internet to an interface's own public address (N-11, S-19).

use core::net::SocketAddrV4;

use vnetem_nat::{Cause, Cell, Flow, NewFlow, OpenError, Sharing, Side, Zone, opens};
use vnetem_packet::{FiveTuple, Headers};

use crate::edge::{EdgeCode, cell};
use crate::origin::Entry;
use crate::pipeline::{Decision, Judgement, Pipeline};
use crate::snapshot::NicView;
use crate::trace::{Note, Step};
use crate::{DropReason, Mark, NicId};

impl Pipeline<'_> {
    /// A packet without a flow to the public address of an interface: one to one to its private address.
    pub(crate) fn decide_inbound(
        self,
        entry: Entry<'_>,
        id: NicId,
        headers: &Headers,
        note: &mut impl Note,
    ) -> Decision {
        let Some(nic) = self.snapshot.nic(id) else {
            return Decision::Drop(DropReason::NoSuchHost, None);
        };
        if !opens(headers) {
            return Decision::Drop(DropReason::NoFlow, None);
        }
        let tuple = headers.tuple();
        let far = EdgeCode::nic(id);
        let inside = SocketAddrV4::new(nic.address, tuple.destination.port());
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
            cell: cell_of(nic),
            generation: self.snapshot.generation(),
            judgement: Judgement { near: entry.code, far, mark: Mark::Unjudged },
            sharing: Sharing::default(),
        };
        match self.flows.can_open(self.now, &new) {
            Ok(()) => Decision::Open(new),
            Err(OpenError::TableFull) => Decision::Drop(DropReason::FlowTableFull, None),
            Err(OpenError::TupleInUse) => Decision::Drop(DropReason::TupleInUse, None),
        }
    }

    /// Whether a flow that the internet opened would be the same today: it ends with its public address (N-08).
    pub(crate) fn judge_inbound(
        self,
        flow: &Flow<Judgement>,
    ) -> Result<(Cell, Judgement), (Cause, DropReason)> {
        let owner = self.snapshot.public.get(flow.external.ip()).and_then(|owner| owner.instance);
        let nic = owner.and_then(|id| Some((id, self.snapshot.nic(id)?)));
        let withdrawn = (Cause::Withdrawn, DropReason::Withdrawn);
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
