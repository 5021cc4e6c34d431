//! What carries a connection on: data between TCP and the application, and how it ended.

use core::net::SocketAddrV4;

use bytes::{Buf, Bytes};
use smoltcp::iface::SocketHandle;
use smoltcp::socket::tcp::{Socket, State};
use vnetem_nat::Time;

use super::{Connection, ConnectionId, Decide, Host, Role, Status};
use crate::service::{Access, Call};
use crate::session::Session;

/// This host's end of a connection: what the owner sees, and what keeps it going.
pub(super) struct End {
    pub(super) connection: Connection,
    /// Until TCP is done with it, which may be long after the owner is (TIME-WAIT).
    pub(super) handle: Option<SocketHandle>,
    /// Close as soon as all is sent.
    pub(super) closing: bool,
    pub(super) work: Work,
}

pub(super) enum Work {
    Client { unsent: Bytes },
    Server { session: Session, access: Option<usize> },
}

/// What the stack has just done, which tells a reset (a packet came in) from a timeout (none did).
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    Ingress,
    Egress,
}

impl Host {
    pub(super) fn add(&mut self, end: End) -> ConnectionId {
        let id = ConnectionId(self.ends.len());
        self.ends.push(end);
        self.live.push(id);
        id
    }

    /// The connection between these two ends that TCP still knows.
    pub(super) fn live_connection(
        &self,
        local: SocketAddrV4,
        remote: SocketAddrV4,
    ) -> Option<ConnectionId> {
        self.live.iter().copied().find(|id| {
            self.ends
                .get(id.0)
                .is_some_and(|end| end.connection.local == local && end.connection.remote == remote)
        })
    }

    /// Takes in what the stack has done to the connections, and lets go of the sockets that it is
    /// done with.
    pub(super) fn settle(&mut self, now: Time, phase: Phase) {
        let Self { live, ends, sockets, .. } = self;
        let before = live.len();
        live.retain(|id| {
            let Some(end) = ends.get_mut(id.0) else { return false };
            let Some(handle) = end.handle else { return false };
            let socket = sockets.get_mut::<Socket<'_>>(handle);
            end.observe(now, phase, socket);
            // A socket that was closed but still has a remote end has a reset to send.
            let done = matches!(socket.state(), State::Closed | State::Listen)
                && socket.remote_endpoint().is_none();
            if done {
                end.handle = None;
                sockets.remove(handle);
            }
            !done
        });
        if live.len() < before {
            self.replenish();
        }
    }

    /// Lets clients and servers say what they have to say.
    pub(super) fn work(&mut self, now: Time, decide: &mut Decide<'_>) {
        let Self { live, ends, sockets, log, .. } = self;
        for id in live.iter() {
            let Some(end) = ends.get_mut(id.0) else { continue };
            let Some(handle) = end.handle else { continue };
            end.act(now, sockets.get_mut::<Socket<'_>>(handle), log, decide);
        }
    }
}

impl End {
    pub(super) fn new(connection: Connection, handle: SocketHandle, work: Work) -> Self {
        Self { connection, handle: Some(handle), closing: false, work }
    }

    pub(super) fn next_poll(&self) -> Option<Time> {
        match &self.work {
            Work::Server { session, .. } if !self.connection.status.is_over() => {
                session.next_poll()
            }
            _ => None,
        }
    }

    /// Derives the status from the state of the socket.
    ///
    /// smoltcp does not say why a socket is closed. A reset closes it while a packet is taken in, a
    /// timeout while none is; a close that was agreed on has shown the other end's FIN before (a
    /// status that is over stays as it is).
    fn observe(&mut self, now: Time, phase: Phase, socket: &mut Socket<'_>) {
        if let Work::Client { .. } = self.work {
            let mut take = || {
                socket.recv(|bytes| {
                    self.connection.receive(bytes);
                    (bytes.len(), bytes.len())
                })
            };
            while take().is_ok_and(|count| count > 0) {}
        }
        let role = self.connection.role;
        match socket.state() {
            State::SynSent | State::SynReceived => {}
            State::Closed => self.connection.turn(
                now,
                match (phase, role, self.connection.status) {
                    (Phase::Egress, ..) => Status::TimedOut,
                    (Phase::Ingress, Role::Client, Status::Connecting) => Status::Refused,
                    (Phase::Ingress, ..) => Status::Reset,
                },
            ),
            // A reset sends a half-open server back to listening.
            State::Listen => self.connection.turn(now, Status::Reset),
            State::Established | State::FinWait1 | State::FinWait2 => {
                self.connection.turn(now, Status::Open);
            }
            State::CloseWait | State::Closing | State::LastAck | State::TimeWait => {
                self.connection.turn(now, Status::Open);
                self.other_end_closed(now);
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

    fn act(
        &mut self,
        now: Time,
        socket: &mut Socket<'_>,
        log: &mut Vec<Access>,
        decide: &mut Decide<'_>,
    ) {
        let connection = &mut self.connection;
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
