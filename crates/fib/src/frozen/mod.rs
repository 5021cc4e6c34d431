mod array;
mod code;
mod frozen_table;
mod runs;
mod spans;
mod splits;

#[cfg(target_arch = "x86_64")]
pub(crate) use array::LENGTH;
#[cfg(target_arch = "x86_64")]
pub(crate) use code::Code;
pub use frozen_table::{FrozenTable, Layout};
