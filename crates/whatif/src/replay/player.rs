//! Plays the packets of one unit.

use core::net::{Ipv4Addr, SocketAddrV4};
use std::collections::HashMap;
use std::sync::Arc;

use foldhash::fast::RandomState;
use vnetem::packet::{FiveTuple, Headers, Rewrite, rewrite};
use vnetem::{
    AccessVerdict, DataPlane, Disposition, Edge, EdgeId, EventKind, Generation, Settings, Snapshot,
    SourceMode, Time, Verdict,
};
use vnetem_io::{Direction, Record};

use super::ReplayCount;
use super::hosts::{Hosts, KnownEdges};

/// Packets between two looks at timers.
const OFTEN: u64 = 1 << 10;

/// What is said of a packet whose headers are wrong.
const UNREADABLE: &str = "vnetem unreadable";

/// Names of edges that are remembered at most.
const MOST_NAMES: usize = 1 << 16;

/// Plays packets through a data plane, in the order of their times.
///
/// A capture shows each host's packets as the host sends and gets them. So the player sends an
/// answer to the public address that its question had here.
#[derive(Debug)]
pub struct Player {
    plane: DataPlane,
    hosts: Arc<Hosts>,
    known: KnownEdges,
    /// Where answers enter and what they are addressed to, by what the capture says they are.
    answers: HashMap<FiveTuple, (EdgeId, SocketAddrV4), RandomState>,
    most_answers: usize,
    names: HashMap<Edge, String, RandomState>,
    counts: ReplayCount,
}

/// A packet as it came out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Played<'a> {
    /// When it was played.
    pub time: Time,
    /// The number that the caller gave it; 0 for a reset of the data plane's own.
    pub id: u64,
    /// Where it went, such as `internet` or `alpha/web`, or `drop`.
    pub place: &'a str,
    /// One line about it; none of a packet that nobody refuses.
    pub comment: &'a str,
    /// Its bytes as they left.
    pub bytes: &'a [u8],
    /// What the other side sees as its source, if it was forwarded from inside.
    pub source: Option<(FiveTuple, SocketAddrV4)>,
}

impl<'a> Played<'a> {
    /// Returns the packet as a record of a capture, with the time that is given.
    #[must_use]
    pub fn record(&self, time: u64) -> Record<'a> {
        let direction = match self.comment {
            UNREADABLE => Direction::Inbound,
            _ => Direction::Outbound,
        };
        let Self { id: packet_id, comment, bytes, .. } = *self;
        Record { time, packet_id, direction, comment, bytes }
    }
}

/// Something that a replay does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Happening<'a> {
    /// A packet came out, or was dropped.
    Packet(Played<'a>),
    /// The change closed a flow, for this cause.
    Closed(Time, FiveTuple, &'static str),
}

impl Player {
    /// Makes a data plane without flows.
    #[must_use]
    pub fn new(hosts: Arc<Hosts>, snapshot: Arc<Snapshot>, settings: Settings) -> Self {
        let most_answers = settings.flows.capacity as usize * 2;
        Self {
            plane: DataPlane::new(snapshot, settings),
            hosts,
            known: KnownEdges::default(),
            answers: HashMap::default(),
            most_answers,
            names: HashMap::default(),
            counts: ReplayCount::default(),
        }
    }

    /// Returns what became of the packets so far.
    #[must_use]
    pub fn counts(&self) -> &ReplayCount {
        &self.counts
    }

    /// Returns the generation of the snapshot in force.
    #[must_use]
    pub fn generation(&self) -> Generation {
        self.plane.snapshot().generation()
    }

    /// Applies a change, and sends the resets of what it closes.
    ///
    /// # Errors
    ///
    /// `see` failed.
    pub fn apply<E>(
        &mut self,
        at: Time,
        snapshot: Arc<Snapshot>,
        mut see: impl FnMut(Happening<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        while self.plane.poll_event().is_some() {}
        self.plane.apply(at, snapshot);
        self.names.clear();
        loop {
            let sent = self.plane.poll_transmit(at);
            while let Some(event) = self.plane.poll_event() {
                if let EventKind::Closed(cause) = event.kind {
                    self.counts.close(cause.name());
                    see(Happening::Closed(at, event.tuple, cause.name()))?;
                }
            }
            let Some(sent) = sent else { return Ok(()) };
            self.counts.resets += 1;
            let (place, bytes) = (name(&mut self.names, &self.plane, sent.to), &sent.packet[..]);
            let comment = "vnetem reset";
            see(Happening::Packet(Played {
                time: at,
                id: 0,
                place,
                comment,
                bytes,
                source: None,
            }))?;
        }
    }

    /// Plays one packet, whose bytes become what leaves.
    ///
    /// # Errors
    ///
    /// `see` failed.
    pub fn play<E>(
        &mut self,
        now: Time,
        id: u64,
        bytes: &mut [u8],
        see: impl FnOnce(Happening<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        self.counts.packets += 1;
        if self.counts.packets.is_multiple_of(OFTEN) {
            self.pass_time(now);
        }
        let played = |place, comment, bytes, source| {
            Happening::Packet(Played { time: now, id, place, comment, bytes, source })
        };
        let Ok(headers) = Headers::parse(bytes) else {
            self.counts.drop("unreadable");
            return see(played("drop", UNREADABLE, bytes, None));
        };
        let tuple = headers.tuple();
        let asks = self.known.edge(&self.hosts, headers.source);
        let edge = asks.map(EdgeId::from).unwrap_or_else(|| self.enter(&headers, tuple, bytes));
        let verdict = self.plane.process(now, edge, bytes);
        self.counts.count(verdict);
        let source = match verdict.disposition {
            Disposition::Forward(forward) if asks.is_some() => {
                let external = match forward.source() {
                    SourceMode::Translated(external) => external,
                    SourceMode::Preserved => tuple.source,
                };
                self.answers.insert(tuple.reversed(), (forward.to(), external));
                Some((tuple, external))
            }
            _ => None,
        };
        let comment = comment(verdict);
        let place = match verdict.disposition {
            Disposition::Forward(forward) => {
                name(&mut self.names, &self.plane, forward.edge(self.plane.snapshot()))
            }
            _ => "drop",
        };
        see(played(place, &comment, bytes, source))
    }

    /// Says by which edge a packet from outside enters, and sends it to the public address that the
    /// host has here.
    fn enter(&self, headers: &Headers, tuple: FiveTuple, bytes: &mut [u8]) -> EdgeId {
        let send_to = |to: SocketAddrV4, bytes: &mut [u8]| {
            let to = Rewrite { destination: Some(to), ..Rewrite::default() };
            rewrite(bytes, headers, to, headers.ttl);
        };
        if let Some((edge, external)) = self.answers.get(&tuple) {
            if *external != tuple.destination {
                send_to(*external, bytes);
            }
            return *edge;
        }
        let public: Option<Ipv4Addr> = self.hosts.public(headers.destination);
        if let Some(public) = public {
            send_to(SocketAddrV4::new(public, headers.destination_port), bytes);
        }
        Edge::Internet.into()
    }

    fn pass_time(&mut self, now: Time) {
        while self.plane.poll_timeout().is_some_and(|due| due <= now) {
            self.plane.handle_timeout(now);
            while self.plane.poll_transmit(now).is_some() {}
        }
        while self.plane.poll_event().is_some() {}
        // Flows that ended leave their answers behind.
        if self.answers.len() > self.most_answers {
            self.answers.clear();
        }
    }
}

fn comment(verdict: Verdict) -> String {
    match verdict.disposition {
        Disposition::Forward(forward) => match forward.access() {
            AccessVerdict::Refused(refusal) => {
                format!("vnetem verdict=forward refused={}", refusal.name())
            }
            AccessVerdict::Unjudged | AccessVerdict::Allowed => String::new(),
        },
        Disposition::Deny(reason) => format!("vnetem verdict=deny reason={}", reason.name()),
        Disposition::Drop(reason) => format!("vnetem verdict=drop reason={}", reason.name()),
    }
}

/// Returns the name of an edge.
fn name<'a>(
    names: &'a mut HashMap<Edge, String, RandomState>,
    plane: &DataPlane,
    edge: Edge,
) -> &'a str {
    if names.len() >= MOST_NAMES && !names.contains_key(&edge) {
        names.clear();
    }
    names.entry(edge).or_insert_with(|| plane.snapshot().describe(edge))
}
