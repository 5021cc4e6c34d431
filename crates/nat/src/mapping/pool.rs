//! Pools: external addresses, their ports, and blocks of ports.

use core::net::{Ipv4Addr, SocketAddrV4};

use crate::{Block, Blocks, PoolRules};

/// The external addresses and ports of a NAT. For ICMP queries the ports are identifiers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pool<'a> {
    /// The addresses.
    pub addresses: &'a [Ipv4Addr],
    /// First port of each.
    pub first_port: u16,
    /// Last port of each.
    pub last_port: u16,
    /// The rules by which they are chosen.
    pub rules: &'a PoolRules,
}

impl<'a> Pool<'a> {
    /// Makes a pool of all ports from 1024 on.
    #[must_use]
    pub const fn new(addresses: &'a [Ipv4Addr], rules: &'a PoolRules) -> Self {
        Self { addresses, first_port: 1024, last_port: u16::MAX, rules }
    }

    /// Says whether a tuple belongs to the pool.
    #[must_use]
    pub fn has(&self, external: SocketAddrV4) -> bool {
        self.addresses.contains(external.ip())
            && (self.first_port..=self.last_port).contains(&external.port())
    }

    /// Gives the block of an internal address under [`Blocks::Deterministic`]. `None` without that
    /// rule, or without a block for the address (T-09).
    #[must_use]
    pub fn block_of(&self, internal: Ipv4Addr) -> Option<Block> {
        let Blocks::Deterministic { first, size } = self.rules.blocks else { return None };
        let number = internal.to_bits().checked_sub(first.to_bits())?;
        let each = self.blocks_each(size)?;
        let address = self.addresses.get(usize::try_from(number.checked_div(each)?).ok()?)?;
        self.block(*address, number.checked_rem(each)?)
    }

    /// Gives the internal address of an external tuple under [`Blocks::Deterministic`], by
    /// arithmetic alone (T-09, RFC 7422).
    #[must_use]
    pub fn inside_of(&self, external: SocketAddrV4) -> Option<Ipv4Addr> {
        let Blocks::Deterministic { first, size } = self.rules.blocks else { return None };
        let block = self.block_at(external)?;
        let each = self.blocks_each(size)?;
        let place = self.addresses.iter().position(|address| address == external.ip())?;
        let number = u32::from(block.first.checked_sub(self.first_port)?.checked_div(size)?);
        let before = u32::try_from(place).ok()?.checked_mul(each)?;
        let internal = first.to_bits().checked_add(before)?.checked_add(number)?;
        Some(Ipv4Addr::from_bits(internal))
    }

    /// Gives the block of an external tuple; `None` if the pool has no blocks.
    #[must_use]
    pub fn block_at(&self, external: SocketAddrV4) -> Option<Block> {
        let (Blocks::Dynamic { size, .. } | Blocks::Deterministic { size, .. }) = self.rules.blocks
        else {
            return None;
        };
        let number = external.port().checked_sub(self.first_port)?.checked_div(size)?;
        self.has(external).then(|| self.block(*external.ip(), number.into())).flatten()
    }

    /// Gives the n-th block of an address.
    pub(crate) fn block(&self, address: Ipv4Addr, number: u32) -> Option<Block> {
        let (Blocks::Dynamic { size, .. } | Blocks::Deterministic { size, .. }) = self.rules.blocks
        else {
            return None;
        };
        let first = number.checked_mul(size.into())?.checked_add(self.first_port.into())?;
        let last = first.checked_add(u32::from(size))?.checked_sub(1)?;
        let (first, last) = (u16::try_from(first).ok()?, u16::try_from(last).ok()?);
        (first <= last && last <= self.last_port).then_some(Block { address, first, last })
    }

    /// Counts the blocks of each address.
    fn blocks_each(&self, size: u16) -> Option<u32> {
        let ports = u32::from(self.last_port.checked_sub(self.first_port)?).checked_add(1)?;
        ports.checked_div(size.into()).filter(|blocks| *blocks > 0)
    }
}
