//! Skips are seen, or fail: in processes of their own, since the variables are the process's.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::path::Path;
use std::process::{Command, Output};

use vnetem_checks::{NO_SKIPS, SKIPS};

fn run(variables: &[(&str, &str)]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_skip"));
    for name in [NO_SKIPS, SKIPS, "VNETEM_SEQUENCES", "VNETEM_BLESS"] {
        command.env_remove(name);
    }
    command.envs(variables.iter().copied()).output().unwrap()
}

#[test]
fn skips_are_written_where_seen() {
    let file = Path::new(env!("CARGO_TARGET_TMPDIR")).join("skips.txt");
    let _ = std::fs::remove_file(&file);
    let ran = run(&[(SKIPS, file.to_str().unwrap())]);
    assert!(ran.status.success(), "{ran:?}");
    let said = String::from_utf8(ran.stderr).unwrap();
    assert!(said.contains("skipped the inner test: it was asked to\n"), "{said}");
    assert!(run(&[(SKIPS, file.to_str().unwrap())]).status.success());
    let line = "the inner test: it was asked to\n";
    assert_eq!(std::fs::read_to_string(&file).unwrap(), line.repeat(2));
    assert!(run(&[]).status.success(), "without the file a skip is still said");
}

#[test]
fn skips_fail_when_told_so() {
    for (variables, said) in [
        ([(NO_SKIPS, "1"), (SKIPS, "")], "skipped, but VNETEM_NO_SKIPS is 1: the inner test"),
        ([(NO_SKIPS, "yes"), (SKIPS, "")], "VNETEM_NO_SKIPS is \"yes\", expected 1 or 0"),
        ([(NO_SKIPS, "0"), (SKIPS, "no/such/folder/skips")], "no/such/folder/skips: "),
        ([("VNETEM_SEQUENCES", "many"), (SKIPS, "")], "VNETEM_SEQUENCES is \"many\", expected"),
        ([("VNETEM_BLESS", "true"), (SKIPS, "")], "VNETEM_BLESS is \"true\", expected 1 or 0"),
    ] {
        let ran = run(&variables);
        assert!(!ran.status.success(), "{variables:?}");
        let text = String::from_utf8(ran.stderr).unwrap();
        assert!(text.contains(said), "{variables:?}: {text}");
    }
}
