//! The command line of the verbs that ask about a user's own files.

use core::net::Ipv4Addr;
use std::path::PathBuf;

use clap::Args;
use vnetem::Time;
use vnetem_whatif::files::{Switch, resource_address};

use crate::arguments::{Model, TagList, time};

/// The files of a model.
#[derive(Clone, Debug, Default, Args)]
pub(crate) struct Sources {
    /// A file of the network, or a folder of them, of any recognised kind: ARM, az, Terraform, a
    /// scenario (.scn). May be given several times; "-" is standard input
    #[arg(short, long, value_name = "FILE")]
    pub(crate) model: Vec<PathBuf>,
    /// Values for the parameters of ARM templates
    #[arg(long, value_name = "FILE")]
    pub(crate) parameters: Vec<PathBuf>,
    /// Where a resource answers, such as stlogs=20.60.0.4
    #[arg(long, value_name = "NAME=IP", value_parser = resource_address)]
    pub(crate) address: Vec<(String, Ipv4Addr)>,
    /// Where resources answer, in the form of a hosts file
    #[arg(long, value_name = "FILE")]
    pub(crate) hosts: Vec<PathBuf>,
    #[command(flatten)]
    pub(crate) list: TagList,
}

#[derive(Debug, Default, Args)]
pub(crate) struct WhatIf {
    #[command(flatten)]
    pub(crate) sources: Sources,
    /// A Terraform plan as JSON: `terraform show -json tfplan`
    #[arg(long, value_name = "FILE")]
    pub(crate) plan: Vec<PathBuf>,
    /// A deployment what-if as JSON: `az deployment group what-if --no-pretty-print`
    #[arg(long, value_name = "FILE")]
    pub(crate) arm_what_if: Vec<PathBuf>,
    /// The network before, instead of -m
    #[arg(long, value_name = "FILE", requires = "after", conflicts_with = "model")]
    pub(crate) before: Vec<PathBuf>,
    /// The network after
    #[arg(long, value_name = "FILE", requires = "before")]
    pub(crate) after: Vec<PathBuf>,
    /// Enable an endpoint, such as Microsoft.Storage@vnet1/snet-app
    #[arg(long, value_name = "SERVICE@SUBNET")]
    pub(crate) enable: Vec<Switch>,
    /// Disable an endpoint
    #[arg(long, value_name = "SERVICE@SUBNET")]
    pub(crate) disable: Vec<Switch>,
    /// Flow logs of virtual networks or security groups, or folders of them
    #[arg(long, value_name = "FILE")]
    pub(crate) flows: Vec<PathBuf>,
    /// Captures of hosts or of a mirror port, pcap or pcapng
    #[arg(long, value_name = "FILE")]
    pub(crate) pcap: Vec<PathBuf>,
    /// Write the answer as one HTML page that needs no network
    #[arg(long, value_name = "FILE")]
    pub(crate) html: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct ShowModel {
    #[command(flatten)]
    pub(crate) sources: Sources,
    /// More files of the network
    pub(crate) files: Vec<PathBuf>,
    /// Show the network before the change that a plan or a what-if holds
    #[arg(long)]
    pub(crate) before: bool,
}

#[derive(Debug, Args)]
pub(crate) struct NextHop {
    #[command(flatten)]
    pub(crate) model: Model,
    /// The subnet, such as vnet1/snet-app
    pub(crate) subnet: String,
    /// Where a TCP packet goes
    pub(crate) destination: Ipv4Addr,
}

#[derive(Debug, Args)]
pub(crate) struct Replay {
    #[command(flatten)]
    pub(crate) sources: Sources,
    /// The capture, pcap or pcapng
    pub(crate) capture: PathBuf,
    /// Write every packet as it comes out, as pcapng
    #[arg(short, long, value_name = "FILE")]
    pub(crate) write: Option<PathBuf>,
    /// Enable an endpoint while the capture plays
    #[arg(long, value_name = "SERVICE@SUBNET")]
    pub(crate) enable: Vec<Switch>,
    /// Disable an endpoint while the capture plays
    #[arg(long, value_name = "SERVICE@SUBNET")]
    pub(crate) disable: Vec<Switch>,
    /// When, counted from the first packet
    #[arg(long, value_name = "TIME", value_parser = time)]
    pub(crate) at: Option<Time>,
    /// Write the timeline of flows as one HTML page that needs no network
    #[arg(long, value_name = "FILE")]
    pub(crate) html: Option<PathBuf>,
}
