//! The one file with `unsafe`: sixteen codes by one AVX-512 gather, which keeps more loads under way than
//! sixteen loads. Frozen tables only: nobody writes to their memory.
#![allow(
    unsafe_code,
    reason = "half the time of the same loop in safe code, see docs/performance.md"
)]

use std::arch::x86_64::{
    _mm512_and_si512, _mm512_i32gather_epi32, _mm512_loadu_si512, _mm512_set1_epi32,
    _mm512_srli_epi32, _mm512_storeu_si512,
};

use super::array::LENGTH;
use super::code::Code;
use crate::address::Address;
use crate::value_id::ValueId;

const LANES: usize = 16;

/// Stores the codes of addresses in sixteens, if the processor can, and returns what is left to do.
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
    // SAFETY: the processor has AVX-512F, as asked above.
    unsafe { sixteens(slots, in_sixteens.as_chunks().0, ids_in_sixteens.as_chunks_mut().0) };
    (addresses, ids)
}

#[target_feature(enable = "avx512f")]
fn sixteens<C: Code, A: Address>(
    slots: &[C; LENGTH],
    addresses: &[[A; LANES]],
    ids: &mut [[ValueId; LANES]],
) {
    const { assert!(matches!(size_of::<C>(), 1 | 2 | 4)) }
    let mask = _mm512_set1_epi32(match size_of::<C>() {
        1 => 0xff,
        2 => 0xffff,
        _ => -1,
    });
    for (addresses, ids) in addresses.iter().zip(ids) {
        let addresses: [u32; LANES] = addresses.map(Address::number);
        let first = slots.as_ptr().cast();
        // SAFETY: the load reads the 64 bytes of `addresses`, the store writes the 64 bytes of `ids`
        // (`ValueId` is a transparent u32); neither needs alignment. An index is an address without its low
        // eight bits, so below 2^24; times the size of a code it is where a slot begins. The gather reads
        // four bytes there. The last of them is less than four slots behind it, so before the end of
        // `slots`, which has 2^24 + 4. They are shared, hold plain integers, and nobody writes to them.
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
