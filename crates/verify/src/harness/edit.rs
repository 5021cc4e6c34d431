//! Every edit of the control plane, on the [`World`] of the harness.

mod values;

use core::fmt;
use core::net::Ipv4Addr;

use vnetem::{
    EditError, Network, NicId, Time,
    authz::DenyMode,
    control::{
        Endpoint, EndpointFirst, NetworkPolicies, NextHop, Outbound, OutboundRule, Peering,
        Placement, Rollout, Scope, TiePolicy, VnetEndpointPolicy,
    },
};

use super::pick;
use super::world::{
    FRONTENDS, GROUPS, PRIVATE, World, net4, outbound, outbound_rule, peering, rules, said,
    security_group,
};
use values::{announced, hop, idle, instance, scope, service_prefixes, state, tag};

/// One edit of the control plane. Its numbers are taken modulo what exists.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Edit {
    /// The kind of edit.
    pub kind: u8,
    /// The thing that it edits.
    pub on: u8,
    /// The value.
    pub to: u8,
    /// A second value.
    pub with: u8,
}

const PREFIXES: [&str; 10] = [
    "0.0.0.0/0",
    "52.239.0.0/18",
    "52.239.0.0/24",
    "52.0.0.0/8",
    "198.51.100.0/24",
    "10.0.1.0/24",
    "10.9.0.0/16",
    "52.239.64.0/18",
    "10.1.0.0/16",
    "192.168.1.0/24",
];

/// Regions of networks, also in other spellings.
const REGIONS: [&str; 5] = ["east", "East", "west", "We st", ""];

const ASKS: [EndpointFirst; 3] =
    [EndpointFirst::NotAsked, EndpointFirst::UnlessIgnored, EndpointFirst::Always];

impl Edit {
    /// Number of kinds.
    pub(crate) const KINDS: u8 = 39;

    /// Returns whether the edit concerns beta, or things that only beta can see.
    pub(crate) fn is_betas(&self) -> bool {
        let subnet = matches!(self.kind % Self::KINDS, 0..=7 | 16 | 19 | 20 | 29 | 30)
            || self.is_about_policies();
        let on = if self.on < 128 { self.on % 3 } else { self.on };
        subnet && matches!(on % 5, 2 | 3)
    }

    /// Returns whether addresses join or leave a service.
    pub(crate) fn moves_services(&self) -> bool {
        self.kind % Self::KINDS == 11
    }

    /// Returns whether it enables, disables or feeds endpoints.
    pub(crate) fn is_about_endpoints(&self) -> bool {
        matches!(self.kind % Self::KINDS, 0..=3 | 11) || self.is_about_policies()
    }

    /// Returns whether it must always be refused.
    pub(crate) fn is_illegal(&self) -> bool {
        match self.kind % Self::KINDS {
            22 => true,
            23 => self.to < 32,
            24 => matches!(self.to % 8, 0..=2 | 4 | 5),
            _ => false,
        }
    }

    /// Returns whether it adds a rule for a subnet that lacks the endpoint which the service
    /// requires (E-14).
    pub(crate) fn lacks_an_endpoint(&self, net: &Network, world: &World) -> bool {
        let on = if self.on < 128 { self.on % 3 } else { self.on };
        let (9 | 10, id) = (self.kind % Self::KINDS, *pick(&world.resources, on)) else {
            return false;
        };
        let Ok(resource) = net.resource(id) else { return false };
        let asks = net.service(resource.service).map(|service| service.endpoint_first);
        let before: Vec<_> = resource.rules.subnets().map(|(subnet, _)| subnet).collect();
        let lacks =
            |subnet: &vnetem::control::Subnet| !subnet.endpoints.contains_key(&resource.service);
        asks != Ok(EndpointFirst::NotAsked)
            && rules(world, self.to)
                .vnet_rules()
                .any(|(id, _)| !before.contains(&id) && net.subnet(id).is_ok_and(lacks))
    }

    fn is_about_policies(&self) -> bool {
        self.kind % Self::KINDS == 23 && self.to >= 32
    }

    /// Makes the edit, or starts it where it takes time (S-28, S-29).
    pub(crate) fn make(
        &self,
        net: &mut Network,
        world: &World,
        (now, rollout): (Time, &mut Rollout),
    ) -> Result<(), EditError> {
        let Self { kind, on, to, with } = *self;
        let on = if on < 128 { on % 3 } else { on };
        let (index, subnet) = (on % 5, *pick(&world.subnets, on));
        let service = *pick(&world.services, to);
        let resource = *pick(&world.resources, on);
        let nic = *pick(&world.nics, on);
        let text: &&str = pick(&PREFIXES, to);
        let prefix = world.space.prefix(net4(text));
        let at = |octets: [u8; 4]| world.space.address(octets.into());
        match kind % Self::KINDS {
            0 | 1 => {
                let (name, scope) = (net.service(service)?.name.clone(), scope(with));
                let endpoint = Some(Endpoint { name, scope, network_identifier: None });
                rollout.set_endpoint(now, net, subnet, service, endpoint)
            }
            2 | 3 => rollout.set_endpoint(now, net, subnet, service, None),
            4 | 5 => net.set_outbound(subnet, world.outbound(index, to)),
            6 => net.edit(|net| {
                net.set_route(subnet, prefix, hop(world, with))?;
                net.set_bgp_override(subnet, prefix, with >= 128)
            }),
            7 => net.remove_route(subnet, prefix),
            8 if with >= 192 => net.deallocate(nic),
            8 if with >= 128 => net.start(nic),
            8 => net.set_ip_forwarding(nic, to % 2 == 0),
            9 | 10 => rollout.set_rules(now, net, resource, rules(world, to)),
            11 => net.set_service_prefixes(
                service,
                &service_prefixes(service == world.services[0], with),
            ),
            12 => {
                net.set_tie_policy(
                    [TiePolicy::Documented, TiePolicy::Observed][usize::from(to % 2)],
                );
                Ok(())
            }
            13 => {
                let modes = [DenyMode::Deliver, DenyMode::Reset, DenyMode::Drop];
                net.set_deny_mode(*pick(&modes, to));
                Ok(())
            }
            // Shards forget what was closed between networks that had met on the internet before.
            14 if world.wide && world.space.looks_public() => Ok(()),
            14 if to % 2 == 0 => net.peer(world.vnets[0], world.vnets[2]),
            14 => net.unpeer(world.vnets[0], world.vnets[2]),
            15 => net.connect(world.vnets[0], world.site, &announced(world, to)),
            16 => net.remove_subnet(subnet),
            17 if to % 2 == 0 => net.remove_nic(nic),
            17 => {
                let address = [at([10, 0, 0, 5]), at([10, 0, 0, 4])];
                net.add_nic(world.subnets[0], "late", *pick(&address, with)).map(drop)
            }
            18 if to % 2 == 0 => net.remove_resource(resource),
            18 => {
                let at = Ipv4Addr::new(52, 239, 0, 9);
                net.add_resource(world.services[0], "second", at, rules(world, with)).map(drop)
            }
            19 => net.set_gateway_idle(subnet, idle(to)),
            20 => net.guard_subnet(subnet, world.groups.get(usize::from(to % 8)).copied()),
            21 => net.guard_nic(nic, world.groups.get(usize::from(to % 8)).copied()),
            // Together with the endpoint that it needs.
            23 if to >= 96 => net.edit(|net| {
                net.enable_endpoint(subnet, service, scope(with))?;
                net.attach_policy(subnet, service, *pick(&world.policies, with))
            }),
            23 if to >= 32 => world
                .policies
                .iter()
                .try_for_each(|policy| net.detach_policy(subnet, service, *policy)),
            25 | 26 => balance(net, world, nic, to, with),
            27 => net.set_public_address(nic, instance(to)),
            28 => net.set_address_idle(nic, idle(to)),
            29 => {
                let (tag, level, prefixes) = tag(to);
                net.set_tag_route(subnet, tag, level, &prefixes.map(net4), hop(world, with))
            }
            30 => match with % 4 {
                0 => net.remove_tag_route(subnet, tag(to).0),
                1 => net.set_bgp_propagation(subnet, to % 2 == 0),
                _ => net.set_bgp_override(subnet, prefix, to % 4 != 3),
            },
            31 => match on % 4 {
                2 => {
                    let region = (*pick(&REGIONS, with)).to_owned();
                    let vnet = *pick(&world.vnets, to);
                    net.place_vnet(vnet, Placement { region, ..Placement::default() })
                }
                3 => net.set_endpoint_first(service, *pick(&ASKS, with)),
                _ => net.set_same_region_path(service, with % 2 == 0),
            },
            32 => net.set_peering(world.site, peering(to)),
            33 => net.set_private_endpoint_state(*pick(&world.private, on), state(to)),
            34 if with % 8 == 7 => {
                let all = [VnetEndpointPolicy::Basic, VnetEndpointPolicy::Disabled];
                net.set_private_endpoint_policy(world.vnets[0], *pick(&all, to))
            }
            34 => {
                let policies =
                    NetworkPolicies { routes: to % 2 == 0, security_groups: with % 2 == 0 };
                net.set_network_policies(*pick(&world.subnets[..2], on), policies)
            }
            35 if to % 2 == 0 => net.remove_private_endpoint(*pick(&world.private, on)),
            35 => {
                let address = at(*pick(&[[10, 0, 0, 5], PRIVATE[1].octets()], with));
                net.edit(|net| {
                    let id =
                        net.add_private_endpoint(world.subnets[0], "late", address, world.vault)?;
                    net.set_private_endpoint_state(id, state(with))
                })
            }
            36 => {
                let (name, prefixes) = said(to, with);
                net.set_tag(name, &prefixes.iter().map(|text| net4(text)).collect::<Vec<_>>())
            }
            37 => net.set_security_rules(*pick(&world.groups, to), security_group(with)),
            // Forced tunnelling, or its opposite, over whatever the site announces.
            38 => net.edit(|net| {
                let prefix = net4(PREFIXES[if to % 2 == 0 { 0 } else { 3 }]);
                let subnet = *pick(&world.subnets[..2], on);
                net.set_route(subnet, prefix, hop(world, with))?;
                net.set_bgp_override(subnet, prefix, to / 4 % 4 > 0)?;
                net.connect(world.vnets[0], world.site, &announced(world, 1 + 2 * (to / 2 % 2)))
            }),
            // Every edit from here on must be refused, some because of their last part
            // (INV-failed-edit-changes-nothing).
            22 => net.edit(|net| {
                net.enable_endpoint(subnet, service, Scope::Worldwide)?;
                net.set_outbound(subnet, Outbound::NatGateway(vec![Ipv4Addr::new(10, 0, 0, 1)]))
            }),
            23 => net.add_service("other", &[net4("52.239.0.0/19")]).map(drop),
            _ => match to % 8 {
                0 => net.set_outbound(subnet, Outbound::Default(Ipv4Addr::new(52, 239, 0, 1))),
                1 if with % 2 == 0 => {
                    net.add_nic(subnet, "far", Ipv4Addr::new(10, 200, 0, 1)).map(drop)
                }
                // The platform keeps this address.
                1 => {
                    let first = net.subnet(subnet)?.prefix.network().to_bits();
                    let kept = Ipv4Addr::from_bits(first + u32::from(with / 2 % 4));
                    net.add_nic(subnet, "far", kept).map(drop)
                }
                2 => net.set_route(subnet, prefix, NextHop::VnetPeering(world.vnets[1])),
                3 => net.remove_vnet(world.vnets[0]),
                // N-20: no multiple of 8, and more than there are.
                4 => net.set_outbound_rule(
                    world.balancer,
                    OutboundRule { ports: 12, ..outbound_rule(with) },
                ),
                5 => net.edit(|net| {
                    net.set_frontends(world.balancer, &FRONTENDS[..1])?;
                    net.set_outbound_rule(world.balancer, outbound_rule(0))?;
                    net.add_member(world.balancer, nic)?;
                    let rule = OutboundRule { ports: 64_008, ..outbound_rule(with) };
                    net.set_outbound_rule(world.balancer, rule)
                }),
                // Addresses of a subnet's gateway.
                6 => net.edit(|net| {
                    let addresses = FRONTENDS.to_vec();
                    net.set_peering(world.site, Some(Peering::Microsoft(addresses)))
                }),
                _ => net.remove_resource(world.vault),
            },
        }
    }
}

/// Makes an edit of the load balancer.
fn balance(
    net: &mut Network,
    world: &World,
    nic: NicId,
    to: u8,
    with: u8,
) -> Result<(), EditError> {
    let balancer = world.balancer;
    match to % 8 {
        0..=2 => net.add_member(balancer, nic),
        3 => net.remove_member(balancer, nic),
        4 | 5 => net.set_outbound_rule(balancer, outbound_rule(with)),
        6 => net.set_frontends(
            balancer,
            [&FRONTENDS[..1], &FRONTENDS[1..], &FRONTENDS][usize::from(with % 3)],
        ),
        _ => net.add_inbound_rule(balancer, *pick(&FRONTENDS, with), 1020 + u16::from(with) / 4),
    }
}

impl fmt::Display for Edit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { kind, on, to, with } = *self;
        let on = if on < 128 { on % 3 } else { on };
        let subnet = *pick(&["alpha/web", "alpha/db", "beta/web", "beta/db", "gamma/app"], on);
        let service = *pick(&["storage", "sql"], to);
        let prefix = *pick(&PREFIXES, to);
        let hop = *pick(
            &["fw", "fw", "internet", "none", "gateway", "vnet", "10.1.0.4", "10.0.77.4"],
            with,
        );
        match kind % Self::KINDS {
            0 | 1 => write!(f, "enable {service} on {subnet} scope {:?}", scope(with)),
            2 | 3 => write!(f, "disable {service} on {subnet}"),
            4 | 5 => write!(f, "outbound of {subnet}: {:?}", outbound(on % 5, to)),
            6 => write!(f, "route {subnet} {prefix} to {hop}"),
            7 => write!(f, "remove route {subnet} {prefix}"),
            8 if with >= 128 => {
                let what = if with >= 192 { "deallocate" } else { "start" };
                write!(f, "{what} {}", pick(&["vm", "fw", "member"], on))
            }
            8 => {
                write!(
                    f,
                    "forwarding of {} {}",
                    pick(&["vm", "fw", "member"], on),
                    pick(&["on", "off"], to)
                )
            }
            9 | 10 => write!(f, "rules of {} number {}", pick(&["acct", "server"], on), to % 8),
            11 => write!(f, "prefixes of {service} number {}", with % 3),
            12 => write!(f, "tie policy {}", pick(&["documented", "observed"], to)),
            13 => write!(f, "deny mode {}", pick(&["deliver", "reset", "drop"], to)),
            14 => write!(f, "{} alpha gamma", pick(&["peer", "unpeer"], to)),
            15 => write!(f, "connect alpha office, announcing set {}", to % 4),
            16 => write!(f, "remove subnet {subnet}"),
            17 => write!(f, "{} nic {on} at {}", pick(&["remove", "add"], to), with % 2),
            18 => write!(f, "{} resource {on} rules {}", pick(&["remove", "add"], to), with % 8),
            19 => write!(f, "idle timeout of {subnet}: {:?}", idle(to)),
            20 => write!(f, "group {:?} guards {subnet}", GROUPS.get(usize::from(to % 8))),
            21 => write!(f, "group {:?} guards nic {on}", GROUPS.get(usize::from(to % 8))),
            25 | 26 => write!(f, "balancer {} {with} of nic {on}", to % 8),
            27 => write!(f, "public address of nic {on}: {:?}", instance(to)),
            29 => write!(f, "route {subnet} {:?} to {hop}", tag(to)),
            30 => write!(f, "routes of {subnet}: {} {} {prefix} {to}", with % 4, tag(to).0),
            31 => match on % 4 {
                2 => {
                    write!(f, "region of network {}: {}", to % 3, pick(&REGIONS, with))
                }
                3 => write!(f, "rules of {service} ask for endpoints: {:?}", pick(&ASKS, with)),
                _ => write!(f, "path of the same region to {service}: {}", with % 2 == 0),
            },
            28 => write!(f, "idle timeout of nic {on}: {:?}", idle(to)),
            32 => write!(f, "peering of office: {:?}", peering(to)),
            33 => write!(f, "private endpoint {}: {:?}", pick(&PRIVATE, on), state(to)),
            34 if with % 8 == 7 => {
                write!(f, "private endpoints of alpha: {}", pick(&["basic", "disabled"], to))
            }
            34 => write!(
                f,
                "policies of {}: routes {} groups {}",
                pick(&["web", "db"], on),
                to % 2 == 0,
                with % 2 == 0
            ),
            35 => write!(f, "{} private endpoint {on} {with}", pick(&["remove", "add"], to)),
            36 => write!(f, "tag {:?}", said(to, with)),
            37 => write!(f, "rules of {} as of {}", pick(&GROUPS, to), pick(&GROUPS, with)),
            38 => write!(f, "override {to} {} to {hop}", pick(&["web", "db"], on)),
            23 if to >= 96 => {
                write!(f, "endpoint with policy {} for {service} on {subnet}", with % 2)
            }
            23 if to >= 32 => write!(f, "no policies for {service} on {subnet}"),
            _ => write!(f, "refused edit {} {to} on {subnet}", kind % Self::KINDS),
        }
    }
}
