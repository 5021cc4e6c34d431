//! Derives all secret keys: one root, and one key for each purpose.

use core::fmt;

/// The root of a table's secret keys: of its hash and of its port choice.
///
/// | made by | equal calls give | may be known to |
/// |---|---|---|
/// | [`Keys::replayable`] | equal bytes | anybody: it protects nothing |
/// | [`Keys::secret`] | different bytes | nobody |
///
/// Under a secret root, ports cannot be predicted (T-07) and colliding keys cannot be made
/// (INV-collisions-harmless). Neither [`Debug`](fmt::Debug) nor any other call reveals it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Keys(Root);

#[derive(Clone, Copy, PartialEq, Eq)]
enum Root {
    Replayable(u64),
    Secret([u64; 2]),
}

/// The purpose of a key. Different purposes have different keys, so that one that leaks reveals
/// nothing of the others.
#[derive(Clone, Copy)]
pub(crate) enum Purpose {
    /// The hash of the index of a flow table.
    Index,
    /// The choice of ports.
    Draws,
    /// The hash of the index of fragments.
    Fragments,
}

impl Keys {
    /// Makes a root from a seed that anybody may know, for tests, scenarios and recorded runs.
    #[must_use]
    pub const fn replayable(seed: u64) -> Self {
        Self(Root::Replayable(seed))
    }

    /// Makes a root from 128 bits of secret entropy, for example from the operating system.
    #[must_use]
    pub const fn secret(entropy: [u8; 16]) -> Self {
        let [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p] = entropy;
        let first = u64::from_le_bytes([a, b, c, d, e, f, g, h]);
        let second = u64::from_le_bytes([i, j, k, l, m, n, o, p]);
        Self(Root::Secret([first, second]))
    }

    /// Says whether the root comes from a known seed.
    #[must_use]
    pub const fn is_replayable(&self) -> bool {
        matches!(self.0, Root::Replayable(_))
    }

    /// Gives the seed, if it is known.
    pub(crate) const fn seed(&self) -> Option<u64> {
        match self.0 {
            Root::Replayable(seed) => Some(seed),
            Root::Secret(_) => None,
        }
    }

    /// Derives the words of the key for a purpose, by SipHash-2-4 under the root.
    pub(crate) fn words<const N: usize>(&self, purpose: Purpose) -> [u64; N] {
        let root = match self.0 {
            Root::Replayable(seed) => [seed, !seed],
            Root::Secret(root) => root,
        };
        let mut place: u64 = 0;
        [(); N].map(|()| {
            place = place.wrapping_add(1);
            sip_hash::<2, 4, 2>(root, [purpose as u64, place])
        })
    }
}

/// Prints the kind, and nothing else of a secret root.
impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Root::Replayable(seed) => write!(f, "Replayable({seed})"),
            Root::Secret(_) => f.write_str("Secret"),
        }
    }
}

/// Computes SipHash (Aumasson and Bernstein 2012) of whole words, with so many rounds for each word
/// and at the end.
#[inline]
pub(crate) fn sip_hash<const ROUNDS: usize, const LAST: usize, const WORDS: usize>(
    [first, second]: [u64; 2],
    words: [u64; WORDS],
) -> u64 {
    let mut state = [
        first ^ 0x736F_6D65_7073_6575,
        second ^ 0x646F_7261_6E64_6F6D,
        first ^ 0x6C79_6765_6E65_7261,
        second ^ 0x7465_6462_7974_6573,
    ];
    let length = (WORDS as u64).wrapping_mul(8) << 56;
    for word in words.into_iter().chain([length]) {
        state[3] ^= word;
        (0..ROUNDS).for_each(|_| round(&mut state));
        state[0] ^= word;
    }
    state[2] ^= 0xFF;
    (0..LAST).for_each(|_| round(&mut state));
    state.into_iter().fold(0, |sum, word| sum ^ word)
}

#[inline]
fn round(state: &mut [u64; 4]) {
    let [mut a, mut b, mut c, mut d] = *state;
    a = a.wrapping_add(b);
    b = b.rotate_left(13) ^ a;
    a = a.rotate_left(32);
    c = c.wrapping_add(d);
    d = d.rotate_left(16) ^ c;
    a = a.wrapping_add(d);
    d = d.rotate_left(21) ^ a;
    c = c.wrapping_add(b);
    b = b.rotate_left(17) ^ c;
    c = c.rotate_left(32);
    *state = [a, b, c, d];
}

#[cfg(test)]
mod tests {
    use core::hash::Hasher;
    use std::collections::BTreeSet;
    use std::hash::DefaultHasher;

    use super::*;

    /// Vectors of the authors, for 8 and 16 consecutive bytes under a key of consecutive bytes.
    #[test]
    fn siphash_gives_its_published_values() {
        let key = [0x0706_0504_0302_0100, 0x0F0E_0D0C_0B0A_0908];
        assert_eq!(sip_hash::<2, 4, 1>(key, [key[0]]), 0x93F5_F579_9A93_2462);
        assert_eq!(sip_hash::<2, 4, 2>(key, key), 0x3F2A_CC7F_57C2_9BDB);
    }

    /// The standard library's default hasher is SipHash-1-3 with a key of 0.
    #[test]
    fn siphash_agrees_with_the_standard_library() {
        for words in [[0, 0, 0], [1, 2, 3], [u64::MAX, 7, 1 << 63]] {
            let mut hasher = DefaultHasher::new();
            words.iter().for_each(|word| hasher.write_u64(*word));
            assert_eq!(sip_hash::<1, 3, 3>([0, 0], words), hasher.finish());
        }
    }

    #[test]
    fn every_purpose_has_its_own_keys() {
        let mut seen = BTreeSet::new();
        for keys in [Keys::replayable(0), Keys::replayable(1), Keys::secret([0; 16])] {
            for purpose in [Purpose::Index, Purpose::Draws, Purpose::Fragments] {
                assert!(keys.words::<8>(purpose).into_iter().all(|word| seen.insert(word)));
            }
        }
        assert_eq!(seen.len(), 3 * 3 * 8);
    }

    #[test]
    fn a_secret_is_not_shown() {
        assert_eq!(format!("{:?}", Keys::secret([0xAB; 16])), "Secret");
        assert_eq!(format!("{:?}", Keys::replayable(7)), "Replayable(7)");
        assert!(Keys::replayable(7).is_replayable() && !Keys::secret([7; 16]).is_replayable());
    }
}
