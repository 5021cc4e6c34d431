use std::fmt;

use ipnet::Ipv4Net;

use crate::address::{Address, prefix_of};
use crate::block::{Block, Cell, LENGTH_BITS, NO_MATCH, rank};
use crate::value_id::ValueId;

/// An immutable table that answers numbers of shared values. [`SharedValues`](crate::SharedValues)
/// makes it.
///
/// It suits tens of thousands of tables of 10 to 2,000 routes. A table is a handle of one cache
/// line and one block of lines. A line holds the starts of ten elementary intervals, and for each
/// the winning prefix length and value number. The handle finds the line among up to eight; above
/// more than eight stands an implicit 16-way tree. So a lookup fetches the handle and one line up
/// to some 40 routes, one more up to 600, one more up to 10,000.
///
/// A table is replaced, never edited. A clone shares the allocation.
#[derive(Clone)]
pub struct IdTable {
    pub(crate) block: Block,
}

impl IdTable {
    /// Makes a table without routes.
    pub fn empty() -> Self {
        Self { block: Block::new(&[]) }
    }

    /// Looks up the longest match.
    #[inline]
    pub fn lookup(&self, address: impl Address) -> Hit {
        Hit(self.block.cell(address.number()))
    }

    /// Lists all routes in order: by network, then the shorter first.
    pub fn iter(&self) -> impl Iterator<Item = (Ipv4Net, ValueId)> {
        let rules = self.block.rules_between(0, u32::MAX).into_iter();
        rules.map(|rule| (prefix_of(rule.network, rule.length), Hit(rule.cell).id()))
    }

    /// Says whether both share one allocation, as clones do.
    pub fn same(&self, other: &Self) -> bool {
        self.block.same(&other.block)
    }

    /// Counts the bytes of this table, its handle and reference counters included.
    pub fn bytes(&self) -> usize {
        size_of::<Self>() + self.block.bytes()
    }
}

/// Compares memory without walking routes: equal routes with equal numbers make equal blocks.
impl PartialEq for IdTable {
    fn eq(&self, other: &Self) -> bool {
        self.block == other.block
    }
}

impl Eq for IdTable {}

impl Default for IdTable {
    fn default() -> Self {
        Self::empty()
    }
}

impl fmt::Debug for IdTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter()).finish()
    }
}

/// The answer of an [`IdTable`]: the matched prefix length and the number of its value.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
#[repr(transparent)]
pub struct Hit(pub(crate) Cell);

impl Hit {
    /// No route matches.
    pub const NONE: Self = Self(NO_MATCH);

    /// Says whether no route matches.
    pub fn is_none(self) -> bool {
        self == Self::NONE
    }

    /// Gives the number of the value, or [`ValueId::NONE`].
    #[inline]
    pub fn id(self) -> ValueId {
        ValueId(self.0 >> LENGTH_BITS)
    }

    /// Gives the length of the matched prefix.
    #[inline]
    pub fn length(self) -> Option<u8> {
        u8::try_from(rank(self.0).checked_sub(1)?).ok()
    }

    /// Gives the prefix that matched this address.
    #[inline]
    pub fn prefix(self, address: impl Address) -> Option<Ipv4Net> {
        Some(prefix_of(address.number(), self.length()?))
    }

    /// Gives the longer of two matches for one address, `self` if they are equally long. So a table
    /// overrides its base.
    #[inline]
    pub fn or_longer(self, other: Self) -> Self {
        if rank(other.0) > rank(self.0) { other } else { self }
    }
}

impl fmt::Debug for Hit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hit").field("length", &self.length()).field("id", &self.id()).finish()
    }
}
