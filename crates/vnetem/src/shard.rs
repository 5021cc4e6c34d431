//! Splits one network over many cores: 64 shards that share nothing, so that no result depends on
//! the number of workers.

mod concerns;
mod domains;
mod realms;

use core::net::Ipv4Addr;
use std::collections::BTreeMap;

use vnetem_packet::{FiveTuple, Fragment, Headers, Protocol, Quote, Transport};

pub use domains::Domains;

use concerns::Concerns;
use realms::{RealmId, Realms};

use crate::snapshot::{Method, OutboundView, PlaceView};
use crate::{EdgeId, Snapshot};

/// One of the [64](Self::COUNT) parts into which the traffic of a network is split.
///
/// Use one [`DataPlane`](crate::DataPlane) for each shard, with the shard in its
/// [settings](crate::Settings::shard), and [`Sharding`] in front. A worker may own any number of
/// shards. There are always 64, so the same packets come out for any number of workers.
///
/// How traffic is split:
///
/// - A host belongs to one shard with all its flows. Flows of protocols without ports belong with
///   their remote end.
/// - Each shard hands out its own slice of the ports of every public address that several hosts
///   share.
/// - A host is internal if it is in the ranges of the networks and sites that are connected with
///   the place of entry, directly or through others. Traffic between two internal hosts belongs to
///   both addresses together. Other traffic belongs to the internal host.
/// - A host that reaches an address of a connected network by the internet has separate ports for
///   that.
///
/// What differs from a single data plane:
///
/// - A public address is exhausted slice by slice, and the limits of [`Settings`](crate::Settings)
///   hold for each shard.
/// - Hairpin traffic between hosts of two shards is not seen.
/// - Pools that share an address must have the same ports. Where these change, replies to open
///   flows may go to the wrong shard.
/// - Where networks become connected whose hosts had met by the internet, late segments of the
///   closed flows get no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Shard(u8);

/// Says which shard a packet belongs to.
///
/// It follows the configuration as data planes do. It remembers first fragments, since later ones
/// from the public side do not name their receiver. A fragment whose first one is forgotten goes to
/// a shard that drops it as a fragment without its first.
#[derive(Debug)]
pub struct Sharding {
    owners: BTreeMap<Ipv4Addr, Owner>,
    /// The last owners of addresses that nobody has any more, each with the order of leaving.
    former: BTreeMap<Ipv4Addr, (u64, Owner)>,
    left: BTreeMap<u64, Ipv4Addr>,
    realms: Realms,
    /// What it follows.
    concerns: Concerns,
    fragments: Vec<Option<(Datagram, Shard)>>,
}

/// Who has the ports of a public address.
#[derive(Debug)]
enum Owner {
    /// Many hosts: each shard has a slice of the ports from the first to the last.
    Sliced(u16, u16),
    /// One host.
    Host(Host),
    /// The members of a load balancer, by first and last port.
    Members(Vec<(u16, u16, Host)>),
}

/// A host that has a public address or ports of its own, and its realm.
#[derive(Clone, Copy, Debug)]
struct Host {
    address: Ipv4Addr,
    realm: RealmId,
}

/// The most first fragments that are remembered, whatever the caller asks for.
const MOST_FRAGMENTS: usize = 1 << 20;

/// The most former owners of addresses that are remembered.
const MOST_FORMER: usize = 1 << 14;

/// What all fragments of a datagram have in common (RFC 791 3.2).
type Datagram = (Ipv4Addr, Ipv4Addr, u16, Protocol);

impl Shard {
    /// The number of shards, on any machine.
    pub const COUNT: u8 = 64;

    /// Iterates over all shards.
    pub fn all() -> impl Iterator<Item = Self> {
        (0..Self::COUNT).map(Self)
    }

    /// Returns its number, from 0.
    #[must_use]
    pub const fn index(self) -> usize {
        self.0 as usize
    }

    /// Returns the first and last port of its slice of a range. Returns `None` if there are fewer
    /// ports than shards and this one gets none.
    pub(crate) fn slice(self, first: u16, last: u16) -> Option<(u16, u16)> {
        let [start, end] = [self.0, self.0 + 1].map(|shard| border(first, last, shard));
        (start < end)
            .then(|| [start, end - 1].map(|port| u16::try_from(port).unwrap_or(u16::MAX)))
            .map(Into::into)
    }

    /// Returns the shard whose slice of a range contains a port.
    fn of_port(port: u16, first: u16, last: u16) -> Option<Self> {
        let ports = u64::from(last).checked_sub(first.into())? + 1;
        let at = u64::from(port).checked_sub(first.into()).filter(|at| *at < ports)?;
        // The last shard that starts no later: the greatest with `ports * shard / COUNT <= at`,
        // rounded down.
        u8::try_from(((at + 1) * u64::from(Self::COUNT) - 1) / ports).ok().map(Self)
    }

    fn of_host(address: Ipv4Addr) -> Self {
        Self::of_bits(address.to_bits())
    }

    /// Spreads bits over the shards by multiplicative hashing (Knuth, volume 3, 6.4). Hosts of a
    /// network differ mostly in the lowest bits.
    fn of_bits(bits: u32) -> Self {
        let [.., low] = (bits.wrapping_mul(0x9E37_79B1) >> 26).to_be_bytes();
        Self(low)
    }
}

/// Returns the first port of a shard's slice.
fn border(first: u16, last: u16, shard: u8) -> u32 {
    let ports = u32::from(last).saturating_sub(first.into()) + 1;
    u32::from(first) + ports * u32::from(shard) / u32::from(Shard::COUNT)
}

impl Sharding {
    /// Follows `snapshot`, and remembers up to `fragments` first fragments, at most 2^20.
    #[must_use]
    pub fn new(snapshot: &Snapshot, fragments: usize) -> Self {
        let mut sharding = Self {
            owners: BTreeMap::new(),
            former: BTreeMap::new(),
            left: BTreeMap::new(),
            realms: Realms::default(),
            concerns: Concerns::default(),
            fragments: vec![None; fragments.clamp(1, MOST_FRAGMENTS)],
        };
        sharding.apply(snapshot);
        sharding
    }

    /// Takes a new configuration. Call it when the data planes take theirs.
    ///
    /// It keeps the last 16,384 former owners of public addresses, since their tombstones still
    /// answer (INV-tombstone-answers). It also keeps former connections as long as both ends exist.
    /// A change of endpoints, routes or rules concerns no shard and costs nothing here.
    pub fn apply(&mut self, snapshot: &Snapshot) {
        if !self.concerns.change(snapshot) {
            return;
        }
        self.realms.apply(snapshot);
        let former = core::mem::take(&mut self.owners);
        for place in snapshot.places.values() {
            match place {
                PlaceView::Subnet(subnet) => {
                    for &address in &subnet.retained {
                        self.owners.entry(address).or_insert(Owner::Sliced(1024, u16::MAX));
                    }
                    self.own(subnet.outbound.as_ref(), None);
                }
                PlaceView::Site(site) => {
                    self.own(site.outbound.as_ref(), None);
                    self.own(site.peering.as_ref(), None);
                }
            }
        }
        for nic in snapshot.nics.values() {
            let Some(realm) = self.realms.of_place(nic.subnet.0) else { continue };
            let host = Some(Host { address: nic.address, realm });
            self.own(nic.balanced.as_ref(), host);
            self.own(nic.instance.as_ref(), host);
            self.own(nic.kept.as_ref(), None);
        }
        for (address, owner) in former {
            if !self.owners.contains_key(&address) {
                self.leave(address, owner);
            }
        }
    }

    /// Remembers the former owner of an address, and forgets the oldest one.
    fn leave(&mut self, address: Ipv4Addr, owner: Owner) {
        let next = self.left.last_key_value().map_or(0, |(last, _)| last + 1);
        if let Some((before, _)) = self.former.insert(address, (next, owner)) {
            self.left.remove(&before);
        }
        self.left.insert(next, address);
        if self.left.len() > MOST_FORMER
            && let Some((_, oldest)) = self.left.pop_first()
        {
            self.former.remove(&oldest);
        }
    }

    fn owner(&self, address: Ipv4Addr) -> Option<&Owner> {
        let former = || self.former.get(&address).map(|(_, owner)| owner);
        self.owners.get(&address).or_else(former)
    }

    fn own(&mut self, outbound: Option<&OutboundView>, host: Option<Host>) {
        let Some(outbound) = outbound else { return };
        for pool in &outbound.pools {
            for &address in &pool.addresses {
                let (first, last) = (pool.first_port, pool.last_port);
                match (outbound.method, host, self.owners.get_mut(&address)) {
                    (Method::LoadBalancer, Some(host), Some(Owner::Members(members))) => {
                        members.push((first, last, host));
                    }
                    (Method::LoadBalancer, Some(host), _) => {
                        let members = vec![(first, last, host)];
                        self.owners.insert(address, Owner::Members(members));
                    }
                    (_, Some(host), _) => {
                        self.owners.insert(address, Owner::Host(host));
                    }
                    (_, None, _) => {
                        self.owners.insert(address, Owner::Sliced(first, last));
                    }
                }
            }
        }
    }

    /// Returns the shard of a packet that is about to enter by an edge. The first shard counts
    /// malformed packets.
    pub fn shard(&mut self, edge: impl Into<EdgeId>, packet: &[u8]) -> Shard {
        let edge = edge.into();
        let Ok(headers) = Headers::parse(packet) else { return Shard(0) };
        let tuple = match headers.transport {
            // An ICMP error goes to the shard of the flow whose packet it quotes.
            Transport::IcmpError => Quote::parse(packet, &headers)
                .map_or_else(|_| headers.tuple(), |quote| quote.tuple().reversed()),
            _ => headers.tuple(),
        };
        if headers.fragment == Fragment::Whole {
            return self.of_tuple(edge, &tuple);
        }
        let datagram =
            (headers.source, headers.destination, headers.identification, headers.protocol);
        let place = usize::from(headers.identification).checked_rem(self.fragments.len());
        let place = place.and_then(|place| self.fragments.get_mut(place));
        match (headers.fragment, place) {
            (Fragment::Later { .. }, Some(Some((first, shard)))) if *first == datagram => *shard,
            (Fragment::First, _) => {
                let shard = self.of_tuple(edge, &tuple);
                let place = usize::from(headers.identification).checked_rem(self.fragments.len());
                if let Some(place) = place.and_then(|place| self.fragments.get_mut(place)) {
                    *place = Some((datagram, shard));
                }
                shard
            }
            _ => self.of_tuple(edge, &tuple),
        }
    }

    /// Returns the same shard for both directions of a flow, and for all flows of a host that leave
    /// its realm.
    fn of_tuple(&self, edge: EdgeId, tuple: &FiveTuple) -> Shard {
        let ends @ [source, destination] = [*tuple.source.ip(), *tuple.destination.ip()];
        let by_port = has_ports(tuple.protocol);
        if !edge.is_public() {
            let is_inside = match self.realms.at(edge) {
                Some(realm) => ends.map(|end| self.realms.contains(realm, end)),
                // The subnet or interface is gone, so nothing that enters there is taken.
                None => [false, false],
            };
            return match is_inside {
                [true, false] => of_pair(source, destination, by_port),
                [false, true] => of_pair(destination, source, by_port),
                _ => of_both(ends),
            };
        }
        let Some(owner) = self.owner(destination) else { return of_both(ends) };
        let port = tuple.destination.port();
        let host = match owner {
            // T-35: without ports only the remote end says who has the address.
            Owner::Sliced(..) if !by_port => return Shard::of_bits(source.to_bits()),
            Owner::Sliced(first, last) => match Shard::of_port(port, *first, *last) {
                Some(shard) => return shard,
                None => None,
            },
            Owner::Host(host) => Some(host),
            Owner::Members(members) => {
                let has = |(first, last, _): &&(u16, u16, Host)| (*first..=*last).contains(&port);
                members.iter().find(has).map(|(.., host)| host)
            }
        };
        match host {
            // A user route can lead an address of its own realm to the internet.
            Some(host) if self.realms.contains(host.realm, source) => {
                of_both([source, host.address])
            }
            Some(host) => of_pair(host.address, source, by_port),
            None => of_both(ends),
        }
    }
}

/// Returns the shard of traffic between a host and somebody outside its realm.
fn of_pair(host: Ipv4Addr, beyond: Ipv4Addr, by_port: bool) -> Shard {
    if by_port { Shard::of_host(host) } else { Shard::of_bits(beyond.to_bits()) }
}

/// Returns the shard of traffic between two addresses.
fn of_both([one, other]: [Ipv4Addr; 2]) -> Shard {
    Shard::of_bits(one.to_bits() ^ other.to_bits())
}

fn has_ports(protocol: Protocol) -> bool {
    matches!(protocol, Protocol::TCP | Protocol::UDP | Protocol::ICMP)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each port of a range is in the slice of the shard that the look-up by port returns, and in
    /// no other.
    #[test]
    fn slices_partition_the_port_range() {
        for (first, last) in [(1024, u16::MAX), (0, u16::MAX), (5000, 5063), (7, 20), (9, 9)] {
            let slices = Shard::all().filter_map(|shard| Some((shard, shard.slice(first, last)?)));
            let mut next = u32::from(first);
            for (shard, (start, end)) in slices {
                assert_eq!(u32::from(start), next);
                next = u32::from(end) + 1;
                for port in [start, end, start + (end - start) / 2] {
                    assert_eq!(Shard::of_port(port, first, last), Some(shard));
                }
            }
            assert_eq!(next, u32::from(last) + 1);
        }
    }

    #[test]
    fn port_outside_range_has_no_slice() {
        assert_eq!(Shard::of_port(1023, 1024, u16::MAX), None);
        assert_eq!(Shard::of_port(5064, 5000, 5063), None);
    }

    #[test]
    fn subnet_hosts_spread_over_shards() {
        let mut hosts = [0; Shard::COUNT as usize];
        for host in 0..6400_u32 {
            hosts[Shard::of_host((0x0A00_0000 + host).into()).index()] += 1;
        }
        assert!(hosts.iter().all(|count| (80..=120).contains(count)), "{hosts:?}");
    }
}
