//! The test suite in Python that `docs/guide/live.md` shows.

use std::path::Path;
use std::process::Command;

use vnetem_checks::skip;

use crate::rig::{VNETEM, is_possible};

#[test]
fn python_suite_of_the_guide_passes() {
    let test = "python_suite_of_the_guide_passes";
    if !is_possible(test) {
        return;
    }
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/live");
    let mut suite = Command::new("python3");
    suite.args(["-m", "unittest", "-v"]).current_dir(folder);
    suite.env("VNETEM", VNETEM).env("PYTHONDONTWRITEBYTECODE", "1");
    match suite.output() {
        Err(error) => skip(test, format!("python3: {error}")),
        Ok(done) => {
            let text = String::from_utf8_lossy(&done.stderr);
            assert!(done.status.success() && text.contains("Ran 2 tests"), "{text}");
            assert!(!text.contains("skipped"), "{text}");
        }
    }
}
