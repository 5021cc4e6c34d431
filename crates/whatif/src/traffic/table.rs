//! Flows by their keys, filled by millions of lines.

use core::hash::BuildHasher;

use foldhash::fast::RandomState;

use super::{FlowKey, FlowUse, Line};

/// Slots of an empty table.
const FEWEST: usize = 1 << 10;

/// Rows of flows in the order in which they came, and slots that lead to them by hash.
///
/// A hash map would wait for memory once a line. Here the lines of a batch are looked up in passes,
/// so that the processor waits for many of them at the same time.
#[derive(Clone, Debug, Default)]
pub(super) struct FlowTable {
    /// The place of a row plus one; zero in a free slot. At most half of them are taken.
    slots: Vec<u32>,
    rows: Vec<(FlowKey, FlowUse)>,
    hasher: RandomState,
    /// Of each line of a batch: its slot, and the row that it leads to.
    found: Vec<(usize, u32)>,
}

impl FlowTable {
    /// Adds lines to their flows, and empties the list.
    pub(super) fn add(&mut self, lines: &mut Vec<Line>) {
        self.reserve(lines.len());
        let mut found = core::mem::take(&mut self.found);
        found.clear();
        // No look-up waits for the one before it.
        found.extend(lines.iter().map(|line| {
            let slot = self.slot(&line.key);
            (slot, self.slots.get(slot).copied().unwrap_or_default())
        }));
        for ((_, row), line) in found.iter_mut().zip(lines.iter()) {
            if self.row(*row).is_none_or(|(key, _)| *key != line.key) {
                *row = 0;
            }
        }
        for ((slot, row), line) in found.iter().zip(lines.iter()) {
            let row = if *row == 0 { self.find_or_add(*slot, line.key) } else { *row };
            if let Some((_, flow)) = self.row_mut(row) {
                flow.add(line);
            }
        }
        lines.clear();
        self.found = found;
    }

    pub(super) fn contains(&self, key: &FlowKey) -> bool {
        !self.slots.is_empty() && self.find(self.slot(key), key).is_ok()
    }

    /// Changes the flow of a key, which is made if there is none.
    pub(super) fn update(&mut self, key: FlowKey, change: impl FnOnce(&mut FlowUse)) {
        self.reserve(1);
        let row = self.find_or_add(self.slot(&key), key);
        if let Some((_, flow)) = self.row_mut(row) {
            change(flow);
        }
    }

    pub(super) fn len(&self) -> usize {
        self.rows.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// The flows in the order in which they came.
    pub(super) fn rows(&self) -> &[(FlowKey, FlowUse)] {
        &self.rows
    }

    fn slot(&self, key: &FlowKey) -> usize {
        let hash = self.hasher.hash_one(key);
        // The upper bits of the product are the best mixed.
        usize::try_from(hash >> 20).unwrap_or_default() & (self.slots.len() - 1)
    }

    fn row(&self, row: u32) -> Option<&(FlowKey, FlowUse)> {
        self.rows.get(usize::try_from(row).ok()?.checked_sub(1)?)
    }

    fn row_mut(&mut self, row: u32) -> Option<&mut (FlowKey, FlowUse)> {
        self.rows.get_mut(usize::try_from(row).ok()?.checked_sub(1)?)
    }

    /// The row of a key, or the free slot where it belongs.
    fn find(&self, slot: usize, key: &FlowKey) -> Result<u32, usize> {
        let mut slot = slot;
        loop {
            match self.slots.get(slot).copied().unwrap_or_default() {
                0 => return Err(slot),
                row if self.row(row).is_some_and(|(held, _)| held == key) => return Ok(row),
                _ => slot = (slot + 1) & (self.slots.len() - 1),
            }
        }
    }

    fn find_or_add(&mut self, slot: usize, key: FlowKey) -> u32 {
        match self.find(slot, &key) {
            Ok(row) => row,
            Err(free) => {
                self.rows.push((key, FlowUse::default()));
                let row = u32::try_from(self.rows.len()).unwrap_or(u32::MAX);
                if let Some(slot) = self.slots.get_mut(free) {
                    *slot = row;
                }
                row
            }
        }
    }

    /// Makes room for more rows; slots are never more than half full.
    fn reserve(&mut self, more: usize) {
        let wanted = (self.rows.len() + more) * 2;
        if wanted <= self.slots.len() {
            return;
        }
        self.slots.clear();
        self.slots.resize(wanted.next_power_of_two().max(FEWEST), 0);
        for row in 0..self.rows.len() {
            let Some((key, _)) = self.rows.get(row) else { break };
            let mut slot = self.slot(key);
            while self.slots.get(slot).is_some_and(|held| *held != 0) {
                slot = (slot + 1) & (self.slots.len() - 1);
            }
            if let Some(slot) = self.slots.get_mut(slot) {
                *slot = u32::try_from(row + 1).unwrap_or(u32::MAX);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

    use std::collections::HashMap;
    use std::net::Ipv4Addr;

    use proptest::prelude::*;

    use super::*;

    fn key(number: u32) -> FlowKey {
        FlowKey {
            target: None,
            source: Ipv4Addr::from(number),
            destination: Ipv4Addr::from(7),
            source_port: 1,
            destination_port: 2,
            protocol: 6,
        }
    }

    proptest! {
        /// It says what a hash map says, whatever the batches.
        #[test]
        fn table_agrees_with_a_map(
            batches in prop::collection::vec(
                prop::collection::vec((0_u32..3_000, 0_u64..9), 0..400),
                0..12,
            )
        ) {
            let (mut table, mut map) = (FlowTable::default(), HashMap::new());
            for batch in batches {
                let mut lines: Vec<Line> = batch
                    .into_iter()
                    .map(|(number, millis)| Line {
                        key: key(number),
                        millis,
                        open: millis % 2 == 0,
                        packets: millis,
                        bytes: 3,
                    })
                    .collect();
                for line in &lines {
                    map.entry(line.key).or_insert_with(FlowUse::default).add(line);
                }
                table.add(&mut lines);
                prop_assert!(lines.is_empty());
            }
            prop_assert_eq!(table.len(), map.len());
            for (key, flow) in table.rows() {
                prop_assert_eq!(map.get(key), Some(flow));
                prop_assert!(table.contains(key));
            }
            prop_assert!(!table.contains(&key(5_000)));
            table.update(key(5_000), |flow| flow.packets += 1);
            table.update(key(5_000), |flow| assert_eq!(flow.packets, 1));
        }
    }
}
