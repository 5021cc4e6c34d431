//! Fragments: a later one goes where its first one went.

use core::net::{Ipv4Addr, SocketAddrV4};
use core::time::Duration;

use vnetem_packet::{FiveTuple, Fragment, Headers, Protocol, TcpFlags, Transport};

use crate::table::index::{Hash, Index};
use crate::table::key::{Key, Secret};
use crate::table::keys::Purpose;
use crate::table::slab::{NIL, Slab, Slot};
use crate::time::nanoseconds;
use crate::{FlowId, Keys, Quota, Side, Tenant, Time, Zone};

/// The first fragments seen lately, and the flow that each belongs to (P-30).
///
/// Nothing is reassembled. The first fragment, which has the ports, is judged like a whole packet
/// and [noted](Self::note); a later one takes its judgement (INV-fragment-follows-first) or is
/// refused: before the first one, when it overlaps what has passed, duplicates included, or when it
/// reaches beyond the end (INV-early-fragment-dropped, INV-bad-fragments-dropped, T-28). An entry
/// ends with the datagram's last byte, with its life, with its flow (the id is stale then), or for
/// another of the same tenant that finds no room: its oldest goes (INV-fragment-state-bounded). No
/// tenant's goes for another's (docs/shares.md).
pub struct Fragments {
    entries: Slab<Entry>,
    /// The entries of each tenant in the order in which they came, by its number. Nobody's are the
    /// first.
    rows: Vec<Row>,
    quota: Quota<1>,
    index: Index,
    secret: Secret,
    life: u64,
    clock: u64,
}

/// What the fragments of one datagram have in common (RFC 791), in one zone
/// (INV-fragments-never-mix).
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
    /// Its first one has not come, or is forgotten (INV-early-fragment-dropped).
    WithoutFirst,
    /// It covers bytes that have passed already (INV-bad-fragments-dropped); a duplicate does.
    Overlap,
    /// It reaches beyond the end of its datagram, or of any; or it ends the datagram before what
    /// has passed; or it is empty (INV-bad-fragments-dropped).
    TooLong,
    /// More than eight pieces with gaps between them.
    Scattered,
}

/// First and last entry of a tenant.
#[derive(Clone, Copy)]
struct Row {
    tenant: Tenant,
    first: u32,
    last: u32,
}

#[derive(Clone, Copy)]
struct Entry {
    tenant: Tenant,
    /// Its neighbours in the row.
    previous: u32,
    /// The next free slot where there is no entry.
    next: u32,
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
    /// Room for `capacity` datagrams, each for at most `life`. All memory is taken here; secret
    /// keys make the hash unknown to senders (INV-collisions-harmless).
    #[must_use]
    pub fn new(capacity: usize, life: Duration, keys: Keys) -> Self {
        let capacity = u32::try_from(capacity.min(1 << 24)).unwrap_or(1 << 24);
        Self {
            entries: Slab::new(capacity),
            rows: vec![Row::of(Tenant::NOBODY)],
            quota: Quota::new([capacity]),
            index: Index::new(capacity),
            secret: Secret::new(keys, Purpose::Fragments),
            life: nanoseconds(life),
            clock: 0,
        }
    }

    /// Parts the room among these tenants from now on (docs/shares.md). Allocates, so it is for
    /// changes of configuration.
    pub fn share_among(&mut self, tenants: impl IntoIterator<Item = Tenant>) {
        let tenants: Vec<Tenant> = tenants.into_iter().collect();
        self.quota.share_among(tenants.iter().copied());
        self.rows.retain(|row| row.first != NIL || row.tenant == Tenant::NOBODY);
        for tenant in tenants {
            if let Err(at) = self.row(tenant) {
                self.rows.insert(at, Row::of(tenant));
            }
        }
    }

    /// Notes that the first fragment of a datagram went on, as a packet of a tenant's flow from a
    /// side. Once more the same changes nothing; another first with the same key begins another
    /// datagram. A tenant that finds no room loses its own oldest.
    pub fn note(
        &mut self,
        now: Time,
        key: FragmentKey,
        span: Span,
        id: FlowId,
        side: Side,
        tenant: Tenant,
    ) {
        self.note_segment(now, key, span, (id, side), None, tenant);
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
        tenant: Tenant,
    ) {
        self.note_segment(now, key, Span::of(headers), (id, side), base(headers), tenant);
    }

    fn note_segment(
        &mut self,
        now: Time,
        key: FragmentKey,
        span: Span,
        (id, side): (FlowId, Side),
        base: Option<u32>,
        tenant: Tenant,
    ) {
        self.clock = self.clock.max(now.0);
        let mut passed = Passed::default();
        passed.0[0] = (0, span.length.min(LONGEST));
        let until = self.clock.saturating_add(self.life);
        // Whom nobody told of has no row of its own.
        let tenant = if self.row(tenant).is_ok() { tenant } else { Tenant::NOBODY };
        let (previous, next) = (NIL, NIL);
        let entry = Entry { tenant, previous, next, key, id, side, until, end: None, base, passed };
        if let Some(number) = self.number(&key) {
            if self.get(now, &key).is_some_and(|old| old.is_of(&entry)) {
                return;
            }
            self.remove(number);
        }
        if !self.quota.has_room(0, tenant) {
            let oldest = self.row(tenant).ok().and_then(|at| self.rows.get(at));
            let Some(oldest) = oldest.map(|row| row.first).filter(|oldest| *oldest != NIL) else {
                return;
            };
            self.remove(oldest);
        }
        self.add(entry);
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

    /// Notes that a later fragment went on. One that [`admit`](Self::admit) refuses changes
    /// nothing.
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
        let endpoint_independent = entry.end.filter(|end| entry.passed.is_all_up_to(*end));
        if endpoint_independent.is_some() {
            self.remove(number);
        } else if let Some(old) = self.entries.get_mut(number) {
            *old = entry;
        }
        let (base, length) = entry.base.zip(endpoint_independent)?;
        Some((entry.id, entry.side, base.wrapping_add(length.into())))
    }

    fn get(&self, now: Time, key: &FragmentKey) -> Option<&Entry> {
        let number = self.number(key)?;
        self.entries.get(number).filter(|entry| entry.until > self.clock.max(now.0))
    }

    fn number(&self, key: &FragmentKey) -> Option<u32> {
        self.index.find(self.hash(key), |number| {
            self.entries.get(number).is_some_and(|entry| entry.key == *key)
        })
    }

    /// Adds an entry to the end of its tenant's row.
    fn add(&mut self, entry: Entry) {
        let Ok(at) = self.row(entry.tenant) else { return };
        let Some(last) = self.rows.get(at).map(|row| row.last) else { return };
        let Some(number) = self.entries.insert(Entry { previous: last, ..entry }) else { return };
        if !self.index.insert(self.hash(&entry.key), number) {
            self.entries.remove(number);
            return;
        }
        self.quota.take(0, entry.tenant);
        match self.entries.get_mut(last) {
            Some(before) => before.next = number,
            None => self.set_row(at, |row| row.first = number),
        }
        self.set_row(at, |row| row.last = number);
    }

    fn remove(&mut self, number: u32) {
        let Some(&Entry { tenant, previous, next, ref key, .. }) = self.entries.get(number) else {
            return;
        };
        let hash = self.hash(key);
        self.index.remove(hash, number);
        self.quota.give_back(0, tenant);
        let Ok(at) = self.row(tenant) else { return };
        match self.entries.get_mut(previous) {
            Some(before) => before.next = next,
            None => self.set_row(at, |row| row.first = next),
        }
        match self.entries.get_mut(next) {
            Some(behind) => behind.previous = previous,
            None => self.set_row(at, |row| row.last = previous),
        }
        self.entries.remove(number);
    }

    fn row(&self, tenant: Tenant) -> Result<usize, usize> {
        self.rows.binary_search_by_key(&tenant, |row| row.tenant)
    }

    fn set_row(&mut self, at: usize, set: impl FnOnce(&mut Row)) {
        if let Some(row) = self.rows.get_mut(at) {
            set(row);
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

impl Row {
    const fn of(tenant: Tenant) -> Self {
        Self { tenant, first: NIL, last: NIL }
    }
}

impl Slot for Entry {
    fn next_mut(&mut self) -> &mut u32 {
        &mut self.next
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

/// The sequence number behind a TCP segment of which these are the first fragment's headers, less
/// the length of its datagram. A reset takes no part in the numbers.
fn base(headers: &Headers) -> Option<u32> {
    let Transport::Tcp(segment) = headers.transport else { return None };
    let controls = [TcpFlags::SYN, TcpFlags::FIN].map(|flag| segment.flags.contains(flag));
    let controls: u32 = controls.map(u32::from).iter().sum();
    let number = segment.sequence.wrapping_add(controls);
    let is_counted = !segment.flags.contains(TcpFlags::RST);
    is_counted.then(|| number.wrapping_sub(segment.header_length.into()))
}
