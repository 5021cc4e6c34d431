//! Resources as `az`, PowerShell, Resource Graph and the REST interface give them.

use std::sync::Arc;

use super::batch::Batch;
use super::recognise::{is_resource, list};
use super::value::Value;
use super::{Id, not_ours};

/// Reads resources in any of their wrappings.
pub(crate) fn read(file: &Arc<str>, value: &Value) -> Batch {
    let mut batch = Batch::new(file);
    batch.live = true;
    let wrapping = if value.at("value").as_list().is_some() && !is_resource(value) {
        "value"
    } else if value.at("data").as_list().is_some() {
        "data"
    } else {
        ""
    };
    let single = is_resource(value);
    for (place, item) in list(value).unwrap_or_default().iter().enumerate() {
        let path = if single { String::new() } else { format!("{wrapping}[{place}]") };
        if !is_resource(item) {
            batch.unresolved(path, not_ours::json(item));
            continue;
        }
        resource(&mut batch, item, &path, false);
    }
    let more = value.first(&["nextLink", "skip_token", "skipToken", "$skipToken"]);
    if more.as_text().is_some_and(|link| !link.is_empty()) {
        batch.unresolved("nextLink", "one page of several: the others are in no file");
    }
    batch
}

/// Takes one resource; `whole` says that what another file says of it no longer holds.
pub(crate) fn resource(batch: &mut Batch, item: &Value, path: &str, whole: bool) {
    let kind = item.at("type").as_text().unwrap_or_default();
    let name = item.at("name").as_text().unwrap_or_default();
    let (id, kind) = match item.at("id").as_text() {
        Some(text) => {
            let id = Id::new(text);
            let known = id.kind();
            let kind = if known.is_empty() || kind.contains('/') { kind.to_owned() } else { known };
            (id, kind)
        }
        None => (Id::new(&format!("/providers/{}", path_of(kind, name))), kind.to_owned()),
    };
    batch.resource(&kind, id, item, path, whole);
}

/// Interleaves the words of a type and of a name: `a/b` of the type `N/x/y` is `N/x/a/y/b`.
pub(crate) fn path_of(kind: &str, name: &str) -> String {
    let mut kinds = kind.trim_matches('/').split('/');
    let mut path = kinds.next().unwrap_or_default().to_owned();
    let mut names = name.split('/');
    for word in kinds {
        path.push('/');
        path.push_str(word);
        if let Some(name) = names.next() {
            path.push('/');
            path.push_str(name);
        }
    }
    for name in names {
        path.push('/');
        path.push_str(name);
    }
    path
}
