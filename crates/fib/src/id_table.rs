use std::fmt;

use ipnet::Ipv4Net;

use crate::address::{Address, prefix_of};
use crate::block::{Block, Cell, LENGTH_BITS, NO_MATCH, rank};
use crate::value_id::ValueId;

/// An immutable table that answers numbers of values which it shares with other tables: see
/// [`SharedValues`](crate::SharedValues), which makes it.
///
/// It is made for tens of thousands of tables of 10 to 2,000 routes: a handle of one cache line and
/// one block of several. A line says where ten elementary intervals begin and, beside each, the
/// length of the winning prefix and the number of its value. The handle says which of up to eight
/// lines it is; above more there is an implicit 16-way tree. So a lookup fetches the handle and one
/// line up to some 40 routes, one more up to 600, one more up to 10,000.
///
/// It is replaced, never edited; a clone is the same allocation.
#[derive(Clone)]
pub struct IdTable {
    pub(crate) block: Block,
}

impl IdTable {
    /// A table without routes.
    pub fn empty() -> Self {
        Self { block: Block::new(&[]) }
    }

    /// The longest match.
    #[inline]
    pub fn lookup(&self, address: impl Address) -> Hit {
        Hit(self.block.cell(address.number()))
    }

    /// All routes in order: by network, then the shorter first.
    pub fn iter(&self) -> impl Iterator<Item = (Ipv4Net, ValueId)> {
        let rules = self.block.rules_between(0, u32::MAX).into_iter();
        rules.map(|rule| (prefix_of(rule.network, rule.length), Hit(rule.cell).id()))
    }

    /// Whether both are one allocation, as clones are.
    pub fn same(&self, other: &Self) -> bool {
        self.block.same(&other.block)
    }

    /// Bytes that this table occupies, its handle and the counters of its allocation included.
    pub fn bytes(&self) -> usize {
        size_of::<Self>() + self.block.bytes()
    }
}

/// Equal routes with equal numbers make equal memory, so this walks nothing.
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

/// What an [`IdTable`] answers: the length of the prefix that matched and the number of its value.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
#[repr(transparent)]
pub struct Hit(pub(crate) Cell);

impl Hit {
    /// No route matches.
    pub const NONE: Self = Self(NO_MATCH);

    /// Whether no route matches.
    pub fn is_none(self) -> bool {
        self == Self::NONE
    }

    /// The number of the value, or [`ValueId::NONE`].
    #[inline]
    pub fn id(self) -> ValueId {
        ValueId(self.0 >> LENGTH_BITS)
    }

    /// The length of the prefix that matched.
    #[inline]
    pub fn length(self) -> Option<u8> {
        u8::try_from(rank(self.0).checked_sub(1)?).ok()
    }

    /// The prefix that matched this address.
    #[inline]
    pub fn prefix(self, address: impl Address) -> Option<Ipv4Net> {
        Some(prefix_of(address.number(), self.length()?))
    }

    /// Of two matches for one address the one with the longer prefix, the first if they are equal:
    /// how a table stands over a base.
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
