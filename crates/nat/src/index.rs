//! The hash index: where a key's slot is. One cache line tells of eight keys.
//!
//! A bucket holds eight 16-bit signatures and the eight numbers that belong to them. Every key has two buckets, one in each half of
//! the index, and stands in the first unless that was full. Which two depends on a keyed hash, so that nobody outside can choose
//! keys that meet (I4). A bucket counts the keys that should be here and are in their second bucket, so that a miss usually reads
//! one line. The caller compares keys: the index knows only hashes.

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
    /// Eight signatures of 16 bits, compared at once; 0 where the place is free.
    signatures: u128,
    /// The numbers, and [`DISPLACED`] where this is the key's second bucket.
    numbers: [u32; WAYS],
    /// Keys whose first bucket is this one and that stand in their second.
    displaced: u32,
}

const WAYS: usize = 8;
const DISPLACED: u32 = 1 << 31;
/// The lowest bit of each signature, and the highest.
const LOWEST: u128 = 0x0001_0001_0001_0001_0001_0001_0001_0001;
const HIGHEST: u128 = LOWEST << 15;

impl Index {
    /// Room for `keys` keys at a load of at most 0.8.
    pub(crate) fn new(keys: u32) -> Self {
        let half = u64::from(keys).saturating_mul(5).div_ceil(4 * 8 * 2).saturating_add(1);
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
        if first.displaced == 0 {
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
        self.bucket(self.first(hash)).map_or(0, |bucket| bucket.displaced)
    }

    /// Adds a key. Fails, and changes nothing, if there is no room for it within two moves of other keys, which at this load is a
    /// matter of theory.
    #[must_use]
    pub(crate) fn insert(&mut self, hash: Hash, number: u32) -> bool {
        let signature = hash.signature();
        let first = self.first(hash);
        let second = self.second(first, signature);
        let Some((place, way)) = self.make_room(first, second) else { return false };
        if let Some(bucket) = self.bucket_mut(place) {
            bucket.put(way, signature, if place == first { number } else { number | DISPLACED });
        }
        if place != first
            && let Some(bucket) = self.bucket_mut(first)
        {
            bucket.displaced = bucket.displaced.saturating_add(1);
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
            bucket.displaced = bucket.displaced.saturating_sub(1);
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
        let home = if number & DISPLACED == 0 { place } else { other };
        if let Some(bucket) = self.bucket_mut(other) {
            bucket.put(room, signature, number ^ DISPLACED);
        }
        if let Some(bucket) = self.bucket_mut(place) {
            bucket.put(way, 0, 0);
        }
        if let Some(bucket) = self.bucket_mut(home) {
            bucket.displaced = if home == place {
                bucket.displaced.saturating_add(1)
            } else {
                bucket.displaced.saturating_sub(1)
            };
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
        scale(hash.upper(), self.half.saturating_mul(2))
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
    const EMPTY: Self = Self { signatures: 0, numbers: [0; WAYS], displaced: 0 };

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

    #[allow(clippy::cast_possible_truncation, reason = "sixteen bits are meant")]
    fn get(&self, way: usize) -> Option<(u16, u32)> {
        Some(((self.signatures >> (way << 4)) as u16, *self.numbers.get(way)?))
    }

    fn put(&mut self, way: usize, signature: u16, number: u32) {
        if let Some(old) = self.numbers.get_mut(way) {
            *old = number;
            let others = self.signatures & !(0xFFFF << (way << 4));
            self.signatures = others | u128::from(signature) << (way << 4);
        }
    }

    fn take(&mut self, signature: u16, number: u32) -> bool {
        let way = (0..WAYS).find(|way| self.get(*way) == Some((signature, number)));
        if let Some(way) = way {
            self.put(way, 0, 0);
        }
        way.is_some()
    }
}

/// The place that the lowest of the bits stands for.
#[inline]
const fn place_of(ways: u128) -> Option<usize> {
    if ways == 0 { None } else { Some(ways.trailing_zeros() as usize >> 4) }
}

impl Hash {
    /// Never 0, which marks free places.
    #[inline]
    #[allow(clippy::cast_possible_truncation, reason = "the low sixteen bits are meant")]
    const fn signature(self) -> u16 {
        let signature = self.0 as u16;
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
