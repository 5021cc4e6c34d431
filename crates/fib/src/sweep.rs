use crate::address::mask;

/// A route for the builders: network address, prefix length, and the answer of a match.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Rule<C> {
    pub(crate) network: u32,
    pub(crate) length: u8,
    pub(crate) cell: C,
}

/// Cuts the address space where the longest match changes.
///
/// It calls `emit(start, rule)` for every elementary interval in rising order, the first at 0.
/// `rule` is the position of the rule that wins there.
///
/// `rules` must be sorted by (network, length) and free of duplicates. A rule that is never emitted
/// is hidden: longer ones cover it whole.
#[inline]
pub(crate) fn sweep<C>(rules: &[Rule<C>], mut emit: impl FnMut(u32, Option<usize>)) {
    // An interval is emitted only once no other can start at the same address.
    let mut pending = (0, None);
    let mut cut = |start: u32, winner: Option<usize>| {
        if start != pending.0 {
            emit(pending.0, pending.1);
        }
        pending = (start, winner);
    };
    // The rules that cover the current address, by last address, the longest on top; at most 33
    // deep.
    let mut open: Vec<(u32, usize)> = Vec::with_capacity(33);
    for (at, next) in rules.iter().map(Some).chain([None]).enumerate() {
        // Closes rules that end before the next one starts; all of them if there is no next.
        while let Some((end, _)) =
            open.pop_if(|(end, _)| next.is_none_or(|next| *end < next.network))
        {
            // Nothing starts beyond the last address.
            if let Some(start) = end.checked_add(1) {
                cut(start, open.last().map(|(_, rule)| *rule));
            }
        }
        if let Some(rule) = next {
            cut(rule.network, Some(at));
            open.push((rule.network | !mask(rule.length), at));
        }
    }
    emit(pending.0, pending.1);
}
