//! State that flows share by the rules of their pool: limits of an internal address, ports of an
//! internal socket (T-01 to T-03, T-10).

use vnetem::nat::{Block, OnExhaustion, PoolRules, TimerProfile};
use vnetem_nat::{HoldDown, Limits, Timers};

use super::flow::{Tenant, Zone};
use super::*;

/// An internal socket: its zone, protocol and end.
pub(super) type Socket = (Zone, u8, SocketAddrV4);

/// The port that an internal socket has while it has a flow: for itself, towards all remotes
/// (T-01), or to try first (T-02).
#[derive(Clone, Copy, Debug)]
pub(super) struct Mapping {
    pub(super) socket: Socket,
    pub(super) share: Share,
    pub(super) external: SocketAddrV4,
    /// Whether the first of its flows was limited.
    pub(super) limited: bool,
    pub(super) block: Option<Block>,
    /// The tenant charged.
    pub(super) tenant: Option<Tenant>,
    flows: usize,
    /// When the last of its former tuples leaves hold-down.
    rests_until: Time,
}

/// Until when an internal address pays for the flows that it opened, each with one interval (T-10).
#[derive(Clone, Copy, Debug)]
pub(super) struct Debt {
    host: (Zone, Ipv4Addr),
    until: Time,
}

impl Model {
    pub(super) fn timers_of(&self, profile: TimerProfile) -> Timers {
        match profile {
            TimerProfile::Azure(idle) => {
                let idle = Duration::from_secs(60 * u64::from(idle.minutes()));
                Timers { established: idle, fin_wait: idle, close_wait: idle, ..Timers::AZURE }
            }
            // Four minutes after the FIN of either end, whatever the idle timeout is (N-14).
            TimerProfile::Balancer(idle) => {
                let established = Duration::from_secs(60 * u64::from(idle.minutes()));
                Timers { established, ..Timers::AZURE }
            }
            TimerProfile::Linux => Timers::LINUX,
            TimerProfile::Rfc => Timers::RFC,
            TimerProfile::Table => self.settings.flows.timers,
        }
    }

    /// Returns the hold-down of public tuples by a profile (N-14, T-11).
    pub(super) fn hold_of(&self, profile: TimerProfile) -> HoldDown {
        let rests = |[fin, reset, half_open, idle, datagram]: [u64; 5]| {
            let [fin, reset, half_open, idle, datagram] =
                [fin, reset, half_open, idle, datagram].map(Duration::from_secs);
            HoldDown { fin, reset, half_open, idle, datagram }
        };
        match profile {
            TimerProfile::Table => self.settings.flows.hold,
            TimerProfile::Azure(_) => rests([65, 16, 30, 65, 65]),
            TimerProfile::Balancer(_) => rests([240, 15, 30, 0, 0]),
            TimerProfile::Rfc => rests([240, 240, 240, 120, 120]),
            TimerProfile::Linux => rests([0; 5]),
        }
    }

    /// Returns why an internal address may open no more flows (T-10). A flow that the new one
    /// replaces does not count.
    pub(super) fn over_limits(
        &self,
        limits: &Limits,
        host: (Zone, Ipv4Addr),
        replaced: Option<usize>,
    ) -> Option<DropReason> {
        let others = self.flows.iter().enumerate().filter(|(at, _)| Some(*at) != replaced);
        let counted = others.filter(|(_, flow)| flow.limited && flow.host() == host).count();
        if limits.flows > 0 && counted >= limits.flows as usize {
            return Some(DropReason::PortQuota);
        }
        let rate = limits.rate?;
        let owes = self.debts.iter().find(|debt| debt.host == host).map_or(self.now, |it| it.until);
        let may_owe = rate.interval * u32::from(rate.burst.saturating_sub(1));
        (owes > self.now + may_owe).then_some(DropReason::FlowRate)
    }

    /// Returns whether an internal address still has to wait for its next flow (T-10).
    pub(super) fn owes(&self, host: (Zone, Ipv4Addr)) -> bool {
        self.debts.iter().any(|debt| debt.host == host && debt.until > self.now)
    }

    /// Refuses a flow for lack of ports or permission, and notifies the sender as the pool says
    /// (T-34).
    pub(super) fn refuse<T>(
        &mut self,
        why: DropReason,
        on_exhaustion: OnExhaustion,
        entered: &Entered<'_>,
        packet: &Packet,
    ) -> Result<T, Disposition> {
        let code = match on_exhaustion {
            OnExhaustion::Silence => None,
            OnExhaustion::Prohibited => Some(13),
            OnExhaustion::HostUnreachable => Some(1),
        };
        if let Some(code) = code {
            let router = self.router(entered.by, *packet.destination.ip());
            let error = wire::error_about(router, (3, code), entered.bytes, packet);
            self.originate(entered.by, Some(error));
        }
        drop(why)
    }

    /// Returns whether an internal address has as many mapped sockets as it may (T-10).
    pub(super) fn has_all_ports(&self, limits: &Limits, host: (Zone, Ipv4Addr)) -> bool {
        let of_host = |mapping: &&Mapping| {
            mapping.limited && (mapping.socket.0, *mapping.socket.2.ip()) == host
        };
        limits.ports > 0 && self.mappings.iter().filter(of_host).count() >= limits.ports as usize
    }

    /// Returns the mapping of a flow's internal socket, of the kind that the flow would share.
    pub(super) fn mapping(&self, flow: &Flow) -> Option<Mapping> {
        let (socket, share) = (flow.socket(), flow.share);
        self.mappings.iter().find(|it| it.socket == socket && is_alike(it.share, share)).copied()
    }

    /// Records that a flow opens: its socket has its port, and its internal address pays if it
    /// opened the flow.
    pub(super) fn join(&mut self, flow: &Flow) {
        self.note_host(flow);
        let (socket, share) = (flow.socket(), flow.share);
        let same = |it: &&mut Mapping| it.socket == socket && is_alike(it.share, share);
        match self.mappings.iter_mut().find(same) {
            _ if share == Share::Nothing => {}
            Some(mapping) => mapping.flows += 1,
            None => self.mappings.push(Mapping {
                socket,
                share,
                external: flow.external,
                limited: flow.limited,
                block: flow.block,
                tenant: flow.tenant,
                flows: 1,
                rests_until: self.now,
            }),
        }
        let (Some(interval), host) = (flow.pays, flow.host()) else { return };
        self.debts.retain(|debt| debt.until > self.now);
        match self.debts.iter_mut().find(|debt| debt.host == host) {
            Some(debt) => debt.until += interval,
            None => self.debts.push(Debt { host, until: self.now + interval }),
        }
    }

    /// Puts the tuple of an ended flow in hold-down: its own towards its remote, or its mapping's
    /// towards all once that has no flow.
    pub(super) fn rest(&mut self, flow: &Flow, until: Time) {
        let Flow { protocol, external, remote, share, .. } = *flow;
        let socket = flow.socket();
        let same = |it: &Mapping| it.socket == socket && is_alike(it.share, share);
        let mut until = until;
        let mut is_last = false;
        if let Some(at) = self.mappings.iter().position(same) {
            let mapping = &mut self.mappings[at];
            mapping.flows -= 1;
            mapping.rests_until = mapping.rests_until.max(until);
            is_last = mapping.flows == 0;
            if is_last {
                let rests_until = self.mappings.remove(at).rests_until;
                until = if is_whole(share) { rests_until } else { until };
            }
        }
        let remote = match is_whole(share) {
            true if !is_last => return,
            true => None,
            false => Some(remote),
        };
        self.rests.push(Rest { protocol, external, remote, until });
    }
}

pub(super) const fn is_whole(share: Share) -> bool {
    matches!(share, Share::Whole(_))
}

/// Returns whether both are mappings, or both are ports to try first.
fn is_alike(one: Share, other: Share) -> bool {
    one != Share::Nothing && other != Share::Nothing && is_whole(one) == is_whole(other)
}

/// Returns what a flow shares by the rules of its pool. With limited ports, an internal socket
/// keeps its port (T-10).
pub(super) fn share_of(rules: &PoolRules) -> Share {
    match rules.is_independent() {
        true => Share::Whole(rules.filtering),
        false if rules.keep_port || rules.limits.ports > 0 => Share::Kept,
        false => Share::Nothing,
    }
}
