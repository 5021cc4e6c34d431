//! The connection engine: the one way to run smoltcp.
//!
//! smoltcp looks through all sockets of a set for each packet. Here every connection has a set of
//! its own, found by its [`Key`], so that a packet costs the same whatever the number of
//! connections.

mod agenda;
mod connection;
mod egress;
mod ingress;
mod transit;
mod udp;

use core::net::{Ipv4Addr, SocketAddrV4};
use core::task::Waker;
use core::time::Duration;
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::hash::{BuildHasherDefault, DefaultHasher};
use std::io;

use bytes::Bytes;
use smoltcp::iface::{Config, Interface, SocketSet};
use smoltcp::socket::tcp::{self, CongestionControl};
use smoltcp::time::Instant;
use smoltcp::wire::{HardwareAddress, IpAddress, IpCidr, IpEndpoint};
use vnetem::Edge;
use vnetem_nat::Time;

pub(crate) use agenda::Agenda;
pub(crate) use connection::{Conn, Key, Patience, Phase};
pub(crate) use udp::Datagrams;

use crate::Port;

/// Keyed by a fixed hash: the same in every run. Never iterated.
pub(crate) type Index<K, V> = HashMap<K, V, BuildHasherDefault<DefaultHasher>>;

/// What a stack is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct StackSettings {
    /// Its address, from which it calls.
    pub(crate) address: Ipv4Addr,
    /// Where its packets enter the network.
    pub(crate) edge: Edge,
    /// Whether it answers at every address, as the front end of a service does.
    pub(crate) any_address: bool,
    /// Seed of its initial sequence numbers.
    pub(crate) seed: u64,
    pub(crate) maximum_transmission_unit: u16,
    /// Bytes that a connection buffers in each direction.
    pub(crate) window: u32,
    pub(crate) keep_alive: Option<Duration>,
    pub(crate) user_timeout: Option<Duration>,
    pub(crate) patience: Patience,
    pub(crate) nagle: bool,
    pub(crate) congestion_control: CongestionControl,
    /// First and last local port of calls that do not name theirs.
    pub(crate) ephemeral: (u16, u16),
    /// Connections that may be accepted at once; one more is refused by a reset.
    pub(crate) serve_limit: usize,
    /// Whether an ICMP error ends a connection that is being opened (RFC 1122 4.2.3.9).
    pub(crate) heeds_icmp: bool,
}

/// The TCP/IP stack of one host: packets in, packets out; time is an argument.
pub(crate) struct Stack {
    pub(super) settings: StackSettings,
    /// Large, and hosts are moved about.
    interface: Box<Interface>,
    wire: Port,
    conns: Vec<Option<Box<Conn>>>,
    free: Vec<usize>,
    index: Index<Key, usize>,
    accepted: usize,
    listeners: BTreeMap<u16, Listener>,
    datagrams: BTreeMap<u16, Datagrams>,
    /// Sockets that are not found by a key: pings, and the datagrams of simple hosts.
    others: SocketSet<'static>,
    transit: Option<transit::Transit>,
    /// Which connection the later fragments of a datagram belong to.
    fragments: VecDeque<(ingress::FragmentOf, ingress::Target)>,
    timers: Agenda,
    dirty: VecDeque<usize>,
    dirty_datagrams: VecDeque<u16>,
    sent: VecDeque<(Edge, Bytes)>,
    wakes: Vec<Waker>,
    next_port: u16,
}

/// A port that is served.
#[derive(Debug, Default)]
struct Listener {
    /// Connections whose handshake is over, oldest first.
    queue: VecDeque<usize>,
    /// Connections whose handshake is not over.
    embryos: usize,
    /// How many of both there may be; the SYN of one more is dropped, as Linux does.
    backlog: usize,
    waiting: Vec<Waker>,
}

impl Stack {
    pub(crate) fn new(settings: StackSettings) -> Self {
        let mut wire = Port::new(settings.maximum_transmission_unit);
        let mut config = Config::new(HardwareAddress::Ip);
        config.random_seed = settings.seed;
        let mut interface = Box::new(Interface::new(config, &mut wire, Instant::ZERO));
        interface.update_ip_addrs(|addresses| {
            // The list is empty and has room for two.
            let _ = addresses.push(IpCidr::new(IpAddress::Ipv4(settings.address), 32));
            let _ = addresses.push(IpCidr::new(IpAddress::Ipv4(Ipv4Addr::LOCALHOST), 8));
        });
        // smoltcp sends nothing without a route; on this medium the gateway's address is not looked
        // at.
        let _ = interface.routes_mut().add_default_ipv4_route(settings.address);
        interface.set_any_ip(settings.any_address);
        Self {
            settings,
            interface,
            wire,
            conns: Vec::new(),
            free: Vec::new(),
            index: Index::default(),
            accepted: 0,
            listeners: BTreeMap::new(),
            datagrams: BTreeMap::new(),
            others: SocketSet::new(Vec::new()),
            transit: None,
            fragments: VecDeque::new(),
            timers: Agenda::default(),
            dirty: VecDeque::new(),
            dirty_datagrams: VecDeque::new(),
            sent: VecDeque::new(),
            wakes: Vec::new(),
            next_port: settings.ephemeral.0,
        }
    }

    /// Opens a connection; without a local port the next free one is taken.
    ///
    /// # Errors
    ///
    /// `AddrNotAvailable` if no local port is free, `AddrInUse` if the given one is taken,
    /// `InvalidInput` if an end is none.
    pub(crate) fn connect(
        &mut self,
        remote: SocketAddrV4,
        local_port: Option<u16>,
    ) -> io::Result<usize> {
        let address = if remote.ip().is_loopback() { *remote.ip() } else { self.settings.address };
        let port = match local_port {
            Some(port) => port,
            None => self.free_port(address, remote)?,
        };
        let key = (self.settings.edge, SocketAddrV4::new(address, port), remote);
        if self.index.contains_key(&key) {
            return Err(io::ErrorKind::AddrInUse.into());
        }
        let mut socket = self.socket();
        socket
            .connect(self.interface.context(), endpoint(remote), endpoint(key.1))
            .map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error.to_string()))?;
        let id = self.insert(Conn::new(socket, key, false));
        self.mark_dirty(id);
        Ok(id)
    }

    /// Serves a port.
    ///
    /// # Errors
    ///
    /// `AddrInUse` if it is served already, `AddrNotAvailable` if port 0 is asked for and none is
    /// free.
    pub(crate) fn listen(&mut self, port: u16, backlog: usize) -> io::Result<u16> {
        let nobody = SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, 0);
        let port = if port == 0 { self.free_port(self.settings.address, nobody)? } else { port };
        if self.listeners.contains_key(&port) {
            return Err(io::ErrorKind::AddrInUse.into());
        }
        self.listeners.insert(port, Listener { backlog, ..Listener::default() });
        Ok(port)
    }

    /// Takes the oldest connection that waits at a port; `Ok(None)` if there is none.
    ///
    /// # Errors
    ///
    /// `NotConnected` if nobody serves the port.
    pub(crate) fn accept(&mut self, port: u16, waker: &Waker) -> io::Result<Option<usize>> {
        let listener = self.listeners.get_mut(&port).ok_or(io::ErrorKind::NotConnected)?;
        if let Some(id) = listener.queue.pop_front() {
            return Ok(Some(id));
        }
        keep(&mut listener.waiting, waker);
        Ok(None)
    }

    /// Stops serving a port: connections that nobody has accepted are reset.
    pub(crate) fn unlisten(&mut self, port: u16) {
        let Some(listener) = self.listeners.remove(&port) else { return };
        for id in listener.queue {
            if let Some(conn) = self.conn(id) {
                conn.socket().abort();
                conn.orphan = true;
            }
            self.mark_dirty(id);
        }
    }

    /// Takes a connection from its listener before its handshake is over.
    pub(crate) fn claim(&mut self, id: usize) {
        let Some(conn) = self.conn(id) else { return };
        let port = conn.key.1.port();
        if core::mem::take(&mut conn.embryo)
            && let Some(listener) = self.listeners.get_mut(&port)
        {
            listener.embryos = listener.embryos.saturating_sub(1);
        }
    }

    /// A connection.
    pub(crate) fn conn(&mut self, id: usize) -> Option<&mut Conn> {
        self.conns.get_mut(id)?.as_deref_mut()
    }

    /// Puts a connection on the list for the next poll.
    pub(crate) fn mark_dirty(&mut self, id: usize) {
        if let Some(Some(conn)) = self.conns.get_mut(id)
            && !conn.dirty
        {
            conn.dirty = true;
            self.dirty.push_back(id);
        }
    }

    /// Lets go of a connection: it is closed, or reset if there is unread data, as Linux does.
    pub(crate) fn release(&mut self, id: usize) {
        let Some(conn) = self.conn(id) else { return };
        conn.orphan = true;
        conn.reader.clear();
        conn.writer.clear();
        if conn.phase == Phase::Connecting {
            conn.discard();
        } else if conn.socket().recv_queue() > 0 || conn.linger == Some(Duration::ZERO) {
            conn.socket().abort();
        } else {
            conn.socket().close();
        }
        self.mark_dirty(id);
    }

    /// Forgets a connection at once.
    pub(crate) fn remove(&mut self, id: usize) {
        let Some(conn) = self.conns.get_mut(id).and_then(Option::take) else { return };
        if self.index.get(&conn.key) == Some(&id) {
            self.index.remove(&conn.key);
        }
        self.accepted -= usize::from(conn.accepted);
        if conn.embryo
            && let Some(listener) = self.listeners.get_mut(&conn.key.1.port())
        {
            listener.embryos = listener.embryos.saturating_sub(1);
        }
        self.timers.set(id, None);
        self.free.push(id);
    }

    /// The connection between two ends, if TCP still knows it.
    pub(crate) fn find(&self, key: &Key) -> Option<usize> {
        self.index.get(key).copied()
    }

    /// Connections that TCP still knows.
    pub(crate) fn len(&self) -> usize {
        self.conns.len() - self.free.len()
    }

    /// The connections on which somebody waits, as in `10.0.0.4:50001 > 52.239.1.9:443 reads`; the
    /// first few.
    pub(crate) fn waiting(&self) -> Vec<String> {
        let conns = self.conns.iter().flatten();
        let waiting = conns.filter_map(|conn| {
            let (_, local, remote) = conn.key;
            let what = match (conn.phase, conn.reader.is_empty(), conn.writer.is_empty()) {
                (Phase::Connecting, _, false) => "connects",
                (_, false, _) => "reads",
                (_, _, false) => "writes",
                _ => return None,
            };
            Some(format!("{local} > {remote} {what}"))
        });
        waiting.take(8).collect()
    }

    /// Takes all that wait for what has happened; to be woken when no lock is held.
    pub(crate) fn take_wakes(&mut self) -> Vec<Waker> {
        core::mem::take(&mut self.wakes)
    }

    /// Sockets that are not found by a key.
    pub(crate) fn others(&mut self) -> &mut SocketSet<'static> {
        &mut self.others
    }

    /// Packets that [`transmit`](Self::transmit) has still to hand out.
    pub(crate) fn queued(&self) -> usize {
        self.sent.len()
    }

    /// The next packet for the network, with the edge by which it enters.
    pub(crate) fn transmit(&mut self) -> Option<(Edge, Bytes)> {
        self.sent.pop_front()
    }

    fn insert(&mut self, conn: Conn) -> usize {
        let (key, accepted) = (conn.key, conn.accepted);
        let conn = Some(Box::new(conn));
        let id = self.free.pop().unwrap_or(self.conns.len());
        match self.conns.get_mut(id) {
            Some(place) => *place = conn,
            None => self.conns.push(conn),
        }
        self.accepted += usize::from(accepted);
        self.index.insert(key, id);
        id
    }

    fn free_port(&mut self, address: Ipv4Addr, remote: SocketAddrV4) -> io::Result<u16> {
        let (first, last) = self.settings.ephemeral;
        for _ in first..=last {
            let port = self.next_port;
            self.next_port = if port >= last { first } else { port + 1 };
            let key = (self.settings.edge, SocketAddrV4::new(address, port), remote);
            let taken = self.index.contains_key(&key)
                || self.listeners.contains_key(&port)
                || self.datagrams.contains_key(&port);
            if !taken {
                return Ok(port);
            }
        }
        Err(io::ErrorKind::AddrNotAvailable.into())
    }

    /// A TCP socket of this host.
    fn socket(&self) -> tcp::Socket<'static> {
        let settings = &self.settings;
        let window = usize::try_from(settings.window).unwrap_or(usize::MAX);
        let buffer = || tcp::SocketBuffer::new(vec![0; window]);
        let mut socket = tcp::Socket::new(buffer(), buffer());
        socket.set_keep_alive(settings.keep_alive.map(duration));
        socket.set_timeout(settings.user_timeout.map(duration));
        socket.set_nagle_enabled(settings.nagle);
        socket.set_congestion_control(settings.congestion_control);
        socket
    }
}

impl core::fmt::Debug for Stack {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Stack")
            .field("address", &self.settings.address)
            .field("connections", &self.len())
            .finish_non_exhaustive()
    }
}

/// Remembers who waits, once.
pub(crate) fn keep(waiting: &mut Vec<Waker>, waker: &Waker) {
    if !waiting.iter().any(|known| known.will_wake(waker)) {
        waiting.push(waker.clone());
    }
}

/// smoltcp counts microseconds; a moment within one is seen as its start.
pub(crate) fn instant(now: Time) -> Instant {
    Instant::from_micros(i64::try_from(now.0 / 1000).unwrap_or(i64::MAX))
}

pub(crate) fn time(instant: Instant) -> Time {
    Time(u64::try_from(instant.total_micros()).unwrap_or(0).saturating_mul(1000))
}

pub(crate) fn duration(duration: Duration) -> smoltcp::time::Duration {
    smoltcp::time::Duration::from_micros(u64::try_from(duration.as_micros()).unwrap_or(u64::MAX))
}

pub(crate) fn endpoint(address: SocketAddrV4) -> IpEndpoint {
    IpEndpoint::new(IpAddress::Ipv4(*address.ip()), address.port())
}

/// smoltcp's word for an address and port; IPv4 is the only version compiled in.
pub(crate) fn address(endpoint: IpEndpoint) -> SocketAddrV4 {
    let IpAddress::Ipv4(address) = endpoint.addr;
    SocketAddrV4::new(address, endpoint.port)
}
