//! What one file says: resources in one shape, whatever the file's own, and what it leaves open.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::notes::assume;
use super::value::{Object, Value, field};
use super::{Assumption, Id, Place, Unresolved};

/// A resource in one shape: the fields that ARM wraps in `properties` stand beside the others.
#[derive(Clone, Debug)]
pub(crate) struct Record {
    pub(crate) id: Id,
    /// The type in small letters, `microsoft.network/virtualnetworks`.
    pub(crate) kind: String,
    pub(crate) name: String,
    /// What it is a part of, if the id does not say it.
    pub(crate) parent: Option<Id>,
    pub(crate) fields: Value,
    pub(crate) place: Place,
    /// What stands between the place and the name of a field; none where the file has other names
    /// for the fields.
    pub(crate) inner: Option<&'static str>,
    /// Whether a running platform shows it, and shows no setting of it.
    pub(crate) bare: bool,
}

/// What a file says of one resource.
#[derive(Clone, Debug)]
pub(crate) enum Entry {
    /// It is so; what another file says beside it stands too.
    Merge(Record),
    /// It is so and not otherwise, its parts included.
    Replace(Record),
    /// It is no more, nor are its parts.
    Remove(Id),
}

/// What one file says.
#[derive(Clone, Debug)]
pub(crate) struct Batch {
    file: Arc<str>,
    /// Whether it says what a running platform has.
    pub(crate) live: bool,
    /// Whether it is a file of Terraform, whose fields have other names.
    pub(crate) terraform: bool,
    pub(crate) entries: Vec<Entry>,
    pub(crate) unresolved: Vec<Unresolved>,
    pub(crate) ignored: BTreeMap<String, usize>,
    pub(crate) assumptions: Vec<Assumption>,
}

/// Types that are read, in small letters.
const READ: [&str; 48] = [
    "microsoft.app/managedenvironments",
    "microsoft.cognitiveservices/accounts",
    "microsoft.containerregistry/registries",
    "microsoft.dbformariadb/servers",
    "microsoft.dbformariadb/servers/firewallrules",
    "microsoft.dbformariadb/servers/virtualnetworkrules",
    "microsoft.dbformysql/servers",
    "microsoft.dbformysql/servers/firewallrules",
    "microsoft.dbformysql/servers/virtualnetworkrules",
    "microsoft.dbforpostgresql/servers",
    "microsoft.dbforpostgresql/servers/firewallrules",
    "microsoft.dbforpostgresql/servers/virtualnetworkrules",
    "microsoft.documentdb/databaseaccounts",
    "microsoft.eventhub/namespaces",
    "microsoft.eventhub/namespaces/networkrulesets",
    "microsoft.eventhub/namespaces/virtualnetworkrules",
    "microsoft.keyvault/vaults",
    "microsoft.network/applicationsecuritygroups",
    "microsoft.network/azurefirewalls",
    "microsoft.network/loadbalancers",
    "microsoft.network/loadbalancers/backendaddresspools",
    "microsoft.network/natgateways",
    "microsoft.network/networkinterfaces",
    "microsoft.network/networksecuritygroups",
    "microsoft.network/networksecuritygroups/securityrules",
    "microsoft.network/privatednszones",
    "microsoft.network/privatednszones/a",
    "microsoft.network/privatednszones/virtualnetworklinks",
    "microsoft.network/privateendpoints",
    "microsoft.network/privateendpoints/privatednszonegroups",
    "microsoft.network/publicipaddresses",
    "microsoft.network/publicipprefixes",
    "microsoft.network/routetables",
    "microsoft.network/routetables/routes",
    "microsoft.network/serviceendpointpolicies",
    "microsoft.network/serviceendpointpolicies/serviceendpointpolicydefinitions",
    "microsoft.network/virtualnetworkgateways",
    "microsoft.network/virtualnetworks",
    "microsoft.network/virtualnetworks/subnets",
    "microsoft.network/virtualnetworks/virtualnetworkpeerings",
    "microsoft.servicebus/namespaces",
    "microsoft.servicebus/namespaces/networkrulesets",
    "microsoft.servicebus/namespaces/virtualnetworkrules",
    "microsoft.sql/servers",
    "microsoft.sql/servers/firewallrules",
    "microsoft.sql/servers/virtualnetworkrules",
    "microsoft.storage/storageaccounts",
    "microsoft.web/sites",
];

/// Parts that stand inside a resource or beside it: the type, the field, the type of the part.
const PARTS: [(&str, &str, &str); 7] = [
    ("microsoft.network/virtualnetworks", "subnets", "subnets"),
    ("microsoft.network/virtualnetworks", "virtualNetworkPeerings", "virtualNetworkPeerings"),
    ("microsoft.network/routetables", "routes", "routes"),
    ("microsoft.network/networksecuritygroups", "securityRules", "securityRules"),
    (
        "microsoft.network/serviceendpointpolicies",
        "serviceEndpointPolicyDefinitions",
        "serviceEndpointPolicyDefinitions",
    ),
    ("microsoft.sql/servers", "firewallRules", "firewallRules"),
    ("microsoft.network/privateendpoints", "privateDnsZoneGroups", "privateDnsZoneGroups"),
];

/// Whether resources of this type, in small letters, are read.
pub(crate) fn is_read(kind: &str) -> bool {
    READ.binary_search(&kind).is_ok() || kind == "microsoft.web/sites/config"
}

impl Batch {
    pub(crate) fn new(file: &Arc<str>) -> Self {
        Self {
            file: Arc::clone(file),
            live: false,
            terraform: false,
            entries: Vec::new(),
            unresolved: Vec::new(),
            ignored: BTreeMap::new(),
            assumptions: Vec::new(),
        }
    }

    pub(crate) fn place(&self, path: impl Into<String>) -> Place {
        Place { file: Arc::clone(&self.file), path: path.into() }
    }

    pub(crate) fn ignore(&mut self, what: &str) {
        *self.ignored.entry(what.to_owned()).or_default() += 1;
    }

    pub(crate) fn unresolved(&mut self, path: impl Into<String>, why: impl Into<String>) {
        let place = self.place(path);
        self.unresolved.push(Unresolved { place, why: why.into() });
    }

    pub(crate) fn assume(&mut self, code: &'static str, text: impl Into<String>) {
        assume(&mut self.assumptions, code, text.into());
    }

    /// Takes a resource as ARM or `az` writes it. Its parts become resources of their own.
    pub(crate) fn resource(
        &mut self,
        kind: &str,
        id: Id,
        resource: &Value,
        path: &str,
        whole: bool,
    ) {
        let lower = kind.trim_matches('/').to_ascii_lowercase();
        if !is_read(&lower) {
            return self.ignore(kind);
        }
        let name = id.name().to_owned();
        self.record(&lower, id, &name, None, resource, path, whole);
    }

    /// Takes a resource in ARM's shape with its name and what it is a part of.
    #[allow(clippy::too_many_arguments, reason = "a record has as many parts")]
    pub(crate) fn record(
        &mut self,
        kind: &str,
        id: Id,
        name: &str,
        parent: Option<Id>,
        resource: &Value,
        path: &str,
        whole: bool,
    ) {
        let mut fields = flatten(resource);
        let wrapped = resource.at("properties").as_object();
        let inner = if wrapped.is_some() { "properties." } else { "" };
        let mut parts = Vec::new();
        for (_, name, part) in PARTS.iter().filter(|(of, ..)| *of == kind) {
            let Some(Value::List(items)) = field(&fields, name).cloned() else { continue };
            let mut left = Vec::new();
            for (place, item) in items.iter().enumerate() {
                let own = match part_id(&id, part, item) {
                    Some(own) => own,
                    // Its neighbours and the rest of it still count.
                    None if item.get("name").is_unknown() && item.as_object().is_some() => {
                        if let Value::Unknown(unknown) = item.get("name") {
                            self.unresolved(&unknown.path, &unknown.why);
                        }
                        id.child(part, &format!("<{name}[{place}]>"))
                    }
                    None => {
                        if item.is_unknown() {
                            left.push(item.clone());
                        }
                        continue;
                    }
                };
                let dot = if path.is_empty() { "" } else { "." };
                let own_path =
                    match (self.terraform, wrapped.and_then(|fields| field(fields, name))) {
                        (true, _) => format!("{path}.{}[{place}]", singular(name)),
                        (false, Some(_)) => format!("{path}{dot}properties.{name}[{place}]"),
                        (false, None) => format!("{path}{dot}{name}[{place}]"),
                    };
                parts.push((
                    format!("{kind}/{}", part.to_ascii_lowercase()),
                    own,
                    item.clone(),
                    own_path,
                ));
            }
            fields.retain(|key, _| !key.eq_ignore_ascii_case(name));
            if !left.is_empty() {
                fields.insert((*name).to_owned(), Value::list(left));
            }
        }
        let record = Record {
            kind: kind.to_owned(),
            name: name.to_owned(),
            bare: self.live && parent.is_none() && wrapped.is_none() && is_bare(resource),
            parent,
            fields: Value::object(fields),
            place: self.place(path),
            inner: (!self.terraform).then_some(inner),
            id: id.clone(),
        };
        let entry = |record| if whole { Entry::Replace(record) } else { Entry::Merge(record) };
        self.entries.push(entry(record));
        for (kind, own, item, path) in parts {
            let name =
                item.get("name").as_text().map_or_else(|| own.name().to_owned(), str::to_owned);
            self.record(&kind, own, &name, Some(id.clone()), &item, &path, false);
        }
    }
}

/// Whether a resource has nothing but what every resource has, as lists of all resources show it.
fn is_bare(resource: &Value) -> bool {
    const COMMON: [&str; 17] = [
        "id",
        "name",
        "type",
        "location",
        "tags",
        "kind",
        "sku",
        "identity",
        "resourceGroup",
        "managedBy",
        "plan",
        "zones",
        "extendedLocation",
        "createdTime",
        "changedTime",
        "provisioningState",
        "systemData",
    ];
    let common = |name: &String| COMMON.iter().any(|one| one.eq_ignore_ascii_case(name));
    resource
        .as_object()
        .is_some_and(|fields| fields.iter().all(|(name, value)| value.is_null() || common(name)))
}

/// The name of Terraform's block for a field: `securityRules` is `security_rule`.
fn singular(name: &str) -> String {
    let mut snake = String::new();
    for letter in name.trim_end_matches('s').chars() {
        if letter.is_ascii_uppercase() {
            snake.push('_');
        }
        snake.push(letter.to_ascii_lowercase());
    }
    snake
}

/// The id of a part: its own, or one made of the whole's and the part's name.
fn part_id(whole: &Id, part: &str, item: &Value) -> Option<Id> {
    let name = item.get("name").as_text();
    match item.get("id").as_text() {
        // An id that stands elsewhere is a reference that says nothing more.
        Some(id) if Id::new(id).parent().as_ref() == Some(whole) => Some(Id::new(id)),
        _ => name.map(|name| whole.child(part, name)),
    }
}

/// Puts the fields of `properties` beside the others, as `az` does.
fn flatten(resource: &Value) -> Object {
    let mut fields = Object::new();
    if let Value::Object(inner) = resource.at("properties") {
        fields.extend(inner.iter().map(|(name, value)| (name.clone(), value.clone())));
    } else if resource.at("properties").is_unknown() {
        fields.insert("properties".to_owned(), resource.at("properties").clone());
    }
    for (name, value) in resource.as_object().into_iter().flatten() {
        if !name.eq_ignore_ascii_case("properties") && !value.is_null() {
            fields.insert(name.clone(), value.clone());
        }
    }
    fields
}

/// The resources that all files together say there are.
#[derive(Clone, Debug, Default)]
pub(crate) struct Records {
    pub(crate) by_id: BTreeMap<Id, Record>,
    /// The ids in the order in which the files have them.
    pub(crate) order: Vec<Id>,
    /// The ids that `order` has.
    ordered: BTreeSet<Id>,
    /// Subnets whose ranges two files say differently: both places, and what they say.
    pub(crate) differ: Vec<(Place, Place, String)>,
}

impl Records {
    pub(crate) fn apply(&mut self, entry: &Entry) {
        match entry {
            Entry::Merge(record) => self.merge(record),
            Entry::Replace(record) => {
                self.remove(&record.id);
                self.merge(record);
            }
            Entry::Remove(id) => self.remove(id),
        }
    }

    fn remove(&mut self, id: &Id) {
        self.by_id.remove(id);
        let mut parts: Vec<Id> = Vec::new();
        for (other, record) in &self.by_id {
            let parent = record.parent.clone().or_else(|| other.parent());
            if parent.is_some_and(|parent| parent == *id || parts.contains(&parent)) {
                parts.push(other.clone());
            }
        }
        self.by_id.retain(|other, _| !parts.contains(other));
    }

    fn merge(&mut self, record: &Record) {
        let Some(held) = self.by_id.get_mut(&record.id) else {
            if self.ordered.insert(record.id.clone()) {
                self.order.push(record.id.clone());
            }
            self.by_id.insert(record.id.clone(), record.clone());
            return;
        };
        for (one, other) in [("addressPrefix", "addressPrefixes"), ("addressSpace", "addressSpace")]
        {
            let ranges = |fields: &Value| prefixes(fields.first(&[one, other]));
            let (old, new) = (ranges(&held.fields), ranges(&record.fields));
            if !old.is_empty() && !new.is_empty() && old != new {
                let what = format!("{} is {} and {}", record.name, old.join(" "), new.join(" "));
                self.differ.push((held.place.clone(), record.place.clone(), what));
            }
        }
        held.bare &= record.bare;
        let mut fields = held.fields.as_object().cloned().unwrap_or_default();
        let mut place = held.place.clone();
        let says = |fields: &Object| fields.len();
        if says(&fields) < record.fields.as_object().map_or(0, says) {
            place = record.place.clone();
        }
        for (name, value) in record.fields.as_object().into_iter().flatten() {
            fields.retain(|key, _| !key.eq_ignore_ascii_case(name) || key == name);
            fields.insert(name.clone(), value.clone());
        }
        held.fields = Value::object(fields);
        held.place = place;
        held.parent = held.parent.take().or_else(|| record.parent.clone());
    }
}

/// The ranges in a field, as texts that can be compared.
fn prefixes(value: &Value) -> Vec<String> {
    let value = if value.as_object().is_some() { value.get("addressPrefixes") } else { value };
    let mut ranges: Vec<_> =
        value.items().iter().filter_map(Value::as_text).map(str::to_owned).collect();
    ranges.sort_unstable();
    ranges
}
