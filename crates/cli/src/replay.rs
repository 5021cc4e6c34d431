//! `vnetem replay`: a capture through the model, with a change under way.

use core::fmt::Write as _;
use core::net::{Ipv4Addr, SocketAddrV4};
use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::io::BufWriter;
use std::path::Path;
use std::sync::Arc;

use foldhash::fast::RandomState;
use serde_json::json;
use vnetem::packet::{FiveTuple, Headers, Rewrite, rewrite};
use vnetem::{
    AccessVerdict, DataPlane, Disposition, Edge, EdgeId, EventKind, Network, NicId, Settings,
    Snapshot, SourceMode, SubnetId, Time, Verdict,
};
use vnetem_io::{CaptureReader, CaptureWriter, CapturedPacket, Direction, Record};
use vnetem_scenario::Options;
use vnetem_whatif::{Timeline, disable, enable};

use crate::arguments::{Common, Output};
use crate::progress::Bar;
use crate::questions::Replay;
use crate::{Answer, Failure, estate_verbs, load};

/// Flows that are live at once at most.
const FLOWS: u32 = 1 << 20;

/// Packets between two looks at timers.
const OFTEN: u64 = 1 << 10;

pub(crate) fn replay(common: &Common, asked: &Replay) -> Result<Answer, Failure> {
    let (mut network, mut notes) = network(common, asked)?;
    let named = |error: &dyn core::fmt::Display| format!("{}: {error}", asked.capture.display());
    let switches = !asked.enable.is_empty() || !asked.disable.is_empty();
    if asked.at.is_some() && !switches {
        return Err("--at says when, --enable or --disable what: give one".into());
    }
    let mut player = Player::new(&mut network, asked.html.is_some());
    if let Some(path) = &asked.write {
        load::not_read_too("-w", path, &[Some(&asked.capture)])?;
        player.writer = Some(writer(path)?);
    }
    let bar = Bar::new();
    let size = std::fs::metadata(&asked.capture).map(|data| data.len()).unwrap_or_default();
    bar.begin_bytes("replaying", size);
    let file = File::open(&asked.capture).map_err(|error| named(&error))?;
    let mut reader = CaptureReader::new(bar.through(file)).map_err(|error| named(&error))?;
    let mut first = None;
    let mut due = switches.then(|| asked.at.unwrap_or(Time(0)));
    let mut packet = CapturedPacket::default();
    while let Some(read) = reader.read(&mut packet) {
        read.map_err(|error| named(&error))?;
        let start = *first.get_or_insert(packet.time);
        let now = Time(packet.time.saturating_sub(start));
        if due.is_some_and(|due| due <= now) {
            let at = due.take().unwrap_or(now);
            for one in &asked.enable {
                enable(&mut network, &one.service, &one.subnet)?;
            }
            for one in &asked.disable {
                disable(&mut network, &one.service, &one.subnet)?;
            }
            player.apply(at, &mut network, start)?;
        }
        player.play(now, packet.time, &mut packet.bytes)?;
    }
    bar.end();
    if due.is_some() {
        notes.push("the capture ends before the change".to_owned());
    }
    player.tally.not_ipv4 = reader.skipped().total();
    if let Some(path) = &asked.html {
        let name = asked.capture.display().to_string();
        let page = player.timeline.html(&format!("replay of {name}"));
        std::fs::write(path, page).map_err(|error| format!("{}: {error}", path.display()))?;
        notes.push(format!("the timeline as a page: {}", path.display()));
    }
    if let (Some(writer), Some(path)) = (player.writer.take(), &asked.write) {
        writer.finish().map_err(|error| format!("{}: {error}", path.display()))?;
        notes.push(format!(
            "every packet is in {}; what was dropped: frame.interface_name == \"drop\"",
            path.display()
        ));
    }
    let text = match common.output {
        Output::Text => player.tally.text(),
        Output::Json => player.tally.json(),
    };
    Ok(Answer { text, notes, good: player.tally.is_good() })
}

/// The network of a scenario or of files; what of the files is left out.
fn network(common: &Common, asked: &Replay) -> Result<(Network, Vec<String>), Failure> {
    match asked.sources.scenario()? {
        None if asked.sources.model.is_empty() => Err("through which network? Give -m FILE".into()),
        None => {
            let loaded = estate_verbs::load(&asked.sources, &[], &[])?;
            Ok((loaded.network().clone(), loaded.notes))
        }
        Some(path) => {
            let scenario = load::scenario(Some(path))?;
            let tags = load::tags(&asked.sources.list)?;
            let options = Options { seed: common.seed, tags, tap: None };
            Ok((scenario.play_until(None, options)?.network().clone(), Vec::new()))
        }
    }
}

type Writer = CaptureWriter<BufWriter<File>>;

fn writer(path: &Path) -> Result<Writer, Failure> {
    let named = |error: &dyn core::fmt::Display| format!("{}: {error}", path.display());
    let file = File::create(path).map_err(|error| named(&error))?;
    Ok(CaptureWriter::new(BufWriter::new(file)).map_err(|error| named(&error))?)
}

/// Sends the packets of a capture through a data plane.
struct Player {
    plane: DataPlane,
    places: Places,
    /// Where answers enter and what they are addressed to, by what the capture says they are.
    answers: HashMap<FiveTuple, (EdgeId, SocketAddrV4), RandomState>,
    writer: Option<Writer>,
    tally: TrafficCount,
    timeline: Timeline,
    draws: bool,
}

impl Player {
    fn new(network: &mut Network, draws: bool) -> Self {
        let mut settings = Settings::replayable(1);
        settings.flows.capacity = FLOWS;
        let snapshot = network.commit();
        Self {
            plane: DataPlane::new(snapshot, settings),
            places: Places::new(network),
            answers: HashMap::default(),
            writer: None,
            tally: TrafficCount::default(),
            timeline: Timeline::default(),
            draws,
        }
    }

    /// Applies the change, and sends what it closes.
    fn apply(&mut self, at: Time, network: &mut Network, start: u64) -> Result<(), Failure> {
        while self.plane.poll_event().is_some() {}
        let snapshot: Arc<Snapshot> = network.commit();
        self.plane.apply(at, snapshot);
        self.timeline.change(at.0, "change");
        loop {
            let sent = self.plane.poll_transmit(at);
            while let Some(event) = self.plane.poll_event() {
                if let EventKind::Closed(cause) = event.kind {
                    self.tally.closed.add(cause.name());
                    self.timeline.cut(&event.tuple, at.0);
                }
            }
            let Some(sent) = sent else { break };
            self.tally.resets += 1;
            let place = self.plane.snapshot().describe(sent.to);
            self.write(&place, at.0 + start, Direction::Outbound, "vnetem reset", &sent.packet)?;
        }
        Ok(())
    }

    /// Plays one packet; `stamp` is the time of the capture.
    fn play(&mut self, now: Time, stamp: u64, bytes: &mut [u8]) -> Result<(), Failure> {
        self.tally.packets += 1;
        if self.tally.packets.is_multiple_of(OFTEN) {
            while self.plane.poll_timeout().is_some_and(|due| due <= now) {
                self.plane.handle_timeout(now);
                while self.plane.poll_transmit(now).is_some() {}
            }
            while self.plane.poll_event().is_some() {}
            // Flows that ended leave their answers behind.
            if self.answers.len() > 2 * FLOWS as usize {
                self.answers.clear();
            }
        }
        let Ok(headers) = Headers::parse(bytes) else {
            self.tally.drop("unreadable");
            return self.write("drop", stamp, Direction::Inbound, "vnetem unreadable", bytes);
        };
        let tuple = headers.tuple();
        let (edge, asked) = match self.places.edge(headers.source) {
            Some(edge) => (edge.into(), true),
            None => match self.answers.get(&tuple) {
                Some((edge, external)) => {
                    if *external != tuple.destination {
                        let to = Rewrite { destination: Some(*external), ..Rewrite::default() };
                        rewrite(bytes, &headers, to, headers.ttl);
                    }
                    (*edge, false)
                }
                None => {
                    let public = self.places.public.get(&headers.destination);
                    if let Some(public) = public {
                        let to = SocketAddrV4::new(*public, headers.destination_port);
                        let to = Rewrite { destination: Some(to), ..Rewrite::default() };
                        rewrite(bytes, &headers, to, headers.ttl);
                    }
                    (EdgeId::INTERNET, false)
                }
            },
        };
        let verdict = self.plane.process(now, edge, bytes);
        if let (true, Disposition::Forward(forward)) = (asked, verdict.disposition) {
            let external = match forward.source() {
                SourceMode::Translated(external) => external,
                SourceMode::Preserved => tuple.source,
            };
            self.answers.insert(tuple.reversed(), (forward.to(), external));
            if self.draws {
                let translated = external != tuple.source;
                self.timeline.seen(&tuple, now.0, &external.ip().to_string(), translated);
            }
        }
        self.tally.add(verdict);
        if self.writer.is_some() {
            let (place, comment) = self.words(verdict);
            self.write(&place, stamp, Direction::Outbound, &comment, bytes)?;
        }
        Ok(())
    }

    fn words(&self, verdict: Verdict) -> (String, String) {
        match verdict.disposition {
            Disposition::Forward(forward) => {
                let comment = match forward.access() {
                    AccessVerdict::Refused(refusal) => {
                        format!("vnetem verdict=forward refused={}", refusal.name())
                    }
                    _ => String::new(),
                };
                let snapshot = self.plane.snapshot();
                (snapshot.describe(forward.edge(snapshot)), comment)
            }
            Disposition::Deny(reason) => {
                ("drop".to_owned(), format!("vnetem verdict=deny reason={}", reason.name()))
            }
            Disposition::Drop(reason) => {
                ("drop".to_owned(), format!("vnetem verdict=drop reason={}", reason.name()))
            }
        }
    }

    fn write(
        &mut self,
        place: &str,
        time: u64,
        direction: Direction,
        comment: &str,
        bytes: &[u8],
    ) -> Result<(), Failure> {
        let packet_id = self.tally.packets;
        if let Some(writer) = &mut self.writer {
            writer.write(place, &Record { time, packet_id, direction, comment, bytes })?;
        }
        Ok(())
    }
}

/// Which hosts of the model have which addresses.
struct Places {
    subnets: Vec<(vnetem::Ipv4Net, SubnetId)>,
    nics: HashMap<(SubnetId, Ipv4Addr), NicId>,
    public: HashMap<Ipv4Addr, Ipv4Addr>,
    known: HashMap<Ipv4Addr, Option<Edge>, RandomState>,
}

impl Places {
    fn new(network: &Network) -> Self {
        let subnets = network.subnets().map(|(id, subnet)| (subnet.prefix, id));
        let nics = network.nics().map(|(id, nic)| ((nic.subnet, nic.address), id));
        let public = network.nics().filter_map(|(_, nic)| Some((nic.address, nic.public?)));
        Self {
            subnets: subnets.collect(),
            nics: nics.collect(),
            public: public.collect(),
            known: HashMap::default(),
        }
    }

    /// The edge of a host of the model; of networks with one range, the first.
    fn edge(&mut self, address: Ipv4Addr) -> Option<Edge> {
        if let Some(known) = self.known.get(&address) {
            return *known;
        }
        if self.known.len() > FLOWS as usize {
            self.known.clear();
        }
        let holder = self.subnets.iter().find(|(range, _)| range.contains(&address));
        let edge = holder.map(|(_, id)| {
            self.nics.get(&(*id, address)).map_or(Edge::Subnet(*id), |nic| Edge::Nic(*nic))
        });
        self.known.insert(address, edge);
        edge
    }
}

/// What became of the packets.
#[derive(Debug, Default)]
struct TrafficCount {
    packets: u64,
    forwarded: u64,
    denied: Counts,
    dropped: Counts,
    refused: Counts,
    closed: Counts,
    resets: u64,
    not_ipv4: u64,
}

/// Counts by reason. There are few, so that a list is searched faster than a map.
#[derive(Debug, Default)]
struct Counts(Vec<(&'static str, u64)>);

impl Counts {
    fn add(&mut self, reason: &'static str) {
        // A reason has one place in memory, mostly.
        let found = self.0.iter_mut().find(|(held, _)| {
            (held.as_ptr(), held.len()) == (reason.as_ptr(), reason.len()) || *held == reason
        });
        match found {
            Some((_, count)) => *count += 1,
            None => self.0.push((reason, 1)),
        }
    }

    fn sorted(&self) -> BTreeMap<&'static str, u64> {
        self.0.iter().copied().collect()
    }
}

impl TrafficCount {
    fn add(&mut self, verdict: Verdict) {
        match verdict.disposition {
            Disposition::Forward(forward) => {
                self.forwarded += 1;
                if let AccessVerdict::Refused(refusal) = forward.access() {
                    self.refused.add(refusal.name());
                }
            }
            Disposition::Deny(reason) => self.denied.add(reason.name()),
            Disposition::Drop(reason) => self.drop(reason.name()),
        }
    }

    fn drop(&mut self, reason: &'static str) {
        self.dropped.add(reason);
    }

    fn is_good(&self) -> bool {
        [&self.denied, &self.dropped, &self.refused, &self.closed]
            .iter()
            .all(|counts| counts.0.is_empty())
    }

    fn text(&self) -> String {
        let sum = |counts: &Counts| counts.0.iter().map(|(_, count)| count).sum::<u64>();
        let mut out = format!(
            "{} packets   {} forward   {} deny   {} drop   closed {} flows   {} resets\n",
            self.packets,
            self.forwarded,
            sum(&self.denied),
            sum(&self.dropped),
            sum(&self.closed),
            self.resets
        );
        let lists = [
            ("delivered, to be refused:", &self.refused),
            ("deny", &self.denied),
            ("drop", &self.dropped),
            ("closed", &self.closed),
        ];
        for (label, counts) in lists {
            for (reason, count) in counts.sorted() {
                let _ = writeln!(out, "  {label} {reason} {count}");
            }
        }
        if self.not_ipv4 > 0 {
            let _ = writeln!(out, "  passed over {} frames without an IPv4 packet", self.not_ipv4);
        }
        out
    }

    fn json(&self) -> String {
        let value = json!({
            "schema": "vnetem/1",
            "verb": "replay",
            "packets": self.packets,
            "forwarded": self.forwarded,
            "refused": self.refused.sorted(),
            "denied": self.denied.sorted(),
            "dropped": self.dropped.sorted(),
            "closed": self.closed.sorted(),
            "resets": self.resets,
            "skipped": { "no-ipv4": self.not_ipv4 },
        });
        format!("{value:#}\n")
    }
}
