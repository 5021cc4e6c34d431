//! A host with a real TCP/IP stack (smoltcp) on virtual time: clients, servers, ping and datagrams.

mod client;
mod connection;

mod progress;
mod server;
mod talk;

use core::net::Ipv4Addr;
use core::time::Duration;

use bytes::Bytes;
use smoltcp::iface::{Config, Interface, PollIngressSingleResult, PollResult, SocketSet};
use smoltcp::socket::tcp;
use smoltcp::time::Instant;
use smoltcp::wire::{HardwareAddress, IpAddress, IpCidr};
use vnetem_nat::Time;
use vnetem_packet::{Headers, Transport};

pub use client::ConnectError;
pub use connection::{Connection, ConnectionId, Role, Status};
pub use talk::Exchange;

use crate::Port;
use crate::service::{Access, Answer, Call};
use progress::{End, Phase};
use server::Listener;
use talk::Talks;

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
    wire: Port,
    /// Large, and hosts are moved about.
    interface: Box<Interface>,
    sockets: SocketSet<'static>,
    ends: Vec<End>,
    /// Those of `ends` that still have a socket.
    live: Vec<ConnectionId>,
    listeners: Vec<Listener>,
    talks: Talks,
    next_port: u16,
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
    /// A host that calls nobody and listens to nothing; it answers pings.
    #[must_use]
    pub fn new(settings: HostSettings) -> Self {
        let mut wire = Port::new(settings.maximum_transmission_unit);
        let mut config = Config::new(HardwareAddress::Ip);
        config.random_seed = settings.seed;
        let mut interface = Box::new(Interface::new(config, &mut wire, Instant::ZERO));
        interface.update_ip_addrs(|addresses| {
            // The list is empty and has room for one.
            let _ = addresses.push(IpCidr::new(IpAddress::Ipv4(settings.address), 32));
        });
        // smoltcp sends nothing without a route; on this medium the gateway's address is not looked
        // at.
        let _ = interface.routes_mut().add_default_ipv4_route(settings.address);
        interface.set_any_ip(settings.any_address);
        Self {
            settings,
            wire,
            interface,
            sockets: SocketSet::new(Vec::new()),
            ends: Vec::new(),
            live: Vec::new(),
            listeners: Vec::new(),
            talks: Talks::default(),
            next_port: Self::FIRST_PORT,
            log: Vec::new(),
            counters: HostCounters::default(),
        }
    }

    /// The host's address.
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
        self.wire.received.push_back(packet);
    }

    /// The next packet for the network.
    pub fn transmit(&mut self) -> Option<Bytes> {
        let packet = self.wire.sent.pop_front()?;
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
        let instant = instant(now);
        self.interface.poll_maintenance(instant);
        loop {
            // One packet at a time, so that each change of state is seen together with its cause.
            loop {
                self.screen();
                let polled =
                    self.interface.poll_ingress_single(instant, &mut self.wire, &mut self.sockets);
                if polled == PollIngressSingleResult::None {
                    break;
                }
                self.accept(now);
                self.settle(now, Phase::Ingress);
            }
            self.work(now, decide);
            self.talks.work(&mut self.sockets);
            let polled = self.interface.poll_egress(instant, &mut self.wire, &mut self.sockets);
            self.settle(now, Phase::Egress);
            if polled == PollResult::None {
                break;
            }
        }
    }

    /// When [`poll`](Self::poll) has something to do if no packet comes before; not before `now`.
    #[must_use]
    pub fn next_poll(&mut self, now: Time) -> Option<Time> {
        if !self.wire.received.is_empty() {
            return Some(now);
        }
        let stack = self.interface.poll_at(instant(now), &self.sockets).map(time);
        let pace = self.live.iter().filter_map(|id| self.ends.get(id.0)?.next_poll());
        pace.chain(stack).min().map(|next| next.max(now))
    }

    /// What went through so far.
    #[must_use]
    pub const fn counters(&self) -> HostCounters {
        self.counters
    }
}

impl HostSettings {
    /// A host with one address, Ethernet's packet size, a probe after 10 s of silence, and no
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

    /// A TCP socket of this host.
    fn socket(&self) -> tcp::Socket<'static> {
        let window = usize::try_from(self.window).unwrap_or(usize::MAX);
        let buffer = || tcp::SocketBuffer::new(vec![0; window]);
        let mut socket = tcp::Socket::new(buffer(), buffer());
        socket.set_keep_alive(self.keep_alive.map(duration));
        socket.set_timeout(self.user_timeout.map(duration));
        // An answer is written in pieces; holding the last one back for an acknowledgement would
        // only slow it down.
        socket.set_nagle_enabled(false);
        socket
    }
}

impl core::fmt::Debug for Host {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Host")
            .field("address", &self.settings.address)
            .field("live", &self.live.len())
            .field("counters", &self.counters)
            .finish_non_exhaustive()
    }
}

/// smoltcp counts microseconds; a moment within one is seen as its start.
fn instant(now: Time) -> Instant {
    Instant::from_micros(i64::try_from(now.0 / 1000).unwrap_or(i64::MAX))
}

fn time(instant: Instant) -> Time {
    Time(u64::try_from(instant.total_micros()).unwrap_or(0).saturating_mul(1000))
}

fn duration(duration: Duration) -> smoltcp::time::Duration {
    smoltcp::time::Duration::from_micros(u64::try_from(duration.as_micros()).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests;
