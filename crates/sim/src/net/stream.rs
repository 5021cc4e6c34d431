//! A TCP connection, as `tokio::net::TcpStream`.

mod options;

use core::future::poll_fn;
use core::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use core::pin::Pin;
use core::task::{Context, Poll, Waker};
use std::io::{self, ErrorKind, IoSlice};
use std::sync::Arc;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use vnetem::{
    Edge, Identity, ResourceId,
    authz::{Arrival, ServiceAnswer},
};

use super::address::resolve;
use super::split::{OwnedReadHalf, OwnedWriteHalf, ReadHalf, WriteHalf};
use super::{Readiness, ToAddress, would_block};
use crate::engine::{Conn, Phase, keep};
use crate::simulation::HostHandle;

/// A TCP connection of an emulated host.
///
/// A reset shows as `ConnectionReset`, a refused or unreachable remote as `ConnectionRefused` or
/// `HostUnreachable`, and silence as `TimedOut`, as with a socket of the operating system.
#[derive(Debug)]
pub struct TcpStream {
    host: HostHandle,
    id: usize,
    local: SocketAddrV4,
    remote: SocketAddrV4,
}

impl TcpStream {
    /// Calls a remote from the current host.
    ///
    /// # Errors
    ///
    /// See [`TcpStream`]; the name means nothing to the host, or the task belongs to no host.
    pub async fn connect(to: impl ToAddress) -> io::Result<Self> {
        Self::connect_from(&HostHandle::current()?, to, None).await
    }

    pub(super) async fn connect_from(
        host: &HostHandle,
        to: impl ToAddress,
        local_port: Option<u16>,
    ) -> io::Result<Self> {
        let Some(stream) = Self::begin(host, &to, local_port)? else {
            return core::future::pending().await;
        };
        poll_fn(|cx| stream.poll_connected(cx)).await?;
        Ok(stream)
    }

    /// Sends the SYN; `None` if the host has crashed.
    fn begin(
        host: &HostHandle,
        to: &impl ToAddress,
        local_port: Option<u16>,
    ) -> io::Result<Option<Self>> {
        let Some(mut shared) = host.live() else { return Ok(None) };
        let remote = resolve(&shared, host.id(), to)?;
        let stack = shared.stack(host.id()).ok_or(ErrorKind::NetworkDown)?;
        let id = stack.connect(remote, local_port)?;
        let local = stack.conn(id).map_or(remote, |conn| conn.key.1);
        shared.schedule_now(host.id());
        drop(shared);
        Ok(Some(Self { host: host.clone(), id, local, remote }))
    }

    pub(super) fn accepted(
        host: HostHandle,
        id: usize,
        local: SocketAddrV4,
        remote: SocketAddrV4,
    ) -> Self {
        Self { host, id, local, remote }
    }

    fn poll_connected(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_with(|conn| match conn.phase {
            Phase::Connecting => {
                keep(&mut conn.writer, cx.waker());
                Poll::Pending
            }
            Phase::Open => Poll::Ready(Ok(())),
            Phase::Dead(kind) => Poll::Ready(Err(kind.into())),
        })
    }

    /// Returns the address and port of this end.
    ///
    /// # Errors
    ///
    /// None; tokio's may fail.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        Ok(self.local.into())
    }

    /// Returns the address and port of the other end, as this end sees them.
    ///
    /// # Errors
    ///
    /// None; tokio's may fail.
    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        Ok(self.remote.into())
    }

    /// Waits until something can be read or written.
    ///
    /// # Errors
    ///
    /// None; tokio's may fail.
    pub async fn ready(&self, wanted: Readiness) -> io::Result<Readiness> {
        poll_fn(|cx| {
            self.poll_with(|conn| {
                let readable = wanted.readable && conn.is_readable();
                let writable = wanted.writable && conn.is_writable();
                if readable || writable {
                    return Poll::Ready(Ok(Readiness { readable, writable }));
                }
                if wanted.readable {
                    keep(&mut conn.reader, cx.waker());
                }
                if wanted.writable {
                    keep(&mut conn.writer, cx.waker());
                }
                Poll::Pending
            })
        })
        .await
    }

    /// Waits until something can be read.
    ///
    /// # Errors
    ///
    /// None; tokio's may fail.
    pub async fn readable(&self) -> io::Result<()> {
        self.ready(Readiness { readable: true, writable: false }).await.map(drop)
    }

    /// Waits until something can be written.
    ///
    /// # Errors
    ///
    /// None; tokio's may fail.
    pub async fn writable(&self) -> io::Result<()> {
        self.ready(Readiness { readable: false, writable: true }).await.map(drop)
    }

    /// Reads what is there.
    ///
    /// # Errors
    ///
    /// `WouldBlock` if nothing is; how the connection ended.
    pub fn try_read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut buffer = ReadBuf::new(buffer);
        match self.poll_read_by(None, &mut buffer, false) {
            Poll::Ready(result) => result.map(|()| buffer.filled().len()),
            Poll::Pending => Err(would_block()),
        }
    }

    /// Writes as much as there is room for.
    ///
    /// # Errors
    ///
    /// `WouldBlock` if there is none; how the connection ended.
    pub fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
        match self.poll_write_by(None, bytes) {
            Poll::Ready(result) => result,
            Poll::Pending => Err(would_block()),
        }
    }

    /// Reads without taking.
    ///
    /// # Errors
    ///
    /// How the connection ended.
    pub async fn peek(&self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut buffer = ReadBuf::new(buffer);
        poll_fn(|cx| self.poll_read_by(Some(cx.waker()), &mut buffer, true)).await?;
        Ok(buffer.filled().len())
    }

    /// Takes the error with which the connection ended, if nobody has been told.
    ///
    /// # Errors
    ///
    /// None; tokio's may fail.
    pub fn take_error(&self) -> io::Result<Option<io::Error>> {
        Ok(self.with(|conn| (conn.take_error(), false)).flatten())
    }

    /// Returns how the caller came to this server, and under which identity.
    #[must_use]
    pub fn arrival(&self) -> Option<Arrival> {
        let remote: Ipv4Addr = *self.remote.ip();
        self.with(|conn| {
            let arrival = match conn.key.0 {
                Edge::Service { identity: Some(identity), .. } => {
                    Arrival::Tunnel(Identity { address: remote, ..identity })
                }
                Edge::SameRegion { .. } => Arrival::PrivateSameRegion(remote),
                Edge::PrivateEndpoint(_) => Arrival::PrivateEndpoint { approved: true },
                _ => Arrival::Public(remote),
            };
            (arrival, false)
        })
    }

    /// Returns what the service answers to this caller by the rules of a resource; `None` if they
    /// let it in.
    #[must_use]
    pub fn judge(&self, resource: ResourceId) -> Option<ServiceAnswer> {
        let arrival = self.arrival()?;
        let shared = self.host.lock();
        let snapshot = shared.world.data_plane().snapshot();
        let refusal = snapshot.judge(resource, arrival)?.refusal()?;
        snapshot.answer(resource, refusal, arrival)
    }

    /// Splits into halves that borrow.
    pub const fn split(&mut self) -> (ReadHalf<'_>, WriteHalf<'_>) {
        (ReadHalf(self), WriteHalf(self))
    }

    /// Splits into halves of their own; the writing side is shut down when its half is dropped.
    #[must_use]
    pub fn into_split(self) -> (OwnedReadHalf, OwnedWriteHalf) {
        let stream = Arc::new(self);
        (OwnedReadHalf::new(Arc::clone(&stream)), OwnedWriteHalf::new(stream))
    }

    /// Reads; without a waker only what is there.
    pub(super) fn poll_read_by(
        &self,
        waker: Option<&Waker>,
        buffer: &mut ReadBuf<'_>,
        peek: bool,
    ) -> Poll<io::Result<()>> {
        self.poll_touching(|conn| {
            if buffer.remaining() == 0 {
                return (Poll::Ready(Ok(())), false);
            }
            let phase = conn.phase;
            let socket = conn.socket();
            if socket.can_recv() {
                if peek {
                    let bytes = socket.peek(buffer.remaining()).unwrap_or_default();
                    buffer.put_slice(bytes);
                    return (Poll::Ready(Ok(())), false);
                }
                // The ring of bytes may have two parts.
                while buffer.remaining() > 0 && socket.can_recv() {
                    let take = |bytes: &mut [u8]| {
                        let count = bytes.len().min(buffer.remaining());
                        buffer.put_slice(bytes.get(..count).unwrap_or_default());
                        (count, ())
                    };
                    if socket.recv(take).is_err() {
                        break;
                    }
                }
                return (Poll::Ready(Ok(())), true);
            }
            if let Some(error) = conn.take_error() {
                return (Poll::Ready(Err(error)), false);
            }
            if phase != Phase::Connecting && !conn.socket().may_recv() {
                return (Poll::Ready(Ok(())), false);
            }
            if let Some(waker) = waker {
                keep(&mut conn.reader, waker);
            }
            (Poll::Pending, false)
        })
    }

    /// Writes; without a waker only what there is room for.
    pub(super) fn poll_write_by(
        &self,
        waker: Option<&Waker>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.poll_touching(|conn| {
            if let Some(error) = conn.take_error() {
                return (Poll::Ready(Err(error)), false);
            }
            if !conn.socket().may_send() {
                return (Poll::Ready(Err(ErrorKind::BrokenPipe.into())), false);
            }
            let count = conn.write(bytes);
            if count > 0 || bytes.is_empty() {
                return (Poll::Ready(Ok(count)), true);
            }
            if let Some(waker) = waker {
                keep(&mut conn.writer, waker);
            }
            (Poll::Pending, false)
        })
    }

    /// Says that nothing more is written.
    pub(super) fn shut_down(&self) {
        self.with(|conn| (conn.socket().close(), true));
    }

    fn poll_with<R>(
        &self,
        run: impl FnOnce(&mut Conn) -> Poll<io::Result<R>>,
    ) -> Poll<io::Result<R>> {
        self.poll_touching(|conn| (run(conn), false))
    }

    fn poll_touching<R>(
        &self,
        run: impl FnOnce(&mut Conn) -> (Poll<io::Result<R>>, bool),
    ) -> Poll<io::Result<R>> {
        self.with(run).unwrap_or(Poll::Pending)
    }

    /// Does something to the connection, and says whether the stack must look at it; `None` if the
    /// host has crashed.
    fn with<R>(&self, run: impl FnOnce(&mut Conn) -> (R, bool)) -> Option<R> {
        let mut shared = self.host.live()?;
        let stack = shared.stack(self.host.id())?;
        let (result, invalidated) = run(stack.conn(self.id)?);
        if invalidated {
            stack.mark_dirty(self.id);
            shared.schedule_now(self.host.id());
        }
        Some(result)
    }
}

impl AsyncRead for TcpStream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.poll_read_by(Some(cx.waker()), buffer, false)
    }
}

impl AsyncWrite for TcpStream {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.poll_write_by(Some(cx.waker()), bytes)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let mut written = 0;
        for slice in slices.iter().filter(|slice| !slice.is_empty()) {
            match self.poll_write_by((written == 0).then(|| cx.waker()), slice) {
                Poll::Ready(Ok(count)) if count == slice.len() => written += count,
                Poll::Ready(Ok(count)) => return Poll::Ready(Ok(written + count)),
                _ if written > 0 => break,
                other => return other,
            }
        }
        Poll::Ready(Ok(written))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.shut_down();
        Poll::Ready(Ok(()))
    }
}

impl Drop for TcpStream {
    fn drop(&mut self) {
        let Some(mut shared) = self.host.live() else { return };
        if std::thread::panicking() {
            shared.note_panic(self.host.id());
        }
        if let Some(stack) = shared.stack(self.host.id()) {
            stack.release(self.id);
        }
        shared.schedule_now(self.host.id());
    }
}
