//! Scenes of TCP connections, segment by segment, with the states of Linux's tracking and of
//! vnetem's.

use core::fmt::Write;

use vnetem_nat::{Side, State, Timers};

use crate::draft::Segment;
use crate::{Draft, Failure, place};

/// One connection, from its first segment on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scene {
    /// Its name, which says what it is about.
    pub name: String,
    /// Its segments.
    pub steps: Vec<SceneStep>,
}

/// A segment, and its result.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SceneStep {
    /// The side that sends it.
    pub from: Side,
    flags: String,
    sequence: u32,
    acknowledgement: u32,
    length: usize,
    /// The result in Linux.
    pub linux: Connection,
    /// The result in vnetem.
    pub ours: Connection,
}

/// The result of a segment, and the state of its connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Connection {
    /// Whether the segment was forwarded.
    pub passes: bool,
    /// The state, by Linux's name, and its timer in seconds; none if there is no connection.
    pub state: Option<(String, u64)>,
}

/// Reads the scenes of a file. A name is at the beginning of a line, and below it are the segments,
/// indented:
///
/// ```text
///   > S seq 1000 ack 0 len 0 | passes SYN_SENT 120
///   < A seq 5001 ack 1001 len 1 | passes ESTABLISHED 300 | ours passes ESTABLISHED 432000
/// ```
///
/// `>` is from the internal side. `ours` is there only where vnetem differs. Lines with `#` are
/// comments.
///
/// # Errors
///
/// The line that is none of these.
pub fn scenes(text: &str) -> Result<Vec<Scene>, Failure> {
    let mut scenes: Vec<Scene> = Vec::new();
    for line in text.lines().filter(|line| !line.starts_with('#') && !line.is_empty()) {
        if !line.starts_with(' ') {
            scenes.push(Scene { name: line.to_owned(), steps: Vec::new() });
            continue;
        }
        let scene = scenes.last_mut().ok_or("a segment before any scene")?;
        scene.steps.push(SceneStep::read(line).ok_or_else(|| format!("no segment: {line}"))?);
    }
    Ok(scenes)
}

/// Writes scenes as [`scenes`] reads them, after the comment `before`.
#[must_use]
pub fn write_scenes(before: &str, scenes: &[Scene]) -> String {
    let comment = before.lines().take_while(|line| line.starts_with('#'));
    let mut text: String = comment.flat_map(|line| [line, "\n"]).collect();
    for scene in scenes {
        let _ = writeln!(text, "\n{}", scene.name);
        scene.steps.iter().for_each(|step| text.push_str(&step.line()));
    }
    text
}

impl Scene {
    /// Returns the source port of the n-th scene, so that each is a connection of its own.
    #[must_use]
    pub fn port(number: usize) -> u16 {
        30_001_u16.saturating_add(u16::try_from(number).unwrap_or(u16::MAX))
    }
}

impl SceneStep {
    /// Makes the packet, between the internal `port` and a server.
    #[must_use]
    pub fn packet(&self, port: u16) -> Vec<u8> {
        let (server, remote) = (443, place::remote(0));
        let (ends, ports) = match self.from {
            Side::Internal => ((place::host(0), remote), (port, server)),
            Side::External => ((remote, place::EXTERNAL), (server, port)),
        };
        let flags = self.flags.chars().filter_map(|letter| FLAGS.find(letter));
        let segment = Segment {
            ports,
            sequence: self.sequence,
            acknowledgement: self.acknowledgement,
            flags: flags.fold(0, |flags, bit| flags | 1 << bit),
            options: Vec::new(),
            data: vec![b'x'; self.length],
        };
        Draft::tcp(ends, &segment).build()
    }

    fn read(line: &str) -> Option<Self> {
        let mut parts = line.split('|').map(str::trim);
        let words: Vec<&str> = parts.next()?.split(' ').collect();
        let [direction, flags, "seq", sequence, "ack", acknowledgement, "len", length] = words[..]
        else {
            return None;
        };
        let linux = parts.next().map_or(Some(Connection::NONE), Connection::read)?;
        let ours = parts.next().and_then(|part| part.strip_prefix("ours "));
        Some(Self {
            from: if direction == ">" { Side::Internal } else { Side::External },
            flags: flags.to_owned(),
            sequence: sequence.parse().ok()?,
            acknowledgement: acknowledgement.parse().ok()?,
            length: length.parse().ok()?,
            ours: ours.map_or_else(|| Some(linux.clone()), Connection::read)?,
            linux,
        })
    }

    fn line(&self) -> String {
        let Self { flags, sequence, acknowledgement, length, linux, ours, .. } = self;
        let arrow = if self.from == Side::Internal { '>' } else { '<' };
        let segment = format!("{arrow} {flags} seq {sequence} ack {acknowledgement} len {length}");
        let mut line = format!("  {segment:<42} | {}", linux.words());
        if linux != ours {
            let _ = write!(line, " | ours {}", ours.words());
        }
        line + "\n"
    }
}

impl Connection {
    /// Not forwarded, and no connection.
    pub const NONE: Self = Self { passes: false, state: None };

    /// Returns the state and timer in vnetem, by Linux's names.
    #[must_use]
    pub fn of_ours(state: State) -> (String, u64) {
        let timers = Timers::LINUX;
        let (name, timer) = match state {
            State::SynSent => ("SYN_SENT", timers.syn_sent),
            State::SynSent2 => ("SYN_SENT2", timers.syn_sent),
            State::SynReceived => ("SYN_RECV", timers.syn_received),
            State::Established => ("ESTABLISHED", timers.established),
            State::FinWait => ("FIN_WAIT", timers.fin_wait),
            State::CloseWait => ("CLOSE_WAIT", timers.close_wait),
            State::LastAck => ("LAST_ACK", timers.last_ack),
            State::TimeWait => ("TIME_WAIT", timers.time_wait),
            State::Close => ("CLOSE", timers.close),
            _ => ("NONE", timers.other),
        };
        (name.to_owned(), timer.as_secs())
    }

    /// Reads the state and timer in a line of the tool `conntrack`, which shows the remaining
    /// seconds.
    #[must_use]
    pub fn of_linux(line: &str) -> Option<(String, u64)> {
        let mut words = line.split_whitespace().skip(2);
        let left: u64 = words.next()?.parse().ok()?;
        let state = words.next()?;
        // It was set less than two seconds ago.
        let timer = LINUX_TIMERS.into_iter().find(|timer| (left..=left + 2).contains(timer))?;
        Some((state.to_owned(), timer))
    }

    fn read(words: &str) -> Option<Self> {
        let mut words = words.split(' ');
        let passes = words.next()? == "passes";
        let state = match (words.next()?, words.next()) {
            ("none", None) => None,
            (name, Some(timer)) => Some((name.to_owned(), timer.parse().ok()?)),
            (_, None) => return None,
        };
        Some(Self { passes, state })
    }

    fn words(&self) -> String {
        let passes = if self.passes { "passes" } else { "dropped" };
        match &self.state {
            None => format!("{passes} none"),
            Some((name, timer)) => format!("{passes} {name} {timer}"),
        }
    }
}

/// The letters of the flags, from the lowest bit on.
const FLAGS: &str = "FSRPAU";

/// Linux's default timers for TCP, and the one for unacknowledged data.
const LINUX_TIMERS: [u64; 6] = [10, 30, 60, 120, 300, 432_000];
