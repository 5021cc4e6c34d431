use std::collections::BTreeMap;
use std::fmt;
use std::hash::Hash;

use ipnet::Ipv4Net;

use crate::table::Table;

/// The routing table (RIB): all candidate routes of every prefix with their preferences.
///
/// `S` is the preference, of which the lowest wins, and `V` the route's value. A prefix has at most
/// one candidate of each preference. Host bits of prefixes are cleared.
#[derive(Clone, PartialEq, Eq)]
pub struct RouteTable<S, V> {
    candidates: BTreeMap<Ipv4Net, Vec<(S, V)>>,
}

impl<S: Ord + Copy, V> RouteTable<S, V> {
    /// Makes a table without routes.
    pub fn new() -> Self {
        Self { candidates: BTreeMap::new() }
    }

    /// Adds a candidate. If one of equal preference exists, replaces it and returns its value.
    pub fn insert(&mut self, prefix: Ipv4Net, preference: S, value: V) -> Option<V> {
        let candidates = self.candidates.entry(prefix.trunc()).or_default();
        match candidates.binary_search_by_key(&preference, |(known, _)| *known) {
            Ok(at) => candidates.get_mut(at).map(|(_, known)| std::mem::replace(known, value)),
            Err(at) => {
                candidates.insert(at, (preference, value));
                None
            }
        }
    }

    /// Removes the candidate of this preference and returns its value; the next one wins.
    pub fn remove(&mut self, prefix: Ipv4Net, preference: &S) -> Option<V> {
        let prefix = prefix.trunc();
        let candidates = self.candidates.get_mut(&prefix)?;
        let at = candidates.binary_search_by_key(preference, |(known, _)| *known).ok()?;
        let (_, value) = candidates.remove(at);
        if candidates.is_empty() {
            self.candidates.remove(&prefix);
        }
        Some(value)
    }

    /// Gives the candidates of exactly this prefix, the winner first; empty if there are none.
    pub fn candidates(&self, prefix: Ipv4Net) -> &[(S, V)] {
        self.candidates.get(&prefix.trunc()).map_or(&[], Vec::as_slice)
    }

    /// Gives the winning candidate of exactly this prefix.
    pub fn winner(&self, prefix: Ipv4Net) -> Option<(S, &V)> {
        self.candidates(prefix).first().map(|(preference, value)| (*preference, value))
    }

    /// Lists every prefix in order (by network, then the shorter first) with its candidates, the
    /// winner first.
    pub fn iter(&self) -> impl Iterator<Item = (Ipv4Net, &[(S, V)])> {
        self.candidates.iter().map(|(prefix, candidates)| (*prefix, candidates.as_slice()))
    }

    /// Lists the winners in order.
    pub fn winners(&self) -> impl Iterator<Item = (Ipv4Net, &V)> {
        self.candidates.iter().filter_map(|(prefix, candidates)| {
            candidates.first().map(|(_, value)| (*prefix, value))
        })
    }

    /// Counts the prefixes.
    pub fn len(&self) -> usize {
        self.candidates.len()
    }

    /// Says whether there is no route at all.
    pub fn is_empty(&self) -> bool {
        self.candidates.is_empty()
    }

    /// Compiles the winners into a table for lookups.
    pub fn compile(&self) -> Table<V>
    where
        V: Clone + Eq + Hash,
    {
        Table::from_sorted(self.winners())
    }
}

impl<S: Ord + Copy, V> Default for RouteTable<S, V> {
    fn default() -> Self {
        Self::new()
    }
}

impl<S: fmt::Debug, V: fmt::Debug> fmt::Debug for RouteTable<S, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(&self.candidates).finish()
    }
}
