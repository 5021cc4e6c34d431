//! Ports of one address in a random order.

use core::ops::RangeInclusive;

use vnetem_packet::Protocol;

use crate::mapping::choose::Wanted;

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

    /// Gives the ports of the internal port's class. An identifier has none.
    pub(crate) fn of_class(self, wanted: &Wanted) -> Option<Self> {
        let (first, last) = match wanted.internal.port() {
            _ if wanted.protocol == Protocol::ICMP => return None,
            0..UNPRIVILEGED => (self.first, self.last.min(UNPRIVILEGED.wrapping_sub(1))),
            UNPRIVILEGED.. => (self.first.max(UNPRIVILEGED), self.last),
        };
        let is_less = (first, last) != (self.first, self.last);
        (is_less && first <= last).then_some(Self { first, last, ..self })
    }

    /// Gives the ports with the parity of a port.
    pub(crate) fn of_parity(self, port: u16) -> Option<Self> {
        let first = self.first.checked_add((self.first ^ port) & 1)?;
        (first <= self.last).then_some(Self { first, step: 2, ..self })
    }

    /// Lists all of them, each once, in a random order.
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

/// Lists all numbers below a limit, each once, in a random order.
///
/// It is a keyed permutation of the next even power of two (Luby and Rackoff's Feistel network),
/// without numbers beyond the limit.
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

#[cfg(test)]
mod tests {
    use core::net::{Ipv4Addr, SocketAddrV4};

    use super::*;
    use crate::Zone;

    fn of_class(ports: Ports, protocol: Protocol, internal: u16) -> Option<RangeInclusive<u16>> {
        let remote = SocketAddrV4::new(Ipv4Addr::new(52, 239, 1, 9), 443);
        let internal = SocketAddrV4::new(Ipv4Addr::new(10, 0, 0, 4), internal);
        let (internal_zone, external_zone) = (Zone(1), Zone::PUBLIC);
        let wanted =
            Wanted { protocol, internal, internal_zone, remote, external_zone, suggestion: None };
        ports.of_class(&wanted).map(Ports::range)
    }

    /// A class is given only if it leaves some ports out, so no port is tried twice, and only if it
    /// is not empty (T-05).
    #[test]
    fn port_class_is_a_proper_subset() {
        let both = Ports::all(1000, 2000);
        assert_eq!(of_class(both, Protocol::UDP, 80), Some(1000..=1023));
        assert_eq!(of_class(both, Protocol::UDP, 1023), Some(1000..=1023));
        assert_eq!(of_class(both, Protocol::TCP, 1024), Some(1024..=2000));
        let (low, high) = (Ports::all(1, 1023), Ports::all(1024, 65_535));
        for ports in [low, high] {
            assert_eq!([80, 5000].map(|port| of_class(ports, Protocol::TCP, port)), [None, None]);
        }
        assert_eq!(of_class(both, Protocol::ICMP, 80), None, "an identifier has no class");
    }

    /// A parity is every other port (T-06).
    #[test]
    fn parity_class_is_every_second_port() {
        for (ports, port, expected) in [
            (Ports::all(6, 11), 40, vec![6, 8, 10]),
            (Ports::all(6, 11), 41, vec![7, 9, 11]),
            (Ports::all(7, 11), 40, vec![8, 10]),
            (Ports::all(7, 11), 41, vec![7, 9, 11]),
        ] {
            let mut found: Vec<_> = ports.of_parity(port).unwrap().shuffled(9).collect();
            found.sort_unstable();
            assert_eq!(found, expected);
        }
        assert!(Ports::all(7, 7).of_parity(8).is_none());
        assert!(Ports::all(u16::MAX, u16::MAX).of_parity(8).is_none());
    }

    /// A seed gives the same order in every release, so that recorded runs can be repeated.
    #[test]
    fn draw_order_is_stable() {
        let order: Vec<_> = Shuffle::new(20, 0x0123_4567_89AB_CDEF).collect();
        assert_eq!(order, [13, 4, 1, 17, 8, 15, 16, 10, 2, 5, 11, 7, 19, 18, 0, 14, 3, 12, 9, 6]);
        let order: Vec<_> = Shuffle::new(64_512, 0xFEDC_BA98_7654_3210).take(8).collect();
        assert_eq!(order, [3864, 22_642, 54_785, 29_271, 27_345, 29_767, 17_640, 6827]);
    }
}
