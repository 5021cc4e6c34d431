use std::collections::BTreeMap;

use super::cell::Cell;
use super::group::{FAN, Group};
use super::place::{GROUPS, Groups, Place, group_at};
use super::plane::{NODES, Plane, SLOTS, array};
use crate::sweep::Rule;

/// A table under construction: which prefixes exist, and the codes of each group by heap number.
pub(crate) struct Draft {
    pub(crate) groups: Box<Groups>,
    pub(crate) codes: Box<[Vec<u32>]>,
    /// The groups of split /24s by slot.
    pub(crate) blocks: BTreeMap<u32, (Group, Vec<u32>)>,
}

impl Draft {
    /// Sorts rules in any order into their groups; of equal prefixes the last counts.
    pub(crate) fn new(rules: &[Rule<u32>]) -> Self {
        let mut draft = Self {
            groups: array((0..GROUPS).map(|_| Group::default()).collect()),
            codes: (0..GROUPS).map(|_| Vec::new()).collect(),
            blocks: BTreeMap::new(),
        };
        let (entries, ends) = by_group(rules);
        let mut entries = entries.as_slice();
        let mut before = 0;
        for ((group, codes), end) in draft.groups.iter().zip(&mut draft.codes).zip(ends) {
            let own = entries.split_off(..end - before).unwrap_or_default();
            before = end;
            *codes = rank(group, own);
        }
        for rule in rules {
            let place = Place::of(rule.network, rule.length);
            if place.group().is_none() {
                let (group, codes) = draft.blocks.entry(place.node).or_default();
                put(group, codes, place.number, rule.cell);
            }
        }
        draft
    }

    /// Builds the plane of these rules.
    pub(crate) fn plane<C: Cell>(&self) -> Plane<C> {
        let mut slots = Vec::with_capacity(SLOTS);
        for (above, upper) in self.children(0, 0, 0).into_iter().zip(0..) {
            for (above, node) in self.children(1, upper, above).into_iter().zip(upper << 8..) {
                slots.extend(self.children(2, node, above).map(C::new));
            }
        }
        let mut pages: Vec<u32> = self.blocks.keys().map(|slot| slot >> 8).collect();
        pages.dedup();
        let plane = Plane::new(slots, self.ranks(), pages.len(), self.blocks.len());
        for (slot, (group, _)) in &self.blocks {
            if let Some(block) = plane.prepare_block(*slot) {
                group.numbers().for_each(|number| block.group.add(number));
            }
        }
        for (slot, (group, codes)) in &self.blocks {
            for (number, code) in group.numbers().zip(codes) {
                let place = Place { depth: 3, node: *slot, number };
                plane.paint(&self.groups, place, place.winner(*code));
            }
            plane.split(*slot);
        }
        plane
    }

    /// Gives for each /16 the rank of the longest prefix of up to 16 bits.
    fn ranks(&self) -> Vec<u8> {
        let mut ranks = vec![0; NODES];
        for (depth, nodes) in [(0, 1), (1, 1 << 8)] {
            for node in 0..nodes {
                let group = group_at(depth, node).and_then(|at| self.groups.get(at));
                for number in group.into_iter().flat_map(Group::numbers) {
                    let place = Place { depth, node, number };
                    let (first, length) = (place.network() >> 16, place.length());
                    let covered = first as usize..(first + (1 << (16 - length))) as usize;
                    if let Some(covered) = ranks.get_mut(covered) {
                        covered.fill(place.winner(0).rank);
                    }
                }
            }
        }
        ranks
    }

    /// Gives the codes of a node's 256 children, where the node itself has the code `above`.
    fn children(&self, depth: u32, node: u32, above: u32) -> [u32; FAN] {
        let mut children = [above; FAN];
        let at = group_at(depth, node);
        let group = at.and_then(|at| self.groups.get(at).zip(self.codes.get(at)));
        if let Some((group, codes)) = group
            && !codes.is_empty()
        {
            // Numbers rise, so longer prefixes overwrite shorter ones.
            for (number, code) in group.numbers().zip(codes) {
                let generations = 8 - number.ilog2();
                let first = ((number << generations) & 0xff) as usize;
                if let Some(below) = children.get_mut(first..first + (1 << generations)) {
                    below.fill(*code);
                }
            }
        }
        children
    }
}

/// Adds or replaces the code of a prefix in its group and returns the old code.
pub(crate) fn put(group: &Group, codes: &mut Vec<u32>, number: u32, code: u32) -> Option<u32> {
    let rank = group.rank(number);
    if group.contains(number) {
        return codes.get_mut(rank).map(|known| std::mem::replace(known, code));
    }
    codes.insert(rank.min(codes.len()), code);
    group.add(number);
    None
}

/// Sorts the rules of up to 24 bits into groups, as (heap number, code), and gives each group's
/// end.
///
/// It is a counting sort, which is stable and whose time does not depend on the order given.
fn by_group(rules: &[Rule<u32>]) -> (Vec<(u16, u32)>, Vec<usize>) {
    let mut ends = vec![0; GROUPS];
    let places = || {
        let places = rules.iter().map(|rule| (Place::of(rule.network, rule.length), rule.cell));
        places.filter_map(|(place, code)| Some((place.group()?, place.number, code)))
    };
    for (group, ..) in places() {
        if let Some(count) = ends.get_mut(group) {
            *count += 1;
        }
    }
    let mut total = 0;
    for end in &mut ends {
        // The start of the group. Filling the group moves it to the end.
        total += std::mem::replace(end, total);
    }
    let mut entries = vec![(0, 0); total];
    for (group, number, code) in places() {
        if let Some(end) = ends.get_mut(group)
            && let Some(entry) = entries.get_mut(*end)
        {
            *entry = (u16::try_from(number).unwrap_or(0), code);
            *end += 1;
        }
    }
    (entries, ends)
}

/// Marks the prefixes of one group and orders their codes.
fn rank(group: &Group, entries: &[(u16, u32)]) -> Vec<u32> {
    let mut by_number = [0; 2 * FAN];
    for (number, code) in entries {
        group.add(u32::from(*number));
        if let Some(known) = by_number.get_mut(usize::from(*number)) {
            *known = *code;
        }
    }
    let mut codes = Vec::with_capacity(entries.len());
    codes.extend(group.numbers().filter_map(|number| by_number.get(number as usize)));
    codes
}
