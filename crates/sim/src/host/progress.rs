//! What carries a connection on: data between TCP and the application, and how it ended.

use std::io::ErrorKind;

use bytes::{Buf, Bytes};
use smoltcp::socket::tcp::{Socket, State};
use vnetem_nat::Time;

use super::{Connection, ConnectionId, Decide, Host, Status};
use crate::engine::{Conn, Phase};
use crate::service::{Access, Call};
use crate::session::Session;

/// This host's end of a connection: what the owner sees, and what keeps it going.
pub(super) struct End {
    pub(super) connection: Connection,
    /// Until TCP is done with it, which may be long after the owner is (TIME-WAIT).
    pub(super) conn: Option<usize>,
    /// Close as soon as all is sent.
    pub(super) closing: bool,
    pub(super) work: Work,
}

pub(super) enum Work {
    Client { unsent: Bytes },
    Server { session: Session, access: Option<usize> },
}

impl Host {
    pub(super) fn add(&mut self, end: End) -> ConnectionId {
        let id = ConnectionId(self.ends.len());
        if let Some(conn) = end.conn {
            self.owners.insert(conn, id);
        }
        self.ends.push(end);
        self.active.insert(id);
        id
    }

    /// Takes in what the stack has done to a connection, and lets go of it once the stack is done
    /// with it.
    pub(super) fn observe(&mut self, now: Time, conn: usize, ingress: bool) {
        let owner = self.owners.get(&conn).copied().or_else(|| self.accept(now, conn));
        let Some(id) = owner else { return };
        let Self { ends, stack, owners, paces, active, .. } = self;
        let Some(end) = ends.get_mut(id.0) else { return };
        if ingress {
            active.insert(id);
        }
        let Some(state) = stack.conn(conn) else { return };
        end.observe(now, state);
        let socket = state.socket();
        // A socket that was closed but still has a remote end has a reset to send.
        let done = matches!(socket.state(), State::Closed | State::Listen)
            && socket.remote_endpoint().is_none();
        if done {
            end.conn = None;
            stack.remove(conn);
            owners.remove(&conn);
            paces.set(id.0, None);
        }
    }

    /// Lets clients and servers say what they have to say.
    pub(super) fn work(&mut self, now: Time, decide: &mut Decide<'_>) {
        let Self { active, ends, stack, log, paces, .. } = self;
        for id in core::mem::take(active) {
            let Some(end) = ends.get_mut(id.0) else { continue };
            let Some(conn) = end.conn else { continue };
            let Some(state) = stack.conn(conn) else { continue };
            end.act(now, state, log, decide);
            paces.set(id.0, end.next_poll());
            stack.mark_dirty(conn);
        }
    }
}

impl End {
    pub(super) fn new(connection: Connection, conn: usize, work: Work) -> Self {
        Self { connection, conn: Some(conn), closing: false, work }
    }

    pub(super) fn next_poll(&self) -> Option<Time> {
        match &self.work {
            Work::Server { session, .. } if !self.connection.status.is_over() => {
                session.next_poll()
            }
            _ => None,
        }
    }

    /// Takes what has come, and notes how the connection stands.
    fn observe(&mut self, now: Time, conn: &mut Conn) {
        if let Work::Client { .. } = self.work {
            let mut take = || {
                conn.socket().recv(|bytes| {
                    self.connection.receive(bytes);
                    (bytes.len(), bytes.len())
                })
            };
            while take().is_ok_and(|count| count > 0) {}
        }
        match conn.phase {
            Phase::Connecting => {}
            Phase::Dead(ErrorKind::ConnectionRefused) => {
                self.connection.turn(now, Status::Refused);
            }
            Phase::Dead(ErrorKind::TimedOut) => self.connection.turn(now, Status::TimedOut),
            Phase::Dead(_) => self.connection.turn(now, Status::Reset),
            Phase::Open => {
                self.connection.turn(now, Status::Open);
                if matches!(
                    conn.socket().state(),
                    State::CloseWait | State::Closing | State::LastAck | State::TimeWait
                ) {
                    self.other_end_closed(now);
                }
            }
        }
    }

    fn other_end_closed(&mut self, now: Time) {
        match &mut self.work {
            Work::Client { .. } => {
                self.connection.turn(now, Status::Finished);
                self.closing = true;
            }
            Work::Server { session, .. } => {
                session.end_input();
                if session.is_finished() {
                    self.connection.turn(now, Status::Finished);
                }
            }
        }
    }

    fn act(&mut self, now: Time, conn: &mut Conn, log: &mut Vec<Access>, decide: &mut Decide<'_>) {
        let connection = &mut self.connection;
        let socket = conn.socket();
        match &mut self.work {
            Work::Client { unsent } => {
                let count = socket.send_slice(unsent).unwrap_or(0);
                unsent.advance(count);
                connection.sent += u64::try_from(count).unwrap_or(u64::MAX);
                let open = !matches!(socket.state(), State::SynSent);
                // What the other end, having closed, will not read is not waited for.
                if self.closing && open && (unsent.is_empty() || connection.status.is_over()) {
                    socket.close();
                }
            }
            Work::Server { session, access } => {
                serve(now, connection, session, access, socket, log, decide);
                if session.is_finished() || self.closing {
                    socket.close();
                }
            }
        }
    }
}

/// Reads, decides and answers, as far as window and pace allow.
fn serve(
    now: Time,
    connection: &mut Connection,
    session: &mut Session,
    access: &mut Option<usize>,
    socket: &mut Socket<'_>,
    log: &mut Vec<Access>,
    decide: &mut Decide<'_>,
) {
    loop {
        let mut progress = 0;
        while session.takes_input() {
            let received = socket.recv(|bytes| {
                connection.receive(bytes);
                session.receive(bytes);
                (bytes.len(), bytes.len())
            });
            match received {
                Ok(count @ 1..) => progress += count,
                _ => break,
            }
        }
        if let Some(question) = session.next_question(now) {
            let call = Call {
                time: now,
                client: connection.remote,
                server: connection.local,
                app: session.app(),
                host: question.host.clone(),
                target: question.target.clone(),
            };
            let answer = decide(&call);
            let status = session.answer(now, &question, &answer);
            let code = answer.refusal.map(|refusal| refusal.code);
            *access = Some(log.len());
            log.push(Access { call, identity: answer.identity, status, code, bytes: 0 });
            progress += 1;
        }
        let sent = socket.send(|buffer| {
            let count = session.fill(now, buffer);
            (count, count)
        });
        let sent = sent.unwrap_or(0);
        progress += sent;
        connection.sent += u64::try_from(sent).unwrap_or(u64::MAX);
        if let Some(access) = access.and_then(|index| log.get_mut(index)) {
            access.bytes += session.take_body_count();
        }
        if progress == 0 {
            return;
        }
    }
}
