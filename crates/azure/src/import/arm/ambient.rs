//! Functions that know where a template is deployed, and those that name resources.

use std::rc::Rc;

use super::super::exported::path_of;
use super::super::value::{Object, Value};
use super::super::{Id, ImportProblem};
use super::evaluate::{Evaluator, unknown};
use super::frame::{Frame, Instance};
use super::values::string;

/// The resources of a frame, and the place of one among them.
type Found = (Rc<Vec<Instance>>, usize);

impl Evaluator {
    /// Calls a function that hangs on the place of the deployment; none if it is not one of these.
    pub(super) fn ambient(
        &self,
        frame: &Rc<Frame>,
        name: &str,
        arguments: &[Value],
    ) -> Result<Option<Value>, ImportProblem> {
        let texts: Vec<String> = arguments.iter().map(string).collect();
        let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
        let value = match name {
            "resourceid" => Value::text(resource_id(frame, &texts)),
            "subscriptionresourceid" => {
                let (subscription, rest) = split_ids(&texts, 1);
                let own = subscription.first().copied().unwrap_or(&frame.subscription);
                Value::text(provider(&format!("/subscriptions/{own}"), rest))
            }
            "tenantresourceid" => Value::text(provider("", &texts)),
            "managementgroupresourceid" => {
                let (group, rest) = split_ids(&texts, 1);
                let group = group.first().copied().unwrap_or("<management-group>");
                let base = format!("/providers/Microsoft.Management/managementGroups/{group}");
                Value::text(provider(&base, rest))
            }
            "extensionresourceid" => match texts.split_first() {
                Some((base, rest)) => Value::text(provider(base, rest)),
                None => unknown("extensionResourceId of nothing"),
            },
            "resourcegroup" => {
                let group = frame.group.as_deref().unwrap_or("<resource-group>");
                let id = format!("/subscriptions/{}/resourceGroups/{group}", frame.subscription);
                Value::fields([
                    ("id", Value::text(id)),
                    ("name", Value::text(group)),
                    ("location", Value::text(&self.location)),
                    ("tags", Value::object(Object::new())),
                    ("type", Value::text("Microsoft.Resources/resourceGroups")),
                ])
            }
            "subscription" => Value::fields([
                ("id", Value::text(format!("/subscriptions/{}", frame.subscription))),
                ("subscriptionId", Value::text(&frame.subscription)),
                ("tenantId", Value::text("<tenant>")),
                ("displayName", Value::text("<subscription>")),
            ]),
            "tenant" => Value::fields([
                ("tenantId", Value::text("<tenant>")),
                ("id", Value::text("/tenants/<tenant>")),
            ]),
            "managementgroup" => Value::fields([
                ("name", Value::text("<management-group>")),
                (
                    "id",
                    Value::text(
                        "/providers/Microsoft.Management/managementGroups/<management-group>",
                    ),
                ),
            ]),
            "deployment" => {
                let link = Value::fields([("uri", Value::text("https://<template>/"))]);
                let content = frame.template.at("contentVersion").clone();
                let template = Value::fields([("contentVersion", content)]);
                let properties = Value::fields([("template", template), ("templateLink", link)]);
                Value::fields([
                    ("name", Value::text(&frame.name)),
                    ("location", Value::text(&self.location)),
                    ("properties", properties),
                ])
            }
            "environment" => environment(),
            "resourceinfo" => {
                let found = self.find(frame, texts.first().copied().unwrap_or_default())?;
                match found.as_ref().and_then(|(instances, place)| instances.get(*place)) {
                    Some(instance) => {
                        let name = string(&instance.name);
                        Value::fields([
                            ("id", Value::text(&instance.id)),
                            ("name", Value::text(name.rsplit('/').next().unwrap_or_default())),
                            ("type", Value::text(&instance.kind)),
                        ])
                    }
                    None => unknown("a resource that the template does not have"),
                }
            }
            "reference" => {
                let full = texts.last().is_some_and(|text| text.eq_ignore_ascii_case("full"));
                self.reference(frame, texts.first().copied().unwrap_or_default(), full)?
            }
            "references" => unknown("known only at run time"),
            _ => return Ok(None),
        };
        Ok(Some(value))
    }

    /// The instance that an expression names by symbol, id or name, and the frame that has it.
    pub(super) fn find(
        &self,
        frame: &Rc<Frame>,
        wanted: &str,
    ) -> Result<Option<Found>, ImportProblem> {
        let scope = frame;
        let instances = self.instances(scope)?;
        let id = Id::new(wanted);
        let matches = |instance: &Instance| {
            instance.symbol.as_deref().is_some_and(|symbol| symbol.eq_ignore_ascii_case(wanted))
                || Id::new(&instance.id) == id
                || instance.name.as_text().is_some_and(|name| name.eq_ignore_ascii_case(wanted))
        };
        self.step(instances.len())?;
        let place = instances.iter().position(matches);
        Ok(place.map(|place| (instances, place)))
    }

    /// What a running deployment would say of a resource: what its template says of it, and nothing
    /// that only the platform knows.
    fn reference(
        &self,
        frame: &Rc<Frame>,
        wanted: &str,
        full: bool,
    ) -> Result<Value, ImportProblem> {
        let Some((instances, place)) = self.find(frame, wanted)? else {
            return match &frame.outer {
                Some(outer) if frame.open => self.reference(outer, wanted, full),
                _ => Ok(unknown("known only at run time")),
            };
        };
        let Some(instance) = instances.get(place) else {
            return Ok(unknown("known only at run time"));
        };
        if instance.existing {
            return Ok(unknown("known only at run time"));
        }
        let key = place.to_string();
        let busy = frame.properties.borrow().get(&place).is_some();
        if let Some(super::frame::Memo::Done(value)) = frame.properties.borrow().get(&place) {
            return Ok(if full { wrapped(value, instance) } else { value.clone() });
        }
        if busy {
            return Ok(unknown(format!("resource {key} hangs on itself")));
        }
        frame.properties.borrow_mut().insert(place, super::frame::Memo::Busy);
        let value = if is_deployment(&instance.kind) {
            let outputs = self.outputs(frame, &instances, place)?;
            Value::fields([("outputs", outputs)])
        } else {
            let path = format!("{}.properties", instance.path);
            let properties = instance.raw.at("properties");
            let value = self.value(frame, &instance.local, properties, &path)?;
            with_ids(&value, &instance.id)
        };
        frame.properties.borrow_mut().insert(place, super::frame::Memo::Done(value.clone()));
        Ok(if full { wrapped(&value, instance) } else { value })
    }
}

pub(super) fn is_deployment(kind: &str) -> bool {
    kind.eq_ignore_ascii_case("Microsoft.Resources/deployments")
}

fn wrapped(properties: &Value, instance: &Instance) -> Value {
    Value::fields([
        ("id", Value::text(&instance.id)),
        ("name", instance.name.clone()),
        ("location", Value::Null),
        ("properties", properties.clone()),
    ])
}

/// Gives inline subnets the ids that the platform would show.
fn with_ids(properties: &Value, id: &str) -> Value {
    let Some(fields) = properties.as_object() else { return properties.clone() };
    let Some(subnets) = fields.get("subnets").and_then(Value::as_list) else {
        return properties.clone();
    };
    let subnets = subnets.iter().map(|subnet| {
        let (Some(inner), Some(name)) = (subnet.as_object(), subnet.at("name").as_text()) else {
            return subnet.clone();
        };
        let mut inner = inner.clone();
        inner.insert("id".to_owned(), Value::text(format!("{id}/subnets/{name}")));
        Value::object(inner)
    });
    let mut fields = fields.clone();
    fields.insert("subnets".to_owned(), Value::list(subnets.collect()));
    Value::object(fields)
}

/// `resourceId([subscription], [group], type, name...)`.
fn resource_id(frame: &Rc<Frame>, texts: &[&str]) -> String {
    let (ids, rest) = split_ids(texts, 2);
    let (subscription, group) = match ids {
        [subscription, group] => (*subscription, Some(*group)),
        [group] => (frame.subscription.as_str(), Some(*group)),
        _ => (frame.subscription.as_str(), frame.group.as_deref()),
    };
    let base = match group {
        Some(group) => format!("/subscriptions/{subscription}/resourceGroups/{group}"),
        None => format!("/subscriptions/{subscription}"),
    };
    provider(&base, rest)
}

/// The arguments before the type, which is the first text with a dot before its first slash.
fn split_ids<'a, 'b>(texts: &'a [&'b str], most: usize) -> (&'a [&'b str], &'a [&'b str]) {
    let is_type =
        |text: &&str| text.split_once('/').is_some_and(|(namespace, _)| namespace.contains('.'));
    let place = texts.iter().take(most + 1).position(is_type).unwrap_or(0);
    texts.split_at_checked(place).unwrap_or((&[], texts))
}

fn provider(base: &str, texts: &[&str]) -> String {
    let Some((kind, names)) = texts.split_first() else { return base.to_owned() };
    let kind = kind.trim_matches('/');
    if kind.eq_ignore_ascii_case("Microsoft.Resources/resourceGroups") {
        return format!("{base}/resourceGroups/{}", names.join("/"));
    }
    format!("{}/providers/{}", base.trim_end_matches('/'), path_of(kind, &names.join("/")))
}

fn environment() -> Value {
    let suffixes = Value::fields([
        ("storage", Value::text("core.windows.net")),
        ("keyvaultDns", Value::text(".vault.azure.net")),
        ("sqlServerHostname", Value::text(".database.windows.net")),
        ("acrLoginServer", Value::text(".azurecr.io")),
    ]);
    Value::fields([
        ("name", Value::text("AzureCloud")),
        ("resourceManager", Value::text("https://management.azure.com/")),
        ("portal", Value::text("https://portal.azure.com")),
        ("suffixes", suffixes),
    ])
}
