use std::hint::black_box;

use crate::address::Address;
use crate::base_table::BaseTable;
use crate::block::{Cell, Search, rank};
use crate::id_table::{Hit, IdTable};
use crate::table::{Match, Table};

/// Looks up the longest match over several tables; of equal prefixes the earlier table's wins.
///
/// So a subnet's own small table overrides bases that many subnets share.
///
/// ```
/// use vnetem_fib::{Table, lookup_layered};
///
/// let own = Table::new([("10.0.0.0/8".parse()?, "vnet"), ("0.0.0.0/0".parse()?, "internet")]);
/// let storage = ("52.239.0.0/16".parse()?, "storage");
/// let base = Table::new([storage, ("10.0.0.0/8".parse()?, "never")]);
///
/// let answer = |address: [u8; 4]| lookup_layered([&own, &base], address).map(|(_, value)| *value);
/// assert_eq!(answer([52, 239, 1, 9]), Some("storage"));
/// assert_eq!(answer([10, 1, 1, 1]), Some("vnet"));
/// assert_eq!(answer([8, 8, 8, 8]), Some("internet"));
/// # Ok::<(), ipnet::AddrParseError>(())
/// ```
#[inline]
pub fn lookup_layered<'a, V: 'a>(
    layers: impl IntoIterator<Item = &'a Table<V>>,
    address: impl Address,
) -> Option<Match<'a, V>> {
    let address = address.number();
    let mut best: Option<(&Table<V>, Cell)> = None;
    for layer in layers {
        let cell = layer.block().cell(address);
        best = match best {
            Some(best) if rank(cell) <= rank(best.1) => Some(best),
            _ => Some((layer, cell)),
        };
    }
    let (layer, cell) = best?;
    layer.matched(address, cell)
}

/// How many pairs advance in step.
const GROUP: usize = 64;

/// Looks up many (table, address) pairs, such as a burst of packets of many subnets. Each table
/// stands over `base`, if given. All are tables of one [`SharedValues`](crate::SharedValues).
///
/// A group of pairs takes each step together, so that their fetches from memory overlap. `hits`
/// takes as many answers as the shorter slice holds.
pub fn lookup_pairs(
    pairs: &[(&IdTable, impl Address)],
    base: Option<&BaseTable>,
    hits: &mut [Hit],
) {
    for (pairs, hits) in pairs.chunks(GROUP).zip(hits.chunks_mut(GROUP)) {
        prefetch(pairs.iter().map(|(table, _)| table.block.prefetch()));
        let mut searches = [Search::default(); GROUP];
        let mut levels = 0;
        for (search, (table, address)) in searches.iter_mut().zip(pairs) {
            *search = table.block.search(address.number());
            levels = levels.max(search.levels());
        }
        for _ in 0..levels {
            prefetch(searches.iter().map(|search| search.prefetch()));
            for (search, (_, address)) in searches.iter_mut().zip(pairs) {
                if !search.is_at_leaf() {
                    search.below(address.number());
                }
            }
        }
        prefetch(searches.iter().map(|search| search.prefetch()));
        for ((hit, search), (_, address)) in hits.iter_mut().zip(&searches).zip(pairs) {
            *hit = Hit(search.cell(address.number()));
        }
        if let Some(base) = base {
            for (hit, (_, address)) in hits.iter_mut().zip(pairs) {
                *hit = hit.or_longer(base.lookup(*address));
            }
        }
    }
}

/// Loads one word of each line and nothing else. A processor keeps dozens of such loads under way,
/// but not of whole searches.
#[inline(always)]
fn prefetch(words: impl Iterator<Item = u32>) {
    black_box(words.fold(0, |all, word| all | word));
}
