//! A run without an end. Each round follows from a seed and its number alone and has every check
//! on, so a run can stop anywhere and continue later.

use core::str::FromStr;
use std::collections::BTreeSet;

use rand_xoshiro::Xoshiro256PlusPlus;
use rand_xoshiro::rand_core::{Rng, SeedableRng};
use vnetem::{DropReason, Protocol};

use super::*;
use crate::toggling::toggle_under_tcp;

/// A soak: its position and its counts. A round has three parts:
///
/// 1. Steps of the harness with the model, with everything that [`check`] checks.
/// 2. Hostile packets through a populated data plane whose configuration is swapped. Each packet is
///    checked for accounting, rewriting, INV-private-source-stays-inside and
///    INV-one-generation-decides. At intervals all flows are checked (INV-mapping-unique,
///    INV-flows-conserved).
/// 3. Every few rounds, two toggles under live TCP with loss.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Soak {
    seed: u64,
    sums: Sums,
}

/// The counts of a soak.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sums {
    /// Rounds done.
    pub rounds: u64,
    /// Packets in all.
    pub packets: u64,
    /// Those of them whose disposition, bytes and counters were compared with the model.
    pub modelled: u64,
    /// Packets that were forwarded.
    pub forwarded: u64,
    /// Packets that were not.
    pub stopped: u64,
    /// Packets with a translated source.
    pub translated: u64,
    /// Packets over an endpoint.
    pub endpoint: u64,
    /// Packets that the data plane made.
    pub originated: u64,
    /// Flows opened.
    pub opened: u64,
    /// Flows that a change closed.
    pub closed: u64,
    /// Configurations swapped in under traffic.
    pub swaps: u64,
    /// Toggles under live TCP.
    pub toggles: u64,
    /// Ends of connections that these closed.
    pub ends: u64,
    /// A hash over every byte that left: equal for equal seeds and rounds
    /// (INV-same-input-same-bytes).
    pub hash: u64,
}

/// Why a soak stopped.
#[derive(Debug)]
pub enum SoakError {
    /// A check failed. With the seed and the round it can be played again.
    Found {
        /// The round.
        round: u64,
        /// The check that failed, and the steps before.
        what: String,
    },
    /// The text is not what [`Soak`] writes.
    NotASoak(String),
}

/// Steps of a round that the model checks.
const STEPS: usize = 1024;
/// Packets of a round that the model does not check.
const PACKETS: u64 = 32_768;
/// Rounds between two toggles under TCP.
const TOGGLE: u64 = 8;

impl Soak {
    /// Starts a soak.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self { seed, sums: Sums::default() }
    }

    /// Returns the seed.
    #[must_use]
    pub fn seed(&self) -> u64 {
        self.seed
    }

    /// Returns its counts.
    #[must_use]
    pub fn sums(&self) -> Sums {
        self.sums
    }

    /// Runs one more round.
    ///
    /// # Errors
    ///
    /// A check failed. The round is not counted.
    pub fn round(&mut self) -> Result<(), SoakError> {
        let round = self.sums.rounds;
        let found = |what: String| SoakError::Found { round, what };
        let mut sums = self.sums;
        let mut random = Xoshiro256PlusPlus::seed_from_u64(
            self.seed ^ round.wrapping_mul(0x9e37_79b9_7f4a_7c15),
        );
        modelled(&mut random, &mut sums).map_err(|mismatch| found(mismatch.to_string()))?;
        Hostile::new(random).play(&mut sums).map_err(found)?;
        if round.is_multiple_of(TOGGLE) {
            let loss = (round / TOGGLE % 4 * 100) as u16;
            let toggling = toggle_under_tcp(self.seed ^ round, loss, 2).map_err(found)?;
            sums.toggles += toggling.toggles;
            sums.ends += toggling.ends;
        }
        sums.rounds += 1;
        self.sums = sums;
        Ok(())
    }
}

fn modelled(random: &mut Xoshiro256PlusPlus, sums: &mut Sums) -> Result<(), Box<Mismatch>> {
    let setup = random.next_u64() as u8;
    let steps = (0..STEPS).map(|_| Step::decode(random.next_u64().to_be_bytes())).collect();
    let Coverage { forward, reverse, translated, endpoint, stopped, closed, originated, .. } =
        check(&Sequence { setup, steps })?;
    sums.packets += forward + reverse + stopped;
    sums.modelled += forward + reverse + stopped;
    sums.forwarded += forward + reverse;
    sums.stopped += stopped;
    sums.translated += translated;
    sums.endpoint += endpoint;
    sums.closed += closed;
    sums.originated += originated;
    Ok(())
}

/// Hostile packets without the model, which is the slow part.
struct Hostile {
    runner: Runner,
    random: Xoshiro256PlusPlus,
}

impl Hostile {
    fn new(mut random: Xoshiro256PlusPlus) -> Self {
        // One table in eight is so small that it is full most of the time.
        let setup = random.next_u64() as u8;
        Self { runner: Runner::new(setup), random }
    }

    fn play(mut self, sums: &mut Sums) -> Result<(), String> {
        for number in 0..PACKETS {
            let draw = self.random.next_u64().to_be_bytes();
            match draw[0] {
                // A new configuration under traffic.
                0 => self.swap(draw, sums)?,
                1 => self.wait(draw),
                _ => self.packet(draw, sums)?,
            }
            self.drain(sums)?;
            self.runner.ledger.conservation(&self.runner.planes)?;
            if number % 1024 == 0 {
                self.flows()?;
            }
        }
        self.flows()?;
        sums.opened += self.runner.planes.only().flow_counters().opened;
        Ok(())
    }

    fn packet(&mut self, draw: [u8; 8], sums: &mut Sums) -> Result<(), String> {
        let [kind, a, b, c, d, twist, at, e] = draw;
        let twist = Twist { kind: twist, at };
        let far = b & 1 == 1;
        let speaker = self.runner.speaker(a, far).filter(|_| kind > 60);
        let (edge, bytes, talk) = match speaker {
            None => {
                let conversation = self.runner.begin(a, b, c);
                let [Some(edge), _] = conversation.edges else { return Ok(()) };
                let make = conversation.segment(false, if d < 230 { 200 } else { d }, 0);
                let bytes = conversation.packet(false, make);
                // Few conversations, so that they are met again.
                let all = &mut self.runner.conversations;
                if all.len() == 64 {
                    all.remove(usize::from(e) % 64);
                }
                all.push(conversation);
                (edge, bytes, (all.len() - 1, false, make))
            }
            Some((talk, edge)) => {
                let conversation = &self.runner.conversations[talk];
                let make = conversation.segment(far, c, d);
                let bytes = match kind {
                    61..=80 => conversation.error(far, c),
                    81..=100 => conversation.fragment(far, c, make),
                    _ => conversation.packet(far, make),
                };
                (edge, bytes, (talk, far, make))
            }
        };
        let edge = match twist.changes_edge() {
            true => pick(&world::hosts(&self.runner.world), at).0,
            false => edge,
        };
        let before = twisted(bytes, twist);
        let mut after = before.clone();
        let runner = &mut self.runner;
        let traced =
            (e < 16).then(|| runner.planes.only().trace(runner.now, edge, &before).verdict);
        let is_swept = runner.planes.only().poll_timeout().is_none_or(|due| due > runner.now);
        let verdict = runner.planes.only_mut().process(runner.now, edge, &mut after);
        let named = |it| Disposition::of(it, runner.planes.only().snapshot());
        let said = named(verdict.disposition);
        let notified = |what: &str| {
            format!("{what}\n{edge:?} {}\n{:?} {}", shown(&before), said, shown(&after))
        };
        if let Some(traced) = traced.filter(|traced| *traced != verdict)
            && (is_swept || !finds_room(&named(traced.disposition), &said))
        {
            return Err(notified(&format!(
                "the trace says {:?} (INV-trace-equals-verdict)",
                traced.disposition
            )));
        }
        if verdict.generation != runner.network.commit().generation() {
            return Err(notified(
                "decided by another generation than the present one (INV-one-generation-decides)",
            ));
        }
        sums.packets += 1;
        runner.coverage = Coverage::default();
        runner.count(&said);
        let Coverage { forward, reverse, translated, endpoint, stopped, .. } = runner.coverage;
        sums.forwarded += forward + reverse;
        sums.stopped += stopped;
        sums.translated += translated;
        sums.endpoint += endpoint;
        runner.ledger.packet(&said, edge, &before, &after).map_err(|what| notified(&what))?;
        if let Disposition::Forward(forward) = said {
            sums.hash = after.iter().fold(sums.hash, |hash, byte| {
                (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3)
            });
            let (talk, far, make) = talk;
            let read = Packet::read(&after).ok().map(|packet| (forward, packet));
            runner.remember(talk, far, make, read.filter(|_| d < 216));
        }
        Ok(())
    }

    fn swap(&mut self, [_, a, b, c, d, ..]: [u8; 8], sums: &mut Sums) -> Result<(), String> {
        let runner = &mut self.runner;
        let kind = match a {
            0..=79 => 0,
            80..=150 => 2,
            other => other % Edit::KINDS,
        };
        let edit = Edit { kind, on: b, to: c, with: d };
        let (now, mut at_once) = (runner.now, Rollout::default());
        // Permanent removals would leave less and less to send to.
        if matches!(kind, 16..=18)
            || edit.make(&mut runner.network, &runner.world, (now, &mut at_once)).is_err()
        {
            return Ok(());
        }
        let snapshot = runner.network.commit();
        sums.swaps += u64::from(snapshot.generation() != runner.planes.only().generation());
        runner.planes.only_mut().apply(runner.now, snapshot);
        Ok(())
    }

    fn wait(&mut self, draw: [u8; 8]) {
        let runner = &mut self.runner;
        let by = *pick(&step::TICKS, draw[1]);
        // Long jumps end everything, and short ones do that often enough.
        let by = if draw[2] < 200 { by.clamp(-5_000_000_000, 1_000_000_000) } else { by };
        runner.now = Time(runner.now.0.saturating_add_signed(by));
        runner.planes.only_mut().handle_timeout(runner.now);
    }

    fn drain(&mut self, sums: &mut Sums) -> Result<(), String> {
        let runner = &mut self.runner;
        while let Some(transmit) = runner.planes.only_mut().poll_transmit(runner.now) {
            sums.originated += 1;
            runner.ledger.originated(transmit.to, &transmit.packet)?;
        }
        runner.ledger.forget();
        while let Some(event) = runner.planes.only_mut().poll_event() {
            sums.closed += u64::from(matches!(event.kind, EventKind::Closed(_)));
        }
        Ok(())
    }

    /// Checks that no two flows have the same public tuple (INV-mapping-unique,
    /// INV-tuple-unique-per-side), and that the flows opened and not ended are there
    /// (INV-flows-conserved).
    fn flows(&self) -> Result<(), String> {
        let plane = self.runner.planes.only();
        let counters = plane.flow_counters();
        let (mut count, mut seen) = (0_u64, BTreeSet::new());
        for flow in plane.flows() {
            count += 1;
            let outside = if flow.tuple.source == flow.internal { flow.to } else { flow.from };
            // Everything public is one place. Inside, the table's own zones tell flows apart.
            let is_public = matches!(
                plane.snapshot().edge(outside, *flow.internal.ip()),
                Edge::Internet | Edge::Service { identity: None, .. }
            );
            let external_side = (flow.tuple.protocol, flow.external, flow.remote);
            if is_public && !seen.insert(external_side) {
                return Err(format!("two flows have {external_side:?} (INV-mapping-unique)"));
            }
            // An address that is translated one to one keeps any port.
            let has_ports = matches!(flow.tuple.protocol, Protocol::TCP | Protocol::UDP);
            if has_ports && flow.external.port() == 0 && flow.internal.port() != 0 {
                return Err(format!("port 0 was given: {flow:?} (INV-port-in-range)"));
            }
        }
        let left = counters.opened - counters.total_ended();
        if count != left || u64::from(counters.live) + u64::from(counters.tombstones) != left {
            return Err(format!("{counters:?}, and {count} flows are there (INV-flows-conserved)"));
        }
        Ok(())
    }
}

/// Returns whether the packet may differ from its trace: before a flow opens, some timed-out flows
/// are removed, which a trace does not do.
fn finds_room(traced: &Disposition, disposition: &Disposition) -> bool {
    match (traced, disposition) {
        (Disposition::Drop(reason), _) => matches!(
            reason,
            DropReason::SnatExhausted
                | DropReason::PortQuota
                | DropReason::FlowTableFull
                | DropReason::TupleInUse
        ),
        // With more ports free, another one is chosen.
        (Disposition::Forward(traced), Disposition::Forward(forward)) => {
            Forward { source: forward.source, ..*traced } == *forward
        }
        _ => false,
    }
}

impl fmt::Display for SoakError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Found { round, what } => write!(f, "round {round}: {what}"),
            Self::NotASoak(line) => write!(f, "no state of a soak: \"{line}\""),
        }
    }
}

impl core::error::Error for SoakError {}

/// Writes one line for each number, as [`FromStr`] reads them.
impl fmt::Display for Soak {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "seed {}", self.seed)?;
        let mut sums = self.sums;
        sums.fields().into_iter().try_for_each(|(name, value)| writeln!(f, "{name} {value}"))
    }
}

impl FromStr for Soak {
    type Err = SoakError;

    fn from_str(text: &str) -> Result<Self, SoakError> {
        let mut soak = Self::new(0);
        let mut read = 0;
        for line in text.lines() {
            let wrong = || SoakError::NotASoak(line.to_owned());
            let (name, value) = line.split_once(' ').ok_or_else(wrong)?;
            let value = value.parse().map_err(|_| wrong())?;
            read += 1;
            if name == "seed" {
                soak.seed = value;
                continue;
            }
            let mut fields = soak.sums.fields();
            let field = fields.iter_mut().find(|field| field.0 == name).ok_or_else(wrong)?;
            *field.1 = value;
        }
        let wanted = 1 + soak.sums.fields().len();
        if read == wanted { Ok(soak) } else { Err(SoakError::NotASoak(text.to_owned())) }
    }
}

impl Sums {
    /// Returns all counts with their names.
    fn fields(&mut self) -> [(&'static str, &mut u64); 14] {
        [
            ("rounds", &mut self.rounds),
            ("packets", &mut self.packets),
            ("modelled", &mut self.modelled),
            ("forwarded", &mut self.forwarded),
            ("stopped", &mut self.stopped),
            ("translated", &mut self.translated),
            ("endpoint", &mut self.endpoint),
            ("originated", &mut self.originated),
            ("opened", &mut self.opened),
            ("closed", &mut self.closed),
            ("swaps", &mut self.swaps),
            ("toggles", &mut self.toggles),
            ("ends", &mut self.ends),
            ("hash", &mut self.hash),
        ]
    }
}
