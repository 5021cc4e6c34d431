//! The `vnetem-dist` command.

use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand, ValueEnum};
use vnetem::Time;
use vnetem_dist::{Cluster, DistError, Replay, Shard, WhatIf};
use vnetem_whatif::files::{ChangeFiles, ModelFiles, Switch, resource_address};
use vnetem_whatif::replay::SPLIT_ABOVE;

/// A difference, or a packet that is denied or dropped.
const DIFFERENT: u8 = 2;
/// Something could not be read, written or understood.
const FAILED: u8 = 1;

/// Replays captures and tries changes over several workers, processes and machines.
///
/// What stands after "--" is timely's: "-w 2" for two workers; "-n 2 -p 0 -h hosts" for the first
/// of two processes, whose addresses are lines of the file "hosts".
///
/// Exit status: 0 as before the change, 2 a difference, 1 an error, 3 a worker or another process
/// failed.
#[derive(Debug, Parser)]
#[command(name = "vnetem-dist", version, max_term_width = 100)]
struct Arguments {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Play captures through a network, with a change under way
    Replay(ReplayArguments),
    /// Say what a change does to the traffic of flow logs
    WhatIf(WhatIfArguments),
    /// Cut captures by unit, so that each worker reads only what it plays
    Shard(ShardArguments),
}

#[derive(Debug, Args)]
struct Model {
    /// A file of the network, or a folder of them, of any recognised kind: ARM, az, Terraform. May
    /// be given several times
    #[arg(short, long, value_name = "FILE")]
    model: Vec<PathBuf>,
    /// Values for the parameters of ARM templates
    #[arg(long, value_name = "FILE")]
    parameters: Vec<PathBuf>,
    /// Where a resource answers, such as stlogs=20.60.0.4
    #[arg(long, value_name = "NAME=IP", value_parser = resource_address)]
    address: Vec<(String, core::net::Ipv4Addr)>,
    /// Where resources answer, in the form of a hosts file
    #[arg(long, value_name = "FILE")]
    hosts: Vec<PathBuf>,
    /// A list of service tags (JSON as published) instead of the embedded one
    #[arg(long, value_name = "FILE")]
    tags: Option<PathBuf>,
}

#[derive(Debug, Args)]
struct Split {
    /// Addresses above which a translation domain is split into 64 shards
    #[arg(long, value_name = "NUMBER", default_value_t = SPLIT_ABOVE)]
    split_above: u64,
}

#[derive(Debug, Args)]
struct ReplayArguments {
    #[command(flatten)]
    model: Model,
    #[command(flatten)]
    split: Split,
    /// Captures, or a pattern of them such as 'day/*.pcapng'. May be given several times
    #[arg(long, value_name = "PATTERN", num_args = 1..)]
    captures: Vec<String>,
    /// A folder of "vnetem-dist shard", in place of captures
    #[arg(long, value_name = "FOLDER", conflicts_with = "captures")]
    cut: Option<PathBuf>,
    /// Enable an endpoint while the captures play, such as Microsoft.Storage@vnet1/snet-app
    #[arg(long, value_name = "SERVICE@SUBNET")]
    enable: Vec<Switch>,
    /// Disable an endpoint while the captures play
    #[arg(long, value_name = "SERVICE@SUBNET")]
    disable: Vec<Switch>,
    /// When, counted from the first packet, such as 90s
    #[arg(long, value_name = "TIME", value_parser = time)]
    at: Option<Time>,
    /// The folder for every packet as it comes out: a pcapng file for each unit
    #[arg(short, long, value_name = "FOLDER")]
    write: Option<PathBuf>,
    /// Go on where a run ended that did not get to its end
    #[arg(long, requires = "write")]
    resume: bool,
    /// Flows that are live at once at most
    #[arg(long, value_name = "NUMBER", default_value_t = 1 << 20)]
    flows: u32,
    /// How to answer
    #[arg(short, long, value_enum, default_value_t = Output::Text)]
    output: Output,
    /// What timely takes: -w WORKERS, -n PROCESSES, -p PROCESS, -h HOSTS
    #[arg(last = true, value_name = "TIMELY")]
    timely: Vec<String>,
}

#[derive(Debug, Args)]
struct WhatIfArguments {
    #[command(flatten)]
    model: Model,
    #[command(flatten)]
    split: Split,
    /// A Terraform plan as JSON: `terraform show -json tfplan`
    #[arg(long, value_name = "FILE")]
    plan: Vec<PathBuf>,
    /// A deployment what-if as JSON: `az deployment group what-if --no-pretty-print`
    #[arg(long, value_name = "FILE")]
    arm_what_if: Vec<PathBuf>,
    /// The network before, instead of -m
    #[arg(long, value_name = "FILE", requires = "after", conflicts_with = "model")]
    before: Vec<PathBuf>,
    /// The network after
    #[arg(long, value_name = "FILE", requires = "before")]
    after: Vec<PathBuf>,
    /// Enable an endpoint, such as Microsoft.Storage@vnet1/snet-app
    #[arg(long, value_name = "SERVICE@SUBNET")]
    enable: Vec<Switch>,
    /// Disable an endpoint
    #[arg(long, value_name = "SERVICE@SUBNET")]
    disable: Vec<Switch>,
    /// Flow logs, or a pattern of them such as 'logs/**/PT1H.json'. May be given several times
    #[arg(long, value_name = "PATTERN", required = true, num_args = 1..)]
    flows: Vec<String>,
    /// How to answer
    #[arg(short, long, value_enum, default_value_t = Output::Text)]
    output: Output,
    /// What timely takes: -w WORKERS, -n PROCESSES, -p PROCESS, -h HOSTS
    #[arg(last = true, value_name = "TIMELY")]
    timely: Vec<String>,
}

#[derive(Debug, Args)]
struct ShardArguments {
    #[command(flatten)]
    model: Model,
    #[command(flatten)]
    split: Split,
    /// Captures, or a pattern of them such as 'day/*.pcapng'. May be given several times
    #[arg(long, value_name = "PATTERN", required = true, num_args = 1..)]
    captures: Vec<String>,
    /// The folder for the parts
    #[arg(short, long, value_name = "FOLDER")]
    write: PathBuf,
    /// How many parts: as many as there will be workers, or a multiple
    #[arg(long, value_name = "NUMBER", default_value_t = 64)]
    parts: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Output {
    Text,
    Json,
}

impl Model {
    fn files(self) -> ModelFiles {
        ModelFiles {
            model: self.model,
            parameters: self.parameters,
            addresses: self.address,
            hosts: self.hosts,
            tags: self.tags,
        }
    }
}

fn main() -> ExitCode {
    let done = match Arguments::parse().verb {
        Verb::Replay(asked) => replay(asked),
        Verb::WhatIf(asked) => what_if(asked),
        Verb::Shard(asked) => shard(asked),
    };
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => DIFFERENT.into(),
        Err(error) => {
            eprintln!("vnetem-dist: {error}");
            FAILED.into()
        }
    }
}

fn replay(asked: ReplayArguments) -> Result<bool, DistError> {
    let cluster = Cluster::from_args(asked.timely)?;
    let replay = Replay {
        model: asked.model.files(),
        enable: asked.enable,
        disable: asked.disable,
        at: asked.at,
        captures: asked.captures,
        cut: asked.cut,
        write: asked.write,
        resume: asked.resume,
        flows: asked.flows,
        split_above: asked.split.split_above,
    };
    let Some(replayed) = vnetem_dist::replay(&replay, cluster)? else { return Ok(true) };
    for note in &replayed.notes {
        eprintln!("{note}");
    }
    if replayed.ended_before_change {
        eprintln!("the captures end before the change");
    }
    if replayed.resumed > 0 {
        eprintln!("complete before, and not written again: {} seconds", replayed.resumed);
    }
    match asked.output {
        Output::Text => {
            let (units, digest) = (replayed.units, replayed.digest);
            say(&format!("{}  {units} units   digest {digest:032x}\n", replayed.counts.text()));
        }
        Output::Json => say(&format!("{:#}\n", replayed.json())),
    }
    Ok(replayed.counts.is_good())
}

fn what_if(asked: WhatIfArguments) -> Result<bool, DistError> {
    let cluster = Cluster::from_args(asked.timely)?;
    let asked_change = ChangeFiles {
        plan: asked.plan,
        arm_what_if: asked.arm_what_if,
        before: asked.before,
        after: asked.after,
        enable: asked.enable,
        disable: asked.disable,
    };
    let asked_all = WhatIf {
        model: asked.model.files(),
        change: asked_change,
        flows: asked.flows,
        split_above: asked.split.split_above,
    };
    let Some(answer) = vnetem_dist::what_if(&asked_all, cluster)? else { return Ok(true) };
    for note in &answer.notes {
        eprintln!("{note}");
    }
    match asked.output {
        Output::Text => say(&answer.report.to_string()),
        Output::Json => say(&answer.report.json()),
    }
    Ok(!answer.report.different)
}

fn shard(asked: ShardArguments) -> Result<bool, DistError> {
    let parts = vnetem_dist::shard(&Shard {
        model: asked.model.files(),
        captures: asked.captures,
        write: asked.write,
        parts: asked.parts,
        split_above: asked.split.split_above,
    })?;
    say(&format!("{} packets in {} parts\n", parts.packets, parts.parts));
    if parts.not_ipv4 > 0 {
        say(&format!("passed over {} frames without an IPv4 packet\n", parts.not_ipv4));
    }
    Ok(true)
}

/// Prints an answer. Who reads it may have left.
fn say(text: &str) {
    _ = std::io::stdout().write_all(text.as_bytes());
}

/// Reads a time such as `90s`, `250ms` or `1h`.
fn time(text: &str) -> Result<Time, String> {
    let split = text.find(|letter: char| !letter.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(split);
    let nanos: u64 = match unit {
        "ns" => 1,
        "us" => 1_000,
        "ms" => 1_000_000,
        "s" => 1_000_000_000,
        "m" | "min" => 60_000_000_000,
        "h" => 3_600_000_000_000,
        _ => return Err("expected a number and a unit, such as 90s, 250ms or 2h".to_owned()),
    };
    let number: u64 = number.parse().map_err(|_| format!("{number} is no number"))?;
    let time = number.checked_mul(nanos).ok_or_else(|| format!("{text} is too long"))?;
    Ok(Time(time))
}
