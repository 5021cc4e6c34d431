use std::sync::OnceLock;

/// Values by number from 1 up, in memory that never moves. Readers read while the writer adds.
///
/// Chunk `k` holds the numbers from `2^k` on.
pub(crate) struct Values<V> {
    chunks: [OnceLock<Box<[OnceLock<V>]>>; 32],
}

impl<V> Values<V> {
    pub(crate) fn new() -> Self {
        Self { chunks: [const { OnceLock::new() }; 32] }
    }

    #[inline]
    pub(crate) fn get(&self, number: u32) -> Option<&V> {
        let chunk = number.checked_ilog2()?;
        let within = (number - (1 << chunk)) as usize;
        self.chunks.get(chunk as usize)?.get()?.get(within)?.get()
    }

    /// Gives a value to a number that has none yet.
    pub(crate) fn set(&self, number: u32, value: V) {
        let Some(chunk) = number.checked_ilog2() else { return };
        let within = (number - (1 << chunk)) as usize;
        let cells = self.chunks.get(chunk as usize).map(|cells| {
            cells.get_or_init(|| (0..1usize << chunk).map(|_| OnceLock::new()).collect())
        });
        if let Some(cell) = cells.and_then(|cells| cells.get(within)) {
            // A number is given once, so no value is lost.
            drop(cell.set(value));
        }
    }

    pub(crate) fn bytes(&self) -> usize {
        let chunks = self.chunks.iter().filter_map(OnceLock::get);
        chunks.map(|cells| size_of_val(&**cells)).sum()
    }
}
