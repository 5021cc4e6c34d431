use super::sync::{AtomicU8, AtomicU16, AtomicU32, Ordering};

/// One code that readers load while the writer stores.
///
/// 0 means that nothing matches, [`Cell::EXTENDED`] that a longer prefix splits this place. Any
/// other code is the number of a value.
pub(crate) trait Cell: Send + Sync + 'static {
    /// The highest code.
    const EXTENDED: u32;

    fn new(code: u32) -> Self;
    fn load(&self, order: Ordering) -> u32;
    /// Stores with release. A reader that loads the code with acquire finds its value and block.
    fn store(&self, code: u32);
}

macro_rules! cell {
    ($atomic:ty, $number:ty) => {
        impl Cell for $atomic {
            const EXTENDED: u32 = <$number>::MAX as u32;

            #[inline]
            #[allow(
                clippy::cast_possible_truncation,
                reason = "a code fits the width it was given"
            )]
            fn new(code: u32) -> Self {
                <$atomic>::new(code as $number)
            }

            #[inline(always)]
            fn load(&self, order: Ordering) -> u32 {
                u32::from(<$atomic>::load(self, order))
            }

            #[inline]
            #[allow(
                clippy::cast_possible_truncation,
                reason = "a code fits the width it was given"
            )]
            fn store(&self, code: u32) {
                <$atomic>::store(self, code as $number, Ordering::Release);
            }
        }
    };
}

cell!(AtomicU8, u8);
cell!(AtomicU16, u16);
cell!(AtomicU32, u32);
