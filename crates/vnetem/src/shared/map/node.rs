//! The nodes of a [`Map`](super::Map): how they are searched, split and merged.

use core::borrow::Borrow;
use std::sync::Arc;

/// Most entries of a node. A toggle copies one leaf, whose values lie anywhere in memory.
pub(super) const MOST: usize = 32;

/// A node with fewer is merged into its neighbour, if that has room.
pub(super) const FEW: usize = 8;

pub(super) enum Node<K, V> {
    Leaf(Vec<(K, V)>),
    /// Nodes, each with a key that is above all keys before it, and not above its own.
    Inner(Vec<Child<K, V>>),
}

pub(super) type Child<K, V> = (K, Arc<Node<K, V>>);

impl<K, V> Node<K, V> {
    pub(super) fn len(&self) -> usize {
        match self {
            Self::Leaf(entries) => entries.len(),
            Self::Inner(nodes) => nodes.len(),
        }
    }
}

/// Copies a node, with room for one more.
impl<K: Clone, V: Clone> Clone for Node<K, V> {
    fn clone(&self) -> Self {
        fn copy<T: Clone>(entries: &[T]) -> Vec<T> {
            let mut copy = Vec::with_capacity(entries.len() + 1);
            copy.extend_from_slice(entries);
            copy
        }
        match self {
            Self::Leaf(entries) => Self::Leaf(copy(entries)),
            Self::Inner(nodes) => Self::Inner(copy(nodes)),
        }
    }
}

/// Returns which node has a key. The key of the first node counts for nothing.
pub(super) fn child<K: Borrow<Q>, V, Q: Ord + ?Sized>(nodes: &[Child<K, V>], key: &Q) -> usize {
    let others = nodes.get(1..).unwrap_or_default();
    others.partition_point(|(first, _)| first.borrow() <= key)
}

pub(super) type Split<K, V> = Option<Child<K, V>>;

pub(super) fn insert<K: Ord + Clone, V: Clone>(
    node: &mut Arc<Node<K, V>>,
    key: K,
    value: V,
) -> (Option<V>, Split<K, V>) {
    match Arc::make_mut(node) {
        Node::Leaf(entries) => match entries.binary_search_by(|(known, _)| known.cmp(&key)) {
            Ok(at) => {
                let entry = entries.get_mut(at);
                (entry.map(|(_, old)| core::mem::replace(old, value)), None)
            }
            Err(at) => {
                let is_last = at == entries.len();
                entries.insert(at, (key, value));
                let right = split(entries, is_last)
                    .map(|(first, right)| (first, Arc::new(Node::Leaf(right))));
                (None, right)
            }
        },
        Node::Inner(nodes) => {
            let at = child(nodes, &key);
            let is_last = at + 1 == nodes.len();
            let Some((_, below)) = nodes.get_mut(at) else { return (None, None) };
            let (old, added) = insert(below, key, value);
            let right = added.and_then(|added| {
                nodes.insert(at + 1, added);
                split(nodes, is_last)
            });
            (old, right.map(|(first, right)| (first, Arc::new(Node::Inner(right)))))
        }
    }
}

/// Splits off the right part of a node that is too full. Where entries are appended, which is how
/// numbers grow, the left part stays full.
pub(super) fn split<K: Clone, T>(
    entries: &mut Vec<(K, T)>,
    appends: bool,
) -> Option<(K, Vec<(K, T)>)> {
    if entries.len() <= MOST {
        return None;
    }
    let right = entries.split_off(if appends { MOST } else { MOST / 2 });
    let (first, _) = right.first()?;
    Some((first.clone(), right))
}

pub(super) fn remove<K: Ord + Clone + Borrow<Q>, V: Clone, Q: Ord + ?Sized>(
    node: &mut Arc<Node<K, V>>,
    key: &Q,
) -> Option<V> {
    match Arc::make_mut(node) {
        Node::Leaf(entries) => {
            let at = entries.binary_search_by(|(known, _)| known.borrow().cmp(key)).ok()?;
            Some(entries.remove(at).1)
        }
        Node::Inner(nodes) => {
            let at = child(nodes, key);
            let below = &mut nodes.get_mut(at)?.1;
            let old = remove(below, key)?;
            match below.len() {
                0 => drop(nodes.remove(at)),
                1..FEW => merge(nodes, at),
                _ => {}
            }
            Some(old)
        }
    }
}

/// Merges a node with the next one, or the one before the last, if both fit into one.
pub(super) fn merge<K: Clone, V: Clone>(nodes: &mut Vec<Child<K, V>>, at: usize) {
    let left = at.min(nodes.len().saturating_sub(2));
    let Some([(_, one), (between, other)]) = nodes.get_mut(left..left + 2) else { return };
    if one.len() + other.len() > MOST {
        return;
    }
    match (Arc::make_mut(one), &**other) {
        (Node::Leaf(one), Node::Leaf(other)) => one.extend_from_slice(other),
        (Node::Inner(one), Node::Inner(other)) => {
            // The first key counts from now on.
            let first = other.first().map(|(_, node)| (between.clone(), Arc::clone(node)));
            one.extend(first);
            one.extend_from_slice(other.get(1..).unwrap_or_default());
        }
        _ => return,
    }
    nodes.remove(left + 1);
}

pub(super) fn up_to<'a, K: Ord + Borrow<Q>, V, Q: Ord + ?Sized>(
    node: &'a Node<K, V>,
    key: &Q,
) -> Option<(&'a K, &'a V)> {
    match node {
        Node::Leaf(entries) => {
            let behind = entries.partition_point(|(known, _)| known.borrow() <= key);
            entries.get(behind.checked_sub(1)?).map(|(key, value)| (key, value))
        }
        Node::Inner(nodes) => {
            // The entry is in the node of the key, or it is the last one before.
            let at = child(nodes, key);
            let found = up_to(&nodes.get(at)?.1, key);
            found.or_else(|| up_to(&nodes.get(at.checked_sub(1)?)?.1, key))
        }
    }
}
