//! Chooses the external tuple of a new flow.

use core::error::Error;
use core::fmt;
use core::net::{Ipv4Addr, SocketAddrV4};

use vnetem_packet::{FiveTuple, Protocol};

use crate::mapping::mapping_policy::{SocketRule, endpoint_independent};
use crate::mapping::ports::{Ports, Shuffle};
use crate::table::key::Key;
use crate::table::record::Record;
use crate::{Block, Blocks, FlowTable, MappingPolicy, Pool, PoolRules, Side, Time, Zone};

/// The flow for which an external tuple is chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// The protocol.
    pub protocol: Protocol,
    /// The internal end.
    pub internal: SocketAddrV4,
    /// The zone where packets from the internal side enter.
    pub internal_zone: Zone,
    /// The external end.
    pub remote: SocketAddrV4,
    /// The zone where packets from the external side enter.
    pub external_zone: Zone,
    /// A port or identifier to take first, if the pool has it and it is free. Oracles use it to
    /// repeat another translator's choice, and fuzzers to choose themselves.
    pub suggestion: Option<u16>,
}

/// A free external tuple.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Chosen {
    /// The tuple.
    pub external: SocketAddrV4,
    /// The mapping state that a flow with this tuple shares.
    pub mapping_policy: MappingPolicy,
}

/// Why a flow gets no external tuple.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoTuple {
    /// The pool has no usable tuple left towards this remote (N-17).
    Exhausted,
    /// The internal address has as many flows, ports or blocks as it may (T-10, RFC 6888 REQ-4).
    Quota,
    /// The internal address opens flows faster than it may (T-10, RFC 6888 REQ-4).
    Rate,
}

impl Wanted {
    /// Describes the flow of a packet that leaves a zone for the public one.
    #[must_use]
    pub const fn outbound(internal_zone: Zone, tuple: &FiveTuple) -> Self {
        Self {
            protocol: tuple.protocol,
            internal: tuple.source,
            internal_zone,
            remote: tuple.destination,
            external_zone: Zone::PUBLIC,
            suggestion: None,
        }
    }
}

impl fmt::Display for NoTuple {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Exhausted => "the pool has no port left towards this remote",
            Self::Quota => "the internal address has as many flows, ports or blocks as it may",
            Self::Rate => "the internal address opens flows faster than it may",
        })
    }
}

impl Error for NoTuple {}

/// Ports to try before the port bitmap is asked.
const PATIENCE: usize = 8;

/// A search for a free tuple of one flow.
struct Search<'a, T> {
    table: &'a FlowTable<T>,
    now: u64,
    rules: &'a PoolRules,
    wanted: &'a Wanted,
    is_independent: bool,
    draw: u64,
}

impl<T: Copy> FlowTable<T> {
    /// Gives the external tuple that all flows of an internal socket share by these rules, if it
    /// has one. With several pools, try the pool of that tuple first.
    #[must_use]
    pub fn mapped(&self, rules: &PoolRules, wanted: &Wanted) -> Option<SocketAddrV4> {
        self.mappings.external(MappingPolicy::of(rules).socket, wanted)
    }

    /// Chooses an external tuple for a new flow by the pool's rules, at random where they leave a
    /// choice (N-13, T-07).
    ///
    /// - A port may serve several remotes (N-12). A tuple is taken if a flow or tombstone has it
    ///   towards the same `remote`, or if it is in hold-down.
    /// - With [`Mapping::Independent`](crate::Mapping::Independent) it is also taken if another
    ///   internal socket has it towards any remote (T-01).
    /// - All flows of one internal address get the same external address while that has a free port
    ///   (T-08).
    /// - A protocol without ports gets an address and port 0.
    /// - A free [`suggestion`](Wanted::suggestion) is taken first.
    ///
    /// The random number is a keyed hash of both ends and the time, so a call changes nothing. A
    /// call usually takes one lookup, and never more than a few for each tuple of the pool.
    ///
    /// # Errors
    ///
    /// [`NoTuple`] if no tuple is free (N-17), or if the internal address may have no more.
    pub fn choose(&self, now: Time, pool: Pool<'_>, wanted: &Wanted) -> Result<Chosen, NoTuple> {
        let now = self.at(now);
        let rules = pool.rules;
        let has_ports = matches!(wanted.protocol, Protocol::TCP | Protocol::UDP | Protocol::ICMP);
        let host =
            u64::from(wanted.internal.ip().to_bits()) << 32 | u64::from(wanted.internal_zone.0);
        let pairing = self.draws.draw(host, 0, 2);
        let far = u64::from(wanted.remote.ip().to_bits()) << 16 | u64::from(wanted.remote.port());
        // The draw must not depend on others' flows, or a tenant could observe them in its ports
        // (INV-networks-isolated). With the time, a host that reopens the same tuple does not walk
        // past all its tuples in hold-down.
        let inside_port = u64::from(wanted.internal.port());
        let draw = self.draws.draw(far ^ now.rotate_left(32), inside_port, pairing);
        let (first, last) = if has_ports { (pool.first_port, pool.last_port) } else { (0, 0) };
        let mapping_policy = if has_ports {
            MappingPolicy::of(rules)
        } else {
            MappingPolicy::default().with_timers(rules.timers)
        };
        let is_independent = matches!(mapping_policy.socket, SocketRule::Independent(_));
        let search = Search { table: self, now, rules, wanted, is_independent, draw };
        self.mappings.admit(now, &rules.limits, wanted, || self.gives_way(wanted))?;
        if let Some(external) = self.mappings.external(mapping_policy.socket, wanted)
            && pool.has(external)
            && (is_independent || search.is_free(*external.ip(), external.port()))
        {
            let is_dynamic = matches!(rules.blocks, Blocks::Dynamic { .. });
            let block = if is_dynamic { pool.block_at(external) } else { None };
            return Ok(Chosen {
                external,
                mapping_policy: MappingPolicy { block, ..mapping_policy },
            });
        }
        self.mappings.admit_port(&rules.limits, wanted)?;
        let start = pairing.checked_rem(pool.addresses.len() as u64).unwrap_or(0);
        let (before, from) = pool
            .addresses
            .split_at_checked(usize::try_from(start).unwrap_or(0))
            .unwrap_or_default();
        let mut addresses = from.iter().chain(before).copied();
        let chosen = |block: Option<Block>| {
            move |external| Chosen {
                external,
                mapping_policy: MappingPolicy { block, ..mapping_policy },
            }
        };
        let in_block = |block: Block| {
            let external = search.at(block.address, Ports::all(block.first, block.last))?;
            Some(chosen(Some(block))(external))
        };
        let found = match rules.blocks {
            _ if !has_ports => {
                addresses.find_map(|address| search.at(address, Ports::all(0, 0))).map(chosen(None))
            }
            Blocks::None => addresses
                .find_map(|address| search.at(address, Ports::all(first, last)))
                .map(chosen(None)),
            Blocks::Deterministic { .. } => {
                let block = pool.block_of(*wanted.internal.ip());
                block
                    .and_then(|block| search.at(block.address, Ports::all(block.first, block.last)))
                    .map(chosen(None))
            }
            Blocks::Dynamic { most, size } => {
                let own = |block: &Block| {
                    let end = SocketAddrV4::new(block.address, block.first);
                    pool.block_at(end) == Some(*block)
                };
                let mut owned = self.mappings.blocks_of(wanted);
                if let Some(chosen) = owned.by_ref().filter(own).find_map(in_block) {
                    return Ok(chosen);
                }
                if self.mappings.blocks_of(wanted).count() >= usize::from(most.min(4)) {
                    return Err(NoTuple::Quota);
                }
                let count = u32::from(last.saturating_sub(first)).saturating_add(1);
                let count = count.checked_div(size.into()).unwrap_or(0);
                let unused = addresses.flat_map(|address| {
                    Shuffle::new(count, draw).filter_map(move |number| pool.block(address, number))
                });
                unused
                    .filter(|block| self.mappings.is_unused(wanted.external_zone, *block))
                    .find_map(in_block)
            }
        };
        found.ok_or(NoTuple::Exhausted)
    }

    /// Asks the port bitmap for a free port. The inner `None` means that none is free, the outer
    /// that the bitmap is not certain.
    fn known_free(
        &self,
        now: u64,
        key: &Key,
        ports: Ports,
        draw: u64,
        wanted: &Wanted,
    ) -> Option<Option<u16>> {
        let port_bitmap = self.port_bitmaps.known(key)?;
        let [a, b, c, d, ..] = draw.to_le_bytes();
        let parity = (ports.step == 2).then_some(ports.first & 1);
        let free = self.port_bitmaps.free(
            port_bitmap,
            ports.first..=ports.last,
            parity,
            u32::from_le_bytes([a, b, c, d]),
        );
        match free {
            // A flow with a preserved source may have the tuple.
            Some(port) => self.is_free(now, &key.with_port(port), wanted).then_some(Some(port)),
            // A tuple whose hold-down is over is free, even before it is removed.
            None => (self.hold.next() > now && self.wheel.next() > now).then_some(None),
        }
    }

    /// Says whether an external key is free: no flow has it, no socket has its external tuple, and
    /// it is not in hold-down.
    ///
    /// The hold-down of a flow past its deadline starts at the deadline, removed or not. That of a
    /// flow that the wanted one replaces starts now.
    fn is_free(&self, now: u64, key: &Key, wanted: &Wanted) -> bool {
        let hash = self.secret.hash(key);
        if let Some((slot, _)) = self.lookup(hash, key) {
            let Some(record) = self.records.get(slot) else {
                debug_assert!(false, "the index leads to a record");
                return true;
            };
            return self.leaves_tuple(now, record) || self.gives_up(now, record, wanted);
        }
        !self.hold.holds(now, hash, key)
    }

    /// Finds the finished flow that the wanted one replaces.
    fn gives_way(&self, wanted: &Wanted) -> Option<u32> {
        let key = wanted.key();
        let (slot, side) = self.lookup(self.secret.hash(&key), &key)?;
        let record = self.records.get(slot)?;
        (record.is_over() && side == Side::Internal && record.initiator() == side).then_some(slot)
    }

    /// Says whether a flow is finished, is replaced by the wanted one, and leaves its external
    /// tuple without hold-down (T-18, T-05).
    fn gives_up(&self, now: u64, record: &Record<T>, wanted: &Wanted) -> bool {
        record.is_over()
            && record.initiator() == Side::Internal
            && record.has_key(Side::Internal, &wanted.key())
            && self.freed(record, record.state.cause_of_expiry(), now) <= now
    }
}

impl<T: Copy> Search<'_, T> {
    /// Finds a free tuple of one address.
    fn at(&self, address: Ipv4Addr, ports: Ports) -> Option<SocketAddrV4> {
        let external = |port| SocketAddrV4::new(address, port);
        let PoolRules { preserve_port, keep_parity, .. } = *self.rules;
        let internal = self.wanted.internal.port();
        let is_free = |port: &u16| ports.has(*port) && self.is_free(address, *port);
        if let Some(port) = self.wanted.suggestion.filter(is_free) {
            return Some(external(port));
        }
        if preserve_port && is_free(&internal) {
            return Some(external(internal));
        }
        // Nearly every pool.
        if !preserve_port && !keep_parity {
            let port = self.among(address, ports).map(external);
            return port.or_else(|| self.given_up_in(address, ports));
        }
        // Ports of the internal port's class come first, and within a class those of its parity.
        let class = if preserve_port { ports.of_class(self.wanted) } else { None };
        for ports in class.into_iter().chain([ports]) {
            let same = if keep_parity { ports.of_parity(internal) } else { None };
            for ports in same.into_iter().chain([ports]) {
                if let Some(port) = self.among(address, ports) {
                    return Some(external(port));
                }
            }
        }
        self.given_up_in(address, ports)
    }

    /// Gives the external tuple of the flow that the wanted one replaces, if it is among these. It
    /// is not counted among the free ones.
    #[cold]
    fn given_up_in(&self, address: Ipv4Addr, ports: Ports) -> Option<SocketAddrV4> {
        self.given_up().filter(|old| *old.ip() == address && ports.has(old.port()))
    }

    fn given_up(&self) -> Option<SocketAddrV4> {
        let (table, key) = (self.table, self.wanted.key());
        let (slot, _) = table.lookup(table.secret.hash(&key), &key)?;
        let record = table.records.get(slot)?;
        table.gives_up(self.now, record, self.wanted).then(|| record.external())
    }

    /// Finds a random free port among these.
    fn among(&self, address: Ipv4Addr, ports: Ports) -> Option<u16> {
        let mut key = self.key(address, 0);
        if self.is_independent {
            key = endpoint_independent(&key);
        }
        for (tries, port) in ports.shuffled(self.draw).enumerate() {
            if self.is_free(address, port) {
                return Some(port);
            }
            if tries == PATIENCE
                && let Some(known) =
                    self.table.known_free(self.now, &key, ports, self.draw, self.wanted)
            {
                match known {
                    Some(port) if self.is_free(address, port) => return Some(port),
                    Some(_) => {}
                    None => return None,
                }
            }
        }
        None
    }

    fn is_free(&self, address: Ipv4Addr, port: u16) -> bool {
        let (table, key) = (self.table, self.key(address, port));
        if !table.is_free(self.now, &key, self.wanted) {
            return false;
        }
        if !table.mappings.has_independent() {
            return true;
        }
        let towards_all = endpoint_independent(&key);
        !table.mappings.has_external(&towards_all)
            && !table.hold.holds(self.now, table.secret.hash(&towards_all), &towards_all)
    }

    fn key(&self, address: Ipv4Addr, port: u16) -> Key {
        let Wanted { protocol, remote, external_zone, .. } = *self.wanted;
        let destination = SocketAddrV4::new(address, port);
        Key::new(external_zone, &FiveTuple { protocol, source: remote, destination })
    }
}

impl Wanted {
    /// Gives the key of its packets from the internal side.
    fn key(&self) -> Key {
        let Self { protocol, internal: source, remote: destination, .. } = *self;
        Key::new(self.internal_zone, &FiveTuple { protocol, source, destination })
    }
}
