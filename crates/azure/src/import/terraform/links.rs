//! An instance as the converters see it: its attributes, and what it belongs to.

use std::borrow::Cow;

use super::super::Id;
use super::super::batch::Batch;
use super::super::exported::path_of;
use super::super::value::{Object, Value};
use super::plan::{Instance, Plan};

/// An instance with the plan that has it.
pub(super) struct Source<'a> {
    pub(super) plan: &'a Plan<'a>,
    pub(super) instance: &'a Instance,
}

/// How a resource names what it belongs to.
pub(super) struct Owner {
    /// The attributes that may hold its id.
    pub(super) ids: &'static [&'static str],
    /// The attribute that holds its name.
    pub(super) name: &'static str,
    /// Its types in Terraform.
    pub(super) kinds: &'static [&'static str],
    /// Its type in ARM.
    pub(super) arm: &'static str,
}

impl Source<'_> {
    pub(super) fn get(&self, name: &str) -> Value {
        self.plan.attribute(self.instance, name)
    }

    /// The first of these attributes that is set.
    pub(super) fn first(&self, names: &[&str]) -> Value {
        names.iter().map(|name| self.get(name)).find(|value| !value.is_null()).unwrap_or_default()
    }

    pub(super) fn id(&self) -> Id {
        Id::new(&self.plan.id_of(self.instance))
    }

    /// The name; of one whose name is known after apply, its address in brackets.
    pub(super) fn name(&self) -> Cow<'_, str> {
        match self.instance.values.at("name").as_text() {
            Some(name) => Cow::Borrowed(name),
            None => Cow::Owned(format!("<{}>", self.instance.address)),
        }
    }

    pub(super) fn path(&self, name: &str) -> String {
        format!("{}.{name}", self.instance.address)
    }

    /// What an instance belongs to.
    pub(super) fn owner(&self, owner: &Owner, batch: &mut Batch) -> Option<Id> {
        for name in owner.ids {
            match self.get(name) {
                Value::Text(id) if !id.is_empty() => return Some(Id::new(&id)),
                Value::Unknown(unknown) => {
                    batch.unresolved(&unknown.path, &unknown.why);
                    return None;
                }
                _ => {}
            }
        }
        let own = self.id();
        if let Some(parent) = own.parent().filter(|_| !own.as_str().starts_with("terraform:")) {
            return Some(parent);
        }
        let target = owner.kinds.iter().find_map(|kind| {
            let own = self.plan.target(self.instance, owner.name, kind);
            own.map(|instance| Id::new(&self.plan.id_of(instance)))
        });
        if target.is_some() {
            return target;
        }
        let name = self.get(owner.name);
        let Some(name) = name.as_text() else {
            let why = match &name {
                Value::Unknown(unknown) => unknown.why.clone(),
                _ => "it is not said what it belongs to".to_owned(),
            };
            batch.unresolved(self.path(owner.name), why);
            return None;
        };
        let group = self.get("resource_group_name");
        let found = owner.kinds.iter().find_map(|kind| self.by_name(kind, name, &group));
        if let Some(found) = found {
            return Some(Id::new(&self.plan.id_of(found)));
        }
        let group = group.as_text().unwrap_or("<resource-group>");
        let path = path_of(owner.arm, name);
        let start = format!("/subscriptions/<subscription>/resourceGroups/{group}/providers");
        Some(Id::new(&format!("{start}/{path}")))
    }

    /// The instance of a type with this name and group; one in the own module goes before others.
    fn by_name(&self, kind: &str, name: &str, group: &Value) -> Option<&Instance> {
        let places = self.plan.named(kind, name);
        let all = places.iter().filter_map(|&place| self.plan.instances.get(place));
        let same = |one: &&Instance| {
            let own = one.values.at("resource_group_name");
            match (own.as_text(), group.as_text()) {
                (Some(own), Some(group)) => own.eq_ignore_ascii_case(group),
                _ => true,
            }
        };
        let mut found: Vec<&Instance> = all.filter(same).collect();
        found.sort_by_key(|one| (one.module != self.instance.module, one.data));
        found.first().copied()
    }

    /// Puts a resource into the batch.
    pub(super) fn record(&self, batch: &mut Batch, kind: &str, parent: Option<Id>, fields: &Value) {
        let name = self.name();
        if self.instance.values.at("name").as_text().is_none() {
            let why = match self.get("name") {
                Value::Unknown(unknown) => unknown.why.clone(),
                _ => "it has no name".to_owned(),
            };
            batch.unresolved(self.path("name"), why);
        }
        batch.record(kind, self.id(), &name, parent, fields, &self.instance.address, false);
    }
}

/// Makes an object of these fields, without those that are null.
pub(super) fn object(fields: impl IntoIterator<Item = (&'static str, Value)>) -> Value {
    let fields = fields.into_iter().filter(|(_, value)| !value.is_null());
    Value::object(fields.map(|(name, value)| (name.to_owned(), value)).collect::<Object>())
}

/// Makes references of ids.
pub(super) fn references(ids: &Value) -> Value {
    match ids {
        Value::Unknown(_) | Value::Null => ids.clone(),
        _ => Value::list(ids.items().iter().cloned().map(Value::reference).collect()),
    }
}

/// Turns a truth value round.
pub(super) fn not(value: &Value) -> Value {
    value.as_bool().map_or_else(|| value.clone(), |truth| Value::Bool(!truth))
}

/// The first item of a list of blocks, or the block itself; null if there is none.
pub(super) fn block(value: &Value) -> Value {
    match value {
        Value::List(items) => items.first().cloned().unwrap_or_default(),
        other => other.clone(),
    }
}

/// Turns each item of a list into something else; what is not known stays so.
pub(super) fn each(value: &Value, turn: impl Fn(&Value) -> Value) -> Value {
    match value {
        Value::Null | Value::Unknown(_) => value.clone(),
        _ => Value::list(
            value
                .items()
                .iter()
                .map(|item| if item.is_unknown() { item.clone() } else { turn(item) })
                .collect(),
        ),
    }
}
