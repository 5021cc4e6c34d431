//! What an address is: a host's, the platform's, a private endpoint's, or an outbound method's.

use core::net::Ipv4Addr;

use vnetem::{
    Edge, Network, SubnetId,
    control::{Peering, Site, Subnet},
};

/// Returns whether the platform keeps an address of a subnet: the network's own, the gateway, two
/// for DNS, and the last.
pub(crate) fn is_kept(subnet: &Subnet, at: Ipv4Addr) -> bool {
    let mut all = subnet.prefix.subnets(32).into_iter().flatten().map(|host| host.addr());
    subnet.prefix.prefix_len() <= 29
        && (all.by_ref().take(4).any(|first| first == at) || at == subnet.prefix.broadcast())
}

/// Returns the private endpoint or the declared interface of an address of a subnet, or the subnet.
pub(crate) fn host_in(net: &Network, id: SubnetId, at: Ipv4Addr) -> Edge {
    let mut private = net.private_endpoints();
    if let Some((id, _)) = private.find(|(_, it)| it.subnet == id && it.address == at) {
        return Edge::PrivateEndpoint(id);
    }
    let nic = net.nics().find(|(_, nic)| nic.subnet == id && nic.address == at);
    nic.map_or(Edge::Subnet(id), |(nic, _)| Edge::Nic(nic))
}

/// Returns whether a public address belongs to an outbound method.
pub(crate) fn is_ours(net: &Network, at: Ipv4Addr) -> bool {
    let of_subnet =
        |subnet: &Subnet| subnet.outbound.addresses().contains(&at) || subnet.former.contains(&at);
    let of_site = |site: &Site| {
        let circuit = site.peering.as_ref().map_or(&[][..], Peering::addresses);
        site.nat.contains(&at) || circuit.contains(&at)
    };
    net.subnets().any(|(_, subnet)| of_subnet(subnet))
        || net.sites().any(|(_, site)| of_site(site))
        || net.nics().any(|(_, nic)| nic.public == Some(at) || nic.kept == Some(at))
        || net.load_balancers().any(|(_, balancer)| balancer.frontends.contains(&at))
}

/// Returns whether an address can be a host's on the public internet.
pub(crate) fn is_public(at: Ipv4Addr) -> bool {
    let shared = matches!(at.octets(), [100, 64..=127, ..]);
    is_host(at) && !at.is_private() && !shared
}

/// Returns whether an address can be a single host's in some network
/// (INV-special-addresses-refused, RFC 6890).
pub(crate) fn is_host(at: Ipv4Addr) -> bool {
    !matches!(at.octets(), [0 | 127 | 224.., ..] | [169, 254, ..])
}
