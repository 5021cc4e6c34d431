//! The writer's side of a live table.

use std::hash::Hash;
use std::sync::Arc;

use ipnet::Ipv4Net;

use super::build::{Draft, put};
use super::generation::{Generation, on_plane};
use super::group::Group;
use super::live_table::{LiveTable, canonical};
use super::place::{Place, Winner, child_of, group_at, node_of};
use super::width::Width;
use crate::address::mask;
use crate::error::RouteError;
use crate::intern::Interner;
use crate::sweep::Rule;
use crate::value_id::ValueId;
use crate::values::Values;

impl<V: Clone + Eq + Hash> LiveTable<V> {
    /// Builds a table of these rules, whose codes number the values from 1 up.
    pub(super) fn build(rules: &[Rule<u32>], known: &[V], width: Width, widest: Width) -> Self {
        let draft = Draft::new(rules);
        let values = Values::new();
        known.iter().zip(1..).for_each(|(value, number)| values.set(number, value.clone()));
        let mut uses = vec![0; known.len() + 1];
        let mut routes = 0;
        let of_blocks = draft.blocks.values().map(|(_, codes)| codes);
        for code in draft.codes.iter().chain(of_blocks).flatten() {
            routes += 1;
            if let Some(uses) = uses.get_mut(*code as usize) {
                *uses += 1;
            }
        }
        Self {
            generation: Arc::new(Generation::new(width.planes(&draft), draft.groups, values)),
            codes: draft.codes,
            block_codes: draft.blocks.into_iter().map(|(slot, (_, codes))| (slot, codes)).collect(),
            numbers: known.iter().cloned().zip(1..).collect(),
            uses,
            routes,
            widest,
        }
    }

    /// Gives the number of a value, a new one if needed.
    pub(super) fn number(&mut self, value: V) -> Result<u32, RouteError> {
        if let Some(number) = self.numbers.get(&value) {
            return Ok(*number);
        }
        if self.uses.len() > self.width().limit() as usize {
            self.forget_values()?;
        }
        let number = u32::try_from(self.uses.len()).unwrap_or(u32::MAX);
        self.generation.values.set(number, value.clone());
        self.numbers.insert(value, number);
        self.uses.push(0);
        Ok(number)
    }

    /// Makes sure that the place can get a block if it needs one. This may change the meaning of
    /// codes.
    pub(super) fn make_room_for(&mut self, place: Place) {
        if place.group().is_none()
            && !on_plane!(&self.generation.planes, plane => plane.has_room(place.node))
        {
            self.rebuild(self.width());
        }
    }

    /// Frees the numbers of unused values, and widens codes if they would soon run out again.
    fn forget_values(&mut self) -> Result<(), RouteError> {
        let used = self.uses.iter().filter(|uses| **uses > 0).count();
        let width = Width::holding(2 * used, self.widest).unwrap_or(self.widest);
        if used >= width.limit() as usize {
            return Err(RouteError::ValuesExhausted { limit: width.limit() });
        }
        self.rebuild(width);
        Ok(())
    }

    /// Copies the routes into a new generation, without idle blocks and unused numbers.
    fn rebuild(&mut self, width: Width) {
        let mut values = Vec::new();
        let renumbered: Vec<u32> = (0..)
            .zip(&self.uses)
            .map(|(number, uses)| {
                if *uses > 0 {
                    values.extend(self.value_of(ValueId(number)).cloned());
                }
                u32::try_from(values.len()).unwrap_or(u32::MAX)
            })
            .collect();
        let mut rules: Vec<Rule<u32>> = (0..1 << 16).flat_map(|node| self.rules_in(node)).collect();
        for rule in &mut rules {
            rule.cell = renumbered.get(rule.cell as usize).copied().unwrap_or(0);
        }
        self.publish(Self::build(&rules, &values, width, self.widest));
    }

    /// Becomes the other table. Readers see it by one store.
    pub(super) fn publish(&mut self, table: Self) {
        let old = std::mem::replace(self, table);
        // Only the newest generation has no next one, and there is one writer.
        drop(old.generation.next.set(Arc::clone(&self.generation)));
    }

    /// Adds a prefix or changes its code, and returns the old code.
    pub(super) fn put(&mut self, place: Place, code: u32) -> Option<u32> {
        let generation = &*self.generation;
        let groups = &generation.groups;
        let in_group = place.group().and_then(|at| groups.get(at).zip(self.codes.get_mut(at)));
        let replaced = generation.change(|| {
            if let Some((group, codes)) = in_group {
                let replaced = put(group, codes, place.number, code);
                let winner = place.winner(code);
                on_plane!(&generation.planes, plane => plane.paint(groups, place, winner));
                return replaced;
            }
            let codes = self.block_codes.entry(place.node).or_default();
            on_plane!(&generation.planes, plane => {
                let block = plane.prepare_block(place.node)?;
                let replaced = put(block.group, codes, place.number, code);
                plane.paint(groups, place, place.winner(code));
                plane.split(place.node);
                replaced
            })
        });
        self.routes += usize::from(replaced.is_none());
        replaced
    }
}

impl<V> LiveTable<V> {
    /// Removes a prefix and returns its code.
    pub(super) fn take(&mut self, place: Place) -> Option<u32> {
        let generation = &*self.generation;
        let groups = &generation.groups;
        let above = self.winner_above(place);
        let in_group = place.group().and_then(|at| groups.get(at).zip(self.codes.get_mut(at)));
        let taken = generation.change(|| {
            if let Some((group, codes)) = in_group {
                let taken = take(group, codes, place.number)?;
                on_plane!(&generation.planes, plane => plane.paint(groups, place, above));
                return Some(taken);
            }
            let codes = self.block_codes.get_mut(&place.node)?;
            on_plane!(&generation.planes, plane => {
                let block = plane.block(place.node)?;
                let taken = take(block.group, codes, place.number)?;
                plane.paint(groups, place, above);
                if codes.is_empty() {
                    plane.join(place.node, above.code);
                    self.block_codes.remove(&place.node);
                }
                Some(taken)
            })
        })?;
        self.routes -= 1;
        Some(taken)
    }

    /// Says whether there is a route of exactly this prefix.
    pub(super) fn contains(&self, place: Place) -> bool {
        let group = |group: &Group| group.contains(place.number);
        match place.group() {
            Some(at) => self.generation.groups.get(at).is_some_and(group),
            None => on_plane!(&self.generation.planes, plane => {
                plane.block(place.node).is_some_and(|block| group(block.group))
            }),
        }
    }

    /// Gives the code of exactly this prefix.
    pub(super) fn code_of(&self, place: Place) -> Option<u32> {
        let code = |group: &Group, codes: &[u32]| {
            let there = group.contains(place.number).then(|| group.rank(place.number))?;
            codes.get(there).copied()
        };
        if let Some(at) = place.group() {
            return code(self.generation.groups.get(at)?, self.codes.get(at)?);
        }
        let codes = self.block_codes.get(&place.node)?;
        on_plane!(&self.generation.planes, plane => code(plane.block(place.node)?.group, codes))
    }

    /// Gives the longest shorter prefix that covers this one.
    fn winner_above(&self, place: Place) -> Winner {
        let Place { depth, node, mut number } = place;
        while number > 1 {
            number /= 2;
            let above = Place { depth, node, number };
            if let Some(code) = self.code_of(above) {
                return above.winner(code);
            }
        }
        let network = place.network();
        (0..depth)
            .rev()
            .find_map(|depth| {
                let node = node_of(network, depth);
                let group = self.generation.groups.get(group_at(depth, node)?)?;
                let number = group.longest(child_of(network, depth))?;
                let above = Place { depth, node, number };
                Some(above.winner(self.code_of(above)?))
            })
            .unwrap_or_default()
    }

    /// Lists the routes whose network address lies in a /16, in no order.
    pub(super) fn rules_in(&self, node: u32) -> Vec<Rule<u32>> {
        let rule = |place: Place, code: u32| Rule {
            network: place.network(),
            length: place.length(),
            cell: code,
        };
        let network = node << 16;
        let mut rules: Vec<Rule<u32>> = (0..=16u8)
            .filter(|length| network & !mask(*length) == 0)
            .filter_map(|length| {
                let place = Place::of(network, length);
                Some(rule(place, self.code_of(place)?))
            })
            .collect();
        let group = group_at(2, node);
        let group = group.and_then(|at| self.generation.groups.get(at).zip(self.codes.get(at)));
        if let Some((group, codes)) = group {
            let places = group.numbers().map(|number| Place { depth: 2, node, number });
            rules.extend(places.zip(codes).map(|(place, code)| rule(place, *code)));
        }
        on_plane!(&self.generation.planes, plane => {
            for (slot, block) in plane.blocks(node) {
                let codes = self.block_codes.get(&slot).into_iter().flatten();
                let places = block.group.numbers().map(|number| Place { depth: 3, node: slot, number });
                rules.extend(places.zip(codes).map(|(place, code)| rule(place, *code)));
            }
        });
        rules
    }

    /// Counts one more route with this value.
    pub(super) fn count(&mut self, code: u32) {
        if let Some(uses) = self.uses.get_mut(code as usize) {
            *uses += 1;
        }
    }
}

impl<V: Clone> LiveTable<V> {
    /// Counts one route less with this value.
    pub(super) fn discount(&mut self, code: u32) -> Option<V> {
        let uses = self.uses.get_mut(code as usize)?;
        *uses -= 1;
        self.value_of(ValueId(code)).cloned()
    }
}

/// Numbers the values of routes and checks their prefixes.
pub(crate) fn number<V: Clone + Eq + Hash>(
    routes: impl IntoIterator<Item = (Ipv4Net, V)>,
) -> Result<(Vec<Rule<u32>>, Vec<V>), RouteError> {
    let routes = routes.into_iter();
    let mut rules = Vec::with_capacity(routes.size_hint().0);
    let mut values = Interner::new();
    for (prefix, value) in routes {
        let (network, length) = canonical(prefix)?;
        rules.push(Rule { network, length, cell: values.number(&value) + 1 });
    }
    Ok((rules, values.into_values()))
}

/// Removes the code of a prefix from its group and returns it.
fn take(group: &Group, codes: &mut Vec<u32>, number: u32) -> Option<u32> {
    if !group.contains(number) {
        return None;
    }
    let rank = group.rank(number);
    let taken = (rank < codes.len()).then(|| codes.remove(rank));
    group.remove(number);
    if codes.len() < codes.capacity() / 4 {
        codes.shrink_to(codes.capacity() / 2);
    }
    taken
}
