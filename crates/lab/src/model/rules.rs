//! What the rules of a plain pool make of the public source of a new flow (T-01, T-05, T-06, T-10), by looking through all that there is.

use std::collections::BTreeSet;

use vnetem::{Notice, PoolRules, TimerProfile};
use vnetem_nat::{Limits, Timers};

use super::flow::Zone;
use super::*;

/// An inside socket: where its packets are looked up, protocol and end.
pub(super) type Socket = (Zone, u8, SocketAddrV4);

/// The port that an inside socket has for itself, towards everybody, as long as it has a flow (T-01).
#[derive(Clone, Copy, Debug)]
pub(super) struct Mapping {
    socket: Socket,
    pub(super) external: SocketAddrV4,
    flows: usize,
    /// When the last of its tuples that was given back will have rested.
    rests_until: Time,
}

/// Until when an inside address pays for the flows that it opened, each with one interval (T-10).
#[derive(Clone, Copy, Debug)]
pub(super) struct Debt {
    host: (Zone, Ipv4Addr),
    until: Time,
}

impl Model {
    /// The rules behind which a flow of an edge is translated: those of a plain pool are its own.
    pub(super) fn rules(&self, edge: Edge, translated: bool) -> PoolRules {
        let subnet = self.subnet_of(edge).and_then(|id| self.network.subnet(id).ok());
        match subnet.map(|subnet| &subnet.outbound) {
            Some(Outbound::Pool { rules, .. }) if translated => *rules,
            _ => PoolRules::AZURE,
        }
    }

    /// N-15: the timers of a flow that opens now; a NAT gateway may have an idle timeout of its own, for TCP alone.
    pub(super) fn timers(&self, edge: Edge, translated: bool) -> Timers {
        let subnet = self.subnet_of(edge).and_then(|id| self.network.subnet(id).ok());
        let gateways = subnet.filter(|_| translated).and_then(|subnet| subnet.idle);
        match (gateways, self.rules(edge, translated).timers) {
            (Some(idle), _) | (None, TimerProfile::Azure(idle)) => {
                let idle = Duration::from_secs(60 * u64::from(idle.minutes()));
                Timers { established: idle, fin_wait: idle, close_wait: idle, ..Timers::AZURE }
            }
            (None, TimerProfile::Linux) => Timers::LINUX,
            (None, TimerProfile::Rfc) => Timers::RFC,
            (None, TimerProfile::Table) => self.settings.flows.timers,
        }
    }

    /// T-10: why an inside address may open no more. What is replaced by the new flow counts no more.
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

    /// T-34: a refusal for want of ports or leave, told as the pool says.
    pub(super) fn refuse<T>(
        &mut self,
        why: DropReason,
        notice: Notice,
        entered: &Entered<'_>,
        packet: &Packet,
    ) -> Result<T, Fate> {
        let code = match notice {
            Notice::Silence => None,
            Notice::Prohibited => Some(13),
            Notice::HostUnreachable => Some(1),
        };
        if let Some(code) = code {
            let router = self.router(entered.by, *packet.destination.ip());
            let error = wire::error_about(router, (3, code), entered.bytes, packet);
            self.originate(entered.by, Some(error));
        }
        drop(why)
    }

    pub(super) fn mapping(&self, socket: Socket) -> Option<Mapping> {
        self.mappings.iter().find(|mapping| mapping.socket == socket).copied()
    }

    /// The public sources that may be chosen for a flow: the pool's, less those in use or resting towards its destination (N8, N-12, N-14,
    /// N10), and less those that another socket has or had towards everybody (T-01).
    pub(super) fn free(&self, pool: &Pool, rules: &PoolRules, flow: &Flow) -> Free {
        let (protocol, remote) = (flow.protocol, flow.remote);
        let flows = self.flows.iter().filter(|flow| flow.translated);
        let flows = flows.map(|flow| (flow.protocol, Some(flow.remote), flow.external));
        let rests = self.rests.iter().map(|rest| (rest.protocol, rest.remote, rest.external));
        let mappings = self.mappings.iter().map(|it| (it.socket.1, None, it.external));
        let taken = flows
            .chain(rests)
            .chain(mappings)
            .filter(|(of, to, external)| {
                *of == protocol && to.is_none_or(|to| to == remote) && pool.has(*external)
            })
            .map(|(.., external)| external)
            .collect();
        let own = match self.mapping(flow.socket()) {
            Some(mapping) if rules.is_independent() && pool.has(mapping.external) => {
                Some(mapping.external)
            }
            _ => None,
        };
        let inside = flow.inside.port();
        let has_class = rules.preserve_port && protocol != wire::ICMP;
        Free { pool: pool.clone(), taken, own, rules: *rules, inside, has_class }
    }

    /// A flow opens: its socket has its port for itself, and its inside address pays.
    pub(super) fn join(&mut self, flow: &Flow, rules: &PoolRules) {
        if flow.whole {
            let socket = flow.socket();
            match self.mappings.iter_mut().find(|mapping| mapping.socket == socket) {
                Some(mapping) => mapping.flows += 1,
                None => self.mappings.push(Mapping {
                    socket,
                    external: flow.external,
                    flows: 1,
                    rests_until: self.now,
                }),
            }
        }
        let (Some(rate), host) = (rules.limits.rate.filter(|_| flow.limited), flow.host()) else {
            return;
        };
        self.debts.retain(|debt| debt.until > self.now);
        match self.debts.iter_mut().find(|debt| debt.host == host) {
            Some(debt) => debt.until = debt.until + rate.interval,
            None => self.debts.push(Debt { host, until: self.now + rate.interval }),
        }
    }

    /// The tuple of a flow that is gone rests: its own towards its remote, or its socket's towards everybody once that has no flow.
    pub(super) fn rest(&mut self, flow: &Flow, until: Time) {
        let Flow { protocol, external, remote, .. } = *flow;
        if !flow.whole {
            self.rests.push(Rest { protocol, external, remote: Some(remote), until });
            return;
        }
        let socket = flow.socket();
        let Some(at) = self.mappings.iter().position(|mapping| mapping.socket == socket) else {
            return;
        };
        let mapping = &mut self.mappings[at];
        mapping.flows -= 1;
        mapping.rests_until = mapping.rests_until.max(until);
        if mapping.flows == 0 {
            let until = self.mappings.remove(at).rests_until;
            self.rests.push(Rest { protocol, external, remote: None, until });
        }
    }
}

/// The public sources of a pool that are not taken.
pub(super) struct Free {
    pool: Pool,
    taken: BTreeSet<SocketAddrV4>,
    /// What the socket has already.
    own: Option<SocketAddrV4>,
    rules: PoolRules,
    inside: u16,
    /// Ports below 1024 and others are kept apart (T-05).
    has_class: bool,
}

impl Free {
    pub(super) fn is_empty(&self) -> bool {
        let all = self.pool.addresses.len() * self.pool.ports.len();
        self.own.is_none() && all == self.taken.len()
    }

    pub(super) fn check(&self, chosen: SocketAddrV4) -> Result<(), String> {
        if let Some(own) = self.own {
            return if own == chosen { Ok(()) } else { Err(format!("not {own} (T-01)")) };
        }
        if !self.pool.has(chosen) {
            return Err(format!("{chosen} is none of the pool's (N8)"));
        }
        if self.taken.contains(&chosen) {
            return Err(format!("{chosen} is taken or rests towards this remote (N1, N10, T-01)"));
        }
        let at = |port| SocketAddrV4::new(*chosen.ip(), port);
        let is_free = |port: &u16| !self.taken.contains(&at(*port));
        let ports = || self.pool.ports.clone().filter(is_free);
        if self.rules.preserve_port && ports().any(|port| port == self.inside) {
            return match chosen.port() == self.inside {
                true => Ok(()),
                false => Err(format!("{chosen} is not the socket's own port (T-05)")),
            };
        }
        let class = |port: u16| !self.has_class || (port < 1024) == (self.inside < 1024);
        let parity = |port: u16| !self.rules.keep_parity || port % 2 == self.inside % 2;
        let tiers: [&dyn Fn(u16) -> bool; 4] =
            [&|port| class(port) && parity(port), &class, &parity, &|_| true];
        let best = tiers.iter().find(|tier| ports().any(tier));
        match best.is_none_or(|tier| tier(chosen.port())) {
            true => Ok(()),
            false => Err(format!("{chosen} is of the wrong class or parity (T-05, T-06)")),
        }
    }

    pub(super) fn one_of_each_address(&self) -> Vec<SocketAddrV4> {
        if let Some(own) = self.own {
            return vec![own];
        }
        let all = self.pool.addresses.iter().filter_map(|address| {
            let mut ports = self.pool.ports.clone().map(|port| SocketAddrV4::new(*address, port));
            ports.find(|external| !self.taken.contains(external))
        });
        all.collect()
    }
}
