//! axum's servers on emulated hosts.

use core::net::SocketAddr;
use std::io;

use axum::extract::connect_info::Connected;
use axum::serve::{IncomingStream, Listener};
use vnetem::authz::Arrival;

use super::{TcpListener, TcpStream};

/// The caller of a request, for `into_make_service_with_connect_info::<Caller>()`.
#[derive(Clone, Debug)]
pub struct Caller {
    /// The caller as the server sees it.
    pub address: SocketAddr,
    /// By what path the caller came, and under which identity.
    pub arrival: Option<Arrival>,
}

impl Listener for TcpListener {
    type Io = TcpStream;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (TcpStream, SocketAddr) {
        match Self::accept(self).await {
            Ok(accepted) => accepted,
            // The listener is open, so that accepting never fails.
            Err(_) => core::future::pending().await,
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        Self::local_addr(self)
    }
}

impl Connected<IncomingStream<'_, TcpListener>> for Caller {
    fn connect_info(stream: IncomingStream<'_, TcpListener>) -> Self {
        Self { address: *stream.remote_addr(), arrival: stream.io().arrival() }
    }
}
