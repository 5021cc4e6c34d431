//! The commands of the guide, run as they are written.

use std::process::Command;

use crate::made::Day;
use crate::run::{Here, errors};

#[test]
fn commands_of_guide_run() {
    let day = Day { vnets: 3, hosts: 2, seconds: 6, segments: 1, payload: 10, files: 2 };
    let here = Here::new(day);
    day.write_logs(&here.path(""), 2);
    let guide = include_str!("../../../../docs/guide/machines.md");
    let block = guide.split("```sh\n").nth(1).and_then(|rest| rest.split("```").next()).unwrap();
    let program = std::path::Path::new(env!("CARGO_BIN_EXE_vnetem-dist"));
    let path = format!("{}:{}", program.parent().unwrap().display(), env!("PATH"));
    let mut lines = 0;
    let block = block.replace("\\\n", "");
    for line in block.lines() {
        let mut shell = Command::new("sh");
        let output = shell.args(["-c", line]).env("PATH", &path).current_dir(here.path(""));
        let output = output.output().unwrap();
        assert!(matches!(output.status.code(), Some(0 | 2)), "{line}: {output:?}");
        assert!(!output.stdout.is_empty() && errors(&output).is_empty(), "{line}: {output:?}");
        lines += 1;
    }
    assert_eq!(lines, 3);
}
