//! The harness: one generated sequence of edits, packets and clock steps goes to the data plane and
//! to the [model](crate::model), and after each step both must say the same and every invariant
//! must hold. Property tests and fuzzers share it.

#![allow(
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    reason = "a tool of tests: lists are constants, indices are taken modulo their length, and packets are short"
)]

mod coverage;
mod craft;
mod drive;
mod edit;
mod fuzz;
mod invariants;
mod planes;
mod replay;
mod routes;
mod soak;
mod step;
mod talk;
mod transcript;
mod tunnel;
mod twins;
mod world;

use core::fmt;
use core::net::{Ipv4Addr, SocketAddrV4};
use core::time::Duration;
use std::sync::{Arc, LazyLock};

use proptest::prelude::{Strategy, any};
use vnetem::{
    CloseMode, Disposition, Edge, EditError, EventKind, Forward, Mtu, Network, Rollout, Settings,
    Snapshot, SourceMode, Time,
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

pub use coverage::Coverage;
pub use edit::Edit;
pub use fuzz::{pipeline_bytes, pipeline_ops};
pub use replay::{Replay, Replayed, Setup};
pub use soak::{Soak, SoakError, Sums};
pub use step::{Step, Twist};
pub use twins::{
    a_batch_is_its_packets_in_order, betas_presence_changes_nothing, shards_are_one_data_plane,
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
    let Filled { waiting, fragments, overtaking } = runner.model.filled();
    let mut coverage = runner.coverage;
    coverage.full_waiting += waiting;
    coverage.full_fragments += fragments;
    coverage.overtaking += overtaking;
    Ok(coverage)
}

/// The settings that a number stands for: who is told of a closing, a small table or a large one,
/// the seed.
fn settings(setup: u8) -> Settings {
    let mut settings = Settings::replayable(u64::from(setup));
    // Of the world where packets turn round, which takes two places in the table, every other time.
    let is_small = setup % 8 == 7 || setup % 7 == 1 && setup % 2 == 1;
    settings.flows.capacity = if is_small { 8 } else { 1024 };
    settings.flows.held = 1024;
    settings.flows.revalidation_keys = 4096;
    // What flows share is full at once, with a part for each tenant and without.
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
    // Links so narrow that the longer packets do not fit, most of all the public ones.
    if setup / 32 % 2 == 1 {
        settings.mtu = Mtu { public: 68, private: 300 };
    }
    settings.verify_checksums = setup / 64 % 4 == 3;
    settings.flows.strict_windows = setup.is_multiple_of(3);
    settings.translation_events = if setup % 5 == 4 { 0 } else { 1024 };
    settings.log_remotes = setup % 5 < 2;
    settings.fragment_life = Duration::from_secs(30);
    settings.closing = match setup / 8 % 4 {
        2 => CloseMode::Opener,
        3 => CloseMode::Silent,
        _ => CloseMode::Both,
    };
    settings
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
    /// Cells may be full: what a change touches is settled at once, since the model does not know
    /// which cells that are, and services keep their prefixes.
    is_tight: bool,
    tunnels: Tunnels,
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
    /// What happened to flows and translations and was not looked at yet.
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

/// Something that left: a packet with its fate, by the edge where it came in, or one of the data
/// plane's own making, by the edge where it goes.
struct Output {
    edge: Edge,
    disposition: Option<Disposition>,
    bytes: Vec<u8>,
}

impl Runner {
    fn new(setup: u8) -> Self {
        // The worlds are constants, and every run begins with a copy of one.
        static WORLDS: LazyLock<Vec<(Network, World)>> = LazyLock::new(|| worlds(false));
        let (network, world) = pick(&WORLDS, setup).clone();
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

    /// A data plane for each shard of the network, whose pools are wide enough for all.
    fn sharded(setup: u8) -> Self {
        static WORLDS: LazyLock<Vec<(Network, World)>> = LazyLock::new(|| worlds(true));
        let (network, world) = pick(&WORLDS, setup).clone();
        // Bounds hold for each shard, so that there are none here.
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

    /// One that keeps what it calls and what comes out.
    fn recording(setup: u8) -> Self {
        Self { records: true, ..Self::new(setup) }
    }

    /// Over a network that may hold more than the world.
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
            unsettled: false,
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

    /// Forgets how it came to this, for runs that are longer than anybody reads.
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
}

/// Every world, compiled once for all runs, with narrow pools or such as shards can divide.
fn worlds(wide: bool) -> Vec<(Network, World)> {
    let all = world::BEGINNINGS.iter().map(|beginning| world::build(beginning, wide));
    let mut all: Vec<(Network, World)> =
        all.collect::<Result<_, _>>().unwrap_or_else(|error| unreachable_world(&error));
    for (network, _) in &mut all {
        network.commit();
    }
    all
}

/// An element by a number that is taken modulo the length; `all` must not be empty.
pub(crate) fn pick<T>(all: &[T], number: u8) -> &T {
    &all[usize::from(number) % all.len()]
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
