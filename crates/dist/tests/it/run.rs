//! The command, run by workers and processes.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use serde_json::Value;

use crate::made::Day;

/// A folder with a network and captures.
pub(crate) struct Here {
    folder: tempfile::TempDir,
}

impl Here {
    pub(crate) fn new(day: Day) -> Self {
        let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        day.write(folder.path());
        Self { folder }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The command with words, in this folder.
    pub(crate) fn command(&self, words: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_vnetem-dist"));
        command.args(words.split_whitespace()).current_dir(self.folder.path());
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    pub(crate) fn run(&self, words: &str) -> Output {
        self.command(words).output().unwrap()
    }

    /// The answer of a replay that gets to its end.
    pub(crate) fn answer(&self, words: &str) -> Value {
        answer(&self.run(words))
    }

    /// Two processes that find each other on loopback.
    pub(crate) fn pair(&self, words: &str) -> [Child; 2] {
        let hosts = self.path("hosts");
        std::fs::write(&hosts, free_ports()).unwrap();
        [0, 1].map(|process| {
            let timely = format!("{words} -- -n 2 -p {process} -h hosts");
            self.command(&timely).spawn().unwrap()
        })
    }
}

pub(crate) fn answer(output: &Output) -> Value {
    assert!(matches!(output.status.code(), Some(0 | 2)), "{output:?}");
    serde_json::from_slice(&output.stdout).unwrap_or_else(|why| panic!("{why}: {output:?}"))
}

pub(crate) fn errors(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Two addresses that nobody listens at. They are below the ports that outgoing connections take,
/// and no two tests get the same.
fn free_ports() -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let start = std::process::id().wrapping_mul(37);
    let port = |_| loop {
        let number = start.wrapping_add(NEXT.fetch_add(1, Ordering::Relaxed)) % 20_000;
        let address = format!("127.0.0.1:{}", 10_000 + number);
        if TcpListener::bind(&address).is_ok() {
            return address + "\n";
        }
    };
    [0, 1].map(port).concat()
}

/// What a folder of results has, by name.
pub(crate) fn results(folder: &Path) -> Vec<(String, Vec<u8>)> {
    let mut files: Vec<_> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some())
        .map(|path| {
            (
                path.file_name().unwrap().to_string_lossy().into_owned(),
                std::fs::read(&path).unwrap(),
            )
        })
        .collect();
    files.sort();
    assert!(!files.is_empty());
    files
}
