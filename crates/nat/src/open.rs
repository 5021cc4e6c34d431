//! Opening flows.

use core::net::{Ipv4Addr, SocketAddrV4};
use core::ops::RangeInclusive;

use vnetem_packet::{FiveTuple, Headers, Protocol, Transport, tcp_options};

use crate::hold::Kind;
use crate::key::Key;
use crate::record::Record;
use crate::table::number;
use crate::{Ended, FlowId, FlowTable, NewFlow, OpenError, Side, Time, Zone};

/// The public addresses and ports that may stand for inside ends. For ICMP queries the ports are identifiers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pool<'a> {
    /// The addresses.
    pub addresses: &'a [Ipv4Addr],
    /// First port of each.
    pub first_port: u16,
    /// Last port of each.
    pub last_port: u16,
}

/// Ports that are tried before it is asked what is known of the remote.
const PATIENCE: usize = 8;

/// No usable tuple is left in the pool towards this remote (N-17).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Exhausted;

/// Flows that a new one takes the place of: past their deadline, or over.
#[derive(Clone, Copy, Default)]
struct Replaced([Option<u32>; 2]);

impl<T: Copy> FlowTable<T> {
    /// Whether [`open`](Self::open) would succeed.
    ///
    /// # Errors
    ///
    /// The error that `open` would give.
    pub fn can_open(&self, now: Time, new: &NewFlow<T>) -> Result<(), OpenError> {
        self.replaced_by(self.at(now), new).map(|_| ())
    }

    /// Opens a flow with its first packet: both index entries, or none. TCP tracking starts with the segment, and the packet is counted,
    /// so it is not tracked again. Whether it may open a flow at all is the caller's to ask ([`opens`](crate::opens)).
    ///
    /// A tombstone, a reset or a finished connection of the same opener gives way (R9), and so does a flow past its deadline. Neither goes
    /// to the sink of [`expire`](Self::expire); both count as ended.
    ///
    /// # Errors
    ///
    /// [`OpenError::TupleInUse`] if one of the two keys belongs to another flow, if they are the same, or if the external tuple is in
    /// hold-down; [`OpenError::TableFull`] if there is no room. Nothing has changed then.
    pub fn open(
        &mut self,
        now: Time,
        new: NewFlow<T>,
        first: &Headers,
        packet: &[u8],
    ) -> Result<FlowId, OpenError> {
        let now = self.advance(now);
        let replaced = self.replaced_by(now, &new)?;
        let outside = new.key(Side::Outside);
        for slot in replaced.0.into_iter().flatten() {
            if let Some(record) = self.records.get(slot) {
                let (cause, ended) =
                    (record.state.cause_of_expiry(), self.deadline(record).min(now));
                self.remove(slot, cause, ended, Some(&outside));
            }
        }
        let slot = self.records.vacant().ok_or(OpenError::TableFull)?;
        let cell = self.cells.join(new.cell).ok_or(OpenError::TableFull)?;
        if !self.enter(slot, &new) {
            self.cells.leave(cell);
            return Err(OpenError::TableFull);
        }
        let stamp = self.records.get(slot).map_or(0, |old| old.stamp);
        let mut record = Record::new(&new, now, stamp, cell);
        if let Transport::Tcp(segment) = first.transport {
            let scale = tcp_options(packet, first).window_scale;
            record.begin(&segment, scale);
        }
        *record.packets.of_mut(new.opener) = 1;
        *record.bytes.of_mut(new.opener) = u64::from(first.total_length);
        let id = record.id(slot);
        let deadline = self.deadline(&record);
        self.records.insert(record);
        self.wheel.insert(&mut self.chains, slot, deadline);
        self.cells.link(&mut self.chains, &self.records, slot);
        self.counters.opened = self.counters.opened.saturating_add(1);
        if new.inside != new.external
            && let Some(crowd) = self.crowds.take(&outside)
        {
            self.fill(crowd);
        }
        Ok(id)
    }

    /// The flows that a new one would take the place of, for callers that account for every flow; none if it cannot be opened.
    pub fn replaced(&self, now: Time, new: &NewFlow<T>) -> impl Iterator<Item = Ended<T>> {
        let replaced = self.replaced_by(self.at(now), new).unwrap_or_default();
        replaced.0.into_iter().flatten().filter_map(|slot| {
            let record = self.records.get(slot)?;
            let cause = record.state.cause_of_expiry();
            Some(Ended { flow: self.view(record), cause })
        })
    }

    /// An external tuple for a new flow: random among the free ones from the seed (N-13, T-07), and an error only if there is none (N-17).
    ///
    /// One port may serve several remotes (N-12): a tuple is taken only if a flow or tombstone has it towards the same `remote`, or if it
    /// is in hold-down. All flows of one inside address get the same external address while that has a port free (T-08). The randomness
    /// is that of a keyed hash of both ends and the time, so asking changes nothing. A protocol without ports gets an address and port 0.
    ///
    /// Work: usually one lookup; never more than there are tuples in the pool.
    ///
    /// # Errors
    ///
    /// [`Exhausted`] if no tuple is free.
    #[expect(
        clippy::too_many_arguments,
        reason = "they are the parts of a key, and named at the call"
    )]
    pub fn choose(
        &self,
        now: Time,
        pool: Pool<'_>,
        protocol: Protocol,
        inside: SocketAddrV4,
        inside_zone: Zone,
        remote: SocketAddrV4,
        outside_zone: Zone,
    ) -> Result<SocketAddrV4, Exhausted> {
        let now = self.at(now);
        let host = u64::from(inside.ip().to_bits()) << 32 | u64::from(inside_zone.0);
        let pairing = self.secret.mix(host, 0, 2).0;
        let far = u64::from(remote.ip().to_bits()) << 16 | u64::from(remote.port());
        // Never what others opened: one tenant must not be seen in the ports of another (I1). The time keeps a host that opens the same
        // tuple over and over from walking past all that rest.
        let draw = self.secret.mix(far ^ now.rotate_left(32), u64::from(inside.port()), pairing).0;
        let has_ports = matches!(protocol, Protocol::TCP | Protocol::UDP | Protocol::ICMP);
        let (first, last) = if has_ports { (pool.first_port, pool.last_port) } else { (0, 0) };
        let ports =
            Shuffle::new(u32::from(last).saturating_add(1).saturating_sub(first.into()), draw);
        let start = pairing.checked_rem(pool.addresses.len() as u64).unwrap_or(0);
        let (before, from) = pool
            .addresses
            .split_at_checked(usize::try_from(start).unwrap_or(0))
            .unwrap_or_default();
        for address in from.iter().chain(before) {
            let destination = SocketAddrV4::new(*address, 0);
            let key = Key::new(outside_zone, &FiveTuple { protocol, source: remote, destination });
            for (tries, port) in ports.enumerate() {
                let port = u16::try_from(port).unwrap_or(u16::MAX).saturating_add(first);
                if self.is_free(now, &key.with_port(port)) {
                    return Ok(SocketAddrV4::new(*address, port));
                }
                if tries == PATIENCE
                    && let Some(known) = self.known_free(now, &key, first..=last, draw)
                {
                    match known {
                        Some(port) => return Ok(SocketAddrV4::new(*address, port)),
                        None => break,
                    }
                }
            }
        }
        Err(Exhausted)
    }

    /// A free port by what is known of a crowd, or that there is none; nothing if that is not known for certain.
    fn known_free(
        &self,
        now: u64,
        key: &Key,
        ports: RangeInclusive<u16>,
        draw: u64,
    ) -> Option<Option<u16>> {
        let crowd = self.crowds.known(key)?;
        let [a, b, c, d, ..] = draw.to_le_bytes();
        match self.crowds.free(crowd, ports, u32::from_le_bytes([a, b, c, d])) {
            // A flow that keeps its source may have it.
            Some(port) => self.is_free(now, &key.with_port(port)).then_some(Some(port)),
            // What has rested is free, though it was not removed yet.
            None => {
                let flows = self.wheel.next().saturating_add(self.hold.shortest());
                (self.hold.next() > now && flows > now).then_some(None)
            }
        }
    }

    /// Looks which ports of a crowd are taken: a word at a time, so that no packet waits long.
    fn fill(&mut self, crowd: usize) {
        let Some(first) = self.crowds.next_word(crowd) else { return };
        let is_taken = |bit: &u16| {
            let key = first.with_port(first.port() | bit);
            let hash = self.secret.hash(&key);
            let of_flow = self
                .lookup(hash, &key)
                .and_then(|(slot, _)| self.records.get(slot))
                .is_some_and(Record::is_translated);
            of_flow || self.hold.has(hash, &key)
        };
        let word = (0..64).filter(is_taken).fold(0, |word, bit| word | 1_u64 << bit);
        self.crowds.fill(crowd, word);
    }

    /// Whether no flow has an outside key, and it does not rest. A flow past its deadline rests from then on, removed or not.
    fn is_free(&self, now: u64, key: &Key) -> bool {
        let hash = self.secret.hash(key);
        if let Some((slot, _)) = self.lookup(hash, key) {
            let Some(record) = self.records.get(slot) else { return true };
            return self.deadline(record) <= now && !self.must_rest(now, record);
        }
        !self.hold.holds(now, hash, key)
    }

    /// Whether the external tuple of a flow still has to rest after its deadline.
    fn must_rest(&self, now: u64, record: &Record<T>) -> bool {
        let kind = Kind::of(record.protocol(), record.state, record.state.cause_of_expiry());
        record.is_translated() && self.hold.until(kind, self.deadline(record)) > now
    }

    /// Which flows a new one would take the place of, if it may be opened.
    fn replaced_by(&self, now: u64, new: &NewFlow<T>) -> Result<Replaced, OpenError> {
        let outside = new.key(Side::Outside);
        if new.key(Side::Inside) == outside
            || self.hold.holds(now, self.secret.hash(&outside), &outside)
        {
            return Err(OpenError::TupleInUse);
        }
        let first = self.giving_way(now, new, new.opener, None)?;
        let second = self.giving_way(now, new, new.opener.other(), first)?;
        let replaced = Replaced([first, second]);
        let mut slots = replaced.0.iter().flatten().filter_map(|slot| self.records.get(*slot));
        let full = self.records.is_full() && slots.clone().next().is_none();
        let no_cell = !self.cells.has_room(new.cell)
            && !slots.any(|record| self.cells.goes_with_its_last(record.cell));
        if full || no_cell {
            return Err(OpenError::TableFull);
        }
        Ok(replaced)
    }

    /// The flow that has the key of one side of a new one, if it may give way: past its deadline, or over and opened by the same packets.
    /// What it held as its external tuple goes without rest only to the host that had it (N10).
    fn giving_way(
        &self,
        now: u64,
        new: &NewFlow<T>,
        side: Side,
        already: Option<u32>,
    ) -> Result<Option<u32>, OpenError> {
        let key = new.key(side);
        let found = self.lookup(self.secret.hash(&key), &key);
        let Some((slot, found)) = found.filter(|(slot, _)| already != Some(*slot)) else {
            return Ok(None);
        };
        let Some(record) = self.records.get(slot) else { return Ok(None) };
        let reopens = side == new.opener && found == record.opener() && record.is_over();
        let takes_over = record.key(Side::Outside) == new.key(Side::Outside)
            && record.key(Side::Inside) != new.key(Side::Inside);
        if self.deadline(record) > now && !reopens || takes_over && self.must_rest(now, record) {
            return Err(OpenError::TupleInUse);
        }
        Ok(Some(slot))
    }

    /// Both keys of a new flow into the index, or none.
    fn enter(&mut self, slot: u32, new: &NewFlow<T>) -> bool {
        let [inside, outside] = [Side::Inside, Side::Outside]
            .map(|side| (self.secret.hash(&new.key(side)), number(slot, side)));
        if !self.index.insert(inside.0, inside.1) {
            return false;
        }
        if !self.index.insert(outside.0, outside.1) {
            self.index.remove(inside.0, inside.1);
            return false;
        }
        true
    }
}

/// All numbers below a limit, each once, in a random order: a keyed permutation of the next even power of two (Luby and Rackoff's
/// Feistel network), less what is beyond the limit.
#[derive(Clone, Copy)]
struct Shuffle {
    limit: u32,
    /// Half the bits of a number.
    bits: u32,
    keys: [u32; 4],
    next: u32,
}

impl Shuffle {
    fn new(limit: u32, draw: u64) -> Self {
        let bits =
            u32::BITS.wrapping_sub(limit.saturating_sub(1).leading_zeros()).div_ceil(2).max(1);
        let [a, b, c, d, e, f, g, h] = draw.to_be_bytes();
        let (left, right) = (u32::from_be_bytes([a, b, c, d]), u32::from_be_bytes([e, f, g, h]));
        Self {
            limit,
            bits,
            keys: [left, right, left.rotate_left(16), right.rotate_left(16)],
            next: 0,
        }
    }

    fn permute(&self, number: u32) -> u32 {
        let mask = (1_u32 << self.bits).wrapping_sub(1);
        let (mut left, mut right) = (number >> self.bits, number & mask);
        for key in self.keys {
            let mixed = (right ^ key).wrapping_mul(0x9E37_79B1);
            let mixed = (mixed ^ mixed >> 15 ^ key).wrapping_mul(0x85EB_CA77);
            (left, right) = (right, left ^ (mixed >> 16 & mask));
        }
        left << self.bits | right
    }
}

impl Iterator for Shuffle {
    type Item = u32;

    #[inline]
    fn next(&mut self) -> Option<u32> {
        while self.next >> self.bits >> self.bits == 0 {
            let number = self.permute(self.next);
            self.next = self.next.wrapping_add(1);
            if number < self.limit {
                return Some(number);
            }
        }
        None
    }
}
