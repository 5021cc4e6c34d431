//! AVX-512 on sixteen numbers at once. This is the only file with `unsafe`.
//!
//! - One gather fetches the codes of sixteen addresses and keeps more loads under way than sixteen
//!   loads do. It is for frozen tables, to whose memory nobody writes. The processor is checked at
//!   run time, once a batch.
//! - One comparison finds an address in a cache line of numbers. That is too little work for a
//!   check at run time, so only a program built for such a processor does it (`-C
//!   target-cpu=native`).
#![allow(
    unsafe_code,
    reason = "0.5 to 0.6 of the time in safe code, on random batches and on single lookups of small tables: docs/performance.md"
)]

#[cfg(any(test, all(target_feature = "avx512bw", target_feature = "avx512vl")))]
use std::arch::x86_64::{
    _mm256_cmple_epu16_mask, _mm256_cmplt_epu32_mask, _mm256_loadu_si256, _mm256_set1_epi16,
    _mm256_set1_epi32, _mm512_cmplt_epu32_mask,
};
use std::arch::x86_64::{
    _mm512_and_si512, _mm512_i32gather_epi32, _mm512_loadu_si512, _mm512_set1_epi32,
    _mm512_srli_epi32, _mm512_storeu_si512,
};

use crate::address::Address;
use crate::frozen::{Code, LENGTH};
use crate::value_id::ValueId;

const LANES: usize = 16;

/// Stores the codes of addresses, sixteen at once if the processor can, and returns the rest of the
/// work.
#[inline]
pub(crate) fn codes<'a, 'i, C: Code, A: Address>(
    slots: &[C; LENGTH],
    addresses: &'a [A],
    ids: &'i mut [ValueId],
) -> (&'a [A], &'i mut [ValueId]) {
    if !is_x86_feature_detected!("avx512f") {
        return (addresses, ids);
    }
    let whole = addresses.len().min(ids.len()) / LANES * LANES;
    let (in_sixteens, addresses) = addresses.split_at(whole);
    let (ids_in_sixteens, ids) = ids.split_at_mut(whole);
    // SAFETY: the check above found AVX-512F.
    unsafe { sixteens(slots, in_sixteens.as_chunks().0, ids_in_sixteens.as_chunks_mut().0) };
    (addresses, ids)
}

#[target_feature(enable = "avx512f")]
fn sixteens<C: Code, A: Address>(
    slots: &[C; LENGTH],
    addresses: &[[A; LANES]],
    ids: &mut [[ValueId; LANES]],
) {
    const { assert!(matches!(size_of::<C>(), 1 | 2 | 4) && LENGTH >= (1 << 24) + 3) }
    let mask = _mm512_set1_epi32(match size_of::<C>() {
        1 => 0xff,
        2 => 0xffff,
        _ => -1,
    });
    for (addresses, ids) in addresses.iter().zip(ids) {
        let addresses: [u32; LANES] = addresses.map(Address::number);
        let first = slots.as_ptr().cast();
        // SAFETY: the load reads the 64 bytes of `addresses`, the store writes the 64 bytes of
        // `ids` (`ValueId` is a transparent u32). Neither needs alignment. An index is an address
        // without its low eight bits, so below 2^24. Times the size of a code it is the offset of a
        // slot. The gather reads four bytes there. The last byte is less than four slots behind it,
        // so before the end of `slots`, which has 2^24 + 4. The slots are shared plain integers,
        // and nobody writes to them.
        unsafe {
            let slots_at = _mm512_srli_epi32::<8>(_mm512_loadu_si512(addresses.as_ptr().cast()));
            let codes = match size_of::<C>() {
                1 => _mm512_i32gather_epi32::<1>(slots_at, first),
                2 => _mm512_i32gather_epi32::<2>(slots_at, first),
                _ => _mm512_i32gather_epi32::<4>(slots_at, first),
            };
            _mm512_storeu_si512(ids.as_mut_ptr().cast(), _mm512_and_si512(codes, mask));
        }
    }
}

/// Does what [`crate::compare`] does, on a processor known to have AVX-512.
#[cfg(all(target_feature = "avx512bw", target_feature = "avx512vl"))]
pub(crate) mod known {
    #[inline(always)]
    pub(crate) fn below_in_8(words: &[u32; 8], number: u32) -> u32 {
        // SAFETY: the program is built for processors that have AVX-512BW and VL.
        unsafe { super::below_in_8(words, number) }
    }

    #[inline(always)]
    pub(crate) fn below_in_16<const COUNT: usize>(words: &[u32; 16], number: u32) -> u32 {
        // SAFETY: as above.
        unsafe { super::below_in_16::<COUNT>(words, number) }
    }

    #[inline(always)]
    pub(crate) fn last_in_16(halves: &[u16; 16], number: u16) -> u32 {
        // SAFETY: as above.
        unsafe { super::last_in_16(halves, number) }
    }
}

#[cfg(any(test, all(target_feature = "avx512bw", target_feature = "avx512vl")))]
#[target_feature(enable = "avx512bw,avx512vl")]
#[inline]
fn below_in_8(words: &[u32; 8], number: u32) -> u32 {
    // SAFETY: the load reads the 32 bytes of `words` and needs no alignment.
    let words = unsafe { _mm256_loadu_si256(words.as_ptr().cast()) };
    let below = _mm256_cmplt_epu32_mask(words, _mm256_set1_epi32(number.cast_signed()));
    (below & !1).count_ones()
}

#[cfg(any(test, all(target_feature = "avx512bw", target_feature = "avx512vl")))]
#[target_feature(enable = "avx512bw,avx512vl")]
#[inline]
fn below_in_16<const COUNT: usize>(words: &[u32; 16], number: u32) -> u32 {
    // SAFETY: the load reads the 64 bytes of `words` and needs no alignment.
    let words = unsafe { _mm512_loadu_si512(words.as_ptr().cast()) };
    let below = _mm512_cmplt_epu32_mask(words, _mm512_set1_epi32(number.cast_signed()));
    (u32::from(below) & ((1 << COUNT) - 2)).count_ones()
}

#[cfg(any(test, all(target_feature = "avx512bw", target_feature = "avx512vl")))]
#[target_feature(enable = "avx512bw,avx512vl")]
#[inline]
fn last_in_16(halves: &[u16; 16], number: u16) -> u32 {
    // SAFETY: the load reads the 32 bytes of `halves` and needs no alignment.
    let halves = unsafe { _mm256_loadu_si256(halves.as_ptr().cast()) };
    let not_above = _mm256_cmple_epu16_mask(halves, _mm256_set1_epi16(number.cast_signed()));
    (not_above & !1).count_ones()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::compare::halving;

    /// Generates sorted numbers, many at the ends of the range, and a number near them to compare
    /// with.
    fn line() -> impl Strategy<Value = ([u32; 16], u32)> {
        let number =
            || prop_oneof![any::<u32>(), 0u32..4, (0u32..4).prop_map(|below| u32::MAX - below)];
        (prop::array::uniform16(number()), number(), 0usize..16, -1i32..=1).prop_map(
            |(mut words, other, at, off)| {
                words[1..].sort_unstable();
                let near = words[at].wrapping_add_signed(off);
                (words, if off == 0 && at == 0 { other } else { near })
            },
        )
    }

    /// Any count of words below, equal to and above the number, at both ends of the range and
    /// around the sign.
    #[test]
    fn rank_counts_smaller_words_of_line() {
        if !is_x86_feature_detected!("avx512bw") || !is_x86_feature_detected!("avx512vl") {
            return;
        }
        const SIGN: u32 = 1 << 31;
        for number in [0, 1, 2, SIGN - 1, SIGN, SIGN + 1, u32::MAX - 1, u32::MAX] {
            let half = (number >> 16) as u16;
            for (below, equal) in
                (0..16).flat_map(|below| (0..16 - below).map(move |equal| (below, equal)))
            {
                let order =
                    |at: usize| if at <= below { -1_i16 } else { i16::from(at > below + equal) };
                // The first word does not count, whatever it is.
                for first in [0, number, u32::MAX] {
                    let mut words =
                        core::array::from_fn(|at| number.saturating_add_signed(order(at).into()));
                    let mut halves =
                        core::array::from_fn(|at| half.saturating_add_signed(order(at)));
                    (words[0], halves[0]) = (first, (first >> 16) as u16);
                    let count = |length: usize| {
                        words[1..length].iter().map(|word| u32::from(*word < number)).sum::<u32>()
                    };
                    let not_above =
                        halves[1..].iter().map(|it| u32::from(*it <= half)).sum::<u32>();
                    // SAFETY: the check above found both features.
                    unsafe {
                        assert_eq!(below_in_8(words.first_chunk().unwrap(), number), count(8));
                        assert_eq!(below_in_16::<10>(&words, number), count(10));
                        assert_eq!(below_in_16::<16>(&words, number), count(16));
                        assert_eq!(last_in_16(&halves, half), not_above);
                    }
                }
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: if cfg!(miri) { 64 } else { 4096 }, failure_persistence: None, ..ProptestConfig::default() })]

        /// All at once equals by halves equals one by one, on a processor with AVX-512.
        #[test]
        fn full_line_agrees_with_halves((words, number) in line()) {
            let count =
                |words: &[u32]| words[1..].iter().map(|word| u32::from(*word < number)).sum::<u32>();
            let of_8 = words.first_chunk().unwrap();
            let one_by_one = [8, 8, 10, 16].map(|length| count(&words[..length]));
            let by_halves = [
                halving::below_in_8(of_8, number),
                halving::below_in_16::<8>(&words, number),
                halving::below_in_16::<10>(&words, number),
                halving::below_in_16::<16>(&words, number),
            ];
            prop_assert_eq!(by_halves, one_by_one);
            let mut halves = words.map(|word| (word >> 16) as u16);
            halves[0] = 0;
            let half = (number >> 16) as u16;
            let last: u32 = halves[1..].iter().map(|word| u32::from(*word <= half)).sum();
            prop_assert_eq!(halving::last_in_16(&halves, half), last);
            if is_x86_feature_detected!("avx512bw") && is_x86_feature_detected!("avx512vl") {
                // SAFETY: the check above found both features.
                let (at_once, last_at_once) = unsafe {
                    (
                        [
                            below_in_8(of_8, number),
                            below_in_16::<8>(&words, number),
                            below_in_16::<10>(&words, number),
                            below_in_16::<16>(&words, number),
                        ],
                        last_in_16(&halves, half),
                    )
                };
                prop_assert_eq!(at_once, one_by_one);
                prop_assert_eq!(last_at_once, last);
            }
        }
    }
}
