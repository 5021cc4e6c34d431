//! Takes files and puts together what they say.

use std::sync::Arc;

use super::batch::{Batch, Records};
use super::notes::{Missing, assume};
use super::value::{Object, Value};
use super::{
    FileKind, ImportError, ImportProblem, Inventory, ShownRoute, arm, effective, exported, extract,
    flow_log, not_ours, recognise, terraform, text, what_if,
};
use crate::ServiceTags;

/// Takes files of any kind and says what all of them hold together.
///
/// Files may come in any order. A Terraform plan and a deployment what-if hold a change: what they
/// say stands above what the others say, and [`Importer::before`] gives the network without it.
#[derive(Clone, Debug, Default)]
pub struct Importer {
    scope: DeploymentScope,
    parameters: Object,
    templates: Vec<(Arc<str>, Value)>,
    files: Vec<Source>,
    tags: Option<ServiceTags>,
    routes: Vec<(String, Vec<ShownRoute>)>,
}

/// Where an ARM template would be deployed; what it does not say itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DeploymentScope {
    /// The subscription's id.
    pub subscription: Option<String>,
    /// The resource group's name.
    pub resource_group: Option<String>,
    /// The region of the resource group.
    pub location: Option<String>,
}

/// What a file says.
#[derive(Clone, Debug)]
struct Source {
    before: Option<Batch>,
    after: Batch,
    /// Which of the templates it is.
    template: Option<usize>,
}

impl Importer {
    /// Makes an importer that has no file yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Says where ARM templates would be deployed, for those that are read from now on.
    pub fn deploy_to(&mut self, scope: DeploymentScope) {
        self.scope = scope;
    }

    /// Reads a file of a kind that its shape tells.
    ///
    /// Of a flow log it takes nothing and says only that it is one; [`flow_log::read`] reads it as
    /// a stream.
    ///
    /// # Errors
    ///
    /// The file is broken, or none that can be read. The importer is then as it was.
    pub fn read(&mut self, file: &str, bytes: &[u8]) -> Result<FileKind, ImportError> {
        let wrong = |problem| ImportError { file: file.to_owned(), problem };
        if flow_log::is_one(bytes) {
            return Ok(FileKind::FlowLog);
        }
        let value = unpacked(text::read(bytes).map_err(wrong)?).map_err(wrong)?;
        let Some(kind) = recognise::kind(&value) else {
            return Err(wrong(ImportProblem::NotOurs(not_ours::json(&value))));
        };
        let name: Arc<str> = Arc::from(file);
        let source = |after| Source { before: None, after, template: None };
        match kind {
            FileKind::ArmTemplate => {
                let after =
                    arm::read(&name, &value, &self.parameters, &self.scope).map_err(wrong)?;
                let template = Some(self.templates.len());
                self.templates.push((name, value));
                self.files.push(Source { before: None, after, template });
            }
            FileKind::ArmParameters => self.parameters(file, &value)?,
            FileKind::Resources => self.files.push(source(exported::read(&name, &value))),
            FileKind::TerraformPlan => {
                let (before, after) = terraform::plan(&name, &value);
                self.files.push(Source { before: Some(before), after, template: None });
            }
            FileKind::TerraformState => self.files.push(source(terraform::state(&name, &value))),
            FileKind::WhatIf => {
                let (before, after) = what_if::read(&name, &value);
                self.files.push(Source { before: Some(before), after, template: None });
            }
            FileKind::ServiceTags => {
                let json = text::decode(bytes).map_err(wrong)?;
                let date = crate::Date::in_file_name(file);
                let tags = ServiceTags::from_json(&json, date)
                    .map_err(|error| wrong(ImportProblem::NotOurs(error.to_string())))?;
                self.tags = Some(tags);
            }
            FileKind::EffectiveRoutes => {
                let routes = effective::read(&value).map_err(wrong)?;
                self.routes.push((file.to_owned(), routes));
            }
            FileKind::FlowLog => {}
        }
        Ok(kind)
    }

    /// Takes values for parameters; templates that were read before are read again with them.
    fn parameters(&mut self, file: &str, value: &Value) -> Result<(), ImportError> {
        let mut parameters = self.parameters.clone();
        for (name, given) in value.at("parameters").as_object().into_iter().flatten() {
            let given = if given.at("reference").is_null() {
                given.at("value").clone()
            } else {
                Value::unknown("", format!("the parameter {name} is a secret of a key vault"))
            };
            parameters.insert(name.to_ascii_lowercase(), given);
        }
        let mut files = self.files.clone();
        for source in &mut files {
            let template = source.template.and_then(|place| self.templates.get(place));
            if let Some((name, value)) = template {
                source.after = arm::read(name, value, &parameters, &self.scope)
                    .map_err(|problem| ImportError { file: file.to_owned(), problem })?;
            }
        }
        (self.parameters, self.files) = (parameters, files);
        Ok(())
    }

    /// Returns what the files hold; with the change, if a file has one.
    #[must_use]
    pub fn inventory(&self) -> Inventory {
        self.put_together(|source| &source.after)
    }

    /// Returns what the files hold without the change that some of them have; the same if none has
    /// one.
    #[must_use]
    pub fn before(&self) -> Inventory {
        self.put_together(|source| source.before.as_ref().unwrap_or(&source.after))
    }

    /// Returns whether a file holds a change.
    #[must_use]
    pub fn has_change(&self) -> bool {
        self.files.iter().any(|source| source.before.is_some())
    }

    /// Returns the list of service tags, if a file holds one.
    #[must_use]
    pub fn service_tags(&self) -> Option<&ServiceTags> {
        self.tags.as_ref()
    }

    /// Returns the effective routes, by file.
    #[must_use]
    pub fn effective_routes(&self) -> &[(String, Vec<ShownRoute>)] {
        &self.routes
    }

    fn put_together<'a>(&'a self, side: impl Fn(&'a Source) -> &'a Batch) -> Inventory {
        let mut records = Records::default();
        let (still, change): (Vec<_>, Vec<_>) =
            self.files.iter().partition(|source| source.before.is_none());
        let batches: Vec<_> = still.into_iter().chain(change).map(side).collect();
        for entry in batches.iter().flat_map(|batch| &batch.entries) {
            records.apply(entry);
        }
        let mut inventory = extract::inventory(&records);
        let mut missing = Missing::default();
        let found = core::mem::take(&mut inventory.unresolved);
        found.into_iter().for_each(|one| missing.add(one));
        for batch in batches {
            batch.unresolved.iter().for_each(|one| missing.add(one.clone()));
            for (name, count) in &batch.ignored {
                *inventory.ignored.entry(name.clone()).or_default() += count;
            }
            for one in &batch.assumptions {
                assume(&mut inventory.assumptions, one.code.clone(), one.text.clone());
            }
        }
        inventory.unresolved = missing.into_list();
        inventory.assumptions.sort();
        inventory
    }
}

/// Takes a recorded answer out of its wrapping: `{ "body": { "string": "..." } }`.
fn unpacked(value: Value) -> Result<Value, ImportProblem> {
    let inner = match value.at("body") {
        Value::Null => &value,
        body => body,
    };
    let json = match inner {
        Value::Object(fields) if fields.len() == 1 => inner.at("string").as_text(),
        _ => None,
    };
    match json {
        Some(json) => text::read(json.as_bytes()),
        None => Ok(value),
    }
}
