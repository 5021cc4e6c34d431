//! Reads networks from files.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use core::net::Ipv4Addr;
use std::collections::BTreeMap;

use pyo3::prelude::*;
use pyo3::types::PyTuple;
use vnetem_azure::ServiceTags;
use vnetem_scenario::{Model, Scenario};
use vnetem_whatif::Estate;
use vnetem_whatif::files::{ChangeFiles, ModelFiles, read_text};

use crate::convert::{address, paths};
use crate::error::{argument, unreadable};
use crate::network::Network;

type Any<'a, 'py> = &'a Bound<'py, PyAny>;

/// The keywords by which files are read.
pub(crate) struct Keywords<'a, 'py> {
    pub(crate) parameters: Option<Any<'a, 'py>>,
    pub(crate) addresses: Option<BTreeMap<String, Bound<'py, PyAny>>>,
    pub(crate) hosts: Option<Any<'a, 'py>>,
    pub(crate) tags: Option<PathBuf>,
}

impl Keywords<'_, '_> {
    fn files(&self, model: Vec<PathBuf>) -> PyResult<ModelFiles> {
        let list = |value: Option<Any<'_, '_>>| value.map(paths).transpose();
        let named =
            self.addresses.iter().flatten().map(|(name, at)| Ok((name.clone(), address(at)?)));
        let addresses: Vec<(String, Ipv4Addr)> = named.collect::<PyResult<_>>()?;
        Ok(ModelFiles {
            model,
            parameters: list(self.parameters)?.unwrap_or_default(),
            addresses,
            hosts: list(self.hosts)?.unwrap_or_default(),
            tags: self.tags.clone(),
        })
    }
}

/// Reads a network from files of Azure, Terraform or ARM, from folders of them, or from one
/// scenario.
///
/// Takes what ``vnetem model -m`` takes: Terraform plans and states, ARM templates and what-ifs,
/// JSON of ``az`` commands, or one ``.scn`` file. Of a plan the network is as planned, with
/// ``before=True`` as it is. ``addresses`` says where resources answer, from name to address, and
/// ``hosts`` names files that say so. ``parameters`` are values for ARM templates, ``tags`` a
/// published list of service tags in place of the built-in one.
///
/// Raises ``FilesError`` if a file cannot be read. ``Network.notes`` has what the files leave open.
#[pyfunction]
#[pyo3(signature = (
    *files, before = false, parameters = None, addresses = None, hosts = None, tags = None
))]
pub(crate) fn load<'py>(
    files: &Bound<'py, PyTuple>,
    before: bool,
    parameters: Option<Any<'_, 'py>>,
    addresses: Option<BTreeMap<String, Bound<'py, PyAny>>>,
    hosts: Option<Any<'_, 'py>>,
    tags: Option<PathBuf>,
) -> PyResult<Network> {
    let files = paths(files)?;
    if files.is_empty() {
        return Err(argument("of which files? Give at least one path"));
    }
    let is_scenario = |path: &&PathBuf| path.extension() == Some(OsStr::new("scn"));
    match (files.iter().find(is_scenario), files.as_slice()) {
        (Some(only), [_]) => return scenario(only),
        (Some(one), _) => {
            let why = "a scenario is a whole model, give it alone";
            return Err(argument(format!("{}: {why}", one.display())));
        }
        (None, _) => {}
    }
    let files = Keywords { parameters, addresses, hosts, tags }.files(files)?;
    let mut notes = Vec::new();
    let importer = files.read(&[], &mut notes).map_err(unreadable)?;
    let inventory = if before { importer.before() } else { importer.inventory() };
    let mut estate = files.estate(&[&importer]).map_err(unreadable)?;
    estate.load(&inventory);
    Ok(of_estate(estate, notes))
}

/// Reads a network and its change from files: the network before, and after.
///
/// ``files`` are a Terraform plan or an ARM what-if, with the files of the network beside it. With
/// ``after`` they are the network before, and ``after`` the same network as it will be. The other
/// keywords are those of ``load``. Both networks know each other: ``what_if`` compares them, and a
/// data plane of the first can apply the second.
///
/// Raises ``FilesError`` if a file cannot be read, or no file has a change.
#[pyfunction]
#[pyo3(signature = (
    *files, after = None, parameters = None, addresses = None, hosts = None, tags = None
))]
pub(crate) fn load_change<'py>(
    files: &Bound<'py, PyTuple>,
    after: Option<Any<'_, 'py>>,
    parameters: Option<Any<'_, 'py>>,
    addresses: Option<BTreeMap<String, Bound<'py, PyAny>>>,
    hosts: Option<Any<'_, 'py>>,
    tags: Option<PathBuf>,
) -> PyResult<(Network, Network)> {
    let files = paths(files)?;
    if files.is_empty() {
        return Err(argument("of which files? Give at least one path"));
    }
    let model = Keywords { parameters, addresses, hosts, tags }.files(Vec::new())?;
    let change = match after {
        Some(after) => ChangeFiles { before: files, after: paths(after)?, ..Default::default() },
        None => ChangeFiles { plan: files, ..Default::default() },
    };
    read_change(&change, &model)
}

fn read_change(files: &ChangeFiles, model: &ModelFiles) -> PyResult<(Network, Network)> {
    let mut notes = Vec::new();
    let (estate, change) = files.read(model, &mut notes).map_err(unreadable)?;
    let after = of_estate(estate, notes);
    let before = Network { network: change.before().clone(), ..after.clone() };
    Ok((before, after))
}

fn of_estate(estate: Estate, mut notes: Vec<String>) -> Network {
    let open = estate.inventory().unresolved.iter().chain(estate.left_out());
    notes.extend(open.map(|one| format!("{}: {}: {}", one.place.file, one.place.path, one.why)));
    let assumed = estate.inventory().assumptions.iter().chain(&estate.loaded().assumptions);
    notes.extend(assumed.map(|one| format!("{}: {}", one.code, one.text)));
    let mut seen = std::collections::BTreeSet::new();
    notes.retain(|note| seen.insert(note.clone()));
    let network = estate.loaded().network.clone();
    Network { network, estate: Some(Arc::new(estate)), notes }
}

fn scenario(path: &Path) -> PyResult<Network> {
    let text = read_text(path).map_err(unreadable)?;
    let scenario = Scenario::parse(&path.display().to_string(), &text).map_err(unreadable)?;
    let tags = Arc::new(ServiceTags::embedded());
    let model = Model::new(&scenario, tags).map_err(unreadable)?;
    Ok(Network::of(model.network().clone()))
}
