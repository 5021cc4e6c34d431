use std::sync::atomic::{AtomicU8, AtomicU16, AtomicU32};

use super::build::Draft;
use super::cell::Cell;
use super::generation::Planes;

/// The bytes of a code in the array of a [`LiveTable`](crate::LiveTable).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Width {
    /// 254 values, 16 MiB.
    One,
    /// 65,534 values, 32 MiB.
    Two,
    /// 4,294,967,294 values, 64 MiB.
    Four,
}

impl Width {
    const ALL: [Self; 3] = [Self::One, Self::Two, Self::Four];

    /// Gives the number of distinct values for this width. Two codes are reserved for no match and
    /// split.
    pub const fn limit(self) -> u32 {
        match self {
            Self::One => u8::MAX as u32 - 1,
            Self::Two => u16::MAX as u32 - 1,
            Self::Four => u32::MAX - 1,
        }
    }

    /// Gives the narrowest width for so many values; `None` if it would exceed `widest`.
    pub(crate) fn holding(values: usize, widest: Self) -> Option<Self> {
        Self::ALL.into_iter().find(|width| *width <= widest && width.limit() as usize >= values)
    }

    pub(crate) fn planes(self, draft: &Draft) -> Planes {
        match self {
            Self::One => Planes::One(draft.plane::<AtomicU8>()),
            Self::Two => Planes::Two(draft.plane::<AtomicU16>()),
            Self::Four => Planes::Four(draft.plane::<AtomicU32>()),
        }
    }
}

const _: () = assert!(Width::One.limit() == AtomicU8::EXTENDED - 1);
const _: () = assert!(Width::Two.limit() == AtomicU16::EXTENDED - 1);
const _: () = assert!(Width::Four.limit() == AtomicU32::EXTENDED - 1);
