//! tonic's servers on emulated hosts; its channels use the connector.

use core::net::SocketAddr;
use core::pin::Pin;
use core::task::{Context, Poll};
use std::io;

use futures_core::Stream;
use tonic::transport::server::Connected;
use vnetem::authz::Arrival;

use super::{TcpListener, TcpStream};

/// The connections of a listener, for `serve_with_incoming`.
#[derive(Debug)]
pub struct Incoming(TcpListener);

/// What a request says of its caller.
#[derive(Clone, Debug)]
pub struct PeerInfo {
    /// The caller as the server sees it.
    pub address: Option<SocketAddr>,
    /// By what path the caller came, and under which identity.
    pub arrival: Option<Arrival>,
}

impl From<TcpListener> for Incoming {
    fn from(listener: TcpListener) -> Self {
        Self(listener)
    }
}

impl Stream for Incoming {
    type Item = io::Result<TcpStream>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.0.poll_accept(cx).map(|accepted| Some(accepted.map(|(stream, _)| stream)))
    }
}

impl Connected for TcpStream {
    type ConnectInfo = PeerInfo;

    fn connect_info(&self) -> PeerInfo {
        PeerInfo { address: self.peer_addr().ok(), arrival: self.arrival() }
    }
}
