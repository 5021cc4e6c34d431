use std::sync::{Arc, OnceLock};

use ipnet::Ipv4Net;

use super::place::{Groups, Winner};
use super::plane::Plane;
use super::sync::{AtomicU8, AtomicU16, AtomicU32};
use super::version::Version;
use crate::address::prefix_of;
use crate::values::Values;

/// Everything that readers see of a table, as long as its codes keep their meaning.
///
/// The writer changes it in place. When codes run out or memory lies idle, the writer builds the
/// next generation and stores it in `next`. Every reader finds it there without a lock.
pub(crate) struct Generation<V> {
    pub(crate) planes: Planes,
    /// The prefixes of up to 24 bits.
    pub(crate) groups: Box<Groups>,
    pub(crate) values: Values<V>,
    version: Version,
    pub(crate) next: OnceLock<Arc<Generation<V>>>,
}

/// The plane in the width that the number of values needs.
pub(crate) enum Planes {
    One(Plane<AtomicU8>),
    Two(Plane<AtomicU16>),
    Four(Plane<AtomicU32>),
}

/// Runs one expression for the plane of any width.
macro_rules! on_plane {
    ($planes:expr, $plane:ident => $do:expr) => {
        match $planes {
            $crate::live::generation::Planes::One($plane) => $do,
            $crate::live::generation::Planes::Two($plane) => $do,
            $crate::live::generation::Planes::Four($plane) => $do,
        }
    };
}
pub(crate) use on_plane;

impl<V> Generation<V> {
    pub(crate) fn new(planes: Planes, groups: Box<Groups>, values: Values<V>) -> Self {
        Self { planes, groups, values, version: Version::new(), next: OnceLock::new() }
    }

    /// Counts a change, for readers that need one state.
    pub(crate) fn change<T>(&self, change: impl FnOnce() -> T) -> T {
        self.version.change(change)
    }

    /// Gives the result of `read` once no change has interrupted it.
    #[inline]
    pub(crate) fn undisturbed<T>(&self, read: impl FnMut() -> T) -> Option<T> {
        /// A change takes well under a microsecond, except for the widest prefixes.
        const TRIES: u32 = 64;
        self.version.undisturbed(TRIES, read)
    }

    /// Finds the longest match of an address.
    #[inline(always)]
    pub(crate) fn winner(&self, address: u32) -> Winner {
        on_plane!(&self.planes, plane => plane.winner(&self.groups, address))
    }

    /// Gives prefix and value of a match.
    #[inline]
    pub(crate) fn matched(&self, address: u32, winner: Winner) -> Option<(Ipv4Net, &V)> {
        // The code is known before the rank.
        let value = self.values.get(winner.code)?;
        Some((prefix_of(address, winner.rank.saturating_sub(1)), value))
    }
}

/// Drops a long chain link by link, not by recursion. A reader that slept for long holds one.
impl<V> Drop for Generation<V> {
    fn drop(&mut self) {
        let mut next = self.next.take();
        while let Some(mut generation) = next.and_then(Arc::into_inner) {
            next = generation.next.take();
        }
    }
}
