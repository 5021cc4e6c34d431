//! The instances of a plan or a state, with what is not known of them.

use std::cell::Cell;
use std::collections::BTreeMap;

use super::super::value::Value;
use super::address;

/// References that are followed in one file.
const MAX_STEPS: usize = 2_000_000;

/// One side of a plan, or a state.
pub(super) struct Plan<'a> {
    pub(super) instances: Vec<Instance>,
    /// Places of instances by module and `type.name`; data sources begin with `data.`.
    index: BTreeMap<(String, String), Vec<usize>>,
    /// Places of instances of a type, by name in small letters.
    by_name: BTreeMap<(String, String), Vec<usize>>,
    by_address: BTreeMap<String, usize>,
    /// What the configuration says, by names of modules and `type.name`.
    pub(super) expressions: BTreeMap<(Vec<String>, String), &'a Value>,
    pub(super) modules: BTreeMap<Vec<String>, &'a Value>,
    pub(super) variables: &'a Value,
    pub(super) has_configuration: bool,
    /// Ids that resources of a type, group and name have already: one that is replaced by another
    /// of its name keeps its id in Azure.
    former: BTreeMap<[String; 4], String>,
    /// What stands before each address, for plans under `mock`.
    prefix: String,
    /// References that may still be followed, so that no file takes for ever.
    pub(super) steps: Cell<usize>,
}

/// An instance of a resource.
pub(super) struct Instance {
    pub(super) address: String,
    /// The address of its module; empty for the root.
    pub(super) module: String,
    pub(super) kind: String,
    /// `type.name`, with `data.` before it for a data source.
    pub(super) local: String,
    /// The key in brackets, as written.
    pub(super) key: Option<String>,
    pub(super) data: bool,
    pub(super) values: Value,
    /// Which values are known after apply only.
    pub(super) unknown: Value,
}

impl<'a> Plan<'a> {
    fn new(value: &'a Value, prefix: &str) -> Self {
        let root = value.at("configuration").at("root_module");
        let mut plan = Self {
            instances: Vec::new(),
            index: BTreeMap::new(),
            by_name: BTreeMap::new(),
            by_address: BTreeMap::new(),
            expressions: BTreeMap::new(),
            modules: BTreeMap::new(),
            variables: value.at("variables"),
            has_configuration: !root.is_null(),
            former: BTreeMap::new(),
            prefix: prefix.to_owned(),
            steps: Cell::new(MAX_STEPS),
        };
        plan.configure(root, &mut Vec::new());
        plan
    }

    fn configure(&mut self, module: &'a Value, names: &mut Vec<String>) {
        for resource in module.at("resources").items() {
            let local = local_of(resource);
            self.expressions.insert((names.clone(), local), resource.at("expressions"));
        }
        self.modules.insert(names.clone(), module);
        if names.len() >= 32 {
            return;
        }
        for (name, call) in module.at("module_calls").as_object().into_iter().flatten() {
            names.push(name.clone());
            self.configure(call.at("module"), names);
            names.pop();
        }
    }

    /// The state as it will be.
    pub(super) fn after(value: &'a Value, prefix: &str) -> Self {
        let mut plan = Self::new(value, prefix);
        for change in value.at("resource_changes").items() {
            let before = change.at("change").at("before");
            if let Some(id) = before.at("id").as_text().filter(|id| !id.is_empty()) {
                let kind = change.at("type").as_text().unwrap_or_default();
                plan.former.extend(identity(kind, before).map(|key| (key, id.to_owned())));
            }
        }
        plan.walk(value.at("planned_values").at("root_module"), "", 0);
        plan.data_sources(value.at("prior_state").at("values").at("root_module"), "", 0);
        for change in value.at("resource_changes").items() {
            let address = format!("{prefix}{}", change.at("address").as_text().unwrap_or_default());
            let after = change.at("change").at("after");
            if after.is_null() {
                continue;
            }
            let unknown = change.at("change").at("after_unknown");
            match plan.by_address.get(&address).and_then(|&place| plan.instances.get_mut(place)) {
                Some(instance) => {
                    instance.unknown = unknown.clone();
                    // A partial plan has values here only.
                    if instance.values.is_null() {
                        instance.values = after.clone();
                    }
                }
                None if value.at("planned_values").is_null()
                    || change.at("mode").as_text() == Some("data") =>
                {
                    let module = change.at("module_address").as_text().unwrap_or_default();
                    plan.add(change, module, after, unknown);
                }
                None => {}
            }
        }
        plan
    }

    /// The state as it is.
    pub(super) fn before(value: &'a Value, prefix: &str) -> Self {
        let mut plan = Self::new(value, prefix);
        plan.walk(value.at("prior_state").at("values").at("root_module"), "", 0);
        for change in value.at("resource_changes").items() {
            let address = format!("{prefix}{}", change.at("address").as_text().unwrap_or_default());
            let before = change.at("change").at("before");
            if !before.is_null() && !plan.by_address.contains_key(&address) {
                let module = change.at("module_address").as_text().unwrap_or_default();
                plan.add(change, module, before, &Value::Null);
            }
        }
        plan
    }

    /// A state: raw, or as `terraform show -json` prints it.
    pub(super) fn state(value: &'a Value) -> Self {
        let mut plan = Self::new(value, "");
        plan.walk(value.at("values").at("root_module"), "", 0);
        for resource in value.at("resources").items() {
            let module = resource.at("module").as_text().unwrap_or_default();
            for instance in resource.at("instances").items() {
                let mut fields = resource.as_object().cloned().unwrap_or_default();
                if !instance.at("index_key").is_null() {
                    fields.insert("index".to_owned(), instance.at("index_key").clone());
                }
                fields.remove("instances");
                fields.remove("address");
                plan.add(&Value::object(fields), module, instance.at("attributes"), &Value::Null);
            }
        }
        plan
    }

    fn walk(&mut self, module: &Value, address: &str, depth: usize) {
        for resource in module.at("resources").items() {
            self.add(resource, address, resource.at("values"), &Value::Null);
        }
        for child in module.at("child_modules").items().iter().filter(|_| depth < 64) {
            self.walk(child, child.at("address").as_text().unwrap_or_default(), depth + 1);
        }
    }

    fn data_sources(&mut self, module: &Value, address: &str, depth: usize) {
        for resource in module.at("resources").items() {
            if resource.at("mode").as_text() == Some("data") {
                self.add(resource, address, resource.at("values"), &Value::Null);
            }
        }
        for child in module.at("child_modules").items().iter().filter(|_| depth < 64) {
            self.data_sources(child, child.at("address").as_text().unwrap_or_default(), depth + 1);
        }
    }

    fn add(&mut self, resource: &Value, module: &str, values: &Value, unknown: &Value) {
        let word = |name: &str| resource.at(name).as_text().unwrap_or_default();
        let (kind, local) = (word("type").to_owned(), local_of(resource));
        let key = match resource.at("index") {
            Value::Int(number) => Some(number.to_string()),
            Value::Text(text) => Some(format!("\"{text}\"")),
            _ => None,
        };
        let full = match word("address") {
            "" => {
                let key = key.as_ref().map_or_else(String::new, |key| format!("[{key}]"));
                address::inside(module, &format!("{local}{key}"))
            }
            text => text.to_owned(),
        };
        let full = format!("{}{full}", self.prefix);
        let place = self.instances.len();
        if self.by_address.contains_key(&full) {
            return;
        }
        self.by_address.insert(full.clone(), place);
        self.index.entry((module.to_owned(), local.clone())).or_default().push(place);
        if let Some(name) = values.at("name").as_text() {
            let name = (kind.clone(), name.to_ascii_lowercase());
            self.by_name.entry(name).or_default().push(place);
        }
        self.instances.push(Instance {
            address: full,
            module: module.to_owned(),
            data: local.starts_with("data."),
            kind,
            local,
            key,
            values: values.clone(),
            unknown: unknown.clone(),
        });
    }

    /// The id that a resource of the same type, group and name has already.
    pub(super) fn former_id(&self, instance: &Instance) -> Option<&str> {
        let key = identity(&instance.kind, &instance.values)?;
        self.former.get(&key).map(String::as_str)
    }

    /// Counts a reference that is followed; false once there have been too many.
    pub(super) fn may_follow(&self) -> bool {
        let left = self.steps.get().saturating_sub(1);
        self.steps.set(left);
        left > 0
    }

    /// The instances of a resource in a module.
    pub(super) fn instances_of(&self, module: &str, local: &str) -> &[usize] {
        let key = (module.to_owned(), local.to_owned());
        self.index.get(&key).map_or(&[], Vec::as_slice)
    }

    /// The instances of a type that have this name.
    pub(super) fn named(&self, kind: &str, name: &str) -> &[usize] {
        let key = (kind.to_owned(), name.to_ascii_lowercase());
        self.by_name.get(&key).map_or(&[], Vec::as_slice)
    }

    /// The addresses of the instances of a module that is called in another.
    pub(super) fn module_instances(&self, module: &str, name: &str) -> Vec<String> {
        let start = address::inside(module, &format!("module.{name}"));
        let mut found: Vec<String> = Vec::new();
        for (own, _) in self.index.keys() {
            let Some(rest) = own.strip_prefix(&start) else { continue };
            let own = match rest.chars().next() {
                None | Some('.') => start.clone(),
                Some('[') => {
                    let word = address::words(rest).first().copied().unwrap_or_default().to_owned();
                    format!("{start}{word}")
                }
                Some(_) => continue,
            };
            if !found.contains(&own) {
                found.push(own);
            }
        }
        found
    }

    /// What the configuration says of an instance; none if there is no configuration of it.
    pub(super) fn expressions_of(&self, instance: &Instance) -> Option<&'a Value> {
        let names = address::module_names(&instance.module);
        let names: Vec<String> = names.into_iter().map(str::to_owned).collect();
        self.expressions.get(&(names, instance.local.clone())).copied()
    }
}

/// `type.name` of a resource, with `data.` before it for a data source.
fn local_of(resource: &Value) -> String {
    let word = |name: &str| resource.at(name).as_text().unwrap_or_default();
    let data = if word("mode") == "data" { "data." } else { "" };
    format!("{data}{}.{}", word("type"), word("name"))
}

/// What Azure tells resources of one subscription apart by: type, group, whole, name.
fn identity(kind: &str, values: &Value) -> Option<[String; 4]> {
    let word = |name: &str| values.at(name).as_text().unwrap_or_default().to_ascii_lowercase();
    let (group, name) = (word("resource_group_name"), word("name"));
    let key = [kind.to_owned(), group.clone(), word("virtual_network_name"), name.clone()];
    (!group.is_empty() && !name.is_empty()).then_some(key)
}
