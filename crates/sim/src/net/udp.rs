//! Datagrams, as `tokio::net::UdpSocket`.

use core::future::poll_fn;
use core::net::{SocketAddr, SocketAddrV4};
use core::task::{Context, Poll, Waker};
use std::io::{self, ErrorKind};

use tokio::io::ReadBuf;

use super::address::resolve;
use super::{ToAddress, would_block};
use crate::engine::keep;
use crate::simulation::HostHandle;

/// A datagram socket of an emulated host.
///
/// Sending never waits: a datagram that finds no room is lost, as datagrams may be. A connected
/// socket is told of ICMP errors about its datagrams (`ConnectionRefused`, `HostUnreachable`), as
/// in Linux. The longest datagram has 8,164 bytes; longer than the MTU it leaves in fragments.
#[derive(Debug)]
pub struct UdpSocket {
    host: HostHandle,
    port: u16,
}

impl UdpSocket {
    /// Makes a socket at a port of the current host; at any free one with port 0.
    ///
    /// # Errors
    ///
    /// `AddrInUse` if the port has one; the task belongs to no host.
    #[allow(clippy::unused_async, reason = "tokio's is async")]
    pub async fn bind(address: impl ToAddress) -> io::Result<Self> {
        let host = HostHandle::current()?;
        let mut shared = host.live().ok_or(ErrorKind::NetworkDown)?;
        let port = resolve(&shared, host.id(), &address)?.port();
        let port = shared.stack(host.id()).ok_or(ErrorKind::NetworkDown)?.bind(port)?;
        drop(shared);
        Ok(Self { host, port })
    }

    /// Talks to one remote only.
    ///
    /// # Errors
    ///
    /// The name means nothing to the host.
    #[allow(clippy::unused_async, reason = "tokio's is async")]
    pub async fn connect(&self, to: impl ToAddress) -> io::Result<()> {
        let Some(mut shared) = self.host.live() else { return Ok(()) };
        let remote = resolve(&shared, self.host.id(), &to)?;
        if let Some(socket) =
            shared.stack(self.host.id()).and_then(|stack| stack.datagrams(self.port))
        {
            socket.remote = Some(remote);
        }
        Ok(())
    }

    /// Returns the address and port of the socket.
    ///
    /// # Errors
    ///
    /// None; tokio's may fail.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        Ok(SocketAddrV4::new(self.host.address(), self.port).into())
    }

    /// Returns the remote to which [`connect`](Self::connect) bound the socket.
    ///
    /// # Errors
    ///
    /// `NotConnected` if the socket has no single remote.
    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        self.remote().map(SocketAddr::V4)
    }

    /// Sends a datagram.
    ///
    /// # Errors
    ///
    /// `InvalidInput` if it is too long or the remote is none; the name means nothing to the host;
    /// what an ICMP error has said.
    #[allow(clippy::unused_async, reason = "tokio's is async")]
    pub async fn send_to(&self, payload: &[u8], to: impl ToAddress) -> io::Result<usize> {
        let remote = resolve(&self.host.lock(), self.host.id(), &to)?;
        self.try_send_to(payload, remote.into())
    }

    /// Sends a datagram to the one remote.
    ///
    /// # Errors
    ///
    /// As [`send_to`](Self::send_to); `NotConnected` without [`connect`](Self::connect).
    #[allow(clippy::unused_async, reason = "tokio's is async")]
    pub async fn send(&self, payload: &[u8]) -> io::Result<usize> {
        self.try_send(payload)
    }

    /// Works as [`send`](Self::send).
    ///
    /// # Errors
    ///
    /// See there.
    pub fn try_send(&self, payload: &[u8]) -> io::Result<usize> {
        self.try_send_to(payload, self.remote()?.into())
    }

    /// Works as [`send_to`](Self::send_to).
    ///
    /// # Errors
    ///
    /// See there.
    pub fn try_send_to(&self, payload: &[u8], to: SocketAddr) -> io::Result<usize> {
        let SocketAddr::V4(remote) = to else { return Err(super::address::only_ipv4()) };
        let Some(mut shared) = self.host.live() else { return Ok(payload.len()) };
        let stack = shared.stack(self.host.id()).ok_or(ErrorKind::NetworkDown)?;
        let sent = stack.send_datagram(self.port, remote, payload)?;
        shared.schedule_now(self.host.id());
        Ok(sent)
    }

    /// Works as [`send_to`](Self::send_to).
    pub fn poll_send_to(
        &self,
        _: &mut Context<'_>,
        payload: &[u8],
        to: SocketAddr,
    ) -> Poll<io::Result<usize>> {
        Poll::Ready(self.try_send_to(payload, to))
    }

    /// Takes the next datagram. Bytes that the buffer has no room for are lost.
    ///
    /// # Errors
    ///
    /// What an ICMP error has said.
    pub async fn recv_from(&self, buffer: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        poll_fn(|cx| self.poll_receive(Some(cx.waker()), buffer, false)).await
    }

    /// Works as [`recv_from`](Self::recv_from), without the sender.
    ///
    /// # Errors
    ///
    /// See there.
    pub async fn recv(&self, buffer: &mut [u8]) -> io::Result<usize> {
        Ok(self.recv_from(buffer).await?.0)
    }

    /// Works as [`recv_from`](Self::recv_from), without taking the datagram.
    ///
    /// # Errors
    ///
    /// See there.
    pub async fn peek_from(&self, buffer: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        poll_fn(|cx| self.poll_receive(Some(cx.waker()), buffer, true)).await
    }

    /// Takes a datagram that is there.
    ///
    /// # Errors
    ///
    /// `WouldBlock` if none is; what an ICMP error has said.
    pub fn try_recv_from(&self, buffer: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        match self.poll_receive(None, buffer, false) {
            Poll::Ready(result) => result,
            Poll::Pending => Err(would_block()),
        }
    }

    /// Works as [`try_recv_from`](Self::try_recv_from), without the sender.
    ///
    /// # Errors
    ///
    /// See there.
    pub fn try_recv(&self, buffer: &mut [u8]) -> io::Result<usize> {
        Ok(self.try_recv_from(buffer)?.0)
    }

    /// Works as [`recv_from`](Self::recv_from).
    ///
    /// # Errors
    ///
    /// See there.
    pub fn poll_recv_from(
        &self,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<SocketAddr>> {
        let received = self.poll_receive(Some(cx.waker()), buffer.initialize_unfilled(), false);
        received.map_ok(|(count, from)| {
            buffer.advance(count);
            from
        })
    }

    fn poll_receive(
        &self,
        waker: Option<&Waker>,
        buffer: &mut [u8],
        peek: bool,
    ) -> Poll<io::Result<(usize, SocketAddr)>> {
        let Some(mut shared) = self.host.live() else { return Poll::Pending };
        let stack = shared.stack(self.host.id());
        let Some(socket) = stack.and_then(|stack| stack.datagrams(self.port)) else {
            return Poll::Pending;
        };
        match socket.receive(buffer, peek) {
            Ok((count, from)) => Poll::Ready(Ok((count, from.into()))),
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                if let Some(waker) = waker {
                    keep(&mut socket.readers, waker);
                }
                Poll::Pending
            }
            Err(error) => Poll::Ready(Err(error)),
        }
    }

    fn remote(&self) -> io::Result<SocketAddrV4> {
        let mut shared = self.host.lock();
        let stack = shared.stack(self.host.id());
        let remote = stack.and_then(|stack| stack.datagrams(self.port)?.remote);
        remote.ok_or_else(|| ErrorKind::NotConnected.into())
    }
}

impl Drop for UdpSocket {
    fn drop(&mut self) {
        let Some(mut shared) = self.host.live() else { return };
        if std::thread::panicking() {
            shared.note_panic(self.host.id());
        }
        if let Some(stack) = shared.stack(self.host.id()) {
            stack.unbind(self.port);
        }
    }
}
