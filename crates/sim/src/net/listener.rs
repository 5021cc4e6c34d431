//! Being called, as `tokio::net::TcpListener`; and a socket that is not yet either, as
//! `tokio::net::TcpSocket`.

use core::future::poll_fn;
use core::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use core::task::{Context, Poll};
use std::io::{self, ErrorKind};

use super::address::resolve;
use super::{TcpStream, ToAddress, port_of};
use crate::simulation::HostHandle;

/// Connections that wait to be accepted, and handshakes under way, if nobody says how many.
const BACKLOG: u32 = 1024;

/// A port of an emulated host that is served.
#[derive(Debug)]
pub struct TcpListener {
    host: HostHandle,
    port: u16,
}

impl TcpListener {
    /// Serves a port of the current host, at all its addresses; any free one with port 0.
    ///
    /// # Errors
    ///
    /// `AddrInUse` if it is served already; the task belongs to no host.
    #[allow(clippy::unused_async, reason = "tokio's is async")]
    pub async fn bind(address: impl ToAddress) -> io::Result<Self> {
        let host = HostHandle::current()?;
        let port = resolve(&host.lock(), host.id(), &address)?.port();
        Self::listen(host, port, BACKLOG)
    }

    fn listen(host: HostHandle, port: u16, backlog: u32) -> io::Result<Self> {
        let mut shared = host.live().ok_or(ErrorKind::NetworkDown)?;
        let stack = shared.stack(host.id()).ok_or(ErrorKind::NetworkDown)?;
        let port = stack.listen(port, usize::try_from(backlog).unwrap_or(usize::MAX))?;
        drop(shared);
        Ok(Self { host, port })
    }

    /// Returns the address and port at which it listens.
    ///
    /// # Errors
    ///
    /// None; tokio's may fail.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        Ok(SocketAddrV4::new(self.host.address(), self.port).into())
    }

    /// Takes the next connection.
    ///
    /// # Errors
    ///
    /// None that a listener of one's own can meet.
    pub async fn accept(&self) -> io::Result<(TcpStream, SocketAddr)> {
        poll_fn(|cx| self.poll_accept(cx)).await
    }

    /// Works as [`accept`](Self::accept).
    ///
    /// # Errors
    ///
    /// None that a listener of one's own can meet.
    pub fn poll_accept(&self, cx: &mut Context<'_>) -> Poll<io::Result<(TcpStream, SocketAddr)>> {
        let Some(mut shared) = self.host.live() else { return Poll::Pending };
        let Some(stack) = shared.stack(self.host.id()) else { return Poll::Pending };
        loop {
            let Some(id) = stack.accept(self.port, cx.waker())? else { return Poll::Pending };
            let Some(conn) = stack.conn(id) else { continue };
            let (_, local, remote) = conn.key;
            drop(shared);
            let stream = TcpStream::accepted(self.host.clone(), id, local, remote);
            return Poll::Ready(Ok((stream, remote.into())));
        }
    }
}

impl Drop for TcpListener {
    fn drop(&mut self) {
        let Some(mut shared) = self.host.live() else { return };
        if std::thread::panicking() {
            shared.note_panic(self.host.id());
        }
        if let Some(stack) = shared.stack(self.host.id()) {
            stack.unlisten(self.port);
        }
        shared.schedule_now(self.host.id());
    }
}

/// A TCP socket that neither calls nor listens yet.
#[derive(Debug)]
pub struct TcpSocket {
    host: HostHandle,
    port: Option<u16>,
}

impl TcpSocket {
    /// Returns a socket of the current host.
    ///
    /// # Errors
    ///
    /// The task belongs to no host.
    pub fn new_v4() -> io::Result<Self> {
        Ok(Self { host: HostHandle::current()?, port: None })
    }

    /// Chooses the local port; any free one with port 0.
    ///
    /// # Errors
    ///
    /// The address is no IPv4 address.
    pub fn bind(&mut self, address: SocketAddr) -> io::Result<()> {
        self.port = Some(port_of(address)?).filter(|port| *port != 0);
        Ok(())
    }

    /// Returns the address and port to which it is bound; port 0 if it is not bound to one.
    ///
    /// # Errors
    ///
    /// None; tokio's may fail.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        Ok((Ipv4Addr::UNSPECIFIED, self.port.unwrap_or(0)).into())
    }

    /// Calls a remote.
    ///
    /// # Errors
    ///
    /// See [`TcpStream::connect`]; `AddrInUse` if there is a connection between these two ends.
    pub async fn connect(self, to: SocketAddr) -> io::Result<TcpStream> {
        TcpStream::connect_from(&self.host, to, self.port).await
    }

    /// Serves the port. SYNs beyond the backlog are dropped.
    ///
    /// # Errors
    ///
    /// `AddrInUse` if the port is served already.
    pub fn listen(self, backlog: u32) -> io::Result<TcpListener> {
        TcpListener::listen(self.host, self.port.unwrap_or(0), backlog)
    }
}
