//! Terraform plans and states: `terraform show -json`, raw state files, and plans under `mock`.

mod address;
mod azapi;
mod azurerm;
mod links;
mod network;
mod outbound;
mod plan;
mod references;
mod services;

use std::sync::Arc;

use super::batch::Batch;
use super::value::Value;
use plan::Plan;

/// Reads a plan: the state before it and after it.
pub(super) fn plan(file: &Arc<str>, value: &Value) -> (Batch, Batch) {
    let (mut before, mut after) = (Batch::new(file), Batch::new(file));
    if let Some(mocks) = value.at("mock").as_object() {
        for (name, mock) in mocks {
            let prefix = format!("mock.{name}.");
            convert(&Plan::before(mock, &prefix), &mut before);
            convert(&Plan::after(mock, &prefix), &mut after);
        }
        return (before, after);
    }
    convert(&Plan::before(value, ""), &mut before);
    convert(&Plan::after(value, ""), &mut after);
    if value.at("errored").as_bool() == Some(true) {
        after.unresolved("errored", "the plan ended with an error and may be incomplete");
    }
    (before, after)
}

/// Reads a state, raw or as `terraform show -json` prints it.
pub(super) fn state(file: &Arc<str>, value: &Value) -> Batch {
    let mut batch = Batch::new(file);
    convert(&Plan::state(value), &mut batch);
    batch
}

fn convert(plan: &Plan<'_>, batch: &mut Batch) {
    batch.terraform = true;
    let mut links = Vec::new();
    for place in 0..plan.instances.len() {
        azurerm::convert(plan, place, batch, &mut links);
    }
    // A link changes what is there, so that all else comes first.
    for place in links {
        azurerm::link(plan, place, batch);
    }
}
