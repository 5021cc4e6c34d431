//! Network security groups, as files have them.

use ipnet::Ipv4Net;

use super::{Id, Link, Place};

/// A network security group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SecurityGroup {
    /// Its id.
    pub id: Id,
    /// Its name.
    pub name: String,
    /// Its own rules, the first by priority first. The platform's default rules are not among them.
    pub rules: Vec<SecurityRule>,
    /// Where the file has it.
    pub place: Place,
}

/// A rule of a network security group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SecurityRule {
    /// Its name.
    pub name: String,
    /// Its priority; none if the file does not say it.
    pub priority: Option<u16>,
    /// Whether it is for packets that come in.
    pub inbound: bool,
    /// Whether it lets packets pass.
    pub allow: bool,
    /// `Tcp`, `Udp`, `Icmp`, `Esp`, `Ah` or `*`.
    pub protocol: String,
    /// Where packets come from.
    pub sources: Vec<Peer>,
    /// From which ports.
    pub source_ports: Vec<(u16, u16)>,
    /// Where packets go.
    pub destinations: Vec<Peer>,
    /// To which ports.
    pub destination_ports: Vec<(u16, u16)>,
    /// Where the file has it.
    pub place: Place,
}

/// One side of a security rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Peer {
    /// Everything.
    Any,
    /// A range of addresses.
    Net(Ipv4Net),
    /// A service tag, `VirtualNetwork` among them.
    Tag(String),
    /// An application security group.
    Group(Link),
    /// The file does not say it.
    Unresolved,
}
