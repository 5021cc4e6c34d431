//! Address ranges of the networks and the site of a world. They are of every class, since no class
//! decides what is internal.

use core::net::Ipv4Addr;

use ipnet::Ipv4Net;

/// The ranges of a world. Addresses are written in 10.0.0.0/16, 10.1.0.0/16 and 192.168.1.0/24, and
/// moved to the same place in these ranges.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Space {
    /// Of alpha and beta.
    home: [u8; 2],
    /// Of gamma.
    far: [u8; 2],
    /// Of the site.
    site: [u8; 3],
}

/// The ranges as written.
pub(crate) const PRIVATE_RANGES: Space = Space { home: [10, 0], far: [10, 1], site: [192, 168, 1] };

/// Public addresses of others, and the range that carriers share.
pub(crate) const PUBLIC_RANGES: Space = Space { home: [30, 1], far: [100, 64], ..PRIVATE_RANGES };

/// Ranges reserved for benchmarking.
pub(crate) const MEASURING: Space = Space { home: [198, 18], far: [172, 20], ..PRIVATE_RANGES };

/// Ranges around documentation addresses.
pub(crate) const AROUND_TEST_NET: Space = Space { home: [192, 0], ..PRIVATE_RANGES };

/// Peers and sites with addresses that look like the internet's.
pub(crate) const PUBLIC_AROUND: Space = Space { home: [10, 0], far: [30, 2], site: [150, 1, 1] };

const ALL: [Space; 5] = [PRIVATE_RANGES, PUBLIC_RANGES, MEASURING, AROUND_TEST_NET, PUBLIC_AROUND];

impl Space {
    /// Replaces the ranges around alpha and beta by private ones, which cannot have met on the
    /// internet before.
    pub(crate) const fn with_private_neighbours(self) -> Self {
        let Self { far: [first, _], .. } = self;
        let far = if first == 30 { PRIVATE_RANGES.far } else { self.far };
        Self { far, site: PRIVATE_RANGES.site, ..self }
    }

    /// Returns whether alpha's addresses could also be met on the internet.
    pub(crate) const fn looks_public(&self) -> bool {
        self.home[0] != PRIVATE_RANGES.home[0]
    }

    /// Moves an address to its place in this space.
    pub(crate) const fn address(&self, at: Ipv4Addr) -> Ipv4Addr {
        let ([a, b], [c, d], [e, f, g]) = (self.home, self.far, self.site);
        match at.octets() {
            [10, 0, third, last] => Ipv4Addr::new(a, b, third, last),
            [10, 1, third, last] => Ipv4Addr::new(c, d, third, last),
            [192, 168, 1, last] => Ipv4Addr::new(e, f, g, last),
            _ => at,
        }
    }

    /// Moves a prefix to its place in this space. One wider than a network stays.
    pub(crate) fn prefix(&self, prefix: Ipv4Net) -> Ipv4Net {
        let at = self.address(prefix.network());
        match prefix.prefix_len() {
            length @ 16.. => Ipv4Net::new(at, length).unwrap_or(prefix),
            _ => prefix,
        }
    }
}

/// Returns whether an address is internal in some world.
pub(crate) fn is_inside(at: Ipv4Addr) -> bool {
    let [a, b, c, _] = at.octets();
    at.is_private()
        || ALL
            .iter()
            .any(|space| [a, b] == space.home || [a, b] == space.far || [a, b, c] == space.site)
}
