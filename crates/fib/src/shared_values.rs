use std::hash::Hash;

use ipnet::Ipv4Net;

use crate::block::{Block, Cell, HIGHEST_NUMBER};
use crate::error::RouteError;
use crate::id_table::IdTable;
use crate::intern::Numbers;
use crate::sweep::Rule;
use crate::table::{rule, sort};
use crate::value_id::ValueId;

/// A list of values for many tables, which also makes those tables.
///
/// A lookup in a [`Table`](crate::Table) ends with a fetch from that table's own list, which is
/// rarely in the cache. One list for tens of thousands of tables stays in the cache.
///
/// ```
/// use vnetem_fib::{BaseTable, Hit, SharedValues, lookup_pairs};
///
/// let mut values = SharedValues::new();
/// let base = BaseTable::new(values.table([("52.239.0.0/16".parse()?, "storage")])?);
/// let web = values.table([("10.0.0.0/8".parse()?, "vnet"), ("0.0.0.0/0".parse()?, "internet")])?;
/// let data = values.table([("10.0.0.0/8".parse()?, "vnet")])?;
///
/// let pairs = [(&web, [52, 239, 1, 9]), (&data, [10, 1, 1, 1]), (&data, [8, 8, 8, 8])];
/// let mut hits = [Hit::NONE; 3];
/// lookup_pairs(&pairs, Some(&base), &mut hits);
/// let found = hits.map(|hit| values.value_of(hit.id()).copied());
/// assert_eq!(found, [Some("storage"), Some("vnet"), None]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// The list only grows. A number keeps its meaning as long as a table holds it.
pub struct SharedValues<V> {
    numbers: Numbers<V>,
    values: Vec<V>,
}

impl<V: Clone + Eq + Hash> SharedValues<V> {
    /// Makes a list without values.
    pub fn new() -> Self {
        Self { numbers: Numbers::default(), values: Vec::new() }
    }

    /// Builds a table as [`Table::new`](crate::Table::new) does, with its values in this list.
    ///
    /// # Errors
    ///
    /// [`RouteError::ValuesExhausted`] beyond 67,108,863 distinct values.
    pub fn table(
        &mut self,
        routes: impl IntoIterator<Item = (Ipv4Net, V)>,
    ) -> Result<IdTable, RouteError> {
        let routes = routes.into_iter();
        let mut rules: Vec<Rule<Cell>> = Vec::with_capacity(routes.size_hint().0);
        let mut last: Option<(V, u32)> = None;
        for (prefix, value) in routes {
            let number = match &last {
                Some((known, number)) if *known == value => *number,
                _ => self.number(&value)?,
            };
            last = Some((value, number));
            rules.push(rule(prefix, number));
        }
        sort(&mut rules, |rule| (rule.network, rule.length));
        Ok(IdTable { block: Block::new(&rules) })
    }

    fn number(&mut self, value: &V) -> Result<u32, RouteError> {
        if let Some(number) = self.numbers.get(value) {
            return Ok(*number);
        }
        let next = u32::try_from(self.numbers.len() + 1).unwrap_or(u32::MAX);
        if next > HIGHEST_NUMBER {
            return Err(RouteError::ValuesExhausted { limit: HIGHEST_NUMBER });
        }
        self.values.push(value.clone());
        self.numbers.insert(value.clone(), next);
        Ok(next)
    }
}

impl<V> SharedValues<V> {
    /// Gives the value that has this number.
    #[inline]
    pub fn value_of(&self, id: ValueId) -> Option<&V> {
        self.values.get(id.0.checked_sub(1)? as usize)
    }

    /// Counts the distinct values.
    pub fn len(&self) -> usize {
        self.numbers.len()
    }

    /// Says whether there is no value.
    pub fn is_empty(&self) -> bool {
        self.numbers.is_empty()
    }

    /// Counts the bytes of the list, without what values own on the heap.
    pub fn bytes(&self) -> usize {
        self.values.capacity() * size_of::<V>()
            + self.numbers.capacity() * (size_of::<V>() + size_of::<u32>() + 1)
    }
}

impl<V: Clone + Eq + Hash> Default for SharedValues<V> {
    fn default() -> Self {
        Self::new()
    }
}

impl<V> std::fmt::Debug for SharedValues<V> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SharedValues").field("len", &self.len()).finish_non_exhaustive()
    }
}
