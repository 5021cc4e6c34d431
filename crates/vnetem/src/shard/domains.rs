//! Says which networks and sites share public addresses or are connected.

use core::net::Ipv4Addr;
use std::collections::BTreeMap;

use super::realms::Node;
use crate::snapshot::{OutboundView, PlaceView};
use crate::{Edge, PrivateEndpointId, Snapshot};

/// Groups networks and sites into translation domains: what stands behind one set of public
/// addresses, with everything connected to it.
///
/// No flow and no public port belongs to two domains. So a [`DataPlane`](crate::DataPlane) may
/// serve any number of whole domains, on any machine, and none of its packets depends on the
/// others. Within one large domain [`Sharding`](crate::Sharding) splits further.
///
/// Two domains meet only by the internet. A packet that one sends to a public address of another
/// is not followed there.
///
/// ```
/// use vnetem::{Domains, Edge, Network, control::Outbound};
///
/// fn main() -> Result<(), Box<dyn std::error::Error>> {
///     let mut network = Network::new();
///     let mut webs = Vec::new();
///     let mut vnets = Vec::new();
///     for number in 1..=3 {
///         let range = format!("10.{number}.0.0/16").parse()?;
///         let vnet = network.add_vnet(&format!("net{number}"), &[range])?;
///         let web = network.add_subnet(vnet, "web", format!("10.{number}.0.0/24").parse()?)?;
///         let public = format!("20.1.1.{number}").parse()?;
///         network.set_outbound(web, Outbound::NatGateway(vec![public]))?;
///         webs.push(Edge::Subnet(web));
///         vnets.push(vnet);
///     }
///     network.peer(vnets[0], vnets[1])?;
///     let domains = Domains::new([&*network.commit()]);
///     assert_eq!(domains.len(), 2);
///     assert_eq!(domains.at(webs[0]), domains.at(webs[1]));
///     assert_eq!(domains.behind("20.1.1.3".parse()?), domains.at(webs[2]));
///     Ok(())
/// }
/// ```
#[derive(Clone, Debug, Default)]
pub struct Domains {
    numbers: BTreeMap<Node, usize>,
    /// The network or site of each place, by the shared number of subnets and sites.
    places: BTreeMap<u32, Node>,
    /// The subnet of each interface, by number.
    nics: BTreeMap<u32, u32>,
    private: BTreeMap<PrivateEndpointId, u32>,
    public: BTreeMap<Ipv4Addr, Node>,
    /// How many addresses the subnets of each domain have.
    addresses: Vec<u64>,
}

impl Domains {
    /// Groups what is connected, or shares an address, in any of these snapshots of one network.
    /// Give the one before and the one after a change if both are to be served.
    pub fn new<'a>(snapshots: impl IntoIterator<Item = &'a Snapshot>) -> Self {
        let mut domains = Self::default();
        let mut joints = Joints::default();
        let mut sizes = BTreeMap::new();
        for snapshot in snapshots {
            domains.read(snapshot, &mut joints, &mut sizes);
        }
        let mut by_root = BTreeMap::new();
        let nodes: Vec<Node> = joints.parents.keys().copied().collect();
        for node in nodes {
            let next = by_root.len();
            let number = *by_root.entry(joints.root(node)).or_insert(next);
            domains.numbers.insert(node, number);
        }
        domains.addresses = vec![0; by_root.len()];
        for (place, size) in sizes {
            let number = domains.of_place(place);
            if let Some(held) = number.and_then(|number| domains.addresses.get_mut(number)) {
                *held += size;
            }
        }
        domains
    }

    /// Returns the number of domains.
    #[must_use]
    pub fn len(&self) -> usize {
        self.addresses.len()
    }

    /// Returns whether there is no domain.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.addresses.is_empty()
    }

    /// Returns the domain of an edge, from 0. Returns `None` for the public edges and for what no
    /// snapshot has.
    #[must_use]
    pub fn at(&self, edge: Edge) -> Option<usize> {
        let place = match edge {
            Edge::Subnet(id) | Edge::Platform(id) | Edge::SameRegion { subnet: id, .. } => id.0,
            Edge::Site(id) => id.0,
            Edge::Nic(id) => *self.nics.get(&id.0)?,
            Edge::PrivateEndpoint(id) => *self.private.get(&id)?,
            Edge::Service { identity: Some(identity), .. } => {
                return self.numbers.get(&Node::Vnet(identity.vnet)).copied();
            }
            Edge::Internet | Edge::Service { identity: None, .. } => return None,
        };
        self.of_place(place)
    }

    /// Returns the domain that has a public address.
    #[must_use]
    pub fn behind(&self, address: Ipv4Addr) -> Option<usize> {
        self.numbers.get(self.public.get(&address)?).copied()
    }

    /// Returns how many addresses the subnets of a domain have together.
    #[must_use]
    pub fn addresses(&self, domain: usize) -> u64 {
        self.addresses.get(domain).copied().unwrap_or_default()
    }

    fn of_place(&self, place: u32) -> Option<usize> {
        self.numbers.get(self.places.get(&place)?).copied()
    }

    fn read(&mut self, snapshot: &Snapshot, joints: &mut Joints, sizes: &mut BTreeMap<u32, u64>) {
        for (id, vnet) in snapshot.vnets.iter() {
            let id = vnetem_packet::VnetId(id);
            joints.add(Node::Vnet(id));
            let peers = vnet.peers.iter().map(|&peer| Node::Vnet(peer));
            let sites = vnet.sites.iter().map(|&site| Node::Site(site));
            for other in peers.chain(sites) {
                joints.join(Node::Vnet(id), other);
            }
        }
        for place in snapshot.places.values() {
            match place {
                PlaceView::Subnet(subnet) => {
                    let node = Node::Vnet(subnet.vnet);
                    self.places.insert(subnet.id.0, node);
                    let length = u32::from(subnet.prefix.prefix_len());
                    sizes.insert(subnet.id.0, 1 << 32_u32.saturating_sub(length));
                    for &address in &subnet.retained {
                        self.own(address, node, joints);
                    }
                    self.own_all(subnet.outbound.as_ref(), node, joints);
                }
                PlaceView::Site(site) => {
                    let node = Node::Site(site.id);
                    joints.add(node);
                    self.places.insert(site.id.0, node);
                    self.own_all(site.outbound.as_ref(), node, joints);
                    self.own_all(site.peering.as_ref(), node, joints);
                }
            }
        }
        for (number, nic) in snapshot.nics.iter() {
            self.nics.insert(number, nic.subnet.0);
            let Some(&node) = self.places.get(&nic.subnet.0) else { continue };
            for outbound in [&nic.balanced, &nic.instance, &nic.kept] {
                self.own_all(outbound.as_ref(), node, joints);
            }
        }
        let private = snapshot.private.iter().map(|(&id, view)| (id, view.subnet.0));
        self.private.extend(private);
    }

    fn own_all(&mut self, outbound: Option<&OutboundView>, node: Node, joints: &mut Joints) {
        let pools = outbound.into_iter().flat_map(|outbound| &outbound.pools);
        for &address in pools.flat_map(|pool| &pool.addresses) {
            self.own(address, node, joints);
        }
    }

    fn own(&mut self, address: Ipv4Addr, node: Node, joints: &mut Joints) {
        let owner = *self.public.entry(address).or_insert(node);
        joints.join(owner, node);
    }
}

/// A forest of what belongs together (union-find).
#[derive(Debug, Default)]
struct Joints {
    parents: BTreeMap<Node, Node>,
}

impl Joints {
    fn add(&mut self, node: Node) {
        self.parents.entry(node).or_insert(node);
    }

    fn root(&mut self, node: Node) -> Node {
        let mut root = node;
        while let Some(&parent) = self.parents.get(&root).filter(|parent| **parent != root) {
            root = parent;
        }
        let mut below = node;
        while let Some(parent) = self.parents.insert(below, root).filter(|it| *it != root) {
            below = parent;
        }
        root
    }

    fn join(&mut self, one: Node, other: Node) {
        self.add(one);
        self.add(other);
        let (one, other) = (self.root(one), self.root(other));
        // The smaller one stays, so that domains are numbered in the order of their first member.
        self.parents.insert(one.max(other), one.min(other));
    }
}
