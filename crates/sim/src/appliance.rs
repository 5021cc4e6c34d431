//! A network virtual appliance: a box with one interface that forwards what others send through it.

mod flow_log;

use core::net::Ipv4Addr;
use core::time::Duration;

use bytes::{Bytes, BytesMut};
use vnetem_nat::{
    FlowId, FlowTable, FragmentKey, Fragments, Generation, HoldDown, Keys, MappingPolicy, NewFlow,
    Pool, PoolRules, RevalidationKey, Settings, Side, Span, Tenant, Time, Timers, Track, Wanted,
    Zone, opens,
};
use vnetem_packet::{
    Fragment, Headers, IcmpError, IcmpErrorKind, Quote, Rewrite, Transport, rewrite,
    rewrite_quoting, verify_icmp_checksum,
};

pub use flow_log::FlowRecord;

/// An appliance that translates sources to its own private address (R-25), or that forwards packets
/// as they are (U-07).
///
/// A packet comes in by its one interface and goes out by it again, with a time to live one less. A
/// translating appliance carries TCP, UDP, ICMP queries, other protocols by their address,
/// fragments behind their first one, and ICMP errors about its flows (T-22, T-23); what comes to
/// its own address without a flow is dropped. Timers are Linux's. No time passes but in
/// [`forward`](Self::forward) and [`expire`](Self::expire).
///
/// ```
/// use core::net::Ipv4Addr;
/// use vnetem_sim::Appliance;
/// use vnetem_packet_text::Packet;
/// use vnetem_nat::Time;
///
/// let mut appliance = Appliance::translating(Ipv4Addr::new(10, 0, 9, 4));
/// let packet: Packet = "10.0.0.4:50001 > 52.239.1.9:443 tcp S".parse()?;
/// let out = appliance.forward(Time(0), packet.build()).expect("it opens a flow");
/// assert_eq!(Packet::read(&out)?.source, Ipv4Addr::new(10, 0, 9, 4));
/// let line = appliance.log()[0].to_string();
/// assert!(line.starts_with("10.0.0.4:50001 > 52.239.1.9:443 tcp as 10.0.9.4:"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Appliance {
    address: Ipv4Addr,
    translates: bool,
    flows: FlowTable<()>,
    fragments: Fragments,
    ended: Vec<FlowRecord>,
    counters: ApplianceCounters,
}

/// What went through an appliance: `received` is the sum of all others.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ApplianceCounters {
    /// Packets taken in.
    pub received: u64,
    /// Packets sent on.
    pub forwarded: u64,
    /// Packets answered by an ICMP error, or dropped since none may be sent, because their time to
    /// live ran out.
    pub ttl_expired: u64,
    /// Packets that could not be read.
    pub malformed: u64,
    /// Packets that belong to no flow and open none, errors about none, and fragments without their
    /// first one.
    pub no_flow: u64,
    /// TCP segments that make no sense in their flow, and ICMP errors with a wrong checksum.
    pub invalid: u64,
    /// Packets that would have opened a flow, had there been a free port or room for it.
    pub exhausted: u64,
}

/// What is to be done with a packet: which flow it belongs to, from which side, and whether it is a
/// packet of that flow itself.
enum Way {
    Flow(FlowId, Side),
    /// An ICMP error about a packet of the flow, from the side to which that was sent.
    About(FlowId, Side, Quote),
    /// A plain router keeps no one back because of a flow.
    Unknown,
}

/// The reasons to keep a packet back.
enum Refused {
    Malformed,
    NoFlow,
    Invalid,
    Exhausted,
}

impl Appliance {
    /// Flows that it keeps at once.
    pub const CAPACITY: u32 = 8192;

    /// Ports that stand for its clients' own.
    const PORTS: (u16, u16) = (1024, 65535);

    /// Makes an appliance that translates sources to its address (R-25).
    #[must_use]
    pub fn translating(address: Ipv4Addr) -> Self {
        Self::new(address, true)
    }

    /// Makes an appliance that leaves sources as they are (U-07).
    #[must_use]
    pub fn forwarding(address: Ipv4Addr) -> Self {
        Self::new(address, false)
    }

    fn new(address: Ipv4Addr, translates: bool) -> Self {
        let keys = Keys::replayable(u64::from(address.to_bits()));
        let settings = Settings {
            capacity: Self::CAPACITY,
            revalidation_keys: 1,
            held: 1,
            keys,
            timers: Timers::LINUX,
            hold: HoldDown::NONE,
            ..Settings::replayable(0)
        };
        Self {
            address,
            translates,
            flows: FlowTable::new(settings),
            fragments: Fragments::new(256, Duration::from_secs(30), keys),
            ended: Vec::new(),
            counters: ApplianceCounters::default(),
        }
    }

    /// Returns the private address of the appliance.
    #[must_use]
    pub const fn address(&self) -> Ipv4Addr {
        self.address
    }

    /// Returns the counters so far.
    #[must_use]
    pub const fn counters(&self) -> ApplianceCounters {
        self.counters
    }

    /// Returns all flows, in the order in which they were opened: those that are over, and those
    /// that are not.
    #[must_use]
    pub fn log(&self) -> Vec<FlowRecord> {
        let live = self.flows.iter().map(|(_, flow)| FlowRecord::of(&flow, None));
        let mut log: Vec<_> = self.ended.iter().copied().chain(live).collect();
        log.sort_by_key(|record| (record.opened, record.client, record.remote, record.protocol));
        log
    }

    /// Ends the flows whose time has come.
    pub fn expire(&mut self, now: Time) {
        let Self { flows, ended, .. } = self;
        flows.expire(now, usize::MAX, &mut |end| {
            ended.push(FlowRecord::of(&end.flow, Some(end.cause)));
        });
    }

    /// Takes a packet in and gives back what is to be sent: the packet on its way, or an ICMP error
    /// about it.
    pub fn forward(&mut self, now: Time, packet: Bytes) -> Option<Bytes> {
        let mut packet = self.pass(now, packet)?;
        // What is for itself never leaves: with its own packets routed back to it, it is its own
        // client (R-26).
        while self.translates
            && Headers::parse(&packet).is_ok_and(|it| it.destination == self.address)
        {
            packet = self.pass(now, packet)?;
        }
        Some(packet)
    }

    fn pass(&mut self, now: Time, packet: Bytes) -> Option<Bytes> {
        self.counters.received += 1;
        self.expire(now);
        let Ok(headers) = Headers::parse(&packet) else {
            self.counters.malformed += 1;
            return None;
        };
        if headers.ttl <= 1 {
            self.counters.ttl_expired += 1;
            return self.time_exceeded(&packet, &headers);
        }
        match self.way(now, &headers, &packet) {
            Ok(way) => {
                self.counters.forwarded += 1;
                Some(self.send(packet, &headers, way))
            }
            Err(refused) => {
                *match refused {
                    Refused::Malformed => &mut self.counters.malformed,
                    Refused::NoFlow => &mut self.counters.no_flow,
                    Refused::Invalid => &mut self.counters.invalid,
                    Refused::Exhausted => &mut self.counters.exhausted,
                } += 1;
                None
            }
        }
    }

    /// Finds or opens the flow, and tracks the packet in it.
    fn way(&mut self, now: Time, headers: &Headers, packet: &[u8]) -> Result<Way, Refused> {
        let way = match (headers.fragment, headers.transport) {
            (Fragment::Later { .. }, _) => self.behind(now, headers),
            (_, Transport::IcmpError) => self.about(now, headers, packet),
            _ => self.flow(now, headers, packet),
        };
        match way {
            Err(Refused::NoFlow | Refused::Invalid | Refused::Exhausted) if !self.translates => {
                Ok(Way::Unknown)
            }
            way => way,
        }
    }

    fn flow(&mut self, now: Time, headers: &Headers, packet: &[u8]) -> Result<Way, Refused> {
        let found = self.flows.find(now, Zone::PUBLIC, &headers.tuple());
        let (id, side) = match found {
            Some(found) if !self.flows.may_reopen(found.id, found.side, headers) => {
                let track = self.flows.track(now, found.id, found.side, headers, packet);
                if track == Track::Invalid {
                    return Err(Refused::Invalid);
                }
                (found.id, found.side)
            }
            found => {
                let over = found.and_then(|found| self.flows.flow(found.id));
                let id = self.open(now, headers, packet)?;
                self.ended.extend(over.map(|flow| FlowRecord::of(&flow, None)));
                (id, Side::Internal)
            }
        };
        if headers.fragment == Fragment::First {
            self.fragments.note_first(now, key(headers), headers, id, side, Tenant::NOBODY);
        }
        Ok(Way::Flow(id, side))
    }

    fn open(&mut self, now: Time, headers: &Headers, packet: &[u8]) -> Result<FlowId, Refused> {
        let tuple = headers.tuple();
        if !opens(headers) || (self.translates && headers.destination == self.address) {
            return Err(Refused::NoFlow);
        }
        let (protocol, internal, remote) = (tuple.protocol, tuple.source, tuple.destination);
        let external = if self.translates {
            let addresses = [self.address];
            let (first_port, last_port) = Self::PORTS;
            let pool =
                Pool { addresses: &addresses, first_port, last_port, rules: &PoolRules::AZURE };
            let zone = Zone::PUBLIC;
            let wanted = Wanted {
                protocol,
                internal,
                internal_zone: zone,
                remote,
                external_zone: zone,
                suggestion: None,
            };
            let chosen = self.flows.choose(now, pool, &wanted);
            chosen.map_err(|_| Refused::Exhausted)?.external
        } else {
            internal
        };
        let new = NewFlow {
            protocol,
            internal,
            internal_zone: Zone::PUBLIC,
            external,
            external_zone: Zone::PUBLIC,
            remote,
            initiator: Side::Internal,
            revalidation_key: RevalidationKey(0),
            tenant: Tenant::NOBODY,
            generation: Generation(0),
            cached: (),
            mapping_policy: MappingPolicy::default(),
        };
        self.flows.open(now, new, headers, packet).map_err(|_| Refused::Exhausted)
    }

    fn behind(&mut self, now: Time, headers: &Headers) -> Result<Way, Refused> {
        let (key, span) = (key(headers), Span::of(headers));
        let (id, side) = self.fragments.admit(now, &key, span).map_err(|_| Refused::NoFlow)?;
        if self.flows.flow(id).is_none() {
            return Err(Refused::NoFlow);
        }
        if let Some((id, side, end)) = self.fragments.pass(now, &key, span) {
            self.flows.reach(now, id, side, end);
        }
        Ok(Way::Flow(id, side))
    }

    /// The flow of the packet that an ICMP error quotes (T-22, T-23). It neither refreshes nor ends
    /// the flow (T-24).
    fn about(&self, now: Time, headers: &Headers, packet: &[u8]) -> Result<Way, Refused> {
        let quote = Quote::parse(packet, headers).map_err(|_| Refused::Malformed)?;
        if !verify_icmp_checksum(packet, headers) {
            return Err(Refused::Invalid);
        }
        let found = self.flows.find(now, Zone::PUBLIC, &quote.tuple().reversed());
        found.map(|found| Way::About(found.id, found.side, quote)).ok_or(Refused::NoFlow)
    }

    /// The packet as it leaves.
    fn send(&self, packet: Bytes, headers: &Headers, way: Way) -> Bytes {
        let ttl = headers.ttl.saturating_sub(1);
        let ends =
            |id, side| self.flows.flow(id).map_or_else(Rewrite::default, |flow| flow.rewrite(side));
        let mut packet = BytesMut::from(packet);
        match way {
            Way::Flow(id, side) => {
                rewrite(&mut packet, headers, ends(id, side), ttl);
            }
            Way::About(id, side, quote) => {
                let outer = ends(id, side);
                // What is quoted went the other way.
                let inner = Rewrite { source: outer.destination, destination: outer.source };
                rewrite_quoting(&mut packet, headers, &quote, outer, inner, ttl);
            }
            Way::Unknown => rewrite(&mut packet, headers, Rewrite::default(), ttl),
        }
        packet.freeze()
    }

    /// RFC 1812 4.3.3: what the sender hears, in the form in which it sent (T-26).
    fn time_exceeded(&self, packet: &[u8], headers: &Headers) -> Option<Bytes> {
        if !IcmpError::may_answer(headers) {
            return None;
        }
        let error = IcmpError { kind: IcmpErrorKind::TimeExceeded, source: self.address };
        let mut buffer = [0; IcmpError::MAXIMUM_LENGTH];
        let length = error.write(packet, headers, &mut buffer);
        buffer.get(..length).map(Bytes::copy_from_slice)
    }
}

impl core::fmt::Debug for Appliance {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Appliance")
            .field("address", &self.address)
            .field("translates", &self.translates)
            .field("counters", &self.counters)
            .finish_non_exhaustive()
    }
}

fn key(headers: &Headers) -> FragmentKey {
    FragmentKey {
        zone: Zone::PUBLIC,
        source: headers.source,
        destination: headers.destination,
        protocol: headers.protocol,
        identification: headers.identification,
    }
}

#[cfg(test)]
mod tests;
