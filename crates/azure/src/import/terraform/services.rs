//! Resources of services with their firewalls, of `azurerm`, versions 2 to 5.

use super::super::batch::Batch;
use super::super::value::Value;
use super::links::{Owner, Source, block, each, object};
use super::network::amend;

const STORAGE: Owner = Owner {
    ids: &["storage_account_id"],
    name: "storage_account_name",
    kinds: &["azurerm_storage_account"],
    arm: "Microsoft.Storage/storageAccounts",
};

const BUS: Owner = Owner {
    ids: &["namespace_id"],
    name: "namespace_name",
    kinds: &["azurerm_servicebus_namespace"],
    arm: "Microsoft.ServiceBus/namespaces",
};

const SERVER: Owner = Owner {
    ids: &["server_id"],
    name: "server_name",
    kinds: &[
        "azurerm_mssql_server",
        "azurerm_sql_server",
        "azurerm_postgresql_server",
        "azurerm_mysql_server",
        "azurerm_mariadb_server",
    ],
    arm: "Microsoft.Sql/servers",
};

/// Rules in the spelling of storage accounts, vaults and AI services.
fn acls(rules: &Value) -> Value {
    if rules.is_unknown() || rules.is_null() {
        return rules.clone();
    }
    let subnets = match rules.at("virtual_network_rules") {
        Value::Null => {
            each(rules.at("virtual_network_subnet_ids"), |id| object([("id", id.clone())]))
        }
        blocks => each(blocks, |one| {
            object([
                ("id", one.at("subnet_id").clone()),
                (
                    "ignoreMissingVnetServiceEndpoint",
                    one.at("ignore_missing_vnet_service_endpoint").clone(),
                ),
            ])
        }),
    };
    object([
        ("defaultAction", rules.at("default_action").clone()),
        ("bypass", rules.at("bypass").clone()),
        ("ipRules", each(rules.at("ip_rules"), |one| object([("value", one.clone())]))),
        ("virtualNetworkRules", subnets),
    ])
}

fn common(source: &Source<'_>, mut rules: (&'static str, Value)) -> Value {
    if source.instance.data && rules.1.is_null() {
        rules.1 = Value::unknown(&source.instance.address, "a data source does not say its rules");
    }
    object([("location", source.get("location")), ("publicNetworkAccess", access(source)), rules])
}

fn access(source: &Source<'_>) -> Value {
    let value = source.first(&["public_network_access_enabled", "public_network_access"]);
    if value.is_unknown() { Value::Null } else { value }
}

pub(super) fn storage(source: &Source<'_>, batch: &mut Batch) {
    let rules = acls(&block(&source.get("network_rules")));
    let fields = common(source, ("networkAcls", rules));
    source.record(batch, "microsoft.storage/storageaccounts", None, &fields);
}

/// Rules of a storage account that are a resource of their own.
pub(super) fn storage_rules(source: &Source<'_>, batch: &mut Batch) {
    let Some(account) = source.owner(&STORAGE, batch) else { return };
    let rules = object([
        ("default_action", source.get("default_action")),
        ("bypass", source.get("bypass")),
        ("ip_rules", source.get("ip_rules")),
        ("virtual_network_subnet_ids", source.get("virtual_network_subnet_ids")),
    ]);
    let fields = object([("networkAcls", acls(&rules))]);
    let kind = "microsoft.storage/storageaccounts";
    let name = account.name().to_owned();
    batch.record(kind, account, &name, None, &fields, &source.instance.address, false);
}

pub(super) fn vault(source: &Source<'_>, batch: &mut Batch) {
    let fields = common(source, ("networkAcls", acls(&block(&source.get("network_acls")))));
    source.record(batch, "microsoft.keyvault/vaults", None, &fields);
}

pub(super) fn ai(source: &Source<'_>, batch: &mut Batch) {
    let fields = common(source, ("networkAcls", acls(&block(&source.get("network_acls")))));
    source.record(batch, "microsoft.cognitiveservices/accounts", None, &fields);
}

pub(super) fn registry(source: &Source<'_>, batch: &mut Batch) {
    let set = block(&source.get("network_rule_set"));
    let rules = if set.is_null() || set.is_unknown() {
        set
    } else {
        object([
            ("defaultAction", set.at("default_action").clone()),
            (
                "ipRules",
                each(set.at("ip_rule"), |one| object([("value", one.at("ip_range").clone())])),
            ),
            (
                "virtualNetworkRules",
                each(set.at("virtual_network"), |one| {
                    object([("id", one.at("subnet_id").clone())])
                }),
            ),
        ])
    };
    let fields = common(source, ("networkRuleSet", rules));
    source.record(batch, "microsoft.containerregistry/registries", None, &fields);
}

pub(super) fn cosmos(source: &Source<'_>, batch: &mut Batch) {
    let subnets = each(&source.get("virtual_network_rule"), |one| {
        object([
            ("id", one.at("id").clone()),
            (
                "ignoreMissingVNetServiceEndpoint",
                one.at("ignore_missing_vnet_service_endpoint").clone(),
            ),
        ])
    });
    let fields = object([
        ("location", source.get("location")),
        ("publicNetworkAccess", access(source)),
        ("ipRangeFilter", source.get("ip_range_filter")),
        ("virtualNetworkRules", subnets),
        ("isVirtualNetworkFilterEnabled", source.get("is_virtual_network_filter_enabled")),
    ]);
    source.record(batch, "microsoft.documentdb/databaseaccounts", None, &fields);
}

/// Rules in the spelling of Event Hubs and Service Bus.
fn rule_set(set: &Value) -> Value {
    if set.is_null() || set.is_unknown() {
        return set.clone();
    }
    let addresses = each(set.first(&["ip_rule", "ip_rules"]), |one| match one {
        Value::Text(_) => object([("ipMask", one.clone())]),
        _ => object([("ipMask", one.at("ip_mask").clone())]),
    });
    let subnets = each(set.first(&["virtual_network_rule", "network_rules"]), |one| {
        object([
            ("subnet", Value::reference(one.at("subnet_id").clone())),
            (
                "ignoreMissingVnetServiceEndpoint",
                one.first(&[
                    "ignore_missing_virtual_network_service_endpoint",
                    "ignore_missing_vnet_service_endpoint",
                ])
                .clone(),
            ),
        ])
    });
    object([
        ("defaultAction", set.at("default_action").clone()),
        ("publicNetworkAccess", set.at("public_network_access_enabled").clone()),
        ("ipRules", addresses),
        ("virtualNetworkRules", subnets),
    ])
}

pub(super) fn event_hubs(source: &Source<'_>, batch: &mut Batch) {
    let set = block(&source.first(&["network_rulesets", "network_rule_set"]));
    let fields = common(source, ("networkRuleSet", rule_set(&set)));
    source.record(batch, "microsoft.eventhub/namespaces", None, &fields);
}

pub(super) fn service_bus(source: &Source<'_>, batch: &mut Batch) {
    let set = block(&source.get("network_rule_set"));
    let fields = common(source, ("networkRuleSet", rule_set(&set)));
    source.record(batch, "microsoft.servicebus/namespaces", None, &fields);
}

pub(super) fn service_bus_rules(source: &Source<'_>, batch: &mut Batch) {
    let Some(owner) = source.owner(&BUS, batch) else { return };
    let set = object([
        ("default_action", source.get("default_action")),
        ("public_network_access_enabled", source.get("public_network_access_enabled")),
        ("ip_rules", source.get("ip_rules")),
        ("network_rules", source.get("network_rules")),
    ]);
    let id = owner.child("networkRuleSets", "default");
    let kind = "microsoft.servicebus/namespaces/networkrulesets";
    let path = &source.instance.address;
    batch.record(kind, id, "default", Some(owner), &rule_set(&set), path, false);
}

/// The type in ARM of a server, or of its rule, of Terraform's type.
fn server_kind(kind: &str) -> &'static str {
    match kind {
        _ if kind.contains("postgresql") => "microsoft.dbforpostgresql/servers",
        _ if kind.contains("mysql") => "microsoft.dbformysql/servers",
        _ if kind.contains("mariadb") => "microsoft.dbformariadb/servers",
        _ => "microsoft.sql/servers",
    }
}

pub(super) fn server(source: &Source<'_>, batch: &mut Batch) {
    let fields =
        object([("location", source.get("location")), ("publicNetworkAccess", access(source))]);
    source.record(batch, server_kind(&source.instance.kind), None, &fields);
}

pub(super) fn firewall_rule(source: &Source<'_>, batch: &mut Batch) {
    let Some(server) = source.owner(&SERVER, batch) else { return };
    let fields = object([
        ("startIpAddress", source.get("start_ip_address")),
        ("endIpAddress", source.get("end_ip_address")),
    ]);
    let kind = format!("{}/firewallrules", server_kind(&source.instance.kind));
    source.record(batch, &kind, Some(server), &fields);
}

pub(super) fn subnet_rule(source: &Source<'_>, batch: &mut Batch) {
    let Some(server) = source.owner(&SERVER, batch) else { return };
    let fields = object([
        ("virtualNetworkSubnetId", source.get("subnet_id")),
        ("ignoreMissingVnetServiceEndpoint", source.get("ignore_missing_vnet_service_endpoint")),
    ]);
    let kind = format!("{}/virtualnetworkrules", server_kind(&source.instance.kind));
    source.record(batch, &kind, Some(server), &fields);
}

pub(super) fn app(source: &Source<'_>, batch: &mut Batch) {
    let config = block(&source.get("site_config"));
    let restrictions = each(config.at("ip_restriction"), |one| {
        let given = |name: &str| match one.at(name) {
            Value::Text(text) if text.is_empty() => Value::Null,
            other => other.clone(),
        };
        object([
            ("name", given("name")),
            (
                "ipAddress",
                match given("ip_address") {
                    Value::Null => given("service_tag"),
                    address => address,
                },
            ),
            (
                "vnetSubnetResourceId",
                match given("virtual_network_subnet_id") {
                    Value::Null => given("subnet_id"),
                    id => id,
                },
            ),
            (
                "tag",
                match given("service_tag") {
                    Value::Null => Value::Null,
                    _ => Value::text("ServiceTag"),
                },
            ),
            ("action", given("action")),
            ("priority", one.at("priority").clone()),
        ])
    });
    let site = object([
        (
            "ipSecurityRestrictions",
            if restrictions.is_unknown() { Value::Null } else { restrictions },
        ),
        ("ipSecurityRestrictionsDefaultAction", config.at("ip_restriction_default_action").clone()),
    ]);
    let fields = common(source, ("siteConfig", site));
    source.record(batch, "microsoft.web/sites", None, &fields);
}

/// Amends a resource that a link names.
pub(super) fn amend_by_id(source: &Source<'_>, batch: &mut Batch, kind: &str, fields: Value) {
    amend(source, batch, "resource_id", kind, fields);
}
