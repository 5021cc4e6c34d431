//! Files that are read.

use std::path::Path;
use std::sync::Arc;

use vnetem_azure::ServiceTags;
use vnetem_scenario::{Options, Runner, Scenario};
use vnetem_whatif::files;

use crate::Failure;
use crate::arguments::{Common, Model, TagList};

/// A scenario from a file, or the demo scenario.
pub(crate) fn scenario(path: Option<&Path>) -> Result<Scenario, Failure> {
    match path {
        None => Ok(Scenario::demo()?),
        Some(path) => Ok(Scenario::parse(&path.display().to_string(), &files::read_text(path)?)?),
    }
}

/// The model of a scenario, played up to a moment.
pub(crate) fn stage(common: &Common, model: &Model) -> Result<Runner<'static>, Failure> {
    let scenario = scenario(model.sources.scenario()?)?;
    let options = Options { seed: common.seed, tags: tags(&model.sources.list)?, tap: None };
    let stage = scenario.play_until(model.at, options)?;
    // The answer would be of another model than the file means.
    if let Some(refused) = stage.refused_changes().first() {
        let name = model.sources.scenario()?.map(|path| path.display().to_string());
        let name = name.unwrap_or("demo.scn".to_owned());
        return Err(format!("{name} {refused}").into());
    }
    Ok(stage)
}

/// The list of service tags that the command line asks for.
pub(crate) fn tags(list: &TagList) -> Result<Arc<ServiceTags>, Failure> {
    Ok(Arc::new(files::service_tags(list.tags.as_deref())?))
}

/// Refuses to write to a file that is read in the same run, under whatever name.
pub(crate) fn not_read_too(
    option: &str,
    written: &Path,
    read: &[Option<&Path>],
) -> Result<(), Failure> {
    let here = std::fs::canonicalize(written).ok();
    for read in read.iter().flatten() {
        let same = here.is_some() && here == std::fs::canonicalize(read).ok();
        if same || is_linked(written, read) {
            return Err(format!(
                "{}: {option} would overwrite {}, which this run reads",
                written.display(),
                read.display()
            )
            .into());
        }
    }
    Ok(())
}

/// Whether two names are hard links of one file.
#[cfg(unix)]
fn is_linked(one: &Path, other: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;
    match (std::fs::metadata(one), std::fs::metadata(other)) {
        (Ok(one), Ok(other)) => {
            one.is_file() && (one.dev(), one.ino()) == (other.dev(), other.ino())
        }
        _ => false,
    }
}

/// Whether two names are hard links of one file, which only Unix tells by the standard library.
#[cfg(not(unix))]
fn is_linked(_: &Path, _: &Path) -> bool {
    false
}
