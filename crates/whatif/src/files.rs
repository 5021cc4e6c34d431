//! Reads the files of a model and of a change, whatever they are.

use core::fmt::{self, Display};
use core::net::Ipv4Addr;
use core::str::FromStr;
use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use vnetem::Network;
use vnetem_azure::import::{FileKind, Importer};
use vnetem_azure::{Date, ServiceTags};

use crate::{Change, Estate, EstateError, disable, enable};

/// Folders up to which a folder is gone through.
const MOST_DEPTH: usize = 12;

/// The files of a model, as the command line names them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ModelFiles {
    /// Files of the network and folders of them; `-` is standard input.
    pub model: Vec<PathBuf>,
    /// Values for the parameters of ARM templates.
    pub parameters: Vec<PathBuf>,
    /// Where resources answer, by name.
    pub addresses: Vec<(String, Ipv4Addr)>,
    /// The same in the form of hosts files.
    pub hosts: Vec<PathBuf>,
    /// A list of service tags instead of the embedded one.
    pub tags: Option<PathBuf>,
}

/// The files of a change, as the command line names them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ChangeFiles {
    /// Terraform plans.
    pub plan: Vec<PathBuf>,
    /// Deployment what-ifs of ARM.
    pub arm_what_if: Vec<PathBuf>,
    /// The network before, in place of a plan.
    pub before: Vec<PathBuf>,
    /// The network after.
    pub after: Vec<PathBuf>,
    /// Endpoints to enable.
    pub enable: Vec<Switch>,
    /// Endpoints to disable.
    pub disable: Vec<Switch>,
}

/// An endpoint that is switched, `Microsoft.Storage@vnet1/snet-app`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Switch {
    /// The service.
    pub service: String,
    /// The subnet, with its network or without.
    pub subnet: String,
}

/// Why files cannot be used: the file, and what is wrong with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FilesError(String);

impl FilesError {
    fn of(path: &Path, why: &dyn Display) -> Self {
        Self(format!("{}: {why}", path.display()))
    }
}

impl ModelFiles {
    /// Reads the files of the model and more files. `notes` gets a line for each file of a folder
    /// that is passed over.
    ///
    /// # Errors
    ///
    /// A file cannot be read, or one that was named is of no known kind.
    pub fn read(
        &self,
        more: &[&[PathBuf]],
        notes: &mut Vec<String>,
    ) -> Result<Importer, FilesError> {
        let mut importer = Importer::new();
        for path in &self.parameters {
            read_file(&mut importer, path, true, notes)?;
        }
        let files = more.iter().flat_map(|list| list.iter()).chain(&self.model);
        for path in files {
            if path.is_dir() {
                let files = files_in(path)?;
                if files.is_empty() {
                    return Err(FilesError::of(path, &"no file in this folder"));
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

    /// Makes an estate without networks yet, that knows the tags and where resources answer.
    ///
    /// # Errors
    ///
    /// A file of hosts or tags cannot be read.
    pub fn estate(&self, importers: &[&Importer]) -> Result<Estate, FilesError> {
        let mut addresses = Vec::new();
        for path in &self.hosts {
            let named = hosts(&read_text(path)?).map_err(|why| FilesError::of(path, &why))?;
            addresses.extend(named);
        }
        addresses.extend(self.addresses.iter().cloned());
        Ok(Estate::new(self.service_tags(importers)?, &addresses))
    }

    fn service_tags(&self, importers: &[&Importer]) -> Result<ServiceTags, FilesError> {
        let read = importers.iter().find_map(|importer| importer.service_tags());
        match (&self.tags, read) {
            (None, Some(tags)) => Ok(tags.clone()),
            _ => service_tags(self.tags.as_deref()),
        }
    }
}

impl ChangeFiles {
    /// Reads a network and its change.
    ///
    /// # Errors
    ///
    /// A file cannot be read, no file has a change, or the network refuses one.
    pub fn read(
        &self,
        model: &ModelFiles,
        notes: &mut Vec<String>,
    ) -> Result<(Estate, Change), FilesError> {
        if self.before.is_empty() {
            let importer = model.read(&[&self.plan, &self.arm_what_if], notes)?;
            if !importer.has_change() && !self.has_switches() {
                let files = [&self.plan, &self.arm_what_if, &model.model];
                let files: Vec<_> =
                    files.into_iter().flatten().map(|it| it.display().to_string()).collect();
                let ask = "no change in it. Give a plan, a deployment what-if, --enable or \
                           --disable";
                return Err(FilesError(format!("{}: {ask}", files.join(", "))));
            }
            let mut estate = model.estate(&[&importer])?;
            estate.load(&importer.before());
            let change = estate.edit(|estate| {
                if importer.has_change() {
                    estate.update(&importer.inventory());
                }
                self.switch(estate)
            })?;
            return Ok((estate, change));
        }
        let before = model.read(&[&self.before], notes)?;
        let after = model.read(&[&self.after], notes)?;
        let mut estate = model.estate(&[&before, &after])?;
        estate.load(&before.inventory());
        let change = estate.edit(|estate| {
            estate.update(&after.inventory());
            self.switch(estate)
        })?;
        Ok((estate, change))
    }

    /// Returns whether endpoints are switched.
    #[must_use]
    pub fn has_switches(&self) -> bool {
        !self.enable.is_empty() || !self.disable.is_empty()
    }

    /// Switches endpoints.
    ///
    /// # Errors
    ///
    /// There is no such subnet or service, or the network refuses it.
    pub fn switch(&self, estate: &mut Estate) -> Result<(), EstateError> {
        let (mut on, mut off) = (self.enable.iter(), self.disable.iter());
        on.try_for_each(|one| estate.enable(&one.service, &one.subnet))?;
        off.try_for_each(|one| estate.disable(&one.service, &one.subnet))
    }
}

/// Enables and disables endpoints of a network.
///
/// # Errors
///
/// There is no such subnet or service, or the network refuses it. Switches before stay.
pub fn switch(network: &mut Network, on: &[Switch], off: &[Switch]) -> Result<(), EstateError> {
    on.iter().try_for_each(|one| enable(network, &one.service, &one.subnet))?;
    off.iter().try_for_each(|one| disable(network, &one.service, &one.subnet))
}

impl FromStr for Switch {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let parts = text.split_once('@');
        let parts = parts.filter(|(service, subnet)| !service.is_empty() && !subnet.is_empty());
        let (service, subnet) =
            parts.ok_or("expected SERVICE@SUBNET, such as Microsoft.Storage@vnet1/snet-app")?;
        Ok(Self { service: service.to_owned(), subnet: subnet.to_owned() })
    }
}

/// Reads where a resource answers, such as `stlogs=20.60.0.4`.
///
/// # Errors
///
/// The text has no name or no address; the error is a sentence for a person.
pub fn resource_address(text: &str) -> Result<(String, Ipv4Addr), String> {
    let parts = text.rsplit_once('=').filter(|(name, _)| !name.is_empty());
    let (name, address) = parts.ok_or("expected NAME=IP, such as stlogs=20.60.0.4")?;
    let address = address.parse().map_err(|_| format!("{address} is no IPv4 address"))?;
    Ok((name.to_owned(), address))
}

/// Reads a list of service tags, or takes the embedded one.
///
/// # Errors
///
/// The file cannot be read or is no such list.
pub fn service_tags(path: Option<&Path>) -> Result<ServiceTags, FilesError> {
    let Some(path) = path else { return Ok(ServiceTags::embedded()) };
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let tags = ServiceTags::from_json(&read_text(path)?, Date::in_file_name(name));
    tags.map_err(|error| FilesError::of(path, &error))
}

/// Reads the text of a file, without the mark by which some editors say that it is UTF-8.
///
/// # Errors
///
/// The file cannot be read.
pub fn read_text(path: &Path) -> Result<String, FilesError> {
    let text = fs::read_to_string(path).map_err(|error| FilesError::of(path, &error))?;
    Ok(text.strip_prefix('\u{feff}').map(str::to_owned).unwrap_or(text))
}

/// Reads one file. Of those that were not named, what is none of ours is passed over with a note.
fn read_file(
    importer: &mut Importer,
    path: &Path,
    named: bool,
    notes: &mut Vec<String>,
) -> Result<(), FilesError> {
    let name = path.display().to_string();
    let bytes = if name == "-" {
        let mut bytes = Vec::new();
        io::stdin().lock().read_to_end(&mut bytes).map(|_| bytes)
    } else {
        fs::read(path)
    };
    let bytes = bytes.map_err(|error| FilesError::of(path, &error))?;
    match importer.read(&name, &bytes) {
        Ok(FileKind::FlowLog) if named => {
            let why = "a flow log is traffic, not a network: give it with --flows";
            Err(FilesError::of(path, &why))
        }
        Ok(_) => Ok(()),
        Err(error) if named => Err(FilesError(error.to_string())),
        Err(error) => {
            notes.push(format!("passed over: {error}"));
            Ok(())
        }
    }
}

/// Lists the files below a folder, in the order of their names. Hidden ones are left out.
///
/// # Errors
///
/// A folder cannot be read.
pub fn files_in(folder: &Path) -> Result<Vec<PathBuf>, FilesError> {
    let mut files = Vec::new();
    let mut folders = vec![(folder.to_path_buf(), 0)];
    while let Some((folder, depth)) = folders.pop() {
        let wrong = |error: io::Error| FilesError::of(&folder, &error);
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

impl Display for FilesError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl core::error::Error for FilesError {}

impl From<EstateError> for FilesError {
    fn from(error: EstateError) -> Self {
        Self(error.to_string())
    }
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
