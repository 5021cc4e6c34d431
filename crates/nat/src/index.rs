//! The hash index: where a key's slot is. One cache line tells of twelve keys.
//!
//! A bucket holds the signatures of its keys, ten bits each, compared all at once, and the numbers that belong to them. Every key has two
//! buckets, one in each half of the index, and stands in the first unless that was full. Which two depends on a keyed hash, so that
//! nobody outside can choose keys that meet (I4). A bucket counts the keys that should be here and are in their second bucket, so that a
//! miss usually reads one line. The caller compares keys: the index knows only hashes.

/// The keyed hash of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Hash(pub(crate) u64);

/// Hashes to numbers below 2^31.
pub(crate) struct Index {
    buckets: Vec<Bucket>,
    half: u32,
}

#[repr(C, align(64))]
#[derive(Clone, Copy)]
struct Bucket {
    /// Twelve signatures, the first in the lowest bits, 0 where the place is free; and in the highest byte the number of keys whose first
    /// bucket is this one and that stand in their second. From 255 on that is not counted down again.
    signatures: u128,
    /// The numbers, and [`DISPLACED`] where this is the key's second bucket.
    numbers: [u32; WAYS],
}

const WAYS: usize = 12;
const BITS: usize = 10;
/// All bits of the first signature.
const SIGNATURE: u128 = 0x3FF;
/// The lowest bit of each signature, and the highest.
const LOWEST: u128 = 1 | 1 << 10 | 1 << 20 | 1 << 30 | 1 << 40 | FROM_50;
const FROM_50: u128 = 1 << 50 | 1 << 60 | 1 << 70 | 1 << 80 | 1 << 90 | 1 << 100 | 1 << 110;
const HIGHEST: u128 = LOWEST << (BITS - 1);
const DISPLACED: u32 = 1 << 31;

impl Index {
    /// Room for `keys` keys at a load of at most 0.8.
    pub(crate) fn new(keys: u32) -> Self {
        let half = u64::from(keys).saturating_mul(5).div_ceil(4 * 12 * 2).saturating_add(1);
        let half = u32::try_from(half).unwrap_or(u32::MAX / 2);
        Self { buckets: vec![Bucket::EMPTY; (half as usize).saturating_mul(2)], half }
    }

    /// The number of the key with this hash for which `is_it` says yes.
    #[inline]
    pub(crate) fn find(&self, hash: Hash, mut is_it: impl FnMut(u32) -> bool) -> Option<u32> {
        let signature = hash.signature();
        let place = self.first(hash);
        let first = self.bucket(place)?;
        if let Some(number) = first.find(signature, &mut is_it) {
            return Some(number);
        }
        if first.displaced() == 0 {
            return None;
        }
        self.bucket(self.second(place, signature))?.find(signature, &mut is_it)
    }

    /// The number that a lookup is likely to find, right or wrong: what a batch reads ahead. `u32::MAX` if it will find none.
    #[inline]
    pub(crate) fn candidate(&self, hash: Hash) -> u32 {
        let signature = hash.signature();
        let place = self.first(hash);
        let likely = |place| {
            let bucket = self.bucket(place)?;
            let way = place_of(bucket.ways(signature))?;
            bucket.numbers.get(way).map(|number| number & !DISPLACED)
        };
        likely(place).or_else(|| likely(self.second(place, signature))).unwrap_or(u32::MAX)
    }

    /// Reads the line that a lookup will need, so that it is on its way.
    #[inline]
    pub(crate) fn read_ahead(&self, hash: Hash) -> u32 {
        self.bucket(self.first(hash)).map_or(0, |bucket| bucket.numbers[0])
    }

    /// Adds a key. Fails, and changes nothing, if there is no room for it within two moves of other keys, which at this load is a
    /// matter of theory.
    #[must_use]
    pub(crate) fn insert(&mut self, hash: Hash, number: u32) -> bool {
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
            bucket.displace();
        }
        true
    }

    /// Takes a key out; says whether it was there.
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
            bucket.replace();
        }
        found
    }

    /// A free place in one of two buckets; keys move to their other bucket where needed.
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

    /// Moves a key to its other bucket, if that has room, or, at depth 2, can be given room by moving one more.
    fn move_away(&mut self, place: usize, way: usize, depth: u32) -> bool {
        let Some((signature, number)) = self.bucket(place).and_then(|bucket| bucket.get(way))
        else {
            return false;
        };
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
                bucket.replace();
            }
        }
        if let Some(bucket) = self.bucket_mut(place) {
            bucket.put(way, 0, 0);
            if number & DISPLACED == 0 {
                bucket.displace();
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

    /// The first bucket of a key: the upper half of the hash, scaled.
    #[inline]
    fn first(&self, hash: Hash) -> usize {
        scale(hash.upper(), self.half.wrapping_mul(2))
    }

    /// The other bucket of a key that is in this one. It is in the other half, so it is never the same.
    #[inline]
    fn second(&self, place: usize, signature: u16) -> usize {
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

impl Bucket {
    const EMPTY: Self = Self { signatures: 0, numbers: [0; WAYS] };

    #[inline]
    fn find(&self, signature: u16, is_it: &mut impl FnMut(u32) -> bool) -> Option<u32> {
        let mut ways = self.ways(signature);
        while let Some(way) = place_of(ways) {
            let number = self.numbers.get(way)? & !DISPLACED;
            if is_it(number) {
                return Some(number);
            }
            ways &= ways.wrapping_sub(1);
        }
        None
    }

    /// The highest bit of every place with this signature. Above the lowest such place there may be a wrong one.
    #[inline]
    fn ways(&self, signature: u16) -> u128 {
        let differences = self.signatures ^ LOWEST.wrapping_mul(signature.into());
        differences.wrapping_sub(LOWEST) & !differences & HIGHEST
    }

    fn free(&self) -> Option<usize> {
        place_of(self.ways(0))
    }

    #[allow(clippy::cast_possible_truncation, reason = "ten bits are left")]
    fn get(&self, way: usize) -> Option<(u16, u32)> {
        let signature = (self.signatures >> bit(way)) & SIGNATURE;
        Some((signature as u16, *self.numbers.get(way)?))
    }

    fn put(&mut self, way: usize, signature: u16, number: u32) {
        if let Some(old) = self.numbers.get_mut(way) {
            *old = number;
            let others = self.signatures & !(SIGNATURE << bit(way));
            self.signatures = others | u128::from(signature) << bit(way);
        }
    }

    fn take(&mut self, signature: u16, number: u32) -> bool {
        let way = (0..WAYS).find(|way| self.get(*way) == Some((signature, number)));
        if let Some(way) = way {
            self.put(way, 0, 0);
        }
        way.is_some()
    }

    /// How many keys are in their second bucket instead of here.
    #[inline]
    const fn displaced(&self) -> u8 {
        self.signatures.to_be_bytes()[0]
    }

    /// Counts a key that went to its second bucket.
    fn displace(&mut self) {
        self.count_displaced(self.displaced().saturating_add(1));
    }

    /// Counts a key that came back, or is no more.
    fn replace(&mut self) {
        if self.displaced() < u8::MAX {
            self.count_displaced(self.displaced().saturating_sub(1));
        }
    }

    fn count_displaced(&mut self, count: u8) {
        let mut bytes = self.signatures.to_be_bytes();
        bytes[0] = count;
        self.signatures = u128::from_be_bytes(bytes);
    }
}

/// The lowest bit of a signature.
#[inline]
const fn bit(way: usize) -> usize {
    way.wrapping_mul(BITS)
}

/// The place that the lowest of the bits stands for.
#[inline]
const fn place_of(ways: u128) -> Option<usize> {
    if ways == 0 { None } else { Some(ways.trailing_zeros() as usize / BITS) }
}

impl Hash {
    /// The lowest bits, but never 0, which marks free places.
    #[inline]
    #[allow(clippy::cast_possible_truncation, reason = "ten bits are left")]
    const fn signature(self) -> u16 {
        let signature = self.0 as u16 & 0x3FF;
        if signature == 0 { 1 } else { signature }
    }

    #[inline]
    #[allow(clippy::cast_possible_truncation, reason = "32 bits are left")]
    const fn upper(self) -> u32 {
        (self.0 >> 32) as u32
    }
}

/// Maps 32 even bits to a number below `limit`.
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

    /// A spread like the real hash's, for numbers in a row.
    fn hash(number: u32) -> Hash {
        let mixed = u64::from(number).wrapping_add(1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        Hash((mixed ^ mixed >> 29).wrapping_mul(0xBF58_476D_1CE4_E5B9))
    }

    #[test]
    fn an_index_takes_all_the_keys_that_it_was_made_for() {
        for keys in [1, 2, 3, 10, 100, 1000, 50_000] {
            let mut index = Index::new(keys);
            assert!((0..keys).all(|number| index.insert(hash(number), number)), "{keys}");
            for number in 0..keys {
                assert_eq!(index.find(hash(number), |found| found == number), Some(number));
            }
            assert_eq!(index.find(hash(keys), |found| found == keys), None);
            assert!((0..keys).all(|number| index.remove(hash(number), number)));
            assert!(index.buckets.iter().all(|bucket| bucket.signatures == 0), "nothing is left");
        }
    }

    #[test]
    fn a_key_that_cannot_be_placed_changes_nothing() {
        let mut index = Index::new(24);
        // All with one signature and one first bucket: two buckets' worth fit.
        let placed = (0..100).take_while(|number| index.insert(Hash(1), *number)).count();
        assert_eq!(placed, 2 * WAYS);
        let found =
            (0..100).filter(|number| index.find(Hash(1), |other| other == *number).is_some());
        assert_eq!(found.count(), 2 * WAYS);
        assert!(index.remove(Hash(1), 5) && !index.remove(Hash(1), 5));
        assert!(index.insert(Hash(1), 77));
    }

    #[test]
    fn the_count_of_displaced_keys_never_loses_one() {
        let mut bucket = Bucket::EMPTY;
        (0..1000).for_each(|_| bucket.displace());
        (0..1000).for_each(|_| bucket.replace());
        assert_eq!(bucket.displaced(), u8::MAX);
    }

    proptest! {
        /// Against the obvious: a list. Few hashes, so that keys meet and move.
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
            prop_assert!(index.buckets.iter().all(|bucket| bucket.signatures == 0));
        }
    }
}
