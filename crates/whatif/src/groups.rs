//! Flows that behave alike, gathered to one row.

use core::net::Ipv4Addr;
use std::collections::{HashMap, HashSet};

use foldhash::fast::RandomState;
use serde::{Deserialize, Serialize};
use vnetem::packet::{AddressClass, FiveTuple};
use vnetem::{Protocol, ResourceId, ServiceId, SiteId, SubnetId, control::NextHopType};

use crate::change::subnet_name;
use crate::live::Fared;
use crate::report::{Account, Destination, Group, Outcome};
use crate::seen::{AccessSeen, Delivery, Seen, Shared, Source};
use crate::side::{Origin, Side};

/// What makes flows one row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct GroupKey {
    pub(crate) origin: Origin,
    pub(crate) target: Target,
    /// Of services only: other ports are told apart by how they fare.
    pub(crate) port: Option<u16>,
    pub(crate) protocol: u8,
    pub(crate) before: Seen,
    pub(crate) after: Seen,
}

/// Where flows go, whatever the way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Target {
    Service(ServiceId, Option<ResourceId>),
    PrivateEndpoint(ResourceId),
    Host(SubnetId),
    Site(SiteId),
    Private,
    Internet,
}

/// What a row adds up.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Row {
    flows: u64,
    packets: u64,
    bytes: u64,
    closed: u64,
    reopened: u64,
    sources: Few<Ipv4Addr>,
    destinations: HashSet<Ipv4Addr, RandomState>,
    ports: Few<u16>,
}

/// One value, or that there are several.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
enum Few<T> {
    #[default]
    None,
    One(T),
    Several,
}

impl<T: Copy + Eq> Few<T> {
    fn add(&mut self, value: T) {
        *self = match *self {
            Self::None => Self::One(value),
            Self::One(held) if held == value => Self::One(held),
            _ => Self::Several,
        };
    }

    /// Adds the values of another row.
    fn add_all(&mut self, other: Self) {
        match other {
            Self::None => {}
            Self::One(value) => self.add(value),
            Self::Several => *self = Self::Several,
        }
    }

    fn one(self) -> Option<T> {
        if let Self::One(value) = self { Some(value) } else { None }
    }
}

/// All rows, in the order in which they were met.
#[derive(Debug, Default)]
pub(crate) struct Groups {
    numbers: HashMap<GroupKey, u32, RandomState>,
    rows: Vec<(GroupKey, Row)>,
}

impl Groups {
    /// Adds a flow to its row, and says which that is.
    pub(crate) fn add(
        &mut self,
        key: GroupKey,
        tuple: &FiveTuple,
        packets: u64,
        bytes: u64,
    ) -> u32 {
        let number = self.number(key);
        if let Some((_, tally)) = self.row(number) {
            tally.flows += 1;
            tally.packets += packets;
            tally.bytes += bytes;
            tally.sources.add(*tuple.source.ip());
            tally.destinations.insert(*tuple.destination.ip());
            tally.ports.add(tuple.destination.port());
        }
        number
    }

    /// Adds the flows of a row of the same key.
    pub(crate) fn add_row(&mut self, key: GroupKey, other: &Row) {
        let number = self.number(key);
        if let Some((_, row)) = self.row(number) {
            row.flows += other.flows;
            row.packets += other.packets;
            row.bytes += other.bytes;
            row.closed += other.closed;
            row.reopened += other.reopened;
            row.sources.add_all(other.sources);
            row.destinations.extend(&other.destinations);
            row.ports.add_all(other.ports);
        }
    }

    /// The row of a key, a new one if need be.
    fn number(&mut self, key: GroupKey) -> u32 {
        let next = u32::try_from(self.rows.len()).unwrap_or(u32::MAX);
        let number = *self.numbers.entry(key).or_insert(next);
        if number == next {
            self.rows.push((key, Row::default()));
        }
        number
    }

    /// All rows, in the order in which they were met.
    pub(crate) fn into_rows(self) -> impl Iterator<Item = Row> {
        self.rows.into_iter().map(|(_, row)| row)
    }

    /// Adds what became of an open flow.
    pub(crate) fn fared(&mut self, number: u32, fared: Fared) {
        if let Some((_, tally)) = self.row(number) {
            tally.closed += u64::from(fared.closed);
            tally.reopened += u64::from(fared.reopened);
        }
    }

    fn row(&mut self, number: u32) -> Option<&mut (GroupKey, Row)> {
        self.rows.get_mut(usize::try_from(number).ok()?)
    }

    /// The keys of all rows with how many flows each has.
    pub(crate) fn keys(&self) -> impl Iterator<Item = (&GroupKey, u64)> {
        self.rows.iter().map(|(key, tally)| (key, tally.flows))
    }

    /// The rows of the report: those that change first, then the large ones.
    pub(crate) fn report(
        &self,
        before: &Side<'_>,
        after: &Side<'_>,
        shared: &Shared,
    ) -> Vec<Group> {
        let writer = Writer { before, after, shared };
        let mut groups: Vec<(&GroupKey, Group)> =
            self.rows.iter().map(|(key, tally)| (key, writer.group(key, tally))).collect();
        groups.sort_by(|(one_key, one), (other_key, other)| {
            let rank = |group: &Group| (!group.different, core::cmp::Reverse(group.flows));
            (rank(one), one_key).cmp(&(rank(other), other_key))
        });
        groups.into_iter().map(|(_, group)| group).collect()
    }
}

impl GroupKey {
    pub(crate) fn is_different(&self) -> bool {
        self.before != self.after
    }
}

/// Finds out where a flow goes, whatever the way that it takes.
pub(crate) fn target(side: &Side<'_>, origin: Origin, tuple: &FiveTuple) -> Target {
    let destination = *tuple.destination.ip();
    if let Some(service) = side.snapshot.service_at(destination) {
        let one = match side.snapshot.resources_at(destination) {
            [one] => Some(*one),
            _ => None,
        };
        return Target::Service(service, one);
    }
    if AddressClass::of(destination) == AddressClass::Public {
        return Target::Internet;
    }
    let Origin::Subnet(subnet) = origin else { return Target::Private };
    let Ok(own) = side.network.subnet(subnet) else { return Target::Private };
    let Ok(vnet) = side.network.vnet(own.vnet) else { return Target::Private };
    let near = |id| id == own.vnet || vnet.peers.contains(&id);
    let mut private = side.network.private_endpoints().map(|(_, endpoint)| endpoint);
    let endpoint = private.find(|endpoint| {
        endpoint.address == destination
            && side.network.subnet(endpoint.subnet).is_ok_and(|subnet| near(subnet.vnet))
    });
    if let Some(endpoint) = endpoint {
        return Target::PrivateEndpoint(endpoint.resource);
    }
    let mut subnets = side.network.subnets();
    let held = subnets.find(|(_, other)| near(other.vnet) && other.prefix.contains(&destination));
    if let Some((id, _)) = held {
        return Target::Host(id);
    }
    let mut sites = side.network.sites();
    let site = sites.find(|(_, site)| site.ranges.iter().any(|range| range.contains(&destination)));
    site.map_or(Target::Private, |(id, _)| Target::Site(id))
}

/// Puts names to numbers.
pub(crate) struct Writer<'a> {
    pub(crate) before: &'a Side<'a>,
    pub(crate) after: &'a Side<'a>,
    pub(crate) shared: &'a Shared,
}

impl Writer<'_> {
    /// The name of an origin.
    pub(crate) fn origin(&self, origin: Origin) -> String {
        match origin {
            Origin::Internet => "internet".to_owned(),
            Origin::Subnet(id) => self.subnet(id),
        }
    }

    pub(crate) fn subnet(&self, id: SubnetId) -> String {
        let network = match self.before.network.subnet(id) {
            Ok(_) => self.before.network,
            Err(_) => self.after.network,
        };
        subnet_name(network, id)
    }

    pub(crate) fn resource(&self, id: ResourceId) -> String {
        let of = |side: &Side<'_>| side.network.resource(id).ok().map(|one| one.name.clone());
        of(self.before).or_else(|| of(self.after)).unwrap_or_else(|| id.to_string())
    }

    /// The destination as words: `stlogs (Microsoft.Storage)`.
    pub(crate) fn target(&self, target: Target) -> String {
        let destination = self.destination(target);
        match (destination.resource, destination.service) {
            (Some(resource), Some(service)) => format!("{resource} ({service})"),
            (Some(resource), None) => resource,
            (None, Some(service)) => service,
            (None, None) => destination.kind.to_owned(),
        }
    }

    fn destination(&self, target: Target) -> Destination {
        let (kind, service, resource) = match target {
            Target::Service(service, resource) => ("service", Some(service), resource),
            Target::PrivateEndpoint(resource) => {
                let held = self.before.network.resource(resource);
                let held = held.or_else(|_| self.after.network.resource(resource));
                ("private-endpoint", held.ok().map(|held| held.service), Some(resource))
            }
            Target::Host(id) => {
                let resource = Some(self.subnet(id));
                return Destination { kind: "network", resource, ..Destination::default() };
            }
            Target::Site(id) => {
                let site = self.before.network.site(id).or_else(|_| self.after.network.site(id));
                let resource = site.ok().map(|site| site.name.clone());
                return Destination { kind: "site", resource, ..Destination::default() };
            }
            Target::Private => ("private", None, None),
            Target::Internet => ("internet", None, None),
        };
        Destination {
            kind,
            service: service.map(|service| self.after.snapshot.service_name(service)),
            resource: resource.map(|resource| self.resource(resource)),
            ..Destination::default()
        }
    }

    fn group(&self, key: &GroupKey, tally: &Row) -> Group {
        let mut destination = self.destination(key.target);
        let mut addresses = tally.destinations.iter();
        destination.addresses = u64::try_from(tally.destinations.len()).unwrap_or(u64::MAX);
        destination.address = match destination.addresses {
            1 => addresses.next().map(ToString::to_string),
            _ => None,
        };
        destination.port = tally.ports.one();
        destination.protocol = Protocol(key.protocol).to_string();
        Group {
            flows: tally.flows,
            packets: tally.packets,
            bytes: tally.bytes,
            subnet: self.origin(key.origin),
            destination,
            before: self.outcome(key.origin, &key.before, tally.sources.one()),
            after: self.outcome(key.origin, &key.after, tally.sources.one()),
            closed: tally.closed,
            reopened: tally.reopened,
            different: key.is_different() || tally.closed > 0,
            accounts: self.accounts(key),
        }
    }

    fn outcome(&self, origin: Origin, seen: &Seen, sender: Option<Ipv4Addr>) -> Outcome {
        let range = || match origin {
            Origin::Subnet(id) => {
                let own = self.before.network.subnet(id);
                let own = own.or_else(|_| self.after.network.subnet(id));
                own.ok().map(|subnet| subnet.prefix.to_string())
            }
            Origin::Internet => None,
        };
        let (source, source_kind) = match seen.source {
            Source::None => (None, None),
            Source::Private => {
                let one = sender.map(|address| address.to_string());
                let kind = if origin == Origin::Internet { "public" } else { "private" };
                (one.or_else(range), Some(kind))
            }
            Source::Appliance(address) => (Some(address.to_string()), Some("private")),
            Source::Public(number) => {
                let pool = usize::try_from(number).ok().and_then(|at| self.shared.pools.get(at));
                (pool.map(|pool| pool_name(pool)), Some("public"))
            }
            Source::PublicUnknown => (None, Some("public-unknown")),
            Source::Unknown => (None, Some("unknown")),
        };
        Outcome {
            disposition: seen.disposition.name(),
            next_hop: seen.next_hop.map(NextHopType::name),
            next_hop_address: seen.appliance.map(|address| address.to_string()),
            source,
            source_kind,
            access: seen.access.name(),
            reason: seen.reason,
        }
    }

    /// What each account says, where more than one may be meant.
    fn accounts(&self, key: &GroupKey) -> Vec<Account> {
        if !matches!(key.target, Target::Service(_, None)) {
            return Vec::new();
        }
        let before = self.shared.answers_of(&key.before);
        let after = self.shared.answers_of(&key.after);
        let mut accounts: Vec<Account> = Vec::new();
        for answer in before.iter().chain(after) {
            let of = |list: &[crate::seen::Answer]| {
                list.iter().find(|one| one.resource == answer.resource).copied()
            };
            let name = self.resource(answer.resource);
            if accounts.iter().any(|known| known.resource == name) {
                continue;
            }
            let (before, after) = (of(before), of(after));
            accounts.push(Account {
                resource: name,
                before: before.and_then(|one| one.access.name()),
                after: after.and_then(|one| one.access.name()),
                reason: after.and_then(|one| one.reason),
            });
        }
        accounts
    }
}

/// The addresses of an outbound method, the first few of many.
fn pool_name(pool: &[Ipv4Addr]) -> String {
    let shown: Vec<String> = pool.iter().take(4).map(ToString::to_string).collect();
    match pool.len().saturating_sub(4) {
        0 => shown.join(", "),
        more => format!("{} and {more} more", shown.join(", ")),
    }
}

/// Whether a flow that fared well is refused or lost.
pub(crate) fn is_worse(before: &Seen, after: &Seen, shared: &Shared) -> bool {
    if before.disposition != Delivery::Forward || before.access == AccessSeen::Deny {
        return false;
    }
    let gone = after.disposition != Delivery::Forward || after.access == AccessSeen::Deny;
    gone || newly_refused(before, after, shared).next().is_some()
}

/// Accounts that refuse a flow which they did not refuse before.
pub(crate) fn newly_refused<'a>(
    before: &Seen,
    after: &Seen,
    shared: &'a Shared,
) -> impl Iterator<Item = &'a crate::seen::Answer> {
    let forwarded = before.disposition == Delivery::Forward;
    let old = shared.answers_of(before);
    shared.answers_of(after).iter().filter(move |answer| {
        let was = old.iter().find(|one| one.resource == answer.resource);
        forwarded
            && answer.access == AccessSeen::Deny
            && was.is_some_and(|was| was.access != AccessSeen::Deny)
    })
}
