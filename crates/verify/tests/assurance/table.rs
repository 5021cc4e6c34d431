//! The table of faults in `docs/assurance.md` names every fault and the test that shows it.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

const TESTS: [&str; 5] = [
    include_str!("input.rs"),
    include_str!("floods.rs"),
    include_str!("limits.rs"),
    include_str!("time.rs"),
    include_str!("control.rs"),
];

#[test]
fn all_32_faults_have_a_test_and_a_line() {
    let names: BTreeMap<u32, &str> = TESTS
        .iter()
        .flat_map(|file| file.split("#[test]\nfn ").skip(1))
        .filter_map(|rest| rest.split_once('(').map(|(name, _)| name))
        .filter_map(|name| Some((name.strip_prefix("fault_")?.get(..2)?.parse().ok()?, name)))
        .collect();
    assert!(names.keys().copied().eq(1..=32), "{names:?}");
    let page = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../docs/assurance.md");
    // A package without its repository has no page.
    let page = match fs::read_to_string(&page) {
        Ok(text) => text,
        Err(error) => {
            return vnetem_checks::skip(
                "a line for each fault",
                format!("{}: {error}", page.display()),
            );
        }
    };
    for (number, name) in names {
        let line = page.lines().find(|line| line.starts_with(&format!("| {number} |")));
        assert!(line.is_some_and(|line| line.contains(&format!("`{name}`"))), "{number}: {name}");
    }
}
