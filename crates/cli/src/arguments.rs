//! The command line.

mod bench;

use std::path::PathBuf;

use clap::error::ErrorKind;
use clap::{Args, CommandFactory, Parser, Subcommand, ValueEnum};
use vnetem::Time;
use vnetem_scenario::parse_duration;

pub(crate) use bench::{Bench, BenchMode, BenchProtocol, BenchWord, Switch};
pub(crate) use vnetem_whatif::files::Switch as EndpointSwitch;

use crate::questions::{NextHop, Replay, ShowModel, Sources, WhatIf};

/// A packet-level data-plane emulator of cloud VNet service endpoints.
///
/// Without a verb it plays the demo scenario: an endpoint is switched on and off under live TCP.
///
/// Exit status: 0 as expected or allowed; 2 a difference, or denied or dropped; 1 an error; 64
/// wrong usage.
#[derive(Debug, Parser)]
#[command(name = "vnetem", version, max_term_width = 100)]
pub(crate) struct Arguments {
    #[command(flatten)]
    pub(crate) common: Common,
    #[command(flatten)]
    pub(crate) capture: CaptureFile,
    #[command(flatten)]
    pub(crate) list: TagList,
    #[command(subcommand)]
    pub(crate) verb: Option<Verb>,
}

impl Arguments {
    /// Hands options that stand before the verb to it, and refuses those that mean nothing to it.
    pub(crate) fn settled(mut self) -> Result<Self, clap::Error> {
        let (pcap, tags) = (self.capture.pcap.take(), self.list.tags.take());
        let refuse = |what: &str| {
            let message = format!("{what}\n");
            Err(Self::command().error(ErrorKind::ArgumentConflict, message))
        };
        match &mut self.verb {
            None => (self.capture.pcap, self.list.tags) = (pcap, tags),
            Some(Verb::Run { capture, list, .. }) => {
                capture.pcap = capture.pcap.take().or(pcap);
                list.tags = list.tags.take().or(tags);
            }
            Some(Verb::Live(Live { capture, list, .. })) => {
                capture.pcap = capture.pcap.take().or(pcap);
                list.tags = list.tags.take().or(tags);
            }
            Some(_) if pcap.is_some() => {
                return refuse("--pcap is for run and live: nothing is sent here");
            }
            Some(
                Verb::Bench(_)
                | Verb::Exec(_)
                | Verb::Ctl(_)
                | Verb::Completions { .. }
                | Verb::Man,
            ) if tags.is_some() => {
                return refuse("--tags is for models: this has none");
            }
            Some(Verb::Tags(Tags { list, .. })) => list.tags = list.tags.take().or(tags),
            Some(verb) => {
                if let Some(sources) = verb.sources() {
                    sources.list.tags = sources.list.tags.take().or(tags);
                }
            }
        }
        Ok(self)
    }
}

impl Verb {
    /// The files of the model that a verb asks.
    fn sources(&mut self) -> Option<&mut Sources> {
        match self {
            Self::Trace(trace) => Some(&mut trace.model.sources),
            Self::Routes(routes) => Some(&mut routes.model.sources),
            Self::WhatIf(question) => Some(&mut question.sources),
            Self::Model(shown) => Some(&mut shown.sources),
            Self::NextHop(asked) => Some(&mut asked.model.sources),
            Self::Replay(replay) => Some(&mut replay.sources),
            Self::Run { .. }
            | Self::Tags(_)
            | Self::Bench(_)
            | Self::Live(_)
            | Self::Exec(_)
            | Self::Ctl(_)
            | Self::Completions { .. }
            | Self::Man => None,
        }
    }
}

/// Options of every verb.
#[derive(Debug, Args)]
pub(crate) struct Common {
    /// Seed of all that is random, instead of the scenario's own
    #[arg(long, global = true, value_name = "N")]
    pub(crate) seed: Option<u64>,
    /// How to answer
    #[arg(short, long, global = true, value_enum, default_value_t, value_name = "FORM")]
    pub(crate) output: Output,
}

/// Where the packets of a run are written, for the verbs that send any.
#[derive(Clone, Debug, Default, Args)]
pub(crate) struct CaptureFile {
    /// Write every packet to this file, as pcapng; live takes - for standard output
    #[arg(long, value_name = "FILE")]
    pub(crate) pcap: Option<PathBuf>,
}

/// Which service tags hold, for the verbs that ask a model.
#[derive(Clone, Debug, Default, Args)]
pub(crate) struct TagList {
    /// A list of service tags (JSON as published) instead of the embedded one
    #[arg(long, value_name = "FILE")]
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
    #[command(
        after_help = "Example:\n  vnetem run story.scn --pcap story.pcapng --html story.html"
    )]
    Run {
        /// The scenario; the demo scenario without one
        file: Option<PathBuf>,
        /// Write the timeline of flows as one HTML page that needs no network
        #[arg(long, value_name = "FILE")]
        html: Option<PathBuf>,
        #[command(flatten)]
        capture: CaptureFile,
        #[command(flatten)]
        list: TagList,
    },
    /// Explain where a packet goes, and why; nothing is sent
    #[command(
        after_help = "Example:\n  vnetem trace -m vnets.json --from vnet1/snet-app tcp 10.0.1.4:50000 20.60.0.4:443 --enable Microsoft.Storage@vnet1/snet-app"
    )]
    Trace(Trace),
    /// List the effective routes of a subnet
    #[command(
        after_help = "Example:\n  az network nic show-effective-route-table -g rg -n nic1 > effective.json\n  vnetem routes -m vnets.json vnet1/snet-app --against effective.json"
    )]
    Routes(Routes),
    /// List service tags, or the prefixes of a service in a region
    #[command(after_help = "Example:\n  vnetem tags Microsoft.Storage westeurope")]
    Tags(Tags),
    /// Measure the data plane: packets a second, new flows, toggles, expiry
    #[command(after_help = "Example:\n  vnetem bench forward toggle --flows 1k,1M --duration 3s")]
    Bench(Bench),
    /// Bring a network up for real programs, and keep it up (Linux)
    Live(Live),
    /// Run a command in a host of a network that is up
    Exec(Exec),
    /// Edit a network that is up, or ask it; "help" lists what there is
    Ctl(Ctl),
    /// Say what a change does to your traffic: who is refused, what is cut, what to do first
    #[command(
        after_help = "Example:\n  terraform show -json tfplan > plan.json\n  vnetem what-if --plan plan.json --flows PT1H.json\nWithout arguments it plays a plan and a flow log that it brings along."
    )]
    WhatIf(Box<WhatIf>),
    /// Show what was understood of your files, and what was not
    #[command(
        after_help = "Example:\n  az network vnet list > vnets.json\n  vnetem model -m vnets.json"
    )]
    Model(ShowModel),
    /// Say where packets of a subnet to an address go, in one line
    #[command(after_help = "Example:\n  vnetem next-hop -m vnets.json vnet1/snet-app 20.60.0.4")]
    NextHop(NextHop),
    /// Send a capture through the model, with a change under way
    #[command(
        after_help = "Example:\n  vnetem replay -m vnets.json in.pcap -w out.pcapng --enable Microsoft.Storage@vnet1/snet-app --at 2.5s"
    )]
    Replay(Box<Replay>),
    /// Print the completions of a shell
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
    /// Print the manual page
    Man,
}

/// Each host of the scenario is a network namespace. Without root it needs user namespaces; --check
/// says whether they are allowed.
#[derive(Debug, Args)]
pub(crate) struct Live {
    /// The scenario; the demo scenario without one
    pub(crate) file: Option<PathBuf>,
    /// Under which name exec and ctl find it
    #[arg(long, value_name = "NAME", default_value = "live", value_parser = cloud_name)]
    pub(crate) name: String,
    /// A host in which COMMAND runs; its end ends the network
    #[arg(long = "in", value_name = "HOST", requires = "command")]
    pub(crate) inside: Option<String>,
    /// What runs there
    #[arg(last = true, value_name = "COMMAND", requires = "inside")]
    pub(crate) command: Vec<std::ffi::OsString>,
    /// Show an endpoint switched on under real programs, in a few seconds
    #[arg(long, conflicts_with = "file")]
    pub(crate) demo: bool,
    /// Say what this machine allows, and what to do where it does not
    #[arg(long)]
    pub(crate) check: bool,
    /// Carry each segment alone, as a wire does
    #[arg(long)]
    pub(crate) no_offload: bool,
    /// Answer nothing for addresses of the internet where nobody is
    #[arg(long)]
    pub(crate) silent: bool,
    /// Put a TUN device of this network namespace at an edge, such as net-a/app=tun0
    #[arg(long, value_name = "PLACE=TUN", value_parser = attachment)]
    pub(crate) attach: Vec<(String, String)>,
    /// Go down when standard input ends
    #[arg(long)]
    pub(crate) until_stdin_ends: bool,
    #[command(flatten)]
    pub(crate) capture: CaptureFile,
    #[command(flatten)]
    pub(crate) list: TagList,
}

#[derive(Debug, Args)]
pub(crate) struct Exec {
    /// Which network, by the name of `vnetem live --name`
    #[arg(long, value_name = "NAME", env = "VNETEM_NAME", default_value = "live")]
    pub(crate) name: String,
    /// The command sees the user who runs it, not root
    #[arg(long)]
    pub(crate) as_me: bool,
    /// The host
    pub(crate) host: String,
    /// What runs there
    #[arg(last = true, required = true, value_name = "COMMAND")]
    pub(crate) command: Vec<std::ffi::OsString>,
}

#[derive(Debug, Args)]
pub(crate) struct Ctl {
    /// Which network, by the name of `vnetem live --name`
    #[arg(long, value_name = "NAME", env = "VNETEM_NAME", default_value = "live")]
    pub(crate) name: String,
    /// An edit as scenarios write it, or a question; "help" lists them
    #[arg(required = true, trailing_var_arg = true)]
    pub(crate) words: Vec<String>,
}

/// Which model, and when.
#[derive(Debug, Args)]
pub(crate) struct Model {
    #[command(flatten)]
    pub(crate) sources: Sources,
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
    /// Enable an endpoint first, such as Microsoft.Storage@vnet1/snet-app
    #[arg(long, value_name = "SERVICE@SUBNET")]
    pub(crate) enable: Vec<EndpointSwitch>,
    /// Disable an endpoint first
    #[arg(long, value_name = "SERVICE@SUBNET")]
    pub(crate) disable: Vec<EndpointSwitch>,
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
    /// Compare with what Azure says: the answer of `az network nic show-effective-route-table`
    #[arg(long, value_name = "FILE")]
    pub(crate) against: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct Tags {
    /// A service with endpoints (Microsoft.Storage) or a service tag (AzureCloud); all tags without
    /// one
    pub(crate) name: Option<String>,
    /// A region, such as westeurope; the whole service without one
    pub(crate) region: Option<String>,
    #[command(flatten)]
    pub(crate) list: TagList,
}

/// A name that stands in an address, and in a command without quotes.
fn cloud_name(text: &str) -> Result<String, String> {
    let fits = |letter: char| letter.is_ascii_alphanumeric() || "-_.".contains(letter);
    if (1..=64).contains(&text.len()) && text.chars().all(fits) {
        return Ok(text.to_owned());
    }
    Err("expected up to 64 letters, digits, dots, dashes and underscores".to_owned())
}

/// A place and an interface.
fn attachment(text: &str) -> Result<(String, String), String> {
    let parts = text.split_once('=').filter(|(place, name)| !place.is_empty() && !name.is_empty());
    let (place, name) = parts.ok_or("expected PLACE=TUN, such as net-a/app=tun0")?;
    Ok((place.to_owned(), name.to_owned()))
}

pub(crate) fn time(text: &str) -> Result<Time, String> {
    let duration = parse_duration(text).ok_or("expected a time such as 10ms, 5s or 4min")?;
    Ok(Time(0) + duration)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn command_line_is_well_formed() {
        Arguments::command().debug_assert();
    }
}
