//! Being called.

use vnetem_nat::Time;

use super::progress::{End, Work};
use super::{Connection, ConnectionId, Host, Role};
use crate::service::{Access, App};
use crate::session::Session;

impl Host {
    /// Serves `app` on a port, to any number of clients at once up to
    /// [`HostSettings::serve_limit`](super::HostSettings). A port that is served already stays as
    /// it is; port 0 is none.
    pub fn listen(&mut self, port: u16, app: App) {
        if port != 0 && self.stack.listen(port, usize::MAX).is_ok() {
            self.apps.insert(port, app);
        }
    }

    /// Returns the calls at this host's servers, in order of time.
    #[must_use]
    pub fn access_log(&self) -> &[Access] {
        &self.log
    }

    /// Makes an end of a connection that a client has just opened.
    pub(super) fn accept(&mut self, now: Time, conn: usize) -> Option<ConnectionId> {
        self.stack.claim(conn);
        let (_, local, remote) = self.stack.conn(conn)?.key;
        let session = Session::new(*self.apps.get(&local.port())?);
        let connection = Connection::new(Role::Server, local, remote, now);
        Some(self.add(End::new(connection, conn, Work::Server { session, access: None })))
    }
}
