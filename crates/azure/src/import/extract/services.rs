//! Resources of services, and the rules that each kind spells in its own way.

use std::collections::BTreeSet;

use super::{Extract, region_of};
use crate::import::batch::Record;
use crate::import::value::Value;
use crate::import::{DefaultAction, Id, Inventory, PublicAccess, Resource, ResourceKind};

/// The kind of resource that a type is.
pub(super) fn kind_of(kind: &str) -> Option<ResourceKind> {
    Some(match kind {
        "microsoft.storage/storageaccounts" => ResourceKind::Storage,
        "microsoft.keyvault/vaults" => ResourceKind::KeyVault,
        "microsoft.sql/servers" => ResourceKind::Sql,
        "microsoft.dbforpostgresql/servers" => ResourceKind::PostgreSql,
        "microsoft.dbformysql/servers" => ResourceKind::MySql,
        "microsoft.dbformariadb/servers" => ResourceKind::MariaDb,
        "microsoft.documentdb/databaseaccounts" => ResourceKind::CosmosDb,
        "microsoft.eventhub/namespaces" => ResourceKind::EventHubs,
        "microsoft.servicebus/namespaces" => ResourceKind::ServiceBus,
        "microsoft.web/sites" => ResourceKind::AppService,
        "microsoft.containerregistry/registries" => ResourceKind::ContainerRegistry,
        "microsoft.cognitiveservices/accounts" => ResourceKind::AiServices,
        _ => return None,
    })
}

impl<'a> Extract<'a> {
    /// Reads a resource; its rules that stand as parts of their own come later.
    pub(super) fn resource(&mut self, record: &Record, inventory: &mut Inventory) {
        let Some(kind) = kind_of(&record.kind) else { return };
        let region = self.text(record, "location");
        let mut resource = Resource {
            id: record.id.clone(),
            name: record.name.clone(),
            kind,
            region: region_of(&region),
            public_access: self.public_access(record),
            default: DefaultAction::Allow,
            ip_rules: Vec::new(),
            subnet_rules: Vec::new(),
            bypass: Vec::new(),
            place: record.place.clone(),
        };
        match kind {
            ResourceKind::Storage
            | ResourceKind::KeyVault
            | ResourceKind::AiServices
            | ResourceKind::ContainerRegistry => {
                let set = record.fields.first(&["networkAcls", "networkRuleSet"]).clone();
                self.rule_set(record, &set, &mut resource);
            }
            ResourceKind::EventHubs | ResourceKind::ServiceBus => {
                let set = record.fields.first(&["networkRuleSets", "networkRuleSet"]).clone();
                self.rule_set(record, &set, &mut resource);
            }
            ResourceKind::CosmosDb => self.cosmos(record, &mut resource),
            ResourceKind::AppService => {
                let config = record.fields.get("siteConfig").clone();
                self.app_restrictions(record, &config, &mut resource);
            }
            ResourceKind::Sql
            | ResourceKind::PostgreSql
            | ResourceKind::MySql
            | ResourceKind::MariaDb => {
                resource.default = DefaultAction::Deny;
            }
        }
        if record.bare {
            resource.default = DefaultAction::Unresolved;
        }
        inventory.resources.push(resource);
    }

    fn public_access(&mut self, record: &Record) -> PublicAccess {
        let value = record.fields.get("publicNetworkAccess");
        match value {
            Value::Null | Value::Bool(true) => PublicAccess::Enabled,
            Value::Bool(false) => PublicAccess::Disabled,
            Value::Text(word) => match word.to_ascii_lowercase().as_str() {
                "disabled" | "false" => PublicAccess::Disabled,
                "securedbyperimeter" => PublicAccess::SecuredByPerimeter,
                "enabled" | "true" | "" => PublicAccess::Enabled,
                _ => {
                    self.missing(record, "publicNetworkAccess", value, "Enabled or Disabled");
                    PublicAccess::Enabled
                }
            },
            other => {
                self.missing(record, "publicNetworkAccess", other, "Enabled or Disabled");
                PublicAccess::Enabled
            }
        }
    }

    /// Puts rules that stand as parts of their own to the resources that they are for.
    pub(super) fn service_parts(&mut self, inventory: &mut Inventory) {
        self.owners_of_rules(inventory);
        for resource in &mut inventory.resources {
            let parts = self.rules_of(&resource.id);
            for part in parts {
                let last = part.kind.rsplit('/').next().unwrap_or_default().to_owned();
                match last.as_str() {
                    "firewallrules" => self.firewall_rule(part, resource),
                    "virtualnetworkrules" => self.subnet_rule_of(part, resource),
                    "networkrulesets" => {
                        self.rule_set(part, &part.fields.clone(), resource);
                    }
                    "config" if part.name.eq_ignore_ascii_case("web") => {
                        self.app_restrictions(part, &part.fields.clone(), resource);
                    }
                    _ => {}
                }
            }
        }
        self.idle_rules(inventory);
    }

    /// Says where rules let nobody in who is not in anyway.
    fn idle_rules(&mut self, inventory: &Inventory) {
        let idle = |one: &Resource| {
            let rules = !one.ip_rules.is_empty() || !one.subnet_rules.is_empty();
            one.default == DefaultAction::Allow && rules && one.kind != ResourceKind::AppService
        };
        if inventory.resources.iter().any(idle) {
            self.assume(
                "rules-have-no-effect",
                "A resource has rules, and its default action is Allow, also where its file does not \
                 say one: its rules keep nobody out.",
            );
        }
    }

    /// The parts of a resource, also of one that no file has itself.
    fn rules_of(&self, id: &Id) -> Vec<&'a Record> {
        if let Some(parts) = self.parts.get(id) {
            return parts.clone();
        }
        if self.records.by_id.contains_key(id) {
            return Vec::new();
        }
        let records = self.records.by_id.values();
        let of = |record: &&Record| {
            record.parent.clone().or_else(|| record.id.parent()).as_ref() == Some(id)
        };
        records.filter(of).collect()
    }

    /// Makes resources that are known by their rules only: a list of one server's rules names it.
    fn owners_of_rules(&mut self, inventory: &mut Inventory) {
        let known: BTreeSet<Id> = inventory.resources.iter().map(|one| one.id.clone()).collect();
        let mut made: BTreeSet<Id> = BTreeSet::new();
        for id in &self.records.order {
            let Some(record) = self.records.by_id.get(id) else { continue };
            let Some((owner, part)) = record.kind.rsplit_once('/') else { continue };
            let is_rule =
                matches!(part, "firewallrules" | "virtualnetworkrules" | "networkrulesets")
                    || record.kind == "microsoft.web/sites/config";
            let Some(kind) = kind_of(owner).filter(|_| is_rule) else { continue };
            let Some(parent) = record.parent.clone().or_else(|| record.id.parent()) else {
                continue;
            };
            if !known.contains(&parent) && made.insert(parent.clone()) {
                inventory.resources.push(Resource {
                    name: parent.name().to_owned(),
                    id: parent.clone(),
                    kind,
                    region: String::new(),
                    public_access: PublicAccess::Enabled,
                    default: if kind.service() == "Microsoft.Sql" {
                        DefaultAction::Deny
                    } else {
                        DefaultAction::Allow
                    },
                    ip_rules: Vec::new(),
                    subnet_rules: Vec::new(),
                    bypass: Vec::new(),
                    place: record.place.clone(),
                });
                let why = format!("no file has {}, only rules of it", parent.name());
                self.missing(record, "", &Value::unknown("", why), "");
            }
        }
    }
}
