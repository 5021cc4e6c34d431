//! The examples say what they said when they were written. `VNETEM_BLESS=1` accepts what they say
//! now.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on has failed")]

use std::path::{Path, PathBuf};
use std::process::Command;

/// An example that cargo has built beside this test.
fn built(name: &str) -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let profile = test.parent().and_then(Path::parent).unwrap();
    profile.join("examples").join(format!("{name}{}", std::env::consts::EXE_SUFFIX))
}

fn says_what_it_said(name: &str) {
    let program = built(name);
    assert!(
        program.exists(),
        "{} is missing: cargo test builds it, unless --test is given",
        program.display()
    );
    let output = Command::new(program).output().unwrap();
    let found = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{found}{}", String::from_utf8_lossy(&output.stderr));
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/expected");
    let file = file.join(format!("{name}.txt"));
    if std::env::var_os("VNETEM_BLESS").is_some() {
        std::fs::write(&file, &found).unwrap();
    }
    let expected = std::fs::read_to_string(&file).unwrap_or_default();
    assert_eq!(found, expected, "see {}", file.display());
}

#[test]
fn hyper_through_a_toggle() {
    says_what_it_said("hyper_through_a_toggle");
}

#[test]
fn grpc_retries() {
    says_what_it_said("grpc_retries");
}

#[test]
fn snat_exhaustion() {
    says_what_it_said("snat_exhaustion");
}

#[test]
fn idle_timeout() {
    says_what_it_said("idle_timeout");
}

#[test]
fn blue_green_cutover() {
    says_what_it_said("blue_green_cutover");
}
