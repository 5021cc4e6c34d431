//! Where a value comes from that is known after apply only: what the configuration refers to.

use super::super::value::{Object, Value};
use super::address;
use super::plan::{Instance, Plan};

/// How far references are followed.
const MAX_DEPTH: usize = 24;

/// Where references stand: a module, and the key of what holds them.
#[derive(Clone, Copy)]
struct From<'a> {
    module: &'a str,
    key: Option<&'a str>,
    /// Whether ids of all instances are asked, not of one.
    several: bool,
    depth: usize,
}

impl Plan<'_> {
    /// The id of an instance: its own, or its address while that is not known.
    pub(super) fn id_of(&self, instance: &Instance) -> String {
        let known = match instance.values.at("id").as_text() {
            Some(id) if !id.is_empty() && instance.unknown.at("id").as_bool() != Some(true) => {
                Some(id)
            }
            _ => self.former_id(instance),
        };
        known.map_or_else(|| format!("terraform:{}", instance.address), str::to_owned)
    }

    /// An attribute of an instance; what is known after apply only is looked up in the
    /// configuration.
    pub(super) fn attribute(&self, instance: &Instance, name: &str) -> Value {
        self.attribute_at(instance, name, 0)
    }

    fn attribute_at(&self, instance: &Instance, name: &str, depth: usize) -> Value {
        let value = instance.values.at(name);
        let unknown = instance.unknown.at(name);
        let expressions = self.expressions_of(instance);
        let expression = expressions.map(|all| all.at(name));
        let path = format!("{}.{name}", instance.address);
        let from = From {
            module: &instance.module,
            key: instance.key.as_deref(),
            several: name.ends_with("_ids"),
            depth,
        };
        self.decide(value, unknown, expression, from, &path)
    }

    /// Puts together a value, what is unknown of it, and what the configuration says of it.
    fn decide(
        &self,
        value: &Value,
        unknown: &Value,
        expression: Option<&Value>,
        from: From<'_>,
        path: &str,
    ) -> Value {
        if unknown.as_bool() == Some(true) {
            return match expression {
                // Computed, or simply not set.
                Some(Value::Null) => Value::Null,
                Some(expression) => self.follow(expression, from, path),
                None if self.has_configuration => Value::unknown(path, "known after apply"),
                // Without a configuration a block that is unknown is one that is not set.
                None if is_block(path) => Value::Null,
                None => Value::unknown(path, "known after apply"),
            };
        }
        match (value, unknown) {
            (_, Value::Null | Value::Bool(false)) => value.clone(),
            (Value::List(_), Value::List(_)) | (Value::Null, Value::List(_)) => {
                let count = value.items().len().max(unknown.items().len());
                let item = |place: usize| {
                    let expression = expression.map(|all| match all {
                        Value::List(items) => {
                            items.get(place).or_else(|| items.first()).unwrap_or(all)
                        }
                        other => other,
                    });
                    let null = Value::Null;
                    let value = value.items().get(place).unwrap_or(&null);
                    let unknown = unknown.items().get(place).unwrap_or(&null);
                    self.decide(value, unknown, expression, from, &format!("{path}[{place}]"))
                };
                Value::list((0..count).map(item).collect())
            }
            (Value::Object(_) | Value::Null, Value::Object(open)) => {
                let mut fields: Object = value.as_object().cloned().unwrap_or_default();
                for (name, unknown) in open.iter() {
                    let inner = match expression {
                        // An expression as a whole, of which the parts are not known.
                        Some(all) if !all.at("references").is_null() => Some(all),
                        Some(all) => Some(all.at(name)),
                        None => None,
                    };
                    let value = value.at(name);
                    let from = From { several: from.several || name.ends_with("_ids"), ..from };
                    let path = format!("{path}.{name}");
                    let decided = self.decide(value, unknown, inner, from, &path);
                    fields.insert(name.clone(), decided);
                }
                Value::object(fields)
            }
            _ => value.clone(),
        }
    }

    /// Follows what an expression refers to.
    fn follow(&self, expression: &Value, from: From<'_>, path: &str) -> Value {
        let constant = expression.at("constant_value");
        if !constant.is_null() {
            return constant.clone();
        }
        let references: Vec<&str> =
            expression.at("references").items().iter().filter_map(Value::as_text).collect();
        let found = self.referred(&references, from);
        if from.several && !found.is_empty() && found.iter().all(|value| value.as_text().is_some())
        {
            return Value::list(found);
        }
        let mut flat: Vec<Value> = Vec::new();
        for value in &found {
            for item in value.items() {
                if !flat.contains(item) {
                    flat.push(item.clone());
                }
            }
        }
        match flat.as_slice() {
            _ if from.several && !flat.is_empty() && !flat.iter().any(Value::is_unknown) => {
                Value::list(flat)
            }
            [one] if !one.is_unknown() => one.clone(),
            _ => {
                let refers = references.join(", ");
                let why = match refers.as_str() {
                    "" => "known after apply".to_owned(),
                    _ => format!("known after apply: it comes from {refers}"),
                };
                Value::unknown(path, why)
            }
        }
    }

    /// The values that references lead to.
    fn referred(&self, references: &[&str], from: From<'_>) -> Vec<Value> {
        if from.depth > MAX_DEPTH || !self.may_follow() {
            return Vec::new();
        }
        // Terraform lists the start of each reference as a reference of its own.
        let whole = references.iter().filter(|reference| {
            !references.iter().any(|other| {
                other.len() > reference.len()
                    && other.starts_with(**reference)
                    && other.get(reference.len()..).is_some_and(|rest| rest.starts_with(['.', '[']))
            })
        });
        whole.flat_map(|reference| self.one(reference, from)).collect()
    }

    fn one(&self, reference: &str, from: From<'_>) -> Vec<Value> {
        if !self.may_follow() {
            return Vec::new();
        }
        let words = address::words(reference);
        match words.as_slice() {
            ["each" | "count" | "local" | "path" | "self" | "terraform", ..] => Vec::new(),
            ["var", name, rest @ ..] => self.variable(address::key(name).0, rest, from),
            ["module", name, output, ..] => self.output(name, address::key(output).0, from),
            ["module", ..] => Vec::new(),
            ["data", kind, name, rest @ ..] => {
                let (name, key) = address::key(name);
                self.resource(&format!("data.{kind}.{name}"), key, rest, from)
            }
            [kind, name, rest @ ..] => {
                let (name, key) = address::key(name);
                self.resource(&format!("{kind}.{name}"), key, rest, from)
            }
            _ => Vec::new(),
        }
    }

    fn resource(
        &self,
        local: &str,
        key: Option<&str>,
        rest: &[&str],
        from: From<'_>,
    ) -> Vec<Value> {
        let all = self.instances_of(from.module, local);
        let has = |place: &usize, key: Option<&str>| {
            self.instances.get(*place).is_some_and(|instance| instance.key.as_deref() == key)
        };
        // `each.key` and `count.index` between the brackets mean the key of the own instance.
        let literal = key.filter(|key| key.starts_with('"') || key.parse::<u64>().is_ok());
        let chosen: Vec<usize> = match literal {
            Some(key) => all.iter().copied().filter(|place| has(place, Some(key))).collect(),
            None if all.len() == 1 => all.to_vec(),
            None => {
                let same: Vec<usize> = all
                    .iter()
                    .copied()
                    .filter(|place| from.key.is_some() && has(place, from.key))
                    .collect();
                if same.is_empty() && from.several { all.to_vec() } else { same }
            }
        };
        let instances = chosen.iter().filter_map(|&place| self.instances.get(place));
        let value = |instance: &Instance| match rest {
            [] | ["id"] => Value::text(self.id_of(instance)),
            [name, inner @ ..] => {
                let (name, _) = address::key(name);
                let value = self.attribute_at(instance, name, from.depth + 1);
                inner.iter().fold(value, |value, word| {
                    let item = value.items().first().cloned().unwrap_or_default();
                    item.at(address::key(word).0).clone()
                })
            }
        };
        instances.map(value).filter(|value| !value.is_null()).collect()
    }

    fn variable(&self, name: &str, rest: &[&str], from: From<'_>) -> Vec<Value> {
        let names: Vec<String> =
            address::module_names(from.module).into_iter().map(str::to_owned).collect();
        let Some((last, outer_names)) = names.split_last() else {
            let value = self.variables.at(name).at("value");
            let value = rest.iter().fold(value.clone(), |value, word| value.at(word).clone());
            return Some(value).filter(|value| !value.is_null()).into_iter().collect();
        };
        let Some(outer) = self.modules.get(outer_names) else { return Vec::new() };
        let expression = outer.at("module_calls").at(last).at("expressions").at(name);
        let constant = expression.at("constant_value");
        if !constant.is_null() {
            let value = rest.iter().fold(constant.clone(), |value, word| value.at(word).clone());
            return Some(value).filter(|value| !value.is_null()).into_iter().collect();
        }
        if expression.is_null() {
            let own = self.modules.get(&names);
            let default = own.map(|own| own.at("variables").at(name).at("default").clone());
            return default.filter(|value| !value.is_null()).into_iter().collect();
        }
        let (module, word) = address::outer(from.module);
        let key = address::key(&word).1.or(from.key);
        let references: Vec<&str> =
            expression.at("references").items().iter().filter_map(Value::as_text).collect();
        let from = From { module: &module, key, depth: from.depth + 1, ..from };
        self.referred(&references, from)
    }

    fn output(&self, name: &str, output: &str, from: From<'_>) -> Vec<Value> {
        let (name, key) = address::key(name);
        let mut modules = self.module_instances(from.module, name);
        if modules.len() > 1 {
            let literal = key.filter(|key| key.starts_with('"') || key.parse::<u64>().is_ok());
            let wanted = literal.or(from.key);
            let ends =
                |module: &String| wanted.is_some_and(|key| module.ends_with(&format!("[{key}]")));
            if modules.iter().any(ends) {
                modules.retain(ends);
            } else if !from.several {
                return Vec::new();
            }
        }
        let mut names: Vec<String> =
            address::module_names(from.module).into_iter().map(str::to_owned).collect();
        names.push(name.to_owned());
        let Some(configuration) = self.modules.get(&names) else { return Vec::new() };
        let expression = configuration.at("outputs").at(output).at("expression");
        let references: Vec<&str> =
            expression.at("references").items().iter().filter_map(Value::as_text).collect();
        let modules = modules.iter().flat_map(|module| {
            let from = From { module, depth: from.depth + 1, ..from };
            self.referred(&references, from)
        });
        modules.collect()
    }

    /// The instance of a type that an attribute refers to, by what the configuration says.
    pub(super) fn target(&self, instance: &Instance, name: &str, kind: &str) -> Option<&Instance> {
        let expression = self.expressions_of(instance)?.at(name);
        let references: Vec<&str> =
            expression.at("references").items().iter().filter_map(Value::as_text).collect();
        let from = From {
            module: &instance.module,
            key: instance.key.as_deref(),
            several: false,
            depth: 0,
        };
        // The name is replaced by the id, which tells instances apart that have one name.
        let ids = self.ids(&references, from);
        let found = ids.iter().find_map(|place| self.instances.get(*place))?;
        (found.kind == kind).then_some(found)
    }

    /// The instances that references lead to, whatever attribute they name.
    fn ids(&self, references: &[&str], from: From<'_>) -> Vec<usize> {
        if from.depth > MAX_DEPTH || !self.may_follow() {
            return Vec::new();
        }
        let mut found = Vec::new();
        for reference in references {
            if !self.may_follow() {
                break;
            }
            let words = address::words(reference);
            let (local, key) = match words.as_slice() {
                ["var", name, ..] => {
                    let names: Vec<String> =
                        address::module_names(from.module).into_iter().map(str::to_owned).collect();
                    let Some((last, outer)) = names.split_last() else { continue };
                    let Some(outer) = self.modules.get(outer) else { continue };
                    let name = address::key(name).0;
                    let expression = outer.at("module_calls").at(last).at("expressions").at(name);
                    let references = expression.at("references").items().iter();
                    let references: Vec<&str> = references.filter_map(Value::as_text).collect();
                    let (module, word) = address::outer(from.module);
                    let key = address::key(&word).1.or(from.key);
                    let from = From { module: &module, key, depth: from.depth + 1, ..from };
                    found.extend(self.ids(&references, from));
                    continue;
                }
                ["module", name, output, ..] => {
                    let name = address::key(name).0;
                    let modules = self.module_instances(from.module, name);
                    let [module] = modules.as_slice() else { continue };
                    let mut names: Vec<String> =
                        address::module_names(from.module).into_iter().map(str::to_owned).collect();
                    names.push(name.to_owned());
                    let Some(own) = self.modules.get(&names) else { continue };
                    let expression = own.at("outputs").at(address::key(output).0).at("expression");
                    let references = expression.at("references").items().iter();
                    let references: Vec<&str> = references.filter_map(Value::as_text).collect();
                    let from = From { module, depth: from.depth + 1, ..from };
                    found.extend(self.ids(&references, from));
                    continue;
                }
                ["data", kind, name, ..] => {
                    let (name, key) = address::key(name);
                    (format!("data.{kind}.{name}"), key)
                }
                [kind, name, ..] => {
                    let (name, key) = address::key(name);
                    (format!("{kind}.{name}"), key)
                }
                _ => continue,
            };
            let all = self.instances_of(from.module, &local);
            let literal = key.filter(|key| key.starts_with('"') || key.parse::<u64>().is_ok());
            let wanted = literal.or(from.key);
            let with_key = all.iter().copied().filter(|&place| {
                self.instances.get(place).is_some_and(|one| one.key.as_deref() == wanted)
            });
            match all {
                [one] => found.push(*one),
                _ => found.extend(with_key),
            }
        }
        found
    }
}

/// Whether an attribute is a block, which shows as unknown when it is not set.
fn is_block(path: &str) -> bool {
    const BLOCKS: [&str; 12] = [
        "subnet",
        "route",
        "security_rule",
        "network_rules",
        "network_acls",
        "network_rulesets",
        "network_rule_set",
        "ip_restriction",
        "private_ip_address",
        "ip_range_filter",
        "id",
        "ip_address",
    ];
    BLOCKS.iter().any(|block| path.rsplit('.').next() == Some(block))
}
