//! A host with a real TCP/IP stack (smoltcp) on virtual time: clients, servers, ping and datagrams.

mod client;
mod connection;

mod progress;
mod server;
mod talk;

use core::net::Ipv4Addr;
use core::time::Duration;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

use bytes::Bytes;
use smoltcp::socket::tcp::CongestionControl;
use vnetem::Edge;
use vnetem_nat::Time;
use vnetem_packet::{Headers, Transport};

pub use client::ConnectError;
pub use connection::{Connection, ConnectionId, Role, Status};
pub use talk::Exchange;

use crate::App;
use crate::engine::{Agenda, Patience, Stack, StackSettings};
use crate::service::{Access, Answer, Call};
use progress::End;
use talk::Talks;

/// A host knows nothing of edges: to its stack all packets come by this one.
const EDGE: Edge = Edge::Internet;

/// A host: packets in, packets out, and nothing else; time is an argument.
///
/// After any of [`receive`](Self::receive), [`connect`](Self::connect), [`send`](Self::send),
/// [`close`](Self::close) and the like, call [`poll`](Self::poll), then take packets from
/// [`transmit`](Self::transmit) until there is none, then wait until [`next_poll`](Self::next_poll)
/// or the next packet. Same seed, same calls at the same times: same bytes.
///
/// ```
/// use core::net::{Ipv4Addr, SocketAddrV4};
/// use vnetem_sim::{App, Host, HostSettings, Status, http};
/// use vnetem_nat::Time;
///
/// let (a, b) = (Ipv4Addr::new(10, 0, 0, 4), Ipv4Addr::new(10, 0, 0, 5));
/// let mut client = Host::new(HostSettings::new(a, 1));
/// let mut server = Host::new(HostSettings::new(b, 2));
/// server.listen(80, App::Http);
/// let request = http::Request::get("b.example", "/photo?bytes=100").write();
/// let id = client.connect(Time(0), SocketAddrV4::new(b, 80), request, None)?;
/// for millisecond in 0..100 {
///     let now = Time(millisecond * 1_000_000);
///     client.poll(now);
///     while let Some(packet) = client.transmit() {
///         server.receive(packet);
///     }
///     server.poll(now);
///     while let Some(packet) = server.transmit() {
///         client.receive(packet);
///     }
/// }
/// let connection = client.connection(id).expect("it was made above");
/// assert_eq!(connection.status, Status::Finished);
/// assert_eq!(http::Response::parse(&connection.head)?.map(|response| response.status), Some(200));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Host {
    settings: HostSettings,
    stack: Stack,
    /// Packets that the next poll takes in, oldest first.
    arrived: VecDeque<Bytes>,
    ends: Vec<End>,
    /// Whose the connections of the stack are.
    owners: BTreeMap<usize, ConnectionId>,
    /// Ends that may have something to do or to say.
    active: BTreeSet<ConnectionId>,
    /// When paced answers go on.
    paces: Agenda,
    apps: BTreeMap<u16, App>,
    talks: Talks,
    log: Vec<Access>,
    counters: HostCounters,
}

/// What a host is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HostSettings {
    /// Its address, from which it calls.
    pub address: Ipv4Addr,
    /// Whether it answers at every address, as the front end of a service does.
    pub any_address: bool,
    /// Seed of its initial sequence numbers.
    pub seed: u64,
    /// Longest packet that it sends, in bytes.
    pub maximum_transmission_unit: u16,
    /// Bytes that a connection buffers in each direction; the receive window is this at most.
    pub window: u32,
    /// How long a connection is idle before the other end is probed (RFC 9293 3.8.4); never
    /// without.
    pub keep_alive: Option<Duration>,
    /// How long the other end may be silent before a connection is given up (RFC 9293 3.8.3); for
    /// ever without. It should be longer than `keep_alive`, for smoltcp counts silence on an idle
    /// connection, too.
    pub user_timeout: Option<Duration>,
    /// Connections that may be served at once; one more is refused by a reset.
    pub serve_limit: usize,
}

/// What went through a host.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HostCounters {
    /// Packets received.
    pub received: u64,
    /// Packets sent.
    pub transmitted: u64,
    /// ICMP errors received.
    pub icmp_errors: u64,
}

/// Whether a service lets a call in.
pub type Decide<'a> = dyn FnMut(&Call) -> Answer + 'a;

impl Host {
    /// Makes a host that calls nobody and listens to nothing; it answers pings.
    #[must_use]
    pub fn new(settings: HostSettings) -> Self {
        Self {
            settings,
            stack: Stack::new(settings.stack()),
            arrived: VecDeque::new(),
            ends: Vec::new(),
            owners: BTreeMap::new(),
            active: BTreeSet::new(),
            paces: Agenda::default(),
            apps: BTreeMap::new(),
            talks: Talks::default(),
            log: Vec::new(),
            counters: HostCounters::default(),
        }
    }

    /// Returns the host's address.
    #[must_use]
    pub const fn address(&self) -> Ipv4Addr {
        self.settings.address
    }

    /// Takes a packet from the network; it is looked at by the next [`poll`](Self::poll).
    pub fn receive(&mut self, packet: Bytes) {
        self.counters.received += 1;
        if let Ok(headers) = Headers::parse(&packet)
            && headers.transport == Transport::IcmpError
        {
            self.counters.icmp_errors += 1;
        }
        self.arrived.push_back(packet);
    }

    /// Takes the next packet for the network.
    pub fn transmit(&mut self) -> Option<Bytes> {
        let (_, packet) = self.stack.transmit()?;
        self.counters.transmitted += 1;
        Some(packet)
    }

    /// Does all that can be done at `now`; its servers let everybody in, and know callers by their
    /// address.
    pub fn poll(&mut self, now: Time) {
        self.poll_deciding(now, &mut |call| Answer::allow(call.client.ip().to_string()));
    }

    /// Does all that can be done at `now`; `decide` is asked about each call at a server of this
    /// host.
    pub fn poll_deciding(&mut self, now: Time, decide: &mut Decide<'_>) {
        loop {
            while let Some(packet) = self.arrived.pop_front() {
                if let Some(id) = self.stack.receive(now, EDGE, packet) {
                    self.observe(now, id, true);
                }
            }
            while let Some(id) = self.paces.pop(now) {
                self.active.insert(ConnectionId(id));
            }
            self.work(now, decide);
            self.talks.work(self.stack.others());
            let before = self.stack.queued();
            for id in self.stack.poll(now) {
                self.observe(now, id, false);
            }
            if self.stack.queued() == before {
                break;
            }
        }
    }

    /// Returns when [`poll`](Self::poll) has something to do if no packet comes before; not before
    /// `now`.
    #[must_use]
    pub fn next_poll(&mut self, now: Time) -> Option<Time> {
        if !self.arrived.is_empty() || !self.active.is_empty() {
            return Some(now);
        }
        let next = self.stack.next_poll(now).into_iter().chain(self.paces.next()).min();
        next.map(|next| next.max(now))
    }

    /// Returns the counters so far.
    #[must_use]
    pub const fn counters(&self) -> HostCounters {
        self.counters
    }
}

impl HostSettings {
    /// Makes a host with one address, Ethernet's packet size, a probe after 10 s of silence, and no
    /// patience beyond 60 s.
    #[must_use]
    pub const fn new(address: Ipv4Addr, seed: u64) -> Self {
        Self {
            address,
            any_address: false,
            seed,
            maximum_transmission_unit: 1500,
            window: 32_768,
            keep_alive: Some(Duration::from_secs(10)),
            user_timeout: Some(Duration::from_secs(60)),
            serve_limit: 256,
        }
    }

    fn stack(self) -> StackSettings {
        StackSettings {
            address: self.address,
            edge: EDGE,
            any_address: self.any_address,
            seed: self.seed,
            maximum_transmission_unit: self.maximum_transmission_unit,
            window: self.window,
            keep_alive: self.keep_alive,
            user_timeout: self.user_timeout,
            patience: Patience::default(),
            // An answer is written in pieces; holding the last one back for an acknowledgement
            // would only slow it down.
            nagle: false,
            congestion_control: CongestionControl::None,
            ephemeral: (Host::FIRST_PORT, u16::MAX),
            serve_limit: self.serve_limit,
            heeds_icmp: false,
        }
    }
}

impl core::fmt::Debug for Host {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Host")
            .field("address", &self.settings.address)
            .field("live", &self.stack.len())
            .field("counters", &self.counters)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
