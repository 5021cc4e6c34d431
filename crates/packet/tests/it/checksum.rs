use proptest::prelude::*;
use vnetem_packet::checksum::{add, difference, fold, pseudo_header, shift, sum, update};

use crate::packets::{cases, data, words};
use crate::reference;

/// Tries all 2^32 pairs of a changed word and the sum of the rest against the sum from scratch
/// (INV-checksum-update-exact).
///
/// These are also all pairs of a checksum and a difference. The only exception is documented: all
/// covered words become zero, which only an ICMP reply can do (see `rewrite`, T-31).
#[test]
fn every_update_equals_full_sum() {
    let old = 0x1234;
    for rest in words() {
        let checksum = !add(rest, old);
        let agree = |new| update(checksum, old, new) == !add(rest, new) || (rest | new) == 0;
        // The compiler vectorises a loop without an early exit. All 2^32 cases then take seconds.
        let last = u16::MAX >> if cfg!(miri) { 8 } else { 0 };
        let all = (0..=last).fold(true, |all, new| all & agree(new));
        assert!(all, "rest {rest:#06x}");
    }
}

/// Checks `add` by plain arithmetic, since the exhaustive test above uses `add`.
#[test]
fn addition_equals_the_remainder() {
    for left in words() {
        for right in (0..=u16::MAX).step_by(251).chain([1, 0x7FFF, 0x8000, 0xFFFE, 0xFFFF]) {
            let sum = u32::from(add(left, right));
            let fast_headers = u32::from(left) + u32::from(right);
            assert!(
                sum % 0xFFFF == fast_headers % 0xFFFF && (sum == 0) == (fast_headers == 0),
                "{left} {right}"
            );
        }
    }
}

#[test]
fn rfc_1071_example_is_exact() {
    assert_eq!(sum(&[0x00, 0x01, 0xF2, 0x03, 0xF4, 0xF5, 0xF6, 0xF7]), 0xDDF2);
}

/// The example on which RFC 1141 fails. Equation 3 gives 0x0000, RFC 1141 gives 0xFFFF.
#[test]
fn rfc_1624_example_is_exact() {
    assert_eq!(update(0xDD2F, 0x5555, 0x3285), 0x0000);
}

#[test]
fn large_sums_are_exact() {
    assert_eq!(sum(&[0xFF; 65_535]), reference::sum(&[&[0xFF; 65_535]]));
    assert_eq!(fold(u32::MAX), 0xFFFF);
    // Adding the upper half of the wide sum to the lower one overflows in either byte order.
    for (last, expected) in [([0, 0, 0, 1], 1), ([1, 0, 0, 0], 0x0100)] {
        assert_eq!(sum(&[[0xFF; 8].as_slice(), &last].concat()), expected);
    }
}

proptest! {
    #![proptest_config(cases(2000))]

    #[test]
    fn sum_equals_word_by_word_sum(bytes in data(100)) {
        prop_assert_eq!(sum(&bytes), reference::sum(&[&bytes]));
    }

    #[test]
    fn pseudo_header_sums_like_its_bytes(ends: [[u8; 4]; 2], protocol: u8, length: u16) {
        let [high, low] = length.to_be_bytes();
        let bytes = [&ends[0][..], &ends[1], &[0, protocol, high, low]].concat();
        prop_assert_eq!(pseudo_header(ends[0], ends[1], protocol, length), reference::sum(&[&bytes]));
    }

    #[test]
    fn differences_of_words_add_up(checksum: u16, old: [u16; 2], new: [u16; 2]) {
        let both = add(difference(old[0], new[0]), difference(old[1], new[1]));
        let [one, other] = [shift(checksum, both), update(update(checksum, old[0], new[0]), old[1], new[1])];
        prop_assert_eq!(u32::from(one) % 0xFFFF, u32::from(other) % 0xFFFF);
    }
}
