use std::hint::black_box;

use crate::address::{Address, prefix_of};
use crate::table::{Match, NO_MATCH, Table};
use crate::tree::{Level, Tree};

/// The longest match over several tables: the longest prefix wins, of equal ones that of the earlier
/// table.
///
/// So a subnet's own small table stands over bases that many subnets share.
///
/// ```
/// use vnetem_fib::{Table, lookup_layered};
///
/// let own = Table::new([("10.0.0.0/8".parse()?, "vnet"), ("0.0.0.0/0".parse()?, "internet")]);
/// let base = Table::new([("52.239.0.0/16".parse()?, "storage"), ("10.0.0.0/8".parse()?, "never")]);
///
/// let said = |address: [u8; 4]| lookup_layered([&own, &base], address).map(|(_, value)| *value);
/// assert_eq!(said([52, 239, 1, 9]), Some("storage"));
/// assert_eq!(said([10, 1, 1, 1]), Some("vnet"));
/// assert_eq!(said([8, 8, 8, 8]), Some("internet"));
/// # Ok::<(), ipnet::AddrParseError>(())
/// ```
#[inline]
pub fn lookup_layered<'a, V: 'a>(
    layers: impl IntoIterator<Item = &'a Table<V>>,
    address: impl Address,
) -> Option<Match<'a, V>> {
    layers.into_iter().fold(None, |best, layer| longer(best, layer.lookup(address)))
}

/// Of two matches for one address the one with the longer prefix, the first if they are equal.
#[inline]
pub fn longer<'a, V>(
    first: Option<Match<'a, V>>,
    second: Option<Match<'a, V>>,
) -> Option<Match<'a, V>> {
    match (first, second) {
        (Some(one), Some(other)) if other.0.prefix_len() <= one.0.prefix_len() => Some(one),
        (one, None) => one,
        (_, other) => other,
    }
}

/// How many pairs go in step.
const GROUP: usize = 32;

/// Looks up many (table, address) pairs, as a burst of packets of many subnets brings them.
///
/// Each step is taken for a group of pairs before the next step, so that what they fetch from memory
/// overlaps. `matches` takes the answers, as many as the shorter slice holds; [`longer`] puts them over
/// those of a shared base.
pub fn lookup_pairs<'a, V>(
    pairs: &[(&'a Table<V>, impl Address)],
    matches: &mut [Option<Match<'a, V>>],
) {
    for (pairs, matches) in pairs.chunks(GROUP).zip(matches.chunks_mut(GROUP)) {
        let mut trees = [Tree::default(); GROUP];
        for (tree, (table, _)) in trees.iter_mut().zip(pairs) {
            *tree = table.tree();
        }
        black_box(trees.iter().fold(0, |all, tree| all | tree.touch_top()));
        let mut levels = [Level::default(); GROUP];
        for ((level, tree), (_, address)) in levels.iter_mut().zip(&trees).zip(pairs) {
            *level = tree.top(address.number());
        }
        while !levels.iter().all(|level| level.is_lowest()) {
            let below = levels.iter().zip(&trees).map(|(level, tree)| tree.touch_below(*level));
            black_box(below.fold(0, |all, word| all | word));
            for ((level, tree), (_, address)) in levels.iter_mut().zip(&trees).zip(pairs) {
                *level = tree.below(*level, address.number());
            }
        }
        let mut cells = [NO_MATCH; GROUP];
        for ((cell, level), (table, _)) in cells.iter_mut().zip(levels).zip(pairs) {
            *cell = table.cell_at(level.interval());
        }
        for ((answer, cell), (table, address)) in matches.iter_mut().zip(cells).zip(pairs) {
            let route = table.route_of(cell);
            *answer = route.map(|(length, value)| (prefix_of(address.number(), length), value));
        }
    }
}
