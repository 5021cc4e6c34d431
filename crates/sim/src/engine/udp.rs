//! Datagram sockets, each found by its port.

use core::net::SocketAddrV4;
use core::task::Waker;
use std::collections::BTreeMap;
use std::io::{self, ErrorKind};

use smoltcp::iface::{PollResult, SocketHandle, SocketSet};
use smoltcp::socket::udp::{PacketBuffer, PacketMetadata, Socket};
use vnetem::Edge;
use vnetem_nat::Time;
use vnetem_packet::Headers;

use super::ingress::drain;
use super::{Stack, address, endpoint, instant};

/// Datagrams that wait in a socket, in each direction.
const QUEUE: usize = 64;
/// Bytes that wait in a socket, in each direction.
const QUEUE_BYTES: usize = 65_536;
/// The longest datagram, which smoltcp sends in fragments if it must.
const LONGEST: usize = 8192 - 28;
/// Callers whose edge is remembered at once.
const CALLERS: usize = 4096;

/// A datagram socket and what its owner waits for.
#[derive(Debug)]
pub(crate) struct Datagrams {
    pub(super) set: SocketSet<'static>,
    handle: SocketHandle,
    /// The peer that it sends to and hears from; any peer if there is none.
    pub(crate) remote: Option<SocketAddrV4>,
    /// By what edge a caller came, where that is not the stack's own.
    callers: BTreeMap<SocketAddrV4, Edge>,
    /// What an ICMP error said, until it is told.
    error: Option<ErrorKind>,
    pub(crate) readers: Vec<Waker>,
}

impl Stack {
    /// Makes a datagram socket; at a free port with port 0.
    ///
    /// # Errors
    ///
    /// `AddrInUse` if the port has one, `AddrNotAvailable` if none is free.
    pub(crate) fn bind(&mut self, port: u16) -> io::Result<u16> {
        let nobody = SocketAddrV4::new(core::net::Ipv4Addr::UNSPECIFIED, 0);
        let port = if port == 0 { self.free_port(self.settings.address, nobody)? } else { port };
        if self.datagrams.contains_key(&port) {
            return Err(ErrorKind::AddrInUse.into());
        }
        let buffer = || PacketBuffer::new(vec![PacketMetadata::EMPTY; QUEUE], vec![0; QUEUE_BYTES]);
        let mut socket = Socket::new(buffer(), buffer());
        socket.bind(port).map_err(|_| ErrorKind::InvalidInput)?;
        let mut set = SocketSet::new(Vec::with_capacity(1));
        let handle = set.add(socket);
        let (remote, callers, error, readers) = (None, BTreeMap::new(), None, Vec::new());
        self.datagrams.insert(port, Datagrams { set, handle, remote, callers, error, readers });
        Ok(port)
    }

    /// Closes a datagram socket.
    pub(crate) fn unbind(&mut self, port: u16) {
        self.datagrams.remove(&port);
    }

    /// A datagram socket.
    pub(crate) fn datagrams(&mut self, port: u16) -> Option<&mut Datagrams> {
        self.datagrams.get_mut(&port)
    }

    /// Sends a datagram. One that finds no room is lost, as datagrams may be.
    ///
    /// # Errors
    ///
    /// `NotConnected` if there is no such socket, `InvalidInput` if the remote is none or the
    /// datagram too long, and what an ICMP error has said.
    pub(crate) fn send_datagram(
        &mut self,
        port: u16,
        remote: SocketAddrV4,
        payload: &[u8],
    ) -> io::Result<usize> {
        let socket = self.datagrams.get_mut(&port).ok_or(ErrorKind::NotConnected)?;
        if let Some(error) = socket.error.take() {
            return Err(error.into());
        }
        if remote.ip().is_unspecified() || remote.port() == 0 {
            return Err(ErrorKind::InvalidInput.into());
        }
        if payload.len() > LONGEST {
            let text = format!("message too long: {} bytes, at most {LONGEST}", payload.len());
            return Err(io::Error::new(ErrorKind::InvalidInput, text));
        }
        let _ = socket.socket().send_slice(payload, endpoint(remote));
        self.dirty_datagrams.push_back(port);
        Ok(payload.len())
    }

    pub(super) fn received_datagram(&mut self, port: u16, edge: Edge, headers: &Headers) {
        let own = self.settings.edge;
        let Some(socket) = self.datagrams.get_mut(&port) else { return };
        let caller = SocketAddrV4::new(headers.source, headers.source_port);
        // A later fragment has no port; its first one has told the caller.
        if headers.source_port != 0 {
            if edge == own {
                socket.callers.remove(&caller);
            } else {
                if socket.callers.len() >= CALLERS {
                    socket.callers.pop_first();
                }
                socket.callers.insert(caller, edge);
            }
        }
        self.wakes.append(&mut socket.readers);
    }

    /// Tells a socket that talks to one remote what became of a datagram (RFC 1122 4.1.3.3).
    pub(super) fn refuse_datagrams(&mut self, port: u16, remote: SocketAddrV4, kind: ErrorKind) {
        let Some(socket) = self.datagrams.get_mut(&port) else { return };
        if socket.remote == Some(remote) {
            socket.error = Some(kind);
            self.wakes.append(&mut socket.readers);
        }
    }

    pub(super) fn send_datagrams(&mut self, port: u16, now: Time) {
        let Self { interface, wire, datagrams, sent, settings, .. } = self;
        let Some(socket) = datagrams.get_mut(&port) else { return };
        while interface.poll_egress(instant(now), wire, &mut socket.set) != PollResult::None {
            drain(interface, wire, now);
        }
        let mut edge = settings.edge;
        for packet in wire.sent.drain(..) {
            // Later fragments go where the first one went.
            if let Ok(headers) = Headers::parse(&packet)
                && headers.destination_port != 0
            {
                let caller = headers.tuple().destination;
                edge = socket.callers.get(&caller).copied().unwrap_or(settings.edge);
            }
            sent.push_back((edge, packet));
        }
    }
}

impl Datagrams {
    /// Takes the oldest datagram, or what an ICMP error said; `WouldBlock` if there is neither.
    ///
    /// # Errors
    ///
    /// See above. Bytes that the buffer has no room for are lost.
    pub(crate) fn receive(
        &mut self,
        buffer: &mut [u8],
        peek: bool,
    ) -> io::Result<(usize, SocketAddrV4)> {
        if let Some(error) = self.error.take() {
            return Err(error.into());
        }
        let only = self.remote;
        let socket = self.socket();
        while let Ok((payload, from)) =
            socket.peek().map(|(payload, meta)| (payload, address(meta.endpoint)))
        {
            let wanted = only.is_none_or(|only| only == from);
            let count = payload.len().min(buffer.len());
            if wanted {
                buffer.iter_mut().zip(payload).for_each(|(to, byte)| *to = *byte);
            }
            if !(wanted && peek) {
                let _ = socket.recv();
            }
            if wanted {
                return Ok((count, from));
            }
        }
        Err(ErrorKind::WouldBlock.into())
    }

    fn socket(&mut self) -> &mut Socket<'static> {
        self.set.get_mut(self.handle)
    }
}
