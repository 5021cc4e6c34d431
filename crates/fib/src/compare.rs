//! Finds the place of a number in a cache line of sorted numbers.

#[cfg(all(target_arch = "x86_64", target_feature = "avx512bw", target_feature = "avx512vl"))]
pub(crate) use crate::avx512::known::{below_in_8, below_in_16, last_in_16};
#[cfg(not(all(
    target_arch = "x86_64",
    target_feature = "avx512bw",
    target_feature = "avx512vl"
)))]
pub(crate) use halving::{below_in_8, below_in_16, last_in_16};

/// Searches by halves in a fixed number of steps. No branch waits for what was read, and the result
/// does not depend on whether a compiler vectorises it.
#[cfg(any(
    test,
    not(all(target_arch = "x86_64", target_feature = "avx512bw", target_feature = "avx512vl"))
))]
pub(crate) mod halving {
    /// Counts the words below the number, except the first.
    #[inline(always)]
    pub(crate) fn below_in_8(words: &[u32; 8], number: u32) -> u32 {
        last::<_, 8>(words, |word| word < number)
    }

    /// Counts those of the first `COUNT` words that are below the number, except the first.
    #[inline(always)]
    pub(crate) fn below_in_16<const COUNT: usize>(words: &[u32; 16], number: u32) -> u32 {
        last::<_, COUNT>(words, |word| word < number)
    }

    /// Gives the position of the last half that is not above the number, or the first.
    #[inline(always)]
    pub(crate) fn last_in_16(halves: &[u16; 16], number: u16) -> u32 {
        last::<_, 16>(halves, |half| half <= number)
    }

    /// Gives the position of the last of `COUNT` words that holds. All before it but the first hold
    /// too.
    #[inline(always)]
    #[allow(clippy::cast_possible_truncation, reason = "a line has 16 words at most")]
    fn last<T: Copy, const COUNT: usize>(words: &[T], holds: impl Fn(T) -> bool) -> u32 {
        let (mut at, mut left) = (0, COUNT as u32);
        while left > 1 {
            let half = left / 2;
            at +=
                half * u32::from(words.get((at + half) as usize).is_some_and(|word| holds(*word)));
            left -= half;
        }
        at
    }
}
