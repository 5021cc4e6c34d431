//! The steps of a scenario, one in a line.

use core::net::{Ipv4Addr, SocketAddrV4};
use core::time::Duration;

use super::edit::{Edit, found, name};
use super::error::Problem;
use super::words::Words;

/// One step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// Edits that come into force together.
    Change(Vec<Edit>),
    /// A packet that enters at a place.
    Packet {
        from: Place,
        packet: String,
    },
    /// A packet back to where the last one came from, by the edge where that one left.
    Answer {
        packet: String,
    },
    /// A whole TCP handshake.
    Connect {
        from: Place,
        source: SocketAddrV4,
        destination: SocketAddrV4,
    },
    /// An explanation of what would happen to a packet.
    Trace {
        from: Place,
        packet: String,
    },
    /// An action of a host.
    Act {
        host: String,
        act: Act,
    },
    /// The state of a download or a query.
    Status(String),
    Wait(Duration),
    /// Every caller calls every target.
    Probe(String),
    Show(Show),
}

/// The actions of a host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Act {
    /// Fetches and waits for the end.
    Get {
        target: String,
        path: String,
    },
    /// Fetches in the background, under a name.
    Download {
        target: String,
        path: String,
        name: String,
    },
    /// Logs in to a SQL server and runs a query in the background, under a name.
    Query {
        target: String,
        query: String,
        name: String,
    },
    /// Resolves a name for the host.
    Resolve {
        target: String,
    },
    Ping {
        address: Ipv4Addr,
    },
    /// Sends a datagram and waits for an answer.
    Datagram {
        remote: SocketAddrV4,
    },
}

/// What a step can show.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Show {
    Routes {
        subnet: String,
        all: bool,
    },
    /// The last lines of the access log of a resource or of a server on the internet.
    Log {
        name: String,
        last: Option<usize>,
    },
    /// The access rules of a resource.
    Rules(String),
    /// The flow log of an appliance.
    Flows(String),
    /// The tunnel of a service.
    Wire(String),
    Counters,
}

/// Where a packet enters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    Internet,
    Subnet(String),
    Nic(String),
    Site(String),
    Platform(String),
    /// A service: over the endpoint of a subnet, or by public addresses.
    Service {
        name: String,
        subnet: Option<String>,
    },
    /// A subnet, a site or a service, by its name only.
    Named(String),
}

impl Step {
    /// Returns whether a step that begins with this word is a host's action.
    pub(crate) fn begins_with_host(word: &str) -> bool {
        let verbs =
            ["from", "answer", "connect", "trace", "wait", "probe", "status", "show", "at", ""];
        !verbs.contains(&word) && matches!(Edit::parse(&mut Words::new(word)), Ok(None))
    }

    pub(crate) fn parse(words: &mut Words<'_>) -> Result<Self, Problem> {
        const EXPECTED: &str = "a step: a change, from, answer, connect, trace, wait, probe, status, show, or a host's name";
        if let Some(edits) = Edit::parse_all(words)? {
            return Ok(Self::Change(edits));
        }
        match words.take(EXPECTED)? {
            "from" => {
                let from = Place::parse(words)?;
                Ok(Self::Packet { from, packet: packet(words)? })
            }
            "answer" => Ok(Self::Answer { packet: packet(words)? }),
            "connect" => {
                let from = Place::parse(words)?;
                let source = words.parse(SOCKET)?;
                words.expect(">")?;
                Ok(Self::Connect { from, source, destination: words.parse(SOCKET)? })
            }
            "trace" => {
                let from = Place::parse(words)?;
                Ok(Self::Trace { from, packet: packet(words)? })
            }
            "wait" => words.duration().map(Self::Wait),
            "probe" => Ok(Self::Probe(words.rest().to_owned())),
            "status" => name(words, "the name of a download or query").map(Self::Status),
            "show" => show(words).map(Self::Show),
            host => Ok(Self::Act { host: host.to_owned(), act: Act::parse(words)? }),
        }
    }
}

const SOCKET: &str = "an address with a port, such as 10.0.0.4:50001";

impl Act {
    fn parse(words: &mut Words<'_>) -> Result<Self, Problem> {
        const EXPECTED: &str =
            "what the host does: gets, downloads, queries, resolves, pings or sends";
        const TARGET: &str = "the name of a resource or of a host that serves";
        match words.take(EXPECTED)? {
            "gets" => {
                let target = name(words, TARGET)?;
                Ok(Self::Get { target, path: path(words)? })
            }
            "downloads" => {
                let target = name(words, TARGET)?;
                let path = path(words)?;
                words.expect("as")?;
                Ok(Self::Download { target, path, name: name(words, "a name for the download")? })
            }
            "queries" => {
                let target = name(words, TARGET)?;
                let mut query = Vec::new();
                while !words.accept("as") {
                    query.push(words.take("bytes=N, rate=N or \"as NAME\"")?);
                }
                let name = name(words, "a name for the query")?;
                Ok(Self::Query { target, query: format!("select {}", query.join(" ")), name })
            }
            "resolves" => name(words, TARGET).map(|target| Self::Resolve { target }),
            "pings" => words.parse("an IPv4 address").map(|address| Self::Ping { address }),
            "sends" => words.parse(SOCKET).map(|remote| Self::Datagram { remote }),
            other => Err(found(other, EXPECTED)),
        }
    }
}

impl Place {
    pub(crate) fn parse(words: &mut Words<'_>) -> Result<Self, Problem> {
        let place = match words.take("internet, or the name of a subnet, site or service")? {
            "internet" => Self::Internet,
            "subnet" => Self::Subnet(name(words, "the name of a subnet")?),
            "nic" => Self::Nic(name(words, "the name of an interface")?),
            "site" => Self::Site(name(words, "the name of a site")?),
            "platform" => {
                words.expect("for")?;
                Self::Platform(name(words, "the name of a subnet")?)
            }
            "service" => {
                Self::Service { name: name(words, "the name of a service")?, subnet: None }
            }
            other => Self::Named(other.to_owned()),
        };
        match place {
            Self::Service { name, .. } | Self::Named(name) if words.accept("as") => {
                let subnet =
                    Some(self::name(words, "the name of the subnet whose endpoint it is")?);
                Ok(Self::Service { name, subnet })
            }
            place => Ok(place),
        }
    }
}

fn packet(words: &mut Words<'_>) -> Result<String, Problem> {
    if words.peek().is_none() {
        return Err(words.wrong("a packet such as 10.0.0.4:50001 > 52.239.1.9:443 tcp S"));
    }
    Ok(words.rest().to_owned())
}

fn path(words: &mut Words<'_>) -> Result<String, Problem> {
    match words.peek() {
        Some(path) if path.starts_with('/') => words.take("a path").map(str::to_owned),
        _ => Err(words.wrong("a path such as /report.csv")),
    }
}

fn show(words: &mut Words<'_>) -> Result<Show, Problem> {
    const EXPECTED: &str = "routes, rules, log, flows, wire or counters";
    match words.take(EXPECTED)? {
        "routes" => {
            let subnet = name(words, "the name of a subnet")?;
            Ok(Show::Routes { subnet, all: words.accept("all") })
        }
        "log" => {
            let name = name(words, "the name of a resource or host")?;
            let last = words.peek().is_some().then(|| words.parse("how many lines")).transpose()?;
            Ok(Show::Log { name, last })
        }
        "rules" => name(words, "the name of a resource").map(Show::Rules),
        "flows" => name(words, "the name of an appliance").map(Show::Flows),
        "wire" => name(words, "the name of a service").map(Show::Wire),
        "counters" => Ok(Show::Counters),
        other => Err(found(other, EXPECTED)),
    }
}
