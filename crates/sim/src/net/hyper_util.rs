//! hyper-util's client on emulated hosts.

use core::future::Future;
use core::pin::Pin;
use core::task::{Context, Poll};
use std::io::{self, ErrorKind};

use hyper::Uri;
use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_util::client::legacy::connect::{Connected, Connection};
use hyper_util::rt::TokioIo;
use tower_service::Service;

use super::TcpStream;
use crate::simulation::HostHandle;

/// Makes connections for hyper-util's client and for tonic's channels.
///
/// The host is that of the code that makes the connector, so that pools and channels work from any
/// task. HTTPS is not spoken: an `https` address is called in plain text, at port 443.
#[derive(Clone, Debug)]
pub struct Connector {
    host: HostHandle,
}

/// Spawns tasks that keep the host of the code that makes the executor.
#[derive(Clone, Debug)]
pub struct Executor {
    host: HostHandle,
}

/// A connection as hyper reads and writes it.
#[derive(Debug)]
pub struct HttpStream(TokioIo<TcpStream>);

impl Connector {
    /// Makes a connector of the current host.
    ///
    /// # Errors
    ///
    /// The task belongs to no host.
    pub fn new() -> io::Result<Self> {
        Ok(Self { host: HostHandle::current()? })
    }
}

impl Service<Uri> for Connector {
    type Response = HttpStream;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<HttpStream>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, to: Uri) -> Self::Future {
        let host = self.host.clone();
        Box::pin(async move {
            let name = to.host().ok_or_else(|| {
                io::Error::new(ErrorKind::InvalidInput, format!("no host in {to}"))
            })?;
            let secure = to.scheme_str() == Some("https");
            let port = to.port_u16().unwrap_or(if secure { 443 } else { 80 });
            let stream = TcpStream::connect_from(&host, (name, port), None).await?;
            stream.set_nodelay(true)?;
            Ok(HttpStream(TokioIo::new(stream)))
        })
    }
}

impl Connection for HttpStream {
    fn connected(&self) -> Connected {
        Connected::new()
    }
}

impl Read for HttpStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, buffer)
    }
}

impl Write for HttpStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }

    fn is_write_vectored(&self) -> bool {
        self.0.is_write_vectored()
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write_vectored(cx, slices)
    }
}

impl Executor {
    /// Makes an executor of the current host.
    ///
    /// # Errors
    ///
    /// The task belongs to no host.
    pub fn new() -> io::Result<Self> {
        Ok(Self { host: HostHandle::current()? })
    }
}

impl<F> hyper::rt::Executor<F> for Executor
where
    F: Future + Send + 'static,
    F::Output: Send,
{
    fn execute(&self, future: F) {
        drop(self.host.spawn(future));
    }
}
