//! A live network for tests in Rust: starts the `vnetem` command and speaks to it.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use serde_json::Value;

use super::client::ask;
use crate::{Answer, LiveError};

/// A network that is up until this is dropped, or its process ends in whatever way.
#[derive(Debug)]
pub struct Cloud {
    name: String,
    program: PathBuf,
    router: Child,
    /// The router goes down when this closes.
    life: Option<ChildStdin>,
    /// What the router and the servers have written as errors.
    said: Mutex<(Receiver<String>, Vec<String>)>,
}

/// Names the `vnetem` command, if it is not in the path.
pub(super) const PROGRAM: &str = "VNETEM";

/// How long a network may take to come up.
const PATIENCE: Duration = Duration::from_secs(30);

impl Cloud {
    /// Brings up the network of a scenario file.
    ///
    /// # Errors
    ///
    /// There is no `vnetem` command, or it cannot bring the network up; with what it said.
    pub fn up(scenario: impl AsRef<Path>) -> Result<Self, LiveError> {
        Self::with(scenario.as_ref(), &[])
    }

    /// Brings up the network of a scenario, given as its text.
    ///
    /// # Errors
    ///
    /// As [`Cloud::up`].
    pub fn of(scenario: &str) -> Result<Self, LiveError> {
        Self::of_with(scenario, &[])
    }

    /// Starts the same with further options of `vnetem live`.
    ///
    /// # Errors
    ///
    /// As [`Cloud::up`].
    pub fn of_with(scenario: &str, options: &[&str]) -> Result<Self, LiveError> {
        let failed = LiveError::system("a file for the scenario");
        let file = (|| {
            let mut file = tempfile::NamedTempFile::new()?;
            file.write_all(scenario.as_bytes())?;
            Ok(file)
        })();
        let file = file.map_err(failed)?;
        // The router has read it when it is up.
        Self::with(file.path(), options)
    }

    fn with(scenario: &Path, options: &[&str]) -> Result<Self, LiveError> {
        let program = program()?;
        let name = random_name()?;
        let mut command = Command::new(&program);
        command.arg("live").arg(scenario).args(["--name", &name, "--until-stdin-ends"]);
        command.args(["-o", "json"]).args(options);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let failed = || LiveError::system(program.display().to_string());
        let mut router = command.spawn().map_err(failed())?;
        let life = router.stdin.take();
        let errors = lines(router.stderr.take());
        let output = lines(router.stdout.take());
        if output.recv_timeout(PATIENCE).is_err() {
            let _ = router.kill();
            let _ = router.wait();
            let said: Vec<String> = errors.try_iter().collect();
            return Err(LiveError::Refused(said.join("\n")));
        }
        let said = Mutex::new((errors, Vec::new()));
        Ok(Self { name, program, router, life, said })
    }

    /// Returns the name under which `vnetem exec` and `vnetem ctl` find it.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns a command that runs in a host: a `vnetem exec`. Arguments, variables and streams are
    /// added as to any other.
    #[must_use]
    pub fn command(&self, host: &str, program: &str) -> Command {
        let mut command = Command::new(&self.program);
        command.args(["exec", "--name", &self.name, host, "--", program]);
        command
    }

    /// Makes an edit as scenarios write it, or asks a question; `help` lists them.
    ///
    /// # Errors
    ///
    /// The network refuses it, or is down.
    pub fn ctl(&self, words: &str) -> Result<Answer, LiveError> {
        let answer = ask(&self.name, words)?;
        if answer.good { Ok(answer) } else { Err(LiveError::Refused(answer.lines.join("\n"))) }
    }

    /// Returns the calls of or to a host or resource so far, oldest first; the fields are those of
    /// `vnetem ctl -o json seen`.
    ///
    /// # Errors
    ///
    /// The network is down.
    pub fn seen(&self, name: &str) -> Result<Vec<Value>, LiveError> {
        let answer = self.ctl(&format!("seen {name}"))?;
        Ok(answer.value.as_array().cloned().unwrap_or_default())
    }

    /// Returns the lines that servers of the scenario have written so far, to both their outputs.
    #[must_use]
    pub fn said(&self) -> Vec<String> {
        let mut said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        let (lines, all) = &mut *said;
        all.extend(lines.try_iter());
        all.clone()
    }

    /// Returns the process of the router.
    #[must_use]
    pub fn router(&self) -> u32 {
        self.router.id()
    }
}

impl Drop for Cloud {
    fn drop(&mut self) {
        self.life.take();
        let _ = self.router.wait();
    }
}

/// The `vnetem` command: what `VNETEM` names, this program or the one beside it, else that in the
/// path. Tests are one folder below what cargo builds.
pub(super) fn program() -> Result<PathBuf, LiveError> {
    if let Some(named) = std::env::var_os(PROGRAM).filter(|named| !named.is_empty()) {
        return Ok(named.into());
    }
    let own = std::env::current_exe().unwrap_or_default();
    let beside = own.ancestors().skip(1).take(2).map(Path::to_owned);
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = beside.chain(std::env::split_paths(&path));
    let mut found = folders.map(|folder| folder.join("vnetem"));
    found.find(|file| fs::metadata(file).is_ok_and(|it| it.is_file())).ok_or_else(|| {
        LiveError::Refused(format!(
            "there is no vnetem command in the path, and {PROGRAM} does not name one; \
             `cargo install --path crates/cli` in the project installs it"
        ))
    })
}

fn random_name() -> Result<String, LiveError> {
    let mut bytes = [0; 8];
    getrandom::fill(&mut bytes)
        .map_err(|error| LiveError::Refused(format!("no entropy for a name: {error}")))?;
    Ok(format!("cloud-{:016x}", u64::from_ne_bytes(bytes)))
}

/// The lines of a stream, read by a thread so that its writer never waits.
fn lines(stream: Option<impl std::io::Read + Send + 'static>) -> Receiver<String> {
    let (sender, receiver) = channel();
    std::thread::spawn(move || {
        let lines = stream.into_iter().flat_map(|stream| BufReader::new(stream).lines());
        for line in lines.map_while(Result::ok) {
            // Nobody may want it any more, and the writer is not to notice.
            let _ = sender.send(line);
        }
    });
    receiver
}
