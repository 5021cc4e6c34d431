//! Plays a scenario.

use core::net::SocketAddrV4;
use core::time::Duration;
use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use vnetem::{Disposition, Edge, Event, Network, Time, Transmit, trace::Trace};
use vnetem_azure::ServiceTags;
use vnetem_packet::{FiveTuple, Headers, TcpFlags};

use super::actions::Background;
use super::edit::Edit;
use super::error::{Problem, ScenarioError};
use super::model::Model;
use super::step::{Place, Step};
use super::topology::Topology;
use super::{Options, Scenario, Scheduled, outcome};
use crate::report::{Closing, Difference, Moment, RefusedChange, Report, TagList};
use vnetem_packet_text::Packet;
use vnetem_sim::App;
use vnetem_sim::world::{StationId, World};

/// A scenario that is being played: the model, the simulated world, and what was seen.
#[derive(Debug)]
pub struct Runner<'a> {
    pub(super) scenario: Scenario,
    pub(super) topology: Topology,
    pub(super) world: World<'a>,
    /// Hosts that call, in the order of the file.
    pub(super) clients: Vec<(String, StationId)>,
    /// What hosts can call, in the order of the file.
    pub(super) targets: Vec<Target>,
    pub(super) background: BTreeMap<String, Background>,
    /// The last packet that was forwarded, and where it left.
    last: Option<(Edge, Bytes)>,
    /// Whether outcomes are compared with the file's: not with another seed.
    compares: bool,
    pub(super) report: Report,
}

/// A resource or host that can be called.
#[derive(Clone, Debug)]
pub(super) struct Target {
    pub(super) name: String,
    pub(super) remote: SocketAddrV4,
    pub(super) app: App,
    /// The host name in the call, by which the front end finds the resource.
    pub(super) host: String,
    pub(super) on_internet: bool,
}

impl<'a> Runner<'a> {
    /// Makes everything that is declared. No step has been played then.
    pub(super) fn new(scenario: &Scenario, options: Options<'a>) -> Result<Self, ScenarioError> {
        let Model { mut topology, settings, seed } =
            Model::new(scenario, Arc::clone(&options.tags))?;
        let (own_seed, seed) = (seed, options.seed.unwrap_or(seed));
        let mut world = World::new(topology.network.commit(), settings, seed);
        if let Some(tap) = options.tap {
            world.tap(tap);
        }
        let report = empty_report(scenario, seed, &options.tags, &world);
        let mut runner = Self {
            scenario: scenario.clone(),
            topology,
            world,
            clients: Vec::new(),
            targets: Vec::new(),
            background: BTreeMap::new(),
            last: None,
            compares: seed == own_seed,
            report,
        };
        runner.setup()?;
        Ok(runner)
    }

    /// Plays all steps, or those up to and including `end`.
    pub(super) fn play(&mut self, end: Option<Time>) -> Result<(), ScenarioError> {
        // Taken out, so that a step can borrow the runner mutably. Put back below.
        let scenario = core::mem::replace(&mut self.scenario, Scenario::nothing());
        let golden = scenario.is_golden() && end.is_none() && self.compares;
        let due = |step: &&Scheduled| end.is_none_or(|end| step.at <= end);
        let mut played = Ok(());
        for scheduled in scenario.steps.iter().take_while(due) {
            played = self
                .play_step(scheduled, golden)
                .map_err(|problem| problem.at(&scenario.file, scheduled.line));
            if played.is_err() {
                break;
            }
        }
        if let Some(end) = end {
            self.pass(end);
        }
        self.scenario = scenario;
        played
    }

    /// Returns the present network, for questions that no scenario asks.
    #[must_use]
    pub fn network(&self) -> &vnetem::Network {
        &self.topology.network
    }

    /// Returns the changes so far that the model refused without the file expecting it.
    #[must_use]
    pub fn refused_changes(&self) -> &[RefusedChange] {
        &self.report.refused_changes
    }

    /// Returns the present network, for a simulation of your own.
    #[must_use]
    pub fn into_network(self) -> Network {
        self.topology.network
    }

    /// Returns what was seen so far.
    #[must_use]
    pub fn report(mut self) -> Report {
        self.count();
        self.report
    }

    /// Explains what would happen to a packet from a place. Both are written as in scenarios:
    /// `web`, `10.0.0.4:50001 > 52.239.1.9:443 tcp S`.
    ///
    /// # Errors
    ///
    /// A name or a packet that cannot be read.
    pub fn trace(&self, from: &str, packet: &str) -> Result<Trace, Problem> {
        let mut words = super::words::Words::new(from);
        let place = Place::parse(&mut words)?;
        words.end()?;
        let (edge, packet) = self.packet(&place, packet)?;
        Ok(self.world.data_plane().trace(self.world.now(), edge, &packet))
    }

    /// Explains a packet in a copy of the network after edits, without any flow.
    ///
    /// # Errors
    ///
    /// An edit fails. The inner error is a name or a packet that cannot be read.
    pub fn trace_with<E>(
        &self,
        from: &str,
        packet: &str,
        edit: impl FnOnce(&mut vnetem::Network) -> Result<(), E>,
    ) -> Result<Result<Trace, Problem>, E> {
        let mut network = self.topology.network.clone();
        edit(&mut network)?;
        let plane = vnetem::DataPlane::new(network.commit(), vnetem::Settings::replayable(1));
        let mut words = super::words::Words::new(from);
        let place = Place::parse(&mut words).and_then(|place| words.end().map(|()| place));
        let packet = place.and_then(|place| self.packet(&place, packet));
        Ok(packet.map(|(edge, packet)| plane.trace(self.world.now(), edge, &packet)))
    }

    fn play_step(&mut self, scheduled: &Scheduled, golden: bool) -> Result<(), Problem> {
        self.pass(scheduled.at);
        let at = self.world.now();
        let outcome = self.act(scheduled)?;
        self.world.check().map_err(Problem::Broken)?;
        let found: Vec<String> = outcome.iter().map(|line| line.trim().to_owned()).collect();
        if golden && found != scheduled.expected {
            self.report.differences.push(Difference {
                line: scheduled.line,
                step: scheduled.text.clone(),
                expected: scheduled.expected.clone(),
                found,
            });
        }
        // A file that expects the refusal has it as an outcome. If outcomes are compared, an
        // unexpected one is among the differences.
        if let (Step::Change(_), Some(why), false) = (
            &scheduled.step,
            outcome.first().and_then(|line| line.strip_prefix(REFUSED)),
            golden || outcome.first() == scheduled.expected.first(),
        ) {
            let (line, step) = (scheduled.line, scheduled.text.clone());
            let why = why.to_owned();
            self.report.refused_changes.push(RefusedChange { line, step, why });
        }
        let (line, step) = (scheduled.line, scheduled.text.clone());
        let is_change = matches!(scheduled.step, Step::Change(_));
        self.report.timeline.push(Moment { line, at, step, is_change, outcome });
        Ok(())
    }

    fn act(&mut self, scheduled: &Scheduled) -> Result<Vec<String>, Problem> {
        match &scheduled.step {
            Step::Change(edits) => Ok(self.change(edits, &scheduled.text)),
            Step::Packet { from, packet } => {
                let (edge, packet) = self.packet(from, packet)?;
                Ok(self.send(edge, packet))
            }
            Step::Answer { packet } => self.answer(packet),
            Step::Connect { from, source, destination } => {
                self.connect(from, *source, *destination)
            }
            Step::Trace { from, packet } => {
                let (edge, packet) = self.packet(from, packet)?;
                let trace = self.world.data_plane().trace(self.world.now(), edge, &packet);
                Ok(trace.to_string().lines().map(str::to_owned).collect())
            }
            Step::Act { host, act } => self.perform(host, act),
            Step::Status(name) => self.status(name),
            Step::Wait(time) => Ok(self.pass(self.world.now() + *time)),
            Step::Probe(label) => Ok(self.probe(label)),
            Step::Show(show) => self.show(show),
        }
    }

    /// Makes edits that come into force together, and lists what they close.
    fn change(&mut self, edits: &[Edit], text: &str) -> Vec<String> {
        self.topology.now = self.world.now();
        if let Err(why) = self.topology.change(edits) {
            return vec![format!("{REFUSED}{why}")];
        }
        let mut lines = self.come_into_force(text);
        // How names resolve is no part of a snapshot.
        if let [line] = lines.as_mut_slice()
            && line == outcome::NOTHING
            && edits.iter().any(Edit::is_of_names)
        {
            "names change, packets go on as before".clone_into(line);
        }
        lines
    }

    /// Lets time pass. Lists what changes close that reach further hosts meanwhile.
    fn pass(&mut self, until: Time) -> Vec<String> {
        let mut lines = Vec::new();
        while let Some(due) = self.topology.rollout.poll_timeout().filter(|due| *due <= until) {
            self.world.run_until(due);
            if self.topology.rollout.handle_timeout(due, &mut self.topology.network) {
                lines.extend(self.come_into_force("propagation").into_iter().skip(1));
            }
        }
        self.world.run_until(until);
        lines
    }

    /// Brings edits into force, and lists what they close.
    fn come_into_force(&mut self, text: &str) -> Vec<String> {
        let before = self.world.data_plane().generation();
        let snapshot = self.topology.network.commit();
        let generation = snapshot.generation();
        let changed = self.world.apply(snapshot);
        for event in changed.closed.iter().filter(|event| !outcome::is_over(event)) {
            let notified = self.notified(event, &changed.made);
            self.report.closings.push(Closing { change: text.to_owned(), event: *event, notified });
        }
        let made = changed.made.as_slice();
        outcome::change(&self.topology, (before, generation), &changed.closed, made)
    }

    /// Returns the places that got a reset about a flow.
    fn notified(&self, event: &Event, made: &[Transmit]) -> Vec<String> {
        let far = FiveTuple { source: event.external, ..event.tuple };
        let about = [event.tuple.reversed(), far];
        let ours = |made: &&Transmit| {
            Headers::parse(&made.packet).is_ok_and(|headers| about.contains(&headers.tuple()))
        };
        made.iter().filter(ours).map(|made| self.topology.place(made.to)).collect()
    }

    fn send(&mut self, edge: Edge, packet: Bytes) -> Vec<String> {
        let passage = self.world.inject(edge, packet.clone());
        if let Disposition::Forward(forward) = passage.verdict.disposition {
            let to = forward.edge(self.world.data_plane().snapshot());
            self.last = Some((to, passage.packet.clone()));
        }
        let first = outcome::passage(
            &self.topology,
            &passage.trace,
            &passage.verdict,
            &packet,
            &passage.packet,
        );
        let made = passage.made.iter().map(|made| outcome::made(&self.topology, made));
        core::iter::once(first).chain(made).collect()
    }

    /// Sends a packet back to where the last one came from.
    fn answer(&mut self, words: &str) -> Result<Vec<String>, Problem> {
        let Some((edge, last)) = self.last.clone() else {
            let found = "an answer before any packet was sent on".to_owned();
            return Err(Problem::Expected { found, expected: "a packet to answer".into() });
        };
        let headers = Headers::parse(&last).map_err(|cause| Problem::Broken(cause.to_string()))?;
        let packet = match words.strip_prefix("icmp ") {
            Some(error) if !error.starts_with("reply") => {
                let about =
                    Packet::read(&last).map_err(|cause| Problem::Broken(cause.to_string()))?;
                format!("{} > {} icmp {error} about {about}", headers.destination, headers.source)
            }
            _ if words.starts_with("tcp") || words.starts_with("udp") => {
                let tuple = headers.tuple().reversed();
                format!("{} > {} {words}", tuple.source, tuple.destination)
            }
            _ => format!("{} > {} {words}", headers.destination, headers.source),
        };
        let sent = self.send(edge, build(&packet)?);
        // A further answer is to the same packet.
        self.last = Some((edge, last));
        Ok(sent)
    }

    /// Plays a whole handshake: SYN, SYN and ACK, ACK. The initiator's next byte is then 1001, the
    /// other end's 5001.
    fn connect(
        &mut self,
        from: &Place,
        source: SocketAddrV4,
        destination: SocketAddrV4,
    ) -> Result<Vec<String>, Problem> {
        let edge = self.edge(from, *destination.ip())?;
        let segment = |source, destination, flags: TcpFlags, sequence, acknowledgement| {
            let mut packet = Packet::tcp(source, destination, flags);
            if let vnetem_packet_text::Content::Tcp(segment) = &mut packet.content {
                segment.sequence = sequence;
                segment.acknowledgement = acknowledgement;
            }
            packet.build()
        };
        let both = TcpFlags(TcpFlags::SYN.0 | TcpFlags::ACK.0);
        let opening = self.send(edge, segment(source, destination, TcpFlags::SYN, 1000, 0));
        let Some((far, seen)) = self.last.clone() else { return Ok(opening) };
        let tuple =
            Headers::parse(&seen).map_err(|cause| Problem::Broken(cause.to_string()))?.tuple();
        if opening.first().is_none_or(|line| line.starts_with("drop") || line.starts_with("deny")) {
            return Ok(opening);
        }
        let answer = self.send(far, segment(tuple.destination, tuple.source, both, 5000, 1001));
        let last = self.send(edge, segment(source, destination, TcpFlags::ACK, 1001, 5001));
        let failed = [answer, last].into_iter().find(|lines| {
            lines.first().is_none_or(|line| line.starts_with("drop") || line.starts_with("deny"))
        });
        if let Some(failed) = failed {
            return Ok(opening.into_iter().chain(failed).collect());
        }
        Ok(opening
            .iter()
            .map(|line| line.replacen(" tcp S seq 1000", " tcp established", 1))
            .collect())
    }

    pub(super) fn edge(
        &self,
        place: &Place,
        destination: core::net::Ipv4Addr,
    ) -> Result<Edge, Problem> {
        self.topology.edge(place, destination).map_err(Problem::Refused)
    }

    fn packet(&self, from: &Place, words: &str) -> Result<(Edge, Bytes), Problem> {
        let packet = parse(words)?;
        Ok((self.edge(from, packet.destination)?, packet.build()))
    }

    fn count(&mut self) {
        let plane = self.world.data_plane();
        self.report.counters = plane.counters().clone();
        self.report.queued = plane.queued().0 as u64;
        self.report.undelivered = self.world.undelivered();
        self.report.flows = plane.flow_counters();
        self.report.generation = plane.generation();
        self.report.end = self.world.now();
    }
}

impl Scenario {
    pub(super) fn nothing() -> Self {
        Self { file: String::new(), lines: Vec::new(), declarations: Vec::new(), steps: Vec::new() }
    }
}

pub(super) fn parse(words: &str) -> Result<Packet, Problem> {
    words.parse().map_err(|error: vnetem_packet_text::PacketError| Problem::Expected {
        found: error
            .found
            .map_or_else(|| "the end of the line".into(), |word| format!("\"{word}\"")),
        expected: error.expected.to_owned(),
    })
}

fn build(words: &str) -> Result<Bytes, Problem> {
    parse(words).map(|packet| packet.build())
}

fn empty_report(scenario: &Scenario, seed: u64, tags: &ServiceTags, world: &World<'_>) -> Report {
    let services: Vec<_> = tags.tags().filter(|tag| tag.is_endpoint()).collect();
    Report {
        title: scenario.title().to_owned(),
        seed,
        tags: TagList {
            date: tags.date(),
            services: services.len(),
            prefixes: services.iter().map(|tag| tag.prefixes().len()).sum(),
        },
        timeline: Vec::new(),
        probes: Vec::new(),
        routes: Vec::new(),
        refusals: Vec::new(),
        closings: Vec::new(),
        counters: world.data_plane().counters().clone(),
        queued: 0,
        undelivered: 0,
        flows: world.data_plane().flow_counters(),
        generation: world.data_plane().generation(),
        end: Time(0),
        differences: Vec::new(),
        refused_changes: Vec::new(),
    }
}

/// The beginning of the outcome of a refused change.
const REFUSED: &str = "refused ";

/// The time after which a call counts as unanswered.
pub(super) const PATIENCE: Duration = Duration::from_secs(5);
