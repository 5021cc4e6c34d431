//! Calling others.

use core::net::SocketAddrV4;

use std::io::ErrorKind;

use bytes::Bytes;
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
        let made = self.stack.connect(remote, local_port).map_err(|error| {
            let port = local_port.unwrap_or(Self::FIRST_PORT);
            let local = SocketAddrV4::new(self.settings.address, port);
            match error.kind() {
                ErrorKind::AddrInUse | ErrorKind::AddrNotAvailable => {
                    ConnectError::InUse { local, remote }
                }
                _ => ConnectError::Unaddressable { local, remote },
            }
        })?;
        let local = self.stack.conn(made).map_or(remote, |conn| conn.key.1);
        let connection = Connection::new(Role::Client, local, remote, now);
        Ok(self.add(End::new(connection, made, Work::Client { unsent: request })))
    }

    /// Sends more on a connection that this host opened; does nothing on one that is over or was
    /// accepted.
    pub fn send(&mut self, id: ConnectionId, bytes: &[u8]) {
        if let Some(End { work: Work::Client { unsent }, .. }) = self.ends.get_mut(id.0) {
            *unsent = [unsent, bytes].concat().into();
            self.active.insert(id);
        }
    }

    /// Closes this end once it is open and everything is sent; what the other end sends is still
    /// taken.
    pub fn close(&mut self, id: ConnectionId) {
        if let Some(end) = self.ends.get_mut(id.0) {
            end.closing = true;
            self.active.insert(id);
        }
    }

    /// Gives a connection up at once, with a reset to the other end.
    pub fn abort(&mut self, now: Time, id: ConnectionId) {
        let Some(end) = self.ends.get_mut(id.0) else { return };
        end.connection.turn(now, Status::Aborted);
        let Some(conn) = end.conn else { return };
        if let Some(conn) = self.stack.conn(conn) {
            conn.socket().abort();
        }
        self.stack.mark_dirty(conn);
    }

    /// Returns a connection of this host, opened or accepted.
    #[must_use]
    pub fn connection(&self, id: ConnectionId) -> Option<&Connection> {
        self.ends.get(id.0).map(|end| &end.connection)
    }

    /// Returns all connections of this host, in the order in which they were opened or accepted;
    /// those that are over, too.
    pub fn connections(&self) -> impl Iterator<Item = (ConnectionId, &Connection)> {
        let ends = self.ends.iter().enumerate();
        ends.map(|(index, end)| (ConnectionId(index), &end.connection))
    }
}
