//! The slow reference model of the whole data plane.
//!
//! It reads the same intent, gets the same packets at the same times, and says what must happen to
//! each. It scans lists, and nothing is cached or incremental. It is written from the statements
//! and not from the code.
//!
//! It takes one thing from the data plane: the public port of a new flow, after checking that this
//! port is allowed (INV-port-in-range, INV-refused-only-when-full, INV-hold-down-kept, N-14, N-17).

#![allow(clippy::indexing_slicing, reason = "the two sides of a flow are 0 and 1")]

mod address;
mod blocks;
mod change;
mod ends;
mod flow;
mod forward;
mod fragment;
mod free;
mod hairpin;
mod inbound;
mod journal;
mod open;
mod outbound;
mod passed;
mod places;
mod route;
mod rules;
mod security;
mod shares;
mod tcp;
pub(crate) mod wire;

use core::net::{Ipv4Addr, SocketAddrV4};
use core::time::Duration;

use crate::said::{Disposition, Forward};
use vnetem::{
    AccessVerdict, DenyReason, DropReason, Edge, EventKind, Network, Settings, SubnetId, Time,
    authz::{Arrival, DenyMode},
    control::Outbound,
    nat::Cause,
};

pub use blocks::check as check_ports;
pub use flow::Happening;
pub use journal::Translation;
pub(crate) use passed::Missed;
pub use route::next_hop;

use flow::{Flow, Share, Stage, Zone, is_public, zone};
use fragment::FirstFragment;
use free::Pair;
use inbound::Waiting;
use open::opens;
use outbound::{Method, MethodKind, method_behind, methods};
use route::{NoPath, Path};
use rules::{Debt, Mapping};
use shares::LimitedHost;
use tcp::{Connection, Meaning};
use wire::{ACK, FIN, Kind, Packet, Part, RST, SYN, TCP};

/// The model's state: the configuration, and what it remembers of earlier packets.
#[derive(Clone, Debug)]
pub struct Model {
    network: Network,
    settings: Settings,
    now: Time,
    flows: Vec<Flow>,
    rests: Vec<Rest>,
    mappings: Vec<Mapping>,
    debts: Vec<Debt>,
    pairs: Vec<Pair>,
    /// Unsolicited SYNs, until they are answered (T-16).
    waiting: Vec<Waiting>,
    fragments: Vec<FirstFragment>,
    /// The number of the next flow.
    flows_made: u64,
    /// Packets that the data plane must have made since they were last taken.
    originated: Vec<(Edge, Vec<u8>)>,
    /// Flow events that must have happened since they were last taken.
    happenings: Vec<Happening>,
    /// Translation events that must have happened since they were last taken.
    translations: Vec<Translation>,
    /// Whether packets went to shards.
    sharded: bool,
    /// Internal addresses with limits (docs/shares.md).
    limited_hosts: Vec<LimitedHost>,
    filled: Filled,
}

/// How often tables were full, and in which order SYNs wait. It shows a generator that never gets
/// there.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Filled {
    /// Unsolicited SYNs that found no room to wait.
    pub(crate) waiting: u64,
    /// First fragments that were removed for newer ones.
    pub(crate) fragments: u64,
    /// SYNs that are due before earlier ones.
    pub(crate) overtaking: u64,
}

/// What the data plane did to a packet, as far as the model cannot predict it.
#[derive(Clone, Copy, Debug)]
pub struct Observed {
    /// The public source of the flow that it opened, if it chose one.
    pub chosen: Option<SocketAddrV4>,
    /// Whether it denied the packet, whose public source is then not visible.
    pub denied: bool,
    /// The shard that got the packet, if there are several data planes.
    pub shard: Option<usize>,
}

/// What must happen to a packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Expected {
    /// Its disposition.
    pub disposition: Disposition,
    /// Its bytes.
    pub bytes: Vec<u8>,
}

/// A packet that came in.
#[derive(Clone, Copy, Debug)]
struct Entered<'a> {
    /// The edge where it was handed in, to which answers go.
    by: Edge,
    /// The edge of its sender.
    edge: Edge,
    bytes: &'a [u8],
    /// Whether it is a hairpin packet on its way back in from the internet (T-33). Its sender gets
    /// no answer any more.
    hairpinned: bool,
}

/// A packet that is forwarded.
#[derive(Clone, Debug)]
struct Passed {
    forward: Forward,
    bytes: Vec<u8>,
    /// Whether it is a hairpin packet (T-33).
    hairpins: bool,
}

impl Entered<'_> {
    /// Returns whether a side of a flow is where the packet came in.
    fn is_at(&self, flow: &Flow, side: usize) -> bool {
        flow.edges[side] == self.edge && (flow.hairpins && side == 1) == self.hairpinned
    }
}

/// A public tuple in hold-down (N-14), towards one remote or, after an endpoint-independent
/// mapping, towards any (T-01).
#[derive(Clone, Copy, Debug)]
struct Rest {
    protocol: u8,
    external: SocketAddrV4,
    remote: Option<SocketAddrV4>,
    until: Time,
}

impl Model {
    /// Makes a model without flows that follows `network`.
    #[must_use]
    pub fn new(network: Network, settings: Settings) -> Self {
        Self {
            network,
            settings,
            now: Time(0),
            flows: Vec::new(),
            rests: Vec::new(),
            mappings: Vec::new(),
            debts: Vec::new(),
            pairs: Vec::new(),
            waiting: Vec::new(),
            fragments: Vec::new(),
            flows_made: 0,
            originated: Vec::new(),
            happenings: Vec::new(),
            translations: Vec::new(),
            sharded: false,
            limited_hosts: Vec::new(),
            filled: Filled::default(),
        }
    }

    /// Returns how often tables were full.
    pub(crate) const fn filled(&self) -> Filled {
        self.filled
    }

    /// Returns the configuration by which the model decides.
    pub(crate) const fn network(&self) -> &Network {
        &self.network
    }

    /// Takes a new configuration.
    ///
    /// # Errors
    ///
    /// The control plane gave the members of a load balancer ports that they must not have (N-28).
    pub fn apply(&mut self, now: Time, network: &Network) -> Result<(), String> {
        self.advance(now);
        for (id, after) in network.load_balancers() {
            let before = self.network.load_balancer(id).ok();
            if before != Some(after) {
                check_ports(before, after)?;
            }
        }
        self.network = network.clone();
        for flow in &mut self.flows {
            flow.invalidated = true;
        }
        Ok(())
    }

    /// Lets time pass, and closes everything that a change closes.
    pub fn drain(&mut self, now: Time) {
        self.advance(now);
        for number in self.flows.iter().map(|flow| flow.number).collect::<Vec<_>>() {
            if let Some(at) = self.flows.iter().position(|flow| flow.number == number) {
                let _ = self.renew(at, true);
            }
        }
    }

    /// Lets time pass.
    pub fn expire(&mut self, now: Time) {
        self.advance(now);
    }

    /// Returns when something happens next without a packet: a flow ends, or a SYN is answered.
    #[must_use]
    pub fn due(&self) -> Option<Time> {
        let flows = self.flows.iter().map(|flow| flow.deadline);
        flows.chain(self.waiting.iter().map(Waiting::due)).min()
    }

    /// Takes the packets that the data plane must have made since the last call.
    pub fn take_originated(&mut self) -> Vec<(Edge, Vec<u8>)> {
        core::mem::take(&mut self.originated)
    }

    /// Takes the flow events that must have happened since the last call.
    pub fn take_happenings(&mut self) -> Vec<Happening> {
        core::mem::take(&mut self.happenings)
    }

    /// Takes the translation events that must have happened since the last call.
    pub fn take_translations(&mut self) -> Vec<Translation> {
        core::mem::take(&mut self.translations)
    }

    /// Returns whether a public address has no owner any more, or belongs to flows that are or may
    /// be closed.
    #[must_use]
    pub fn is_given_up(&self, at: Ipv4Addr) -> bool {
        let goes =
            |flow: &Flow| *flow.external.ip() == at && (flow.invalidated || flow.is_tombstone());
        !address::is_ours(&self.network, at) || self.flows.iter().any(goes)
    }

    /// Returns the numbers of live flows, and of closed ones that still answer.
    #[must_use]
    pub fn flow_counts(&self) -> (u64, u64) {
        let closed = self.flows.iter().filter(|flow| flow.is_tombstone()).count() as u64;
        (self.flows.len() as u64 - closed, closed)
    }

    /// Returns the number of public tuples that flows have (INV-private-source-stays-inside,
    /// INV-endpoint-takes-no-port).
    #[must_use]
    pub fn ports_taken(&self) -> usize {
        self.flows.iter().filter(|flow| flow.translated).count()
    }

    /// Says what must happen to a packet that enters by `edge`.
    ///
    /// # Errors
    ///
    /// The data plane chose a public source that it must not choose, or none where one was free.
    pub fn process(
        &mut self,
        now: Time,
        edge: Edge,
        bytes: &[u8],
        observed: Observed,
    ) -> Result<Expected, String> {
        self.advance(now);
        self.sharded |= observed.shard.is_some();
        let mut icmp_error = None;
        let result = self.receive(edge, bytes, observed, &mut icmp_error);
        // A refused connection ends at this very instant.
        self.advance(now);
        if let Some(icmp_error) = icmp_error {
            return Err(icmp_error);
        }
        Ok(match result {
            Ok(Passed { forward, bytes, .. }) => {
                Expected { disposition: Disposition::Forward(forward), bytes }
            }
            Err(disposition) => Expected { disposition, bytes: bytes.to_vec() },
        })
    }

    fn receive(
        &mut self,
        edge: Edge,
        bytes: &[u8],
        observed: Observed,
        icmp_error: &mut Option<String>,
    ) -> Result<Passed, Disposition> {
        let packet =
            Packet::read(bytes).map_err(|cause| Disposition::Drop(DropReason::Malformed(cause)))?;
        let entered =
            Entered { by: edge, edge: self.entry(edge, &packet)?, bytes, hairpinned: false };
        // T-39: a wrong transport checksum is dropped if the settings say so.
        if self.settings.verify_checksums
            && wire::transport_sum_is_right(bytes, &packet) == Some(false)
        {
            return drop(DropReason::TransportChecksum);
        }
        let passed = self.pass(&entered, &packet, observed, icmp_error)?;
        if passed.hairpins { self.hairpin(&passed, &packet, icmp_error) } else { Ok(passed) }
    }

    /// Decides a packet whose source is allowed at its edge.
    fn pass(
        &mut self,
        entered: &Entered<'_>,
        packet: &Packet,
        observed: Observed,
        icmp_error: &mut Option<String>,
    ) -> Result<Passed, Disposition> {
        if packet.kind == Kind::IcmpError {
            return self.error(entered, packet);
        }
        if matches!(packet.part, Part::Later { .. }) {
            return self.later_fragment(entered, packet);
        }
        if let Some((at, side)) = self.find(entered.edge, packet.ends()) {
            let flow = self.flow(at)?;
            // RFC 792: the initiator asks and the other end answers. With the identifier 0 both
            // have the same ports.
            let asks = side == flow.initiator;
            if matches!((packet.kind, asks), (Kind::IcmpRequest, false) | (Kind::IcmpReply, true)) {
                return drop(DropReason::NoFlow);
            }
            if !(side == flow.initiator && opens(packet) && flow.gives_way_to(packet)) {
                if !flow.is_tombstone() {
                    if !entered.is_at(&flow, side) {
                        return drop(DropReason::WrongEdge);
                    }
                    // A packet that is not forwarded does not refresh the flow.
                    let refused = packet.part != Part::Whole && !self.carries_fragments(&flow);
                    let way = self.way_of_answer(&flow, side);
                    let size = self.size_of_way(&flow, side, way.ok().flatten());
                    let is_forwarded = packet.ttl > 1 && !refused && way.is_ok();
                    self.renew(at, is_forwarded && packet.total <= usize::from(size))?;
                }
                return self.hit(at, side, entered, packet);
            }
        }
        self.open(entered, packet, observed, icmp_error)
    }

    /// Lets time pass: everything ends at its own instant (INV-clock-steps-harmless,
    /// INV-deadline-exact).
    fn advance(&mut self, now: Time) {
        self.now = self.now.max(now);
        let now = self.now;
        while let Some(at) = self.flows.iter().position(|flow| flow.deadline <= now) {
            let Ok(flow) = self.flow(at) else { return };
            self.reset_idle_ends(&flow);
            self.end(at, flow.cause_of_expiry(), flow.deadline);
        }
        self.release_tombstones();
        self.answer_waiting();
        self.rests.retain(|rest| rest.until > now);
    }

    /// Returns the flow of a tuple that is seen at an edge, and the side from which it comes.
    fn find(&self, edge: Edge, ends: (u8, SocketAddrV4, SocketAddrV4)) -> Option<(usize, usize)> {
        self.find_in(zone(&self.network, edge), ends)
    }

    fn find_in(
        &self,
        here: Zone,
        ends: (u8, SocketAddrV4, SocketAddrV4),
    ) -> Option<(usize, usize)> {
        self.flows.iter().enumerate().find_map(|(at, flow)| {
            let tuples = [
                (flow.protocol, flow.internal, flow.remote),
                (flow.protocol, flow.remote, flow.external),
            ];
            let mut keys = flow.zones.into_iter().zip(tuples);
            keys.position(|key| key == (here, ends)).map(|side| (at, side))
        })
    }

    fn flow(&self, at: usize) -> Result<Flow, Disposition> {
        self.flows.get(at).cloned().ok_or(Disposition::Drop(DropReason::NoFlow))
    }
}

const fn no_path(why: NoPath) -> Disposition {
    Disposition::Drop(match why {
        NoPath::Route => DropReason::NoRoute,
        NoPath::None => DropReason::RouteNone,
        NoPath::Host => DropReason::NoSuchHost,
        NoPath::NextHop => DropReason::NoNextHop,
        NoPath::Outbound => DropReason::NoOutbound,
        NoPath::Unsupported => DropReason::OutboundUnsupported,
        NoPath::Hairpin => DropReason::Hairpin,
        NoPath::Foreign => DropReason::ForeignSource,
        NoPath::Unapproved => DropReason::PrivateEndpointUnapproved,
        NoPath::PrivateRoute => DropReason::PrivateEndpointRoute,
    })
}

const fn drop<T>(reason: DropReason) -> Result<T, Disposition> {
    Err(Disposition::Drop(reason))
}
