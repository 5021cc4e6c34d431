//! The hash index, which finds the slot of a key. One cache line covers twelve keys.
//!
//! - A bucket holds a signature of one byte for each of its keys, compared all at once, and their
//!   numbers.
//! - Every key has two buckets, one in each half of the index, and uses the first unless that is
//!   full.
//! - A keyed hash decides which two, so nobody outside can choose keys that collide
//!   (INV-collisions-harmless).
//! - A bucket counts its keys that are in their second bucket, so a miss usually reads one line.
//! - The caller compares keys; the index knows only hashes.
//!
//! Colliding keys are never refused, even if somebody knows the hash key. A key without room in its
//! two buckets strays to the next bucket with room, from a third place on. Only lookups whose first
//! bucket has strays search there.

use crate::table::bucket::{Bucket, DISPLACED, NUMBER, STRAY, WAYS, way_of};

/// The keyed hash of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Hash(pub(crate) u64);

/// Maps hashes to numbers below 2^30.
pub(crate) struct Index {
    buckets: Vec<Bucket>,
    half: u32,
    /// Keys that are in neither of their two buckets.
    strays: u32,
    /// The farthest that a stray has ever been from its third place, in buckets.
    reach: u32,
}

impl Index {
    /// Makes room for `keys` keys at a load of at most 0.8.
    pub(crate) fn new(keys: u32) -> Self {
        let half = u64::from(keys).saturating_mul(5).div_ceil(4 * 12 * 2).saturating_add(1);
        let half = u32::try_from(half).unwrap_or(u32::MAX / 2);
        let buckets = vec![Bucket::EMPTY; (half as usize).saturating_mul(2)];
        Self { buckets, half, strays: 0, reach: 0 }
    }

    /// Finds the number of the key with this hash that `is_it` accepts.
    #[inline]
    pub(crate) fn find(&self, hash: Hash, mut is_it: impl FnMut(u32) -> bool) -> Option<u32> {
        let signature = hash.signature();
        let place = self.first(hash);
        let first = self.bucket(place)?;
        if let Some(number) = first.find(signature, &mut is_it) {
            return Some(number);
        }
        if first.has_all() {
            return None;
        }
        let second = self.bucket(self.second(place, signature))?.find(signature, &mut is_it);
        if second.is_some() || first.strays() == 0 {
            return second;
        }
        self.stray_places(hash).find_map(|place| self.bucket(place)?.find(signature, &mut is_it))
    }

    /// Gives the number that a lookup will probably find, which a batch reads ahead. `u32::MAX` if
    /// it will find none.
    #[inline]
    pub(crate) fn candidate(&self, hash: Hash) -> u32 {
        let signature = hash.signature();
        let place = self.first(hash);
        let likely = |place| {
            let bucket = self.bucket(place)?;
            let way = way_of(bucket.ways(signature))?;
            bucket.numbers.get(way).map(|number| number & NUMBER)
        };
        likely(place).or_else(|| likely(self.second(place, signature))).unwrap_or(u32::MAX)
    }

    /// Reads the line that a lookup will need, so that it is fetched early.
    #[inline]
    pub(crate) fn read_ahead(&self, hash: Hash) -> u32 {
        self.bucket(self.first(hash)).map_or(0, |bucket| bucket.numbers[0])
    }

    /// Adds a key. It fails only if all buckets are full, which cannot happen within the index's
    /// capacity.
    #[must_use]
    #[inline]
    pub(crate) fn insert(&mut self, hash: Hash, number: u32) -> bool {
        self.insert_near(hash, number) || self.insert_stray(hash, number)
    }

    /// Adds a key to one of its two buckets. It fails without a change if two moves of other keys
    /// make no room, which is improbable at this load.
    #[must_use]
    pub(crate) fn insert_near(&mut self, hash: Hash, number: u32) -> bool {
        let signature = hash.signature();
        let first = self.first(hash);
        let second = self.second(first, signature);
        let Some((place, way)) = self.make_room(first, second) else { return false };
        let mark = if place == first { 0 } else { DISPLACED };
        if let Some(bucket) = self.bucket_mut(place) {
            bucket.put(way, signature, number | mark);
        }
        if place != first
            && let Some(bucket) = self.bucket_mut(first)
        {
            bucket.displace(1);
        }
        true
    }

    /// Adds a key to the next bucket with room, from its third place on.
    #[cold]
    fn insert_stray(&mut self, hash: Hash, number: u32) -> bool {
        let first = self.first(hash);
        let mut free = self
            .places_from(self.third(hash))
            .zip(0..)
            .filter_map(|(place, step)| Some((place, step, self.bucket(place)?.free()?)));
        let Some((place, step, way)) = free.next() else { return false };
        if let Some(bucket) = self.bucket_mut(place) {
            bucket.put(way, hash.signature(), number | STRAY);
        }
        if let Some(bucket) = self.bucket_mut(first) {
            bucket.stray(1);
        }
        self.strays = self.strays.saturating_add(1);
        self.reach = self.reach.max(step);
        true
    }

    /// Removes a stray key; says whether it was there.
    #[cold]
    fn remove_stray(&mut self, hash: Hash, number: u32) -> bool {
        let mark = number | STRAY;
        let has_it = |place: &usize| {
            self.bucket(*place).is_some_and(|bucket| bucket.holds(hash.signature(), mark))
        };
        let Some(place) = self.stray_places(hash).find(has_it) else { return false };
        if let Some(bucket) = self.bucket_mut(place) {
            bucket.take(hash.signature(), mark);
        }
        let first = self.first(hash);
        if let Some(bucket) = self.bucket_mut(first) {
            bucket.stray(-1);
        }
        self.strays = self.strays.saturating_sub(1);
        if self.strays == 0 {
            self.reach = 0;
        }
        true
    }

    /// Lists the buckets where a key may have strayed.
    fn stray_places(&self, hash: Hash) -> impl Iterator<Item = usize> {
        self.places_from(self.third(hash)).take((self.reach as usize).saturating_add(1))
    }

    /// Lists all buckets in a loop from `start`.
    fn places_from(&self, start: usize) -> impl Iterator<Item = usize> + use<> {
        let count = self.buckets.len();
        (start..count).chain(0..start.min(count))
    }

    /// Gives the place from which a key strays.
    #[allow(clippy::cast_possible_truncation, reason = "the lower half is wanted")]
    fn third(&self, hash: Hash) -> usize {
        scale(hash.0 as u32, self.half.wrapping_mul(2))
    }

    /// Removes a key; says whether it was there.
    pub(crate) fn remove(&mut self, hash: Hash, number: u32) -> bool {
        let signature = hash.signature();
        let first = self.first(hash);
        if self.bucket_mut(first).is_some_and(|bucket| bucket.take(signature, number)) {
            return true;
        }
        let second = self.second(first, signature);
        let found = self
            .bucket_mut(second)
            .is_some_and(|bucket| bucket.take(signature, number | DISPLACED));
        if found && let Some(bucket) = self.bucket_mut(first) {
            bucket.displace(-1);
        }
        found || self.strays != 0 && self.remove_stray(hash, number)
    }

    /// Finds a free place in one of two buckets, and moves keys to their other bucket if needed.
    fn make_room(&mut self, first: usize, second: usize) -> Option<(usize, usize)> {
        for place in [first, second] {
            if let Some(way) = self.bucket(place)?.free() {
                return Some((place, way));
            }
        }
        for depth in [1, 2] {
            for place in [first, second] {
                for way in 0..WAYS {
                    if self.move_away(place, way, depth) {
                        return Some((place, way));
                    }
                }
            }
        }
        None
    }

    /// Moves a key to its other bucket, if that has room. At depth 2 it may first move one more
    /// key.
    fn move_away(&mut self, place: usize, way: usize, depth: u32) -> bool {
        let Some((signature, number)) = self.bucket(place).and_then(|bucket| bucket.get(way))
        else {
            return false;
        };
        // A stray does not tell its two buckets.
        if number & STRAY != 0 {
            return false;
        }
        let other = self.second(place, signature);
        let Some(target) = self.bucket(other) else { return false };
        let room = match target.free() {
            Some(room) => room,
            None if depth < 2 => return false,
            None => match (0..WAYS).find(|way| self.move_away(other, *way, 1)) {
                Some(room) => room,
                None => return false,
            },
        };
        if let Some(bucket) = self.bucket_mut(other) {
            bucket.put(room, signature, number ^ DISPLACED);
            if number & DISPLACED != 0 {
                bucket.displace(-1);
            }
        }
        if let Some(bucket) = self.bucket_mut(place) {
            bucket.put(way, 0, 0);
            if number & DISPLACED == 0 {
                bucket.displace(1);
            }
        }
        true
    }

    #[inline]
    fn bucket(&self, place: usize) -> Option<&Bucket> {
        self.buckets.get(place)
    }

    #[inline]
    fn bucket_mut(&mut self, place: usize) -> Option<&mut Bucket> {
        self.buckets.get_mut(place)
    }

    /// Gives the first bucket of a key: the upper half of the hash, scaled.
    #[inline]
    fn first(&self, hash: Hash) -> usize {
        scale(hash.upper(), self.half.wrapping_mul(2))
    }

    /// Gives the other bucket of a key in this one. It is in the other half, so it is never the
    /// same.
    #[inline]
    fn second(&self, place: usize, signature: u8) -> usize {
        let half = self.half as usize;
        let step = scale(u32::from(signature).wrapping_mul(0x9E37_79B1), self.half);
        if place < half {
            let other = place.wrapping_add(step);
            if other < half { other.wrapping_add(half) } else { other }
        } else {
            let other = place.wrapping_sub(step);
            if other < half { other } else { other.wrapping_sub(half) }
        }
    }
}

impl Hash {
    /// Takes the lowest bits, but never 0, which marks free ways.
    #[inline]
    #[allow(clippy::cast_possible_truncation, reason = "the lowest byte is wanted")]
    const fn signature(self) -> u8 {
        let signature = self.0 as u8;
        if signature == 0 { 1 } else { signature }
    }

    #[inline]
    #[allow(clippy::cast_possible_truncation, reason = "32 bits are left")]
    const fn upper(self) -> u32 {
        (self.0 >> 32) as u32
    }
}

/// Maps 32 evenly distributed bits to a number below `limit`.
#[inline]
#[allow(clippy::cast_possible_truncation, reason = "less than limit, which is a u32")]
const fn scale(bits: u32, limit: u32) -> usize {
    ((bits as u64).wrapping_mul(limit as u64) >> 32) as usize
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_bucket_is_one_cache_line() {
        assert_eq!(size_of::<Bucket>(), 64);
    }

    /// Spreads consecutive numbers as the real hash does.
    fn hash(number: u32) -> Hash {
        let mixed = u64::from(number).wrapping_add(1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        Hash((mixed ^ mixed >> 29).wrapping_mul(0xBF58_476D_1CE4_E5B9))
    }

    #[test]
    fn index_takes_its_full_capacity() {
        for keys in [1, 2, 3, 10, 100, 1000, 50_000] {
            let mut index = Index::new(keys);
            assert!((0..keys).all(|number| index.insert(hash(number), number)), "{keys}");
            for number in 0..keys {
                assert_eq!(index.find(hash(number), |found| found == number), Some(number));
            }
            assert_eq!(index.find(hash(keys), |found| found == keys), None);
            assert!((0..keys).all(|number| index.remove(hash(number), number)));
            assert!(index.buckets.iter().all(Bucket::is_empty), "nothing is left");
        }
    }

    #[test]
    fn unplaceable_key_changes_nothing() {
        let mut index = Index::new(24);
        // All have one signature and one first bucket, so two buckets' worth fit.
        let placed = (0..100).take_while(|number| index.insert_near(Hash(1), *number)).count();
        assert_eq!(placed, 2 * WAYS);
        let found =
            (0..100).filter(|number| index.find(Hash(1), |other| other == *number).is_some());
        assert_eq!(found.count(), 2 * WAYS);
        assert!(index.remove(Hash(1), 5) && !index.remove(Hash(1), 5));
        assert!(index.insert_near(Hash(1), 77));
    }

    /// The index is filled until nearly every new key moves others, in both directions.
    #[test]
    fn full_index_finds_every_key() {
        for keys in [100, 1000, 10_000] {
            let mut index = Index::new(keys);
            let taken: Vec<u32> =
                (0..2 * keys).filter(|number| index.insert_near(hash(*number), *number)).collect();
            assert!(taken.len() * 100 > index.buckets.len() * WAYS * 98, "{}", taken.len());
            for (at, number) in taken.iter().enumerate() {
                for number in taken.iter().skip(at) {
                    let found = index.find(hash(*number), |found| found == *number);
                    assert_eq!(found, Some(*number));
                    if keys > 1000 {
                        break;
                    }
                }
                assert!(index.remove(hash(*number), *number));
            }
            assert!(index.buckets.iter().all(Bucket::is_empty), "nothing is left");
        }
    }

    impl Index {
        /// Gives the two buckets of a key.
        pub(crate) fn buckets_of(&self, hash: Hash) -> [usize; 2] {
            let first = self.first(hash);
            [first, self.second(first, hash.signature())]
        }
    }

    impl Bucket {
        fn is_empty(&self) -> bool {
            self.signatures == [0; 16]
        }
    }

    /// Compares with each signature by itself. The counters behind them never match.
    #[test]
    fn all_ways_are_compared_at_once() {
        let mut bucket = Bucket::EMPTY;
        for way in 0..WAYS {
            bucket.put(way, [0, 1, 0x80, 0xFF, 2, 1, 0, 0x7F, 0x80, 0xFF, 0, 3][way], 7);
        }
        bucket.set_elsewhere([0x8002, 0x0101]);
        for signature in 0..=u8::MAX {
            let ways = (0..WAYS).filter(|way| bucket.get(*way).unwrap().0 == signature);
            let ways = ways.fold(0, |ways, way| ways | 1 << way);
            assert_eq!(bucket.ways(signature), ways, "{signature}");
        }
    }

    /// Whatever keys somebody chooses, an index takes as many as its capacity. Equal hashes are the
    /// worst case (INV-collisions-harmless).
    #[test]
    fn keys_that_meet_are_never_refused() {
        for keys in [1, 24, 500] {
            let mut index = Index::new(keys);
            assert!((0..keys).all(|number| index.insert(Hash(7 << 40 | 1), number)), "{keys}");
            let others: Vec<_> = (0..index.buckets.len() * WAYS - keys as usize)
                .map(|number| {
                    let number = u32::try_from(number).unwrap();
                    assert!(index.insert(hash(number), keys + number));
                    number
                })
                .collect();
            assert!(!index.insert(hash(1), 1), "and no more than fit");
            for number in 0..keys {
                let found = index.find(Hash(7 << 40 | 1), |found| found == number);
                assert_eq!(found, Some(number));
            }
            for number in &others {
                let found = index.find(hash(*number), |found| found == keys + number);
                assert_eq!(found, Some(keys + number));
            }
            assert!((0..keys).all(|number| index.remove(Hash(7 << 40 | 1), number)));
            assert!(others.iter().all(|number| index.remove(hash(*number), keys + number)));
            assert!(index.buckets.iter().all(Bucket::is_empty), "nothing is left");
            assert_eq!((index.strays, index.reach), (0, 0));
        }
    }

    /// If more than 65,535 keys of one bucket stray, lookups of that bucket search for strays for
    /// good.
    #[test]
    fn saturated_stray_count_stays() {
        let mut bucket = Bucket::EMPTY;
        bucket.stray(i16::MAX);
        bucket.stray(i16::MAX);
        bucket.stray(1);
        assert_eq!(bucket.strays(), u16::MAX);
        bucket.stray(-1);
        assert_eq!(bucket.strays(), u16::MAX);
        bucket.displace(1);
        bucket.displace(-1);
        assert_eq!(bucket.elsewhere(), [0, u16::MAX]);
    }

    /// A free way still holds a number that was removed from it.
    #[test]
    fn a_free_way_is_never_found() {
        for signature in 0..=u8::MAX {
            let hash = Hash(signature.into());
            let mut index = Index::new(24);
            assert!((1..4).all(|number| index.insert(hash, number)));
            index.remove(hash, 2);
            let mut seen = Vec::new();
            index.find(hash, |number| {
                seen.push(number);
                false
            });
            assert_eq!(seen, [1, 3], "{signature}");
        }
    }

    proptest! {
        /// Compares with a list. Few hashes make keys collide and move.
        #[test]
        fn an_index_agrees_with_a_list(
            room in 8_u32..200,
            moves in proptest::collection::vec((any::<bool>(), 0_u64..40, any::<prop::sample::Index>()), 0..300),
        ) {
            let mut index = Index::new(room);
            let mut list = Vec::new();
            for (number, (add, seed, which)) in (0..).zip(moves) {
                let hash = hash(u32::try_from(seed).unwrap());
                if add {
                    if index.insert(hash, number) {
                        list.push((hash, number));
                    }
                } else if !list.is_empty() {
                    let (hash, number) = list.swap_remove(which.index(list.len()));
                    prop_assert!(index.remove(hash, number));
                    prop_assert!(!index.remove(hash, number));
                }
                for (hash, number) in &list {
                    prop_assert_eq!(index.find(*hash, |found| found == *number), Some(*number));
                }
            }
            for (hash, number) in list {
                prop_assert!(index.remove(hash, number));
            }
            prop_assert!(index.buckets.iter().all(Bucket::is_empty));
        }
    }
}
