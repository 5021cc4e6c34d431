use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hash, Hasher};

/// Numbers for values: equal values share one.
///
/// The map is only searched by key, and its hasher has no seed. So every run gives the same
/// numbers.
pub(crate) type Numbers<V> = HashMap<V, u32, BuildHasherDefault<Mix>>;

/// Distinct values in the order of their first appearance.
pub(crate) struct Interner<V> {
    numbers: Numbers<V>,
    values: Vec<V>,
}

impl<V: Clone + Eq + Hash> Interner<V> {
    pub(crate) fn new() -> Self {
        Self { numbers: Numbers::default(), values: Vec::new() }
    }

    /// Gives the value's number, from 0 up.
    pub(crate) fn number(&mut self, value: &V) -> u32 {
        // Comparing a handful of values is faster than hashing.
        const FEW: usize = 16;
        if self.values.len() <= FEW
            && let Some(at) = self.values.iter().position(|known| known == value)
        {
            return u32::try_from(at).unwrap_or(u32::MAX);
        }
        let next = u32::try_from(self.values.len()).unwrap_or(u32::MAX);
        if self.values.len() >= FEW {
            if self.numbers.is_empty() {
                self.numbers.extend(self.values.iter().cloned().zip(0..));
            }
            if let Some(number) = self.numbers.get(value) {
                return *number;
            }
            self.numbers.insert(value.clone(), next);
        }
        self.values.push(value.clone());
        next
    }

    pub(crate) fn into_values(self) -> Vec<V> {
        self.values
    }
}

/// A multiply-and-rotate hasher. Values are few, and no adversary chooses them.
#[derive(Default)]
pub(crate) struct Mix(u64);

impl Mix {
    #[inline]
    fn add(&mut self, word: u64) {
        self.0 = (self.0.rotate_left(23) ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }
}

impl Hasher for Mix {
    fn finish(&self) -> u64 {
        self.0 ^ (self.0 >> 32)
    }

    fn write(&mut self, bytes: &[u8]) {
        for chunk in bytes.chunks(8) {
            self.add(chunk.iter().fold(1, |word, byte| (word << 8) | u64::from(*byte)));
        }
    }

    fn write_u8(&mut self, word: u8) {
        self.add(u64::from(word));
    }

    fn write_u16(&mut self, word: u16) {
        self.add(u64::from(word));
    }

    fn write_u32(&mut self, word: u32) {
        self.add(u64::from(word));
    }

    fn write_u64(&mut self, word: u64) {
        self.add(word);
    }
}
