//! Which unit of a network the flows of traffic belong to.

use core::net::{Ipv4Addr, SocketAddrV4};
use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};

use foldhash::fast::RandomState;
use serde::{Deserialize, Serialize};
use vnetem::packet::{AddressClass, FiveTuple};
use vnetem::{Edge, NicId, Protocol, Shard, Sharding, SubnetId};

use crate::packet::{Packet, Segment};
use crate::places::{Nowhere, Places, Targets};
use crate::replay::{Unit, Units};
use crate::side::Origin;
use crate::{Change, Traffic};

/// A flow to be tried.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Case {
    pub(crate) origin: Origin,
    pub(crate) tuple: FiveTuple,
    pub(crate) packets: u64,
    pub(crate) bytes: u64,
    pub(crate) open: bool,
}

/// Sorts the flows of traffic by unit, without the flows that cannot be tried.
pub struct Spread<'a> {
    units: Units,
    sharding: Sharding,
    places: Places<'a>,
    public: HashMap<Ipv4Addr, Ipv4Addr>,
    nics: HashMap<(SubnetId, Ipv4Addr), NicId, RandomState>,
}

/// A flow of one file, with its unit. Flows of many files become one in [`UnitFlows`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LoggedFlow {
    /// The unit that the flow belongs to.
    pub unit: Unit,
    /// What the log is of, by a hash of its name.
    target: u64,
    flow: FlowId,
    /// Where it begins, or why it cannot be tried.
    origin: Result<Option<u32>, u8>,
    /// Where it goes, if not to the address in the log.
    public: Option<Ipv4Addr>,
    packets: u64,
    bytes: u64,
    open: bool,
    /// When it was seen last, and in which file.
    last: (u64, u64),
}

/// The ends of a flow as plain numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub(crate) struct FlowId {
    protocol: u8,
    source: SocketAddrV4,
    destination: SocketAddrV4,
}

impl FlowId {
    pub(crate) fn of(tuple: &FiveTuple) -> Self {
        let FiveTuple { protocol, source, destination } = *tuple;
        Self { protocol: protocol.0, source, destination }
    }

    pub(crate) fn tuple(self) -> FiveTuple {
        let Self { protocol, source, destination } = self;
        FiveTuple { protocol: Protocol(protocol), source, destination }
    }
}

impl Origin {
    /// The origin as a plain number, none for the internet.
    pub(crate) fn number(self) -> Option<u32> {
        match self {
            Self::Subnet(id) => Some(id.0),
            Self::Internet => None,
        }
    }

    pub(crate) fn of_number(number: Option<u32>) -> Self {
        number.map_or(Self::Internet, |number| Self::Subnet(SubnetId(number)))
    }
}

impl<'a> Spread<'a> {
    /// Splits the network of a change. Domains of more addresses than `most` are split further.
    #[must_use]
    pub fn new(change: &'a Change, targets: &'a Targets, most: u64) -> Self {
        let network = &change.before;
        let nics = network.nics().map(|(id, nic)| ((nic.subnet, nic.address), id));
        let public = network.nics().filter_map(|(_, nic)| Some((nic.address, nic.public?)));
        Self {
            units: Units::new(network, &[&change.first, &change.second], most),
            sharding: Sharding::new(&change.first, 1),
            places: Places::new(network, targets),
            public: public.collect(),
            nics: nics.collect(),
        }
    }

    /// Returns the units.
    #[must_use]
    pub fn units(&self) -> &Units {
        &self.units
    }

    /// Gives all flows of a file of this number, each with its unit.
    pub fn flows(&mut self, traffic: &Traffic, file: u64, mut take: impl FnMut(LoggedFlow)) {
        let names = traffic.targets();
        let hashes: Vec<u64> = names.iter().map(|name| hash_of(name)).collect();
        for (key, flow) in traffic.unsorted() {
            let place = key.target.and_then(|number| usize::try_from(number).ok());
            let name = place.and_then(|place| names.get(place));
            let tuple = key.tuple();
            let (unit, sent, origin) = self.place(name.map(String::as_str), &tuple);
            let public = (sent.destination != tuple.destination).then(|| *sent.destination.ip());
            take(LoggedFlow {
                unit,
                target: place.and_then(|place| hashes.get(place)).copied().unwrap_or_default(),
                flow: FlowId::of(&tuple),
                origin: origin.map(Origin::number).map_err(Nowhere::code),
                public,
                packets: flow.packets,
                bytes: flow.bytes,
                open: flow.open,
                last: (flow.last, file),
            });
        }
    }

    /// Gives the flows of all traffic that can be tried, and counts the others.
    pub(crate) fn cases(
        &mut self,
        traffic: &Traffic,
        skipped: &mut BTreeMap<Cow<'static, str>, u64>,
    ) -> BTreeMap<Unit, Vec<Case>> {
        let mut cases: BTreeMap<Unit, Vec<Case>> = BTreeMap::new();
        let names = traffic.targets();
        for (key, flow) in traffic.unsorted() {
            let place = key.target.and_then(|number| usize::try_from(number).ok());
            let name = place.and_then(|place| names.get(place));
            let (unit, tuple, origin) = self.place(name.map(String::as_str), &key.tuple());
            match origin {
                Ok(origin) => cases.entry(unit).or_default().push(Case {
                    origin,
                    tuple,
                    packets: flow.packets,
                    bytes: flow.bytes,
                    open: flow.open,
                }),
                Err(why) => *skipped.entry(why.name().into()).or_default() += 1,
            }
        }
        cases
    }

    /// Finds out where a flow begins, and where it goes as the internet calls that.
    fn place(
        &mut self,
        target: Option<&str>,
        tuple: &FiveTuple,
    ) -> (Unit, FiveTuple, Result<Origin, Nowhere>) {
        let mut tuple = *tuple;
        let [source, destination] = [*tuple.source.ip(), *tuple.destination.ip()];
        let origin = match self.places.origin(target, source) {
            // Logs have the private address of what the internet calls by a public one.
            Err(Nowhere::NotInModel) if AddressClass::of(source) == AddressClass::Public => {
                match self.public.get(&destination) {
                    Some(address) => {
                        tuple.destination.set_ip(*address);
                        Ok(Origin::Internet)
                    }
                    None if self.places.is_inside(destination) => Err(Nowhere::FromInternet),
                    None => Err(Nowhere::NotInModel),
                }
            }
            other => other,
        };
        let unit = origin.map_or(0, |origin| self.unit(origin, &tuple));
        (unit, tuple, origin)
    }

    /// Returns the unit of a flow.
    pub(crate) fn unit(&mut self, origin: Origin, tuple: &FiveTuple) -> Unit {
        let edge = match origin {
            Origin::Internet => Edge::Internet,
            Origin::Subnet(id) => self
                .nics
                .get(&(id, *tuple.source.ip()))
                .map_or(Edge::Subnet(id), |nic| Edge::Nic(*nic)),
        };
        let sharding = &mut self.sharding;
        self.units.of_edge(edge, *tuple.destination.ip(), || -> Option<Shard> {
            Some(sharding.shard(edge, Packet::new(tuple, Segment::SYN).bytes()))
        })
    }
}

/// The flows of one unit, of any number of files in any order.
#[derive(Debug, Default)]
pub struct UnitFlows {
    flows: HashMap<(u64, FlowId), LoggedFlow, RandomState>,
}

impl UnitFlows {
    /// Adds a flow of a file.
    pub fn add(&mut self, flow: LoggedFlow) {
        let held = self.flows.entry((flow.target, flow.flow));
        held.and_modify(|held| {
            held.packets = held.packets.saturating_add(flow.packets);
            held.bytes = held.bytes.saturating_add(flow.bytes);
            // As if the files had been read one after the other.
            if flow.last >= held.last {
                (held.last, held.open) = (flow.last, flow.open);
            }
        })
        .or_insert(flow);
    }

    /// Returns the number of flows.
    #[must_use]
    pub fn len(&self) -> usize {
        self.flows.len()
    }

    /// Returns whether there is no flow.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.flows.is_empty()
    }

    /// Returns the flows that can be tried, and counts the others.
    pub(crate) fn cases(self, skipped: &mut BTreeMap<Cow<'static, str>, u64>) -> Vec<Case> {
        let mut cases = Vec::with_capacity(self.flows.len());
        for flow in self.flows.into_values() {
            let mut tuple = flow.flow.tuple();
            if let Some(public) = flow.public {
                tuple.destination.set_ip(public);
            }
            match flow.origin {
                Ok(origin) => cases.push(Case {
                    origin: Origin::of_number(origin),
                    tuple,
                    packets: flow.packets,
                    bytes: flow.bytes,
                    open: flow.open,
                }),
                Err(code) => {
                    let why = Nowhere::of_code(code).name();
                    *skipped.entry(why.into()).or_default() += 1;
                }
            }
        }
        cases
    }
}

/// Returns a hash that is the same in every process.
fn hash_of(name: &str) -> u64 {
    use core::hash::{BuildHasher, Hasher};
    let mut hasher = foldhash::quality::FixedState::with_seed(1).build_hasher();
    hasher.write(name.as_bytes());
    hasher.finish()
}
