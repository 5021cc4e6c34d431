//! Edits of routes, sites and load balancers: the path of packets and their public addresses.

use core::net::{Ipv4Addr, SocketAddrV4};

use ipnet::Ipv4Net;
use vnetem::{
    LoadBalancerId,
    control::{EndpointFirst, NextHop, OutboundRule, Peering, TagLevel},
    nat::IdleMinutes,
};

use super::edit::{ADDRESS, ADDRESSES, PREFIX, PREFIXES, found, idle, name};
use super::error::Problem;
use super::topology::{Refused, Topology};
use super::words::Words;

/// One edit, with names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum RoutingEdit {
    Route { subnet: String, target: Target, hop: Hop, over_bgp: bool },
    RemoveRoute { subnet: String, target: Target },
    Bgp { subnet: String, on: bool },
    Site { name: String, ranges: Vec<Ipv4Net>, nat: Vec<Ipv4Addr> },
    RemoveSite(String),
    Gateway { site: String, vnet: String, express_route: bool, announced: Vec<Ipv4Net> },
    Disconnect { site: String, vnet: String },
    Peering { site: String, peering: Option<Peering> },
    SameRegion { service: String, on: bool },
    EndpointFirst { service: String, asks: EndpointFirst },
    TakesPolicies { service: String, on: bool },
    Public { nic: String, address: Option<(Ipv4Addr, Option<IdleMinutes>)> },
    Balancer { name: String, frontends: Vec<Ipv4Addr>, vnet: String },
    Snat { balancer: String, rule: OutboundRule },
    Member { nic: String, balancer: String, on: bool },
    Listen { balancer: String, at: SocketAddrV4 },
}

/// The destination of a user route.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Target {
    Prefix(Ipv4Net),
    Tag(String),
}

/// The next hop of a user route.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Hop {
    Appliance(Ipv4Addr),
    Gateway(String),
    Internet,
    Vnet,
    None,
}

const SUBNET: &str = "the name of a subnet";
const SITE: &str = "the name of a site";
const NIC: &str = "the name of an interface";
const BALANCER: &str = "the name of a load balancer";

impl RoutingEdit {
    /// Reads one edit, or nothing if the line begins with another word.
    pub(crate) fn parse(words: &mut Words<'_>) -> Result<Option<Self>, Problem> {
        let read: fn(&mut Words<'_>) -> Result<Self, Problem> = match words.peek() {
            Some("route") => route,
            Some("bgp") => bgp,
            Some("site") => site,
            Some("gateway") => gateway,
            Some("peering") => peering,
            Some("public") => public,
            Some("same-region") => same_region,
            Some("rules-need-endpoint") => endpoint_first,
            Some("endpoint-policies") => takes_policies,
            Some("balancer") => balancer,
            Some("snat") => snat,
            Some("member") => |words| Self::member(words, true),
            Some("listen") => listen,
            _ => return Ok(None),
        };
        words.take("a verb")?;
        read(words).map(Some)
    }

    pub(crate) fn remove_route(words: &mut Words<'_>) -> Result<Self, Problem> {
        let subnet = name(words, SUBNET)?;
        Ok(Self::RemoveRoute { subnet, target: target(words)? })
    }

    pub(crate) fn disconnect(words: &mut Words<'_>) -> Result<Self, Problem> {
        let site = name(words, SITE)?;
        words.expect("to")?;
        Ok(Self::Disconnect { site, vnet: name(words, "the name of a virtual network")? })
    }

    pub(crate) fn member(words: &mut Words<'_>, on: bool) -> Result<Self, Problem> {
        let nic = name(words, NIC)?;
        words.expect("of")?;
        Ok(Self::Member { nic, balancer: name(words, BALANCER)?, on })
    }
}

fn target(words: &mut Words<'_>) -> Result<Target, Problem> {
    if words.accept("tag") {
        return name(words, "the name of a service tag").map(Target::Tag);
    }
    words.parse(PREFIX).map(Target::Prefix)
}

fn route(words: &mut Words<'_>) -> Result<RoutingEdit, Problem> {
    const EXPECTED: &str = "appliance ADDRESS, gateway SITE, internet, vnet or none";
    let subnet = name(words, SUBNET)?;
    let target = target(words)?;
    words.expect("to")?;
    let hop = match words.take(EXPECTED)? {
        "appliance" => Hop::Appliance(words.parse(ADDRESS)?),
        "gateway" => Hop::Gateway(name(words, SITE)?),
        "internet" => Hop::Internet,
        "vnet" => Hop::Vnet,
        "none" => Hop::None,
        other => return Err(found(other, EXPECTED)),
    };
    let over_bgp = words.accept("over-bgp");
    Ok(RoutingEdit::Route { subnet, target, hop, over_bgp })
}

fn bgp(words: &mut Words<'_>) -> Result<RoutingEdit, Problem> {
    let subnet = name(words, SUBNET)?;
    match words.take("on or off")? {
        "on" => Ok(RoutingEdit::Bgp { subnet, on: true }),
        "off" => Ok(RoutingEdit::Bgp { subnet, on: false }),
        other => Err(found(other, "on or off")),
    }
}

fn site(words: &mut Words<'_>) -> Result<RoutingEdit, Problem> {
    let name = name(words, SITE)?;
    let ranges = words.list(PREFIXES)?;
    let nat = if words.accept("nat") { words.list(ADDRESSES)? } else { Vec::new() };
    Ok(RoutingEdit::Site { name, ranges, nat })
}

fn gateway(words: &mut Words<'_>) -> Result<RoutingEdit, Problem> {
    let site = name(words, SITE)?;
    words.expect("to")?;
    let vnet = name(words, "the name of a virtual network")?;
    let express_route = words.accept("expressroute");
    let announced = if words.accept("announce") { words.list(PREFIXES)? } else { Vec::new() };
    Ok(RoutingEdit::Gateway { site, vnet, express_route, announced })
}

fn peering(words: &mut Words<'_>) -> Result<RoutingEdit, Problem> {
    const EXPECTED: &str = "public and two addresses, microsoft and addresses, or none";
    let site = name(words, SITE)?;
    let peering = match words.take(EXPECTED)? {
        "public" => {
            let addresses: Vec<Ipv4Addr> = words.list("two addresses with a comma between them")?;
            match *addresses.as_slice() {
                [a, b] => Some(Peering::Public([a, b])),
                _ => return Err(found(&format!("{} addresses", addresses.len()), "two addresses")),
            }
        }
        "microsoft" => Some(Peering::Microsoft(words.list(ADDRESSES)?)),
        "none" => None,
        other => return Err(found(other, EXPECTED)),
    };
    Ok(RoutingEdit::Peering { site, peering })
}

fn same_region(words: &mut Words<'_>) -> Result<RoutingEdit, Problem> {
    let service = name(words, "the name of a service")?;
    match words.take("on or off")? {
        "on" => Ok(RoutingEdit::SameRegion { service, on: true }),
        "off" => Ok(RoutingEdit::SameRegion { service, on: false }),
        other => Err(found(other, "on or off")),
    }
}

fn endpoint_first(words: &mut Words<'_>) -> Result<RoutingEdit, Problem> {
    const EXPECTED: &str = "always, unless-ignored or no";
    let service = name(words, "the name of a service")?;
    let asks = match words.take(EXPECTED)? {
        "always" => EndpointFirst::Always,
        "unless-ignored" => EndpointFirst::UnlessIgnored,
        "no" => EndpointFirst::NotAsked,
        other => return Err(found(other, EXPECTED)),
    };
    Ok(RoutingEdit::EndpointFirst { service, asks })
}

fn takes_policies(words: &mut Words<'_>) -> Result<RoutingEdit, Problem> {
    let service = name(words, "the name of a service")?;
    match words.take("on or off")? {
        "on" => Ok(RoutingEdit::TakesPolicies { service, on: true }),
        "off" => Ok(RoutingEdit::TakesPolicies { service, on: false }),
        other => Err(found(other, "on or off")),
    }
}

fn public(words: &mut Words<'_>) -> Result<RoutingEdit, Problem> {
    let nic = name(words, NIC)?;
    let address =
        if words.accept("none") { None } else { Some((words.parse(ADDRESS)?, idle(words)?)) };
    Ok(RoutingEdit::Public { nic, address })
}

fn balancer(words: &mut Words<'_>) -> Result<RoutingEdit, Problem> {
    let name = name(words, BALANCER)?;
    let frontends = words.list(ADDRESSES)?;
    words.expect("in")?;
    let vnet = self::name(words, "the name of a virtual network")?;
    Ok(RoutingEdit::Balancer { name, frontends, vnet })
}

fn snat(words: &mut Words<'_>) -> Result<RoutingEdit, Problem> {
    let balancer = name(words, BALANCER)?;
    let mut rule = OutboundRule::default();
    if words.accept("ports") {
        rule.ports = words.parse("a number of ports")?;
    }
    rule.resets = words.accept("reset");
    rule.idle = idle(words)?;
    Ok(RoutingEdit::Snat { balancer, rule })
}

fn listen(words: &mut Words<'_>) -> Result<RoutingEdit, Problem> {
    let balancer = name(words, BALANCER)?;
    Ok(RoutingEdit::Listen { balancer, at: words.parse("ADDRESS:PORT")? })
}

impl Topology {
    pub(super) fn reroute(
        &mut self,
        edit: &RoutingEdit,
    ) -> Result<(), Box<dyn core::error::Error>> {
        match edit {
            RoutingEdit::Route { subnet, target, hop, over_bgp } => {
                let subnet = self.subnet(subnet)?;
                let hop = match hop {
                    Hop::Appliance(address) => NextHop::VirtualAppliance(*address),
                    Hop::Gateway(site) => NextHop::VirtualNetworkGateway(self.site(site)?),
                    Hop::Internet => NextHop::Internet,
                    Hop::Vnet => NextHop::VnetLocal,
                    Hop::None => NextHop::None,
                };
                match target {
                    Target::Prefix(prefix) => {
                        self.network.set_route(subnet, *prefix, hop)?;
                        self.network.set_bgp_override(subnet, *prefix, *over_bgp)?;
                    }
                    Target::Tag(name) => {
                        let tags = std::sync::Arc::clone(&self.tags);
                        let tag = self.tag(name)?.name().to_owned();
                        let Some(tag) = tags.tag(&tag) else { return Ok(()) };
                        let level = level(tag.name(), tag.region().is_some());
                        let prefixes = tag.prefixes();
                        self.network.set_tag_route(subnet, tag.name(), level, prefixes, hop)?;
                    }
                }
            }
            RoutingEdit::RemoveRoute { subnet, target } => {
                let subnet = self.subnet(subnet)?;
                match target {
                    Target::Prefix(prefix) => self.network.remove_route(subnet, *prefix)?,
                    Target::Tag(name) => {
                        let name = self.tags.tag(name).map_or(name.as_str(), |tag| tag.name());
                        self.network.remove_tag_route(subnet, name)?;
                    }
                }
            }
            RoutingEdit::Bgp { subnet, on } => {
                self.network.set_bgp_propagation(self.subnet(subnet)?, *on)?;
            }
            RoutingEdit::Site { name, ranges, nat } => {
                self.network.add_site(name, ranges, nat)?;
            }
            RoutingEdit::RemoveSite(name) => self.network.remove_site(self.site(name)?)?,
            RoutingEdit::Gateway { site, vnet, express_route, announced } => {
                let (vnet, site) = (self.vnet(vnet)?, self.site(site)?);
                if *express_route {
                    self.network.connect_express_route(vnet, site, announced)?;
                } else {
                    self.network.connect(vnet, site, announced)?;
                }
            }
            RoutingEdit::Disconnect { site, vnet } => {
                self.network.disconnect(self.vnet(vnet)?, self.site(site)?)?;
            }
            RoutingEdit::Peering { site, peering } => {
                self.network.set_peering(self.site(site)?, peering.clone())?;
            }
            RoutingEdit::SameRegion { service, on } => {
                self.network.set_same_region_path(self.service(service)?, *on)?;
            }
            RoutingEdit::EndpointFirst { service, asks } => {
                self.network.set_endpoint_first(self.service(service)?, *asks)?;
            }
            RoutingEdit::TakesPolicies { service, on } => {
                self.network.set_takes_policies(self.service(service)?, *on)?;
            }
            RoutingEdit::Public { nic, address } => {
                let nic = self.nic(nic)?;
                self.network.set_public_address(nic, address.map(|(address, _)| address))?;
                if let Some((_, idle)) = *address {
                    self.network.set_address_idle(nic, idle)?;
                }
            }
            RoutingEdit::Balancer { name, frontends, vnet } => {
                self.network.add_load_balancer(self.vnet(vnet)?, name, frontends)?;
            }
            RoutingEdit::Snat { balancer, rule } => {
                self.network.set_outbound_rule(self.balancer(balancer)?, *rule)?;
            }
            RoutingEdit::Member { nic, balancer, on } => {
                let (balancer, nic) = (self.balancer(balancer)?, self.nic(nic)?);
                if *on {
                    self.network.add_member(balancer, nic)?;
                } else {
                    self.network.remove_member(balancer, nic)?;
                }
            }
            RoutingEdit::Listen { balancer, at } => {
                let balancer = self.balancer(balancer)?;
                self.network.add_inbound_rule(balancer, *at.ip(), at.port())?;
            }
        }
        Ok(())
    }

    fn balancer(&self, name: &str) -> Result<LoadBalancerId, Refused> {
        let found = self.network.load_balancers().find(|(_, balancer)| balancer.name == name);
        found.map(|(id, _)| id).ok_or_else(|| format!("there is no load balancer {name}"))
    }
}

/// Returns the level of a tag. The cloud's own tags are the least specific.
fn level(name: &str, regional: bool) -> TagLevel {
    let cloud =
        name.split('.').next().is_some_and(|first| first.eq_ignore_ascii_case("AzureCloud"));
    match (cloud, regional) {
        (false, true) => TagLevel::Regional,
        (false, false) => TagLevel::Service,
        (true, true) => TagLevel::CloudRegion,
        (true, false) => TagLevel::Cloud,
    }
}
