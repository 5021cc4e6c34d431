//! Real programs inside an emulated cloud network, with the kernel's own TCP and no root (Linux).
//!
//! Each host of a scenario is a network namespace whose only interface is a TUN device. One
//! process, the router, carries packets between all devices through a
//! [`DataPlane`](vnetem::DataPlane). Anything runs in a host: curl, psql, a test suite, a storage
//! SDK.
//!
//! The `vnetem` command is the router. [`Cloud`] starts one and speaks to it, so a test may have as
//! many threads as it likes:
//!
//! ```
//! use vnetem_live::{Cloud, unavailable};
//!
//! const NETWORK: &str = "\
//! vnet      net-a 10.0.0.0/16
//! subnet    app   10.0.0.0/24 in net-a  nat 20.31.0.10
//! service   Microsoft.Storage 20.60.0.0/16
//! resource  stdata 20.60.26.10 of Microsoft.Storage
//! host      vm-a 10.0.0.4 in app
//! serve     stdata http
//! ";
//!
//! fn main() -> Result<(), Box<dyn std::error::Error>> {
//!     if let Some(why) = unavailable() {
//!         eprintln!("skipped: {why}");
//!         return Ok(());
//!     }
//!     let cloud = Cloud::of(NETWORK)?;
//!     let page = cloud.command("vm-a", "curl").arg("http://stdata/").output()?;
//!     println!("{}", String::from_utf8_lossy(&page.stdout));
//!     let change = cloud.ctl("enable Microsoft.Storage on app")?;
//!     assert_eq!(change.lines.first().map(String::as_str), Some("generation 2"));
//!     println!("{:?}", cloud.seen("stdata")?);
//!     Ok(())
//! }
//! ```
//!
//! The command line and the traps are in `docs/guide/live.md` of the project.

mod answer;
#[cfg(target_os = "linux")]
mod linux;

pub use answer::{Answer, LiveError};
#[cfg(target_os = "linux")]
pub use linux::{
    Cloud, Obstacle, Options, Printing, ask, check, exec, keep, names_of_clouds, unavailable, up,
};

/// What is said where live networks are not possible at all.
pub const ELSEWHERE: &str =
    "live needs Linux; `vnetem run` and the simulation work on every system";
