//! The internet checksum (RFC 1071) and its incremental update (RFC 1624).
//!
//! Sums here are ones' complement sums of 16-bit words in network order, not yet complemented. In
//! this arithmetic 0x0000 and 0xFFFF are both zero; the sum of words that are not all zero is never
//! written 0x0000, and everything below keeps to that.

/// Adds the two halves of a sum until 16 bits are left (RFC 1071 1).
#[must_use]
#[inline]
pub const fn fold(sum: u32) -> u16 {
    let (sum, carry) = ((sum >> 16) as u16).overflowing_add((sum & 0xFFFF) as u16);
    sum.wrapping_add(carry as u16)
}

/// The checksum after a word that it covers has changed from `old` to `new`: RFC 1624 equation 3.
///
/// Equals the computation from scratch for all values (INV-checksum-update-exact), unless all that
/// is covered has become zero.
#[must_use]
#[inline]
pub const fn update(checksum: u16, old: u16, new: u16) -> u16 {
    shift(checksum, difference(old, new))
}

/// The ones' complement difference of two words: what [`shift`] takes.
#[must_use]
#[inline]
pub const fn difference(old: u16, new: u16) -> u16 {
    fold((!old as u32).wrapping_add(new as u32))
}

/// The checksum after the sum of what it covers has grown by `difference`.
#[must_use]
#[inline]
pub const fn shift(checksum: u16, difference: u16) -> u16 {
    !fold((!checksum as u32).wrapping_add(difference as u32))
}

/// The sum of all words of `bytes`, an odd last byte padded with zero (RFC 1071 1).
#[must_use]
#[inline]
pub fn sum(bytes: &[u8]) -> u16 {
    let (words, rest) = bytes.as_chunks::<4>();
    let mut last = [0; 4];
    for (to, from) in last.iter_mut().zip(rest) {
        *to = *from;
    }
    // Summed in the byte order of the machine and swapped once, which comes to the same (RFC 1071 2
    // (B)).
    u16::from_be(fold_wide(sum_words(words).wrapping_add(sum_words(&[last]))))
}

/// The sum of two sums.
#[must_use]
#[inline]
pub const fn add(left: u16, right: u16) -> u16 {
    fold((left as u32).wrapping_add(right as u32))
}

/// The sum of the pseudo-header that TCP and UDP checksums cover (RFC 9293 3.1, RFC 768); `length`
/// is the segment's in bytes.
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

/// Whether the words of an IPv4 header sum up as they must (RFC 791 3.1).
#[inline]
pub(crate) fn header_is_right(header: &[u8]) -> bool {
    is_all_ones(sum_words(header.as_chunks().0))
}

/// The same for a header without options, as nearly all are, eight bytes at a time.
#[inline(always)]
pub(crate) fn fixed_header_is_right(header: &[u8; 20]) -> bool {
    let (words, rest) = header.as_chunks::<8>();
    let [first, second] =
        [words.first(), words.get(1)].map(|word| word.map_or(0, |word| u64::from_ne_bytes(*word)));
    let third = rest.first_chunk().map_or(0, |word| u32::from_ne_bytes(*word));
    // What a carry leaves at the top comes back at the bottom: 2^64 is 1 more than a multiple of
    // 0xFFFF.
    let (sum, carry) = first.carrying_add(second, false);
    let (sum, carry) = sum.carrying_add(third.into(), carry);
    is_all_ones(sum.wrapping_add(carry.into()))
}

/// Whether a sum of 16-bit words, or of words that are several of them side by side, folds to
/// 0xFFFF: it does if it is a multiple of that, and multiples of an odd number are those whose
/// product with its inverse (modulo 2^64) is small.
#[inline(always)]
const fn is_all_ones(sum: u64) -> bool {
    const INVERSE: u64 = 0xFFFE_FFFE_FFFE_FFFF;
    const { assert!(INVERSE.wrapping_mul(0xFFFF) == 1) };
    sum != 0 && sum.wrapping_mul(INVERSE) <= u64::MAX / 0xFFFF
}

/// Adds up 32-bit words as they stand in memory.
#[inline]
fn sum_words(words: &[[u8; 4]]) -> u64 {
    words.iter().fold(0, |sum: u64, word| sum.wrapping_add(u64::from(u32::from_ne_bytes(*word))))
}

/// Folds a sum of 32-bit words; exact for any 65,535 bytes.
#[inline]
pub(crate) const fn fold_wide(sum: u64) -> u16 {
    let (sum, carry) = ((sum >> 32) as u32).overflowing_add((sum & 0xFFFF_FFFF) as u32);
    fold(sum.wrapping_add(carry as u32))
}
