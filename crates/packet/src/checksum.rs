//! The internet checksum (RFC 1071) and its incremental update (RFC 1624).
//!
//! A sum here is a ones' complement sum of 16-bit words in network order, before the final
//! complement. In this arithmetic 0x0000 and 0xFFFF both mean zero. The functions below write a sum
//! as 0x0000 only if every word is zero.

/// Folds a sum to 16 bits by adding its two halves (RFC 1071 1).
#[must_use]
#[inline]
pub const fn fold(sum: u32) -> u16 {
    let (sum, carry) = ((sum >> 16) as u16).overflowing_add((sum & 0xFFFF) as u16);
    sum.wrapping_add(carry as u16)
}

/// Gives the checksum after one of its words has changed from `old` to `new` (RFC 1624 equation 3).
///
/// The result equals a computation from scratch, unless all covered words have become zero
/// (INV-checksum-update-exact).
#[must_use]
#[inline]
pub const fn update(checksum: u16, old: u16, new: u16) -> u16 {
    shift(checksum, difference(old, new))
}

/// Gives the ones' complement difference of two words, which [`shift`] takes.
#[must_use]
#[inline]
pub const fn difference(old: u16, new: u16) -> u16 {
    fold((!old as u32).wrapping_add(new as u32))
}

/// Gives the checksum after the sum of the covered words has grown by `difference`.
#[must_use]
#[inline]
pub const fn shift(checksum: u16, difference: u16) -> u16 {
    !fold((!checksum as u32).wrapping_add(difference as u32))
}

/// Adds up all words of `bytes`. An odd last byte is padded with zero (RFC 1071 1).
#[must_use]
#[inline]
pub fn sum(bytes: &[u8]) -> u16 {
    let (words, rest) = bytes.as_chunks::<4>();
    let mut last = [0; 4];
    for (to, from) in last.iter_mut().zip(rest) {
        *to = *from;
    }
    // Adds in the machine's byte order and swaps once: the sum does not depend on byte order (RFC
    // 1071 2 (B)).
    u16::from_be(fold_wide(sum_words(words).wrapping_add(sum_words(&[last]))))
}

/// Adds two sums.
#[must_use]
#[inline]
pub const fn add(left: u16, right: u16) -> u16 {
    fold((left as u32).wrapping_add(right as u32))
}

/// Adds up the pseudo-header that TCP and UDP checksums cover; `length` is the segment's in bytes
/// (RFC 9293 3.1, RFC 768).
#[must_use]
#[inline]
pub fn pseudo_header(source: [u8; 4], destination: [u8; 4], protocol: u8, length: u16) -> u16 {
    let source = u64::from(u32::from_be_bytes(source));
    let destination = u64::from(u32::from_be_bytes(destination));
    fold_wide(
        source
            .wrapping_add(destination)
            .wrapping_add(u64::from(protocol))
            .wrapping_add(u64::from(length)),
    )
}

/// Says whether the checksum of an IPv4 header is right (RFC 791 3.1).
#[inline]
pub(crate) fn header_is_right(header: &[u8]) -> bool {
    is_all_ones(sum_words(header.as_chunks().0))
}

/// Says the same of a header without options, eight bytes at a time.
#[inline(always)]
pub(crate) fn fixed_header_is_right(header: &[u8; 20]) -> bool {
    let (words, rest) = header.as_chunks::<8>();
    let [first, second] =
        [words.first(), words.get(1)].map(|word| word.map_or(0, |word| u64::from_ne_bytes(*word)));
    let third = rest.first_chunk().map_or(0, |word| u32::from_ne_bytes(*word));
    // A carry out of the top is added at the bottom: 2^64 is 1 more than a multiple of 0xFFFF.
    let (sum, carry) = first.carrying_add(second, false);
    let (sum, carry) = sum.carrying_add(third.into(), carry);
    is_all_ones(sum.wrapping_add(carry.into()))
}

/// Says whether a sum of 16-bit words, or of several side by side, folds to 0xFFFF.
///
/// It does if it is a multiple of 0xFFFF. A number is a multiple of an odd one if its product with
/// the inverse (modulo 2^64) is small.
#[inline(always)]
const fn is_all_ones(sum: u64) -> bool {
    const INVERSE: u64 = 0xFFFE_FFFE_FFFE_FFFF;
    const { assert!(INVERSE.wrapping_mul(0xFFFF) == 1) };
    sum != 0 && sum.wrapping_mul(INVERSE) <= u64::MAX / 0xFFFF
}

/// Adds up 32-bit words in the machine's byte order.
#[inline]
fn sum_words(words: &[[u8; 4]]) -> u64 {
    words.iter().fold(0, |sum: u64, word| sum.wrapping_add(u64::from(u32::from_ne_bytes(*word))))
}

/// Folds a sum of 32-bit words. It is exact for up to 65,535 bytes.
#[inline]
pub(crate) const fn fold_wide(sum: u64) -> u16 {
    let (sum, carry) = ((sum >> 32) as u32).overflowing_add((sum & 0xFFFF_FFFF) as u32);
    fold(sum.wrapping_add(carry as u32))
}
