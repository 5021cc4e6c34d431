//! One TCP connection: a smoltcp socket in a set of its own.

use core::net::SocketAddrV4;
use core::task::Waker;
use core::time::Duration;
use std::io::ErrorKind;

use smoltcp::iface::{SocketHandle, SocketSet};
use smoltcp::socket::tcp::{Socket, SocketBuffer, State};
use vnetem::Edge;
use vnetem_nat::Time;

/// By what a packet finds its connection: the edge by which it came, this end, the other end.
///
/// The edge keeps networks with equal addresses apart at one front end (S-05).
pub(crate) type Key = (Edge, SocketAddrV4, SocketAddrV4);

/// How a connection stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// The handshake is not over.
    Connecting,
    /// Data may flow in at least one direction, or the close was agreed on.
    Open,
    /// It ended by an error.
    Dead(ErrorKind),
}

/// A connection and what its owner waits for.
#[derive(Debug)]
pub(crate) struct Conn {
    pub(super) set: SocketSet<'static>,
    pub(super) handle: SocketHandle,
    pub(crate) key: Key,
    pub(crate) phase: Phase,
    /// The state that was seen last.
    state: State,
    /// Whether the other end opened it.
    pub(crate) accepted: bool,
    /// Whether the owner has taken the error.
    pub(crate) error_taken: bool,
    /// Whether a listener has still to hand it out.
    pub(super) embryo: bool,
    /// Whether it has no owner any more.
    pub(super) orphan: bool,
    /// Whether it is on the list for the next poll.
    pub(super) dirty: bool,
    pub(crate) reader: Vec<Waker>,
    pub(crate) writer: Vec<Waker>,
    /// With zero it is reset when its owner lets it go.
    pub(crate) linger: Option<Duration>,
    /// Bytes handed to the socket.
    written: u64,
    /// Since when the other end owes an acknowledgement, and how much it had acknowledged then.
    owed: Option<(Time, u64)>,
}

impl Conn {
    pub(super) fn new(socket: Socket<'static>, key: Key, accepted: bool) -> Self {
        let mut set = SocketSet::new(Vec::with_capacity(1));
        let handle = set.add(socket);
        Self {
            set,
            handle,
            key,
            phase: Phase::Connecting,
            state: State::Closed,
            accepted,
            error_taken: false,
            embryo: accepted,
            orphan: false,
            dirty: false,
            reader: Vec::new(),
            writer: Vec::new(),
            linger: None,
            written: 0,
            owed: None,
        }
    }

    /// The socket.
    pub(crate) fn socket(&mut self) -> &mut Socket<'static> {
        self.set.get_mut(self.handle)
    }

    /// Hands bytes to the socket and returns how many it took.
    pub(crate) fn write(&mut self, bytes: &[u8]) -> usize {
        let count = self.socket().send_slice(bytes).unwrap_or(0);
        self.written = self.written.saturating_add(length(count));
        count
    }

    /// Takes the error with which it ended, if the owner has not taken it.
    pub(crate) fn take_error(&mut self) -> Option<std::io::Error> {
        let Phase::Dead(kind) = self.phase else { return None };
        (!core::mem::replace(&mut self.error_taken, true)).then(|| kind.into())
    }

    /// Closes the socket without a word, as a host does that gives up before anybody has answered.
    pub(super) fn discard(&mut self) {
        let nothing = || SocketBuffer::new(Vec::new());
        *self.socket() = Socket::new(nothing(), nothing());
    }

    /// Takes note of what the stack has done. smoltcp does not say why a socket closed: a reset
    /// closes it while a packet is taken in, a timeout while none is.
    pub(super) fn observe(&mut self, ingress: bool) {
        let state = self.socket().state();
        let reset = if self.phase == Phase::Connecting && !self.accepted {
            ErrorKind::ConnectionRefused
        } else {
            ErrorKind::ConnectionReset
        };
        // A close that was agreed on has ended.
        let closed = match self.state {
            State::LastAck | State::Closing => ingress,
            State::TimeWait => true,
            _ => false,
        };
        self.state = state;
        self.phase = match (self.phase, state) {
            (Phase::Dead(kind), _) => Phase::Dead(kind),
            (Phase::Connecting, State::SynSent | State::SynReceived) => Phase::Connecting,
            // A reset sends a half-open server back to listening.
            (Phase::Connecting, State::Listen) => Phase::Dead(reset),
            (Phase::Open, State::Closed) if closed => Phase::Open,
            (_, State::Closed) if ingress => Phase::Dead(reset),
            (_, State::Closed) => Phase::Dead(ErrorKind::TimedOut),
            _ => Phase::Open,
        };
    }

    /// Whether a reader can go on: with data, the end of it, or an error.
    pub(crate) fn is_readable(&mut self) -> bool {
        let (phase, socket) = (self.phase, self.socket());
        let over = phase != Phase::Connecting && !socket.may_recv();
        matches!(phase, Phase::Dead(_)) || socket.can_recv() || over
    }

    /// Whether a writer can go on: with room, or an error.
    pub(crate) fn is_writable(&mut self) -> bool {
        let (phase, socket) = (self.phase, self.socket());
        let ready = phase == Phase::Open && (socket.can_send() || !socket.may_send());
        matches!(phase, Phase::Dead(_)) || ready
    }

    /// Moves whoever waits for what there is now to `wakes`.
    pub(super) fn wake(&mut self, wakes: &mut Vec<Waker>) {
        if !self.reader.is_empty() && self.is_readable() {
            wakes.append(&mut self.reader);
        }
        if !self.writer.is_empty() && self.is_writable() {
            wakes.append(&mut self.writer);
        }
    }

    /// Returns when the other end will have owed an acknowledgement for too long. As in Linux,
    /// nothing is given up while nothing is owed.
    pub(super) fn deadline(&mut self, now: Time, patience: Patience) -> Option<Time> {
        let (phase, written) = (self.phase, self.written);
        let socket = self.socket();
        let state = socket.state();
        let unacknowledged = matches!(
            state,
            State::SynSent | State::SynReceived | State::FinWait1 | State::LastAck | State::Closing
        );
        let owes = !matches!(phase, Phase::Dead(_))
            && state != State::Closed
            && (unacknowledged || socket.send_queue() > 0);
        let acknowledged = written.saturating_sub(length(socket.send_queue()));
        self.owed = match (owes, self.owed) {
            (false, _) => None,
            (true, Some((since, before))) if before == acknowledged => Some((since, before)),
            (true, _) => Some((now, acknowledged)),
        };
        let limit = if phase == Phase::Connecting { patience.connect } else { patience.give_up };
        Some(self.owed?.0 + limit?)
    }
}

/// How long a connection waits for an acknowledgement; for ever without.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Patience {
    pub(crate) connect: Option<Duration>,
    pub(crate) give_up: Option<Duration>,
}

fn length(bytes: usize) -> u64 {
    u64::try_from(bytes).unwrap_or(u64::MAX)
}
