//! The harness plays a generated sequence of edits, packets and clock steps with the data plane and
//! with the [model](crate::model). After each step both must agree and every invariant must hold.
//! Property tests and fuzzers share it.

#![allow(
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    reason = "a tool of tests: lists are constants, indices are taken modulo their length, and packets are short"
)]

mod comparisons;
mod coverage;
mod craft;
mod drive;
mod edit;
mod fuzz;
mod invariants;
mod planes;
mod queues;
mod replay;
mod routes;
mod soak;
mod step;
mod talk;
mod transcript;
mod tunnel;
mod world;

use core::fmt;
use core::net::{Ipv4Addr, SocketAddrV4};
use core::time::Duration;
use std::sync::{Arc, LazyLock};

use crate::said::{Disposition, Forward};
use proptest::prelude::{Strategy, any};
use vnetem::{
    CloseMode, Edge, EditError, EventKind, Mtu, Network, Settings, Snapshot, SourceMode, Time,
    control::Rollout,
};

use vnetem_nat::Shared;

use crate::model::wire::{ICMP, Packet, SYN, TCP, UDP};
use crate::model::{Expected, Filled, Happening, Model, Observed, Translation};
use craft::{Conversation, twisted};
use invariants::Ledger;
use planes::Planes;
use transcript::{Line, Transcript};
use tunnel::Tunnels;
use world::{DESTINATIONS, HostAt, World};

pub use comparisons::{
    a_batch_is_its_packets_in_order, betas_presence_changes_nothing, shards_are_one_data_plane,
    the_endpoint_changes_nothing_else, the_same_calls_give_the_same_bytes,
};
pub use coverage::Coverage;
pub use edit::Edit;
pub use fuzz::{pipeline_bytes, pipeline_ops};
pub use queues::{Losses, full_queues_keep_traces_true, small_queues_lose_only_answers};
pub use replay::{Replay, Replayed, Setup};
pub use soak::{Soak, SoakError, Sums};
pub use step::{Step, Twist};

/// A sequence: the setup of the data plane, and the steps.
#[derive(Clone, Debug)]
pub struct Sequence {
    /// The settings, decoded from a number.
    pub setup: u8,
    /// The steps.
    pub steps: Vec<Step>,
}

/// The data plane and the model disagree, or an invariant does not hold.
pub struct Mismatch {
    /// What happened before, one line for each step and each result.
    pub transcript: Vec<String>,
    /// The disagreement.
    pub what: String,
}

/// Generates sequences of up to `length` steps.
pub fn sequences(length: usize) -> impl Strategy<Value = Sequence> {
    (any::<u8>(), proptest::collection::vec(any::<[u8; 8]>(), 1..=length)).prop_map(
        |(setup, steps)| {
            let steps = steps.into_iter().map(Step::decode).collect();
            Sequence { setup, steps }
        },
    )
}

impl Sequence {
    /// Decodes a sequence from bytes by position: one for the setup, then eight for each step.
    #[must_use]
    pub fn decode(bytes: &[u8]) -> Self {
        let (setup, rest) = bytes.split_first().map_or((0, bytes), |(first, rest)| (*first, rest));
        let (steps, _) = rest.as_chunks::<8>();
        Self { setup, steps: steps.iter().copied().map(Step::decode).collect() }
    }
}

/// Plays a sequence with the data plane and with the model.
///
/// # Errors
///
/// They disagree, or an invariant does not hold. The transcript shows the steps before.
pub fn check(sequence: &Sequence) -> Result<Coverage, Box<Mismatch>> {
    let mut runner = Runner::new(sequence.setup);
    for step in &sequence.steps {
        if let Err(what) = runner.step(step) {
            return Err(runner.mismatch(what));
        }
    }
    let Filled { waiting, fragments, overtaking } = runner.model.filled();
    let mut coverage = runner.coverage;
    coverage.full_waiting += waiting;
    coverage.full_fragments += fragments;
    coverage.overtaking += overtaking;
    Ok(coverage)
}

/// Decodes settings: who is notified of a closing, a small table or a large one, and the seed.
fn settings(setup: u8) -> Settings {
    let mut settings = Settings::replayable(u64::from(setup));
    // In the hairpin world, where a packet may need two records, the table is small every other
    // time.
    let is_small = setup % 8 == 7 || setup % 7 == 1 && setup % 2 == 1;
    settings.flows.capacity = if is_small { 8 } else { 1024 };
    settings.flows.held = 1024;
    settings.flows.revalidation_keys = 4096;
    // The tables of mapping state are full at once, with a part for each tenant and without.
    let full = match setup % 16 {
        6 => Some(8),
        14 => Some(2),
        _ => None,
    };
    if let Some(room) = full {
        settings.flows.revalidation_keys = 2 * room;
        settings.flows.shared = Shared { hosts: room, sockets: room, blocks: room };
        (settings.fragments, settings.unsolicited) = (room as usize / 2, room as usize / 2);
    }
    settings.flows.inbound_refreshes = setup % 4 != 2;
    // Narrow links, on which longer packets do not fit, most of all the public ones.
    if setup / 32 % 2 == 1 {
        settings.mtu = Mtu { public: 68, private: 300 };
    }
    settings.verify_checksums = setup / 64 % 4 == 3;
    settings.flows.strict_windows = setup.is_multiple_of(3);
    settings.translation_events = if setup % 5 == 4 { 0 } else { 1024 };
    settings.log_remotes = setup % 5 < 2;
    settings.fragment_life = Duration::from_secs(30);
    settings.closing = match setup / 8 % 4 {
        2 => CloseMode::Initiator,
        3 => CloseMode::Silent,
        _ => CloseMode::Both,
    };
    settings
}

/// Returns the network that every run of a setup begins with.
fn fresh(setup: u8) -> (Network, World) {
    static WORLDS: LazyLock<Vec<(Network, World)>> = LazyLock::new(|| worlds(false));
    pick(&WORLDS, setup).clone()
}

/// A data plane, its model, and what the hosts around them remember.
struct Runner {
    network: Network,
    world: World,
    planes: Planes,
    model: Model,
    now: Time,
    /// Changes that take time.
    rollout: Rollout,
    /// Whether the table of revalidation keys may be full. The model does not know which keys a
    /// change invalidates, so each change is drained at once, and services keep their prefixes.
    is_tight: bool,
    tunnels: Tunnels,
    /// Whether a change was applied and has not closed all its flows yet.
    undrained: bool,
    conversations: Vec<Conversation>,
    ledger: Ledger,
    transcript: Transcript,
    /// Whether calls and outputs are kept, for comparisons of runs.
    records: bool,
    /// What left since the last look, and where.
    outputs: Vec<Output>,
    /// The calls of the data plane, without drains.
    calls: Vec<Call>,
    /// Events of flows and translations since the last look.
    heard: Vec<Happening>,
    translations: Vec<Translation>,
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

/// Something that left. A processed packet has its disposition and the edge where it entered. A
/// packet that the data plane made has the edge where it leaves.
struct Output {
    edge: Edge,
    disposition: Option<Disposition>,
    bytes: Vec<u8>,
}

impl Runner {
    fn new(setup: u8) -> Self {
        let (network, world) = fresh(setup);
        let mut runner = Self::over(network, world, settings(setup));
        let closing = settings(setup).closing;
        runner.transcript.push(Line::Text(format!("setup {setup}: {closing:?}")));
        if setup % 4 == 1 {
            let (endpoints, rules) = (Duration::from_secs(160), Duration::from_secs(60));
            let rollout = Rollout::new(u64::from(setup), endpoints, rules);
            runner.rollout = rollout.unwrap_or_default();
        }
        runner
    }

    /// Makes a data plane for each shard of the network. Its pools are wide enough for all shards.
    fn sharded(setup: u8) -> Self {
        static WORLDS: LazyLock<Vec<(Network, World)>> = LazyLock::new(|| worlds(true));
        let (network, world) = pick(&WORLDS, setup).clone();
        // Limits hold for each shard, so there are none here.
        let mut settings = settings(setup);
        let wide = Settings::replayable(0);
        (settings.flows.revalidation_keys, settings.flows.shared) = (4096, wide.flows.shared);
        (settings.fragments, settings.unsolicited) = (wide.fragments, wide.unsolicited);
        settings.flows.capacity = 1024;
        let mut runner = Self::over(network, world, settings);
        let mut small = Settings { queue: 64, events: 256, fragments: 64, ..settings };
        small.translation_events = settings.translation_events.min(256);
        (small.flows.capacity, small.flows.held, small.flows.revalidation_keys) = (128, 128, 256);
        runner.planes = Planes::shards(&runner.network.commit(), small);
        runner.transcript.push(Line::Text(format!("setup {setup}, sharded")));
        runner
    }

    /// Makes a runner that keeps its calls and outputs.
    fn recording(setup: u8) -> Self {
        Self { records: true, ..Self::new(setup) }
    }

    /// Makes a runner over a network that may hold more than the world.
    fn over(mut network: Network, world: World, settings: Settings) -> Self {
        let planes = Planes::one(network.commit(), settings);
        let model = Model::new(network.clone(), settings);
        let tunnels = Tunnels::new(world.services);
        Self {
            network,
            world,
            planes,
            model,
            now: Time(1_000_000_000_000),
            rollout: Rollout::default(),
            is_tight: settings.flows.revalidation_keys < 64,
            tunnels,
            undrained: false,
            conversations: Vec::new(),
            ledger: Ledger::default(),
            transcript: Transcript::default(),
            records: false,
            outputs: Vec::new(),
            calls: Vec::new(),
            heard: Vec::new(),
            translations: Vec::new(),
            coverage: Coverage::default(),
        }
    }

    fn mismatch(&self, what: String) -> Box<Mismatch> {
        Box::new(Mismatch { transcript: self.transcript.lines(), what })
    }

    /// Clears the transcript, for runs that are longer than anybody reads.
    fn forget(&mut self) {
        self.transcript.clear();
        self.outputs.clear();
        self.calls.clear();
        self.heard.clear();
        self.translations.clear();
    }

    fn step(&mut self, step: &Step) -> Result<(), String> {
        self.transcript.push(Line::Step(self.now, *step));
        self.roll_out()?;
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
            Step::Change { edit, drain } => self.change(edit, drain),
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
            Step::Drain => self.drain(),
        }
    }
}

/// Builds every world once for all runs, with narrow pools or with pools that shards can divide.
fn worlds(wide: bool) -> Vec<(Network, World)> {
    let all = world::BEGINNINGS.iter().map(|beginning| world::build(beginning, wide));
    let mut all: Vec<(Network, World)> =
        all.collect::<Result<_, _>>().unwrap_or_else(|error| unreachable_world(&error));
    for (network, _) in &mut all {
        network.commit();
    }
    all
}

/// Returns an element by a number, which is taken modulo the length. `all` must not be empty.
pub(crate) fn pick<T>(all: &[T], number: u8) -> &T {
    &all[usize::from(number) % all.len()]
}

#[allow(clippy::panic, reason = "the world of the harness is a constant")]
fn unreachable_world(error: &vnetem::EditError) -> ! {
    panic!("the world of the harness cannot be built: {error}")
}

/// Shows a packet in one line.
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
