//! Real files: each is read, or refused for a reason; `docs/importers.md` and the models say how.
//!
//! `VNETEM_BLESS=1 cargo test -p vnetem-azure --test corpus` writes the page and the models.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test that cannot go on has failed"
)]

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use vnetem_azure::import::{FileKind, Importer, Inventory, Unresolved, flow_log};

const FOLDERS: [&str; 7] = ["arm", "az", "terraform", "whatif", "flowlogs", "routes", "synthetic"];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests")
}

/// The files of the corpus by name, with what stands in them.
fn files() -> Vec<(String, Vec<u8>)> {
    let mut files = Vec::new();
    for folder in FOLDERS {
        for entry in fs::read_dir(root().join("corpus").join(folder)).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_str().unwrap();
            files.push((format!("{folder}/{name}"), fs::read(&path).unwrap()));
        }
    }
    files.sort();
    files
}

/// What one file alone says.
fn read(file: &str, bytes: &[u8]) -> Result<(FileKind, Importer), String> {
    let mut importer = Importer::new();
    match importer.read(file, bytes) {
        Ok(kind) => Ok((kind, importer)),
        Err(error) => Err(error.problem.to_string()),
    }
}

/// Compares a text with the file that holds it, or writes the file.
fn hold(path: &Path, text: &str, wrong: &mut Vec<String>) {
    if std::env::var_os("VNETEM_BLESS").is_some() {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    } else if fs::read_to_string(path).unwrap_or_default() != text {
        wrong.push(path.display().to_string());
    }
}

#[test]
fn models_of_real_files_are_golden() {
    let mut wrong = Vec::new();
    let mut count = 0;
    for (file, bytes) in files() {
        let Ok((kind, importer)) = read(&file, &bytes) else { continue };
        let holds_network = !matches!(
            kind,
            FileKind::ArmParameters | FileKind::FlowLog | FileKind::EffectiveRoutes
        );
        if !holds_network {
            continue;
        }
        count += 1;
        let sides = [("", importer.inventory()), (".before", importer.before())];
        for (side, inventory) in sides.iter().take(1 + usize::from(importer.has_change())) {
            let json = serde_json::to_string_pretty(&inventory.model()).unwrap();
            let path = root().join("models").join(format!("{file}{side}.model"));
            hold(&path, &format!("{json}\n"), &mut wrong);
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?} differ; VNETEM_BLESS=1 writes them");
    assert!(count >= 40);
}

/// Limits of the readers, held by `nesting_without_end_is_refused`,
/// `templates_without_end_are_refused` and `references_without_end_are_given_up`.
const LIMITS: &str = "
## Limits

A file beyond a limit is refused, or its value is unresolved; the answer names the place.

| what | limit |
|---|---|
| nesting of JSON | 512 |
| record of a flow log | 256 MB |
| records inside a record of a flow log | 8 |
| steps to evaluate a template | 2,000,000 |
| values of a template that depend on each other | 64 |
| parentheses in an expression | 100 |
| turns of one copy loop | 2,000 |
| resources of one template | 20,000 |
| templates inside templates | 16 |
| text that a function makes | 1 MB |
| list that a function makes | 100,000 items |
| references between modules of a plan, one after the other | 24 |
| references in a plan | 2,000,000 |
";

#[test]
fn page_says_how_files_are_read() {
    let mut page = String::from(
        "# What the importers read\n\n\
         Made by `VNETEM_BLESS=1 cargo test -p vnetem-azure --test corpus` from the files in\n\
         `crates/azure/tests/corpus`: real ones, and those under `synthetic/`. Each stands alone: no\n\
         other file, no values for parameters.\n\n\
         | file | kind | what was read | unresolved |\n|---|---|---|---|\n",
    );
    for (file, bytes) in files() {
        let (kind, what, unresolved) = match read(&file, &bytes) {
            Err(why) => ("refused", why, 0),
            Ok((FileKind::FlowLog, _)) => {
                let summary = flow_log::read(&bytes[..], |_, _| {}).unwrap();
                let what = format!(
                    "{} records, {} repeated; {} tuples, {} denied",
                    summary.records, summary.repeated, summary.tuples, summary.denied
                );
                (FileKind::FlowLog.name(), what, usize::try_from(summary.wrong).unwrap())
            }
            Ok((FileKind::EffectiveRoutes, importer)) => {
                let (_, routes) = importer.effective_routes().first().unwrap();
                let prefixes: usize = routes.iter().map(|route| route.prefixes.len()).sum();
                let what = format!("{} routes, {prefixes} prefixes", routes.len());
                (FileKind::EffectiveRoutes.name(), what, 0)
            }
            Ok((kind, importer)) => {
                let inventory = importer.inventory();
                (kind.name(), counted(&inventory), inventory.unresolved.len())
            }
        };
        writeln!(page, "| `{file}` | {kind} | {} | {unresolved} |", what.replace('|', "/"))
            .unwrap();
    }
    page.push_str(LIMITS);
    let mut wrong = Vec::new();
    hold(&root().join("../../../docs/importers.md"), &page, &mut wrong);
    assert!(wrong.is_empty(), "{wrong:?} is stale: VNETEM_BLESS=1 cargo test -p vnetem-azure");
}

/// How many of each there are.
fn counted(inventory: &Inventory) -> String {
    let counts = [
        (inventory.vnets.len(), "networks"),
        (inventory.subnets.len(), "subnets"),
        (inventory.subnets.iter().map(|subnet| subnet.endpoints.len()).sum(), "endpoints"),
        (inventory.route_tables.len(), "route tables"),
        (inventory.route_tables.iter().map(|table| table.routes.len()).sum(), "routes"),
        (inventory.security_groups.len(), "security groups"),
        (inventory.nics.len(), "interfaces"),
        (inventory.public_ips.len(), "public addresses"),
        (inventory.public_ip_prefixes.len(), "public ranges"),
        (inventory.nat_gateways.len(), "NAT gateways"),
        (inventory.load_balancers.len(), "load balancers"),
        (inventory.gateways.len(), "gateways"),
        (inventory.firewalls.len(), "firewalls"),
        (inventory.private_endpoints.len(), "private endpoints"),
        (inventory.private_zones.len(), "private zones"),
        (inventory.endpoint_policies.len(), "endpoint policies"),
        (inventory.resources.len(), "resources"),
        (inventory.contradictions.len(), "contradictions"),
        (inventory.ignored.values().sum(), "ignored"),
    ];
    let counts = counts.into_iter().filter(|(count, _)| *count > 0);
    let words: Vec<_> = counts.map(|(count, what)| format!("{count} {what}")).collect();
    if words.is_empty() { "nothing".to_owned() } else { words.join(", ") }
}

/// Of a thousand real templates 60 % load with the defaults of their parameters, and 79 % with
/// symbols for the names that are not given. The corpus has more than its share of hard ones: these
/// are those that do not, each for a value that only a parameters file has.
#[test]
fn templates_load_with_defaults_or_symbols() {
    let (mut all, mut alone, mut open) = (0, 0, Vec::new());
    for (file, bytes) in files() {
        let Ok((FileKind::ArmTemplate, importer)) = read(&file, &bytes) else { continue };
        let inventory = importer.inventory();
        let core = inventory.vnets.len() + inventory.subnets.len() + inventory.nat_gateways.len();
        if core == 0 {
            continue;
        }
        all += 1;
        let ranges = inventory.vnets.iter().all(|vnet| !vnet.ranges.is_empty())
            && inventory.subnets.iter().all(|subnet| !subnet.prefixes.is_empty());
        let lists = ["subnets", "routes", "copy", "serviceEndpoints"];
        let missing = |one: &&Unresolved| {
            lists.iter().any(|list| one.place.path.contains(list))
                && !one.why.starts_with("known only")
        };
        if !ranges || inventory.unresolved.iter().find(missing).is_some() {
            open.push(file);
        } else {
            let named = |one: &&Unresolved| one.place.path.starts_with("parameters.");
            alone += usize::from(inventory.unresolved.iter().find(named).is_none());
        }
    }
    assert_eq!(
        open,
        [
            "arm/avm-subnet.template.json",
            "arm/avm-virtual-network.template.json",
            "arm/bicep-cloud-shell.symbolic.template.json",
            "arm/missionlz-nat-gateway.template.json",
            "arm/netsec-hub-spoke-child.template.json",
            "arm/quickstart-ase-azure-firewall.template.json",
            "arm/quickstart-cloud-shell-subnets.template.json",
            "arm/trap-trailing-comma.template.json",
        ]
    );
    assert_eq!((all, alone), (34, 16));
}

#[test]
fn parameters_files_complete_their_templates() {
    let files = files();
    let mut open = Vec::new();
    for (file, values) in &files {
        let Some(start) = file.strip_suffix(".parameters.json") else { continue };
        let name = format!("{start}.template.json");
        let (_, template) = files.iter().find(|(file, _)| *file == name).unwrap();
        for order in [[(&name, template), (file, values)], [(file, values), (&name, template)]] {
            let mut importer = Importer::new();
            for (file, bytes) in order {
                importer.read(file, bytes).unwrap();
            }
            let inventory = importer.inventory();
            let named = inventory.unresolved.iter().map(|one| one.place.path.as_str());
            open.extend(named.filter(|path| path.starts_with("parameters.")).map(str::to_owned));
            assert!(inventory.subnets.iter().all(|subnet| !subnet.prefixes.is_empty()), "{file}");
        }
    }
    assert_eq!(open, [] as [&str; 0]);
}
