//! Simulates the world around a data plane on virtual time: seeded links, and hosts with a real
//! TCP/IP stack.
//!
//! Nothing here asks a clock or an entropy source. The same seeds and the same calls at the same
//! times give the same bytes.
//!
//! ```
//! use core::net::{Ipv4Addr, SocketAddrV4};
//! use core::time::Duration;
//! use vnetem_sim::{App, Host, HostSettings, Link, LinkSettings, Status, http::Request};
//! use vnetem_nat::Time;
//!
//! fn main() -> Result<(), vnetem_sim::ConnectError> {
//!     let (a, b) = (Ipv4Addr::new(10, 0, 0, 4), Ipv4Addr::new(52, 239, 1, 9));
//!     let mut client = Host::new(HostSettings::new(a, 1));
//!     let mut server = Host::new(HostSettings::new(b, 2));
//!     let lossy = LinkSettings { loss: 100, ..LinkSettings::clean(Duration::from_millis(5)) };
//!     let (mut there, mut back) = (Link::new(lossy, 3), Link::new(lossy, 4));
//!     server.listen(80, App::Http);
//!     let request = Request::get("stdata", "/photo?bytes=50000").write();
//!     let id = client.connect(Time(0), SocketAddrV4::new(b, 80), request, None)?;
//!     for millisecond in 0..60_000 {
//!         let now = Time(millisecond * 1_000_000);
//!         while let Some(packet) = there.poll(now) {
//!             server.receive(packet);
//!         }
//!         while let Some(packet) = back.poll(now) {
//!             client.receive(packet);
//!         }
//!         client.poll(now);
//!         server.poll(now);
//!         while let Some(packet) = client.transmit() {
//!             there.send(now, packet);
//!         }
//!         while let Some(packet) = server.transmit() {
//!             back.send(now, packet);
//!         }
//!     }
//!     let status = client.connection(id).map(|connection| connection.status);
//!     assert_eq!(status, Some(Status::Finished));
//!     Ok(())
//! }
//! ```

mod appliance;
mod blob;
#[cfg_attr(not(feature = "tokio"), allow(dead_code))]
mod engine;
mod host;
pub mod http;
mod link;
#[cfg(feature = "tokio")]
pub mod net;
mod port;
mod service;
mod session;
#[cfg(feature = "tokio")]
mod simulation;
pub mod sql;
pub mod world;

pub use appliance::{Appliance, ApplianceCounters, FlowRecord};
pub use blob::Blob;
pub use host::{
    ConnectError, Connection, ConnectionId, Decide, Exchange, Host, HostCounters, HostSettings,
    Role, Status,
};
pub use link::{Link, LinkCounters, LinkSettings};
#[cfg(feature = "tokio")]
pub use net::{TcpListener, TcpStream, UdpSocket};
pub use port::{Port, Received, Sending};
pub use service::{Access, Answer, App, Call, Refusal};
#[cfg(feature = "tokio")]
pub use simulation::{
    BoxError, Control, HostHandle, Outcome, Place, Scoped, Sim, SimError, SimStats, TcpSettings,
    check_deterministic,
};
pub use world::World;

/// Runs the programs of the project's front page.
#[cfg(all(doctest, feature = "stories"))]
#[doc = include_str!("../../../README.md")]
struct ReadmeOfTheProject;

/// Runs the programs of the guide.
#[cfg(all(doctest, feature = "stories"))]
#[doc = include_str!("../../../docs/guide/embedding.md")]
struct Guide;
