use crate::sweep::{Rule, sweep};

/// A table cut at /24s, from which each layout is built.
pub(crate) struct Spans {
    /// Start and code of each run of equal /24s; the first starts at 0. A run of `split` needs
    /// blocks.
    pub(crate) runs: Vec<(u32, u32)>,
    /// The /24s that longer prefixes split, with the code of each address.
    pub(crate) blocks: Vec<(u32, Vec<u32>)>,
}

impl Spans {
    /// Cuts sorted rules without duplicates at /24s. Their cells are codes below `split`.
    pub(crate) fn new(rules: &[Rule<u32>], split: u32) -> Self {
        let mut intervals: Vec<(u32, u32)> = Vec::with_capacity(2 * rules.len() + 1);
        sweep(rules, |start, winner| {
            let code = winner.and_then(|at| rules.get(at)).map_or(0, |rule| rule.cell);
            if intervals.last().is_none_or(|(_, last)| *last != code) {
                intervals.push((start, code));
            }
        });
        let mut spans = Self { runs: Vec::with_capacity(intervals.len()), blocks: Vec::new() };
        let ends = intervals.iter().skip(1).map(|(start, _)| u64::from(*start)).chain([1 << 32]);
        for ((start, code), end) in intervals.iter().zip(ends) {
            spans.add(u64::from(*start), end, *code, split);
        }
        spans
    }

    /// Adds the addresses from `at` up to `end`.
    fn add(&mut self, mut at: u64, end: u64, code: u32, split: u32) {
        while at < end {
            // The address is below 2^32, so this is below 2^24.
            let slot = u32::try_from(at >> 8).unwrap_or(u32::MAX);
            let next = (at | 0xff) + 1;
            if at & 0xff == 0 && next <= end {
                self.run(slot, code);
                at = end & !0xff;
                continue;
            }
            if self.blocks.last().is_none_or(|(last, _)| *last != slot) {
                self.run(slot, split);
                self.blocks.push((slot, Vec::with_capacity(256)));
            }
            let stop = next.min(end);
            if let Some((_, codes)) = self.blocks.last_mut() {
                codes.extend((at..stop).map(|_| code));
            }
            at = stop;
        }
    }

    fn run(&mut self, slot: u32, code: u32) {
        if self.runs.last().is_none_or(|(_, last)| *last != code) {
            self.runs.push((slot, code));
        }
    }
}
