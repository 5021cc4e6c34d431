//! Reads the files of a model, whatever they are.

use core::net::Ipv4Addr;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use vnetem_azure::ServiceTags;
use vnetem_azure::import::flow_log::FlowLogError;
use vnetem_azure::import::{FileKind, Importer};
use vnetem_whatif::{Estate, Traffic};

use crate::Failure;
use crate::load;
use crate::progress::Bar;
use crate::questions::Sources;

/// Folders up to which a folder is gone through.
const MOST_DEPTH: usize = 12;

impl Sources {
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

    /// Reads the files of the model and more files.
    pub(crate) fn read(
        &self,
        more: &[&[PathBuf]],
        notes: &mut Vec<String>,
    ) -> Result<Importer, Failure> {
        let mut importer = Importer::new();
        for path in &self.parameters {
            read_file(&mut importer, path, true, notes)?;
        }
        let files = more.iter().flat_map(|list| list.iter()).chain(&self.model);
        for path in files {
            if path.is_dir() {
                let files = files_in(path)?;
                if files.is_empty() {
                    return Err(format!("{}: no file in this folder", path.display()).into());
                }
                for file in files {
                    read_file(&mut importer, &file, false, notes)?;
                }
            } else {
                read_file(&mut importer, path, true, notes)?;
            }
        }
        Ok(importer)
    }

    /// An estate without networks yet, that knows the tags and where resources answer.
    pub(crate) fn estate(&self, importers: &[&Importer]) -> Result<Estate, Failure> {
        let mut addresses = Vec::new();
        for path in &self.hosts {
            let text = load::read(path)?;
            let named = hosts(&text).map_err(|why| format!("{}: {why}", path.display()))?;
            addresses.extend(named);
        }
        addresses.extend(self.address.iter().cloned());
        Ok(Estate::new(self.tags(importers)?, &addresses))
    }

    fn tags(&self, importers: &[&Importer]) -> Result<ServiceTags, Failure> {
        let read = importers.iter().find_map(|importer| importer.service_tags());
        match (&self.list.tags, read) {
            (None, Some(tags)) => Ok(tags.clone()),
            _ => Ok(load::tags(&self.list)?.as_ref().clone()),
        }
    }
}

/// Reads one file. Of those that were not named, what is none of ours is passed over with a note.
fn read_file(
    importer: &mut Importer,
    path: &Path,
    named: bool,
    notes: &mut Vec<String>,
) -> Result<(), Failure> {
    let name = path.display().to_string();
    let bytes = if name == "-" {
        let mut bytes = Vec::new();
        io::stdin().lock().read_to_end(&mut bytes).map(|_| bytes)
    } else {
        fs::read(path)
    };
    let bytes = bytes.map_err(|error| format!("{name}: {error}"))?;
    match importer.read(&name, &bytes) {
        Ok(FileKind::FlowLog) if named => {
            Err(format!("{name}: a flow log is traffic, not a network: give it with --flows")
                .into())
        }
        Ok(_) => Ok(()),
        Err(error) if named => Err(error.into()),
        Err(error) => {
            notes.push(format!("passed over: {error}"));
            Ok(())
        }
    }
}

/// The files below a folder, in the order of their names.
fn files_in(folder: &Path) -> Result<Vec<PathBuf>, Failure> {
    let mut files = Vec::new();
    let mut folders = vec![(folder.to_path_buf(), 0)];
    while let Some((folder, depth)) = folders.pop() {
        let wrong = |error: io::Error| format!("{}: {error}", folder.display());
        for entry in fs::read_dir(&folder).map_err(wrong)? {
            let path = entry.map_err(wrong)?.path();
            let hidden =
                path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."));
            match path.is_dir() {
                _ if hidden => {}
                true if depth < MOST_DEPTH => folders.push((path, depth + 1)),
                true => {}
                false => files.push(path),
            }
        }
    }
    files.sort();
    Ok(files)
}

/// Names and addresses of a hosts file. Of a full name the first word is the resource's.
fn hosts(text: &str) -> Result<Vec<(String, Ipv4Addr)>, String> {
    let mut named = Vec::new();
    for (number, line) in text.lines().enumerate() {
        let line = line.split('#').next().unwrap_or_default();
        let mut words = line.split_whitespace();
        let Some(address) = words.next() else { continue };
        // Hosts files have IPv6 lines too.
        if address.parse::<core::net::Ipv6Addr>().is_ok() {
            continue;
        }
        let address: Ipv4Addr =
            address.parse().map_err(|_| format!("line {}: {address} is no address", number + 1))?;
        for name in words {
            let name = name.trim_end_matches('.');
            let first = name.split('.').next().unwrap_or(name);
            named.push((first.to_owned(), address));
            named.push((name.to_owned(), address));
        }
    }
    Ok(named)
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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

    use super::*;

    #[test]
    fn hosts_name_resources_by_first_word() {
        let read = hosts("# c\n20.60.0.4 stlogs.blob.core.windows.net. logs # x\n::1 localhost\n");
        let at = |name: &str| (name.to_owned(), Ipv4Addr::new(20, 60, 0, 4));
        assert_eq!(
            read.unwrap(),
            [at("stlogs"), at("stlogs.blob.core.windows.net"), at("logs"), at("logs")]
        );
        assert_eq!(hosts("\n1.2.3 a\n"), Err("line 2: 1.2.3 is no address".to_owned()));
    }
}
