//! What a deployment would change, as `az deployment group what-if --no-pretty-print` says it.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::batch::{Batch, Entry};
use super::value::{Object, Value};
use super::{Id, exported};

/// Settings of the networks that a change may toggle. All others that show as deleted are noise:
/// the platform sets them itself, and the template does not name them.
const SETTINGS: [&str; 12] = [
    "serviceEndpoints",
    "serviceEndpointPolicies",
    "routeTable",
    "natGateway",
    "networkSecurityGroup",
    "addressPrefix",
    "addressPrefixes",
    "addressSpace",
    "defaultOutboundAccess",
    "networkAcls",
    "virtualNetworkRules",
    "ipRules",
];

/// Reads the state before and after.
pub(crate) fn read(file: &Arc<str>, value: &Value) -> (Batch, Batch) {
    let (mut before, mut after) = (Batch::new(file), Batch::new(file));
    let mut seen: BTreeSet<(Id, String)> = BTreeSet::new();
    let lists =
        [("changes", value.get("changes")), ("potentialChanges", value.get("potentialChanges"))];
    // What is inside a network comes again as a change of its own, which holds: networks go first.
    let mut changes: Vec<(String, &Value)> = lists
        .iter()
        .flat_map(|(name, list)| {
            let items = list.items().iter().enumerate();
            items.map(move |(place, change)| (format!("{name}[{place}]"), change))
        })
        .collect();
    changes.sort_by_key(|(_, change)| {
        change.at("resourceId").as_text().map_or(0, |id| id.matches('/').count())
    });
    for (path, change) in changes {
        one(&path, change, &mut seen, &mut before, &mut after);
    }
    for (place, diagnostic) in value.get("diagnostics").items().iter().enumerate() {
        let code = diagnostic.at("code").as_text().unwrap_or("diagnostic");
        let message = diagnostic.at("message").as_text().unwrap_or_default();
        after.unresolved(format!("diagnostics[{place}]"), format!("{code}: {message}"));
        if code.eq_ignore_ascii_case("NestedDeploymentShortCircuited") {
            after.assume(
                "modules-not-expanded",
                "The what-if did not look into some modules; what they change is taken as unchanged.",
            );
        }
    }
    (before, after)
}

fn one(
    path: &str,
    change: &Value,
    seen: &mut BTreeSet<(Id, String)>,
    before: &mut Batch,
    after: &mut Batch,
) {
    let id = change.at("resourceId").as_text().unwrap_or_default();
    let kind = change.at("changeType").as_text().unwrap_or_default().to_ascii_lowercase();
    if id.starts_with('[') || kind == "unsupported" {
        let why =
            change.at("unsupportedReason").as_text().unwrap_or("the what-if could not judge it");
        after.unresolved(path, format!("{id}: {why}"));
        return;
    }
    let id = Id::new(id);
    if !seen.insert((id.clone(), kind.clone())) {
        return;
    }
    let full = |side: &str| match change.at(side) {
        Value::Null => None,
        resource => Some(with_id(resource, &id)),
    };
    let (old, new) = (full("before"), full("after"));
    match kind.as_str() {
        "create" => put(after, new.as_ref(), path),
        "delete" => {
            put(before, old.as_ref(), path);
            if !id.kind().is_empty() {
                after.entries.push(Entry::Remove(id));
            }
        }
        "modify" => {
            put(before, old.as_ref(), path);
            if let (Some(old), Some(new)) = (&old, &new) {
                put(after, Some(&kept(old, new)), path);
            } else if let Some(new) = &new {
                put(after, Some(new), path);
            } else if super::batch::is_read(&id.kind()) {
                delta(after, &id, change, path);
            } else {
                after.ignore(&id.kind());
            }
        }
        "nochange" | "ignore" | "deploy" => {
            let state = old.or(new);
            put(before, state.as_ref(), path);
            put(after, state.as_ref(), path);
            if kind == "deploy" && super::batch::is_read(&id.kind()) {
                after.unresolved(path, "it is deployed, and the what-if does not say what changes");
            }
        }
        other => after.unresolved(path, format!("the change type {other} is not known")),
    }
}

/// Takes one state of a resource; it stands above what other files say.
fn put(batch: &mut Batch, resource: Option<&Value>, path: &str) {
    if let Some(resource) = resource {
        exported::resource(batch, resource, path, true);
    }
}

/// Keeps what the platform set itself and only seems to go: the address of an interface, for one.
fn kept(old: &Value, new: &Value) -> Value {
    const PARTS: [&str; 4] = ["subnets", "routes", "securityRules", "virtualNetworkPeerings"];
    match (old, new) {
        (Value::Object(old), Value::Object(new)) => {
            let mut fields = (**new).clone();
            for (name, value) in old.iter() {
                let toggles =
                    SETTINGS.iter().chain(&PARTS).any(|one| one.eq_ignore_ascii_case(name));
                match super::value::field(new, name) {
                    Some(own) if !toggles => _ = fields.insert(name.clone(), kept(value, own)),
                    None if !toggles => _ = fields.insert(name.clone(), value.clone()),
                    _ => {}
                }
            }
            Value::object(fields)
        }
        // Items that are gone are gone; of those that stay, the settings that are not said stay.
        (Value::List(old), Value::List(new)) => {
            let named = |item: &Value| item.at("name").as_text().map(str::to_ascii_lowercase);
            let items = new.iter().map(|item| {
                let name = named(item).filter(|_| old.len() <= 1_000);
                let same =
                    name.and_then(|name| old.iter().find(|one| named(one).as_ref() == Some(&name)));
                same.map_or_else(|| item.clone(), |old| kept(old, item))
            });
            Value::list(items.collect())
        }
        _ => new.clone(),
    }
}

/// Reads a change that only says what differs.
fn delta(after: &mut Batch, id: &Id, change: &Value, path: &str) {
    for (place, part) in change.at("delta").items().iter().enumerate() {
        let at = part.at("path").as_text().unwrap_or_default();
        let name =
            at.trim_start_matches("properties.").split(['.', '[']).next().unwrap_or_default();
        if SETTINGS.iter().any(|setting| setting.eq_ignore_ascii_case(name)) {
            let place = format!("{path}.delta[{place}]");
            let full = [part.at("after"), part.at("before")];
            if at.trim_start_matches("properties.") == name
                && !full.iter().all(|side| side.is_null())
            {
                let value = part.at("after").clone();
                let fields = Object::from([(name.to_owned(), value)]);
                exported::resource(after, &with_id(&Value::object(fields), id), &place, false);
            } else {
                after.unresolved(
                    place,
                    format!("a part of {at} changes, and the whole is not said"),
                );
            }
        }
    }
}

fn with_id(resource: &Value, id: &Id) -> Value {
    let mut fields = resource.as_object().cloned().unwrap_or_default();
    fields.retain(|name, _| !name.eq_ignore_ascii_case("id"));
    fields.insert("id".to_owned(), Value::text(id.as_str()));
    Value::object(fields)
}
