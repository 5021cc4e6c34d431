use core::net::{Ipv4Addr, SocketAddrV4};
use core::time::Duration;

use vnetem_nat::{
    Cause, FlowId, FlowTable, Generation, HoldDown, Keys, Mapping, NewFlow, NoTuple, OpenError,
    Pool, PoolRules, RevalidationKey, Settings, Shared, Side, Tenant, Time, Timers, Wanted, Zone,
};
use vnetem_packet::{FiveTuple, Headers, Protocol};

use super::first_packet;

const SECOND: u64 = 1_000_000_000;
const PUBLIC: [Ipv4Addr; 2] = [Ipv4Addr::new(20, 1, 1, 1), Ipv4Addr::new(20, 1, 1, 2)];
/// The number of flows that fit into the table.
const CAPACITY: usize = 24;

/// Opens and ends flows in a small pool, with waits, and compares with a list of everything that
/// ever had a tuple (INV-mapping-unique, INV-hold-down-kept, N-12 to N-17, T-01, T-02, T-05, T-06,
/// T-08).
///
/// The first two bytes say how the pool translates and how large it is. Each four bytes after them
/// are an event: what happens, between which ends, a suggested port, and the wait before it.
pub fn port_pool_ops(bytes: &[u8]) {
    let [how, size, events @ ..] = bytes else { return };
    let mut nat = Nat::new(*how, *size);
    for event in events.as_chunks::<4>().0.iter().take(96) {
        nat.event(*event);
    }
}

/// A flow table, and a list for comparison.
struct Nat {
    table: FlowTable<()>,
    rules: PoolRules,
    addresses: usize,
    ports: [u16; 2],
    now: Time,
    /// Everything that was ever opened.
    had: Vec<Had>,
    opened: u64,
    /// Flows whose end the table has reported.
    notified: u64,
    /// The external address of each host, recorded while all addresses have ports.
    paired: Vec<(Ipv4Addr, Ipv4Addr)>,
}

/// A flow while it lives and while its tuple is in hold-down.
#[derive(Clone, Copy, Debug)]
struct Had {
    protocol: Protocol,
    internal: SocketAddrV4,
    external: SocketAddrV4,
    remote: SocketAddrV4,
    id: FlowId,
    /// When it ends, or ended.
    until: u64,
    /// When its tuple leaves hold-down.
    rests: u64,
}

impl Nat {
    fn new(how: u8, size: u8) -> Self {
        let rules = PoolRules {
            preserve_port: how & 1 != 0,
            keep_parity: how & 2 != 0,
            mapping: if how & 4 != 0 { Mapping::Independent } else { Mapping::Dependent },
            ..PoolRules::AZURE
        };
        let first = [1021_u16, 2000, 65_530, 1][usize::from(how >> 4 & 3)];
        // With all of these bits, 64 ports: the pools that are also checked exhaustively
        // (INV-refused-only-when-full).
        let ports = if size & 0x40 != 0 { 64 } else { 1 + u16::from(size & 7) };
        let last = first.saturating_add(ports - 1);
        let settings = Settings {
            capacity: CAPACITY as u32,
            held: 256,
            revalidation_keys: 1,
            shared: Shared { hosts: 8, sockets: 64, blocks: 0 },
            keys: Keys::replayable(u64::from(size)),
            timers: Timers {
                syn_sent: Duration::from_secs(10),
                udp_one_way: Duration::from_secs(7),
                icmp: Duration::from_secs(5),
                ..Timers::AZURE
            },
            hold: HoldDown {
                reset: Duration::from_secs(3),
                half_open: Duration::from_secs(2),
                datagram: Duration::from_secs(6),
                ..HoldDown::NONE
            },
            ..Settings::replayable(0)
        };
        Self {
            table: FlowTable::new(settings),
            rules,
            addresses: 1 + usize::from(how >> 3 & 1),
            ports: [first, last],
            now: Time(SECOND),
            had: Vec::new(),
            opened: 0,
            notified: 0,
            paired: Vec::new(),
        }
    }

    fn event(&mut self, [what, who, port, wait]: [u8; 4]) {
        if wait > 200 {
            self.now = Time(self.now.0 + u64::from(wait - 200) * SECOND / 4);
        }
        match what % 8 {
            0..=4 => self.open(who, port, what & 0x80 != 0),
            5 => self.end(who),
            6 => self.expire(usize::from(port)),
            _ => self.expire(usize::MAX),
        }
        self.check();
    }

    fn open(&mut self, who: u8, port: u8, suggests: bool) {
        let protocol =
            [Protocol::TCP, Protocol::UDP, Protocol::UDP, Protocol::ICMP][usize::from(who >> 6)];
        let [first, last] = self.ports;
        // Three hosts with three ports each, some of them in the pool.
        let inside_port = first.saturating_add(u16::from(who >> 2 & 3)).saturating_sub(1).max(1);
        let internal = SocketAddrV4::new(Ipv4Addr::new(10, 0, 0, 4 + (who & 3) % 3), inside_port);
        let remote_port = if protocol == Protocol::ICMP { 0 } else { 443 };
        let remote = SocketAddrV4::new(Ipv4Addr::new(52, 239, 1, who >> 4 & 3), remote_port);
        let suggestion = suggests.then(|| first.saturating_add(u16::from(port % 80)));
        let wanted = Wanted {
            protocol,
            internal,
            internal_zone: Zone(7),
            remote,
            external_zone: Zone::PUBLIC,
            suggestion,
        };
        let pool = Pool {
            addresses: &PUBLIC[..self.addresses],
            first_port: first,
            last_port: last,
            rules: &self.rules,
        };
        let chosen = self.table.choose(self.now, pool, &wanted);
        assert_eq!(chosen, self.table.choose(self.now, pool, &wanted), "asking changes something");
        let free = self.free(&wanted);
        let chosen = match chosen {
            Err(why) => {
                assert_eq!(why, NoTuple::Exhausted);
                assert_eq!(free, [], "there was a tuple (INV-refused-only-when-full)");
                return;
            }
            Ok(chosen) => chosen,
        };
        assert!(
            free.contains(&chosen.external),
            "{} is not free: {free:?} (INV-mapping-unique, INV-hold-down-kept)",
            chosen.external
        );
        self.as_promised(&wanted, chosen.external, &free);
        let new = NewFlow {
            protocol,
            internal,
            internal_zone: Zone(7),
            external: chosen.external,
            external_zone: Zone::PUBLIC,
            remote,
            initiator: Side::Internal,
            revalidation_key: RevalidationKey(0),
            tenant: Tenant::NOBODY,
            generation: Generation(1),
            cached: (),
            mapping_policy: chosen.mapping_policy,
        };
        let packet = first_packet(&FiveTuple { protocol, source: internal, destination: remote });
        let headers = Headers::parse(&packet).unwrap_or_else(|cause| panic!("{cause}"));
        let opening = self.table.may_open(self.now, new);
        let mut notified = 0;
        let opened = opening.and_then(|it| {
            self.table.enter(self.now, &it, &headers, &packet, &mut |_| notified += 1)
        });
        assert_eq!(opened.map(drop), opening.map(drop));
        self.notified += notified;
        let alive = |had: &Had| {
            (had.protocol, had.internal, had.remote) == (protocol, internal, remote)
                && had.until > self.now.0
        };
        match opened {
            Ok(id) => {
                assert!(
                    !self.had.iter().any(alive),
                    "two flows have one inside tuple (INV-tuple-unique-per-side)"
                );
                self.opened += 1;
                let [life, rest] = match protocol {
                    // The timer of a half-open flow is its whole hold-down (N-14).
                    Protocol::TCP => [10, 0],
                    Protocol::UDP => [7, 6],
                    _ => [5, 6],
                };
                let until = self.now.0 + life * SECOND;
                let rests = until + rest * SECOND;
                let external = chosen.external;
                self.had.push(Had { protocol, internal, external, remote, id, until, rests });
            }
            Err(OpenError::TupleInUse) => {
                assert!(self.had.iter().any(alive), "nobody has {internal} to {remote}");
            }
            Err(OpenError::TableFull) => {
                assert_eq!(self.opened - self.notified, CAPACITY as u64, "the table had room");
            }
            Err(why) => panic!("{why:?} of what was chosen"),
        }
    }

    /// Returns all tuples that a flow may have: in the pool, unused, and not in hold-down. A
    /// mapping that keeps one port has that one alone.
    fn free(&self, wanted: &Wanted) -> Vec<SocketAddrV4> {
        let independent = self.rules.is_independent();
        let same_socket =
            |had: &Had| (had.protocol, had.internal) == (wanted.protocol, wanted.internal);
        if independent
            && let Some(had) = self.had.iter().find(|had| same_socket(had) && self.stands(had))
        {
            return vec![had.external];
        }
        let all = PUBLIC.iter().take(self.addresses).flat_map(|address| {
            let [first, last] = self.ports;
            (first..=last).map(|port| SocketAddrV4::new(*address, port))
        });
        let taken = |end: &SocketAddrV4| {
            self.had.iter().any(|had| {
                (had.protocol, had.external) == (wanted.protocol, *end)
                    && (independent || had.remote == wanted.remote)
                    && (had.rests > self.now.0 || independent && self.stands(had))
            })
        };
        all.filter(|end| !taken(end)).collect()
    }

    /// Returns whether the table still has a record of a flow. A mapping keeps its port until its
    /// last flow is removed.
    fn stands(&self, had: &Had) -> bool {
        self.table.flow(had.id).is_some()
    }

    /// Returns the free tuple that the rules of the pool prescribe.
    fn as_promised(&mut self, wanted: &Wanted, external: SocketAddrV4, free: &[SocketAddrV4]) {
        let [first, last] = self.ports;
        assert!(
            (first..=last).contains(&external.port()) && external.port() != 0,
            "INV-port-in-range"
        );
        let own = wanted.internal.port();
        let same_address = |end: &&SocketAddrV4| end.ip() == external.ip();
        let here = || free.iter().filter(same_address);
        let has = |port| here().any(|end| end.port() == port);
        let kept = self.rules.is_independent() && free.len() == 1;
        if kept {
        } else if let Some(port) = wanted.suggestion.filter(|port| has(*port)) {
            assert_eq!(external.port(), port, "the suggestion was free");
        } else if self.rules.preserve_port && has(own) {
            assert_eq!(external.port(), own, "its own port was free (T-05)");
        } else if self.rules.keep_parity && !self.rules.preserve_port {
            let same = |end: &SocketAddrV4| end.port() % 2 == own % 2;
            assert!(same(&external) || !here().any(same), "the parity was to be had (T-06)");
        } else if self.rules.preserve_port && wanted.protocol != Protocol::ICMP {
            let same = |end: &SocketAddrV4| (end.port() < 1024) == (own < 1024);
            assert!(same(&external) || !here().any(same), "the class was to be had (T-05)");
        }
        // T-08: while all addresses have ports, one host has one address.
        let all = PUBLIC.iter().take(self.addresses);
        if !kept && all.into_iter().all(|address| free.iter().any(|end| end.ip() == address)) {
            let host = *wanted.internal.ip();
            match self.paired.iter().find(|paired| paired.0 == host) {
                Some((_, address)) => assert_eq!(external.ip(), address, "T-08"),
                None => self.paired.push((host, *external.ip())),
            }
        }
    }

    fn end(&mut self, who: u8) {
        let now = self.now.0;
        let alive = self.had.iter().filter(|had| had.until > now).count();
        if alive == 0 {
            return;
        }
        let nth = usize::from(who) % alive;
        let Some(had) = self.had.iter_mut().filter(|had| had.until > now).nth(nth) else { return };
        assert!(self.table.end(self.now, had.id, Cause::Withdrawn), "a live flow was not there");
        let rest = if had.protocol == Protocol::TCP { 3 } else { 6 };
        (had.until, had.rests) = (now, now + rest * SECOND);
        self.notified += 1;
    }

    fn expire(&mut self, budget: usize) {
        let mut notified = 0;
        let due = self.had.iter().filter(|had| had.until <= self.now.0).map(|had| had.id);
        let due: Vec<FlowId> = due.filter(|id| self.table.flow(*id).is_some()).collect();
        self.table.expire(self.now, budget, &mut |_| notified += 1);
        let left = due.iter().filter(|id| self.table.flow(**id).is_some()).count();
        assert_eq!(
            due.len() - left,
            notified,
            "what ended was not due, or was not reported (INV-deadline-exact)"
        );
        assert!(
            left == 0 || budget != usize::MAX,
            "something due is still there (INV-deadline-exact)"
        );
        self.notified += notified as u64;
    }

    /// Checks after each event that every live flow is found from both sides, and that the counters
    /// add up (INV-reply-reaches-initiator, INV-flows-conserved).
    fn check(&mut self) {
        let now = self.now.0;
        let counters = self.table.counters();
        assert_eq!(counters.opened, self.opened);
        assert_eq!(counters.total_ended(), self.notified, "INV-flows-conserved");
        assert_eq!(u64::from(counters.live), self.opened - self.notified, "INV-flows-conserved");
        for had in self.had.iter().filter(|had| had.until > now) {
            let there =
                FiveTuple { protocol: had.protocol, source: had.internal, destination: had.remote };
            let back =
                FiveTuple { protocol: had.protocol, source: had.remote, destination: had.external };
            for (zone, tuple, side) in
                [(Zone(7), there, Side::Internal), (Zone::PUBLIC, back, Side::External)]
            {
                let found = self.table.find(self.now, zone, &tuple);
                assert_eq!(
                    found.map(|found| (found.id, found.side)),
                    Some((had.id, side)),
                    "INV-reply-reaches-initiator"
                );
            }
        }
        // What has left hold-down is of no further interest.
        let table = &self.table;
        self.had.retain(|had| had.rests > now || table.flow(had.id).is_some());
    }
}
