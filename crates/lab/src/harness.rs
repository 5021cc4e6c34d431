//! The harness: one generated sequence of edits, packets and clock steps goes to the data plane and to the [model](crate::model), and
//! after each step both must say the same and every invariant must hold. Property tests and fuzzers share it.

#![allow(
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    reason = "a tool of tests: lists are constants, indices are taken modulo their length, and packets are short"
)]

mod craft;
mod drive;
mod edit;
mod fuzz;
mod invariants;
mod replay;
mod soak;
mod step;
mod transcript;
mod twins;
mod world;

use core::fmt;
use core::net::{Ipv4Addr, SocketAddrV4};
use core::time::Duration;
use std::sync::{Arc, LazyLock};

use proptest::prelude::{Strategy, any};
use vnetem::{
    Closing, DataPlane, Edge, EditError, EventKind, Fate, Forward, Mtu, Network, Settings,
    Snapshot, SourceMode, Time,
};

use crate::model::wire::{ICMP, Packet, SYN, TCP, UDP};
use crate::model::{Expected, Happening, Model, Observed};
use craft::{Conversation, twisted};
use invariants::Ledger;
use transcript::{Line, Transcript};
use world::{DESTINATIONS, HostAt, World};

pub use edit::Edit;
pub use fuzz::{pipeline_bytes, pipeline_ops};
pub use replay::{Replay, Replayed, Setup};
pub use soak::{Soak, SoakError, Sums};
pub use step::{Step, Twist};
pub use twins::{
    a_batch_is_its_packets_in_order, betas_presence_changes_nothing,
    the_endpoint_changes_nothing_else, the_same_calls_give_the_same_bytes,
};

/// A sequence: how the data plane is set up, and what happens to it.
#[derive(Clone, Debug)]
pub struct Sequence {
    /// Settings, read by position.
    pub setup: u8,
    /// What happens.
    pub steps: Vec<Step>,
}

/// The data plane and the model disagree, or an invariant does not hold.
pub struct Mismatch {
    /// What happened before, a line for each step, and what came of it.
    pub transcript: Vec<String>,
    /// What is wrong.
    pub what: String,
}

/// What a sequence exercised, so that a generator that hits nothing is noticed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Coverage {
    /// Packets that were forwarded, in the direction of the opener.
    pub forward: u64,
    /// Packets that were forwarded back.
    pub reverse: u64,
    /// Packets with a translated source.
    pub translated: u64,
    /// Packets over an endpoint.
    pub endpoint: u64,
    /// Packets from the public side on flows that it opened itself.
    pub inbound: u64,
    /// Packets that turned round at a public address.
    pub turned: u64,
    /// Packets behind the addresses of a load balancer.
    pub balanced: u64,
    /// Packets behind an interface's own public address.
    pub one_to_one: u64,
    /// Packets behind a port of a block.
    pub blocks: u64,
    /// Packets that were not forwarded.
    pub stopped: u64,
    /// Packets that were longer than the next link takes.
    pub too_long: u64,
    /// Packets that an endpoint policy refused.
    pub policed: u64,
    /// Flows that a change closed.
    pub closed: u64,
    /// Packets of the data plane's own making.
    pub originated: u64,
    /// Edits that were refused.
    pub refused: u64,
}

/// Sequences of up to `length` steps.
pub fn sequences(length: usize) -> impl Strategy<Value = Sequence> {
    (any::<u8>(), proptest::collection::vec(any::<[u8; 8]>(), 1..=length)).prop_map(
        |(setup, steps)| {
            let steps = steps.into_iter().map(Step::decode).collect();
            Sequence { setup, steps }
        },
    )
}

impl Sequence {
    /// Reads a sequence from bytes by position: one for the setup, then eight for each step.
    #[must_use]
    pub fn decode(bytes: &[u8]) -> Self {
        let (setup, rest) = bytes.split_first().map_or((0, bytes), |(first, rest)| (*first, rest));
        let (steps, _) = rest.as_chunks::<8>();
        Self { setup, steps: steps.iter().copied().map(Step::decode).collect() }
    }
}

/// Runs a sequence against the data plane and the model.
///
/// # Errors
///
/// They disagree, or an invariant does not hold; the transcript says how it came to that.
pub fn check(sequence: &Sequence) -> Result<Coverage, Box<Mismatch>> {
    let mut runner = Runner::new(sequence.setup);
    for step in &sequence.steps {
        if let Err(what) = runner.step(step) {
            return Err(runner.mismatch(what));
        }
    }
    Ok(runner.coverage)
}

/// The settings that a number stands for: who is told of a closing, a small table or a large one, the seed.
fn settings(setup: u8) -> Settings {
    let mut settings = Settings::default();
    settings.flows.seed = u64::from(setup);
    settings.flows.capacity = if setup % 8 == 7 { 8 } else { 1024 };
    settings.flows.held = 1024;
    settings.flows.cells = 4096;
    settings.flows.inbound_refreshes = setup % 4 != 2;
    // Links so narrow that the longer packets do not fit, most of all the public ones.
    if setup / 32 % 2 == 1 {
        settings.mtu = Mtu { public: 60, private: 300 };
    }
    settings.verify_checksums = setup / 64 % 4 == 3;
    settings.fragment_life = Duration::from_secs(30);
    settings.closing = match setup / 8 % 4 {
        2 => Closing::Opener,
        3 => Closing::Silent,
        _ => Closing::Both,
    };
    settings
}

/// A data plane, its model, and what the hosts around them remember.
struct Runner {
    network: Network,
    world: World,
    plane: DataPlane,
    model: Model,
    now: Time,
    /// A change was handed over and not all that it closes is closed.
    unsettled: bool,
    conversations: Vec<Conversation>,
    ledger: Ledger,
    transcript: Transcript,
    /// Whether calls and outputs are kept, for who compares runs.
    records: bool,
    /// What left since it was last looked at, and where.
    outputs: Vec<Output>,
    /// What the data plane was asked, drains left out.
    calls: Vec<Call>,
    /// What happened to flows and was not looked at yet.
    heard: Vec<Happening>,
    coverage: Coverage,
}

/// A call of the data plane.
enum Call {
    Packet(Time, Edge, Vec<u8>),
    Apply(Time, Arc<Snapshot>),
    Timeout(Time),
}

impl Call {
    fn time(&self) -> Time {
        match *self {
            Self::Packet(now, ..) | Self::Apply(now, _) | Self::Timeout(now) => now,
        }
    }

    fn is_packet(&self) -> bool {
        matches!(self, Self::Packet(..))
    }
}

/// Something that left: a packet with its fate, by the edge where it came in, or one of the data plane's own making, by the edge where it
/// goes.
struct Output {
    edge: Edge,
    fate: Option<Fate>,
    bytes: Vec<u8>,
}

impl Runner {
    fn new(setup: u8) -> Self {
        // The worlds are constants, and every run begins with a copy of one.
        static WORLDS: LazyLock<Vec<(Network, World)>> = LazyLock::new(|| {
            let all = world::METHODS.iter().map(world::build);
            let mut all: Vec<(Network, World)> =
                all.collect::<Result<_, _>>().unwrap_or_else(|error| unreachable_world(&error));
            // Compiled once, for all.
            for (network, _) in &mut all {
                network.commit();
            }
            all
        });
        let (network, world) = pick(&WORLDS, setup).clone();
        let mut runner = Self::over(network, world, settings(setup));
        let closing = settings(setup).closing;
        runner.transcript.push(Line::Text(format!("setup {setup}: {closing:?}")));
        runner
    }

    /// One that keeps what it calls and what comes out.
    fn recording(setup: u8) -> Self {
        Self { records: true, ..Self::new(setup) }
    }

    /// Over a network that may hold more than the world.
    fn over(mut network: Network, world: World, settings: Settings) -> Self {
        let plane = DataPlane::new(network.commit(), settings);
        let model = Model::new(network.clone(), settings);
        Self {
            network,
            world,
            plane,
            model,
            now: Time(1_000_000_000_000),
            unsettled: false,
            conversations: Vec::new(),
            ledger: Ledger::default(),
            transcript: Transcript::default(),
            records: false,
            outputs: Vec::new(),
            calls: Vec::new(),
            heard: Vec::new(),
            coverage: Coverage::default(),
        }
    }

    fn mismatch(&self, what: String) -> Box<Mismatch> {
        Box::new(Mismatch { transcript: self.transcript.lines(), what })
    }

    /// Forgets how it came to this, for runs that are longer than anybody reads.
    fn forget(&mut self) {
        self.transcript.clear();
        self.outputs.clear();
        self.calls.clear();
        self.heard.clear();
    }

    fn step(&mut self, step: &Step) -> Result<(), String> {
        self.transcript.push(Line::Step(self.now, *step));
        self.sweep()?;
        match *step {
            Step::Open { host, to, ports, flags, twist } => {
                self.open(host, to, ports, flags, twist)
            }
            Step::Talk { of, far, says, off, twist } => {
                let Some((at, edge)) = self.speaker(of, far) else { return Ok(()) };
                let Some(conversation) = self.conversations.get(at) else { return Ok(()) };
                let make = conversation.segment(far, says, off);
                let bytes = conversation.packet(far, make);
                let forwarded = self.send(edge, bytes, twist)?;
                self.remember(at, far, make, forwarded.filter(|_| off < 216));
                Ok(())
            }
            Step::Error { of, far, how, twist } => {
                let Some((at, edge)) = self.speaker(of, far) else { return Ok(()) };
                let Some(conversation) = self.conversations.get(at) else { return Ok(()) };
                let bytes = conversation.error(far, how);
                self.send(edge, bytes, twist).map(drop)
            }
            Step::Fragment { of, far, part, twist } => {
                let Some((at, edge)) = self.speaker(of, far) else { return Ok(()) };
                let Some(conversation) = self.conversations.get(at) else { return Ok(()) };
                let make = conversation.segment(far, 128, 0);
                let bytes = conversation.fragment(far, part, make);
                self.send(edge, bytes, twist).map(drop)
            }
            Step::Change { edit, settle } => self.change(edit, settle),
            Step::Clock { tick } => {
                let by = *pick(&step::TICKS, tick);
                let moved = if by < 0 {
                    self.now.0.saturating_sub(by.unsigned_abs())
                } else {
                    self.now.0.saturating_add(by.unsigned_abs())
                };
                self.now = Time(moved);
                self.sweep()
            }
            Step::Settle => self.settle(),
        }
    }

    /// The conversation that a host begins.
    fn begin(&self, host: u8, to: u8, ports: u8) -> Conversation {
        let hosts = world::hosts(&self.world);
        let HostAt(edge, address) = match host {
            0..=143 => *pick(&hosts[..3], host),
            144..=191 => *pick(&hosts[13..], host),
            _ => *pick(&hosts, host),
        };
        let (protocol, port) = match ports % 8 {
            0..=4 => (TCP, [443, 443, 443, 80][usize::from(ports / 8 % 4)]),
            5 => (UDP, 53),
            6 => (ICMP, 0),
            _ if (ports / 8).is_multiple_of(4) => (if ports / 32 % 4 == 3 { 50 } else { 47 }, 0),
            _ => (UDP, 443),
        };
        let from = if matches!(protocol, 47 | 50) { 0 } else { 1000 + u16::from(ports / 32) };
        let opener = SocketAddrV4::new(address, from);
        let remote = SocketAddrV4::new(Ipv4Addr::from(*pick_mostly(&DESTINATIONS, 4, to)), port);
        let conversation = Conversation {
            protocol,
            edges: [Some(edge), None],
            opener: [opener; 2],
            remote: [remote; 2],
            callee: None,
            next: [u32::MAX - 200, 7_000 + u32::from(ports)],
            stage: 0,
        };
        // Whom another conversation may have made known to the outside may be called back by anybody.
        let here = self.world.network_of(edge);
        let may_call = |known: &&Conversation| {
            let there = known.edges[0].and_then(|edge| self.world.network_of(edge));
            known.protocol == protocol && there.is_some() && (here.is_none() || here == there)
        };
        let calls = if edge == Edge::Internet { 48..=255 } else { 160..=231 };
        let calls = calls.contains(&to) && matches!(protocol, TCP | UDP);
        match self.conversations.iter().rev().filter(may_call).nth(usize::from(to % 4)) {
            Some(known) if calls => conversation.calling(known),
            _ => conversation,
        }
    }

    fn open(&mut self, host: u8, to: u8, ports: u8, flags: u8, twist: Twist) -> Result<(), String> {
        let conversation = self.begin(host, to, ports);
        let [Some(edge), _] = conversation.edges else { return Ok(()) };
        let says = if flags < 230 { 200 } else { flags };
        let make = conversation.segment(false, says, 0);
        let bytes = conversation.packet(false, make);
        self.conversations.push(conversation);
        let forwarded = self.send(edge, bytes, twist)?;
        self.remember(self.conversations.len() - 1, false, make, forwarded);
        Ok(())
    }

    /// A conversation, counted back from the latest, and the edge at which one of its ends is.
    fn speaker(&self, of: u8, far: bool) -> Option<(usize, Edge)> {
        let back = usize::from(of) % self.conversations.len().clamp(1, 12);
        let at = self.conversations.len().checked_sub(1 + back)?;
        let edge = (*self.conversations.get(at)?.edges.get(usize::from(far))?)?;
        Some((at, edge))
    }

    /// What the hosts learn from a packet that arrived.
    fn remember(
        &mut self,
        at: usize,
        far: bool,
        make: craft::Make,
        forwarded: Option<(Forward, Packet)>,
    ) {
        let Some(conversation) = self.conversations.get_mut(at) else { return };
        let Some((forward, packet)) = forwarded else { return };
        if !far {
            conversation.edges[1] = Some(forward.to);
            conversation.opener[1] = packet.source;
            conversation.remote[1] = packet.destination;
        }
        let length = make.data as u32
            + u32::from(make.flags & SYN != 0)
            + u32::from(make.flags & crate::model::wire::FIN != 0);
        if let Some(next) = conversation.next.get_mut(usize::from(far)) {
            *next = make.sequence.wrapping_add(length);
        }
        conversation.stage = match (conversation.stage, far, make.flags & SYN != 0) {
            (_, false, true) => 0,
            (0, true, true) => 1,
            (1, false, _) => 2,
            (stage, ..) if make.flags & crate::model::wire::FIN != 0 => stage.max(3),
            (stage, ..) => stage,
        };
    }
}

/// An element by a number that is taken modulo the length; `all` must not be empty.
pub(crate) fn pick<T>(all: &[T], number: u8) -> &T {
    &all[usize::from(number) % all.len()]
}

/// An element by a number, more often than not one of the first.
fn pick_mostly<T>(all: &[T], first: usize, number: u8) -> &T {
    let all = if number < 160 { all.get(..first).unwrap_or(all) } else { all };
    pick(all, number)
}

#[allow(clippy::panic, reason = "the world of the harness is a constant")]
fn unreachable_world(error: &vnetem::EditError) -> ! {
    panic!("the world of the harness cannot be built: {error}")
}

/// A packet in a line.
fn shown(bytes: &[u8]) -> String {
    match Packet::read(bytes) {
        Ok(packet) => {
            let Packet { source, destination, protocol, ttl, part, kind, .. } = packet;
            format!("{source} > {destination} proto {protocol} ttl {ttl} {part:?} {kind:x?}")
        }
        Err(cause) => format!("{cause} {bytes:02x?}"),
    }
}

impl fmt::Debug for Mismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for Mismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.what)?;
        self.transcript.iter().try_for_each(|line| writeln!(f, "{line}"))
    }
}
