//! Reads the files of a model and its traffic.

use core::net::Ipv4Addr;
use std::fs::{self, File};
use std::path::{Path, PathBuf};

use vnetem_azure::import::flow_log::FlowLogError;
use vnetem_whatif::Traffic;
use vnetem_whatif::files::{ModelFiles, files_in};

use crate::Failure;
use crate::progress::Bar;
use crate::questions::Sources;

impl Sources {
    /// The files by themselves, as the library takes them.
    pub(crate) fn files(&self) -> ModelFiles {
        ModelFiles {
            model: self.model.clone(),
            parameters: self.parameters.clone(),
            addresses: self.address.clone(),
            hosts: self.hosts.clone(),
            tags: self.list.tags.clone(),
        }
    }

    /// The scenario that is the model; none if there are other files.
    pub(crate) fn scenario(&self) -> Result<Option<&Path>, Failure> {
        let is_scenario = |path: &&PathBuf| path.extension().is_some_and(|end| end == "scn");
        match (self.model.iter().find(is_scenario), self.model.as_slice()) {
            (Some(only), [_]) => Ok(Some(only)),
            (Some(one), _) => {
                Err(format!("{}: a scenario is a whole model, give it alone", one.display()).into())
            }
            (None, _) => Ok(None),
        }
    }

    /// Whether the model is of a user's own files.
    pub(crate) fn has_files(&self) -> Result<bool, Failure> {
        Ok(!self.model.is_empty() && self.scenario()?.is_none())
    }
}

/// Reads flow logs and captures. `is_inside` says which addresses are the model's. Of a folder's
/// files, what is no flow log is passed over with a note.
pub(crate) fn traffic(
    flows: &[PathBuf],
    captures: &[PathBuf],
    is_inside: impl Fn(Ipv4Addr) -> bool,
    bar: &Bar,
    notes: &mut Vec<String>,
) -> Result<Traffic, Failure> {
    let mut traffic = Traffic::new();
    let mut logs = Vec::new();
    for path in flows {
        if path.is_dir() {
            logs.extend(files_in(path)?);
        } else {
            logs.push(path.clone());
        }
    }
    let size = |path: &PathBuf| fs::metadata(path).map(|data| data.len()).unwrap_or_default();
    let all = logs.iter().chain(captures).map(size).sum();
    bar.begin_bytes("reading traffic", all);
    for path in &logs {
        let name = path.display().to_string();
        let wrong = |error: &dyn core::fmt::Display| format!("{name}: {error}");
        let before = traffic.tuples();
        let file = File::open(path).map_err(|error| wrong(&error))?;
        match traffic.read_flow_log(&name, bar.through(file)) {
            Err(error @ FlowLogError::NotFlows(_)) if !flows.contains(path) => {
                notes.push(format!("passed over: {}", wrong(&error)));
            }
            other => other.map_err(|error| wrong(&error))?,
        }
        if traffic.tuples() == before && flows.contains(path) {
            return Err(wrong(&"no flow log: it has no line of a flow").into());
        }
    }
    if !flows.is_empty() && traffic.tuples() == 0 {
        let folders: Vec<_> = flows.iter().map(|path| path.display().to_string()).collect();
        return Err(format!("{}: no flow log in it", folders.join(", ")).into());
    }
    for path in captures {
        let wrong = |error: &dyn core::fmt::Display| format!("{}: {error}", path.display());
        let file = File::open(path).map_err(|error| wrong(&error))?;
        let name = path.display().to_string();
        let read = traffic.read_capture(&name, bar.through(file), &is_inside);
        read.map_err(|error| wrong(&error))?;
    }
    Ok(traffic)
}
