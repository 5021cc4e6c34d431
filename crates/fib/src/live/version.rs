use super::sync::{AtomicU64, Ordering, fence, spin_loop};

/// Counts the changes of one writer, for readers that need one state.
pub(crate) struct Version(AtomicU64);

impl Version {
    pub(crate) fn new() -> Self {
        Self(AtomicU64::new(0))
    }

    /// Makes a change. The version is odd while it lasts.
    pub(crate) fn change<T>(&self, change: impl FnOnce() -> T) -> T {
        let version = self.0.load(Ordering::Relaxed);
        self.0.store(version + 1, Ordering::Relaxed);
        fence(Ordering::Release);
        let done = change();
        self.0.store(version + 2, Ordering::Release);
        done
    }

    /// Repeats `read` until no change interrupts it, at most `tries` times.
    #[inline]
    pub(crate) fn undisturbed<T>(&self, tries: u32, mut read: impl FnMut() -> T) -> Option<T> {
        for _ in 0..tries {
            let before = self.0.load(Ordering::Acquire);
            if before.is_multiple_of(2) {
                let found = read();
                fence(Ordering::Acquire);
                if self.0.load(Ordering::Relaxed) == before {
                    return Some(found);
                }
            }
            spin_loop();
        }
        None
    }
}
