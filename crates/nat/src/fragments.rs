//! Fragments: a later one goes where its first one went.

use core::net::{Ipv4Addr, SocketAddrV4};
use core::time::Duration;

use vnetem_packet::{FiveTuple, Fragment, Headers, Protocol, TcpFlags, Transport};

use crate::index::{Hash, Index};
use crate::key::{Key, Secret};
use crate::time::nanoseconds;
use crate::{FlowId, Side, Time, Zone};

/// The first fragments seen lately, and the flow that each belongs to (P-30).
///
/// Nothing is reassembled. The first fragment, which has the ports, is judged like a whole packet and [noted](Self::note); a later one
/// takes its judgement (F1) or is refused: before the first one, when it overlaps what has passed, duplicates included, or when it
/// reaches beyond the end (F2, F3, T-28). An entry ends with the datagram's last byte, with its life, with its flow (the id is stale then),
/// or when `capacity` other firsts have come: the oldest goes (F4).
pub struct Fragments {
    /// A ring.
    entries: Vec<Entry>,
    next: usize,
    capacity: usize,
    index: Index,
    secret: Secret,
    life: u64,
    clock: u64,
}

/// What the fragments of one datagram have in common (RFC 791), in one zone (F5).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FragmentKey {
    /// Where they enter.
    pub zone: Zone,
    /// Source address.
    pub source: Ipv4Addr,
    /// Destination address.
    pub destination: Ipv4Addr,
    /// Protocol.
    pub protocol: Protocol,
    /// Identification field.
    pub identification: u16,
}

/// Which part of a datagram's payload a fragment is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// First byte.
    pub offset: u16,
    /// Bytes.
    pub length: u16,
    /// Whether nothing follows.
    pub last: bool,
}

/// Why a later fragment may not go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FragmentError {
    /// Its first one has not come, or is forgotten (F2).
    WithoutFirst,
    /// It covers bytes that have passed already (F3); a duplicate does.
    Overlap,
    /// It reaches beyond the end of its datagram, or of any; or it ends the datagram before what has passed; or it is empty (F3).
    TooLong,
    /// More than eight pieces with gaps between them.
    Scattered,
}

#[derive(Clone, Copy)]
struct Entry {
    key: FragmentKey,
    id: FlowId,
    side: Side,
    until: u64,
    /// Length of the datagram, once its last fragment has passed.
    end: Option<u16>,
    /// Of a TCP segment: the sequence number behind it, less the length of the datagram.
    base: Option<u32>,
    passed: Passed,
}

/// What has passed, as pieces in order that do not touch. Unused ones are empty.
#[derive(Clone, Copy, Default)]
struct Passed([(u16, u16); 8]);

/// The longest payload of a datagram.
const LONGEST: u16 = u16::MAX - 20;

impl Fragments {
    /// Room for `capacity` datagrams, each for at most `life`. All memory is taken here; the seed makes the hash unknown to senders (I4).
    #[must_use]
    pub fn new(capacity: usize, life: Duration, seed: u64) -> Self {
        let capacity = capacity.min(1 << 24);
        Self {
            entries: Vec::with_capacity(capacity),
            next: 0,
            capacity,
            index: Index::new(u32::try_from(capacity).unwrap_or(u32::MAX)),
            secret: Secret::new(seed),
            life: nanoseconds(life),
            clock: 0,
        }
    }

    /// Notes that the first fragment of a datagram went on, as a packet of a flow from a side. Once more the same changes nothing; another
    /// first with the same key begins another datagram.
    pub fn note(&mut self, now: Time, key: FragmentKey, span: Span, id: FlowId, side: Side) {
        self.note_segment(now, key, span, (id, side), None);
    }

    /// [`note`](Self::note) for the first fragment of a TCP segment: `headers` are its own, so that
    /// [`pass`](Self::pass) can tell where the segment ends once all of it went on.
    pub fn note_first(
        &mut self,
        now: Time,
        key: FragmentKey,
        headers: &Headers,
        id: FlowId,
        side: Side,
    ) {
        self.note_segment(now, key, Span::of(headers), (id, side), base(headers));
    }

    fn note_segment(
        &mut self,
        now: Time,
        key: FragmentKey,
        span: Span,
        (id, side): (FlowId, Side),
        base: Option<u32>,
    ) {
        self.clock = self.clock.max(now.0);
        if self.capacity == 0 {
            return;
        }
        let mut passed = Passed::default();
        passed.0[0] = (0, span.length.min(LONGEST));
        let until = self.clock.saturating_add(self.life);
        let entry = Entry { key, id, side, until, end: None, base, passed };
        if let Some(number) = self.number(&key) {
            if self.get(now, &key).is_some_and(|old| old.is_of(&entry)) {
                return;
            }
            self.index.remove(self.hash(&key), number);
        }
        let place = self.next;
        match self.entries.get_mut(place) {
            Some(old) => {
                let old = core::mem::replace(old, entry);
                let hash = self.hash(&old.key);
                self.index.remove(hash, number_of(place));
            }
            None => self.entries.push(entry),
        }
        self.next = place.wrapping_add(1).checked_rem(self.capacity).unwrap_or(0);
        if !self.index.insert(self.hash(&key), number_of(place)) {
            self.forget(place);
        }
    }

    /// The flow and side of a later fragment's first one.
    #[must_use]
    pub fn find(&self, now: Time, key: &FragmentKey) -> Option<(FlowId, Side)> {
        self.get(now, key).map(|entry| (entry.id, entry.side))
    }

    /// Whether a later fragment may go on, and as a packet of which flow and side.
    ///
    /// # Errors
    ///
    /// Why it may not.
    pub fn admit(
        &self,
        now: Time,
        key: &FragmentKey,
        span: Span,
    ) -> Result<(FlowId, Side), FragmentError> {
        let entry = self.get(now, key).ok_or(FragmentError::WithoutFirst)?;
        entry.with(span)?;
        Ok((entry.id, entry.side))
    }

    /// Notes that a later fragment went on. One that [`admit`](Self::admit) refuses changes nothing.
    ///
    /// Says whose TCP segment is whole by it, and the sequence number behind that: its receiver
    /// expects this number next, and knew nothing of the segment before
    /// ([`FlowTable::reach`](crate::FlowTable::reach)).
    pub fn pass(
        &mut self,
        now: Time,
        key: &FragmentKey,
        span: Span,
    ) -> Option<(FlowId, Side, u32)> {
        self.clock = self.clock.max(now.0);
        let number = self.number(key)?;
        let entry = self.get(now, key)?.with(span).ok()?;
        let whole = entry.end.filter(|end| entry.passed.is_all_up_to(*end));
        if whole.is_some() {
            self.index.remove(self.hash(key), number);
        }
        if let Some(old) = self.entries.get_mut(number as usize) {
            *old = entry;
        }
        let (base, length) = entry.base.zip(whole)?;
        Some((entry.id, entry.side, base.wrapping_add(length.into())))
    }

    fn get(&self, now: Time, key: &FragmentKey) -> Option<&Entry> {
        let number = self.number(key)?;
        self.entries.get(number as usize).filter(|entry| entry.until > self.clock.max(now.0))
    }

    fn number(&self, key: &FragmentKey) -> Option<u32> {
        self.index.find(self.hash(key), |number| {
            self.entries.get(number as usize).is_some_and(|entry| entry.key == *key)
        })
    }

    fn forget(&mut self, place: usize) {
        if let Some(entry) = self.entries.get_mut(place) {
            entry.until = 0;
        }
    }

    fn hash(&self, key: &FragmentKey) -> Hash {
        let source = SocketAddrV4::new(key.source, key.identification);
        let destination = SocketAddrV4::new(key.destination, 0);
        let tuple = FiveTuple { protocol: key.protocol, source, destination };
        self.secret.hash(&Key::new(key.zone, &tuple))
    }
}

impl Span {
    /// The part that a packet is; of a whole datagram, all of it.
    #[must_use]
    pub fn of(headers: &Headers) -> Self {
        let length = headers.total_length.saturating_sub(headers.header_length.into());
        match headers.fragment {
            Fragment::Whole => Self { offset: 0, length, last: true },
            Fragment::First => Self { offset: 0, length, last: false },
            Fragment::Later { offset, last } => Self { offset, length, last },
        }
    }
}

impl Entry {
    /// Whether this is the entry of the very same first fragment.
    fn is_of(&self, first: &Self) -> bool {
        self.id == first.id && self.side == first.side && self.passed.0[0].1 >= first.passed.0[0].1
    }

    /// The entry after one more fragment.
    fn with(&self, span: Span) -> Result<Self, FragmentError> {
        let end = span.offset.checked_add(span.length).filter(|end| *end <= LONGEST);
        let end = end.filter(|end| *end > span.offset).ok_or(FragmentError::TooLong)?;
        if self.end.is_some_and(|last| end > last) {
            return Err(FragmentError::TooLong);
        }
        let passed = self.passed.with(span.offset, end)?;
        let mut entry = Self { passed, ..*self };
        if span.last {
            if self.end.is_some() || passed.highest() > end {
                return Err(FragmentError::TooLong);
            }
            entry.end = Some(end);
        }
        Ok(entry)
    }
}

impl Passed {
    fn with(self, start: u16, end: u16) -> Result<Self, FragmentError> {
        let pieces = || self.0.into_iter().filter(|(start, end)| start < end);
        if pieces().any(|piece| piece.0 < end && start < piece.1) {
            return Err(FragmentError::Overlap);
        }
        // Those that touch the new one become one with it.
        let before = pieces().find(|piece| piece.1 == start);
        let behind = pieces().find(|piece| piece.0 == end);
        let joined = (before.map_or(start, |piece| piece.0), behind.map_or(end, |piece| piece.1));
        let mut rest = pieces().filter(|piece| Some(*piece) != before && Some(*piece) != behind);
        let mut after = Self::default();
        let mut places = after.0.iter_mut();
        let mut pending = Some(joined);
        loop {
            let next = rest.next();
            if let Some(piece) = pending
                && next.is_none_or(|next| piece.0 < next.0)
            {
                *places.next().ok_or(FragmentError::Scattered)? = piece;
                pending = None;
            }
            let Some(next) = next else { return Ok(after) };
            *places.next().ok_or(FragmentError::Scattered)? = next;
        }
    }

    fn highest(&self) -> u16 {
        self.0.into_iter().map(|(_, end)| end).max().unwrap_or(0)
    }

    fn is_all_up_to(&self, end: u16) -> bool {
        self.0[0] == (0, end)
    }
}

/// The sequence number behind a TCP segment of which these are the first fragment's headers, less the
/// length of its datagram. A reset takes no part in the numbers.
fn base(headers: &Headers) -> Option<u32> {
    let Transport::Tcp(segment) = headers.transport else { return None };
    let controls = [TcpFlags::SYN, TcpFlags::FIN].map(|flag| segment.flags.contains(flag));
    let controls: u32 = controls.map(u32::from).iter().sum();
    let number = segment.sequence.wrapping_add(controls);
    let is_counted = !segment.flags.contains(TcpFlags::RST);
    is_counted.then(|| number.wrapping_sub(segment.header_length.into()))
}

fn number_of(place: usize) -> u32 {
    u32::try_from(place).unwrap_or(u32::MAX)
}
