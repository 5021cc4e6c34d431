//! What the stack has to say: data, acknowledgements, retransmissions.

use bytes::Bytes;
use smoltcp::iface::PollResult;
use smoltcp::socket::tcp::State;
use vnetem::Edge;
use vnetem_nat::Time;
use vnetem_packet::Headers;

use super::ingress::drain;
use super::{Phase, Stack, instant, time};

impl Stack {
    /// Lets all that have something to say say it; returns the connections that were looked at.
    ///
    /// Connections take turns, one packet each.
    pub(crate) fn poll(&mut self, now: Time) -> Vec<usize> {
        while let Some(id) = self.timers.pop(now) {
            self.mark_dirty(id);
        }
        self.give_up(now);
        let mut polled = Vec::with_capacity(self.dirty.len());
        let mut turns = core::mem::take(&mut self.dirty);
        while let Some(id) = turns.pop_front() {
            if self.speak(id, now) {
                turns.push_back(id);
            } else {
                self.rest(id, now);
                polled.push(id);
            }
        }
        while let Some(port) = self.dirty_datagrams.pop_front() {
            self.send_datagrams(port, now);
        }
        self.poll_others(now);
        polled
    }

    /// Does all that can be done now, and returns the packets for the network. Packets to the host
    /// itself never leave it.
    pub(crate) fn run(&mut self, now: Time) -> Vec<(Edge, Bytes)> {
        let mut out = Vec::new();
        loop {
            self.poll(now);
            let sent = core::mem::take(&mut self.sent);
            let before = out.len();
            let count = sent.len();
            for (edge, packet) in sent {
                if self.is_own(&packet) {
                    self.receive(now, edge, packet);
                } else {
                    out.push((edge, packet));
                }
            }
            if out.len() - before == count && self.sent.is_empty() {
                return out;
            }
        }
    }

    fn is_own(&self, packet: &[u8]) -> bool {
        let Ok(headers) = Headers::parse(packet) else { return false };
        let to = headers.destination;
        to.is_loopback() || (!self.settings.any_address && to == self.settings.address)
    }

    /// When [`poll`](Self::poll) has something to do if nothing happens before.
    pub(crate) fn next_poll(&mut self, now: Time) -> Option<Time> {
        let busy =
            !self.dirty.is_empty() || !self.dirty_datagrams.is_empty() || !self.sent.is_empty();
        let others = self.interface.poll_at(instant(now), &self.others).map(|at| time(at).max(now));
        if busy { Some(now) } else { self.timers.next().into_iter().chain(others).min() }
    }

    /// Ends connections whose other end has owed an acknowledgement for too long.
    fn give_up(&mut self, now: Time) {
        let patience = self.settings.patience;
        for at in 0..self.dirty.len() {
            let Some(&id) = self.dirty.get(at) else { return };
            let Some(conn) = self.conn(id) else { continue };
            if conn.deadline(now, patience).is_some_and(|due| due <= now) {
                let connecting = conn.phase == Phase::Connecting;
                conn.phase = Phase::Dead(std::io::ErrorKind::TimedOut);
                if connecting {
                    conn.discard();
                } else {
                    conn.socket().abort();
                }
            }
        }
    }

    /// Sends one packet of a connection; whether there was one.
    fn speak(&mut self, id: usize, now: Time) -> bool {
        let Self { interface, wire, conns, .. } = self;
        let Some(Some(conn)) = conns.get_mut(id) else { return false };
        let edge = conn.key.0;
        let spoke = interface.poll_egress(instant(now), wire, &mut conn.set) != PollResult::None;
        drain(interface, wire, now);
        self.collect(edge);
        spoke
    }

    /// Notes how a connection stands when it has nothing more to say, and when it will have.
    fn rest(&mut self, id: usize, now: Time) {
        let patience = self.settings.patience;
        let Self { interface, conns, timers, .. } = self;
        let Some(Some(conn)) = conns.get_mut(id) else { return };
        conn.dirty = false;
        let deadline = conn.deadline(now, patience);
        let next = interface.poll_at(instant(now), &conn.set).map(time);
        timers.set(id, next.into_iter().chain(deadline).min().map(|at| at.max(now)));
        self.observe(id, false);
    }

    /// Takes note of what smoltcp has done to a connection.
    pub(super) fn observe(&mut self, id: usize, ingress: bool) {
        let Self { conns, wakes, listeners, .. } = self;
        let Some(Some(conn)) = conns.get_mut(id) else { return };
        conn.observe(ingress);
        conn.wake(wakes);
        let dead = matches!(conn.phase, Phase::Dead(_));
        if conn.embryo && conn.phase != Phase::Connecting {
            conn.embryo = false;
            conn.orphan = dead;
            if let Some(listener) = listeners.get_mut(&conn.key.1.port()) {
                listener.embryos = listener.embryos.saturating_sub(1);
                if !dead {
                    listener.queue.push_back(id);
                    wakes.append(&mut listener.waiting);
                }
            } else {
                // Nobody serves the port any more.
                conn.orphan = true;
                conn.socket().abort();
            }
        }
        self.remove_if_done(id);
    }

    /// Forgets a connection that has no owner and nothing to say.
    fn remove_if_done(&mut self, id: usize) {
        let Some(conn) = self.conn(id) else { return };
        let (orphan, dirty) = (conn.orphan, conn.dirty);
        let socket = conn.socket();
        let done = matches!(socket.state(), State::Closed | State::Listen)
            && socket.remote_endpoint().is_none();
        if orphan && !dirty && done {
            self.remove(id);
        }
    }

    fn poll_others(&mut self, now: Time) {
        if self.others.iter().next().is_none() {
            return;
        }
        let at = instant(now);
        while self.interface.poll_egress(at, &mut self.wire, &mut self.others) != PollResult::None {
            drain(&mut self.interface, &mut self.wire, now);
        }
        self.collect(self.settings.edge);
    }
}
