//! Files that are read.

use std::path::Path;
use std::sync::Arc;

use vnetem_azure::{Date, ServiceTags};
use vnetem_lab::Scenario;

use crate::Failure;
use crate::arguments::Common;

/// A scenario from a file, or the founding story.
pub(crate) fn scenario(path: Option<&Path>) -> Result<Scenario, Failure> {
    match path {
        None => Ok(Scenario::founding_story()?),
        Some(path) => Ok(Scenario::parse(&path.display().to_string(), &read(path)?)?),
    }
}

/// The list of service tags that the command line asks for.
pub(crate) fn tags(common: &Common) -> Result<Arc<ServiceTags>, Failure> {
    let Some(path) = &common.tags else {
        return Ok(Arc::new(ServiceTags::embedded()));
    };
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let tags = ServiceTags::from_json(&read(path)?, Date::in_file_name(name));
    Ok(Arc::new(tags.map_err(|error| format!("{}: {error}", path.display()))?))
}

fn read(path: &Path) -> Result<String, Failure> {
    std::fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()).into())
}
