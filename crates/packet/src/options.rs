//! Options of IPv4 and TCP headers. Both are lists of kind, length and value.

/// One option: its place in the list, its kind and its value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct HeaderOption<'a> {
    /// Offset of the value from the start of the list.
    pub(crate) offset: usize,
    pub(crate) kind: u8,
    pub(crate) value: &'a [u8],
}

/// The option lengths do not add up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Broken;

/// Walks a list of options up to its end mark and skips padding. A broken option ends the walk.
pub(crate) fn options(list: &[u8]) -> impl Iterator<Item = Result<HeaderOption<'_>, Broken>> {
    let mut offset = 0;
    core::iter::from_fn(move || {
        loop {
            match list.get(offset)? {
                0 => return None,
                1 => offset = offset.saturating_add(1),
                kind => return Some(read(list, &mut offset, *kind)),
            }
        }
    })
}

/// Reads the option at `offset` and moves `offset` behind it.
fn read<'a>(list: &'a [u8], offset: &mut usize, kind: u8) -> Result<HeaderOption<'a>, Broken> {
    let start = *offset;
    *offset = list.len();
    let length = usize::from(*list.get(start.saturating_add(1)).ok_or(Broken)?);
    let (value, end) = (start.saturating_add(2), start.saturating_add(length));
    let option = HeaderOption { offset: value, kind, value: list.get(value..end).ok_or(Broken)? };
    *offset = end;
    Ok(option)
}
