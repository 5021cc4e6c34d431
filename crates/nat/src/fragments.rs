//! Lets later fragments follow their first one.

use core::net::{Ipv4Addr, SocketAddrV4};
use core::time::Duration;

use vnetem_packet::{FiveTuple, Fragment, Headers, Protocol, TcpFlags, Transport};

use crate::table::index::{Hash, Index};
use crate::table::key::{Key, Secret};
use crate::table::keys::Purpose;
use crate::table::slab::{NIL, Slab, Slot};
use crate::time::nanoseconds;
use crate::{FlowId, Keys, Quota, Side, Tenant, Time, Zone};

/// The recent first fragments, each with its flow (P-30).
///
/// Nothing is reassembled. The first fragment has the ports, is decided like a whole packet and
/// [noted](Self::note). A later fragment follows that decision (INV-fragment-follows-first), or is
/// refused in these cases (INV-early-fragment-dropped, INV-bad-fragments-dropped, T-28):
///
/// - It comes before the first one.
/// - It overlaps what has passed; a duplicate does.
/// - It reaches beyond the datagram's end.
///
/// An entry ends with the datagram's last byte, its lifetime, or its flow, whose id is then stale.
/// A tenant without room loses its own oldest entry, never another tenant's
/// (INV-fragment-state-bounded, docs/shares.md).
pub struct Fragments {
    entries: Slab<Entry>,
    /// The entries of each tenant, oldest first, by its number. Those of no tenant come first.
    rows: Vec<Row>,
    quota: Quota<1>,
    index: Index,
    secret: Secret,
    life: u64,
    clock: u64,
}

/// The fields that all fragments of a datagram share (RFC 791), within one zone
/// (INV-fragments-never-mix).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FragmentKey {
    /// The zone of entry.
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

/// Which part of a datagram's payload a fragment carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// First byte.
    pub offset: u16,
    /// Length in bytes.
    pub length: u16,
    /// Whether it is the last fragment.
    pub last: bool,
}

/// Why a later fragment is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FragmentError {
    /// Its first fragment has not come or is forgotten (INV-early-fragment-dropped).
    WithoutFirst,
    /// It covers bytes that have passed already, as a duplicate does (INV-bad-fragments-dropped).
    Overlap,
    /// It is empty, reaches beyond the end of its datagram, or ends it before bytes that have
    /// passed (INV-bad-fragments-dropped).
    TooLong,
    /// The datagram has more than eight pieces with gaps between them.
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
    /// Neighbours in the tenant's row.
    previous: u32,
    /// The next free slot, if this one is free.
    next: u32,
    key: FragmentKey,
    id: FlowId,
    side: Side,
    until: u64,
    /// Length of the datagram, once its last fragment has passed.
    end: Option<u16>,
    /// Of a TCP segment: its end in sequence space, less the length of the datagram.
    base: Option<u32>,
    passed: Passed,
}

/// The pieces that have passed, in order and with gaps between them. Unused ones are empty.
#[derive(Clone, Copy, Default)]
struct Passed([(u16, u16); 8]);

/// The longest payload of a datagram.
const LONGEST: u16 = u16::MAX - 20;

impl Fragments {
    /// Makes room for `capacity` datagrams, each for at most `life`. It allocates all memory.
    /// Secret keys hide the hash from senders (INV-collisions-harmless).
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

    /// Guarantees shares of the room to these tenants (docs/shares.md). It allocates, so call it on
    /// configuration changes.
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

    /// Notes that the first fragment of a datagram passed, as a packet of a tenant's flow from a
    /// side.
    ///
    /// The same fragment again changes nothing. Another first one with the same key starts another
    /// datagram. A tenant without room loses its own oldest entry.
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

    /// Does what [`note`](Self::note) does, for a TCP segment with these headers. Then
    /// [`pass`](Self::pass) can tell where the segment ends once all of it has passed.
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
        // An unknown tenant has no row of its own.
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

    /// Finds flow and side of a later fragment's first one.
    #[must_use]
    pub fn find(&self, now: Time, key: &FragmentKey) -> Option<(FlowId, Side)> {
        self.get(now, key).map(|entry| (entry.id, entry.side))
    }

    /// Says whether a later fragment may pass, and gives its flow and side.
    ///
    /// # Errors
    ///
    /// Why it is refused.
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

    /// Notes that a later fragment passed. One that [`admit`](Self::admit) refuses changes nothing.
    ///
    /// If it completes a TCP segment, the result is the flow, the side, and the sequence number
    /// after the segment. The receiver expects that number only now
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
        let complete = entry.end.filter(|end| entry.passed.is_all_up_to(*end));
        if complete.is_some() {
            self.remove(number);
        } else if let Some(old) = self.entries.get_mut(number) {
            *old = entry;
        }
        let (base, length) = entry.base.zip(complete)?;
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
        let row = self.row(entry.tenant).ok();
        let last = row.and_then(|at| Some((at, self.rows.get(at)?.last)));
        let Some((at, last)) = last else {
            debug_assert!(false, "the tenant of an entry has a row");
            return;
        };
        let Some(number) = self.entries.insert(Entry { previous: last, ..entry }) else {
            debug_assert!(false, "the quota leaves room for an entry");
            return;
        };
        if !self.index.insert(self.hash(&entry.key), number) {
            debug_assert!(false, "the index has room for every entry");
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
            debug_assert!(false, "an entry is removed once");
            return;
        };
        let hash = self.hash(key);
        let was_there = self.index.remove(hash, number);
        debug_assert!(was_there, "every entry is in the index");
        self.quota.give_back(0, tenant);
        let Ok(at) = self.row(tenant) else {
            debug_assert!(false, "a row stays while it has entries");
            return;
        };
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
    /// Gives the part that a packet carries; for a whole datagram, all of it.
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
    /// Says whether this entry is of the very same first fragment.
    fn is_of(&self, first: &Self) -> bool {
        self.id == first.id && self.side == first.side && self.passed.0[0].1 >= first.passed.0[0].1
    }

    /// Gives the entry after one more fragment.
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
        // Pieces that touch the new one are joined with it.
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

/// Gives the end of a TCP segment in sequence space, less the length of its datagram, from the
/// first fragment's headers. `None` for a reset, which takes no sequence numbers.
fn base(headers: &Headers) -> Option<u32> {
    let Transport::Tcp(segment) = headers.transport else { return None };
    let controls = [TcpFlags::SYN, TcpFlags::FIN].map(|flag| segment.flags.contains(flag));
    let controls: u32 = controls.map(u32::from).iter().sum();
    let number = segment.sequence.wrapping_add(controls);
    let is_counted = !segment.flags.contains(TcpFlags::RST);
    is_counted.then(|| number.wrapping_sub(segment.header_length.into()))
}
