//! The `vnetem` command: plays scenarios, explains packets, lists effective routes, measures.

#![forbid(unsafe_code)]

mod arguments;
mod bench;
mod capture;
mod json;
mod load;
mod run;
mod text;
mod verbs;

use std::io::Write;
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
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => {
            // Help and version are answers, everything else is wrong usage. If even that cannot be written nobody reads it.
            let _ = error.print();
            return if error.use_stderr() { USAGE.into() } else { ExitCode::SUCCESS };
        }
    };
    let answer = match &arguments.verb {
        None => run::run(&arguments.common, None),
        Some(Verb::Run { file }) => run::run(&arguments.common, file.as_deref()),
        Some(Verb::Trace(trace)) => verbs::trace(&arguments.common, trace),
        Some(Verb::Routes(routes)) => verbs::routes(&arguments.common, routes),
        Some(Verb::Bench(bench)) => bench::bench(&arguments.common, bench),
    };
    match answer {
        Ok(answer) => {
            answer.notes.iter().for_each(|note| eprintln!("{note}"));
            // A reader that has seen enough closes the pipe; that is no error.
            let _ = std::io::stdout().write_all(answer.text.as_bytes());
            if answer.good { ExitCode::SUCCESS } else { DIFFERENT.into() }
        }
        Err(failure) => {
            eprintln!("vnetem: {failure}");
            FAILED.into()
        }
    }
}
