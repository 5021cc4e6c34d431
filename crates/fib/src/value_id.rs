/// The number of a value in a table, as batch lookups answer it.
///
/// It is valid as long as the view that gave it. [`ValueId::NONE`] means that no route matches.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(transparent)]
pub struct ValueId(pub(crate) u32);

impl ValueId {
    /// No route matches.
    pub const NONE: Self = Self(0);

    /// Says whether no route matches.
    pub fn is_none(self) -> bool {
        self == Self::NONE
    }

    /// Makes the id of a number that [`number`](Self::number) gave.
    pub fn from_number(number: u32) -> Self {
        Self(number)
    }

    /// Gives the number, to index a caller's own array: from 1 up, without large gaps.
    pub fn number(self) -> u32 {
        self.0
    }
}

/// Says whether one of these is this number. It compares all of them, so that compilers vectorise
/// it.
#[inline(always)]
pub(crate) fn any(ids: &[ValueId], number: u32) -> bool {
    ids.iter().fold(false, |any, id| any | (id.0 == number))
}
