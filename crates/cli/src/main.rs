//! The `vnetem` command: plays scenarios, explains packets, lists effective routes and service
//! tags, measures.

#![forbid(unsafe_code)]

mod against;
mod arguments;
mod bench;
mod capture;
mod demo;
mod estate_verbs;
mod json;
mod live;
mod load;
mod model;
mod programs;
mod progress;
mod questions;
mod replay;
mod run;
mod sources;
mod tags;
mod text;
mod timeline;
mod verbs;
mod what_if;

use std::io::{self, Write};
use std::process::ExitCode;

use clap::{CommandFactory, Parser};

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
        None => run::run(common, None, capture, None, list),
        Some(Verb::Run { file, html, capture, list }) => {
            run::run(common, file.as_deref(), capture, html.as_deref(), list)
        }
        Some(Verb::Trace(trace)) => verbs::trace(common, trace),
        Some(Verb::Routes(routes)) => verbs::routes(common, routes),
        Some(Verb::Tags(tags)) => tags::tags(common, tags),
        Some(Verb::Bench(bench)) => bench::bench(common, bench),
        // These print as they go, and have the exit status of what they run.
        Some(Verb::Live(live)) => return live::exit(live::live(common, live)),
        Some(Verb::Exec(exec)) => return live::exit(live::exec(exec)),
        Some(Verb::Ctl(ctl)) => live::ctl(common, ctl),
        Some(Verb::WhatIf(question)) => what_if::what_if(common, question),
        Some(Verb::Model(shown)) => model::model(common, shown),
        Some(Verb::NextHop(asked)) => estate_verbs::next_hop(common, asked),
        Some(Verb::Replay(replay)) => replay::replay(common, replay),
        Some(Verb::Completions { shell }) => Ok(completions(*shell)),
        Some(Verb::Man) => man(),
    };
    match answer {
        Ok(answer) => {
            answer.notes.iter().for_each(|note| print_error(note));
            match write_out(&answer.text) {
                Ok(()) if answer.good => ExitCode::SUCCESS,
                Ok(()) => DIFFERENT.into(),
                Err(error) => unwritten(&error),
            }
        }
        Err(failure) => {
            print_error(&format!("vnetem: {failure}"));
            FAILED.into()
        }
    }
}

/// The completions of a shell, to be put where it looks for them.
fn completions(shell: clap_complete::Shell) -> Answer {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Arguments::command(), "vnetem", &mut script);
    let text = String::from_utf8_lossy(&script).into_owned();
    Answer { text, notes: Vec::new(), good: true }
}

/// The manual page with a section for each verb.
fn man() -> Result<Answer, Failure> {
    let mut page = Vec::new();
    let mut command = Arguments::command();
    command.build();
    clap_mangen::Man::new(command.clone()).render(&mut page)?;
    for verb in command.get_subcommands().filter(|verb| verb.get_name() != "help") {
        clap_mangen::Man::new(verb.clone()).render(&mut page)?;
    }
    let text = String::from_utf8_lossy(&page).into_owned();
    Ok(Answer { text, notes: Vec::new(), good: true })
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
    print_error(&format!("vnetem: standard output: {error}"));
    FAILED.into()
}

/// Writes a line to standard error. `eprintln!` would panic where that cannot be written.
fn print_error(line: &str) {
    let _ = writeln!(io::stderr(), "{line}");
}
