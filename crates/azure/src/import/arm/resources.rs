//! What a template deploys: its resources with their loops, conditions and parts, and the templates
//! inside it.

use std::rc::Rc;

use super::super::Id;
use super::super::ImportProblem;
use super::super::batch::{Batch, is_read};
use super::super::exported::path_of;
use super::super::value::{Object, Value};
use super::ambient::is_deployment;
use super::evaluate::{Evaluator, unknown};
use super::frame::{Frame, Instance, Local, Memo};

/// Resources that a template may deploy, its loops unrolled.
const MAX_RESOURCES: usize = 20_000;

/// How deep templates may stand in templates.
const MAX_TEMPLATES: usize = 16;

/// What resources are being listed: their parts find type, name and loop of the whole.
struct Whole<'a> {
    kind: &'a str,
    name: &'a Value,
    local: &'a Local,
    condition: &'a Value,
}

impl Evaluator {
    /// The resources of a template, one for each turn of a loop.
    pub(super) fn instances(&self, frame: &Rc<Frame>) -> Result<Rc<Vec<Instance>>, ImportProblem> {
        if let Some(instances) = frame.instances.borrow().as_ref() {
            return Ok(Rc::clone(instances));
        }
        if *frame.listing.borrow() {
            // A name or a count that asks for a resource while they are being listed.
            return Ok(Rc::default());
        }
        *frame.listing.borrow_mut() = true;
        let mut list = Vec::new();
        let whole = Whole {
            kind: "",
            name: &Value::Null,
            local: &Local::default(),
            condition: &Value::Bool(true),
        };
        let path = frame.at("resources");
        self.list(frame, frame.template.at("resources"), &whole, &path, &mut list)?;
        let list = Rc::new(list);
        *frame.instances.borrow_mut() = Some(Rc::clone(&list));
        *frame.listing.borrow_mut() = false;
        Ok(list)
    }

    fn list(
        &self,
        frame: &Rc<Frame>,
        resources: &Value,
        whole: &Whole<'_>,
        path: &str,
        list: &mut Vec<Instance>,
    ) -> Result<(), ImportProblem> {
        match resources {
            Value::Object(fields) => {
                for (symbol, raw) in fields.iter() {
                    let path = format!("{path}.{symbol}");
                    self.resource(frame, Some(symbol), raw, whole, &path, list)?;
                }
            }
            other => {
                for (place, raw) in other.items().iter().enumerate() {
                    let path = format!("{path}[{place}]");
                    self.resource(frame, None, raw, whole, &path, list)?;
                }
            }
        }
        Ok(())
    }

    /// Lists one resource of a template, and its parts.
    fn resource(
        &self,
        frame: &Rc<Frame>,
        symbol: Option<&str>,
        raw: &Value,
        whole: &Whole<'_>,
        path: &str,
        list: &mut Vec<Instance>,
    ) -> Result<(), ImportProblem> {
        self.step(1)?;
        let copy = raw.at("copy");
        if copy.as_object().is_none() {
            return self.instance(frame, symbol.map(str::to_owned), raw, whole, path, list);
        }
        let count = self.count(frame, whole.local, copy, &format!("{path}.copy"))?;
        let name = copy.at("name").as_text().unwrap_or_default();
        let Value::Int(count) = count else {
            let place = Value::Null;
            list.push(Instance {
                symbol: symbol.map(str::to_owned),
                kind: raw.at("type").as_text().unwrap_or_default().to_owned(),
                name: place,
                id: String::new(),
                raw: raw.clone(),
                local: whole.local.clone(),
                path: format!("{path}.copy.count"),
                existing: true,
                condition: count,
            });
            return Ok(());
        };
        for turn in 0..count {
            let mut local = whole.local.within("", turn);
            local.turns.push((name.to_ascii_lowercase(), turn));
            let symbol = symbol.map(|symbol| format!("{symbol}[{turn}]"));
            let whole = Whole { local: &local, ..*whole };
            self.instance(frame, symbol, raw, &whole, &format!("{path}[{turn}]"), list)?;
        }
        Ok(())
    }

    fn instance(
        &self,
        frame: &Rc<Frame>,
        symbol: Option<String>,
        raw: &Value,
        whole: &Whole<'_>,
        path: &str,
        list: &mut Vec<Instance>,
    ) -> Result<(), ImportProblem> {
        if list.len() >= MAX_RESOURCES {
            return Err(ImportProblem::TooLarge {
                path: path.to_owned(),
                what: format!("more than {MAX_RESOURCES} resources"),
            });
        }
        let local = whole.local;
        let kind = self.value(frame, local, raw.at("type"), &format!("{path}.type"))?;
        let kind = kind.as_text().unwrap_or_default().trim_matches('/').to_owned();
        let name = self.value(frame, local, raw.at("name"), &format!("{path}.name"))?;
        let full = kind.split_once('/').is_some_and(|(namespace, _)| namespace.contains('.'));
        // A part has a short type, and mostly a short name.
        let (kind, name) = if full || whole.kind.is_empty() {
            (kind, name)
        } else {
            let name = match (whole.name.as_text(), name.as_text()) {
                (Some(_), Some(own)) if own.split('/').count() > 1 => Value::text(own),
                (Some(outer), Some(own)) => Value::text(format!("{outer}/{own}")),
                (None, _) => whole.name.clone(),
                _ => name,
            };
            (format!("{}/{kind}", whole.kind), name)
        };
        let place = self.place_of(frame, raw, local, path)?;
        let text = name.as_text().map_or_else(|| symbol_of(path, &kind), str::to_owned);
        let id = match kind.to_ascii_lowercase().as_str() {
            "microsoft.resources/resourcegroups" => {
                format!("/subscriptions/{}/resourceGroups/{text}", frame.subscription)
            }
            _ => format!("{place}/providers/{}", path_of(&kind, &text)),
        };
        let condition = match raw.at("condition") {
            Value::Null => whole.condition.clone(),
            condition => {
                let value = self.value(frame, local, condition, &format!("{path}.condition"))?;
                match (value.as_bool(), whole.condition) {
                    (Some(false), _) => Value::Bool(false),
                    (Some(true), outer) => outer.clone(),
                    _ => value,
                }
            }
        };
        let parts = raw.at("resources").clone();
        let existing = raw.at("existing").as_bool().unwrap_or(false);
        list.push(Instance {
            symbol,
            kind: kind.clone(),
            name: name.clone(),
            id,
            raw: raw.clone(),
            local: local.clone(),
            path: path.to_owned(),
            existing,
            condition: condition.clone(),
        });
        if !is_deployment(&kind) && list.len() < MAX_RESOURCES {
            let whole = Whole { kind: &kind, name: &name, local, condition: &condition };
            if kind.len() < 1_000 {
                self.list(frame, &parts, &whole, &format!("{path}.resources"), list)?;
            }
        }
        Ok(())
    }

    /// Where a resource is deployed: a deployment, and an existing resource, may name another
    /// place.
    fn place_of(
        &self,
        frame: &Rc<Frame>,
        raw: &Value,
        local: &Local,
        path: &str,
    ) -> Result<String, ImportProblem> {
        let text = |name: &str| -> Result<Option<String>, ImportProblem> {
            let value = self.value(frame, local, raw.at(name), &format!("{path}.{name}"))?;
            Ok(value.as_text().map(str::to_owned))
        };
        if let Some(scope) = text("scope")?.filter(|scope| scope.starts_with('/')) {
            return Ok(scope.trim_end_matches('/').to_owned());
        }
        let subscription = text("subscriptionId")?;
        let group = text("resourceGroup")?;
        Ok(match (subscription, group) {
            (None, None) => frame.place(),
            (subscription, group) => {
                let subscription = subscription.unwrap_or_else(|| frame.subscription.clone());
                match group.or_else(|| frame.group.clone()) {
                    Some(group) => format!("/subscriptions/{subscription}/resourceGroups/{group}"),
                    None => format!("/subscriptions/{subscription}"),
                }
            }
        })
    }

    /// Takes what a template deploys into a batch.
    pub(super) fn deploy(
        &self,
        frame: &Rc<Frame>,
        depth: usize,
        batch: &mut Batch,
    ) -> Result<(), ImportProblem> {
        let instances = self.instances(frame)?;
        for (place, instance) in instances.iter().enumerate() {
            if let Value::Unknown(unknown) = &instance.condition {
                batch.unresolved(&unknown.path, &unknown.why);
            }
            if instance.existing || instance.condition.as_bool() == Some(false) {
                continue;
            }
            if is_deployment(&instance.kind) {
                let Some(child) = self.child(frame, &instances, place)? else {
                    let path = format!("{}.properties.templateLink", instance.path);
                    batch.unresolved(path, "a linked template, which is not in the file");
                    continue;
                };
                if depth >= MAX_TEMPLATES {
                    return Err(ImportProblem::TooLarge {
                        path: instance.path.clone(),
                        what: format!("templates in templates deeper than {MAX_TEMPLATES}"),
                    });
                }
                self.deploy(&child, depth + 1, batch)?;
                continue;
            }
            self.take(frame, instance, batch)?;
        }
        Ok(())
    }

    fn take(
        &self,
        frame: &Rc<Frame>,
        instance: &Instance,
        batch: &mut Batch,
    ) -> Result<(), ImportProblem> {
        if !is_read(&instance.kind.to_ascii_lowercase()) {
            batch.ignore(&instance.kind);
            return Ok(());
        }
        let mut fields = Object::new();
        for (name, field) in instance.raw.as_object().into_iter().flatten() {
            let skip = ["copy", "condition", "dependsOn", "resources", "type", "comments"];
            if skip.iter().any(|skip| skip.eq_ignore_ascii_case(name)) {
                continue;
            }
            let path = format!("{}.{name}", instance.path);
            fields.insert(name.clone(), self.value(frame, &instance.local, field, &path)?);
        }
        for word in ["location", "name"] {
            if let Some(Value::Text(text)) = fields.get(word)
                && matches!(&**text, "string" | "int")
            {
                return Err(placeholder(&format!("{}.{word}", instance.path), text));
            }
        }
        if let Value::Unknown(unknown) = &instance.name {
            batch.unresolved(&unknown.path, &unknown.why);
        }
        let resource = Value::object(fields);
        if let Some((path, text)) = placeholder_in(&resource, &instance.path, 0) {
            return Err(placeholder(&path, &text));
        }
        batch.resource(&instance.kind, Id::new(&instance.id), &resource, &instance.path, false);
        Ok(())
    }

    /// The template that a deployment holds; none if it only has a link to one.
    pub(super) fn child(
        &self,
        frame: &Rc<Frame>,
        instances: &[Instance],
        place: usize,
    ) -> Result<Option<Rc<Frame>>, ImportProblem> {
        if let Some(child) = frame.children.borrow().get(&place) {
            return Ok(child.clone());
        }
        let Some(instance) = instances.get(place) else { return Ok(None) };
        let properties = instance.raw.at("properties");
        let template = properties.at("template");
        if template.as_object().is_none() {
            frame.children.borrow_mut().insert(place, None);
            return Ok(None);
        }
        let path = format!("{}.properties.template", instance.path);
        let name = instance.name.as_text().unwrap_or_default();
        let mut child = Frame::new(template.clone(), name, &path);
        let inner = properties.at("expressionEvaluationOptions").at("scope").as_text();
        child.open = !inner.is_some_and(|scope| scope.eq_ignore_ascii_case("inner"));
        let id = Id::new(&instance.id);
        child.subscription =
            id.part("subscriptions").map_or_else(|| frame.subscription.clone(), str::to_owned);
        child.group = id.part("resourceGroups").map(str::to_owned);
        child.outer = Some(Rc::clone(frame));
        for (name, given) in properties.at("parameters").as_object().into_iter().flatten() {
            let path = format!("{}.properties.parameters.{name}.value", instance.path);
            let value = match given.at("reference") {
                // A loop may make the value: `copy` with the name `value`.
                Value::Null if !given.at("copy").is_null() => {
                    self.value(frame, &instance.local, given, &path)?.at("value").clone()
                }
                Value::Null => self.value(frame, &instance.local, given.at("value"), &path)?,
                _ => unknown(format!("the parameter {name} is a secret of a key vault")),
            };
            child.given.insert(name.to_ascii_lowercase(), value);
        }
        let child = Rc::new(child);
        frame.children.borrow_mut().insert(place, Some(Rc::clone(&child)));
        Ok(Some(child))
    }

    /// The outputs of a deployment.
    pub(super) fn outputs(
        &self,
        frame: &Rc<Frame>,
        instances: &[Instance],
        place: usize,
    ) -> Result<Value, ImportProblem> {
        let Some(child) = self.child(frame, instances, place)? else {
            return Ok(unknown("the output of a linked template"));
        };
        match &*child.outputs.borrow() {
            Some(Memo::Done(value)) => return Ok(value.clone()),
            Some(Memo::Busy) => return Ok(unknown("outputs that hang on themselves")),
            None => {}
        }
        *child.outputs.borrow_mut() = Some(Memo::Busy);
        let mut outputs = Object::new();
        for (name, output) in child.template.at("outputs").as_object().into_iter().flatten() {
            let path = child.at(&format!("outputs.{name}.value"));
            let value = if output.at("copy").as_object().is_some() {
                self.copy(&child, &Local::default(), "", output.at("copy"), &path)?
            } else {
                self.value(&child, &Local::default(), output.at("value"), &path)?
            };
            outputs
                .insert(name.clone(), Value::object(Object::from([("value".to_owned(), value)])));
        }
        let value = Value::object(outputs);
        *child.outputs.borrow_mut() = Some(Memo::Done(value.clone()));
        Ok(value)
    }
}

/// The name of a resource whose name is not known, with as many words as its type has.
fn symbol_of(path: &str, kind: &str) -> String {
    let path = path.replace(['/', ' '], ".");
    let last = kind.matches('/').count().max(1) - 1;
    let words = (0..=last).map(|place| match place {
        _ if place == last => format!("<{path}.name>"),
        _ => format!("<{path}.name.{place}>"),
    });
    words.collect::<Vec<_>>().join("/")
}

fn placeholder(path: &str, text: &str) -> ImportProblem {
    ImportProblem::Value {
        path: path.to_owned(),
        what: format!("the placeholder \"{text}\" of a reference page, no value"),
    }
}

/// A placeholder of a reference page among the addresses of a resource.
fn placeholder_in(value: &Value, path: &str, depth: usize) -> Option<(String, String)> {
    let addresses = ["addressprefix", "addressprefixes", "ipaddress", "nexthopipaddress"];
    let fields = value.as_object().filter(|_| depth < 12)?;
    fields.iter().find_map(|(name, field)| {
        let path = format!("{path}.{name}");
        let is = addresses.contains(&name.to_ascii_lowercase().as_str());
        let word = field.items().iter().filter_map(Value::as_text).find(|text| *text == "string");
        if let Some(word) = word.filter(|_| is) {
            return Some((path, word.to_owned()));
        }
        let mut items = field.items().iter().enumerate();
        items.find_map(|(place, item)| {
            let path =
                if field.as_list().is_some() { format!("{path}[{place}]") } else { path.clone() };
            placeholder_in(item, &path, depth + 1)
        })
    })
}
