//! Which external tuple a new flow gets.

use core::net::{Ipv4Addr, SocketAddrV4};
use core::ops::RangeInclusive;

use vnetem_packet::{FiveTuple, Protocol};

use crate::key::Key;
use crate::{FlowTable, Time, Zone};

/// The public addresses and ports that may stand for inside ends. For ICMP queries the ports are identifiers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pool<'a> {
    /// The addresses.
    pub addresses: &'a [Ipv4Addr],
    /// First port of each.
    pub first_port: u16,
    /// Last port of each.
    pub last_port: u16,
}

/// For whom an external tuple is chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// The protocol.
    pub protocol: Protocol,
    /// The inside end.
    pub inside: SocketAddrV4,
    /// Where packets from the inside enter.
    pub inside_zone: Zone,
    /// The outside end.
    pub remote: SocketAddrV4,
    /// Where packets from the outside enter.
    pub outside_zone: Zone,
    /// A port, or identifier, to take before any is drawn, if the pool has it and it is free: for an oracle that repeats the choice of
    /// another translator, and for a fuzzer that chooses itself.
    pub suggestion: Option<u16>,
}

/// Ports that are tried before it is asked what is known of the remote.
const PATIENCE: usize = 8;

/// No usable tuple is left in the pool towards this remote (N-17).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Exhausted;

impl<T: Copy> FlowTable<T> {
    /// An external tuple for a new flow: random among the free ones from the seed (N-13, T-07), and an error only if there is none (N-17).
    ///
    /// One port may serve several remotes (N-12): a tuple is taken only if a flow or tombstone has it towards the same `remote`, or if it
    /// is in hold-down. All flows of one inside address get the same external address while that has a port free (T-08). The randomness
    /// is that of a keyed hash of both ends and the time, so asking changes nothing. A protocol without ports gets an address and port 0. A
    /// [`suggestion`](Wanted::suggestion) that is free goes before all.
    ///
    /// Work: usually one lookup; never more than there are tuples in the pool.
    ///
    /// # Errors
    ///
    /// [`Exhausted`] if no tuple is free.
    pub fn choose(
        &self,
        now: Time,
        pool: Pool<'_>,
        wanted: &Wanted,
    ) -> Result<SocketAddrV4, Exhausted> {
        let Wanted { protocol, inside, inside_zone, remote, outside_zone, .. } = *wanted;
        let now = self.at(now);
        let host = u64::from(inside.ip().to_bits()) << 32 | u64::from(inside_zone.0);
        let pairing = self.secret.mix(host, 0, 2).0;
        let far = u64::from(remote.ip().to_bits()) << 16 | u64::from(remote.port());
        // Never what others opened: one tenant must not be seen in the ports of another (I1). The time keeps a host that opens the same
        // tuple over and over from walking past all that rest.
        let draw = self.secret.mix(far ^ now.rotate_left(32), u64::from(inside.port()), pairing).0;
        let has_ports = matches!(protocol, Protocol::TCP | Protocol::UDP | Protocol::ICMP);
        let (first, last) = if has_ports { (pool.first_port, pool.last_port) } else { (0, 0) };
        let ports =
            Shuffle::new(u32::from(last).saturating_add(1).saturating_sub(first.into()), draw);
        let suggested = wanted.suggestion.filter(|port| (first..=last).contains(port));
        let start = pairing.checked_rem(pool.addresses.len() as u64).unwrap_or(0);
        let (before, from) = pool
            .addresses
            .split_at_checked(usize::try_from(start).unwrap_or(0))
            .unwrap_or_default();
        for address in from.iter().chain(before) {
            let destination = SocketAddrV4::new(*address, 0);
            let key = Key::new(outside_zone, &FiveTuple { protocol, source: remote, destination });
            if let Some(port) = suggested
                && self.is_free(now, &key.with_port(port))
            {
                return Ok(SocketAddrV4::new(*address, port));
            }
            for (tries, port) in ports.enumerate() {
                let port = u16::try_from(port).unwrap_or(u16::MAX).saturating_add(first);
                if self.is_free(now, &key.with_port(port)) {
                    return Ok(SocketAddrV4::new(*address, port));
                }
                if tries == PATIENCE
                    && let Some(known) = self.known_free(now, &key, first..=last, draw)
                {
                    match known {
                        Some(port) => return Ok(SocketAddrV4::new(*address, port)),
                        None => break,
                    }
                }
            }
        }
        Err(Exhausted)
    }

    /// A free port by what is known of a crowd, or that there is none; nothing if that is not known for certain.
    fn known_free(
        &self,
        now: u64,
        key: &Key,
        ports: RangeInclusive<u16>,
        draw: u64,
    ) -> Option<Option<u16>> {
        let crowd = self.crowds.known(key)?;
        let [a, b, c, d, ..] = draw.to_le_bytes();
        match self.crowds.free(crowd, ports, u32::from_le_bytes([a, b, c, d])) {
            // A flow that keeps its source may have it.
            Some(port) => self.is_free(now, &key.with_port(port)).then_some(Some(port)),
            // What has rested is free, though it was not removed yet.
            None => {
                let flows = self.wheel.next().saturating_add(self.hold.shortest());
                (self.hold.next() > now && flows > now).then_some(None)
            }
        }
    }

    /// Whether no flow has an outside key, and it does not rest. A flow past its deadline rests from then on, removed or not.
    fn is_free(&self, now: u64, key: &Key) -> bool {
        let hash = self.secret.hash(key);
        if let Some((slot, _)) = self.lookup(hash, key) {
            let Some(record) = self.records.get(slot) else { return true };
            return self.deadline(record) <= now && !self.must_rest(now, record);
        }
        !self.hold.holds(now, hash, key)
    }
}

/// All numbers below a limit, each once, in a random order: a keyed permutation of the next even power of two (Luby and Rackoff's
/// Feistel network), less what is beyond the limit.
#[derive(Clone, Copy)]
struct Shuffle {
    limit: u32,
    /// Half the bits of a number.
    bits: u32,
    keys: [u32; 4],
    next: u32,
}

impl Shuffle {
    fn new(limit: u32, draw: u64) -> Self {
        let bits =
            u32::BITS.wrapping_sub(limit.saturating_sub(1).leading_zeros()).div_ceil(2).max(1);
        let [a, b, c, d, e, f, g, h] = draw.to_be_bytes();
        let (left, right) = (u32::from_be_bytes([a, b, c, d]), u32::from_be_bytes([e, f, g, h]));
        Self {
            limit,
            bits,
            keys: [left, right, left.rotate_left(16), right.rotate_left(16)],
            next: 0,
        }
    }

    fn permute(&self, number: u32) -> u32 {
        let mask = (1_u32 << self.bits).wrapping_sub(1);
        let (mut left, mut right) = (number >> self.bits, number & mask);
        for key in self.keys {
            let mixed = (right ^ key).wrapping_mul(0x9E37_79B1);
            let mixed = (mixed ^ mixed >> 15 ^ key).wrapping_mul(0x85EB_CA77);
            (left, right) = (right, left ^ (mixed >> 16 & mask));
        }
        left << self.bits | right
    }
}

impl Iterator for Shuffle {
    type Item = u32;

    #[inline]
    fn next(&mut self) -> Option<u32> {
        while self.next >> self.bits >> self.bits == 0 {
            let number = self.permute(self.next);
            self.next = self.next.wrapping_add(1);
            if number < self.limit {
                return Some(number);
            }
        }
        None
    }
}
