//! What all workers of a replay share: the network before and after the change, its units, and the
//! list of files.

use std::fs;
use std::hash::Hasher;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use twox_hash::XxHash3_64;
use vnetem::{Network, Snapshot, Time};
use vnetem_whatif::files::{ModelFiles, switch};
use vnetem_whatif::replay::Units;

use crate::cut::Parts;
use crate::{DistError, Replay, captures};

/// A replay that is ready to begin.
pub(crate) struct Job {
    pub(crate) before: Arc<Snapshot>,
    pub(crate) after: Arc<Snapshot>,
    pub(crate) units: Units,
    pub(crate) at: Option<Time>,
    pub(crate) files: Vec<PathBuf>,
    pub(crate) start: u64,
    pub(crate) flows: u32,
    pub(crate) write: Option<PathBuf>,
    pub(crate) resume: bool,
    pub(crate) notes: Vec<String>,
    /// Tells this run from others.
    pub(crate) fingerprint: u64,
    /// Frames that were passed over when the captures were cut.
    pub(crate) cut: Option<Parts>,
}

impl Job {
    pub(crate) fn new(asked: &Replay) -> Result<Self, DistError> {
        let switches = !asked.enable.is_empty() || !asked.disable.is_empty();
        if asked.at.is_some() && !switches {
            let text = "--at says when, --enable or --disable what: give one";
            return Err(DistError::new(text));
        }
        if asked.resume && asked.write.is_none() {
            return Err(DistError::new("--resume goes on in a folder: give it with -w"));
        }
        let (mut network, notes) = network(&asked.model)?;
        let before = network.commit();
        switch(&mut network, &asked.enable, &asked.disable)?;
        let after = network.commit();
        let units = Units::new(&network, &[&before, &after], asked.split_above);
        let split = split_of(&network, &units);
        let (cut, files, start) = match (&asked.cut, asked.captures.as_slice()) {
            (Some(folder), []) => {
                let parts = Parts::read(folder)?;
                if parts.split != split {
                    let text = "the captures were cut for another network: cut them again";
                    return Err(DistError::of(folder, text));
                }
                let (files, start) = (parts.files(folder), parts.start);
                (Some(parts), files, start)
            }
            (None, [_, ..]) => {
                let files = captures::find(&asked.captures)?;
                let start = captures::start(&files)?;
                (None, files, start)
            }
            _ => return Err(DistError::new("what to replay? Give --captures or --cut")),
        };
        let fingerprint = fingerprint(asked, &files)?;
        Ok(Self {
            before,
            after,
            units,
            at: switches.then(|| asked.at.unwrap_or(Time(0))),
            files,
            start,
            flows: asked.flows,
            write: asked.write.clone(),
            resume: asked.resume,
            notes,
            fingerprint,
            cut,
        })
    }

    /// Whether the captures were cut before.
    pub(crate) fn is_cut(&self) -> bool {
        self.cut.is_some()
    }

    /// Makes the folder for what comes out, and refuses one that has something else.
    pub(crate) fn prepare(&self, first: bool) -> Result<(), DistError> {
        let Some(folder) = &self.write else { return Ok(()) };
        fs::create_dir_all(folder).map_err(|error| DistError::of(folder, error))?;
        let path = folder.join("run");
        let own = format!("{:016x}\n", self.fingerprint);
        let there = fs::read_to_string(&path).ok();
        match (there, self.resume) {
            (Some(there), true) if there != own => {
                let text = "another run wrote here: other captures, another model or change";
                Err(DistError::of(folder, text))
            }
            (None, true) if first => {
                Err(DistError::of(folder, "no run wrote here that could be resumed"))
            }
            (_, true) => Ok(()),
            // The others may share the folder, so that only the first one looks and writes.
            (_, false) if !first => Ok(()),
            (Some(_), false) => {
                let text = "a run wrote here: go on with --resume, or name a new folder";
                Err(DistError::of(folder, text))
            }
            (None, false) => fs::write(&path, own).map_err(|it| DistError::of(&path, it)),
        }
    }
}

/// Reads the network of a replay.
pub(crate) fn network(model: &ModelFiles) -> Result<(Network, Vec<String>), DistError> {
    if model.model.is_empty() {
        return Err(DistError::new("through which network? Give -m FILE"));
    }
    let mut notes = Vec::new();
    let importer = model.read(&[], &mut notes)?;
    let mut estate = model.estate(&[&importer])?;
    estate.load(&importer.inventory());
    for one in estate.left_out() {
        notes.push(format!("left out: {one}"));
    }
    Ok((estate.loaded().network.clone(), notes))
}

/// Returns a number that tells two ways to split a network apart.
pub(crate) fn split_of(network: &Network, units: &Units) -> u64 {
    let mut hash = XxHash3_64::new();
    let text = format!("{} {}\n", units.count(), units.domains());
    hash.write(text.as_bytes());
    for (id, subnet) in network.subnets() {
        let text = format!("{id} {} {:?}\n", subnet.prefix, subnet.outbound);
        hash.write(text.as_bytes());
    }
    hash.finish()
}

/// Returns a number that tells two runs apart, by what they read and change.
fn fingerprint(asked: &Replay, files: &[PathBuf]) -> Result<u64, DistError> {
    let mut hash = XxHash3_64::new();
    let Replay { model, enable, disable, at, flows, split_above, .. } = asked;
    let switch = (enable, disable, at, flows, split_above);
    hash.write(format!("{switch:?} {:?}\n", model.addresses).as_bytes());
    let size = |path: &Path| {
        fs::metadata(path).map(|data| data.len()).map_err(|error| DistError::of(path, error))
    };
    let lists = [&model.model, &model.parameters, &model.hosts];
    let models = lists.into_iter().flatten().chain(&model.tags);
    for path in models.map(PathBuf::as_path).chain(files.iter().map(PathBuf::as_path)) {
        hash.write(format!("{} {}\n", path.display(), size(path)?).as_bytes());
    }
    Ok(hash.finish())
}
