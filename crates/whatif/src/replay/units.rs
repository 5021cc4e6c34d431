//! Which unit a packet belongs to.

use std::sync::Arc;

use vnetem::{Domains, Edge, Headers, Network, Settings, Shard, Sharding, Snapshot};

use super::hosts::{Hosts, KnownEdges};

/// A part of a network that has a data plane of its own, numbered from 0.
pub type Unit = u8;

/// Addresses above which a translation domain is split into the 64 shards of [`Sharding`]: as many
/// as four networks of /16 have.
pub const SPLIT_ABOVE: u64 = 1 << 18;

/// Units that whole domains are spread over at most.
const WHOLE: usize = 64;

/// First fragments that a [`Finder`] remembers.
const FRAGMENTS: usize = 1 << 12;

/// The units of a network: up to 64 that each serve whole translation domains, and 64 more that
/// share the domains which are too large for one.
///
/// The network alone says how many there are, never the machine. So a packet is translated alike
/// wherever its unit runs.
///
/// ```
/// use vnetem::{Network, control::Outbound};
/// use vnetem_whatif::replay::Units;
///
/// fn main() -> Result<(), Box<dyn std::error::Error>> {
///     let mut network = Network::new();
///     for (number, name) in [(1, "alpha"), (2, "beta"), (3, "gamma")] {
///         let vnet = network.add_vnet(name, &[format!("10.{number}.0.0/16").parse()?])?;
///         let web = network.add_subnet(vnet, "web", format!("10.{number}.0.0/24").parse()?)?;
///         let public = format!("20.1.1.{number}").parse()?;
///         network.set_outbound(web, Outbound::NatGateway(vec![public]))?;
///     }
///     let snapshot = network.commit();
///     assert_eq!(Units::new(&network, &[&snapshot], 1 << 18).count(), 3);
///     assert_eq!(Units::new(&network, &[&snapshot], 100).count(), 64);
///     Ok(())
/// }
/// ```
#[derive(Clone, Debug)]
pub struct Units {
    domains: Domains,
    hosts: Arc<Hosts>,
    /// The unit of each domain; none of a domain that is split.
    whole: Vec<Option<Unit>>,
    wholes: usize,
    is_split: bool,
}

impl Units {
    /// Splits a network. `snapshots` are those that will serve it, such as before and after a
    /// change. Domains of more addresses than `most` are split.
    #[must_use]
    pub fn new(network: &Network, snapshots: &[&Snapshot], most: u64) -> Self {
        let domains = Domains::new(snapshots.iter().copied());
        let mut next = 0;
        let whole = (0..domains.len()).map(|domain| {
            (domains.addresses(domain) <= most).then(|| {
                next += 1;
                u8::try_from((next - 1) % WHOLE).unwrap_or_default()
            })
        });
        let whole: Vec<Option<Unit>> = whole.collect();
        let is_split = whole.iter().any(Option::is_none);
        // What belongs to no domain is played as well, by the first unit.
        let wholes = next.clamp(usize::from(!is_split), WHOLE);
        Self { domains, hosts: Arc::new(Hosts::new(network)), whole, wholes, is_split }
    }

    /// Returns the number of units.
    #[must_use]
    pub fn count(&self) -> usize {
        self.wholes + if self.is_split { usize::from(Shard::COUNT) } else { 0 }
    }

    /// Returns the number of domains.
    #[must_use]
    pub fn domains(&self) -> usize {
        self.domains.len()
    }

    /// Returns where hosts are.
    #[must_use]
    pub fn hosts(&self) -> &Arc<Hosts> {
        &self.hosts
    }

    /// Returns the settings of a unit's data plane, of which all together have room for `flows`.
    #[must_use]
    pub fn settings(&self, unit: Unit, flows: u32) -> Settings {
        let mut settings = Settings::replayable(1);
        let count = u32::try_from(self.count()).unwrap_or(u32::MAX);
        settings.flows.capacity = (flows / count).max(1 << 10);
        settings.flows.held = settings.flows.held.min(settings.flows.capacity);
        let split = usize::from(unit).checked_sub(self.wholes);
        settings.shard = split.and_then(|number| Shard::all().nth(number));
        settings
    }

    /// Returns the unit of a flow that enters by an edge. `shard` says the shard, if it is asked.
    pub(crate) fn of_edge(
        &self,
        edge: Edge,
        destination: core::net::Ipv4Addr,
        shard: impl FnOnce() -> Option<Shard>,
    ) -> Unit {
        let domain = self.domains.at(edge).or_else(|| self.domains.behind(destination));
        match domain.and_then(|domain| self.whole.get(domain)) {
            None => 0,
            Some(Some(unit)) => *unit,
            Some(None) => {
                let shard = shard().map_or(0, Shard::index);
                u8::try_from(self.wholes + shard).unwrap_or_default()
            }
        }
    }
}

/// Finds the units of the packets of one capture.
///
/// It remembers first fragments, since later ones do not have ports. Use one for each file, so that
/// no packet depends on which files are read together.
#[derive(Debug)]
pub struct Finder<'a> {
    units: &'a Units,
    sharding: Option<Sharding>,
    known: KnownEdges,
}

impl<'a> Finder<'a> {
    /// Follows the network as it is before a change of endpoints, which moves no address.
    #[must_use]
    pub fn new(units: &'a Units, snapshot: &Snapshot) -> Self {
        let sharding = units.is_split.then(|| Sharding::new(snapshot, FRAGMENTS));
        Self { units, sharding, known: KnownEdges::default() }
    }

    /// Returns the unit of a packet, as it was captured at a host or beside one.
    pub fn unit(&mut self, packet: &[u8]) -> Unit {
        let Ok(headers) = Headers::parse(packet) else { return 0 };
        let hosts = &self.units.hosts;
        let known = &mut self.known;
        let edge = known.edge(hosts, headers.source);
        // An answer belongs to the host that asked.
        let edge = edge.or_else(|| known.edge(hosts, headers.destination));
        let edge = edge.unwrap_or(Edge::Internet);
        let sharding = &mut self.sharding;
        self.units.of_edge(edge, headers.destination, || {
            sharding.as_mut().map(|sharding| sharding.shard(edge, packet))
        })
    }
}
