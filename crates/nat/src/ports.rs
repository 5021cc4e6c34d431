//! Ports of one address, in a random order.

use core::ops::RangeInclusive;

use vnetem_packet::Protocol;

use crate::choose::Wanted;

/// Ports of one address, all or every other one.
#[derive(Clone, Copy)]
pub(crate) struct Ports {
    pub(crate) first: u16,
    pub(crate) last: u16,
    /// 2 for ports of one parity.
    pub(crate) step: u16,
}

/// First port that is not a well-known one (T-05).
const UNPRIVILEGED: u16 = 1024;

impl Ports {
    pub(crate) const fn all(first: u16, last: u16) -> Self {
        Self { first, last, step: 1 }
    }

    pub(crate) fn has(self, port: u16) -> bool {
        self.range().contains(&port)
    }

    pub(crate) const fn range(self) -> RangeInclusive<u16> {
        self.first..=self.last
    }

    /// Those of the class of the inside port; an identifier has none.
    pub(crate) fn of_class(self, wanted: &Wanted) -> Option<Self> {
        let (first, last) = match wanted.inside.port() {
            _ if wanted.protocol == Protocol::ICMP => return None,
            0..UNPRIVILEGED => (self.first, self.last.min(UNPRIVILEGED.wrapping_sub(1))),
            UNPRIVILEGED.. => (self.first.max(UNPRIVILEGED), self.last),
        };
        let is_less = (first, last) != (self.first, self.last);
        (is_less && first <= last).then_some(Self { first, last, ..self })
    }

    /// Those of the parity of a port.
    pub(crate) fn of_parity(self, port: u16) -> Option<Self> {
        let first = self.first.checked_add((self.first ^ port) & 1)?;
        (first <= self.last).then_some(Self { first, step: 2, ..self })
    }

    /// All of them, each once, in a random order.
    pub(crate) fn shuffled(self, draw: u64) -> impl Iterator<Item = u16> {
        let Self { first, last, step } = self;
        let span = u32::from(last).saturating_add(1).saturating_sub(first.into());
        let count = span.div_ceil(u32::from(step).max(1));
        Shuffle::new(count, draw).map(move |number| {
            let number = u16::try_from(number).unwrap_or(u16::MAX);
            number.saturating_mul(step).saturating_add(first)
        })
    }
}

/// All numbers below a limit, each once, in a random order: a keyed permutation of the next even power of two (Luby and Rackoff's
/// Feistel network), less what is beyond the limit.
#[derive(Clone, Copy)]
pub(crate) struct Shuffle {
    limit: u32,
    /// Half the bits of a number.
    bits: u32,
    keys: [u32; 4],
    next: u32,
}

impl Shuffle {
    pub(crate) fn new(limit: u32, draw: u64) -> Self {
        let bits =
            u32::BITS.wrapping_sub(limit.saturating_sub(1).leading_zeros()).div_ceil(2).max(1);
        let [a, b, c, d, e, f, g, h] = draw.to_be_bytes();
        let (left, right) = (u32::from_be_bytes([a, b, c, d]), u32::from_be_bytes([e, f, g, h]));
        Self {
            limit,
            bits,
            keys: [left, right, left.rotate_left(16), right.rotate_left(16)],
            next: 0,
        }
    }

    fn permute(&self, number: u32) -> u32 {
        let mask = (1_u32 << self.bits).wrapping_sub(1);
        let (mut left, mut right) = (number >> self.bits, number & mask);
        for key in self.keys {
            let mixed = (right ^ key).wrapping_mul(0x9E37_79B1);
            let mixed = (mixed ^ mixed >> 15 ^ key).wrapping_mul(0x85EB_CA77);
            (left, right) = (right, left ^ (mixed >> 16 & mask));
        }
        left << self.bits | right
    }
}

impl Iterator for Shuffle {
    type Item = u32;

    #[inline]
    fn next(&mut self) -> Option<u32> {
        while self.next >> self.bits >> self.bits == 0 {
            let number = self.permute(self.next);
            self.next = self.next.wrapping_add(1);
            if number < self.limit {
                return Some(number);
            }
        }
        None
    }
}
