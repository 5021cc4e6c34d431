//! Compares vnetem with Linux's own NAT: the same packets through both, all bytes compared.
//!
//! Everything runs in network namespaces of its own, which nothing outside notices. They need root,
//! or the right to make user namespaces, and the commands `ip`, `nft` and `conntrack`. [`isolated`]
//! runs what needs them, and reports a skip where they are missing. `corpus/` has recordings of the
//! kernel, so that everybody can compare with it.
//!
//! - [`Kernel`]: Linux between two TUN devices, and [`Ours`]: a data plane that is set up alike.
//! - [`Traffic`]: random packets with few ends, so that they collide, and [`directed`] ones for
//!   corner cases.
//! - [`compare`]: byte for byte, with a list of the intended differences ([`Chosen`]).

mod compare;
mod connections;
mod conversation;
mod directed;
mod draft;
mod ours;
mod packet;
mod ports;
mod recording;
mod traffic;

#[cfg(target_os = "linux")]
mod isolation;
#[cfg(target_os = "linux")]
mod kernel;
#[cfg(target_os = "linux")]
mod namespace;
#[cfg(target_os = "linux")]
mod run;
#[cfg(target_os = "linux")]
mod special;
#[cfg(target_os = "linux")]
mod tun;

pub use compare::{Chosen, Difference, compare};
pub use connections::{Connection, Scene, SceneStep, scenes, write_scenes};
pub use directed::directed;
pub use draft::Draft;
pub use ours::Ours;
pub use packet::{Emitted, show};
pub use ports::{PortRule, Ports};
pub use recording::{Exchange, Recording};
pub use traffic::Traffic;

#[cfg(target_os = "linux")]
pub use isolation::isolated;
#[cfg(target_os = "linux")]
pub use kernel::{Kernel, Tracking, command};
#[cfg(target_os = "linux")]
pub use namespace::Namespace;
#[cfg(target_os = "linux")]
pub use run::{Summary, run};
#[cfg(target_os = "linux")]
pub use special::{fragments, toggles};
#[cfg(target_os = "linux")]
pub use tun::Tun;

/// Why something failed, in words for a person.
pub type Failure = Box<dyn core::error::Error + Send + Sync>;

/// The addresses of both sides, the same for Linux and for vnetem.
pub mod place {
    use core::net::Ipv4Addr;

    /// The router of the internal side: the first address of the subnet 10.0.0.0/24.
    pub const ROUTER: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 1);
    /// The public address of the internal side.
    pub const EXTERNAL: Ipv4Addr = Ipv4Addr::new(20, 1, 1, 1);
    /// A router on the way to the remote hosts, which sends ICMP errors.
    pub const TRANSIT: Ipv4Addr = Ipv4Addr::new(93, 184, 216, 34);
    /// A remote host that is asked for the time.
    pub const TIMEKEEPER: Ipv4Addr = Ipv4Addr::new(52, 239, 2, 1);
    /// The number of internal hosts.
    pub const HOSTS: u8 = 8;
    /// The number of remote hosts.
    pub const REMOTES: u8 = 4;

    /// Returns the n-th internal host.
    #[must_use]
    pub const fn host(n: u8) -> Ipv4Addr {
        Ipv4Addr::new(10, 0, 0, 4 + n % HOSTS)
    }

    /// Returns the n-th remote host.
    #[must_use]
    pub const fn remote(n: u8) -> Ipv4Addr {
        Ipv4Addr::new(52, 239, 1, 1 + n % REMOTES)
    }
}
