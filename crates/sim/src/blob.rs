//! Bodies of any length whose bytes are a function of their name, released all at once or at a
//! steady rate.

use core::time::Duration;

/// How often a paced body releases bytes.
const TICK: Duration = Duration::from_millis(10);

/// The bytes behind a name: `/big?bytes=1000000&rate=20000` is a million bytes, of which 20 000 are
/// released each second.
///
/// ```
/// use vnetem_sim::Blob;
///
/// let blob = Blob::named("/container/photo?bytes=10");
/// let mut all = [0; 10];
/// blob.fill(0, &mut all);
/// let mut tail = [0; 4];
/// blob.fill(6, &mut tail);
/// assert_eq!(blob.length, 10);
/// assert_eq!(all[6..], tail);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Blob {
    /// Length in bytes: the name's `bytes=`, or [`Blob::DEFAULT_LENGTH`].
    pub length: u64,
    /// Bytes per second, if the name says `rate=`; without it all bytes are there at once.
    pub rate: Option<u64>,
    key: u64,
}

impl Blob {
    /// Length of a blob whose name does not say.
    pub const DEFAULT_LENGTH: u64 = 1024;

    /// Returns the blob of that name.
    #[must_use]
    pub fn named(name: &str) -> Self {
        Self {
            length: parameter(name, "bytes").unwrap_or(Self::DEFAULT_LENGTH),
            rate: parameter(name, "rate"),
            key: digest(DIGEST_START, name.as_bytes()),
        }
    }

    /// Fills `buffer` with the bytes from `offset` on.
    pub fn fill(&self, offset: u64, buffer: &mut [u8]) {
        for (byte, position) in buffer.iter_mut().zip(offset..) {
            let word = scramble(self.key ^ (position / 8)).to_le_bytes();
            *byte = word.iter().copied().nth((position % 8) as usize).unwrap_or_default();
        }
    }

    /// Returns how many bytes have been released `elapsed` after the start; never more than the
    /// length.
    #[must_use]
    pub fn released(&self, elapsed: Duration) -> u64 {
        let Some(rate) = self.rate else { return self.length };
        let ticks = elapsed.as_nanos() / TICK.as_nanos() + 1;
        let bytes = ticks.saturating_mul(u128::from(rate)) * TICK.as_nanos() / 1_000_000_000;
        u64::try_from(bytes).unwrap_or(u64::MAX).min(self.length)
    }

    /// Returns how long after the start byte number `offset` is released; never, if there is no
    /// such byte or the rate is 0.
    #[must_use]
    pub fn release(&self, offset: u64) -> Option<Duration> {
        if offset >= self.length {
            return None;
        }
        let Some(rate) = self.rate else { return Some(Duration::ZERO) };
        if rate == 0 {
            return None;
        }
        // The first tick t for which (t + 1) * rate * TICK > offset.
        let wanted = (u128::from(offset) + 1) * 1_000_000_000;
        let tick = wanted.div_ceil(u128::from(rate) * TICK.as_nanos()) - 1;
        let nanoseconds = tick.saturating_mul(TICK.as_nanos());
        Some(Duration::from_nanos(u64::try_from(nanoseconds).unwrap_or(u64::MAX)))
    }
}

/// Start value of [`digest`] (FNV-1a, 64 bits).
pub(crate) const DIGEST_START: u64 = 0xcbf2_9ce4_8422_2325;

/// FNV-1a over `bytes`, carried on from `state`: enough to see that two streams are the same.
pub(crate) fn digest(state: u64, bytes: &[u8]) -> u64 {
    bytes
        .iter()
        .fold(state, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3))
}

/// The number behind `name=` in a query string or a query text.
fn parameter(text: &str, name: &str) -> Option<u64> {
    text.split(['?', '&', ' ', ';']).find_map(|part| {
        let (key, value) = part.split_once('=')?;
        if key == name { value.parse().ok() } else { None }
    })
}

/// The output function of SplitMix64: a fixed bijection that looks random.
fn scramble(value: u64) -> u64 {
    let mut z = value.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn name_gives_length_and_rate() {
        let read = |name| {
            let blob = Blob::named(name);
            (blob.length, blob.rate)
        };
        assert_eq!(read("/a"), (1024, None));
        assert_eq!(read("/a?bytes=5"), (5, None));
        assert_eq!(read("/a?rate=7&bytes=5"), (5, Some(7)));
        assert_eq!(read("select bytes=9 rate=2"), (9, Some(2)));
        assert_eq!(read("/a?bytes=many"), (1024, None));
    }

    #[test]
    fn different_names_have_different_bytes() {
        let first = |name| {
            let mut buffer = [0; 16];
            Blob::named(name).fill(0, &mut buffer);
            buffer
        };
        assert_ne!(first("/a"), first("/b"));
    }

    #[test]
    fn zero_rate_never_releases_nor_wakes() {
        let blob = Blob::named("/a?bytes=5&rate=0");
        assert_eq!(blob.released(Duration::from_secs(9)), 0);
        assert_eq!(blob.release(0), None);
    }

    proptest! {
        #[test]
        fn pieces_equal_the_whole(cut in 0_usize..100, offset in 0_u64..1000) {
            let blob = Blob::named("/a");
            let mut whole = [0; 100];
            blob.fill(offset, &mut whole);
            let mut pieces = [0; 100];
            let (front, back) = pieces.split_at_mut(cut);
            blob.fill(offset, front);
            blob.fill(offset + u64::try_from(cut).unwrap(), back);
            prop_assert_eq!(whole, pieces);
        }

        /// What `release` names is the first moment at which the byte is there, and not a
        /// nanosecond later.
        #[test]
        fn release_time_of_byte_is_exact(
            rate in 1_u64..100_000,
            length in 1_u64..10_000,
            offset in 0_u64..11_000,
        ) {
            let blob = Blob { length, rate: Some(rate), key: 0 };
            match blob.release(offset) {
                None => prop_assert!(offset >= length),
                Some(moment) => {
                    prop_assert!(blob.released(moment) > offset);
                    if let Some(before) = moment.checked_sub(Duration::from_nanos(1)) {
                        prop_assert!(blob.released(before) <= offset);
                    }
                }
            }
        }
    }
}
