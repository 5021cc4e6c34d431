use std::cmp::Ordering;
use std::hint::select_unpredictable;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;

/// Which prefixes exist among the eight lengths below one node of the address space, in one cache
/// line.
///
/// The 510 possible prefixes are numbered as in a heap. The node itself would be 1, and the halves
/// of `n` are `2n` and `2n + 1`. So the prefixes one bit longer than the node are 2 and 3, and
/// those eight bits longer are 256 to 511. Number 1 is used at the top only, for 0.0.0.0/0.
///
/// One writer changes the bits while readers read them.
#[derive(Default)]
#[repr(align(64))]
pub(crate) struct Group([AtomicU64; WORDS]);

const WORDS: usize = 8;
/// Children of a group: the nodes eight bits below.
pub(crate) const FAN: usize = 256;
/// The heap number of the group's own node.
pub(crate) const WHOLE: u32 = 1;

/// The prefixes of up to five bits above every eighth child, as bits of the first word.
const PATHS: [u64; FAN / 8] = paths();

#[allow(clippy::indexing_slicing, reason = "the compiler runs it")]
const fn paths() -> [u64; FAN / 8] {
    let mut paths = [0; FAN / 8];
    let mut at = 0;
    while at < paths.len() {
        let mut number = at + FAN / 8;
        while number > WHOLE as usize {
            paths[at] |= 1 << number;
            number /= 2;
        }
        at += 1;
    }
    paths
}

/// A set of children, one bit for each.
pub(crate) type Children = [u64; 4];

impl Group {
    #[inline]
    fn word(&self, word: usize) -> u64 {
        self.0.get(word).map_or(0, |word| word.load(Relaxed))
    }

    #[inline]
    fn locate(number: u32) -> (usize, u64) {
        ((number / 64) as usize, 1 << (number % 64))
    }

    #[inline]
    pub(crate) fn contains(&self, number: u32) -> bool {
        let (word, bit) = Self::locate(number);
        self.word(word) & bit != 0
    }

    #[inline]
    pub(crate) fn add(&self, number: u32) {
        let (word, bit) = Self::locate(number);
        if let Some(word) = self.0.get(word) {
            word.store(word.load(Relaxed) | bit, Relaxed);
        }
    }

    #[inline]
    pub(crate) fn remove(&self, number: u32) {
        let (word, bit) = Self::locate(number);
        if let Some(word) = self.0.get(word) {
            word.store(word.load(Relaxed) & !bit, Relaxed);
        }
    }

    /// Counts the prefixes with a lower number, which is the position of this one's code. It counts
    /// all words, so that no branch depends on the number.
    #[inline]
    pub(crate) fn rank(&self, number: u32) -> usize {
        let (word, bit) = Self::locate(number);
        let lower = |at| match usize::cmp(&at, &word) {
            Ordering::Less => u64::MAX,
            Ordering::Equal => bit - 1,
            Ordering::Greater => 0,
        };
        (0..WORDS).map(|at| (self.word(at) & lower(at)).count_ones() as usize).sum()
    }

    /// Lists the numbers of existing prefixes in rising order.
    pub(crate) fn numbers(&self) -> impl Iterator<Item = u32> + '_ {
        self.0.iter().zip(0u32..).flat_map(|(word, at)| ones(word.load(Relaxed), at * 64))
    }

    /// Finds the longest existing prefix above this child, from the eighth length up to the first.
    #[inline]
    pub(crate) fn longest(&self, child: u32) -> Option<u32> {
        let mut number = child + 256;
        while number >= WHOLE {
            if self.contains(number) {
                return Some(number);
            }
            number /= 2;
        }
        None
    }

    /// Counts the bits of the longest existing prefix above this child, from 1 to 8; 0 if there is
    /// none. Nobody can guess the length, so no branch depends on it.
    #[inline(always)]
    pub(crate) fn bits_above(&self, child: u8) -> u32 {
        let has = |word: u8, bit: u8| self.word(word.into()) >> (bit % 64) & 1 != 0;
        // The number of a longer prefix is higher.
        let path = PATHS.get(usize::from(child / 8)).copied().unwrap_or(0);
        let short = (self.word(0) & path) | 1;
        let bits = short.ilog2().max(1).ilog2();
        let bits = select_unpredictable(has(1, child / 4), 6, bits);
        let bits = select_unpredictable(has(2 + child / 128, child / 2), 7, bits);
        select_unpredictable(has(4 + child / 64, child), 8, bits)
    }

    /// Finds the children below prefix `number` that no longer prefix of this group covers, counted
    /// from its first child.
    ///
    /// Each level doubles the free bits of the level above and removes the prefixes of its own. For
    /// 256 children this costs about one fetch from memory.
    #[inline]
    pub(crate) fn uncovered(&self, number: u32) -> Children {
        let mut free = 1u64;
        let mut first = number;
        let mut width = 1;
        while first < 256 && width < 64 {
            first *= 2;
            width *= 2;
            let ones = u64::MAX >> (64 - width);
            let taken = self.word((first / 64) as usize) >> (first % 64);
            free = doubled(free) & !taken & ones;
        }
        if first >= 256 {
            return [free, 0, 0, 0];
        }
        // 64 nodes became 128 and, below the group's own node, 256.
        let word = (first * 2 / 64) as usize;
        let low = doubled(free & 0xffff_ffff) & !self.word(word);
        let high = doubled(free >> 32) & !self.word(word + 1);
        if first * 2 >= 256 {
            return [low, high, 0, 0];
        }
        [
            doubled(low & 0xffff_ffff) & !self.word(word * 2),
            doubled(low >> 32) & !self.word(word * 2 + 1),
            doubled(high & 0xffff_ffff) & !self.word(word * 2 + 2),
            doubled(high >> 32) & !self.word(word * 2 + 3),
        ]
    }
}

impl Clone for Group {
    fn clone(&self) -> Self {
        let copy = Self::default();
        for (to, from) in copy.0.iter().zip(&self.0) {
            to.store(from.load(Relaxed), Relaxed);
        }
        copy
    }
}

/// Doubles each of the low 32 bits.
#[inline]
fn doubled(bits: u64) -> u64 {
    let mut x = bits & 0xffff_ffff;
    x = (x | (x << 16)) & 0x0000_ffff_0000_ffff;
    x = (x | (x << 8)) & 0x00ff_00ff_00ff_00ff;
    x = (x | (x << 4)) & 0x0f0f_0f0f_0f0f_0f0f;
    x = (x | (x << 2)) & 0x3333_3333_3333_3333;
    x = (x | (x << 1)) & 0x5555_5555_5555_5555;
    x | (x << 1)
}

/// Lists the positions of the ones in rising order, counted from `base`.
fn ones(mut bits: u64, base: u32) -> impl Iterator<Item = u32> {
    std::iter::from_fn(move || {
        let at = bits.trailing_zeros();
        (bits != 0).then(|| {
            bits &= bits - 1;
            base + at
        })
    })
}

/// Lists the children of a set in rising order.
#[inline]
pub(crate) fn ones_of(children: Children) -> impl Iterator<Item = u32> {
    children.into_iter().zip([0, 64, 128, 192]).flat_map(|(bits, base)| ones(bits, base))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #![proptest_config(ProptestConfig { cases: if cfg!(miri) { 4 } else { 256 }, failure_persistence: None, ..ProptestConfig::default() })]

        /// Doubling level by level equals walking up from every child.
        #[test]
        fn uncovered_children_agree_with_reference(
            numbers in prop::collection::vec(1u32..512, 0..40),
            under in 1u32..512,
        ) {
            let group = Group::default();
            numbers.iter().for_each(|number| group.add(*number));
            let children = group.uncovered(under);
            let generations = 8 - under.ilog2();
            let mut wanted = Vec::new();
            for child in 0..1u32 << generations {
                let mut node = (under << generations) + child;
                let mut free = true;
                while node > under {
                    free &= !numbers.contains(&node);
                    node /= 2;
                }
                if free {
                    wanted.push(child);
                }
            }
            let found: Vec<u32> = ones_of(children).collect();
            prop_assert_eq!(found, wanted);
        }

        #[test]
        fn bits_above_agree_with_the_walk(
            numbers in prop::collection::btree_set(2u32..512, 0..40),
            child: u8,
        ) {
            let group = Group::default();
            numbers.iter().for_each(|number| group.add(*number));
            let wanted = group.longest(child.into()).map_or(0, u32::ilog2);
            prop_assert_eq!(group.bits_above(child), wanted);
        }

        #[test]
        fn rank_counts_the_lower_numbers(
            numbers in prop::collection::btree_set(1u32..512, 0..60),
            number in 1u32..512,
        ) {
            let group = Group::default();
            numbers.iter().for_each(|number| group.add(*number));
            prop_assert_eq!(group.rank(number), numbers.range(..number).count());
            prop_assert!(group.numbers().eq(numbers.iter().copied()));
            prop_assert_eq!(group.contains(number), numbers.contains(&number));
        }
    }
}
