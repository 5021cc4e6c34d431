use super::sync::{AtomicU64, Ordering, fence, spin_loop};

/// Counts the changes of one writer, for readers that want to see one state.
pub(crate) struct Version(AtomicU64);

impl Version {
    pub(crate) fn new() -> Self {
        Self(AtomicU64::new(0))
    }

    /// Makes a change; the odd numbers mean that one is on its way.
    pub(crate) fn change<T>(&self, change: impl FnOnce() -> T) -> T {
        let version = self.0.load(Ordering::Relaxed);
        self.0.store(version + 1, Ordering::Relaxed);
        fence(Ordering::Release);
        let done = change();
        self.0.store(version + 2, Ordering::Release);
        done
    }

    /// What `read` finds if no change falls into it, in one of so many tries.
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
