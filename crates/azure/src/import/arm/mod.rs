//! ARM templates: what they would deploy, reckoned as far as it can be without deploying it.

mod ambient;
mod evaluate;
mod expression;
mod frame;
mod lazy;
mod lists;
mod resources;
mod symbols;
mod values;

use std::rc::Rc;
use std::sync::Arc;

use super::batch::Batch;
use super::value::{Object, Value};
use super::{DeploymentScope, ImportProblem, recognise};
use evaluate::Evaluator;
use frame::Frame;

/// Reads a template with these values for its parameters, by name in small letters.
pub(super) fn read(
    file: &Arc<str>,
    value: &Value,
    parameters: &Object,
    scope: &DeploymentScope,
) -> Result<Batch, ImportProblem> {
    let template = recognise::template(value).unwrap_or(value);
    let mut batch = Batch::new(file);
    let location = scope.location.clone().unwrap_or_else(|| "<location>".to_owned());
    let evaluator = Evaluator::new(location);
    // Words that stand for what the template does not say count as parameters without a value.
    evaluator.missing.borrow_mut().extend(
        ["location", "subscription", "resource-group", "tenant", "management-group"]
            .map(str::to_owned),
    );
    let ambient = evaluator.missing.borrow().clone();
    let mut frame = Frame::new(template.clone(), "deployment", "");
    frame.subscription = scope.subscription.clone().unwrap_or_else(|| "<subscription>".to_owned());
    let schema = template.at("$schema").as_text().unwrap_or_default().to_ascii_lowercase();
    let above = ["subscriptiondeployment", "managementgroupdeployment", "tenantdeployment"];
    let in_group = !above.iter().any(|word| schema.contains(word));
    let group = scope.resource_group.clone().unwrap_or_else(|| "<resource-group>".to_owned());
    frame.group = in_group.then_some(group);
    frame.given = parameters.clone();
    let frame = Rc::new(frame);
    evaluator.deploy(&frame, 0, &mut batch)?;
    for name in evaluator.missing.borrow().iter().filter(|name| !ambient.contains(*name)) {
        let declared = template.at("parameters").as_object();
        let written =
            declared.and_then(|all| all.keys().find(|key| key.eq_ignore_ascii_case(name)));
        let name = written.map_or(name.as_str(), String::as_str);
        batch.unresolved(format!("parameters.{name}"), "no value is given and it has no default");
    }
    if scope.subscription.is_none() || scope.resource_group.is_none() {
        batch.assume(
            "deployment-scope-unknown",
            "An ARM template does not say into which subscription and resource group it goes; \
             <subscription> and <resource-group> stand for them.",
        );
    }
    if !evaluator.stand_ins.borrow().is_empty() {
        batch.assume(
            "stand-in-values",
            "Names made by uniqueString, guid, newGuid or utcNow are stand-ins: the platform makes \
             others.",
        );
    }
    Ok(batch)
}
