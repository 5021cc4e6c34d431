//! Being called.

use core::net::SocketAddrV4;

use smoltcp::iface::SocketHandle;
use smoltcp::socket::tcp;
use smoltcp::wire::{IpAddress, IpEndpoint, IpListenEndpoint};
use vnetem_nat::Time;
use vnetem_packet::{Headers, TcpFlags, Transport};

use super::progress::{End, Work};
use super::{Connection, ConnectionId, Host, Role};
use crate::service::{Access, App};
use crate::session::Session;

/// A port that is served.
pub(super) struct Listener {
    port: u16,
    app: App,
    /// The socket that waits for the next SYN; none while the host serves as many clients as it
    /// may.
    handle: Option<SocketHandle>,
}

impl Host {
    /// Serves `app` on a port, to any number of clients at once up to
    /// [`HostSettings::serve_limit`](super::HostSettings). A port that is served already stays as
    /// it is; port 0 is none.
    pub fn listen(&mut self, port: u16, app: App) {
        if port != 0 && self.listeners.iter().all(|listener| listener.port != port) {
            self.listeners.push(Listener { port, app, handle: None });
            self.replenish();
        }
    }

    /// The calls at this host's servers, in order of time.
    #[must_use]
    pub fn access_log(&self) -> &[Access] {
        &self.log
    }

    /// Makes connections of the listening sockets that a SYN has taken, and puts fresh ones in
    /// their places.
    pub(super) fn accept(&mut self, now: Time) {
        for listener in &mut self.listeners {
            let Some(handle) = listener.handle else { continue };
            let socket = self.sockets.get::<tcp::Socket<'_>>(handle);
            let (Some(local), Some(remote)) = (socket.local_endpoint(), socket.remote_endpoint())
            else {
                continue;
            };
            listener.handle = None;
            let connection = Connection::new(Role::Server, address(local), address(remote), now);
            let session = Session::new(listener.app);
            let id = ConnectionId(self.ends.len());
            self.ends.push(End::new(connection, handle, Work::Server { session, access: None }));
            self.live.push(id);
        }
        self.replenish();
    }

    /// Gives every port a listening socket, as long as one client more may be served.
    pub(super) fn replenish(&mut self) {
        let serving = self.live.iter().filter_map(|id| self.ends.get(id.0));
        let serving = serving.filter(|end| end.connection.role == Role::Server).count();
        if serving >= self.settings.serve_limit {
            // The next SYN finds no socket, which smoltcp answers by a reset.
            for handle in self.listeners.iter_mut().filter_map(|listener| listener.handle.take()) {
                self.sockets.remove(handle);
            }
            return;
        }
        for listener in self.listeners.iter_mut().filter(|listener| listener.handle.is_none()) {
            let mut socket = self.settings.socket();
            if socket.listen(IpListenEndpoint::from(listener.port)).is_ok() {
                listener.handle = Some(self.sockets.add(socket));
            }
        }
    }

    /// Looks at the next packet before smoltcp does, which gives a SYN to whatever socket comes
    /// first in its list: one of a connection that is there already must not open a second one
    /// beside it (a duplicate), unless the old one is only waiting out its TIME-WAIT (RFC 9293
    /// 3.10.7.4, INV-syn-opens-anew).
    pub(super) fn screen(&mut self) {
        while let Some(packet) = self.wire.received.front() {
            let Ok(headers) = Headers::parse(packet) else { return };
            let Transport::Tcp(segment) = headers.transport else { return };
            let opening = segment.flags.contains(TcpFlags::SYN)
                && !segment.flags.contains(TcpFlags::ACK)
                && !segment.flags.contains(TcpFlags::RST);
            let tuple = headers.tuple();
            let Some(id) = self.live_connection(tuple.destination, tuple.source) else { return };
            let Some(end) = self.ends.get_mut(id.0) else { return };
            if !opening || end.connection.role == Role::Client {
                return;
            }
            if !end.connection.status.is_over() {
                self.wire.received.pop_front();
                continue;
            }
            if let Some(handle) = end.handle.take() {
                self.sockets.remove(handle);
            }
            return;
        }
    }
}

/// smoltcp's word for an address and port; IPv4 is the only version compiled in.
fn address(endpoint: IpEndpoint) -> SocketAddrV4 {
    let IpAddress::Ipv4(address) = endpoint.addr;
    SocketAddrV4::new(address, endpoint.port)
}
