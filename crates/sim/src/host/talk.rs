//! Ping and datagrams: what has no connection.

use core::net::SocketAddrV4;
use std::collections::BTreeMap;

use smoltcp::iface::{SocketHandle, SocketSet};
use smoltcp::phy::ChecksumCapabilities;
use smoltcp::socket::{icmp, udp};
use smoltcp::wire::{Icmpv4Packet, Icmpv4Repr, IpAddress, IpEndpoint};

use super::Host;

/// Datagrams that wait in a socket, in each direction.
const QUEUE: usize = 16;
/// Bytes that wait in a socket, in each direction.
const QUEUE_BYTES: usize = 32_768;

/// How many messages went out and how many answers came back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Exchange {
    /// Messages handed to the stack.
    pub sent: u64,
    /// Messages received.
    pub received: u64,
}

/// The sockets for it.
#[derive(Debug, Default)]
pub(super) struct Talks {
    /// By identifier.
    pings: BTreeMap<u16, Talk>,
    /// By local port.
    datagrams: BTreeMap<u16, Talk>,
    /// By local port.
    echoes: BTreeMap<u16, SocketHandle>,
}

#[derive(Clone, Copy, Debug)]
struct Talk {
    handle: SocketHandle,
    exchange: Exchange,
}

impl Host {
    /// Sends an ICMP echo request; any host answers it. Whether it went out is said: not if too
    /// many wait for [`poll`](Self::poll).
    pub fn ping(&mut self, remote: core::net::Ipv4Addr, identifier: u16, sequence: u16) -> bool {
        let Self { talks, stack, .. } = self;
        let sockets = stack.others();
        let talk = talks.pings.entry(identifier).or_insert_with(|| Talk::ping(sockets, identifier));
        let socket = sockets.get_mut::<icmp::Socket<'_>>(talk.handle);
        let request =
            Icmpv4Repr::EchoRequest { ident: identifier, seq_no: sequence, data: b"vnetem ping" };
        let sent = socket.send(request.buffer_len(), IpAddress::Ipv4(remote)).map(|buffer| {
            let mut packet = Icmpv4Packet::new_unchecked(buffer);
            request.emit(&mut packet, &ChecksumCapabilities::default());
        });
        talk.count(sent.is_ok())
    }

    /// Returns how many echo requests were sent with that identifier, and how many replies came.
    #[must_use]
    pub fn pings(&self, identifier: u16) -> Exchange {
        self.talks.pings.get(&identifier).map(|talk| talk.exchange).unwrap_or_default()
    }

    /// Sends a datagram. Whether it went out is said: not if too many wait for
    /// [`poll`](Self::poll), or from or to port 0.
    pub fn send_datagram(&mut self, local_port: u16, remote: SocketAddrV4, payload: &[u8]) -> bool {
        let Self { talks, stack, .. } = self;
        let sockets = stack.others();
        let talk = talks
            .datagrams
            .entry(local_port)
            .or_insert_with(|| Talk::datagrams(sockets, local_port));
        let socket = sockets.get_mut::<udp::Socket<'_>>(talk.handle);
        let remote = IpEndpoint::new(IpAddress::Ipv4(*remote.ip()), remote.port());
        let sent = socket.send_slice(payload, remote);
        talk.count(sent.is_ok())
    }

    /// Datagrams sent from that local port, and received at it.
    #[must_use]
    pub fn datagrams(&self, local_port: u16) -> Exchange {
        self.talks.datagrams.get(&local_port).map(|talk| talk.exchange).unwrap_or_default()
    }

    /// Sends every datagram that comes to `port` back to where it came from (RFC 862).
    pub fn echo_datagrams(&mut self, port: u16) {
        let Self { talks, stack, .. } = self;
        let sockets = stack.others();
        talks.echoes.entry(port).or_insert_with(|| udp_socket(sockets, port));
    }
}

impl Talks {
    /// Counts what has come, and answers it where that is asked for.
    pub(super) fn work(&mut self, sockets: &mut SocketSet<'static>) {
        for talk in self.pings.values_mut() {
            let socket = sockets.get_mut::<icmp::Socket<'_>>(talk.handle);
            while let Ok((message, _)) = socket.recv() {
                // The socket is also given errors about its requests.
                let reply = Icmpv4Packet::new_checked(message).is_ok_and(|packet| {
                    packet.msg_type() == smoltcp::wire::Icmpv4Message::EchoReply
                });
                talk.exchange.received += u64::from(reply);
            }
        }
        for talk in self.datagrams.values_mut() {
            let socket = sockets.get_mut::<udp::Socket<'_>>(talk.handle);
            while socket.recv().is_ok() {
                talk.exchange.received += 1;
            }
        }
        for handle in self.echoes.values() {
            let socket = sockets.get_mut::<udp::Socket<'_>>(*handle);
            while socket.can_send()
                && let Ok((payload, from)) =
                    socket.recv().map(|(bytes, from)| (bytes.to_vec(), from))
            {
                // With no room for the answer the datagram is lost, as datagrams may be.
                let _ = socket.send_slice(&payload, from);
            }
        }
    }
}

impl Talk {
    fn ping(sockets: &mut SocketSet<'_>, identifier: u16) -> Self {
        let buffer =
            || icmp::PacketBuffer::new(vec![icmp::PacketMetadata::EMPTY; QUEUE], vec![0; 2048]);
        let mut socket = icmp::Socket::new(buffer(), buffer());
        // A fresh socket can be bound to any identifier.
        let _ = socket.bind(icmp::Endpoint::Ident(identifier));
        Self { handle: sockets.add(socket), exchange: Exchange::default() }
    }

    fn datagrams(sockets: &mut SocketSet<'_>, port: u16) -> Self {
        Self { handle: udp_socket(sockets, port), exchange: Exchange::default() }
    }

    fn count(&mut self, sent: bool) -> bool {
        self.exchange.sent += u64::from(sent);
        sent
    }
}

fn udp_socket(sockets: &mut SocketSet<'_>, port: u16) -> SocketHandle {
    let buffer =
        || udp::PacketBuffer::new(vec![udp::PacketMetadata::EMPTY; QUEUE], vec![0; QUEUE_BYTES]);
    let mut socket = udp::Socket::new(buffer(), buffer());
    // Only port 0 is refused, and then every send is.
    let _ = socket.bind(port);
    sockets.add(socket)
}
