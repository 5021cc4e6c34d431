//! The `vnetem` command: plays scenarios, explains packets, lists effective routes and service
//! tags, measures.

#![forbid(unsafe_code)]

mod arguments;
mod bench;
mod capture;
mod demo;
mod json;
mod live;
mod load;
mod programs;
mod run;
mod tags;
mod text;
mod verbs;

use std::io::{self, Write};
use std::process::ExitCode;

use clap::Parser;

use arguments::{Arguments, Verb};

/// What a verb has to say, and whether that is what one hopes for.
struct Answer {
    /// For standard output.
    text: String,
    /// For standard error, line by line.
    notes: Vec<String>,
    /// Nothing differs, nothing is denied or dropped.
    good: bool,
}

/// Why a verb cannot answer, in words for a person.
type Failure = Box<dyn core::error::Error>;

/// A difference, or a packet that is denied or dropped.
const DIFFERENT: u8 = 2;
/// Something could not be read, written or understood.
const FAILED: u8 = 1;
/// The command line itself is wrong (EX_USAGE of BSD's sysexits).
const USAGE: u8 = 64;

fn main() -> ExitCode {
    if let Some(status) = live::keep().or_else(programs::run) {
        return status.into();
    }
    let arguments = match Arguments::try_parse().and_then(Arguments::settled) {
        Ok(arguments) => arguments,
        Err(error) => return refuse(&error),
    };
    let Arguments { common, capture, list, verb } = &arguments;
    let answer = match verb {
        None => run::run(common, None, capture, list),
        Some(Verb::Run { file, capture, list }) => run::run(common, file.as_deref(), capture, list),
        Some(Verb::Trace(trace)) => verbs::trace(common, trace),
        Some(Verb::Routes(routes)) => verbs::routes(common, routes),
        Some(Verb::Tags(tags)) => tags::tags(common, tags),
        Some(Verb::Bench(bench)) => bench::bench(common, bench),
        // These print as they go, and have the exit status of what they run.
        Some(Verb::Live(live)) => return live::exit(live::live(common, live)),
        Some(Verb::Exec(exec)) => return live::exit(live::exec(exec)),
        Some(Verb::Ctl(ctl)) => live::ctl(common, ctl),
    };
    match answer {
        Ok(answer) => {
            answer.notes.iter().for_each(|note| complain(note));
            match write_out(&answer.text) {
                Ok(()) if answer.good => ExitCode::SUCCESS,
                Ok(()) => DIFFERENT.into(),
                Err(error) => unwritten(&error),
            }
        }
        Err(failure) => {
            complain(&format!("vnetem: {failure}"));
            FAILED.into()
        }
    }
}

/// Prints help and version, which are answers, or says what is wrong with the command line.
fn refuse(error: &clap::Error) -> ExitCode {
    if error.use_stderr() {
        // Nobody can be told that nobody can be told.
        let _ = error.print();
        return USAGE.into();
    }
    match error.print().or_else(unless_closed) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => unwritten(&error),
    }
}

/// Writes an answer to standard output.
fn write_out(text: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes()).and_then(|()| out.flush()).or_else(unless_closed)
}

/// Lets a reader that has seen enough close the pipe. Every other failure is one.
fn unless_closed(error: io::Error) -> io::Result<()> {
    if error.kind() == io::ErrorKind::BrokenPipe { Ok(()) } else { Err(error) }
}

fn unwritten(error: &io::Error) -> ExitCode {
    complain(&format!("vnetem: standard output: {error}"));
    FAILED.into()
}

/// Writes a line to standard error. `eprintln!` would panic where that cannot be written.
fn complain(line: &str) {
    let _ = writeln!(io::stderr(), "{line}");
}
