//! A bucket of the [`Index`](super::index::Index): one cache line with twelve keys.

use wide::u8x16;

#[repr(C, align(64))]
#[derive(Clone, Copy)]
pub(crate) struct Bucket {
    /// The signature of each way, 0 if it is free.
    ///
    /// The last four bytes are two counters of the keys whose first bucket this is: those in their
    /// second bucket, and the strays. A counter at its maximum stays there.
    pub(crate) signatures: [u8; 16],
    /// The numbers, with [`DISPLACED`] in a key's second bucket and [`STRAY`] in any third one.
    pub(crate) numbers: [u32; WAYS],
}

pub(crate) const WAYS: usize = 12;
pub(crate) const DISPLACED: u32 = 1 << 31;
pub(crate) const STRAY: u32 = 1 << 30;
/// The remaining bits: the number itself.
pub(crate) const NUMBER: u32 = STRAY - 1;

impl Bucket {
    pub(crate) const EMPTY: Self = Self { signatures: [0; 16], numbers: [0; WAYS] };

    #[inline]
    pub(crate) fn find(&self, signature: u8, is_it: &mut impl FnMut(u32) -> bool) -> Option<u32> {
        let mut ways = self.ways(signature);
        while let Some(way) = way_of(ways) {
            let number = self.numbers.get(way)? & NUMBER;
            if is_it(number) {
                return Some(number);
            }
            ways &= ways.wrapping_sub(1);
        }
        None
    }

    /// Gives a bit for every way with this signature.
    #[inline(always)]
    pub(crate) fn ways(&self, signature: u8) -> u32 {
        let equal = u8x16::new(self.signatures).simd_eq(u8x16::splat(signature));
        equal.to_bitmask() & ((1 << WAYS) - 1)
    }

    pub(crate) fn free(&self) -> Option<usize> {
        way_of(self.ways(0))
    }

    pub(crate) fn get(&self, way: usize) -> Option<(u8, u32)> {
        Some((*self.signatures.get(way)?, *self.numbers.get(way)?))
    }

    pub(crate) fn put(&mut self, way: usize, signature: u8, number: u32) {
        if let (Some(old), Some(place)) = (self.numbers.get_mut(way), self.signatures.get_mut(way))
        {
            (*old, *place) = (number, signature);
        }
    }

    pub(crate) fn take(&mut self, signature: u8, number: u32) -> bool {
        match self.way_with(signature, number) {
            Some(way) => {
                self.put(way, 0, 0);
                true
            }
            None => false,
        }
    }

    pub(crate) fn holds(&self, signature: u8, number: u32) -> bool {
        self.way_with(signature, number).is_some()
    }

    fn way_with(&self, signature: u8, number: u32) -> Option<usize> {
        let mut ways = self.ways(signature);
        while let Some(way) = way_of(ways) {
            if self.get(way) == Some((signature, number)) {
                return Some(way);
            }
            ways &= ways.wrapping_sub(1);
        }
        None
    }

    /// Says whether all keys whose first bucket this is are in it.
    #[inline]
    pub(crate) fn has_all(&self) -> bool {
        self.signatures.last_chunk() == Some(&[0; 4])
    }

    /// Counts the keys whose first bucket this is that are in their second, and those that have
    /// strayed.
    #[inline]
    pub(crate) fn elsewhere(&self) -> [u16; 2] {
        let [a, b, c, d] = self.signatures.last_chunk().copied().unwrap_or_default();
        [u16::from_le_bytes([a, b]), u16::from_le_bytes([c, d])]
    }

    #[inline]
    pub(crate) fn strays(&self) -> u16 {
        let [_, strays] = self.elsewhere();
        strays
    }

    pub(crate) fn displace(&mut self, more: i16) {
        let [displaced, strays] = self.elsewhere();
        self.set_elsewhere([count(displaced, more), strays]);
    }

    pub(crate) fn stray(&mut self, more: i16) {
        let [displaced, strays] = self.elsewhere();
        self.set_elsewhere([displaced, count(strays, more)]);
    }

    pub(crate) fn set_elsewhere(&mut self, numbers: [u16; 2]) {
        let [[a, b], [c, d]] = numbers.map(u16::to_le_bytes);
        if let Some(place) = self.signatures.last_chunk_mut() {
            *place = [a, b, c, d];
        }
    }
}

/// Changes a counter. One at its maximum stays there, since the true count is unknown.
pub(crate) const fn count(number: u16, more: i16) -> u16 {
    if number == u16::MAX { number } else { number.saturating_add_signed(more) }
}

/// Gives the lowest of some ways.
#[inline(always)]
pub(crate) const fn way_of(ways: u32) -> Option<usize> {
    if ways == 0 { None } else { Some(ways.trailing_zeros() as usize) }
}
