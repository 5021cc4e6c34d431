//! A list by number, of which much may be missing: a tree of fixed depth that is read like an
//! array.

use core::fmt;
use std::sync::Arc;

/// Values by number. It shares its parts with its clones.
///
/// Numbers are never used again, so most may be missing: a part without values takes no room. A
/// look-up is three reads, whatever the number. An edit copies a leaf, a part and the list of
/// parts, one pointer for each 1,024 numbers.
pub(crate) struct Numbered<T> {
    parts: Arc<[Option<Arc<Part<T>>>]>,
}

/// The values of 1,024 numbers.
struct Part<T> {
    leaves: [Option<Arc<Leaf<T>>>; LEAVES],
}

/// A leaf is small, since a copy of it counts references that lie anywhere in memory.
type Leaf<T> = [Option<T>; VALUES];

const VALUES: usize = 16;
const LEAVES: usize = 64;

impl<T: Clone> Numbered<T> {
    #[inline]
    pub(crate) fn get(&self, number: u32) -> Option<&T> {
        let number = number as usize;
        let part = self.parts.get(number / VALUES / LEAVES)?.as_ref()?;
        let leaf = part.leaves.get(number / VALUES % LEAVES)?.as_ref()?;
        leaf.get(number % VALUES)?.as_ref()
    }

    /// Sets or removes the value of a number.
    pub(crate) fn set(&mut self, number: u32, value: Option<T>) {
        let number = number as usize;
        if value.is_none() && self.get(u32::try_from(number).unwrap_or(u32::MAX)).is_none() {
            return;
        }
        let (at, leaf, place) =
            (number / VALUES / LEAVES, number / VALUES % LEAVES, number % VALUES);
        if at >= self.parts.len() {
            let more = core::iter::repeat_n(None, at + 1 - self.parts.len());
            self.parts = self.parts.iter().cloned().chain(more).collect();
        }
        let Some(entry) = Arc::make_mut(&mut self.parts).get_mut(at) else { return };
        let part = Arc::make_mut(entry.get_or_insert_default());
        let Some(slot) = part.leaves.get_mut(leaf) else { return };
        let values = Arc::make_mut(slot.get_or_insert_with(|| Arc::new([const { None }; VALUES])));
        let is_set = value.is_some();
        if let Some(old) = values.get_mut(place) {
            *old = value;
        }
        if !is_set && values.iter().all(Option::is_none) {
            *slot = None;
            if part.leaves.iter().all(Option::is_none) {
                *entry = None;
            }
        }
    }

    /// Iterates over the values and their numbers, in order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (u32, &T)> {
        let parts = self.parts.iter().enumerate();
        let leaves =
            parts.filter_map(|(at, part)| Some((at, part.as_ref()?))).flat_map(|(at, part)| {
                let leaves = part.leaves.iter().enumerate();
                leaves.filter_map(move |(leaf, it)| Some((at * LEAVES + leaf, it.as_ref()?)))
            });
        leaves.flat_map(|(leaf, values)| {
            let values = values.iter().enumerate();
            values.filter_map(move |(place, value)| {
                Some((u32::try_from(leaf * VALUES + place).ok()?, value.as_ref()?))
            })
        })
    }

    pub(crate) fn values(&self) -> impl Iterator<Item = &T> {
        self.iter().map(|(_, value)| value)
    }

    /// Returns whether both share everything, so that they are equal.
    pub(crate) fn same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.parts, &other.parts)
    }

    /// Lists the numbers in leaves that both do not share. The values of some may be equal.
    pub(crate) fn differing(&self, other: &Self) -> Vec<u32> {
        let mut numbers = Vec::new();
        if self.same(other) {
            return numbers;
        }
        for at in 0..self.parts.len().max(other.parts.len()) {
            let [one, two] = [self, other].map(|it| it.parts.get(at).and_then(Option::as_ref));
            if is_shared(one, two) {
                continue;
            }
            for leaf in 0..LEAVES {
                let [one, two] = [one, two]
                    .map(|part| part.and_then(|it| it.leaves.get(leaf)).and_then(Option::as_ref));
                if !is_shared(one, two) {
                    let first = (at * LEAVES + leaf) * VALUES;
                    numbers.extend((first..first + VALUES).filter_map(|it| u32::try_from(it).ok()));
                }
            }
        }
        numbers
    }
}

fn is_shared<T>(one: Option<&Arc<T>>, other: Option<&Arc<T>>) -> bool {
    match (one, other) {
        (Some(one), Some(other)) => Arc::ptr_eq(one, other),
        (None, None) => true,
        _ => false,
    }
}

impl<T: Clone> FromIterator<(u32, T)> for Numbered<T> {
    fn from_iter<I: IntoIterator<Item = (u32, T)>>(values: I) -> Self {
        let mut list = Self::default();
        values.into_iter().for_each(|(number, value)| list.set(number, Some(value)));
        list
    }
}

impl<T> Default for Numbered<T> {
    fn default() -> Self {
        Self { parts: Arc::from([]) }
    }
}

impl<T> Clone for Numbered<T> {
    fn clone(&self) -> Self {
        Self { parts: Arc::clone(&self.parts) }
    }
}

impl<T> Default for Part<T> {
    fn default() -> Self {
        Self { leaves: [const { None }; LEAVES] }
    }
}

impl<T> Clone for Part<T> {
    fn clone(&self) -> Self {
        Self { leaves: self.leaves.clone() }
    }
}

impl<T: Clone + PartialEq> PartialEq for Numbered<T> {
    fn eq(&self, other: &Self) -> bool {
        self.same(other) || self.iter().eq(other.iter())
    }
}

impl<T: Clone + fmt::Debug> fmt::Debug for Numbered<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter()).finish()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #![proptest_config(ProptestConfig {
            failure_persistence: None,
            ..ProptestConfig::default()
        })]

        /// Whatever is set and removed, the list is as a map is, its clones stay as they were, and
        /// it names every number whose value differs.
        #[test]
        fn numbered_equals_the_reference_map(
            edits in prop::collection::vec(
                (
                    prop_oneof![0..50_u32, 1000..1050_u32, 40_000..40_020_u32],
                    prop::option::of(any::<u8>()),
                ),
                0..200,
            ),
        ) {
            let (mut list, mut reference) = (Numbered::default(), BTreeMap::new());
            let mut clones = Vec::new();
            for (at, (number, value)) in edits.into_iter().enumerate() {
                if at % 50 == 0 {
                    clones.push((list.clone(), reference.clone()));
                }
                list.set(number, value);
                match value {
                    Some(value) => drop(reference.insert(number, value)),
                    None => drop(reference.remove(&number)),
                }
            }
            clones.push((list.clone(), reference.clone()));
            for (old, before) in clones {
                prop_assert!(old.iter().map(|(number, value)| (number, *value)).eq(before.clone()));
                let differing = list.differing(&old);
                for number in (0..1100).chain(39_990..40_030) {
                    prop_assert_eq!(old.get(number), before.get(&number));
                    let differs = before.get(&number) != reference.get(&number);
                    prop_assert!(!differs || differing.contains(&number));
                }
                prop_assert_eq!(list == old, before == reference);
            }
        }
    }

    #[test]
    fn removed_numbers_take_no_room() {
        let mut list = Numbered::default();
        for number in 0..300_000 {
            list.set(number, Some(number));
            list.set(number, None);
        }
        assert!(list.parts.iter().all(Option::is_none));
        assert_eq!(list.parts.len(), 293);
        list.set(u32::MAX >> 8, None);
        assert_eq!(list.parts.len(), 293, "nothing is there to be removed");
    }

    #[test]
    fn an_edit_concerns_one_leaf() {
        let mut list = Numbered::default();
        (0..5000).for_each(|number| list.set(number, Some(number)));
        let before = list.clone();
        assert!(list.differing(&before).is_empty());
        list.set(2000, Some(1));
        assert_eq!(list.differing(&before), Vec::from_iter(2000..2016));
    }
}
