//! Halves of a connection, as those of `tokio::net::tcp`.

use core::net::SocketAddr;
use core::pin::Pin;
use core::task::{Context, Poll};
use std::io;
use std::sync::Arc;

use thiserror::Error;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::TcpStream;

/// The reading half of a [`TcpStream`], borrowed.
#[derive(Debug)]
pub struct ReadHalf<'a>(pub(super) &'a TcpStream);

/// The writing half of a [`TcpStream`], borrowed.
#[derive(Debug)]
pub struct WriteHalf<'a>(pub(super) &'a TcpStream);

/// The reading half of a [`TcpStream`].
#[derive(Debug)]
pub struct OwnedReadHalf(Arc<TcpStream>);

/// The writing half of a [`TcpStream`]; dropping it says that nothing more is written.
#[derive(Debug)]
pub struct OwnedWriteHalf {
    stream: Arc<TcpStream>,
    shuts_down: bool,
}

/// Two halves that are not of one connection.
#[derive(Debug, Error)]
#[error("these halves are not of one connection")]
pub struct ReuniteError(pub OwnedReadHalf, pub OwnedWriteHalf);

impl OwnedReadHalf {
    pub(super) const fn new(stream: Arc<TcpStream>) -> Self {
        Self(stream)
    }

    /// Puts the connection together again.
    ///
    /// # Errors
    ///
    /// The halves are not of one connection.
    pub fn reunite(self, other: OwnedWriteHalf) -> Result<TcpStream, ReuniteError> {
        if !Arc::ptr_eq(&self.0, &other.stream) {
            return Err(ReuniteError(self, other));
        }
        other.forget();
        // Both halves were the only owners.
        Arc::try_unwrap(self.0).map_err(|stream| {
            let halves = (Self(Arc::clone(&stream)), OwnedWriteHalf { stream, shuts_down: true });
            ReuniteError(halves.0, halves.1)
        })
    }
}

impl OwnedWriteHalf {
    pub(super) const fn new(stream: Arc<TcpStream>) -> Self {
        Self { stream, shuts_down: true }
    }

    /// Drops the half and leaves the writing side open.
    pub fn forget(mut self) {
        self.shuts_down = false;
    }
}

impl Drop for OwnedWriteHalf {
    fn drop(&mut self) {
        if self.shuts_down {
            self.stream.shut_down();
        }
    }
}

macro_rules! half {
    ($($type:ty: |$this:ident| $stream:expr;)*) => {$(
        impl $type {
            /// The connection itself.
            fn stream(&self) -> &TcpStream {
                let $this = self;
                $stream
            }

            /// Returns the address and port of this end.
            ///
            /// # Errors
            ///
            /// None; tokio's may fail.
            pub fn local_addr(&self) -> io::Result<SocketAddr> {
                self.stream().local_addr()
            }

            /// Returns the address and port of the other end.
            ///
            /// # Errors
            ///
            /// None; tokio's may fail.
            pub fn peer_addr(&self) -> io::Result<SocketAddr> {
                self.stream().peer_addr()
            }
        }
    )*};
}

macro_rules! reads {
    ($($type:ty),*) => {$(
        impl $type {
            /// Waits until something can be read.
            ///
            /// # Errors
            ///
            /// None; tokio's may fail.
            pub async fn readable(&self) -> io::Result<()> {
                self.stream().readable().await
            }

            /// Reads without taking.
            ///
            /// # Errors
            ///
            /// How the connection ended.
            pub async fn peek(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
                self.stream().peek(buffer).await
            }

            /// Reads what is there.
            ///
            /// # Errors
            ///
            /// `WouldBlock` if nothing is; how the connection ended.
            pub fn try_read(&self, buffer: &mut [u8]) -> io::Result<usize> {
                self.stream().try_read(buffer)
            }
        }

        impl AsyncRead for $type {
            fn poll_read(
                self: Pin<&mut Self>,
                cx: &mut Context<'_>,
                buffer: &mut ReadBuf<'_>,
            ) -> Poll<io::Result<()>> {
                self.stream().poll_read_by(Some(cx.waker()), buffer, false)
            }
        }
    )*};
}

macro_rules! writes {
    ($($type:ty),*) => {$(
        impl $type {
            /// Waits until something can be written.
            ///
            /// # Errors
            ///
            /// None; tokio's may fail.
            pub async fn writable(&self) -> io::Result<()> {
                self.stream().writable().await
            }

            /// Writes as much as there is room for.
            ///
            /// # Errors
            ///
            /// `WouldBlock` if there is none; how the connection ended.
            pub fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
                self.stream().try_write(bytes)
            }
        }

        impl AsyncWrite for $type {
            fn poll_write(
                self: Pin<&mut Self>,
                cx: &mut Context<'_>,
                bytes: &[u8],
            ) -> Poll<io::Result<usize>> {
                self.stream().poll_write_by(Some(cx.waker()), bytes)
            }

            fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
                Poll::Ready(Ok(()))
            }

            fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
                self.stream().shut_down();
                Poll::Ready(Ok(()))
            }
        }
    )*};
}

half! {
    ReadHalf<'_>: |this| this.0;
    WriteHalf<'_>: |this| this.0;
    OwnedReadHalf: |this| &this.0;
    OwnedWriteHalf: |this| &this.stream;
}
reads!(ReadHalf<'_>, OwnedReadHalf);
writes!(WriteHalf<'_>, OwnedWriteHalf);
