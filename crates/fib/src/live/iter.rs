use std::iter::FusedIterator;

use ipnet::Ipv4Net;

use super::live_table::LiveTable;
use crate::address::{mask, prefix_of};
use crate::sweep::Rule;
use crate::value_id::ValueId;

/// Routes of a [`LiveTable`] in order: by network, then the shorter first.
pub struct Routes<'a, V> {
    table: &'a LiveTable<V>,
    /// The /16s still to be listed.
    nodes: std::ops::RangeInclusive<u32>,
    /// The shortest prefix and the addresses to list.
    shortest: u8,
    addresses: std::ops::RangeInclusive<u32>,
    /// The routes of the current /16.
    listed: std::vec::IntoIter<Rule<u32>>,
}

impl<'a, V> Routes<'a, V> {
    /// Lists the routes that a prefix covers.
    pub(crate) fn new(table: &'a LiveTable<V>, prefix: Ipv4Net) -> Self {
        let (first, shortest) = (prefix.network().to_bits(), prefix.prefix_len());
        let last = first | !mask(shortest);
        Self {
            table,
            nodes: first >> 16..=last >> 16,
            shortest,
            addresses: first..=last,
            listed: Vec::new().into_iter(),
        }
    }
}

impl<'a, V> Iterator for Routes<'a, V> {
    type Item = (Ipv4Net, &'a V);

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(rule) = self.listed.next() {
                let value = self.table.value_of(ValueId(rule.cell))?;
                return Some((prefix_of(rule.network, rule.length), value));
            }
            let mut routes = self.table.rules_in(self.nodes.next()?);
            routes.retain(|r| r.length >= self.shortest && self.addresses.contains(&r.network));
            routes.sort_unstable();
            self.listed = routes.into_iter();
        }
    }
}

impl<V> FusedIterator for Routes<'_, V> {}
