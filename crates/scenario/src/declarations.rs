//! Declarations of hosts with real TCP, appliances, front ends and links, and the settings of a
//! run.

use core::net::Ipv4Addr;
use core::time::Duration;

use vnetem::CloseMode;
use vnetem_packet::tunnel::Encapsulation;

use super::edit::{Edit, found, name};
use super::error::Problem;
use super::words::Words;
use vnetem_sim::{App, LinkSettings};

/// One line of the top of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Declaration {
    Edit(Edit),
    Host(HostSpec),
    Appliance {
        name: String,
        address: Ipv4Addr,
        subnet: String,
        translates: bool,
    },
    Serve {
        resource: String,
        by: Serves,
    },
    /// The link of one host, or the default link.
    Link {
        host: Option<String>,
        settings: LinkSettings,
    },
    /// How the identity of callers travels to a service's front ends.
    Wire {
        service: String,
        encapsulation: Encapsulation,
    },
    Seed(u64),
    /// The most flows of the data plane.
    Flows(u32),
    Propagation(Duration),
    CloseMode(CloseMode),
}

/// A host with its own TCP/IP stack.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct HostSpec {
    pub(crate) name: String,
    pub(crate) address: Ipv4Addr,
    pub(crate) home: Home,
    /// Whether its interface forwards for others. A simulated host itself does not.
    pub(crate) forwards: bool,
    pub(crate) serves: Option<Serves>,
}

/// What answers calls.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Serves {
    /// A simulated server.
    App(App),
    /// A real program, which only a live network starts.
    Command {
        /// The command line, for a shell.
        line: String,
        /// Whether each connection begins with a PROXY v2 header, which names the caller.
        header: bool,
    },
}

/// The place of a host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Home {
    Internet,
    Subnet(String),
    Site(String),
}

/// Words that begin a line, and so cannot name a host.
const VERBS: [&str; 13] = [
    "from", "answer", "connect", "trace", "wait", "probe", "show", "status", "internet", "nic",
    "site", "service", "platform",
];

impl Declaration {
    /// Returns the name of a host that calls others.
    pub(crate) fn caller(&self) -> Option<&str> {
        match self {
            Self::Host(host) if host.serves.is_none() => Some(&host.name),
            _ => None,
        }
    }

    pub(crate) fn parse(words: &mut Words<'_>) -> Result<Self, Problem> {
        const EXPECTED: &str =
            "a declaration (vnet, subnet, service, resource, host, ...) or \"at TIME\"";
        if words.peek() == Some("host") {
            return host(words).map(Self::Host);
        }
        if let Some(edit) = Edit::parse(words)? {
            return Ok(Self::Edit(edit));
        }
        let declared = match words.peek() {
            Some("appliance") => appliance,
            Some("serve") => serve,
            Some("link") => link,
            Some("seed") => |words: &mut Words<'_>| words.parse("a number").map(Declaration::Seed),
            Some("flows") => {
                |words: &mut Words<'_>| words.parse("a number").map(Declaration::Flows)
            }
            Some("closing") => closing,
            Some("wire") => wire,
            Some("propagation") => {
                |words: &mut Words<'_>| words.duration().map(Declaration::Propagation)
            }
            _ => return Err(words.wrong(EXPECTED)),
        };
        words.take(EXPECTED)?;
        declared(words)
    }
}

fn host(words: &mut Words<'_>) -> Result<HostSpec, Problem> {
    words.expect("host")?;
    let name = host_name(words)?;
    let address = words.parse("an IPv4 address")?;
    let home = if words.accept("in") {
        Home::Subnet(self::name(words, "the name of a subnet")?)
    } else if words.accept("on") {
        match words.take("internet or the name of a site")? {
            "internet" => Home::Internet,
            site => Home::Site(site.to_owned()),
        }
    } else {
        return Err(words.wrong("\"in SUBNET\", \"on internet\" or \"on SITE\""));
    };
    let forwards = matches!(home, Home::Subnet(_)) && words.accept("forwarding");
    let serves = if words.accept("serves") { Some(serves(words)?) } else { None };
    Ok(HostSpec { name, address, home, forwards, serves })
}

fn appliance(words: &mut Words<'_>) -> Result<Declaration, Problem> {
    let name = host_name(words)?;
    let address = words.parse("an IPv4 address")?;
    words.expect("in")?;
    let subnet = self::name(words, "the name of a subnet")?;
    let translates = !words.accept("forwarding-only");
    Ok(Declaration::Appliance { name, address, subnet, translates })
}

fn serve(words: &mut Words<'_>) -> Result<Declaration, Problem> {
    let resource = name(words, "the name of a resource")?;
    Ok(Declaration::Serve { resource, by: serves(words)? })
}

fn serves(words: &mut Words<'_>) -> Result<Serves, Problem> {
    const EXPECTED: &str = "http, sql or by \"COMMAND\"";
    match words.take(EXPECTED)? {
        "http" => Ok(Serves::App(App::Http)),
        "sql" => Ok(Serves::App(App::Sql)),
        "by" => {
            let rest = words.rest().trim();
            let expected = "a command between double quotes, and proxy-v2 or nothing behind it";
            let parts = rest.strip_prefix('"').and_then(|rest| rest.rsplit_once('"'));
            let (line, header) = match parts {
                Some((line, behind)) if !line.trim().is_empty() => (line.trim(), behind.trim()),
                _ => return Err(found(rest, expected)),
            };
            match header {
                "" => Ok(Serves::Command { line: line.to_owned(), header: false }),
                "proxy-v2" => Ok(Serves::Command { line: line.to_owned(), header: true }),
                other => Err(found(other, expected)),
            }
        }
        other => Err(found(other, EXPECTED)),
    }
}

fn link(words: &mut Words<'_>) -> Result<Declaration, Problem> {
    const EXPECTED: &str = "delay, jitter, loss, duplicate, reorder or corrupt";
    let mut settings = LinkSettings::clean(DEFAULT_DELAY);
    let known = ["delay", "jitter", "loss", "duplicate", "reorder", "corrupt"];
    let host = match words.peek() {
        Some(word) if !known.contains(&word) => Some(name(words, "the name of a host")?),
        _ => None,
    };
    while words.peek().is_some() {
        match words.take(EXPECTED)? {
            "delay" => settings.delay = words.duration()?,
            "jitter" => settings.jitter = words.duration()?,
            "loss" => settings.loss = per_mille(words)?,
            "duplicate" => settings.duplicate = per_mille(words)?,
            "reorder" => settings.reorder = per_mille(words)?,
            "corrupt" => settings.corrupt = per_mille(words)?,
            other => return Err(found(other, EXPECTED)),
        }
    }
    Ok(Declaration::Link { host, settings })
}

/// The default delay of a link, in each direction.
pub(crate) const DEFAULT_DELAY: Duration = Duration::from_millis(1);

fn per_mille(words: &mut Words<'_>) -> Result<u16, Problem> {
    const EXPECTED: &str = "a percentage such as 1% or 0.5%";
    let read = |word: &str| {
        let number = word.strip_suffix('%')?;
        let (whole, tenth) = number.split_once('.').unwrap_or((number, "0"));
        let tenth: u16 = if tenth.len() == 1 { tenth.parse().ok()? } else { return None };
        let whole: u16 = whole.parse().ok()?;
        let all = whole.checked_mul(10)?.checked_add(tenth)?;
        (all <= 1000).then_some(all)
    };
    let value = words.peek().and_then(read).ok_or_else(|| words.wrong(EXPECTED))?;
    words.take(EXPECTED)?;
    Ok(value)
}

fn wire(words: &mut Words<'_>) -> Result<Declaration, Problem> {
    const EXPECTED: &str = "nvgre or vxlan";
    let service = name(words, "the name of a service")?;
    let encapsulation = match words.take(EXPECTED)? {
        "nvgre" => Encapsulation::Nvgre,
        "vxlan" => Encapsulation::Vxlan,
        other => return Err(found(other, EXPECTED)),
    };
    Ok(Declaration::Wire { service, encapsulation })
}

fn closing(words: &mut Words<'_>) -> Result<Declaration, Problem> {
    const EXPECTED: &str = "both, initiator or silent";
    match words.take(EXPECTED)? {
        "both" => Ok(Declaration::CloseMode(CloseMode::Both)),
        "initiator" => Ok(Declaration::CloseMode(CloseMode::Initiator)),
        "silent" => Ok(Declaration::CloseMode(CloseMode::Silent)),
        other => Err(found(other, EXPECTED)),
    }
}

/// Reads the name of a host or appliance. It may begin a step, so it cannot be a verb.
fn host_name(words: &mut Words<'_>) -> Result<String, Problem> {
    let expected = "a name that is no verb of the language";
    let name = words.peek().ok_or_else(|| words.wrong(expected))?;
    let mut alone = Words::new(name);
    if VERBS.contains(&name) || !matches!(Edit::parse(&mut alone), Ok(None)) {
        return Err(words.wrong(expected));
    }
    words.take(expected).map(str::to_owned)
}
