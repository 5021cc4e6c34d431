/// A value number in as few bytes as possible; 0 means that nothing matches.
pub(crate) trait Code: Copy + Send + Sync + 'static {
    /// Longer prefixes split this /24.
    const SPLIT: u32;

    fn new(number: u32) -> Self;
    fn number(self) -> u32;
}

macro_rules! code {
    ($($number:ty),*) => { $(
        impl Code for $number {
            const SPLIT: u32 = <$number>::MAX as u32;

            #[inline]
            #[allow(clippy::cast_possible_truncation, reason = "a code fits the width it was given")]
            fn new(number: u32) -> Self {
                number as $number
            }

            #[inline(always)]
            fn number(self) -> u32 {
                u32::from(self)
            }
        }
    )* };
}

code!(u8, u16, u32);
