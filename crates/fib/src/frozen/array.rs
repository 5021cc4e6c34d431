use super::code::Code;
use super::spans::Spans;
use crate::address::Address;
use crate::value_id::ValueId;

/// One slot for each /24.
const SLOTS: usize = 1 << 24;
/// A few more than there are /24s, so that four bytes may be loaded at any slot.
pub(crate) const LENGTH: usize = SLOTS + 4;

/// A code for every /24 (DIR-24-8).
pub(crate) struct Array<C>(Box<[C; LENGTH]>);

impl<C: Code> Array<C> {
    pub(crate) fn new(spans: &Spans) -> Self {
        let mut slots = Vec::with_capacity(LENGTH);
        let ends = spans.runs.iter().skip(1).map(|(slot, _)| *slot as usize).chain([SLOTS]);
        for ((_, code), end) in spans.runs.iter().zip(ends) {
            slots.resize(end, C::new(*code));
        }
        slots.resize(LENGTH, C::new(0));
        #[allow(clippy::expect_used, reason = "it was just resized to that length")]
        let slots = slots.into_boxed_slice().try_into().ok().expect("LENGTH slots");
        Self(slots)
    }

    #[inline(always)]
    pub(crate) fn code(&self, address: u32) -> u32 {
        // There are more than 2^24 slots, so the compiler removes this check.
        self.0.get((address >> 8) as usize).map_or(0, |code| code.number())
    }

    /// Looks up the codes of as many addresses as `ids` has places.
    #[inline]
    pub(crate) fn codes(&self, addresses: &[impl Address], ids: &mut [ValueId]) {
        #[cfg(target_arch = "x86_64")]
        let (addresses, ids) = crate::avx512::codes(&self.0, addresses, ids);
        self.codes_one_by_one(addresses, ids);
    }

    #[inline]
    pub(crate) fn codes_one_by_one(&self, addresses: &[impl Address], ids: &mut [ValueId]) {
        for (id, address) in ids.iter_mut().zip(addresses) {
            *id = ValueId(self.code(address.number()));
        }
    }

    pub(crate) fn bytes(&self) -> usize {
        size_of_val(&*self.0)
    }
}

// An array of 2^24 codes is too much for Miri.
#[cfg(all(test, not(miri)))]
mod tests {
    use super::*;
    use crate::address::mask;
    use crate::sweep::Rule;

    /// The gather equals one load after the other: for every /24, in every width, and for lengths
    /// that are no multiple of sixteen.
    #[test]
    fn batch_codes_equal_single_codes() {
        fn compare<C: Code>(highest: u32) {
            // Neighbouring /24s have different codes, and codes use all their bytes.
            let cell = |n: u32| 1 + n.wrapping_mul(0x9e37_79b9) % (highest - 1);
            let rules: Vec<Rule<u32>> = (0..1 << 13)
                .map(|n| Rule { network: n << 19, length: 13, cell: cell(n) })
                .flat_map(|wide| {
                    let narrow = Rule {
                        network: wide.network & mask(24),
                        length: 24,
                        cell: !0 >> 1 & cell(!wide.cell),
                    };
                    [wide, narrow]
                })
                .collect();
            let array: Array<C> = Array::new(&Spans::new(&rules, C::SPLIT));
            let (mut at_once, mut one_by_one) = ([ValueId::NONE; 4096], [ValueId::NONE; 4096]);
            let mut slot = 0u32;
            let mut length = 4096;
            while slot < 1 << 24 {
                let addresses: Vec<u32> = (slot..(slot + length).min(1 << 24))
                    .map(|slot| slot << 8 | slot & 0xff)
                    .collect();
                array.codes(&addresses, &mut at_once[..addresses.len()]);
                array.codes_one_by_one(&addresses, &mut one_by_one[..addresses.len()]);
                assert_eq!(at_once, one_by_one);
                slot += length;
                length = if length == 4096 { 4079 } else { length + 1 };
            }
            let octets = [[255u8; 4]; 17];
            array.codes(&octets, &mut at_once[..17]);
            assert!(at_once[..17].iter().all(|id| id.0 == array.code(u32::MAX)));
        }
        compare::<u8>(254);
        compare::<u16>(65_534);
        compare::<u32>(1 << 30);
    }
}
