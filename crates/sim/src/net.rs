//! Sockets of emulated hosts, in the shapes of `tokio::net`.
//!
//! A socket belongs to the host whose code makes it. After a crash of that host it waits for ever,
//! as code on a host without power does.

mod address;
#[cfg(feature = "axum")]
mod axum;
#[cfg(feature = "hyper-util")]
mod hyper_util;
mod listener;
mod packets;
mod split;
mod stream;
#[cfg(feature = "tonic")]
mod tonic;
mod udp;

use core::net::SocketAddr;
use std::io::{self, ErrorKind};

#[cfg(feature = "axum")]
pub use self::axum::Caller;
#[cfg(feature = "hyper-util")]
pub use self::hyper_util::{Connector, Executor, HttpStream};
#[cfg(feature = "tonic")]
pub use self::tonic::{Incoming, PeerInfo};
pub use address::{ToAddress, lookup_host};
pub use listener::{TcpListener, TcpSocket};
pub use packets::Packets;
pub use split::{OwnedReadHalf, OwnedWriteHalf, ReadHalf, ReuniteError, WriteHalf};
pub use stream::TcpStream;
pub use udp::UdpSocket;

/// What [`TcpStream::ready`] waits for, or found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Readiness {
    /// Data can be read, or the end of it, or an error.
    pub readable: bool,
    /// Data can be written, or an error is there.
    pub writable: bool,
}

fn would_block() -> io::Error {
    ErrorKind::WouldBlock.into()
}

/// The local port that an address asks for.
fn port_of(address: SocketAddr) -> io::Result<u16> {
    match address {
        SocketAddr::V4(address) => Ok(address.port()),
        SocketAddr::V6(address) if address.ip().is_unspecified() => Ok(address.port()),
        SocketAddr::V6(_) => Err(address::only_ipv4()),
    }
}
