//! One line of a flow log.

use core::fmt;
use core::net::Ipv4Addr;

use serde::de::{Deserialize, Deserializer, Visitor};

/// One line of a flow log: what a flow did in the last minute.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct FlowTuple {
    /// When, in milliseconds since 1970.
    pub millis: u64,
    /// Who opened the flow.
    pub source: Ipv4Addr,
    /// Its receiver.
    pub destination: Ipv4Addr,
    /// The port of the initiator.
    pub source_port: u16,
    /// The port of the other end.
    pub destination_port: u16,
    /// The IPv4 protocol number.
    pub protocol: u8,
    /// Whether it came from outside the interface.
    pub inbound: bool,
    /// What became of it.
    pub state: FlowState,
    /// Whether it is encrypted between the hosts, where the log says it.
    pub encrypted: Option<bool>,
    /// Packets of the initiator since the last line.
    pub packets_sent: u64,
    /// Bytes of the initiator since the last line.
    pub bytes_sent: u64,
    /// Packets of the other end since the last line.
    pub packets_received: u64,
    /// Bytes of the other end since the last line.
    pub bytes_received: u64,
}

/// What became of a flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum FlowState {
    /// It began, `B`.
    Begin,
    /// It goes on, `C`.
    Continue,
    /// It ended, `E`.
    End,
    /// It was refused, `D`.
    Denied,
    /// It was let in; version 1 says no more.
    Allowed,
}

/// What a line of text turned out to be.
#[derive(Clone, Debug)]
pub(super) enum Line {
    Tuple(FlowTuple),
    /// A flow between IPv6 addresses.
    Ipv6,
    Wrong(String),
}

impl<'de> Deserialize<'de> for Line {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(LineReader)
    }
}

struct LineReader;

impl Visitor<'_> for LineReader {
    type Value = Line;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a flow tuple")
    }

    fn visit_str<E>(self, text: &str) -> Result<Line, E> {
        Ok(parse(text))
    }
}

/// Reads a line of any version.
pub(super) fn parse(text: &str) -> Line {
    match tuple(text.as_bytes()) {
        Some(tuple) => Line::Tuple(tuple),
        None if text.split(',').skip(1).take(2).any(|word| word.contains(':')) => Line::Ipv6,
        None => Line::Wrong(text.chars().take(120).collect()),
    }
}

fn tuple(text: &[u8]) -> Option<FlowTuple> {
    let mut rest = text;
    let mut next = || {
        let end = memchr::memchr(b',', rest).unwrap_or(rest.len());
        let (word, after) = rest.split_at_checked(end)?;
        rest = after.get(1..).unwrap_or_default();
        Some(word)
    };
    let time = number(next()?)?;
    let source = address(next()?)?;
    let destination = address(next()?)?;
    let source_port = u16::try_from(number(next()?)?).ok()?;
    let destination_port = u16::try_from(number(next()?)?).ok()?;
    let (protocol, of_group) = match next()? {
        b"T" => (6, true),
        b"U" => (17, true),
        word => (u8::try_from(number(word)?).ok()?, false),
    };
    let inbound = match next()? {
        b"I" => true,
        b"O" => false,
        _ => return None,
    };
    let decision = next()?;
    let mark = next()?;
    let state = |word: &[u8]| match word {
        b"B" => Some(FlowState::Begin),
        b"C" => Some(FlowState::Continue),
        b"E" => Some(FlowState::End),
        b"D" => Some(FlowState::Denied),
        _ => None,
    };
    let state = match (of_group, decision) {
        (true, b"D") => FlowState::Denied,
        (true, b"A") if mark.is_empty() => FlowState::Allowed,
        (true, b"A") => state(mark)?,
        (true, _) => return None,
        (false, word) => state(word)?,
    };
    let encrypted = match mark {
        _ if of_group => None,
        b"X" => Some(true),
        _ if mark.starts_with(b"NX") => Some(false),
        _ => None,
    };
    // Counters are empty where a flow begins.
    let mut count = || match next() {
        None | Some(b"") => Some(0),
        Some(word) => number(word),
    };
    let (packets_sent, bytes_sent) = (count()?, count()?);
    let (packets_received, bytes_received) = (count()?, count()?);
    Some(FlowTuple {
        // Security groups log seconds, and so do some samples of version 4.
        millis: if time < 100_000_000_000 { time.checked_mul(1_000)? } else { time },
        source,
        destination,
        source_port,
        destination_port,
        protocol,
        inbound,
        state,
        encrypted,
        packets_sent,
        bytes_sent,
        packets_received,
        bytes_received,
    })
}

fn number(word: &[u8]) -> Option<u64> {
    if word.is_empty() || word.len() > 19 {
        return None;
    }
    word.iter().try_fold(0_u64, |sum, byte| {
        byte.is_ascii_digit().then(|| sum * 10 + u64::from(byte - b'0'))
    })
}

fn address(word: &[u8]) -> Option<Ipv4Addr> {
    let (mut bits, mut part, mut digits, mut dots) = (0_u32, 0_u32, 0, 0);
    for byte in word {
        match byte {
            b'0'..=b'9' if digits < 3 => {
                part = part * 10 + u32::from(byte - b'0');
                digits += 1;
            }
            b'.' if digits > 0 && part < 256 && dots < 3 => {
                bits = bits << 8 | part;
                (part, digits, dots) = (0, 0, dots + 1);
            }
            _ => return None,
        }
    }
    (dots == 3 && digits > 0 && part < 256).then(|| Ipv4Addr::from(bits << 8 | part))
}
