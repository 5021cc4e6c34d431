/// The number under which a table keeps a value: what a batch lookup answers.
///
/// It holds as long as the view that gave it; [`ValueId::NONE`] says that no route matches.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(transparent)]
pub struct ValueId(pub(crate) u32);

impl ValueId {
    /// No route matches.
    pub const NONE: Self = Self(0);

    /// Whether no route matches.
    pub fn is_none(self) -> bool {
        self == Self::NONE
    }

    /// The value with this number, as [`number`](Self::number) gave it.
    pub fn from_number(number: u32) -> Self {
        Self(number)
    }

    /// The number itself, to index a caller's own array: from 1 up, without large holes.
    pub fn number(self) -> u32 {
        self.0
    }
}

/// Whether one of these is this number. All are compared, so that compilers make vectors of it.
#[inline(always)]
pub(crate) fn any(ids: &[ValueId], number: u32) -> bool {
    ids.iter().fold(false, |any, id| any | (id.0 == number))
}
