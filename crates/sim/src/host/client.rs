//! Calling others.

use core::net::SocketAddrV4;

use bytes::Bytes;
use smoltcp::socket::tcp;
use smoltcp::wire::{IpAddress, IpEndpoint};
use thiserror::Error;
use vnetem_nat::Time;

use super::progress::{End, Work};
use super::{Connection, ConnectionId, Host, Role, Status};

/// Why a host cannot call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum ConnectError {
    /// Nobody calls port 0 or 0.0.0.0, or calls from port 0.
    #[error("no connection from {local} to {remote} can be made")]
    Unaddressable {
        /// This end.
        local: SocketAddrV4,
        /// The other end.
        remote: SocketAddrV4,
    },
    /// This host has such a connection already.
    #[error("a connection from {local} to {remote} is still there")]
    InUse {
        /// This end.
        local: SocketAddrV4,
        /// The other end.
        remote: SocketAddrV4,
    },
}

impl Host {
    /// First local port of calls that do not name theirs.
    pub const FIRST_PORT: u16 = 49152;

    /// Calls `remote` and sends `request` once the connection is open. Without a local port the
    /// next free one is taken.
    ///
    /// # Errors
    ///
    /// [`ConnectError`] if an end is no end, or is taken.
    pub fn connect(
        &mut self,
        now: Time,
        remote: SocketAddrV4,
        request: Bytes,
        local_port: Option<u16>,
    ) -> Result<ConnectionId, ConnectError> {
        let port = local_port.unwrap_or_else(|| self.free_port(remote));
        let local = SocketAddrV4::new(self.settings.address, port);
        if self.live_connection(local, remote).is_some() {
            return Err(ConnectError::InUse { local, remote });
        }
        let mut socket = self.settings.socket();
        socket
            .connect(self.interface.context(), endpoint(remote), endpoint(local))
            .map_err(|_| ConnectError::Unaddressable { local, remote })?;
        let handle = self.sockets.add(socket);
        let connection = Connection::new(Role::Client, local, remote, now);
        Ok(self.add(End::new(connection, handle, Work::Client { unsent: request })))
    }

    /// Sends more on a connection that this host opened; does nothing on one that is over or was
    /// accepted.
    pub fn send(&mut self, id: ConnectionId, bytes: &[u8]) {
        if let Some(End { work: Work::Client { unsent }, .. }) = self.ends.get_mut(id.0) {
            *unsent = [unsent, bytes].concat().into();
        }
    }

    /// Closes this end once it is open and everything is sent; what the other end sends is still
    /// taken.
    pub fn close(&mut self, id: ConnectionId) {
        if let Some(end) = self.ends.get_mut(id.0) {
            end.closing = true;
        }
    }

    /// Gives a connection up at once, with a reset to the other end.
    pub fn abort(&mut self, now: Time, id: ConnectionId) {
        let Some(end) = self.ends.get_mut(id.0) else { return };
        if let Some(handle) = end.handle {
            self.sockets.get_mut::<tcp::Socket<'_>>(handle).abort();
        }
        end.connection.turn(now, Status::Aborted);
    }

    /// A connection of this host, opened or accepted.
    #[must_use]
    pub fn connection(&self, id: ConnectionId) -> Option<&Connection> {
        self.ends.get(id.0).map(|end| &end.connection)
    }

    /// All connections of this host, in the order in which they were opened or accepted; those that
    /// are over, too.
    pub fn connections(&self) -> impl Iterator<Item = (ConnectionId, &Connection)> {
        let ends = self.ends.iter().enumerate();
        ends.map(|(index, end)| (ConnectionId(index), &end.connection))
    }

    /// The next port without a connection to `remote`; the last one tried if there is none.
    fn free_port(&mut self, remote: SocketAddrV4) -> u16 {
        let mut port = self.next_port;
        for _ in Self::FIRST_PORT..=u16::MAX {
            port = self.next_port;
            self.next_port = port.checked_add(1).unwrap_or(Self::FIRST_PORT);
            let local = SocketAddrV4::new(self.settings.address, port);
            if self.live_connection(local, remote).is_none() {
                break;
            }
        }
        port
    }
}

fn endpoint(address: SocketAddrV4) -> IpEndpoint {
    IpEndpoint::new(IpAddress::Ipv4(*address.ip()), address.port())
}
