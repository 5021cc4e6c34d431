//! The flow table.

pub(crate) mod bucket;
pub(crate) mod counters;
pub(crate) mod detail;
pub(crate) mod ending;
pub(crate) mod hold;
pub(crate) mod index;
pub(crate) mod key;
pub(crate) mod keyed;
pub(crate) mod keys;
pub(crate) mod links;
pub(crate) mod quota;
pub(crate) mod record;
pub(crate) mod revalidation_keys;
pub(crate) mod slab;
mod stale;
pub(crate) mod wheel;

use vnetem_packet::{FiveTuple, Headers, Rewrite, Transport};

use crate::flow::pending_reopen::PendingReopens;
use crate::flow::tcp::after;
use crate::mapping::mappings::MappingState;
use crate::mapping::port_bitmaps::PortBitmaps;
use crate::profile::{Clocks, HoldDownTimes};
use crate::table::counters::FlowCounters;
use crate::table::detail::{Detail, Totals};
use crate::table::hold::{Beside, Hold};
use crate::table::index::{Hash, Index};
use crate::table::key::{Draws, Key, Secret};
use crate::table::keys::Purpose;
use crate::table::links::Chains;
use crate::table::record::{MOST_REVALIDATION_KEYS, Record};
use crate::table::revalidation_keys::RevalidationIndex;
use crate::table::slab::Slab;
use crate::table::wheel::Wheel;
use crate::{
    Ended, Flow, FlowId, Found, Quota, Resets, Settings, Side, Standing, State, Tenant, Time, Zone,
    opens,
};

/// The flow table: all flows, found by their tuple from either side.
///
/// Every call takes the time, which never runs backwards here. Methods with `&self` change nothing,
/// so a caller may decide first and record afterwards:
///
/// - **A packet**: [`find`](Self::find) its flow, [`follow`](Self::follow) it, then
///   [`record_packet`](Self::record_packet). For a tombstone, [`late_answer`](Self::late_answer) and
///   [`count_answer`](Self::count_answer). [`track`](Self::track) and [`answer`](Self::answer) do
///   both at once.
/// - **No flow**: [`choose`](Self::choose) an external tuple, ask [`may_open`](Self::may_open),
///   then [`enter`](Self::enter).
/// - **A change**: [`invalidate`](Self::invalidate) the revalidation keys. Then
///   [`refresh`](Self::refresh) or [`close`](Self::close) every [`next_stale`](Self::next_stale)
///   flow. A packet that comes earlier asks [`is_stale`](Self::is_stale).
/// - **Time**: [`expire`](Self::expire) at [`next_deadline`](Self::next_deadline), or now and then.
///
/// A flow is one record with two index entries, which are made and removed together
/// (INV-both-halves-end). After [`new`](Self::new) nothing allocates.
pub struct FlowTable<T> {
    pub(crate) records: Slab<Record<T>>,
    /// By the same numbers.
    pub(crate) details: Vec<Detail>,
    pub(crate) totals: Vec<Totals>,
    /// Both keys of every flow. The number is twice the slot, plus one for the external key.
    pub(crate) index: Index,
    pub(crate) secret: Secret,
    pub(crate) draws: Draws,
    /// Places of flows in the timer wheel and in the lists of their revalidation keys.
    pub(crate) chains: Chains,
    pub(crate) wheel: Wheel,
    pub(crate) revalidation_keys: RevalidationIndex,
    pub(crate) hold: Hold,
    pub(crate) port_bitmaps: PortBitmaps,
    pub(crate) mappings: MappingState,
    pub(crate) pending_reopens: PendingReopens,
    /// What each tenant uses.
    pub(crate) quota: TableQuota,
    pub(crate) clocks: Clocks,
    pub(crate) hold_down_times: HoldDownTimes,
    pub(crate) settings: Settings,
    pub(crate) counters: FlowCounters,
    /// The latest time seen.
    clock: u64,
    /// Counts calls that may have changed a flow. Equal counts mean that none has changed.
    pub(crate) changes: u64,
}

impl<T: Copy> FlowTable<T> {
    /// Makes an empty table and allocates all its memory.
    #[must_use]
    pub fn new(settings: Settings) -> Self {
        let capacity = settings.capacity.min(Settings::MOST_FLOWS);
        let (keys, room) = (settings.keys, &settings.shared);
        let secret = Secret::new(keys, Purpose::Index);
        let mappings = MappingState::new(capacity, room, secret);
        let sockets = room.sockets.min(mappings.flows());
        let held = settings.held.min((1 << 24) - 1);
        let revalidation_keys = settings.revalidation_keys.min(MOST_REVALIDATION_KEYS);
        let totals = [capacity, revalidation_keys, room.hosts, sockets, sockets, room.blocks, held];
        Self {
            records: Slab::new(capacity),
            details: Vec::with_capacity(capacity as usize),
            totals: Vec::with_capacity(capacity as usize),
            index: Index::new(capacity.saturating_mul(2)),
            secret,
            draws: Draws::new(keys),
            chains: Chains::new(capacity),
            wheel: Wheel::new(),
            revalidation_keys: RevalidationIndex::new(revalidation_keys, secret),
            hold: Hold::new(held, secret),
            port_bitmaps: PortBitmaps::new(capacity, secret),
            mappings,
            pending_reopens: PendingReopens::new(capacity),
            quota: Quota::new(totals),
            clocks: Clocks::new(&settings),
            hold_down_times: HoldDownTimes::new(&settings),
            settings,
            counters: FlowCounters::default(),
            clock: 0,
            changes: 0,
        }
    }

    /// Finds the flow of a packet with this tuple that entered in this zone. A flow past its
    /// deadline is not found (INV-deadline-exact).
    #[must_use]
    #[inline]
    pub fn find(&self, now: Time, zone: Zone, tuple: &FiveTuple) -> Option<Found> {
        let key = Key::new(zone, tuple);
        let (slot, side) = self.lookup(self.secret.hash(&key), &key)?;
        self.found(now, slot, side)
    }

    /// Copies a flow.
    #[must_use]
    #[inline]
    pub fn flow(&self, id: FlowId) -> Option<Flow<T>> {
        self.record(id).map(|record| self.view(id.slot, record))
    }

    /// Gives the new ends of packets of a flow from a side. Every packet needs this part of
    /// [`flow`](Self::flow).
    #[must_use]
    #[inline]
    pub fn rewrite(&self, id: FlowId, side: Side) -> Option<Rewrite> {
        self.record(id).map(|record| record.rewrite(side))
    }

    /// Gives the cached decision of a flow. Every packet needs this part of [`flow`](Self::flow).
    #[must_use]
    #[inline]
    pub fn cached(&self, id: FlowId) -> Option<T> {
        self.record(id).map(|record| record.cached)
    }

    /// Says whether a packet of a flow may start a new one in its place (INV-syn-opens-anew, T-18).
    ///
    /// It must be the SYN of the same initiator. The old connection must be a tombstone, reset, or
    /// finished; if finished, the SYN's number must be higher than the old ones.
    #[must_use]
    pub fn may_reopen(&self, id: FlowId, side: Side, headers: &Headers) -> bool {
        let Some(record) = self.record(id) else { return false };
        let Transport::Tcp(segment) = headers.transport else { return false };
        let news =
            record.state != State::TimeWait || after(segment.sequence, self.end_of(id.slot, side));
        record.is_over() && side == record.initiator() && opens(headers) && news
    }

    /// Guarantees shares to these tenants (docs/shares.md): of flows, revalidation keys and mapping
    /// state. Flows of others are guaranteed nothing.
    ///
    /// It allocates, so call it on configuration changes. If no flow names a tenant, nothing is
    /// divided.
    pub fn share_among(&mut self, tenants: impl IntoIterator<Item = Tenant>) {
        self.quota.share_among(tenants);
    }

    /// Returns the tenant charged for a flow.
    #[must_use]
    pub fn tenant(&self, id: FlowId) -> Option<Tenant> {
        self.record(id).map(|record| self.revalidation_keys.tenant(record.revalidation_key()))
    }

    /// Gives the number of flows that a tenant has, and how many each tenant is guaranteed.
    #[must_use]
    pub fn share_of(&self, tenant: Tenant) -> (u32, u32) {
        (self.quota.used(FLOWS, tenant), self.quota.part_of_each(FLOWS))
    }

    /// Removes up to `budget` flows past their deadline, earliest first, and passes them to `sink`.
    ///
    /// The result is the work done, a few steps for each flow. Less than `budget` means that
    /// nothing more is due.
    pub fn expire(&mut self, now: Time, budget: usize, sink: &mut dyn FnMut(Ended<T>)) -> usize {
        let now = self.advance(now);
        let mut work = 0;
        while work < budget {
            let Some(slot) = self.wheel.pop(&mut self.chains, now) else {
                let rest = budget.saturating_sub(work);
                let beside =
                    &mut Beside { port_bitmaps: &mut self.port_bitmaps, quota: &mut self.quota };
                return work.saturating_add(self.hold.expire(now, rest, beside));
            };
            work = work.saturating_add(1);
            let Some(record) = self.records.get(slot) else {
                debug_assert!(false, "the wheel leads to a record");
                continue;
            };
            let deadline = self.deadline(record);
            // A due flow goes through the finer slots too, so that flows end in the order of their
            // deadlines.
            if deadline > self.wheel.elapsed() {
                if self.due(record) <= self.wheel.elapsed() {
                    self.release(slot);
                }
                self.reinsert(slot);
                continue;
            }
            let Some(ended) = self.ended(slot) else {
                debug_assert!(false, "a flow that is due can end");
                continue;
            };
            self.remove(slot, ended.cause, deadline, None);
            sink(ended);
        }
        work
    }

    /// Gives the time of the next [`expire`](Self::expire). It is never later than the deadline of
    /// a flow or of a tuple in hold-down, and sometimes earlier. `None` if there are neither.
    #[must_use]
    #[inline]
    pub fn next_deadline(&self) -> Option<Time> {
        let any = self.records.live() != 0 || self.hold.live() != 0;
        any.then(|| Time(self.wheel.next().min(self.hold.next())))
    }

    /// Says whether [`expire`](Self::expire) may have work.
    #[must_use]
    #[inline(always)]
    pub const fn is_due(&self, now: Time) -> bool {
        self.wheel.next() <= now.0 || self.hold.next() <= now.0
    }

    /// Gives the number of further flows that fit.
    #[must_use]
    pub const fn vacancies(&self) -> u32 {
        self.records.vacancies()
    }

    /// Gives the counters.
    #[must_use]
    pub fn counters(&self) -> FlowCounters {
        let live = self.records.live().saturating_sub(self.counters.tombstones);
        let (held, released_early) = (self.hold.live(), self.hold.released_early());
        FlowCounters { live, held, released_early, ..self.counters }
    }

    /// Lists all flows in the order of their slots.
    pub fn iter(&self) -> impl Iterator<Item = (FlowId, Flow<T>)> {
        self.records
            .iter()
            .filter(|(_, record)| !record.is_vacant())
            .filter_map(|(slot, record)| Some((self.id(slot)?, self.view(slot, record))))
    }
}

/// The parts on which other files of the table build.
impl<T: Copy> FlowTable<T> {
    /// Advances the clock. Every call that changes a flow begins with it.
    #[inline]
    pub(crate) fn advance(&mut self, now: Time) -> u64 {
        self.clock = self.clock.max(now.0);
        self.changes = self.changes.wrapping_add(1);
        self.clock
    }

    /// Gives the latest time.
    #[inline]
    pub(crate) fn at(&self, now: Time) -> u64 {
        self.clock.max(now.0)
    }

    /// Gives the record of a flow. A released slot gets a new stamp at once, so an old id finds
    /// nothing.
    #[inline]
    pub(crate) fn record(&self, id: FlowId) -> Option<&Record<T>> {
        let detail = self.details.get(id.slot as usize)?;
        self.records.get(id.slot).filter(|record| detail.stamp == id.stamp && !record.is_vacant())
    }

    /// Describes a flow whose timer has run out.
    pub(crate) fn ended(&self, slot: u32) -> Option<Ended<T>> {
        let record = self.records.get(slot)?;
        let resets = match record.state {
            State::Established => self.resets(slot, record),
            _ => Resets::default(),
        };
        let (flow, cause) = (self.view(slot, record), record.state.cause_of_expiry());
        Some(Ended { flow, cause, resets })
    }

    /// Gives the deadline of a flow.
    #[inline]
    pub(crate) fn deadline(&self, record: &Record<T>) -> u64 {
        deadline(&self.clocks, record)
    }

    #[inline]
    pub(crate) fn lookup(&self, hash: Hash, key: &Key) -> Option<(u32, Side)> {
        let is_it = |number: u32| {
            let side = side_of(number);
            self.records.get(number >> 1).is_some_and(|record| record.has_key(side, key))
        };
        let number = self.index.find(hash, is_it)?;
        Some((number >> 1, side_of(number)))
    }

    #[inline]
    pub(crate) fn found(&self, now: Time, slot: u32, side: Side) -> Option<Found> {
        let record = self.records.get(slot)?;
        if self.deadline(record) <= self.at(now) {
            return None;
        }
        let standing = match record.state {
            State::Tombstone(_) => Standing::Tombstone,
            _ => Standing::Live,
        };
        Some(Found { id: self.id(slot)?, side, standing })
    }

    /// Gives the handle of the flow in a slot.
    #[inline]
    pub(crate) fn id(&self, slot: u32) -> Option<FlowId> {
        self.details.get(slot as usize).map(|detail| FlowId { slot, stamp: detail.stamp })
    }

    #[inline]
    pub(crate) fn view(&self, slot: u32, record: &Record<T>) -> Flow<T> {
        let detail = self.details.get(slot as usize).copied().unwrap_or_default();
        let totals = self.totals.get(slot as usize).copied().unwrap_or_default();
        record.view(
            &detail,
            &totals,
            self.revalidation_keys.revalidation_key(record.revalidation_key()),
        )
    }

    /// Gives the highest sequence end that a side has sent.
    pub(crate) fn end_of(&self, slot: u32, side: Side) -> u32 {
        self.details.get(slot as usize).map_or(0, |detail| detail.numbers.end.of(side))
    }
}

/// Gives the deadline of a flow by these timers.
#[inline]
pub(crate) fn deadline<T>(clocks: &Clocks, record: &Record<T>) -> u64 {
    record.last.saturating_add(clocks.of(record.timers(), record.state))
}

/// Gives the number of a key in the index.
#[inline]
pub(crate) const fn number(slot: u32, side: Side) -> u32 {
    slot << 1 | side as u32
}

#[inline]
pub(crate) const fn side_of(number: u32) -> Side {
    if number & 1 == 0 { Side::Internal } else { Side::External }
}

/// Counts what each tenant uses of the bounded parts.
pub(crate) type TableQuota = Quota<7>;

/// The bounded parts by their place in a [`TableQuota`].
pub(crate) const FLOWS: usize = 0;
pub(crate) const REVALIDATION_KEYS: usize = 1;
pub(crate) const HOSTS: usize = 2;
pub(crate) const SOCKETS: usize = 3;
pub(crate) const PERMITTED_REMOTES: usize = 4;
pub(crate) const BLOCKS: usize = 5;
pub(crate) const HELD_DOWN: usize = 6;
