//! The command line.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use vnetem::Time;
use vnetem_lab::scenario::parse_duration;

/// A packet-level data-plane emulator of cloud VNet service endpoints.
///
/// Without a verb it plays the founding story: an endpoint is switched on and off under live TCP.
///
/// Exit status: 0 as expected or allowed; 2 a difference, or denied or dropped; 1 an error; 64 wrong usage.
#[derive(Debug, Parser)]
#[command(name = "vnetem", version, max_term_width = 100)]
pub(crate) struct Arguments {
    #[command(flatten)]
    pub(crate) common: Common,
    #[command(subcommand)]
    pub(crate) verb: Option<Verb>,
}

/// Options of every verb.
#[derive(Debug, Args)]
pub(crate) struct Common {
    /// Seed of all that is random, instead of the scenario's own
    #[arg(long, global = true, value_name = "N")]
    pub(crate) seed: Option<u64>,
    /// Write every packet of a run to this file, as pcapng
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) pcap: Option<PathBuf>,
    /// How to answer
    #[arg(short, long, global = true, value_enum, default_value_t, value_name = "FORM")]
    pub(crate) output: Output,
    /// A list of service tags (JSON as published) instead of the embedded one
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) tags: Option<PathBuf>,
}

/// How to answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Output {
    /// For people.
    #[default]
    Text,
    /// For programs; "schema" is "vnetem/1".
    Json,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    /// Play a scenario and compare what comes out with what it says
    Run {
        /// The scenario; the founding story without one
        file: Option<PathBuf>,
    },
    /// Explain where a packet goes, and why; nothing is sent
    Trace(Trace),
    /// List the effective routes of a subnet
    Routes(Routes),
}

/// Which model, and when.
#[derive(Debug, Args)]
pub(crate) struct Model {
    /// The scenario whose model is asked; the founding story without one
    #[arg(short, long, value_name = "FILE.scn")]
    pub(crate) model: Option<PathBuf>,
    /// Play the scenario up to this time first, such as 5s; without it only what is declared stands
    #[arg(long, value_name = "TIME", value_parser = time)]
    pub(crate) at: Option<Time>,
}

#[derive(Debug, Args)]
pub(crate) struct Trace {
    #[command(flatten)]
    pub(crate) model: Model,
    /// Where the packet enters: a subnet (net-a/app), "internet", "nic NAME", a site or a service
    #[arg(long, value_name = "PLACE")]
    pub(crate) from: String,
    /// What the packet is
    #[arg(value_enum)]
    pub(crate) protocol: Protocol,
    /// Its source, such as 10.0.0.4:50000
    pub(crate) source: String,
    /// Its destination, such as 20.60.0.4:443
    pub(crate) destination: String,
    /// More of it, as scenarios write it, such as "SA seq 1 ttl 9"; a TCP segment is a SYN without
    pub(crate) rest: Vec<String>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum Protocol {
    Tcp,
    Udp,
    Icmp,
}

#[derive(Debug, Args)]
pub(crate) struct Routes {
    #[command(flatten)]
    pub(crate) model: Model,
    /// The subnet, such as net-a/app
    pub(crate) subnet: String,
    /// List every prefix of an endpoint instead of counting them
    #[arg(long)]
    pub(crate) all: bool,
}

fn time(text: &str) -> Result<Time, String> {
    let duration = parse_duration(text).ok_or("expected a time such as 10ms, 5s or 4min")?;
    Ok(Time(0) + duration)
}
