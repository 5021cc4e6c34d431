//! Opening flows.

use vnetem_packet::{FiveTuple, Headers, tcp_options};

use crate::flow::track::segment_of;
use crate::mapping::mapping_policy::endpoint_independent;
use crate::table::detail::{Detail, Totals};
use crate::table::index::Hash;
use crate::table::key::Key;
use crate::table::record::Record;
use crate::table::slab::NIL;
use crate::table::{FLOWS, number};
use crate::{
    Block, Ended, FlowId, FlowTable, Inbound, NewFlow, OpenError, Resets, Side, Time, Zone,
};

/// A flow that may be opened, as [`FlowTable::may_open`] found: what [`FlowTable::enter`] need not
/// ask again.
///
/// It may be used at any later time: if anything has happened to the table meanwhile, `enter` does
/// ask again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Opening<T> {
    pub(crate) new: NewFlow<T>,
    /// Of its keys.
    hashes: [Hash; 2],
    /// The slots of flows that it takes the place of, past their deadline or over.
    pub(crate) replaced: [u32; 2],
    /// When it was found so.
    at: u64,
    changes: u64,
}

impl<T: Copy> Opening<T> {
    /// A flow that the table was not asked about yet: [`FlowTable::prepare`] does that.
    #[must_use]
    #[inline(always)] // an opening is long, and is built where it is to be
    pub const fn new(new: NewFlow<T>) -> Self {
        Self { new, hashes: [Hash(0); 2], replaced: [NIL; 2], at: u64::MAX, changes: u64::MAX }
    }

    /// The flow.
    #[must_use]
    #[inline]
    pub const fn flow(&self) -> &NewFlow<T> {
        &self.new
    }

    /// Flows that give way to it.
    #[must_use]
    pub fn replaces(&self) -> u32 {
        self.replaced.iter().map(|slot| u32::from(*slot != NIL)).sum()
    }
}

impl<T: Copy> FlowTable<T> {
    /// Whether a flow may be opened.
    ///
    /// # Errors
    ///
    /// See [`OpenError`]. Nothing else is in the way of [`enter`](Self::enter).
    #[inline]
    pub fn may_open(&self, now: Time, new: NewFlow<T>) -> Result<Opening<T>, OpenError> {
        let mut opening = Opening::new(new);
        self.prepare(now, &mut opening, None)?;
        Ok(opening)
    }

    /// Does what [`may_open`](Self::may_open) does for an opening that is in its place already;
    /// perhaps right after another one, with the room that this leaves. The table does not change.
    ///
    /// # Errors
    ///
    /// Those of `may_open`.
    #[inline]
    pub fn prepare(
        &self,
        now: Time,
        opening: &mut Opening<T>,
        before: Option<&Opening<T>>,
    ) -> Result<(), OpenError> {
        let at = self.at(now);
        (opening.hashes, opening.replaced) = self.replaced_by(at, &opening.new, before)?;
        (opening.at, opening.changes) = (at, self.changes);
        Ok(())
    }

    /// [`may_open`](Self::may_open) and [`enter`](Self::enter) at once, for callers that do not ask
    /// which flows gave way.
    ///
    /// # Errors
    ///
    /// Those of `may_open`. Nothing has changed then.
    pub fn open(
        &mut self,
        now: Time,
        new: NewFlow<T>,
        first: &Headers,
        packet: &[u8],
    ) -> Result<FlowId, OpenError> {
        let opening = self.may_open(now, new)?;
        self.enter(now, &opening, first, packet, &mut |_| {})
    }

    /// Opens a flow with its first packet: both index entries, or none. TCP tracking starts with
    /// the segment, and the packet is counted, so it is not tracked again. Whether it may open a
    /// flow at all is the caller's to ask ([`opens`](crate::opens)).
    ///
    /// A tombstone, a reset or a finished connection of the same initiator gives way
    /// (INV-syn-opens-anew), and so does a flow past its deadline: they go to `sink`, as those that
    /// [`expire`](Self::expire) ends go to its own.
    ///
    /// # Errors
    ///
    /// Those of [`may_open`](Self::may_open). Nothing has changed then.
    pub fn enter(
        &mut self,
        now: Time,
        opening: &Opening<T>,
        first: &Headers,
        packet: &[u8],
        sink: &mut dyn FnMut(Ended<T>),
    ) -> Result<FlowId, OpenError> {
        let new = &opening.new;
        let stands = opening.changes == self.changes && opening.at == self.at(now);
        let now = self.advance(now);
        let (hashes, replaced) = match stands {
            true => (opening.hashes, opening.replaced),
            false => self.replaced_by(now, new, None)?,
        };
        let external_side = new.key(Side::External);
        // What is replaced may be the last of a socket that goes on.
        let joined = self.mappings.join(now, new, &mut self.quota);
        let (share, takes) = joined.ok_or(OpenError::MappingsFull)?;
        for slot in replaced {
            if let Some(record) = self.records.get(slot) {
                let (cause, ended) =
                    (record.state.cause_of_expiry(), self.deadline(record).min(now));
                sink(Ended { flow: self.view(slot, record), cause, resets: Resets::default() });
                self.remove(slot, cause, ended, Some(&external_side));
            }
        }
        let Some((slot, revalidation_key)) = self.seat(new, hashes) else {
            self.mappings.part(now, share, 0, &external_side, &mut self.quota);
            return Err(OpenError::TableFull);
        };
        self.quota.take(FLOWS, self.revalidation_keys.tenant(revalidation_key));
        self.mappings.seat(slot, share);
        let stamp = self.details.get(slot as usize).map_or(0, |old| old.stamp);
        let mut record = Record::new(new, now, revalidation_key);
        let mut detail = Detail { generation: new.generation, stamp, ..Detail::default() };
        let totals = Totals { opened: now, ..Totals::default() };
        if let Some(segment) = segment_of(first) {
            let scale = tcp_options(packet, first).window_scale;
            record.connection(&mut detail).begin(&segment, scale);
        }
        record.count(|| None, new.initiator, first.total_length);
        let id = FlowId { slot, stamp };
        let deadline = self.deadline(&record);
        self.records.insert(record);
        match self.details.get_mut(slot as usize) {
            Some(old) => *old = detail,
            None => self.details.push(detail),
        }
        match self.totals.get_mut(slot as usize) {
            Some(old) => *old = totals,
            None => self.totals.push(totals),
        }
        self.wheel.insert(&mut self.chains, slot, deadline);
        self.revalidation_keys.link(&mut self.chains, &self.details, revalidation_key, slot);
        self.counters.opened = self.counters.opened.saturating_add(1);
        if new.internal != new.external {
            self.count(&external_side);
        }
        if takes {
            self.count(&endpoint_independent(&external_side));
        }
        Ok(id)
    }

    /// The inside socket to which a packet that entered by this zone may come though it has no flow
    /// (T-03, RFC 4787 REQ-8): one with [`Mapping::Independent`](crate::Mapping::Independent) and a
    /// filter that lets the sender in.
    #[must_use]
    pub fn inbound(&self, zone: Zone, tuple: &FiveTuple) -> Option<Inbound> {
        self.mappings.inbound(zone, tuple)
    }

    /// The block of ports that a flow's port is of, and how many flows that has: 1 when this one
    /// made it (T-37).
    #[must_use]
    pub fn block_of(&self, id: FlowId) -> Option<(Block, u32)> {
        self.record(id).and_then(|_| self.mappings.block_of(id.slot))
    }

    /// Counts an external tuple that is taken from now on.
    fn count(&mut self, external: &Key) {
        if let Some(port_bitmap) = self.port_bitmaps.take(external) {
            self.fill(port_bitmap);
        }
    }

    /// Looks which ports of a crowd are taken: a word at a time, so that no packet waits long.
    fn fill(&mut self, port_bitmap: usize) {
        let Some(first) = self.port_bitmaps.next_word(port_bitmap) else { return };
        let is_taken = |bit: &u16| {
            let key = first.with_port(first.port() | bit);
            let hash = self.secret.hash(&key);
            let of_flow = self
                .lookup(hash, &key)
                .and_then(|(slot, _)| self.records.get(slot))
                .is_some_and(|record| record.is_translated() && !record.is_released());
            of_flow || self.hold.has(hash, &key) || self.mappings.has_external(&key)
        };
        let word = (0..64).filter(is_taken).fold(0, |word, bit| word | 1_u64 << bit);
        self.port_bitmaps.fill(port_bitmap, word);
    }

    /// Enters a new flow in the index, by both keys or none, and gives its slot and its
    /// revalidation key's.
    fn seat(&mut self, new: &NewFlow<T>, [internal, external]: [Hash; 2]) -> Option<(u32, u32)> {
        let slot = self.records.vacant()?;
        let revalidation_key =
            self.revalidation_keys.join(new.revalidation_key, new.tenant, &mut self.quota)?;
        if self.index.insert(internal, number(slot, Side::Internal)) {
            if self.index.insert(external, number(slot, Side::External)) {
                return Some((slot, revalidation_key));
            }
            self.index.remove(internal, number(slot, Side::Internal));
        }
        self.revalidation_keys.leave(revalidation_key, &mut self.quota);
        None
    }
}

#[cfg(test)]
mod tests {
    use core::net::{Ipv4Addr, SocketAddrV4};

    use vnetem_packet::Protocol;

    use super::*;
    use crate::{Generation, Keys, MappingPolicy, Settings, Tenant};

    /// A datagram that nobody looks into.
    const PACKET: [u8; 28] = [
        0x45, 0, 0, 28, 0, 0, 0, 0, 64, 17, 0x66, 0xC9, 10, 0, 0, 4, 10, 0, 0, 5, 0, 9, 0, 9, 0, 8,
        0, 0,
    ];

    /// From a host of one network to another, as nothing of it is translated.
    fn inside_one_network(number: u32) -> NewFlow<()> {
        let [_, _, high, low] = number.to_be_bytes();
        let [_, host, ..] = number.to_be_bytes();
        let internal =
            SocketAddrV4::new(Ipv4Addr::new(10, 0, host, 4), u16::from_be_bytes([high, low]));
        NewFlow {
            protocol: Protocol::UDP,
            internal,
            internal_zone: Zone(7),
            external: internal,
            external_zone: Zone(8),
            remote: SocketAddrV4::new(Ipv4Addr::new(10, 0, 1, 5), 9),
            initiator: Side::Internal,
            revalidation_key: crate::RevalidationKey(1),
            tenant: Tenant::NOBODY,
            generation: Generation(1),
            cached: (),
            mapping_policy: MappingPolicy::default(),
        }
    }

    fn table(keys: Keys) -> FlowTable<()> {
        FlowTable::new(Settings { capacity: 64, keys, ..Settings::replayable(0) })
    }

    /// Flows that an attacker who knows the keys finds by trying, whose keys from the inside all
    /// have the two buckets of the victim's.
    fn colliding(known: &FlowTable<()>, victim: &NewFlow<()>, count: usize) -> Vec<NewFlow<()>> {
        let buckets = |new: &NewFlow<()>| {
            let hash = known.secret.hash(&new.key(Side::Internal));
            known.index.buckets_of(hash)
        };
        let tries = (1..).map(inside_one_network);
        tries.filter(|new| buckets(new) == buckets(victim)).take(count).collect()
    }

    /// INV-collisions-harmless: with more colliding flows than two buckets hold, the victim still
    /// finds room, and all are found.
    #[test]
    fn known_collisions_refuse_nobody() {
        let headers = Headers::parse(&PACKET).unwrap();
        let mut known = table(Keys::replayable(0));
        let victim = inside_one_network(0);
        let attack = colliding(&known, &victim, 40);
        for new in attack.iter().chain([&victim]) {
            assert!(known.open(Time(1), *new, &headers, &PACKET).is_ok());
        }
        for new in attack.iter().chain([&victim]) {
            let tuple = new.key(Side::Internal).tuple();
            assert!(known.find(Time(1), new.internal_zone, &tuple).is_some());
        }
        // Which buckets they would have under a key that the attacker does not know is another
        // question.
        let secret = table(Keys::secret([0x5A; 16]));
        let buckets = |new: &NewFlow<()>| {
            secret.index.buckets_of(secret.secret.hash(&new.key(Side::Internal)))
        };
        let meet = attack.iter().filter(|new| buckets(new) == buckets(&victim)).count();
        assert!(meet <= 2, "{meet} of 40 still meet the victim");
    }
}
