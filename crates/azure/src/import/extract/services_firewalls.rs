//! The rules of a resource, in each spelling that there is.

use core::net::Ipv4Addr;

use ipnet::IpNet;

use super::{Extract, net, symbol};
use crate::import::batch::Record;
use crate::import::value::Value;
use crate::import::{DefaultAction, IpRule, Link, Resource, SubnetRule};

/// Where a rule names its subnet: five spellings, and Terraform's are turned into the first.
const SUBNET: [&str; 6] = [
    "id",
    "subnet",
    "virtualNetworkSubnetId",
    "virtualNetworkResourceId",
    "vnetSubnetResourceId",
    "subnetId",
];

/// Where a rule names its addresses.
const ADDRESS: [&str; 5] = ["value", "ipMask", "ipAddressOrRange", "addressRange", "ipAddress"];

impl Extract<'_> {
    /// Reads `networkAcls`, `networkRuleSet` or a rule set of its own.
    pub(super) fn rule_set(&mut self, record: &Record, set: &Value, resource: &mut Resource) {
        if set.is_unknown() {
            self.missing(record, "networkAcls", set, "the rules");
            resource.default = DefaultAction::Unresolved;
            return;
        }
        self.default_action(record, set.get("defaultAction"), resource);
        if let Value::Bool(false) = set.get("publicNetworkAccess") {
            resource.public_access = crate::import::PublicAccess::Disabled;
        }
        if let Some(word) = set.get("publicNetworkAccess").as_text()
            && word.eq_ignore_ascii_case("disabled")
        {
            resource.public_access = crate::import::PublicAccess::Disabled;
        }
        let bypass = set.get("bypass");
        match bypass {
            Value::Unknown(_) => self.missing(record, "bypass", bypass, "who passes by the rules"),
            _ => {
                let words = bypass.items().iter().filter_map(Value::as_text);
                let words = words.flat_map(|text| text.split(',')).map(str::trim);
                let words =
                    words.filter(|word| !word.is_empty() && !word.eq_ignore_ascii_case("none"));
                resource.bypass = words.map(str::to_owned).collect();
            }
        }
        for item in set.get("ipRules").items() {
            self.ip_rule(record, item, resource);
        }
        for item in set.get("virtualNetworkRules").items() {
            self.subnet_rule(record, item, resource);
        }
    }

    fn default_action(&mut self, record: &Record, value: &Value, resource: &mut Resource) {
        match value {
            Value::Null => {}
            Value::Text(word) if word.eq_ignore_ascii_case("allow") => {
                resource.default = DefaultAction::Allow;
            }
            Value::Text(word) if word.eq_ignore_ascii_case("deny") => {
                resource.default = DefaultAction::Deny;
            }
            other => {
                self.missing(record, "defaultAction", other, "Allow or Deny");
                resource.default = DefaultAction::Unresolved;
            }
        }
    }

    fn ip_rule(&mut self, record: &Record, item: &Value, resource: &mut Resource) {
        let value = if item.as_object().is_some() { item.first(&ADDRESS) } else { item };
        let deny =
            item.get("action").as_text().is_some_and(|word| word.eq_ignore_ascii_case("deny"));
        let priority = item.get("priority").as_int();
        let text = value.as_text().unwrap_or_default();
        if text.contains(':') {
            return self.ipv6();
        }
        match range(text) {
            Some((first, last)) => resource.ip_rules.push(IpRule { first, last, deny, priority }),
            None => self.missing(record, "ipRules", value, "an address or range"),
        }
    }

    fn subnet_rule(&mut self, record: &Record, item: &Value, resource: &mut Resource) {
        let value = if item.as_object().is_some() { item.first(&SUBNET) } else { item };
        let subnet = self.link(record, "virtualNetworkRules", value);
        let ignores = ["ignoreMissingVnetServiceEndpoint", "ignoreMissingVNetServiceEndpoint"];
        let word = |name: &str| item.get(name).as_text().unwrap_or_default().to_owned();
        resource.subnet_rules.push(SubnetRule {
            subnet: if subnet == Link::None { Link::Unresolved } else { subnet },
            ignore_missing_endpoint: item.first(&ignores).as_bool().unwrap_or(false),
            state: word("state"),
            deny: word("action").eq_ignore_ascii_case("deny"),
            priority: item.get("priority").as_int(),
        });
    }

    /// Reads a rule for a subnet that is a part of its own; its own id is not the subnet's.
    pub(super) fn subnet_rule_of(&mut self, part: &Record, resource: &mut Resource) {
        let mut fields = part.fields.as_object().cloned().unwrap_or_default();
        fields.retain(|name, _| !name.eq_ignore_ascii_case("id"));
        self.subnet_rule(part, &Value::object(fields), resource);
        if matches!(resource.subnet_rules.last(), Some(rule) if rule.subnet == Link::Unresolved)
            && part.fields.first(SUBNET.get(1..).unwrap_or_default()).is_null()
        {
            self.missing(part, "virtualNetworkSubnetId", &Value::Null, "the rule's subnet");
        }
    }

    pub(super) fn firewall_rule(&mut self, part: &Record, resource: &mut Resource) {
        let first = part.fields.get("startIpAddress").clone();
        let last = part.fields.get("endIpAddress").clone();
        let first = self.address(part, "startIpAddress", &first);
        let last = self.address(part, "endIpAddress", &last).or(first);
        match (first, last) {
            (Some(first), Some(last)) if first <= last => {
                resource.ip_rules.push(IpRule { first, last, deny: false, priority: None });
            }
            (None, None) => {}
            _ => self.missing(
                part,
                "endIpAddress",
                part.fields.get("endIpAddress"),
                "an address at or after the first",
            ),
        }
    }

    pub(super) fn cosmos(&mut self, record: &Record, resource: &mut Resource) {
        let fields = &record.fields;
        for item in fields.get("ipRules").items() {
            self.ip_rule(record, item, resource);
        }
        let filter = fields.get("ipRangeFilter");
        if filter.is_unknown() {
            self.missing(record, "ipRangeFilter", filter, "addresses");
        }
        let texts = filter.items().iter().filter_map(Value::as_text);
        let texts = texts.flat_map(|text| text.split(',')).map(str::trim);
        for text in texts.filter(|text| !text.is_empty()) {
            self.ip_rule(record, &Value::text(text), resource);
        }
        for item in fields.get("virtualNetworkRules").items() {
            self.subnet_rule(record, item, resource);
        }
        let enabled = fields.get("isVirtualNetworkFilterEnabled");
        if enabled.is_unknown() {
            self.missing(record, "isVirtualNetworkFilterEnabled", enabled, "true or false");
        }
        // Subnet rules count only where the filter is on; address rules always.
        let filters = enabled.as_bool().unwrap_or(false);
        if filters || !resource.ip_rules.is_empty() {
            resource.default = DefaultAction::Deny;
        }
        if !filters && !resource.subnet_rules.is_empty() {
            resource.subnet_rules.clear();
            self.assume(
                "cosmos-subnet-rules-need-the-filter",
                "Subnet rules of a Cosmos DB account without isVirtualNetworkFilterEnabled do not \
                 count.",
            );
        }
    }

    /// Reads the access restrictions of an app.
    pub(super) fn app_restrictions(
        &mut self,
        record: &Record,
        config: &Value,
        resource: &mut Resource,
    ) {
        let list = config.get("ipSecurityRestrictions");
        let mut any = false;
        for item in list.items() {
            any = true;
            let subnet = item.get("vnetSubnetResourceId");
            let address = item.get("ipAddress");
            if !subnet.is_null() {
                self.subnet_rule(record, item, resource);
            } else if address.as_text().is_some_and(|text| text.eq_ignore_ascii_case("any")) {
                // "Any" is how the platform writes the default.
                let deny = item.get("action").as_text().is_some_and(|word| word == "Deny");
                resource.default = if deny { DefaultAction::Deny } else { DefaultAction::Allow };
            } else if item.get("tag").as_text().is_some_and(|tag| tag != "Default") {
                let tag = address.as_text().unwrap_or_default().to_owned();
                let why = format!("a rule for the service tag {tag} is not modelled");
                self.missing(record, "ipSecurityRestrictions", &Value::unknown("", why), "");
            } else {
                self.ip_rule(record, item, resource);
            }
        }
        if !resource.ip_rules.is_empty() || !resource.subnet_rules.is_empty() {
            any = true;
        }
        let word = config.get("ipSecurityRestrictionsDefaultAction");
        if word.is_null() {
            let said = list
                .items()
                .iter()
                .any(|item| item.get("ipAddress").as_text().is_some_and(|text| text == "Any"));
            if any && !said {
                resource.default = DefaultAction::Deny;
            }
        } else {
            self.default_action(record, word, resource);
        }
    }
}

/// Reads an address, a range by length, or a range from one address to another.
fn range(text: &str) -> Option<(Ipv4Addr, Ipv4Addr)> {
    if symbol(text).is_some() {
        return None;
    }
    if let Some((first, last)) = text.split_once('-') {
        let (first, last) = (first.trim().parse().ok()?, last.trim().parse().ok()?);
        return (first <= last).then_some((first, last));
    }
    match net(text)? {
        IpNet::V4(prefix) => Some((prefix.network(), prefix.broadcast())),
        IpNet::V6(_) => None,
    }
}
