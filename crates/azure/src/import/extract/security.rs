//! Network security groups.

use ipnet::IpNet;

use super::routes::is_tag;
use super::{Extract, net, symbol};
use crate::import::batch::Record;
use crate::import::security::{Peer, SecurityGroup, SecurityRule};
use crate::import::value::Value;
use crate::import::{Inventory, Link};

impl Extract<'_> {
    pub(super) fn security_group(&mut self, record: &Record, inventory: &mut Inventory) {
        let left = record.fields.get("securityRules").clone();
        for item in left.items().iter().filter(|item| item.is_unknown()) {
            self.missing(record, "securityRules", item, "a rule");
        }
        let parts = self.parts_of(record, "securityRules");
        let mut rules: Vec<_> = parts.into_iter().map(|part| self.security_rule(part)).collect();
        rules.sort_by_key(|rule| (!rule.inbound, rule.priority.unwrap_or(u16::MAX)));
        inventory.security_groups.push(SecurityGroup {
            id: record.id.clone(),
            name: record.name.clone(),
            rules,
            place: record.place.clone(),
        });
    }

    fn security_rule(&mut self, part: &Record) -> SecurityRule {
        let priority = part.fields.get("priority");
        let number = priority.as_int().and_then(|number| u16::try_from(number).ok());
        if number.is_none() {
            self.missing(part, "priority", priority, "a priority");
        }
        let is = |extract: &mut Self, field: &str, yes: &str, no: &str| {
            let value = part.fields.get(field);
            let word = value.as_text().unwrap_or_default();
            if !word.eq_ignore_ascii_case(yes) && !word.eq_ignore_ascii_case(no) {
                extract.missing(part, field, value, &format!("{yes} or {no}"));
            }
            word.eq_ignore_ascii_case(yes)
        };
        SecurityRule {
            name: part.name.clone(),
            priority: number,
            inbound: is(self, "direction", "Inbound", "Outbound"),
            allow: is(self, "access", "Allow", "Deny"),
            protocol: self.text(part, "protocol"),
            sources: self.peers(part, "source"),
            source_ports: self.ports(part, "source"),
            destinations: self.peers(part, "destination"),
            destination_ports: self.ports(part, "destination"),
            place: part.place.clone(),
        }
    }

    fn peers(&mut self, part: &Record, side: &str) -> Vec<Peer> {
        let (one, several) = (format!("{side}AddressPrefix"), format!("{side}AddressPrefixes"));
        let mut peers = Vec::new();
        let values = [part.fields.get(&several), part.fields.get(&one)];
        for item in values.into_iter().flat_map(Value::items) {
            match item.as_text() {
                Some("") => {}
                Some("*" | "0.0.0.0/0") => peers.push(Peer::Any),
                Some(text) if text.eq_ignore_ascii_case("any") => peers.push(Peer::Any),
                Some(text) => match net(text) {
                    Some(IpNet::V4(prefix)) => peers.push(Peer::Net(prefix)),
                    Some(IpNet::V6(_)) => self.ipv6(),
                    None if is_tag(text) && symbol(text).is_none() => {
                        peers.push(Peer::Tag(text.to_owned()));
                    }
                    None => {
                        self.missing(part, &one, item, "a range or a service tag");
                        peers.push(Peer::Unresolved);
                    }
                },
                None => {
                    self.missing(part, &one, item, "a range or a service tag");
                    peers.push(Peer::Unresolved);
                }
            }
        }
        let groups = format!("{side}ApplicationSecurityGroups");
        for item in part.fields.get(&groups).items() {
            let link = self.link(part, &groups, item);
            if link != Link::None {
                peers.push(Peer::Group(link));
            }
        }
        peers
    }

    fn ports(&mut self, part: &Record, side: &str) -> Vec<(u16, u16)> {
        let (one, several) = (format!("{side}PortRange"), format!("{side}PortRanges"));
        let mut ports = Vec::new();
        let values = [part.fields.get(&several), part.fields.get(&one)];
        for item in values.into_iter().flat_map(Value::items) {
            let range = match item {
                Value::Int(port) => u16::try_from(*port).ok().map(|port| (port, port)),
                Value::Text(text) if text.is_empty() => continue,
                Value::Text(text) => range(text),
                _ => None,
            };
            match range {
                Some(range) => ports.push(range),
                None => self.missing(part, &one, item, "a range of ports"),
            }
        }
        ports
    }
}

fn range(text: &str) -> Option<(u16, u16)> {
    if text.trim() == "*" {
        return Some((0, u16::MAX));
    }
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    Some((first.trim().parse().ok()?, last.trim().parse().ok()?))
}
