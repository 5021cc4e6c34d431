//! Packets that arrive: found by key, taken in by smoltcp.

use core::net::{Ipv4Addr, SocketAddrV4};
use std::io::ErrorKind;

use bytes::Bytes;
use smoltcp::iface::Interface;
use smoltcp::socket::tcp::State;
use smoltcp::wire::{IpAddress, IpListenEndpoint};
use vnetem::Edge;
use vnetem_nat::Time;
use vnetem_packet::{Fragment, Headers, Protocol, Quote, TcpFlags, TcpSegment, Transport};

use super::{Conn, Key, Phase, Stack, instant};
use crate::Port;

/// What fragments of one datagram have in common (RFC 791).
pub(super) type FragmentOf = (Ipv4Addr, Ipv4Addr, Protocol, u16);

/// Datagrams whose later fragments are remembered at once.
const FRAGMENTED: usize = 64;

/// Whose packet it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Target {
    Connection(usize),
    Datagrams(u16),
    /// The stack itself: pings, resets of unknown segments.
    Others,
    /// Nobody's: it is not taken in.
    Nobody,
}

impl Stack {
    /// Takes in a packet that left the network by `edge`, and returns the connection to which it
    /// belonged. What is said in answer at once is found by [`transmit`](Stack::transmit); all else
    /// by the next poll.
    pub(crate) fn receive(&mut self, now: Time, edge: Edge, packet: Bytes) -> Option<usize> {
        let Ok(headers) = Headers::parse(&packet) else {
            self.take_in(now, edge, packet, Target::Others);
            return None;
        };
        let packet = self.hand_to_transit(headers.destination, packet)?;
        let target = self.target(edge, &headers, &packet);
        self.take_in(now, edge, packet, target);
        match target {
            Target::Connection(id) => {
                self.observe(id, true);
                self.mark_dirty(id);
                Some(id)
            }
            Target::Datagrams(port) => {
                self.received_datagram(port, edge, &headers);
                None
            }
            Target::Others | Target::Nobody => None,
        }
    }

    fn target(&mut self, edge: Edge, headers: &Headers, packet: &[u8]) -> Target {
        let of = (headers.source, headers.destination, headers.protocol, headers.identification);
        if let Fragment::Later { .. } = headers.fragment {
            let known = self.fragments.iter().find(|(key, _)| *key == of);
            return known.map_or(Target::Others, |(_, target)| *target);
        }
        let target = match headers.transport {
            Transport::Tcp(segment) => self.segment(edge, headers, segment),
            Transport::Udp if self.datagrams.contains_key(&headers.destination_port) => {
                Target::Datagrams(headers.destination_port)
            }
            Transport::IcmpError => {
                self.icmp_error(edge, headers, packet);
                Target::Others
            }
            _ => Target::Others,
        };
        if headers.fragment == Fragment::First {
            self.fragments.retain(|(key, _)| *key != of);
            self.fragments.push_back((of, target));
            if self.fragments.len() > FRAGMENTED {
                self.fragments.pop_front();
            }
        }
        target
    }

    /// Finds or makes the connection of a segment.
    fn segment(&mut self, edge: Edge, headers: &Headers, segment: TcpSegment) -> Target {
        let tuple = headers.tuple();
        let key = (edge, tuple.destination, tuple.source);
        let opening = segment.flags.0 & (TcpFlags::SYN.0 | TcpFlags::ACK.0 | TcpFlags::RST.0)
            == TcpFlags::SYN.0;
        let Some(id) = self.find(&key) else {
            return if opening { self.embryo(key) } else { Target::Others };
        };
        let Some(conn) = self.conn(id) else { return Target::Others };
        // A new connection takes the place of one that only waits out its TIME-WAIT (RFC 9293
        // 3.10.7.4).
        let state = conn.socket().state();
        let over = matches!(state, State::TimeWait | State::Closed);
        if !opening || !conn.accepted || !over {
            return Target::Connection(id);
        }
        if conn.orphan {
            self.remove(id);
        } else {
            self.index.remove(&key);
        }
        self.embryo(key)
    }

    /// Makes a connection of a SYN, if its port is served.
    fn embryo(&mut self, key: Key) -> Target {
        let (full, port) = (self.accepted >= self.settings.serve_limit, key.1.port());
        let Some(listener) = self.listeners.get_mut(&port) else { return Target::Others };
        if full {
            return Target::Others;
        }
        if listener.queue.len() + listener.embryos >= listener.backlog {
            return Target::Nobody;
        }
        listener.embryos += 1;
        let mut socket = self.socket();
        let local = IpListenEndpoint { addr: Some(IpAddress::Ipv4(*key.1.ip())), port };
        // Port 0 is refused, and no listener has it.
        let _ = socket.listen(local);
        Target::Connection(self.insert(Conn::new(socket, key, true)))
    }

    /// An ICMP error about a packet of ours ends a connection that is being opened, as in Linux,
    /// and is told to a socket that talks to one remote (RFC 1122 4.2.3.9, 4.1.3.3).
    fn icmp_error(&mut self, edge: Edge, headers: &Headers, packet: &[u8]) {
        if !self.settings.heeds_icmp {
            return;
        }
        let Some(kind) = unreachable(headers, packet) else { return };
        let Ok(quote) = Quote::parse(packet, headers) else { return };
        let (local, remote) = (quote.tuple().source, quote.tuple().destination);
        match quote.headers.transport {
            Transport::Tcp(_) => self.unreachable(edge, local, remote, kind),
            Transport::Udp => self.refuse_datagrams(local.port(), remote, kind),
            _ => {}
        }
    }

    fn unreachable(
        &mut self,
        edge: Edge,
        local: SocketAddrV4,
        remote: SocketAddrV4,
        kind: ErrorKind,
    ) {
        // The error may come by another edge than the answer would.
        let own = self.settings.edge;
        let id = [edge, own].into_iter().find_map(|edge| self.find(&(edge, local, remote)));
        let Some(id) = id else { return };
        let Some(conn) = self.conn(id) else { return };
        if conn.phase != Phase::Connecting || conn.accepted {
            return;
        }
        conn.phase = Phase::Dead(kind);
        conn.discard();
        self.observe(id, true);
        self.mark_dirty(id);
    }

    /// Lets smoltcp take in one packet.
    fn take_in(&mut self, now: Time, edge: Edge, packet: Bytes, target: Target) {
        let Self { interface, wire, conns, datagrams, others, .. } = self;
        let set = match target {
            Target::Connection(id) => {
                conns.get_mut(id).and_then(Option::as_deref_mut).map(|conn| &mut conn.set)
            }
            Target::Datagrams(port) => datagrams.get_mut(&port).map(|socket| &mut socket.set),
            Target::Others => Some(others),
            Target::Nobody => return,
        };
        let Some(set) = set else { return };
        wire.received.push_back(packet);
        interface.poll_ingress_single(instant(now), wire, set);
        wire.received.clear();
        drain(interface, wire, now);
        self.collect(edge);
    }

    /// What smoltcp has just said leaves by `edge`.
    pub(super) fn collect(&mut self, edge: Edge) {
        self.sent.extend(self.wire.sent.drain(..).map(|packet| (edge, packet)));
    }
}

/// Sends the rest of a datagram that is too long for one packet.
pub(super) fn drain(interface: &mut Interface, wire: &mut Port, now: Time) {
    let at = instant(now);
    let mut nothing = smoltcp::iface::SocketSet::new([]);
    while interface.poll_at(at, &nothing).is_some() {
        let before = wire.sent.len();
        interface.poll_egress(at, wire, &mut nothing);
        if wire.sent.len() == before {
            return;
        }
    }
}

/// What a destination-unreachable message means to a socket, as in Linux.
fn unreachable(headers: &Headers, packet: &[u8]) -> Option<ErrorKind> {
    let at = usize::from(headers.header_length);
    let (&kind, &code) = (packet.get(at)?, packet.get(at + 1)?);
    match (kind, code) {
        (3, 0 | 5 | 6 | 9 | 11) => Some(ErrorKind::NetworkUnreachable),
        (3, 2 | 3) => Some(ErrorKind::ConnectionRefused),
        (3, 1 | 7 | 8 | 10 | 12..=15) => Some(ErrorKind::HostUnreachable),
        _ => None,
    }
}
