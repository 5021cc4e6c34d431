use super::group::{Group, WHOLE};

/// Groups that always exist: one at the top, one for each /8, one for each /16.
pub(crate) const GROUPS: usize = 1 + (1 << 8) + (1 << 16);

/// The groups, at the positions that [`group_at`] gives.
pub(crate) type Groups = [Group; GROUPS];

/// The longest match of an address: its code, and its prefix length plus one. Both are 0 if nothing
/// matches.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Winner {
    pub(crate) code: u32,
    pub(crate) rank: u8,
}

/// Where a prefix is kept: in a group, or in the block of a split /24.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    /// 0 to 3: below the top, a /8, a /16, a /24.
    pub(crate) depth: u32,
    /// The first eight times `depth` bits of the address.
    pub(crate) node: u32,
    /// The heap number inside the group.
    pub(crate) number: u32,
}

impl Place {
    #[inline]
    pub(crate) fn of(network: u32, length: u8) -> Self {
        let Some(longer) = u32::from(length).checked_sub(1) else {
            return Self { depth: 0, node: 0, number: WHOLE };
        };
        let depth = longer / 8;
        let inside = longer % 8 + 1;
        let number = (1 << inside) | (child_of(network, depth) >> (8 - inside));
        Self { depth, node: node_of(network, depth), number }
    }

    /// Gives the position of the group; `None` if the place belongs to a block.
    #[inline]
    pub(crate) fn group(self) -> Option<usize> {
        group_at(self.depth, self.node)
    }

    /// Gives the prefix length.
    pub(crate) fn length(self) -> u8 {
        u8::try_from(self.depth * 8 + self.number.ilog2()).unwrap_or(32)
    }

    /// Gives what addresses get that this prefix with this code wins.
    pub(crate) fn winner(self, code: u32) -> Winner {
        Winner { code, rank: self.length() + 1 }
    }

    /// Gives the network address.
    pub(crate) fn network(self) -> u32 {
        let inside = self.number.ilog2();
        let child = (self.number << (8 - inside)) & 0xff;
        let above = self.node.checked_shl(32 - 8 * self.depth).unwrap_or(0);
        above | (child << (24 - 8 * self.depth))
    }
}

/// Gives the first eight times `depth` bits of the address.
#[inline]
pub(crate) fn node_of(address: u32, depth: u32) -> u32 {
    address.checked_shr(32 - 8 * depth).unwrap_or(0)
}

/// Gives the address's child in its group at this depth.
#[inline]
pub(crate) fn child_of(address: u32, depth: u32) -> u32 {
    (address >> (24 - 8 * depth)) & 0xff
}

/// Gives the position of a node's group; `None` if the node belongs to a block.
#[inline]
pub(crate) fn group_at(depth: u32, node: u32) -> Option<usize> {
    match depth {
        0 => Some(0),
        1 => Some(1 + node as usize),
        2 => Some(1 + (1 << 8) + node as usize),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::address::mask;

    /// Every length has its place and returns from it (INV-all-depths-nest).
    #[test]
    fn a_place_names_its_prefix() {
        for length in 0..=32 {
            for address in [0u32, 0x0a01_0203, 0xc0a8_8181, u32::MAX] {
                let network = address & mask(length);
                let place = Place::of(network, length);
                assert_eq!((place.network(), place.length()), (network, length));
                assert!((1..512).contains(&place.number));
            }
        }
    }
}
