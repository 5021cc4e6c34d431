//! Bitmaps of ports towards remotes for which thousands of tuples are taken.
//!
//! Towards most remotes a random port is free at the first try. Where many are taken, trying ports
//! one by one takes ever longer, as in a flood of connections to one service. Such a remote gets a
//! bitmap of its ports, which gives a free port at once, or tells that there is none. Flows that
//! open meanwhile fill the bitmap a word at a time. Until it is complete, ports are tried.

use core::ops::RangeInclusive;

use crate::table::key::{Key, Secret};

/// Counts taken tuples, roughly for all remotes and exactly for those with a port bitmap. Flows and
/// hold-down take tuples.
pub(crate) struct PortBitmaps {
    /// Counts by the hash of address and remote; several remotes may share one. [`CROWDED`] is set
    /// if one of them has a port bitmap.
    counts: Vec<u32>,
    port_bitmaps: Vec<Option<PortBitmap>>,
    /// The ports of each port bitmap.
    taken: Vec<[u64; WORDS]>,
    secret: Secret,
}

#[derive(Clone, Copy)]
struct PortBitmap {
    /// Protocol, zone, external address and remote; the external port is 0.
    key: Key,
    /// Words that have been filled.
    filled: usize,
    /// Ports taken in filled words.
    count: u32,
}

const WORDS: usize = 1024;
/// The bits of even ports.
const EVEN: u64 = 0x5555_5555_5555_5555;
const CROWDED: u32 = 1 << 31;
/// The count at which a remote gets a port bitmap. It loses the bitmap below a quarter of this.
const THRESHOLD: u32 = 2048;

impl PortBitmaps {
    /// Makes counts for a table of so many flows: 1 byte for each, and at most 64 port bitmaps.
    pub(crate) fn new(flows: u32, secret: Secret) -> Self {
        let port_bitmaps = (flows / 8192).min(64) as usize;
        let counts = if port_bitmaps == 0 { 0 } else { flows as usize / 16 };
        Self {
            counts: vec![0; counts],
            port_bitmaps: vec![None; port_bitmaps],
            taken: vec![[0; WORDS]; port_bitmaps],
            secret,
        }
    }

    /// Counts a tuple as taken, and gives the port bitmap that is to be filled further.
    pub(crate) fn take(&mut self, key: &Key) -> Option<usize> {
        let place = self.place(key);
        let count = self.counts.get_mut(place?)?;
        *count = count.saturating_add(1);
        if *count < THRESHOLD {
            return None;
        }
        let count = *count & !CROWDED;
        let number = self.find(key).or_else(|| self.promote(key, count))?;
        self.mark(number, key.port(), true);
        let port_bitmap = self.port_bitmaps.get(number)?.as_ref()?;
        (port_bitmap.filled < WORDS).then_some(number)
    }

    /// Counts a tuple as free.
    pub(crate) fn release(&mut self, key: &Key) {
        let place = self.place(key);
        let Some(count) = place.and_then(|place| self.counts.get_mut(place)) else { return };
        let crowded = *count & CROWDED != 0;
        *count = (*count & !CROWDED).saturating_sub(1) | *count & CROWDED;
        if crowded && let Some(number) = self.find(key) {
            self.mark(number, key.port(), false);
            self.demote_if_small(number);
        }
    }

    /// Gives the tuple of the first port of the next word to fill.
    pub(crate) fn next_word(&self, number: usize) -> Option<Key> {
        let port_bitmap = self.port_bitmaps.get(number)?.as_ref()?;
        Some(port_bitmap.key.with_port(u16::try_from(port_bitmap.filled << 6).ok()?))
    }

    /// Fills the next word.
    pub(crate) fn fill(&mut self, number: usize, word: u64) {
        let Some(Some(port_bitmap)) = self.port_bitmaps.get_mut(number) else {
            debug_assert!(false, "only a port bitmap is filled");
            return;
        };
        let place = self.taken.get_mut(number).and_then(|words| words.get_mut(port_bitmap.filled));
        if let Some(place) = place {
            *place = word;
            port_bitmap.filled = port_bitmap.filled.saturating_add(1);
            port_bitmap.count = port_bitmap.count.saturating_add(word.count_ones());
        }
        self.demote_if_small(number);
    }

    /// Gives the port bitmap of a tuple, if it is complete.
    pub(crate) fn known(&self, key: &Key) -> Option<usize> {
        let count = self.counts.get(self.place(key)?)?;
        if count & CROWDED == 0 {
            return None;
        }
        let number = self.find(key)?;
        let port_bitmap = self.port_bitmaps.get(number)?.as_ref()?;
        (port_bitmap.filled == WORDS).then_some(number)
    }

    /// Gives a random free port of a port bitmap, of one parity if given. Every free port is
    /// equally likely.
    pub(crate) fn free(
        &self,
        number: usize,
        ports: RangeInclusive<u16>,
        parity: Option<u16>,
        draw: u32,
    ) -> Option<u16> {
        let wanted = match parity {
            None => u64::MAX,
            Some(0) => EVEN,
            Some(_) => !EVEN,
        };
        let words = self.taken.get(number)?;
        let (first, last) = (usize::from(ports.start() >> 6), usize::from(ports.end() >> 6));
        let words = words.get(first..=last)?;
        let free = |place: usize, word: u64| {
            let behind = if place == 0 { u64::MAX << (ports.start() & 63) } else { u64::MAX };
            let before = if place == last.wrapping_sub(first) {
                u64::MAX >> (!ports.end() & 63)
            } else {
                u64::MAX
            };
            !word & behind & before & wanted
        };
        let free = || words.iter().enumerate().map(|(place, word)| (place, free(place, *word)));
        let count: u32 = free().map(|(_, word)| word.count_ones()).sum();
        let mut skip = u32::try_from(u64::from(draw).wrapping_mul(count.into()) >> 32).ok()?;
        for (place, mut word) in free() {
            if word.count_ones() <= skip {
                skip = skip.saturating_sub(word.count_ones());
                continue;
            }
            for _ in 0..skip {
                word &= word.wrapping_sub(1);
            }
            let place = u32::try_from(first.wrapping_add(place)).ok()?;
            return u16::try_from(place << 6 | word.trailing_zeros()).ok();
        }
        None
    }

    /// Gives a remote a port bitmap, if that remote makes the count high and there is room.
    fn promote(&mut self, key: &Key, count: u32) -> Option<usize> {
        let place = self.place(key);
        let of_others = self
            .port_bitmaps
            .iter()
            .flatten()
            .filter(|port_bitmap| self.place(&port_bitmap.key) == place)
            .fold(0_u32, |sum, port_bitmap| sum.saturating_add(port_bitmap.count));
        if count.saturating_sub(of_others) < THRESHOLD {
            return None;
        }
        let number = self.port_bitmaps.iter().position(Option::is_none)?;
        *self.port_bitmaps.get_mut(number)? =
            Some(PortBitmap { key: key.with_port(0), filled: 0, count: 0 });
        *self.counts.get_mut(place?)? |= CROWDED;
        Some(number)
    }

    /// Drops a port bitmap with few taken ports.
    fn demote_if_small(&mut self, number: usize) {
        let Some(&Some(PortBitmap { key, filled, count })) = self.port_bitmaps.get(number) else {
            debug_assert!(false, "a port bitmap is dropped once");
            return;
        };
        if filled < WORDS || count >= THRESHOLD / 4 {
            return;
        }
        if let Some(port_bitmap) = self.port_bitmaps.get_mut(number) {
            *port_bitmap = None;
        }
        let place = self.place(&key);
        let alone =
            !self.port_bitmaps.iter().flatten().any(|other| self.place(&other.key) == place);
        if alone && let Some(count) = place.and_then(|place| self.counts.get_mut(place)) {
            *count &= !CROWDED;
        }
    }

    /// Notes that a port is taken or free, if its word has been filled.
    fn mark(&mut self, number: usize, port: u16, taken: bool) {
        let Some(Some(port_bitmap)) = self.port_bitmaps.get_mut(number) else {
            debug_assert!(false, "only a port bitmap has ports");
            return;
        };
        let (place, bit) = (usize::from(port >> 6), 1_u64 << (port & 63));
        if place >= port_bitmap.filled {
            return;
        }
        let Some(word) = self.taken.get_mut(number).and_then(|words| words.get_mut(place)) else {
            debug_assert!(false, "every port bitmap has its words");
            return;
        };
        match (*word & bit != 0, taken) {
            (false, true) => port_bitmap.count = port_bitmap.count.saturating_add(1),
            (true, false) => port_bitmap.count = port_bitmap.count.saturating_sub(1),
            _ => return,
        }
        *word ^= bit;
    }

    fn find(&self, key: &Key) -> Option<usize> {
        let key = key.with_port(0);
        self.port_bitmaps.iter().position(|port_bitmap| {
            port_bitmap.as_ref().is_some_and(|port_bitmap| port_bitmap.key == key)
        })
    }

    fn place(&self, key: &Key) -> Option<usize> {
        let hash = self.secret.hash(&key.with_port(0)).0 >> 32;
        usize::try_from(hash.wrapping_mul(self.counts.len() as u64) >> 32).ok()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::net::{Ipv4Addr, SocketAddrV4};

    use proptest::prelude::*;
    use vnetem_packet::{FiveTuple, Protocol};

    use super::*;
    use crate::table::keys::Purpose;
    use crate::{Keys, Zone};

    fn secret(seed: u64) -> Secret {
        Secret::new(Keys::replayable(seed), Purpose::Index)
    }

    fn key(remote: u8, port: u16) -> Key {
        let source = SocketAddrV4::new(Ipv4Addr::new(52, 0, 0, remote), 443);
        let destination = SocketAddrV4::new(Ipv4Addr::new(20, 1, 1, 1), port);
        Key::new(Zone::PUBLIC, &FiveTuple { protocol: Protocol::TCP, source, destination })
    }

    /// Takes a port, and fills the bitmap from the set of taken ports.
    fn take(
        port_bitmaps: &mut PortBitmaps,
        taken: &mut BTreeSet<(u8, u16)>,
        remote: u8,
        port: u16,
    ) {
        taken.insert((remote, port));
        let Some(number) = port_bitmaps.take(&key(remote, port)) else { return };
        let first = port_bitmaps.next_word(number).unwrap().port();
        let bits = (0..64).filter(|bit| taken.contains(&(remote, first | bit)));
        let word = bits.fold(0, |word, bit| word | 1 << bit);
        port_bitmaps.fill(number, word);
    }

    #[test]
    fn bitmap_is_promoted_full_demoted_small() {
        let mut port_bitmaps = PortBitmaps::new(100_000, secret(1));
        let mut taken = BTreeSet::new();
        let mut known_at = 0;
        for port in 0..60_000 {
            take(&mut port_bitmaps, &mut taken, 1, port);
            if known_at == 0 && port_bitmaps.known(&key(1, 0)).is_some() {
                known_at = port;
            }
        }
        assert_eq!(known_at, 2047 + 1023);
        let number = port_bitmaps.known(&key(1, 9)).unwrap();
        assert_eq!(port_bitmaps.free(number, 0..=59_999, None, 7), None);
        assert_eq!(port_bitmaps.free(number, 59_999..=60_000, None, 7), Some(60_000));
        assert_eq!(port_bitmaps.known(&key(2, 0)), None);
        for port in 0..60_000 {
            port_bitmaps.release(&key(1, port));
            assert_eq!(port_bitmaps.known(&key(1, 0)).is_some(), port < 60_000 - 512, "{port}");
        }
        assert!(port_bitmaps.counts.iter().all(|count| *count == 0));
    }

    /// A remote's count goes up and down with its tuples.
    #[test]
    fn promotion_counts_ports_taken_together() {
        let mut port_bitmaps = PortBitmaps::new(8192, secret(7));
        let below = u16::try_from(THRESHOLD - 1).unwrap();
        for port in 0..below {
            assert_eq!(port_bitmaps.take(&key(1, port)), None);
        }
        (0..1000).for_each(|port| port_bitmaps.release(&key(1, port)));
        for port in 0..1000 {
            assert_eq!(port_bitmaps.take(&key(1, port)), None);
        }
        assert_eq!(port_bitmaps.take(&key(1, below)), Some(0));
    }

    /// Remotes may share a count. One gets no port bitmap for what the other has taken.
    #[test]
    fn shared_count_promotes_no_other_remote() {
        let shared = |port_bitmaps: &PortBitmaps, other: &u8| {
            port_bitmaps.place(&key(*other, 0)) == port_bitmaps.place(&key(1, 0))
        };
        let (mut port_bitmaps, other) = (0..100)
            .map(|seed| PortBitmaps::new(2 * 8192, secret(seed)))
            .find_map(|port_bitmaps| {
                let other = (2..=u8::MAX).find(|other| shared(&port_bitmaps, other))?;
                Some((port_bitmaps, other))
            })
            .unwrap();
        let mut taken = BTreeSet::new();
        (0..4000).for_each(|port| take(&mut port_bitmaps, &mut taken, 1, port));
        assert!(port_bitmaps.known(&key(1, 0)).is_some());
        assert_eq!(port_bitmaps.take(&key(other, 0)), None);
        assert_eq!(port_bitmaps.known(&key(other, 0)), None);
        port_bitmaps.release(&key(other, 0));
        assert!(port_bitmaps.known(&key(1, 0)).is_some());
    }

    #[test]
    fn small_table_promotes_no_bitmap() {
        let mut port_bitmaps = PortBitmaps::new(8191, secret(1));
        assert!((0..u16::MAX).all(|port| port_bitmaps.take(&key(1, port)).is_none()));
        port_bitmaps.release(&key(1, 0));
        assert_eq!(port_bitmaps.known(&key(1, 0)), None);
    }

    #[test]
    fn every_free_port_is_equally_likely() {
        let mut port_bitmaps = PortBitmaps::new(100_000, secret(1));
        let mut taken = BTreeSet::new();
        for port in (0..10_000).filter(|port| port % 1000 != 7) {
            take(&mut port_bitmaps, &mut taken, 1, port);
        }
        let number = port_bitmaps.known(&key(1, 0)).unwrap();
        let draws = (0..10_u32).map(|tenth| tenth * (u32::MAX / 10) + 50);
        let found: Vec<_> =
            draws.map(|draw| port_bitmaps.free(number, 0..=9999, None, draw).unwrap()).collect();
        assert_eq!(found, (0..10).map(|thousand| thousand * 1000 + 7).collect::<Vec<_>>());
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 40, ..ProptestConfig::default() })]

        /// Compares with a set: a complete bitmap never mistakes a free port for a taken one, nor
        /// the reverse.
        #[test]
        fn bitmap_agrees_with_a_set(
            moves in proptest::collection::vec((0_u8..3, 0_u16..9000, 1_usize..3000, any::<bool>()), 1..20),
        ) {
            let mut port_bitmaps = PortBitmaps::new(20_000, secret(1));
            let mut taken = BTreeSet::new();
            for (remote, start, length, add) in moves {
                for port in (start..).take(length) {
                    if add && !taken.contains(&(remote, port)) {
                        take(&mut port_bitmaps, &mut taken, remote, port);
                    } else if !add && taken.remove(&(remote, port)) {
                        port_bitmaps.release(&key(remote, port));
                    }
                }
                for remote in 0..3 {
                    let Some(number) = port_bitmaps.known(&key(remote, 0)) else { continue };
                    let mut words = [0_u64; WORDS];
                    for (_, port) in taken.range((remote, 0)..=(remote, u16::MAX)) {
                        words[usize::from(port >> 6)] |= 1 << (port & 63);
                    }
                    prop_assert!(port_bitmaps.taken[number] == words);
                    for parity in [None, Some(0), Some(1)] {
                        let free = port_bitmaps.free(number, 100..=9000, parity, 0);
                        let fits = |port: &u16| parity.is_none_or(|parity| port & 1 == parity);
                        let is_free = |port: &u16| !taken.contains(&(remote, *port));
                        prop_assert_eq!(free, (100..=9000).filter(fits).find(is_free));
                    }
                }
            }
        }
    }
}
