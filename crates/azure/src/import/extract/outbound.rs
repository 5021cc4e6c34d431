//! Public addresses, NAT gateways, load balancers, gateways, firewalls.

use ipnet::IpNet;

use super::{Extract, net};
use crate::import::batch::Record;
use crate::import::value::Value;
use crate::import::{
    AzureFirewall, Gateway, Id, Inventory, Link, LoadBalancer, NatGateway, OutboundRule, PublicIp,
    PublicIpPrefix,
};

impl Extract<'_> {
    pub(super) fn public_ip(&mut self, record: &Record, inventory: &mut Inventory) {
        let version = record.fields.get("publicIPAddressVersion").as_text().unwrap_or("IPv4");
        if version.eq_ignore_ascii_case("IPv6") {
            return self.ipv6();
        }
        inventory.public_ips.push(PublicIp {
            id: record.id.clone(),
            name: record.name.clone(),
            address: self.address(record, "ipAddress", record.fields.get("ipAddress")),
            sku: sku(record),
            idle_minutes: self.minutes(record, "idleTimeoutInMinutes"),
            place: record.place.clone(),
        });
    }

    pub(super) fn public_ip_prefix(&mut self, record: &Record, inventory: &mut Inventory) {
        let version = record.fields.get("publicIPAddressVersion").as_text().unwrap_or("IPv4");
        if version.eq_ignore_ascii_case("IPv6") {
            return self.ipv6();
        }
        let value = record.fields.get("ipPrefix");
        let prefix = match value.as_text().map(net) {
            Some(Some(IpNet::V4(prefix))) => Some(prefix),
            None if value.is_null() => None,
            _ => {
                self.missing(record, "ipPrefix", value, "an address range");
                None
            }
        };
        let length = record.fields.get("prefixLength").as_int();
        inventory.public_ip_prefixes.push(PublicIpPrefix {
            id: record.id.clone(),
            name: record.name.clone(),
            prefix,
            length: length.and_then(|length| u8::try_from(length).ok()),
            place: record.place.clone(),
        });
    }

    pub(super) fn nat_gateway(&mut self, record: &Record, inventory: &mut Inventory) {
        inventory.nat_gateways.push(NatGateway {
            id: record.id.clone(),
            name: record.name.clone(),
            public_ips: self.links(record, "publicIpAddresses"),
            public_ip_prefixes: self.links(record, "publicIpPrefixes"),
            idle_minutes: self.minutes(record, "idleTimeoutInMinutes"),
            sku: sku(record),
            place: record.place.clone(),
        });
    }

    pub(super) fn load_balancer(&mut self, record: &Record, inventory: &mut Inventory) {
        let mut frontends = Vec::new();
        for item in record.fields.get("frontendIPConfigurations").items() {
            let public = item.get("publicIPAddress");
            let link = self.link(record, "frontendIPConfigurations.publicIPAddress.id", public);
            if link != Link::None {
                frontends.push(link);
            }
        }
        let mut outbound_rules = Vec::new();
        for item in record.fields.get("outboundRules").items() {
            let number = |name: &str| {
                let number = item.get(name).as_int();
                number.and_then(|number| u32::try_from(number).ok()).filter(|&number| number > 0)
            };
            let pool = item.get("backendAddressPool");
            outbound_rules.push(OutboundRule {
                name: item.get("name").as_text().unwrap_or_default().to_owned(),
                backend_pool: self.link(record, "outboundRules.backendAddressPool.id", pool),
                ports: number("allocatedOutboundPorts"),
                idle_minutes: number("idleTimeoutInMinutes"),
            });
        }
        let named = record.fields.get("backendAddressPools").items().iter();
        let named = named.filter_map(|pool| pool.get("name").as_text());
        let mut pools: Vec<Id> =
            named.map(|name| record.id.child("backendAddressPools", name)).collect();
        let parts = self.parts_of(record, "backendAddressPools");
        pools.extend(parts.into_iter().map(|part| part.id.clone()));
        let mut rules = record.fields.get("loadBalancingRules").items().iter();
        let implicit_outbound =
            rules.any(|rule| rule.get("disableOutboundSnat").as_bool() != Some(true));
        inventory.load_balancers.push(LoadBalancer {
            id: record.id.clone(),
            name: record.name.clone(),
            frontends,
            pools,
            implicit_outbound,
            outbound_rules,
            place: record.place.clone(),
        });
    }

    pub(super) fn gateway(&mut self, record: &Record, inventory: &mut Inventory) {
        let first = record.fields.get("ipConfigurations").items().first().cloned();
        let subnet = first.unwrap_or_default();
        inventory.gateways.push(Gateway {
            id: record.id.clone(),
            name: record.name.clone(),
            kind: self.text(record, "gatewayType"),
            subnet: self.link(record, "ipConfigurations.subnet.id", subnet.get("subnet")),
            place: record.place.clone(),
        });
    }

    pub(super) fn firewall(&mut self, record: &Record, inventory: &mut Inventory) {
        let list = record.fields.get("ipConfigurations").clone();
        let first = list.items().first().cloned().unwrap_or_default();
        let mut public_ips = Vec::new();
        for item in list.items() {
            let public = item.get("publicIPAddress");
            public_ips.push(self.link(record, "ipConfigurations.publicIPAddress.id", public));
        }
        let address = first.get("privateIPAddress");
        inventory.firewalls.push(AzureFirewall {
            id: record.id.clone(),
            name: record.name.clone(),
            subnet: self.link(record, "ipConfigurations.subnet.id", first.get("subnet")),
            address: match address {
                Value::Unknown(_) => None,
                _ => self.address(record, "ipConfigurations.privateIPAddress", address),
            },
            public_ips,
            place: record.place.clone(),
        });
    }
}

fn sku(record: &Record) -> String {
    let sku = record.fields.get("sku");
    let sku = if sku.as_text().is_some() { sku } else { sku.at("name") };
    sku.as_text().unwrap_or_default().to_owned()
}
