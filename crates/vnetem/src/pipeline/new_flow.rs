//! A packet without a flow: may it open one, under which source, and where does it go?

use vnetem_authz::DenyMode;
use vnetem_nat::{
    Chosen, LoosePickup, MappingPolicy, NewFlow, NoTuple, OnExhaustion, Opening, Side, Zone, opens,
    picks_up,
};
use vnetem_packet::{Fragment, Headers, IcmpErrorKind, TcpFlags, Transport};

use crate::edge::revalidation_key;
use crate::pipeline::Pipeline;
use crate::pipeline::decision::{CachedDecision, fragment_key};
use crate::pipeline::origin::{Entry, FlowEnds, Origin};
use crate::pipeline::plan::{FlowChange, FragmentNote, Response, Stop, Way};
use crate::pipeline::trace::{Note, Step};
use crate::snapshot::OutboundView;
use crate::{AccessVerdict, DenyReason, Disposition, DropReason};

impl Pipeline<'_> {
    /// Decides on a packet without a flow.
    pub(crate) fn decide_new(
        &self,
        entry: Entry<'_>,
        headers: &Headers,
        change: &mut FlowChange,
        note: &mut impl Note,
    ) -> Result<Way, Stop> {
        if let Origin::Service = entry.origin {
            return self.unsolicited(entry, headers, change, note);
        }
        if let Origin::Internet = entry.origin
            && let Some(owner) = self.snapshot.public.get(&headers.destination)
        {
            return match owner.instance {
                Some(nic) => self.decide_inbound(entry, nic, headers, change, note),
                None => self.unsolicited(entry, headers, change, note),
            };
        }
        let tuple = headers.tuple();
        self.may_leave(entry.code, &tuple, note)?;
        let whole = headers.fragment == Fragment::Whole;
        let path = self.path(entry, &tuple, !whole, note)?;
        if self.is_spoofed(entry, path.far, headers.source) {
            return Err(DropReason::SpoofedSource.into());
        }
        self.may_arrive(path.far, &tuple, note)?;
        let outbound = path.outbound.transpose()?;
        if !opens(headers) {
            may_pick_up(outbound, headers)?;
        }
        let Chosen { external, mapping_policy } = match outbound {
            None => Chosen { external: tuple.source, mapping_policy: MappingPolicy::default() },
            Some(outbound) => self
                .external(outbound, entry, &path, &tuple)
                .map_err(|why| without_port(why, outbound, headers))?,
        };
        note.step(|| Step::Source {
            translated: outbound.map(|_| external),
            identity: self.identity(path.far, *tuple.source.ip()),
        });
        let (access_verdict, access) =
            self.authorise(entry, &path, *external.ip(), headers.destination);
        match (access, access_verdict) {
            (Some((resource, access)), _) => note.step(|| Step::Access { resource, access }),
            (None, AccessVerdict::Refused(refusal)) => {
                let destination = headers.destination;
                note.step(|| Step::Undeclared { destination, refusal });
            }
            (None, _) => {}
        }
        if let AccessVerdict::Refused(refusal) = access_verdict {
            let reason = DenyReason::Refused(refusal);
            match self.snapshot.deny_mode {
                DenyMode::Deliver => {}
                DenyMode::Reset => {
                    return Err(Stop::with_reset(Disposition::Deny(reason), headers));
                }
                DenyMode::Drop => return Err(reason.into()),
            }
        }
        let far = self.far_of(entry.code, path.far, &tuple.reversed(), note);
        let revalidation_key = revalidation_key(entry.origin.number(), path.service);
        let new = NewFlow {
            protocol: tuple.protocol,
            internal: tuple.source,
            internal_zone: entry.zone,
            external,
            external_zone: path.zone,
            remote: tuple.destination,
            initiator: Side::Internal,
            revalidation_key,
            tenant: self.snapshot.tenant_of(revalidation_key),
            generation: self.snapshot.generation(),
            cached: CachedDecision { near: entry.code, far, access: access_verdict },
            mapping_policy,
        };
        match self.open(entry, new, headers, change) {
            // appliances that send a packet round in a loop. Its TTL ends that.
            Err(Stop { disposition: Disposition::Drop(DropReason::TupleInUse), .. })
                if outbound.is_none() && self.forwards(entry.code) && self.forwards(path.far) =>
            {
                self.may_go_on(entry, headers, path.far)?;
                Ok(Way::AsItIs(self.forward_untracked(path.far, headers.source), None))
            }
            way => way,
        }
    }

    /// Plans to open a flow with its first packet; refuses what the table cannot open, and then
    /// what cannot go on.
    #[inline(always)] // the flow is built in its place in the plan
    pub(crate) fn open(
        &self,
        entry: Entry<'_>,
        new: NewFlow<CachedDecision>,
        headers: &Headers,
        change: &mut FlowChange,
    ) -> Result<Way, Stop> {
        let (far, way) = (new.cached.far, Way::Through(FlowEnds::opening(&new), new.initiator));
        let fragment = (headers.fragment != Fragment::Whole).then(|| {
            let zone = match new.initiator {
                Side::Internal => new.internal_zone,
                Side::External => new.external_zone,
            };
            let tenant = self.snapshot.tenant_of(new.revalidation_key);
            FragmentNote { key: fragment_key(zone, headers), tenant }
        });
        *change = FlowChange::Open(Opening::new(new), fragment);
        if let FlowChange::Open(opening, _) = change
            && let Err(why) = self.flows.prepare(self.now, opening, self.opens_first)
        {
            *change = FlowChange::None;
            return Err(why.into());
        }
        if let Err(stop) = self.may_go_on(entry, headers, far) {
            *change = FlowChange::None;
            return Err(stop);
        }
        Ok(way)
    }

    /// Decides on a packet without a flow from the public side, or over an endpoint: to a mapping
    /// that lets it in (T-03), else dropped. A NAT gateway answers segments with a reset (N-16).
    fn unsolicited(
        &self,
        entry: Entry<'_>,
        headers: &Headers,
        change: &mut FlowChange,
        note: &mut impl Note,
    ) -> Result<Way, Stop> {
        if entry.zone != Zone::PUBLIC {
            return Err(DropReason::NoFlow.into());
        }
        if opens(headers)
            && let Some(inbound) = self.flows.inbound(entry.zone, &headers.tuple())
            && let Some(target) = self.mapped(&inbound, &headers.tuple())
        {
            return self.open_inbound(entry, target, headers, change, note);
        }
        let unsolicited = Stop::from(DropReason::Unsolicited);
        let Some(owner) = self.snapshot.public.get(&headers.destination) else {
            return Err(unsolicited);
        };
        let Transport::Tcp(segment) = headers.transport else { return Err(unsolicited) };
        Err(match owner.unsolicited_syn {
            Some(after) if opens(headers) => {
                Stop { response: Response::HoldSyn(after), ..unsolicited }
            }
            _ if owner.resets && segment.flags.0 & TcpFlags::SYN.0 == 0 => {
                Stop::with_reset(unsolicited.disposition, headers)
            }
            _ => unsolicited,
        })
    }
}

/// Whether a packet that begins nothing may open a flow, in the middle of a connection, behind this
/// method (T-19).
fn may_pick_up(outbound: Option<&OutboundView>, headers: &Headers) -> Result<(), Stop> {
    match outbound.map_or(LoosePickup::Drop, OutboundView::loose_pickup) {
        LoosePickup::PickUp if picks_up(headers) => Ok(()),
        LoosePickup::Reset => Err(Stop::with_reset(Disposition::Drop(DropReason::NoFlow), headers)),
        LoosePickup::Drop | LoosePickup::PickUp => Err(DropReason::NoFlow.into()),
    }
}

/// Why a packet goes no further for which there is no public port. The rules of the pool say
/// whether its sender hears of it (T-34).
fn without_port(why: NoTuple, outbound: &OutboundView, headers: &Headers) -> Stop {
    let reason = DropReason::from(why);
    let stop = match outbound.rules.on_exhaustion {
        OnExhaustion::Silence => reason.into(),
        OnExhaustion::Prohibited => {
            Stop::with_error(reason, IcmpErrorKind::AdministrativelyProhibited, headers)
        }
        OnExhaustion::HostUnreachable => {
            Stop::with_error(reason, IcmpErrorKind::HostUnreachable, headers)
        }
    };
    Stop { no_port: Some(why), ..stop }
}
