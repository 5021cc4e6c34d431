//! Tells what a file is by its shape, never by its name.

use super::value::Value;

/// What a file is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum FileKind {
    /// An ARM template, written by hand, exported, or compiled from Bicep.
    ArmTemplate,
    /// Values for the parameters of an ARM template.
    ArmParameters,
    /// Resources as `az`, PowerShell, Resource Graph or the REST interface gives them.
    Resources,
    /// A Terraform plan, `terraform show -json PLAN`.
    TerraformPlan,
    /// A Terraform state, raw or `terraform show -json`.
    TerraformState,
    /// What a deployment would change, `az deployment group what-if --no-pretty-print`.
    WhatIf,
    /// The published list of service tags, as a file or from the API.
    ServiceTags,
    /// The effective routes of a network interface.
    EffectiveRoutes,
    /// A flow log of a virtual network or of a network security group.
    FlowLog,
}

impl FileKind {
    /// Returns the kind in words.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::ArmTemplate => "ARM template",
            Self::ArmParameters => "ARM parameters",
            Self::Resources => "resources",
            Self::TerraformPlan => "Terraform plan",
            Self::TerraformState => "Terraform state",
            Self::WhatIf => "deployment what-if",
            Self::ServiceTags => "service tags",
            Self::EffectiveRoutes => "effective routes",
            Self::FlowLog => "flow log",
        }
    }
}

/// The kind of a file that holds this value; none if no reader takes it.
pub(crate) fn kind(value: &Value) -> Option<FileKind> {
    let has = |name: &str| !value.at(name).is_null();
    let schema = value.at("$schema").as_text().unwrap_or_default().to_ascii_lowercase();
    if schema.contains("deploymentparameters") {
        return Some(FileKind::ArmParameters);
    }
    let resources = value.at("resources");
    let listed = resources.as_list().is_some() || resources.as_object().is_some();
    let is_template = schema.contains("deploymenttemplate") || has("contentVersion");
    if (is_template && listed) || is_template_in(value) {
        return Some(FileKind::ArmTemplate);
    }
    if has("format_version") && (has("resource_changes") || has("planned_values"))
        || has_mocks(value)
    {
        return Some(FileKind::TerraformPlan);
    }
    let raw = value.at("version").as_int() == Some(4) && has("terraform_version") && listed;
    if raw || (has("format_version") && value.at("values").as_object().is_some()) {
        return Some(FileKind::TerraformState);
    }
    if has("format_version") && has("terraform_version") {
        // The state of nothing: `terraform show -json` of an empty one.
        return Some(FileKind::TerraformState);
    }
    let changes = value.get("changes");
    if changes.as_list().is_some_and(|list| {
        list.iter().all(|change| !change.at("changeType").is_null())
            && (!list.is_empty() || !value.get("status").is_null())
    }) {
        return Some(FileKind::WhatIf);
    }
    if value.at("values").as_list().is_some() && has("changeNumber") {
        return Some(FileKind::ServiceTags);
    }
    let list = list(value)?;
    let first = list.first();
    if first.is_some_and(|item| {
        !item.at("nextHopType").is_null() && item.at("addressPrefix").as_list().is_some()
    }) {
        return Some(FileKind::EffectiveRoutes);
    }
    let any = list.iter().any(is_resource);
    (any || (list.is_empty() && !value.at("value").is_null())).then_some(FileKind::Resources)
}

/// The template inside another file: a template spec, or a deployment as it was sent.
fn is_template_in(value: &Value) -> bool {
    template(value).is_some_and(|inner| !core::ptr::eq(inner, value))
}

/// The template that a file holds, at the top or inside.
pub(crate) fn template(value: &Value) -> Option<&Value> {
    let inner = [value.get("mainTemplate"), value.get("template")];
    let is = |inner: &&Value| !inner.at("resources").is_null() && !inner.at("$schema").is_null();
    inner.into_iter().find(is).or(Some(value).filter(|value| !value.at("resources").is_null()))
}

/// Whether plans stand under `mock.NAME`, as tests of policies keep them.
fn has_mocks(value: &Value) -> bool {
    value.at("mock").as_object().is_some_and(|mocks| {
        mocks.values().any(|mock| mock.at("resource_changes").as_list().is_some())
    })
}

/// The items of a list in any of its wrappings, or the one resource that the file is.
pub(crate) fn list(value: &Value) -> Option<Vec<Value>> {
    if let Some(items) = value.as_list() {
        // Each item may be a list of its own: `az` calls whose outputs were put together.
        return Some(items.iter().flat_map(|item| item.items().iter().cloned()).collect());
    }
    if is_resource(value) {
        return Some(vec![value.clone()]);
    }
    if let Some(items) = value.at("value").as_list() {
        return Some(items.to_vec());
    }
    let data = value.at("data");
    if let Some(items) = data.as_list() {
        return Some(items.to_vec());
    }
    let (columns, rows) = (data.at("columns").as_list()?, data.at("rows").as_list()?);
    let names: Vec<_> =
        columns.iter().map(|column| column.at("name").as_text().unwrap_or_default()).collect();
    let row = |row: &Value| {
        let cells = names.iter().zip(row.items());
        Value::object(cells.map(|(name, cell)| ((*name).to_owned(), cell.clone())).collect())
    };
    Some(rows.iter().map(row).collect())
}

/// Whether a value is one resource: it has an id of Azure's, or a type and a name.
pub(crate) fn is_resource(value: &Value) -> bool {
    let snake = ["resource_group", "subscription_id", "cloud_environment", "akas"];
    let is_row = snake.iter().any(|name| !value.at(name).is_null());
    let id = value.at("id").as_text().unwrap_or_default().to_ascii_lowercase();
    let kind = value.at("type").as_text().unwrap_or_default().to_ascii_lowercase();
    !is_row && (id.contains("/providers/microsoft.") || kind.starts_with("microsoft."))
}
