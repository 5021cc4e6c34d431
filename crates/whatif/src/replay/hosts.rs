//! Which hosts of the model have which addresses.

use core::net::Ipv4Addr;
use std::collections::{BTreeMap, HashMap};

use foldhash::fast::RandomState;
use vnetem::{Edge, Ipv4Net, Network, NicId, SubnetId};

/// The edges of the hosts of a network, by their private addresses.
#[derive(Clone, Debug)]
pub struct Hosts {
    subnets: BTreeMap<u8, HashMap<Ipv4Addr, SubnetId, RandomState>>,
    nics: HashMap<(SubnetId, Ipv4Addr), NicId, RandomState>,
    public: HashMap<Ipv4Addr, Ipv4Addr, RandomState>,
}

impl Hosts {
    /// Lists the subnets and interfaces of a network.
    #[must_use]
    pub fn new(network: &Network) -> Self {
        let mut subnets: BTreeMap<u8, HashMap<_, _, _>> = BTreeMap::new();
        for (id, subnet) in network.subnets() {
            let of_length = subnets.entry(subnet.prefix.prefix_len()).or_default();
            of_length.entry(subnet.prefix.network()).or_insert(id);
        }
        let nics = network.nics().map(|(id, nic)| ((nic.subnet, nic.address), id));
        let public = network.nics().filter_map(|(_, nic)| Some((nic.address, nic.public?)));
        Self { subnets, nics: nics.collect(), public: public.collect() }
    }

    /// Returns the edge of a host. Of networks that have the same range, the first is meant.
    #[must_use]
    pub fn edge(&self, address: Ipv4Addr) -> Option<Edge> {
        let in_range = |(length, ranges): (&u8, &HashMap<Ipv4Addr, SubnetId, RandomState>)| {
            let range = Ipv4Net::new(address, *length).ok()?;
            ranges.get(&range.network()).copied()
        };
        let id = self.subnets.iter().filter_map(in_range).min()?;
        let nic = self.nics.get(&(id, address));
        Some(nic.map_or(Edge::Subnet(id), |nic| Edge::Nic(*nic)))
    }

    /// Returns the public address of a host that has one of its own.
    #[must_use]
    pub fn public(&self, address: Ipv4Addr) -> Option<Ipv4Addr> {
        self.public.get(&address).copied()
    }
}

/// Edges that were looked up before.
#[derive(Debug, Default)]
pub(super) struct KnownEdges {
    edges: HashMap<Ipv4Addr, Option<Edge>, RandomState>,
}

/// Addresses that are remembered at most.
const MOST_KNOWN: usize = 1 << 18;

impl KnownEdges {
    /// Returns what [`Hosts::edge`] does.
    pub(super) fn edge(&mut self, hosts: &Hosts, address: Ipv4Addr) -> Option<Edge> {
        if let Some(known) = self.edges.get(&address) {
            return *known;
        }
        if self.edges.len() >= MOST_KNOWN {
            self.edges.clear();
        }
        let edge = hosts.edge(address);
        self.edges.insert(address, edge);
        edge
    }
}
