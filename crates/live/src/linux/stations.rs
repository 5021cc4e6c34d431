//! Who is at which edge of a live network.

use std::collections::{BTreeSet, HashMap};
use std::net::Ipv4Addr;
use std::sync::Arc;

use vnetem::{DataPlane, Edge, EdgeId, NicId, ResourceId, ServiceId, SiteId, Snapshot, Time};
use vnetem_sim::{Appliance, Host, Link, LinkSettings};

use super::device::Device;
use super::identity::IdentityHeaders;
use super::namespaces::Spaces;

/// Somebody at an edge.
pub(super) struct Station {
    pub(super) name: String,
    pub(super) address: Ipv4Addr,
    pub(super) place: Place,
    pub(super) body: Body,
    /// What packets meet on their way to the network and back, if the scenario says so.
    pub(super) link: Option<Links>,
    /// Addresses that a real server has beside its own: those of private endpoints to it.
    pub(super) further: BTreeSet<Ipv4Addr>,
    /// Headers by which a real server learns who calls, if it wants them.
    pub(super) headers: Option<IdentityHeaders>,
}

/// A link in both directions.
pub(super) struct Links {
    pub(super) up: Link,
    pub(super) down: Link,
}

/// Where a station is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// At one edge.
    At(Edge),
    /// Behind a resource of a service, whatever the edge by which it is called.
    Resource(ServiceId, ResourceId),
}

/// What is there.
pub(super) enum Body {
    /// A host with the kernel's own TCP.
    Real(Device, Arc<Spaces>),
    /// A device of another network namespace, with whatever is behind it.
    Attached(Device),
    /// A simulated server.
    Server(Box<Host>),
    /// A simulated appliance.
    Appliance(Box<Appliance>),
}

/// All stations, found by where packets go.
#[derive(Default)]
pub(super) struct Stations {
    pub(super) all: Vec<Station>,
    nics: HashMap<NicId, usize>,
    internet: HashMap<Ipv4Addr, usize>,
    sites: HashMap<(SiteId, Ipv4Addr), usize>,
    services: HashMap<(ServiceId, Ipv4Addr), usize>,
    resources: HashMap<ResourceId, usize>,
    /// Devices that were attached, which take what nobody else at their edge takes.
    attached: HashMap<Edge, usize>,
    /// Simulated front ends, by their edge.
    front_ends: HashMap<EdgeId, usize>,
}

/// TupleKey of a packet: addresses, ports and protocol.
pub(super) type TupleKey = ([u8; 8], [u8; 4], u8);

impl Stations {
    /// Adds a station; the reason if there is one in its place.
    pub(super) fn add(&mut self, station: Station) -> Result<usize, String> {
        let at = self.all.len();
        let Station { address, place, .. } = station;
        let before = match place {
            Place::At(Edge::Nic(id)) => self.nics.insert(id, at),
            Place::At(Edge::Internet) => self.internet.insert(address, at),
            Place::At(Edge::Site(id)) => self.sites.insert((id, address), at),
            Place::At(edge) => self.front_ends.insert(edge.into(), at),
            Place::Resource(service, resource) => {
                self.resources.insert(resource, at);
                self.services.insert((service, address), at)
            }
        };
        if let Some(before) = before.and_then(|before| self.all.get(before)) {
            return Err(format!("{} has the address {address} already", before.name));
        }
        self.all.push(station);
        Ok(at)
    }

    /// Adds a device that is at an edge with all hosts behind it.
    pub(super) fn attach(&mut self, name: &str, edge: Edge, device: Device) -> Result<(), String> {
        if matches!(edge, Edge::Service { .. } | Edge::Platform(_)) {
            return Err(format!("{name} can be at a subnet, nic, site or the internet only"));
        }
        if let Edge::Nic(id) = edge
            && self.nics.contains_key(&id)
        {
            return Err(format!("{name} cannot be where a host of the scenario is"));
        }
        if self.attached.insert(edge, self.all.len()).is_some() {
            return Err(format!("there is another device where {name} is to be"));
        }
        self.all.push(Station {
            name: name.to_owned(),
            address: Ipv4Addr::UNSPECIFIED,
            place: Place::At(edge),
            body: Body::Attached(device),
            link: None,
            further: BTreeSet::new(),
            headers: None,
        });
        Ok(())
    }

    /// The station to which a packet goes that leaves by an edge.
    pub(super) fn find(&self, to: Edge, address: Ipv4Addr, snapshot: &Snapshot) -> Option<usize> {
        let found = match to {
            Edge::Nic(id) => self.nics.get(&id),
            Edge::Internet => self.internet.get(&address),
            Edge::Site(id) => self.sites.get(&(id, address)),
            Edge::Service { service, .. } | Edge::SameRegion { service, .. } => {
                self.services.get(&(service, address))
            }
            Edge::PrivateEndpoint(id) => {
                snapshot.resource_behind(id).and_then(|resource| self.resources.get(&resource))
            }
            Edge::Subnet(_) | Edge::Platform(_) => None,
        };
        let found = found.or_else(|| self.attached.get(&to));
        found.or_else(|| self.front_ends.get(&to.into())).copied()
    }

    /// Tells a real server who calls, if it wants to know.
    pub(super) fn announce(&mut self, at: usize, to: Edge, packet: &[u8], snapshot: &Snapshot) {
        let headers = self.all.get_mut(at).and_then(|station| station.headers.as_mut());
        let (Some(headers), true, Some(ends)) = (headers, opens(packet), ends(packet)) else {
            return;
        };
        let subnet = match to {
            Edge::Service { identity: Some(identity), .. } => {
                Some(snapshot.subnet_name(identity.subnet))
            }
            _ => None,
        };
        headers.open(ends, packet, subnet.as_deref());
    }

    /// By which edge a packet of a station enters: an answer by that of its question.
    pub(super) fn entry(
        &self,
        at: usize,
        now: Time,
        packet: &[u8],
        plane: &DataPlane,
    ) -> Option<Edge> {
        Some(match self.all.get(at)?.place {
            Place::At(edge) => edge,
            Place::Resource(service, _) => {
                let public = Edge::Service { service, identity: None };
                let to = destination(packet)?;
                plane.answer_edge(now, packet).map_or(public, |it| plane.snapshot().edge(it, to))
            }
        })
    }

    /// The address of a host, and its edge.
    pub(super) fn host(&self, name: &str) -> Option<(Ipv4Addr, Edge)> {
        self.all.iter().find_map(|station| match station.place {
            Place::At(edge) if station.name == name => Some((station.address, edge)),
            _ => None,
        })
    }

    /// The namespaces of a host.
    pub(super) fn spaces(&self, name: &str) -> Result<Arc<Spaces>, String> {
        let real = |station: &Station| match &station.body {
            Body::Real(_, spaces) => Some((station.name.clone(), Arc::clone(spaces))),
            _ => None,
        };
        let mut all: Vec<_> = self.all.iter().filter_map(real).collect();
        match all.iter().position(|(own, _)| own == name) {
            Some(found) => Ok(all.swap_remove(found).1),
            None => {
                let names: Vec<&str> = all.iter().map(|(name, _)| name.as_str()).collect();
                let names = if names.is_empty() { "none".to_owned() } else { names.join(", ") };
                Err(format!("there is no host {name} for programs; there are: {names}"))
            }
        }
    }
}

impl Body {
    /// The device by which packets come and go, if there is one.
    pub(super) fn device(&self) -> Option<&Device> {
        match self {
            Self::Real(device, _) | Self::Attached(device) => Some(device),
            Self::Server(_) | Self::Appliance(_) => None,
        }
    }
}

impl Station {
    /// A link as the scenario says, in both directions.
    pub(super) fn links(settings: Option<LinkSettings>, seed: u64) -> Option<Links> {
        let settings = settings?;
        let up = Link::new(settings, seed);
        Some(Links { up, down: Link::new(settings, seed ^ u64::MAX) })
    }
}

/// The destination of an IPv4 packet.
pub(super) fn destination(packet: &[u8]) -> Option<Ipv4Addr> {
    let bytes: [u8; 4] = packet.get(16..20)?.try_into().ok()?;
    (packet.first()? >> 4 == 4).then(|| Ipv4Addr::from(bytes))
}

/// Addresses, ports and protocol of a packet; an ICMP query has its identifier on both sides.
pub(super) fn ends(packet: &[u8]) -> Option<TupleKey> {
    let header = usize::from(packet.first()? & 15) * 4;
    let addresses = packet.get(12..20)?.try_into().ok()?;
    let protocol = *packet.get(9)?;
    let ports: [u8; 4] = match protocol {
        1 => {
            let [a, b]: [u8; 2] = packet.get(header + 4..header + 6)?.try_into().ok()?;
            [a, b, a, b]
        }
        6 | 17 => packet.get(header..header + 4)?.try_into().ok()?,
        _ => [0; 4],
    };
    Some((addresses, ports, protocol))
}

pub(super) fn reversed((a, p, protocol): TupleKey) -> TupleKey {
    let [a0, a1, a2, a3, b0, b1, b2, b3] = a;
    let [p0, p1, q0, q1] = p;
    ([b0, b1, b2, b3, a0, a1, a2, a3], [q0, q1, p0, p1], protocol)
}

/// Whether a packet may be the first of a call: every one but TCP segments that are no SYN.
pub(super) fn opens(packet: &[u8]) -> bool {
    let header = packet.first().map_or(20, |first| usize::from(first & 15) * 4);
    packet.get(9) != Some(&6) || packet.get(header + 13).is_some_and(|flags| flags & 0x12 == 2)
}
