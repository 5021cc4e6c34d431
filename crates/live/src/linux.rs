//! Everything that needs Linux.

mod check;
mod client;
mod cloud;
mod control;
mod device;
mod exec;
mod identity;
mod keeper;
mod names;
mod namespaces;
mod netlink;
mod offload;
mod questions;
mod router;
mod seen;
mod spawn;
mod stations;
mod tap;
mod up;
mod wait;

pub use check::{Obstacle, check, unavailable};
pub use client::{ask, names_of_clouds};
pub use cloud::Cloud;
pub use exec::exec;
pub use keeper::keep;
pub use up::{Options, Printing, up};

/// Turns a system call's error number into an I/O error.
fn os(error: nix::errno::Errno) -> std::io::Error {
    std::io::Error::from_raw_os_error(error as i32)
}
