//! Resources of `azapi`: the ARM body as an object (2.x) or as a text of JSON (1.x).

use super::super::Id;
use super::super::batch::{Batch, is_read};
use super::super::text;
use super::super::value::{Object, Value};
use super::links::Source;
use super::services::amend_by_id;

/// The type without the version behind it.
fn kind_of(source: &Source<'_>) -> String {
    let kind = source.get("type");
    let kind = kind.as_text().unwrap_or_default();
    kind.split('@').next().unwrap_or_default().to_owned()
}

fn body(source: &Source<'_>) -> Value {
    match source.get("body") {
        // 1.x keeps the body as text.
        Value::Text(json) => text::read(json.as_bytes())
            .unwrap_or_else(|error| Value::unknown(source.path("body"), error.to_string())),
        other => other,
    }
}

pub(super) fn resource(source: &Source<'_>, batch: &mut Batch) {
    let kind = kind_of(source);
    let lower = kind.to_ascii_lowercase();
    if !is_read(&lower) {
        return batch.ignore(&kind);
    }
    let mut fields = match body(source) {
        Value::Object(fields) => (*fields).clone(),
        unknown @ Value::Unknown(_) => Object::from([("properties".to_owned(), unknown)]),
        _ => Object::new(),
    };
    let location = source.get("location");
    if !location.is_null() {
        fields.insert("location".to_owned(), location);
    }
    let parent = match source.get("parent_id") {
        Value::Text(id) => Some(Id::new(&id)),
        Value::Unknown(unknown) => {
            if lower.matches('/').count() > 1 {
                batch.unresolved(&unknown.path, &unknown.why);
            }
            None
        }
        _ => None,
    };
    let parent = parent.filter(|_| lower.matches('/').count() > 1);
    source.record(batch, &lower, parent, &Value::object(fields));
}

/// Amends a resource that another file or another part of the plan has.
pub(super) fn update(source: &Source<'_>, batch: &mut Batch) {
    let kind = kind_of(source);
    let lower = kind.to_ascii_lowercase();
    if !is_read(&lower) {
        return batch.ignore(&kind);
    }
    amend_by_id(source, batch, &lower, body(source));
}
