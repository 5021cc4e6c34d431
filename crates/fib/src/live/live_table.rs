use std::collections::HashMap;
use std::fmt;
use std::hash::{BuildHasherDefault, Hash};
use std::sync::Arc;

use ipnet::Ipv4Net;

use super::generation::{Generation, Planes, on_plane};
use super::iter::Routes;
use super::place::Place;
use super::view::{Reader, View};
use super::width::Width;
use super::writer::number;
use crate::address::{Address, prefix_of};
use crate::error::RouteError;
use crate::intern::{Mix, Numbers};
use crate::value_id::ValueId;

/// A large table that is changed in place while readers look up.
///
/// Readers see a code for every /24 (DIR-24-8), so a lookup is one load. For each /16 the writer
/// keeps one cache line of existing prefixes, and their codes. A change finds the addresses that no
/// longer prefix covers by a few operations on that line. It gives each its new code by one store.
///
/// Equal values share a code. A code has one byte up to 254 distinct values, then two, then four.
/// To widen codes, the writer copies the table and publishes the copy by one store.
pub struct LiveTable<V> {
    pub(super) generation: Arc<Generation<V>>,
    /// Codes of each group's prefixes by heap number.
    pub(super) codes: Box<[Vec<u32>]>,
    /// The same for the blocks of split /24s, by slot.
    pub(super) block_codes: HashMap<u32, Vec<u32>, BuildHasherDefault<Mix>>,
    pub(super) numbers: Numbers<V>,
    /// How many routes have each value, by number; number 0 has none.
    pub(super) uses: Vec<u32>,
    pub(super) routes: usize,
    pub(super) widest: Width,
}

impl<V: Clone + Eq + Hash> LiveTable<V> {
    /// Makes a table without routes.
    pub fn new() -> Self {
        Self::limited(Width::Four)
    }

    /// Makes a table without routes whose codes never grow wider than this.
    pub fn limited(widest: Width) -> Self {
        Self::build(&[], &[], Width::One, widest)
    }

    /// Builds a table of many routes at once, in any order; of equal prefixes the last counts.
    ///
    /// # Errors
    ///
    /// [`RouteError::HostBits`] for the first prefix with host bits.
    pub fn from_routes(routes: impl IntoIterator<Item = (Ipv4Net, V)>) -> Result<Self, RouteError> {
        let (rules, values) = number(routes)?;
        let width = Width::holding(values.len(), Width::Four).unwrap_or(Width::Four);
        Ok(Self::build(&rules, &values, width, Width::Four))
    }

    /// Adds a route, or replaces the value of an existing one and returns the old value.
    ///
    /// # Errors
    ///
    /// [`RouteError`] if the prefix has host bits, or if no number is left for the value.
    /// The table is then unchanged.
    pub fn insert(&mut self, prefix: Ipv4Net, value: V) -> Result<Option<V>, RouteError> {
        let (network, length) = canonical(prefix)?;
        let place = Place::of(network, length);
        self.make_room_for(place);
        let code = self.number(value)?;
        let replaced = self.put(place, code);
        self.count(code);
        Ok(replaced.and_then(|replaced| self.discount(replaced)))
    }

    /// Replaces the value of an existing route and returns the old value; does nothing if there is
    /// none.
    ///
    /// # Errors
    ///
    /// As [`insert`](Self::insert).
    pub fn replace(&mut self, prefix: Ipv4Net, value: V) -> Result<Option<V>, RouteError> {
        let (network, length) = canonical(prefix)?;
        if self.contains(Place::of(network, length)) {
            self.insert(prefix, value)
        } else {
            Ok(None)
        }
    }

    /// Removes the route of exactly this prefix and returns its value.
    pub fn remove(&mut self, prefix: Ipv4Net) -> Option<V> {
        let (network, length) = canonical(prefix).ok()?;
        let code = self.take(Place::of(network, length))?;
        self.discount(code)
    }

    /// Replaces all routes in one step for readers: a batch sees either the old table or the new
    /// one.
    ///
    /// # Errors
    ///
    /// [`RouteError`] if a prefix has host bits, or if there are too many values.
    /// The table is then unchanged.
    pub fn replace_all(
        &mut self,
        routes: impl IntoIterator<Item = (Ipv4Net, V)>,
    ) -> Result<(), RouteError> {
        let (rules, values) = number(routes)?;
        let width = Width::holding(values.len(), self.widest)
            .ok_or(RouteError::ValuesExhausted { limit: self.widest.limit() })?;
        self.publish(Self::build(&rules, &values, width, self.widest));
        Ok(())
    }
}

impl<V> LiveTable<V> {
    /// Makes a reader for another thread.
    pub fn reader(&self) -> Reader<V> {
        Reader::new(Arc::clone(&self.generation))
    }

    /// Gives the table as readers see it.
    #[inline]
    pub fn view(&self) -> View<'_, V> {
        View::new(&self.generation)
    }

    /// Looks up the longest matching route: its prefix and its value.
    #[inline]
    pub fn lookup(&self, address: impl Address) -> Option<(Ipv4Net, &V)> {
        // Nobody writes while the table is borrowed.
        let address = address.number();
        self.generation.matched(address, self.generation.winner(address))
    }

    /// Looks up the value of the longest match.
    #[inline]
    pub fn value(&self, address: impl Address) -> Option<&V> {
        self.view().value(address)
    }

    /// Looks up the value number of each address, as many as the shorter slice holds.
    #[inline]
    pub fn lookup_batch(&self, addresses: &[impl Address], ids: &mut [ValueId]) {
        self.view().lookup_batch(addresses, ids);
    }

    /// Gives the value that has this number.
    #[inline]
    pub fn value_of(&self, id: ValueId) -> Option<&V> {
        self.generation.values.get(id.0)
    }

    /// Gives the value of exactly this prefix.
    pub fn get(&self, prefix: Ipv4Net) -> Option<&V> {
        let (network, length) = canonical(prefix).ok()?;
        let code = self.code_of(Place::of(network, length))?;
        self.value_of(ValueId(code))
    }

    /// Lists the routes that cover this prefix, itself included, the shortest first.
    pub fn covering(&self, prefix: Ipv4Net) -> impl Iterator<Item = (Ipv4Net, &V)> {
        let network = prefix.network().to_bits();
        (0..=prefix.prefix_len()).filter_map(move |length| {
            let prefix = prefix_of(network, length);
            Some((prefix, self.get(prefix)?))
        })
    }

    /// Lists the routes that this prefix covers, itself included, in order.
    pub fn covered(&self, prefix: Ipv4Net) -> Routes<'_, V> {
        Routes::new(self, prefix)
    }

    /// Lists all routes in order: by network, then the shorter first.
    pub fn iter(&self) -> Routes<'_, V> {
        self.covered(Ipv4Net::default())
    }

    /// Counts the routes.
    pub fn len(&self) -> usize {
        self.routes
    }

    /// Says whether there is no route at all.
    pub fn is_empty(&self) -> bool {
        self.routes == 0
    }

    /// Gives the current width of a code.
    pub fn width(&self) -> Width {
        match self.generation.planes {
            Planes::One(_) => Width::One,
            Planes::Two(_) => Width::Two,
            Planes::Four(_) => Width::Four,
        }
    }

    /// Counts the bytes of the table, without what values own on the heap.
    pub fn memory(&self) -> Memory {
        let codes = |codes: &Vec<u32>| size_of_val(codes) + codes.capacity() * size_of::<u32>();
        let of_blocks = self.block_codes.capacity() * size_of::<u32>()
            + self.block_codes.values().map(codes).sum::<usize>();
        let numbers = self.numbers.capacity() * (size_of::<V>() + size_of::<u32>() + 1);
        let (array, blocks) = on_plane!(&self.generation.planes, plane => plane.bytes());
        Memory {
            array,
            blocks,
            prefixes: size_of_val(&*self.generation.groups),
            codes: self.codes.iter().map(codes).sum::<usize>() + of_blocks,
            values: self.generation.values.bytes()
                + numbers
                + self.uses.capacity() * size_of::<u32>(),
        }
    }
}

/// Bytes that a [`LiveTable`] occupies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Memory {
    /// The codes of all /24s, which a lookup loads, and the short lengths above each /16.
    pub array: usize,
    /// The blocks of /24s that longer prefixes split, and the pages that lead to them.
    pub blocks: usize,
    /// Which prefixes exist.
    pub prefixes: usize,
    /// The codes of the prefixes, for the writer alone.
    pub codes: usize,
    /// The values and their numbers.
    pub values: usize,
}

impl Memory {
    /// Adds up all parts.
    pub fn total(&self) -> usize {
        self.array + self.blocks + self.prefixes + self.codes + self.values
    }
}

impl<V: Clone + Eq + Hash> Default for LiveTable<V> {
    fn default() -> Self {
        Self::new()
    }
}

/// Compares the routes, whatever the tables' histories.
impl<V: PartialEq> PartialEq for LiveTable<V> {
    fn eq(&self, other: &Self) -> bool {
        self.routes == other.routes && self.iter().eq(other.iter())
    }
}

impl<V: Eq> Eq for LiveTable<V> {}

impl<V: fmt::Debug> fmt::Debug for LiveTable<V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self).finish()
    }
}

impl<'a, V> IntoIterator for &'a LiveTable<V> {
    type Item = (Ipv4Net, &'a V);
    type IntoIter = Routes<'a, V>;

    fn into_iter(self) -> Routes<'a, V> {
        self.iter()
    }
}

/// Gives network and length of a prefix without host bits.
pub(crate) fn canonical(prefix: Ipv4Net) -> Result<(u32, u8), RouteError> {
    if prefix.addr() == prefix.network() {
        Ok((prefix.addr().to_bits(), prefix.prefix_len()))
    } else {
        Err(RouteError::HostBits(prefix))
    }
}
