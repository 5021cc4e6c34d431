//! A sorted map: a B-tree whose nodes are shared.

mod iter;
mod node;

use core::borrow::Borrow;
use core::fmt;
use core::ops::{Bound, RangeBounds};
use std::sync::Arc;

pub(crate) use iter::Iter;
use node::{Node, child, insert, remove, up_to};

/// A sorted map that shares its nodes with its clones.
pub(crate) struct Map<K, V> {
    root: Arc<Node<K, V>>,
    len: usize,
}

/// A sorted set that shares its nodes with its clones.
pub(crate) type Set<K> = Map<K, ()>;

impl<K: Ord + Clone, V: Clone> Map<K, V> {
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Returns whether both have the same root, so that they are equal.
    pub(crate) fn same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.root, &other.root)
    }

    /// Looks a key up. Most maps that packets ask are empty.
    #[inline(always)]
    pub(crate) fn get<Q: Ord + ?Sized>(&self, key: &Q) -> Option<&V>
    where
        K: Borrow<Q>,
    {
        if self.len == 0 { None } else { self.find(key) }
    }

    fn find<Q: Ord + ?Sized>(&self, key: &Q) -> Option<&V>
    where
        K: Borrow<Q>,
    {
        let mut node = &*self.root;
        loop {
            match node {
                Node::Leaf(entries) => {
                    let at = entries.binary_search_by(|(known, _)| known.borrow().cmp(key)).ok()?;
                    return entries.get(at).map(|(_, value)| value);
                }
                Node::Inner(nodes) => node = &nodes.get(child(nodes, key))?.1,
            }
        }
    }

    pub(crate) fn contains_key<Q: Ord + ?Sized>(&self, key: &Q) -> bool
    where
        K: Borrow<Q>,
    {
        self.get(key).is_some()
    }

    /// Returns a value to be changed. It copies the path to it if a clone has it too.
    pub(crate) fn value_mut<Q: Ord + ?Sized>(&mut self, key: &Q) -> Option<&mut V>
    where
        K: Borrow<Q>,
    {
        if !self.contains_key(key) {
            return None;
        }
        let mut node = Arc::make_mut(&mut self.root);
        loop {
            match node {
                Node::Leaf(entries) => {
                    let at = entries.binary_search_by(|(known, _)| known.borrow().cmp(key)).ok()?;
                    return entries.get_mut(at).map(|(_, value)| value);
                }
                Node::Inner(nodes) => {
                    let at = child(nodes, key);
                    node = Arc::make_mut(&mut nodes.get_mut(at)?.1);
                }
            }
        }
    }

    /// Sets the value of a key, and returns the former one.
    pub(crate) fn insert(&mut self, key: K, value: V) -> Option<V> {
        let (old, split) = insert(&mut self.root, key, value);
        if let Some((middle, right)) = split {
            let left = Arc::clone(&self.root);
            self.root = Arc::new(Node::Inner(vec![(middle.clone(), left), (middle, right)]));
        }
        self.len += usize::from(old.is_none());
        old
    }

    /// Sets or removes the value of a key.
    pub(crate) fn set(&mut self, key: K, value: Option<V>) {
        match value {
            Some(value) => _ = self.insert(key, value),
            None => _ = self.remove(&key),
        }
    }

    pub(crate) fn remove<Q: Ord + ?Sized>(&mut self, key: &Q) -> Option<V>
    where
        K: Borrow<Q>,
    {
        if !self.contains_key(key) {
            return None;
        }
        let old = remove(&mut self.root, key)?;
        self.len -= 1;
        while let Node::Inner(nodes) = &*self.root
            && let [(_, only)] = nodes.as_slice()
        {
            self.root = Arc::clone(only);
        }
        Some(old)
    }

    pub(crate) fn first_key(&self) -> Option<&K> {
        self.keys().next()
    }

    pub(crate) fn last_key(&self) -> Option<&K> {
        let mut node = &*self.root;
        loop {
            match node {
                Node::Leaf(entries) => return entries.last().map(|(key, _)| key),
                Node::Inner(nodes) => node = &nodes.last()?.1,
            }
        }
    }

    /// Returns the last entry whose key is not above a key.
    pub(crate) fn up_to<Q: Ord + ?Sized>(&self, key: &Q) -> Option<(&K, &V)>
    where
        K: Borrow<Q>,
    {
        up_to(&self.root, key)
    }

    pub(crate) fn iter(&self) -> Iter<'_, K, V> {
        let mut iter = Iter { leaf: [].iter(), above: Vec::new() };
        iter.descend(&self.root);
        iter
    }

    pub(crate) fn keys(&self) -> impl Iterator<Item = &K> {
        self.iter().map(|(key, _)| key)
    }

    pub(crate) fn values(&self) -> impl Iterator<Item = &V> {
        self.iter().map(|(_, value)| value)
    }

    /// Iterates over the entries of a range of keys.
    pub(crate) fn range<'a, R: RangeBounds<K>>(
        &'a self,
        range: R,
    ) -> impl Iterator<Item = (&'a K, &'a V)> + use<'a, K, V, R> {
        let mut iter = Iter { leaf: [].iter(), above: Vec::new() };
        match range.start_bound() {
            Bound::Unbounded => iter.descend(&self.root),
            Bound::Included(start) => iter.seek(&self.root, start, |key| key < start),
            Bound::Excluded(start) => iter.seek(&self.root, start, |key| key <= start),
        }
        iter.take_while(move |(key, _)| match range.end_bound() {
            Bound::Unbounded => true,
            Bound::Included(end) => *key <= end,
            Bound::Excluded(end) => *key < end,
        })
    }
}

impl<K: Ord + Clone, V: Clone> Map<K, Arc<V>> {
    /// Returns a shared value to be changed. It is copied if somebody else has it too.
    pub(crate) fn get_mut(&mut self, key: &K) -> Option<&mut V> {
        self.value_mut(key).map(Arc::make_mut)
    }
}

impl<K: Ord + Clone> Set<K> {
    /// Adds a member. Nothing is copied if it is there.
    pub(crate) fn add(&mut self, key: K) {
        self.has(key, true);
    }

    /// Adds or removes a member. Nothing is copied if that changes nothing.
    pub(crate) fn has(&mut self, key: K, on: bool) {
        if self.contains_key(&key) != on {
            self.set(key, on.then_some(()));
        }
    }
}

impl<'a, K: Ord + Clone, V: Clone> IntoIterator for &'a Map<K, V> {
    type Item = (&'a K, &'a V);
    type IntoIter = Iter<'a, K, V>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl<K: Ord + Clone, V: Clone> FromIterator<(K, V)> for Map<K, V> {
    fn from_iter<I: IntoIterator<Item = (K, V)>>(entries: I) -> Self {
        let mut map = Self::default();
        map.extend(entries);
        map
    }
}

impl<K: Ord + Clone, V: Clone> Extend<(K, V)> for Map<K, V> {
    fn extend<I: IntoIterator<Item = (K, V)>>(&mut self, entries: I) {
        for (key, value) in entries {
            self.insert(key, value);
        }
    }
}

impl<K, V> Default for Map<K, V> {
    fn default() -> Self {
        Self { root: Arc::new(Node::Leaf(Vec::new())), len: 0 }
    }
}

impl<K, V> Clone for Map<K, V> {
    fn clone(&self) -> Self {
        Self { root: Arc::clone(&self.root), len: self.len }
    }
}

impl<K: Ord + Clone, V: Clone + PartialEq> PartialEq for Map<K, V> {
    fn eq(&self, other: &Self) -> bool {
        self.same(other) || self.len == other.len && self.iter().eq(other.iter())
    }
}

impl<K: Ord + Clone, V: Clone + Eq> Eq for Map<K, V> {}

impl<K: Ord + Clone + fmt::Debug, V: Clone + fmt::Debug> fmt::Debug for Map<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter()).finish()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test that cannot be set up must fail")]

    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #![proptest_config(ProptestConfig {
            failure_persistence: None,
            ..ProptestConfig::default()
        })]

        /// Whatever is inserted and removed, the map is as std's is, and its clones stay as they
        /// were.
        #[test]
        fn map_equals_the_reference_map(
            edits in prop::collection::vec(
                (0..700_u16, prop::option::weighted(0.6, any::<u8>())),
                0..2500,
            ),
            ends in (0..700_u16, 0..700_u16),
        ) {
            let (mut map, mut reference) = (Map::default(), BTreeMap::new());
            let mut clones = Vec::new();
            for (number, (key, value)) in edits.into_iter().enumerate() {
                match value {
                    Some(value) => {
                        let before = reference.insert(key, value);
                        prop_assert_eq!(map.insert(key, value), before)
                    }
                    None => prop_assert_eq!(map.remove(&key), reference.remove(&key)),
                }
                if let Some(value) = map.value_mut(&(key ^ 1)) {
                    *value = value.wrapping_add(1);
                    *reference.get_mut(&(key ^ 1)).unwrap() = *value;
                }
                if number % 500 == 0 {
                    clones.push((map.clone(), reference.clone()));
                }
            }
            clones.push((map, reference));
            for (map, reference) in clones {
                prop_assert!(map.iter().eq(&reference));
                prop_assert_eq!(map.len(), reference.len());
                prop_assert_eq!(map.is_empty(), reference.is_empty());
                prop_assert_eq!(map.first_key(), reference.keys().next());
                prop_assert_eq!(map.last_key(), reference.keys().next_back());
                let (low, high) = (ends.0.min(ends.1), ends.0.max(ends.1));
                prop_assert!(map.range(low..high).eq(reference.range(low..high)));
                prop_assert!(map.range(low..=high).eq(reference.range(low..=high)));
                let (low, high) = (Bound::Excluded(low), Bound::<u16>::Unbounded);
                prop_assert!(map.range((low, high)).eq(reference.range((low, high))));
                for key in 0..700 {
                    prop_assert_eq!(map.get(&key), reference.get(&key));
                    prop_assert_eq!(map.up_to(&key), reference.range(..=key).next_back());
                }
            }
        }
    }

    #[test]
    fn emptied_map_has_no_nodes() {
        let mut map: Map<u32, u32> = (0..100_000).map(|key| (key, key)).collect();
        let copy = map.clone();
        for key in 0..100_000 {
            assert_eq!(map.remove(&key), Some(key));
        }
        assert_eq!(map.root.len(), 0);
        assert!(matches!(&*map.root, Node::Leaf(_)));
        assert_eq!(copy.len(), 100_000);
    }

    /// Numbers grow, so their leaves must be full.
    #[test]
    fn appended_keys_fill_their_leaves() {
        let map: Map<u32, ()> = (0..32_768).map(|key| (key, ())).collect();
        let mut node = &*map.root;
        let mut full = 1;
        while let Node::Inner(nodes) = node {
            full *= nodes.len();
            node = &nodes.first().unwrap().1;
        }
        assert_eq!(full, 1024);
    }
}
