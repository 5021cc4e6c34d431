mod array;
mod code;
mod frozen_table;
#[cfg(target_arch = "x86_64")]
mod gather;
mod runs;
mod spans;
mod splits;

pub use frozen_table::{FrozenTable, Layout};
