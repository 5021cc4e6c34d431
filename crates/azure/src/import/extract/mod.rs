//! From resources in one shape to types.

mod network;
mod outbound;
mod private;
mod routes;
mod security;
mod services;
mod services_firewalls;

use core::net::{IpAddr, Ipv4Addr};
use std::collections::BTreeMap;
use std::sync::Arc;

use ipnet::{IpNet, Ipv4Net};

use super::batch::{Record, Records};
use super::notes::{Missing, assume};
use super::value::Value;
use super::{Assumption, Id, Inventory, Link, Place, Unresolved, check};

/// Makes the types of what all files say together.
pub(crate) fn inventory(records: &Records) -> Inventory {
    let mut extract = Extract::new(records);
    let mut inventory = Inventory::default();
    for id in &records.order {
        let Some(record) = records.by_id.get(id) else { continue };
        extract.one(record, &mut inventory);
    }
    extract.network_parts(&mut inventory);
    extract.back_references(&mut inventory);
    extract.service_parts(&mut inventory);
    extract.private_parts(&mut inventory);
    inventory.unresolved = extract.unresolved.into_list();
    inventory.assumptions = extract.assumptions;
    check::contradictions(records, &mut inventory);
    inventory
}

/// The records, and what was found missing in them.
struct Extract<'a> {
    records: &'a Records,
    /// The parts of each resource, in the order of the files.
    parts: BTreeMap<&'a Id, Vec<&'a Record>>,
    unresolved: Missing,
    assumptions: Vec<Assumption>,
}

impl<'a> Extract<'a> {
    fn new(records: &'a Records) -> Self {
        let mut parts: BTreeMap<&Id, Vec<&Record>> = BTreeMap::new();
        for id in &records.order {
            let Some(record) = records.by_id.get(id) else { continue };
            let parent = record.parent.clone().or_else(|| id.parent());
            if let Some((parent, _)) = parent.and_then(|id| records.by_id.get_key_value(&id)) {
                parts.entry(parent).or_default().push(record);
            }
        }
        Self { records, parts, unresolved: Missing::default(), assumptions: Vec::new() }
    }

    fn one(&mut self, record: &Record, inventory: &mut Inventory) {
        if record.bare {
            let why = "the file lists it and says nothing of its settings: give what `show` prints";
            self.missing(record, "", &Value::unknown("", why), "");
        }
        match record.kind.as_str() {
            "microsoft.network/virtualnetworks" => self.vnet(record, inventory),
            "microsoft.network/virtualnetworks/subnets" => self.subnet(record, inventory),
            "microsoft.network/routetables" => self.route_table(record, inventory),
            "microsoft.network/networksecuritygroups" => self.security_group(record, inventory),
            "microsoft.network/networkinterfaces" => self.nic(record, inventory),
            "microsoft.network/publicipaddresses" => self.public_ip(record, inventory),
            "microsoft.network/publicipprefixes" => self.public_ip_prefix(record, inventory),
            "microsoft.network/natgateways" => self.nat_gateway(record, inventory),
            "microsoft.network/loadbalancers" => self.load_balancer(record, inventory),
            "microsoft.network/virtualnetworkgateways" => self.gateway(record, inventory),
            "microsoft.network/azurefirewalls" => self.firewall(record, inventory),
            "microsoft.network/privateendpoints" => self.private_endpoint(record, inventory),
            "microsoft.network/privatednszones" => self.private_zone(record, inventory),
            "microsoft.network/serviceendpointpolicies" => self.endpoint_policy(record, inventory),
            _ => self.resource(record, inventory),
        }
    }

    /// The parts of a resource that have this type, such as `routes`.
    fn parts_of(&self, record: &Record, kind: &str) -> Vec<&'a Record> {
        let suffix = format!("/{}", kind.to_ascii_lowercase());
        let parts = self.parts.get(&record.id).into_iter().flatten().copied();
        parts.filter(|part| part.kind.ends_with(&suffix)).collect()
    }

    fn assume(&mut self, code: &'static str, text: &str) {
        assume(&mut self.assumptions, code, text.to_owned());
    }

    /// Notes a value that was needed and is not there, or is not what it should be.
    fn missing(&mut self, record: &Record, field: &str, value: &Value, expected: &str) {
        let file = Arc::clone(&record.place.file);
        let outside = ["location", "sku", "name", "kind", ""].contains(&field);
        let own = || match record.inner {
            None => record.place.path.clone(),
            Some(_) if field.is_empty() => record.place.path.clone(),
            Some(inner) => {
                let inner = if outside { "" } else { inner };
                let dot = if record.place.path.is_empty() { "" } else { "." };
                format!("{}{dot}{inner}{field}", record.place.path)
            }
        };
        let (path, why) = match value {
            Value::Unknown(unknown) if unknown.path.is_empty() => (own(), unknown.why.clone()),
            Value::Unknown(unknown) => (unknown.path.clone(), unknown.why.clone()),
            Value::Null => (own(), format!("the file does not say {expected}")),
            Value::Text(text) => match symbol(text) {
                Some(name) => (own(), format!("the parameter {name} has no value")),
                None => (own(), format!("\"{text}\" is not {expected}")),
            },
            other => (own(), format!("{other} stands where {expected} is expected")),
        };
        self.unresolved.add(Unresolved { place: Place { file, path }, why });
    }

    /// Reads text; null is empty.
    fn text(&mut self, record: &Record, field: &str) -> String {
        let value = record.fields.get(field);
        match value {
            Value::Text(text) => text.to_string(),
            Value::Null => String::new(),
            other => {
                self.missing(record, field, other, "text");
                String::new()
            }
        }
    }

    /// Reads a link: text with an id, or an object that has one.
    fn link(&mut self, record: &Record, field: &str, value: &Value) -> Link {
        let id = match value {
            Value::Object(_) => value.at("id"),
            other => other,
        };
        match id {
            Value::Null if value.as_object().is_none_or(|fields| fields.is_empty()) => Link::None,
            Value::Null => Link::None,
            Value::Text(text) if text.trim().is_empty() => Link::None,
            Value::Text(text) => Link::To(Id::new(text)),
            other => {
                self.missing(record, field, other, "an id");
                Link::Unresolved
            }
        }
    }

    fn links(&mut self, record: &Record, field: &str) -> Vec<Link> {
        let value = record.fields.get(field).clone();
        let links = value.items().iter().map(|item| self.link(record, field, item));
        links.filter(|link| *link != Link::None).collect()
    }

    fn truth(&mut self, record: &Record, field: &str, default: bool) -> bool {
        let value = record.fields.get(field);
        match value {
            Value::Null => default,
            _ => value.as_bool().unwrap_or_else(|| {
                self.missing(record, field, value, "true or false");
                default
            }),
        }
    }

    fn minutes(&mut self, record: &Record, field: &str) -> Option<u32> {
        let value = record.fields.get(field);
        let minutes = value.as_int().and_then(|minutes| u32::try_from(minutes).ok());
        if minutes.is_none() && !value.is_null() {
            self.missing(record, field, value, "a number of minutes");
        }
        minutes.filter(|&minutes| minutes > 0)
    }

    /// Reads IPv4 prefixes; IPv6 ones are passed over.
    fn prefixes(&mut self, record: &Record, field: &str, value: &Value) -> Vec<Ipv4Net> {
        let mut prefixes = Vec::new();
        for item in value.items() {
            match item.as_text().map(net) {
                Some(Some(IpNet::V4(prefix))) => prefixes.push(prefix),
                Some(Some(IpNet::V6(_))) => self.ipv6(),
                _ => self.missing(record, field, item, "an address range"),
            }
        }
        prefixes.dedup();
        prefixes
    }

    /// Reads one IPv4 address; one that is given at run time is none.
    fn address(&mut self, record: &Record, field: &str, value: &Value) -> Option<Ipv4Addr> {
        let text = match value {
            Value::Null => return None,
            Value::Text(text) if text.trim().is_empty() => return None,
            Value::Text(text) => text.trim(),
            other => {
                self.missing(record, field, other, "an address");
                return None;
            }
        };
        match text.parse() {
            Ok(IpAddr::V4(address)) => Some(address),
            Ok(IpAddr::V6(_)) => {
                self.ipv6();
                None
            }
            Err(_) => {
                self.missing(record, field, value, "an address");
                None
            }
        }
    }

    fn ipv6(&mut self) {
        self.assume("ipv6-is-passed-over", "IPv6 addresses and ranges are passed over.");
    }

    fn region(&mut self, record: &Record) -> String {
        let region = self.text(record, "location");
        region_of(&region)
    }
}

/// The region as resources name it: `West Europe` is `westeurope`.
pub(super) fn region_of(text: &str) -> String {
    if symbol(text).is_some() {
        return text.to_owned();
    }
    let small: String =
        text.chars().filter(|c| !c.is_whitespace()).map(|c| c.to_ascii_lowercase()).collect();
    crate::region_name(&small).to_owned()
}

/// The parameter that has no value, if a text holds one's symbol, `<name>`.
pub(super) fn symbol(text: &str) -> Option<&str> {
    let (_, rest) = text.split_once('<')?;
    let (name, _) = rest.split_once('>')?;
    (!name.is_empty() && !name.contains(char::is_whitespace)).then_some(name)
}

/// Reads a range; a bare address is one of a single address, and host bits are cleared.
pub(super) fn net(text: &str) -> Option<IpNet> {
    let text = text.trim();
    match text.parse::<IpNet>() {
        Ok(net) => Some(net.trunc()),
        Err(_) => text.parse::<IpAddr>().ok().map(IpNet::from),
    }
}
