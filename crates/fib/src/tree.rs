/// The starts of a table's intervals under an implicit 16-way tree: the levels from the top down, one
/// after the other, the lowest of them all the starts, those above every 16th of the level below.
///
/// Sizes follow from the number of intervals alone, so that nothing has to be fetched to know them.
#[derive(Clone, Copy, Default)]
pub(crate) struct Tree<'a> {
    pub(crate) block: &'a [u32],
    pub(crate) intervals: usize,
}

/// How far down a search is.
#[derive(Clone, Copy, Default)]
pub(crate) struct Level {
    /// An entry of this level stands for `1 << shift` intervals.
    shift: u32,
    /// Where the level below begins.
    end: usize,
    /// The last entry of this level that does not start behind the address.
    at: usize,
}

/// How many starts a step below the top compares, and the bits of that number.
const FAN: usize = 16;
const FAN_BITS: u32 = 4;
/// How many starts the top level may have; all are compared.
const TOP: usize = 64;

impl Tree<'_> {
    /// The interval that holds the address.
    #[inline]
    pub(crate) fn search(self, address: u32) -> usize {
        let mut level = self.top(address);
        while !level.is_lowest() {
            level = self.below(level, address);
        }
        level.at
    }

    /// Finds the entry of the top level.
    #[inline]
    pub(crate) fn top(self, address: u32) -> Level {
        let shift = top_shift(self.intervals);
        let end = entries(self.intervals, shift);
        Level { shift, end, at: last_before(self.block.get(..end).unwrap_or_default(), address) }
    }

    /// Goes down one level, or stays on the lowest.
    #[inline]
    pub(crate) fn below(self, level: Level, address: u32) -> Level {
        let Some(shift) = level.shift.checked_sub(FAN_BITS) else { return level };
        let end = level.end + entries(self.intervals, shift);
        let starts = self.block.get(level.end..end).unwrap_or_default();
        let from = level.at << FAN_BITS;
        let children = starts.get(from..starts.len().min(from + FAN)).unwrap_or_default();
        Level { shift, end, at: from + last_before(children, address) }
    }

    /// Loads a word of each line that [`top`](Self::top) will compare, and no more: of many such
    /// loads, unlike of whole searches, a processor has dozens under way.
    #[inline]
    pub(crate) fn touch_top(self) -> u32 {
        let last = entries(self.intervals, top_shift(self.intervals)).saturating_sub(1);
        [0, FAN, 2 * FAN, 3 * FAN, 4 * FAN]
            .into_iter()
            .fold(0, |all, at| all | self.word(at.min(last)))
    }

    /// The same for [`below`](Self::below).
    #[inline]
    pub(crate) fn touch_below(self, level: Level) -> u32 {
        let first = level.end + (level.at << FAN_BITS);
        self.word(first) | self.word(first + FAN - 1)
    }

    #[inline]
    fn word(self, at: usize) -> u32 {
        self.block.get(at).copied().unwrap_or(0)
    }

    /// Where the cells begin.
    #[inline]
    pub(crate) fn cells(self) -> usize {
        let mut cells = self.intervals;
        let mut shift = top_shift(self.intervals);
        while shift > 0 {
            cells += entries(self.intervals, shift);
            shift -= FAN_BITS;
        }
        cells
    }
}

impl Level {
    #[inline]
    pub(crate) fn is_lowest(self) -> bool {
        self.shift == 0
    }

    /// The interval found, on the lowest level.
    #[inline]
    pub(crate) fn interval(self) -> usize {
        self.at
    }
}

/// The levels above these starts, and the starts.
pub(crate) fn levels(starts: &[u32]) -> Vec<u32> {
    let mut levels = Vec::with_capacity(starts.len() * 2 + FAN);
    let mut shift = top_shift(starts.len());
    loop {
        levels.extend(starts.iter().step_by(1 << shift));
        match shift.checked_sub(FAN_BITS) {
            Some(below) => shift = below,
            None => return levels,
        }
    }
}

/// For how many intervals, as a shift, an entry of the top level stands.
#[inline]
fn top_shift(intervals: usize) -> u32 {
    let mut shift = 0;
    while entries(intervals, shift) > TOP {
        shift += FAN_BITS;
    }
    shift
}

/// How many entries the level has whose entries stand for `1 << shift` intervals.
#[inline]
fn entries(intervals: usize, shift: u32) -> usize {
    (intervals + (1 << shift) - 1) >> shift
}

/// The last of these starts that is not behind the address.
///
/// A halving without branches: no guess hangs on what has yet to come from memory, so that the
/// processor goes on with the next lookup while this one waits.
#[inline]
fn last_before(starts: &[u32], address: u32) -> usize {
    starts.partition_point(|start| *start <= address).saturating_sub(1)
}
