//! Says which networks and sites are connected, and which addresses are theirs.

use core::net::Ipv4Addr;
use std::collections::{BTreeMap, BTreeSet};

use ipnet::Ipv4Net;
use vnetem_packet::{SiteId, VnetId};

use crate::edge::Place;
use crate::shared::Numbered;
use crate::snapshot::PlaceView;
use crate::snapshot::ranges::{Ranges, is_somebodys};
use crate::{EdgeId, PrivateEndpointId, Snapshot};

/// Numbers a group of connected networks and sites, within one configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct RealmId(usize);

/// Groups what is connected into realms.
///
/// The realm of an edge is one read of a list. The realm's addresses are searched in merged ranges:
/// a network with a peer and a site has three, which takes two steps.
#[derive(Debug, Default)]
pub(super) struct Realms {
    realms: Vec<Ranges>,
    vnets: Numbered<RealmId>,
    /// The realm of each subnet and site, by their shared number.
    places: Numbered<RealmId>,
    /// The subnet of each interface.
    nics: Numbered<u32>,
    /// The subnet of each private endpoint.
    private: BTreeMap<PrivateEndpointId, u32>,
    /// The network of every subnet that ever existed.
    vnet_by_subnet: Numbered<VnetId>,
    /// Peerings and gateways, also removed ones (INV-tombstone-answers).
    joints: BTreeSet<(Node, Node)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Node {
    Vnet(VnetId),
    Site(SiteId),
}

impl Realms {
    /// Follows a configuration.
    pub(super) fn apply(&mut self, snapshot: &Snapshot) {
        let mut ranges: BTreeMap<Node, Vec<Ipv4Net>> = BTreeMap::new();
        for (id, vnet) in snapshot.vnets.iter() {
            let id = VnetId(id);
            ranges.insert(Node::Vnet(id), vnet.ranges.clone());
            let peers = vnet.peers.iter().map(|&peer| Node::Vnet(peer));
            let sites = vnet.sites.iter().map(|&site| Node::Site(site));
            self.joints.extend(peers.chain(sites).map(|other| (Node::Vnet(id), other)));
        }
        for place in snapshot.places.values() {
            if let PlaceView::Site(site) = place {
                let own = site.ranges.iter().filter(|range| is_somebodys(range));
                ranges.insert(Node::Site(site.id), own.copied().collect());
            }
        }
        self.joints.retain(|(one, other)| ranges.contains_key(one) && ranges.contains_key(other));
        let realm_of = self.number(ranges.keys().copied());
        let count = realm_of.values().map(|realm| realm.0 + 1).max().unwrap_or(0);
        let mut all: Vec<Vec<Ipv4Net>> = vec![Vec::new(); count];
        for (node, realm) in &realm_of {
            if let (Some(all), Some(ranges)) = (all.get_mut(realm.0), ranges.get(node)) {
                all.extend(ranges);
            }
        }
        self.realms = all.into_iter().map(Ranges::from_iter).collect();
        let vnets = snapshot.vnets.iter().map(|(id, _)| id);
        let vnet = |id| Some((id, *realm_of.get(&Node::Vnet(VnetId(id)))?));
        self.vnets = vnets.filter_map(vnet).collect();
        let home = |(number, place): (u32, &PlaceView)| {
            let node = match place {
                PlaceView::Subnet(subnet) => Node::Vnet(subnet.vnet),
                PlaceView::Site(site) => Node::Site(site.id),
            };
            Some((number, *realm_of.get(&node)?))
        };
        self.places = snapshot.places.iter().filter_map(home).collect();
        self.vnet_by_subnet = snapshot.vnet_by_subnet.clone();
        self.nics = snapshot.nics.iter().map(|(id, nic)| (id, nic.subnet.0)).collect();
        self.private = snapshot.private.iter().map(|(&id, view)| (id, view.subnet.0)).collect();
    }

    /// Numbers the connected groups: members of one group get the same number.
    fn number(&self, nodes: impl Iterator<Item = Node>) -> BTreeMap<Node, RealmId> {
        let mut beside: BTreeMap<Node, Vec<Node>> = nodes.map(|node| (node, Vec::new())).collect();
        for &(one, other) in &self.joints {
            beside.entry(one).or_default().push(other);
            beside.entry(other).or_default().push(one);
        }
        let mut numbers = BTreeMap::new();
        let mut realms = 0..;
        for &start in beside.keys() {
            if numbers.contains_key(&start) {
                continue;
            }
            let realm = RealmId(realms.next().unwrap_or_default());
            let mut waiting = vec![start];
            while let Some(node) = waiting.pop() {
                if numbers.insert(node, realm).is_none() {
                    waiting.extend(beside.get(&node).into_iter().flatten());
                }
            }
        }
        numbers
    }

    /// Returns the realm of a subnet or a site.
    pub(super) fn of_place(&self, number: u32) -> Option<RealmId> {
        self.places.get(number).copied()
    }

    /// Returns the realm of an edge that is not public.
    #[inline]
    pub(super) fn at(&self, edge: EdgeId) -> Option<RealmId> {
        match edge.place() {
            Place::Subnet(id) | Place::Platform(id) | Place::SameRegion(_, id) => {
                self.of_place(id.0)
            }
            Place::Site(id) => self.of_place(id.0),
            Place::Nic(id) => self.of_place(*self.nics.get(id.0)?),
            // Answers come even to a subnet that was removed.
            Place::Endpoint(_, subnet) => {
                self.vnets.get(self.vnet_by_subnet.get(subnet.0)?.0).copied()
            }
            Place::Private(id) => self.of_place(*self.private.get(&id)?),
            Place::Internet | Place::Public(_) => None,
        }
    }

    /// Returns whether an address is one of a realm's.
    #[inline]
    pub(super) fn contains(&self, realm: RealmId, address: Ipv4Addr) -> bool {
        self.realms.get(realm.0).is_some_and(|ranges| ranges.contains(address))
    }
}
