//! Goes through the entries of a [`Map`](super::Map).

use super::node::{Child, Node, child};

/// Iterates over entries in order.
pub(crate) struct Iter<'a, K, V> {
    pub(super) leaf: core::slice::Iter<'a, (K, V)>,
    pub(super) above: Vec<core::slice::Iter<'a, Child<K, V>>>,
}

impl<'a, K: Ord, V> Iter<'a, K, V> {
    /// Continues with the first leaf below a node.
    pub(super) fn descend(&mut self, mut node: &'a Node<K, V>) {
        loop {
            match node {
                Node::Leaf(entries) => {
                    self.leaf = entries.iter();
                    return;
                }
                Node::Inner(nodes) => {
                    let mut nodes = nodes.iter();
                    let Some((_, first)) = nodes.next() else { return };
                    self.above.push(nodes);
                    node = first;
                }
            }
        }
    }

    /// Continues with the first entry that is not skipped. `skips` holds for all keys below `key`.
    pub(super) fn seek(&mut self, mut node: &'a Node<K, V>, key: &K, skips: impl Fn(&K) -> bool) {
        loop {
            match node {
                Node::Leaf(entries) => {
                    let from = entries.partition_point(|(known, _)| skips(known));
                    self.leaf = entries.get(from..).unwrap_or_default().iter();
                    return;
                }
                Node::Inner(nodes) => {
                    let mut nodes = nodes.get(child(nodes, key)..).unwrap_or_default().iter();
                    let Some((_, first)) = nodes.next() else { return };
                    self.above.push(nodes);
                    node = first;
                }
            }
        }
    }
}

impl<'a, K: Ord, V> Iterator for Iter<'a, K, V> {
    type Item = (&'a K, &'a V);

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some((key, value)) = self.leaf.next() {
                return Some((key, value));
            }
            loop {
                let nodes = self.above.last_mut()?;
                match nodes.next() {
                    Some((_, node)) => {
                        self.descend(node);
                        break;
                    }
                    None => drop(self.above.pop()),
                }
            }
        }
    }
}
