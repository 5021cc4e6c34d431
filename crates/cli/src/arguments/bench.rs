//! The command line of `bench`.

use std::time::Duration;

use clap::{Args, ValueEnum};
use vnetem_load::{FrameSize, MAX_VNETS};
use vnetem_scenario::parse_duration;

/// Lists are measured in every combination that means something. Packets are random over all flows
/// and both directions.
#[derive(Debug, Args)]
pub(crate) struct Bench {
    /// What to measure: packets of open flows, new flows, an endpoint switched under live flows,
    /// flows that end by time, connections from SYN to the last ACK while as many tuples as flows
    /// stand in hold-down, edits of a network of many virtual networks
    #[arg(value_enum, default_value = "forward")]
    pub(crate) modes: Vec<BenchWord>,
    /// Frame sizes in bytes, as 64, 512 or 1500, or imix
    #[arg(long, value_name = "LIST", value_delimiter = ',', default_value = "64")]
    pub(crate) sizes: Vec<FrameSize>,
    /// Flows, such as 1k or 10M
    #[arg(long, value_name = "LIST", value_delimiter = ',', default_value = "1k,100k,1M", value_parser = flows)]
    pub(crate) flows: Vec<u32>,
    /// Flows that a toggle closes [default: 1 in 64]
    #[arg(long, value_name = "N", value_parser = flows)]
    pub(crate) affected: Option<u32>,
    /// Routes that a gateway announces; only the first packet of a flow asks for one
    #[arg(long, value_name = "LIST", value_delimiter = ',', default_value = "0", value_parser = count)]
    pub(crate) routes: Vec<u32>,
    /// Virtual networks, of two subnets each; only commit has as many
    #[arg(long, value_name = "LIST", value_delimiter = ',', default_value = "1,1k,30k",
          value_parser = vnets)]
    pub(crate) vnets: Vec<u32>,
    /// Whether the subnets have the service's endpoint; TCP only
    #[arg(long, value_name = "LIST", value_delimiter = ',', value_enum, default_value = "off")]
    pub(crate) endpoint: Vec<Switch>,
    /// Transport
    #[arg(long, value_name = "LIST", value_delimiter = ',', value_enum, default_value = "tcp")]
    pub(crate) protocol: Vec<BenchProtocol>,
    /// Packets that go together; 1 is one at a time
    #[arg(long, value_name = "LIST", value_delimiter = ',', default_value = "1,32", value_parser = batch)]
    pub(crate) batch: Vec<usize>,
    /// Data planes that work at the same time, each on a core and with as many flows
    #[arg(long, value_name = "LIST", value_delimiter = ',', default_value = "1", value_parser = clap::value_parser!(u8).range(1..))]
    pub(crate) cores: Vec<u8>,
    /// How long each line is measured
    #[arg(short, long, value_name = "TIME", default_value = "1s", value_parser = duration)]
    pub(crate) duration: Duration,
}

/// A word that names what is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum BenchWord {
    Forward,
    Open,
    Toggle,
    Expire,
    Connect,
    Commit,
}

/// What is measured by packets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BenchMode {
    Forward,
    Open,
    Toggle,
    Expire,
    Connect,
}

impl BenchWord {
    pub(crate) fn of_packets(self) -> Option<BenchMode> {
        match self {
            Self::Forward => Some(BenchMode::Forward),
            Self::Open => Some(BenchMode::Open),
            Self::Toggle => Some(BenchMode::Toggle),
            Self::Expire => Some(BenchMode::Expire),
            Self::Connect => Some(BenchMode::Connect),
            Self::Commit => None,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum BenchProtocol {
    Tcp,
    Udp,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Switch {
    Off,
    On,
}

/// A number that may end in k or M.
fn count(text: &str) -> Result<u32, String> {
    let (digits, unit) = match text.strip_suffix(['k', 'K', 'M']) {
        Some(digits) if text.ends_with('M') => (digits, 1_000_000),
        Some(digits) => (digits, 1_000),
        None => (text, 1),
    };
    let number: Option<u32> = digits.parse().ok();
    number
        .and_then(|number| number.checked_mul(unit))
        .ok_or("expected a number such as 500, 10k or 1M".into())
}

/// Flows of a measurement: at least one, and no more than its addresses and any memory have room
/// for.
fn flows(text: &str) -> Result<u32, String> {
    let flows = count(text)?;
    if (1..=MOST_FLOWS).contains(&flows) {
        Ok(flows)
    } else {
        Err("expected 1 to 100M flows".to_owned())
    }
}

fn vnets(text: &str) -> Result<u32, String> {
    let vnets = count(text)?;
    if (1..=MAX_VNETS).contains(&vnets) {
        Ok(vnets)
    } else {
        Err(format!("expected 1 to {MAX_VNETS} virtual networks"))
    }
}

const MOST_FLOWS: u32 = 100_000_000;

fn batch(text: &str) -> Result<usize, String> {
    let batch = text.parse().ok().filter(|batch| *batch > 0);
    batch.ok_or("expected a number of packets from 1 on".to_owned())
}

fn duration(text: &str) -> Result<Duration, String> {
    let duration = parse_duration(text).filter(|duration| !duration.is_zero());
    duration.ok_or("expected a time such as 500ms or 3s, and more than nothing".into())
}
