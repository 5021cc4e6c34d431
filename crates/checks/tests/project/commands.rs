//! Pages name commands and files that exist.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use regex::Regex;

use crate::files::{all, root};

/// Commands of cargo itself, and of tools that it runs.
const CARGO: [&str; 12] = [
    "bench", "build", "check", "clippy", "doc", "fmt", "fuzz", "install", "llvm-cov", "miri",
    "run", "test",
];

#[test]
fn commands_of_pages_exist() {
    let command = Regex::new(r"cargo (?:\+nightly )?([a-z][a-z-]*)").unwrap();
    let package = Regex::new(r"-p (vnetem[a-z-]*)").unwrap();
    let target = Regex::new(r"--(example|bench|test) ([a-z_]+)").unwrap();
    let script = Regex::new(r"(?:^|[\s`])(\.ci/[a-z-]+)").unwrap();
    let aliases = std::fs::read_to_string(root().join(".cargo/config.toml")).unwrap();
    let (packages, targets) = (packages(), targets());
    let (mut wrong, mut count) = (Vec::new(), 0);
    for page in all().iter().filter(|file| file.is("md")) {
        for (at, line) in page.text.lines().enumerate() {
            let mut expect = |exists: bool, what: &str| {
                count += 1;
                if !exists {
                    wrong.push(format!("{}:{}: there is no {what}", page.path, at + 1));
                }
            };
            for found in command.captures_iter(line) {
                let alias = format!("\n{} = ", &found[1]);
                expect(CARGO.contains(&&found[1]) || aliases.contains(&alias), &found[0]);
            }
            for found in package.captures_iter(line) {
                expect(packages.contains(&found[1]), &found[1]);
            }
            for found in target.captures_iter(line) {
                let is_here = targets.contains(&(found[1].to_owned(), found[2].to_owned()));
                expect(is_here, &found[0]);
            }
            for found in script.captures_iter(line) {
                expect(root().join(&found[1]).exists(), &found[1]);
            }
        }
    }
    assert!(wrong.is_empty(), "\n{}\n", wrong.join("\n"));
    assert!(count > 50, "pages name only {count} commands");
}

#[test]
fn files_of_the_architecture_exist() {
    let file = Regex::new(r"`([a-z_/*.-]+\.rs|[a-z_/-]+/)`").unwrap();
    let page = std::fs::read_to_string(root().join("ARCHITECTURE.md")).unwrap();
    let crates = root().join("crates");
    let folders = [
        "",
        "vnetem/src",
        "vnetem/src/pipeline",
        "scenario/src",
        "dist/src",
        "nat/src",
        "sim/src",
        "sim/src/world",
        "sim/src/simulation",
    ];
    let (mut wrong, mut count) = (Vec::new(), 0);
    for (at, line) in page.lines().enumerate() {
        for found in file.captures_iter(line) {
            count += 1;
            let name = found[1].trim_end_matches("*.rs");
            if !folders.iter().any(|folder| crates.join(folder).join(name).exists()) {
                wrong.push(format!("ARCHITECTURE.md:{}: there is no {name}", at + 1));
            }
        }
    }
    assert!(wrong.is_empty(), "\n{}\n", wrong.join("\n"));
    assert!(count > 30, "the architecture names only {count} files");
}

/// The names of all packages of the workspace; `all` leaves out this one.
fn packages() -> BTreeSet<String> {
    let name = Regex::new(r#"(?m)^name = "(vnetem[a-z-]*)"$"#).unwrap();
    let manifests = all().into_iter().filter(|file| file.path.ends_with("Cargo.toml"));
    let names = manifests.flat_map(|file| {
        name.captures_iter(&file.text).map(|found| found[1].to_owned()).collect::<Vec<_>>()
    });
    names.chain(["vnetem-checks".to_owned()]).collect()
}

/// The examples, benches and tests of all packages, by the files that hold them.
fn targets() -> BTreeSet<(String, String)> {
    let kinds = [("example", "examples"), ("bench", "benches"), ("test", "tests")];
    let mut found = BTreeSet::new();
    for file in all().iter().filter(|file| file.is("rs")) {
        let path = Path::new(&file.path);
        let name = |path: &Path| path.file_stem().unwrap().to_string_lossy().into_owned();
        let parent = path.parent().map(Path::to_path_buf).unwrap_or_default();
        for (kind, folder) in kinds {
            if parent.ends_with(folder) {
                found.insert((kind.to_owned(), name(path)));
            } else if path.ends_with("main.rs") && above(&parent).ends_with(folder) {
                found.insert((kind.to_owned(), name(&parent)));
            }
        }
    }
    found
}

fn above(path: &Path) -> PathBuf {
    path.parent().map(Path::to_path_buf).unwrap_or_default()
}
