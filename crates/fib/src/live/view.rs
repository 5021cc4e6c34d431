use std::error::Error;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU16, AtomicU32, Ordering, fence};

use ipnet::Ipv4Net;

use super::generation::{Generation, Planes};
use super::plane::Lookup;
use crate::address::Address;
use crate::value_id::ValueId;

/// Looks up routes in a [`LiveTable`](crate::LiveTable) while its writer changes it. Each reading
/// thread has one.
///
/// A reader that never asks for a [`view`](Self::view) keeps in memory all that the writer has
/// published since.
pub struct Reader<V> {
    current: Arc<Generation<V>>,
}

impl<V> Reader<V> {
    pub(crate) fn new(current: Arc<Generation<V>>) -> Self {
        Self { current }
    }

    /// Gives the table as it is now. Ask once a batch or packet burst; it costs one load.
    #[inline]
    pub fn view(&mut self) -> View<'_, V> {
        while let Some(next) = self.current.next.get() {
            self.current = Arc::clone(next);
        }
        View::new(&self.current)
    }
}

impl<V> Clone for Reader<V> {
    fn clone(&self) -> Self {
        Self { current: Arc::clone(&self.current) }
    }
}

impl<V> fmt::Debug for Reader<V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reader").finish_non_exhaustive()
    }
}

/// A live table as a reader sees it.
///
/// A view goes on showing the writer's changes. Each value lookup answers as before or as after a
/// concurrent change, and never waits.
pub struct View<'a, V> {
    generation: &'a Generation<V>,
    lookup: Lookups<'a>,
}

/// The references to the codes, in their width.
#[derive(Clone, Copy)]
enum Lookups<'a> {
    One(Lookup<'a, AtomicU8>),
    Two(Lookup<'a, AtomicU16>),
    Four(Lookup<'a, AtomicU32>),
}

impl<'a, V> View<'a, V> {
    pub(crate) fn new(generation: &'a Generation<V>) -> Self {
        let lookup = match &generation.planes {
            Planes::One(plane) => Lookups::One(plane.lookup()),
            Planes::Two(plane) => Lookups::Two(plane.lookup()),
            Planes::Four(plane) => Lookups::Four(plane.lookup()),
        };
        Self { generation, lookup }
    }

    /// Looks up the value number of the longest match. It takes one load, or three if prefixes
    /// longer than /24 split the address's /24.
    #[inline(always)]
    pub fn id(&self, address: impl Address) -> ValueId {
        let address = address.number();
        ValueId(match self.lookup {
            Lookups::One(lookup) => lookup.code(address),
            Lookups::Two(lookup) => lookup.code(address),
            Lookups::Four(lookup) => lookup.code(address),
        })
    }

    /// Looks up the value of the longest match.
    #[inline]
    pub fn value(&self, address: impl Address) -> Option<&'a V> {
        let id = self.id(address);
        fence(Ordering::Acquire);
        self.value_of(id)
    }

    /// Gives the value that has this number.
    #[inline]
    pub fn value_of(&self, id: ValueId) -> Option<&'a V> {
        self.generation.values.get(id.0)
    }

    /// Looks up the value number of each address, as many as the shorter slice holds.
    ///
    /// Addresses are looked up one by one, so a change may happen between two of them.
    #[inline]
    pub fn lookup_batch(&self, addresses: &[impl Address], ids: &mut [ValueId]) {
        match self.lookup {
            Lookups::One(lookup) => lookup.batch(addresses, ids),
            Lookups::Two(lookup) => lookup.batch(addresses, ids),
            Lookups::Four(lookup) => lookup.batch(addresses, ids),
        }
    }

    /// Does what [`lookup_batch`](Self::lookup_batch) does; all answers belong to one state of the
    /// table.
    ///
    /// # Errors
    ///
    /// [`Contended`] if a change interrupted each of 64 tries; keep batches to about 64 addresses.
    pub fn lookup_batch_at_once(
        &self,
        addresses: &[impl Address],
        ids: &mut [ValueId],
    ) -> Result<(), Contended> {
        self.generation.undisturbed(|| self.lookup_batch(addresses, ids)).ok_or(Contended)
    }

    /// Looks up the longest matching route: its prefix and its value, both of one state of the
    /// table.
    ///
    /// # Errors
    ///
    /// [`Contended`] if a change interrupted each of 64 tries.
    #[inline]
    pub fn lookup(&self, address: impl Address) -> Result<Option<(Ipv4Net, &'a V)>, Contended> {
        let read = || self.generation.winner(address.number());
        let winner = self.generation.undisturbed(read).ok_or(Contended)?;
        Ok(self.generation.matched(address.number(), winner))
    }
}

impl<V> Clone for View<'_, V> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<V> Copy for View<'_, V> {}

impl<V> fmt::Debug for View<'_, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("View").finish_non_exhaustive()
    }
}

/// The writer changed the table during every try of a lookup that needs one state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Contended;

impl fmt::Display for Contended {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the table changed during every try")
    }
}

impl Error for Contended {}
