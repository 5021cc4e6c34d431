//! Edits of the model: declarations at the top of a file, and the same words as steps later on.

use core::net::Ipv4Addr;

use ipnet::Ipv4Net;
use vnetem::{
    authz::DenyMode,
    control::{Outbound, TiePolicy},
    nat::IdleMinutes,
};

use super::error::Problem;
use super::firewall::{self, Kind, Rule};
use super::policies::{self, PolicyEdit};
use super::pool::pool;
use super::private::{self, PrivateEdit};
use super::routing::RoutingEdit;
use super::security::{self, SecurityEdit};
use super::words::Words;

/// One edit of the model, with names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Edit {
    Vnet {
        name: String,
        ranges: Vec<Ipv4Net>,
        region: Option<String>,
    },
    Peer {
        a: String,
        b: String,
        on: bool,
    },
    Subnet {
        name: String,
        prefix: Ipv4Net,
        vnet: String,
        method: Method,
    },
    Outbound {
        subnet: String,
        method: Method,
    },
    Nic {
        name: String,
        address: Ipv4Addr,
        subnet: String,
        forwarding: bool,
    },
    Deallocated {
        nic: String,
        deallocated: bool,
    },
    Forwarding {
        nic: String,
        on: bool,
    },
    Routing(RoutingEdit),
    Service {
        name: String,
        prefixes: Prefixes,
    },
    Prefixes {
        service: String,
        prefixes: Vec<Ipv4Net>,
    },
    Regions {
        service: String,
        region: String,
        prefixes: Vec<Ipv4Net>,
    },
    /// Regions outside Azure.
    OwnRegions(Vec<String>),
    Resource {
        name: String,
        address: Ipv4Addr,
        service: String,
        kind: Option<Kind>,
        rules: Vec<Rule>,
    },
    Secondary {
        resource: String,
        address: Ipv4Addr,
    },
    Rule {
        resource: String,
        rule: Rule,
        remove: bool,
    },
    Enable {
        service: String,
        subnet: String,
        regions: Option<Vec<String>>,
    },
    Disable {
        service: String,
        subnet: String,
    },
    Tie(TiePolicy),
    Deny(DenyMode),
    Security(SecurityEdit),
    Private(PrivateEdit),
    Policy(PolicyEdit),
    RemoveVnet(String),
    RemoveSubnet(String),
    RemoveNic(String),
    RemoveResource(String),
}

/// A subnet's outbound method, and the idle timeout of its gateway.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Method {
    pub(crate) outbound: Outbound,
    pub(crate) idle: Option<IdleMinutes>,
}

/// The source of a service's prefixes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Prefixes {
    Given(Vec<Ipv4Net>),
    Tag(String),
    /// The tag of the endpoint service of this name, `Microsoft.Storage`.
    Known,
}

pub(crate) const PREFIXES: &str = "a prefix, or several with commas between them";
pub(crate) const ADDRESSES: &str = "an IPv4 address, or several with commas between them";
pub(crate) const ADDRESS: &str = "an IPv4 address";
pub(crate) const PREFIX: &str = "a prefix such as 10.0.0.0/24";

impl Edit {
    /// Returns whether it only changes how names resolve, which no packet notices.
    pub(crate) const fn is_of_names(&self) -> bool {
        matches!(self, Self::Private(PrivateEdit::Names { .. } | PrivateEdit::Zone { .. }))
    }

    /// Reads edits that come into force together, `edit ; edit`, or nothing if the line begins with
    /// another word.
    pub(crate) fn parse_all(words: &mut Words<'_>) -> Result<Option<Vec<Self>>, Problem> {
        let Some(first) = Self::parse(words)? else { return Ok(None) };
        let mut edits = vec![first];
        while words.accept(";") {
            let edit = Self::parse(words)?;
            edits.push(edit.ok_or_else(|| words.wrong("another change behind the semicolon"))?);
        }
        Ok(Some(edits))
    }

    /// Reads one edit, or nothing if the line begins with another word.
    pub(crate) fn parse(words: &mut Words<'_>) -> Result<Option<Self>, Problem> {
        let Some(verb) = words.peek() else { return Ok(None) };
        if let Some(edit) = RoutingEdit::parse(words)? {
            return Ok(Some(Self::Routing(edit)));
        }
        let read: fn(&mut Words<'_>) -> Result<Self, Problem> = match verb {
            "vnet" => vnet,
            "peer" => |words| peer(words, true),
            "unpeer" => |words| peer(words, false),
            "subnet" => subnet,
            "outbound" => outbound,
            "nic" => nic,
            "forwarding" => forwarding,
            "deallocate" => |words| deallocated(words, true),
            "start" => |words| deallocated(words, false),
            "service" => service,
            "prefixes" => prefixes,
            "region" => region,
            "own-region" => |words| {
                words.list("names of regions with commas between them").map(Edit::OwnRegions)
            },
            "resource" => resource,
            "secondary" => secondary,
            "private-endpoint" => private::endpoint,
            "names" => private::names,
            "zone" => |words| private::zone(words, true),
            "network-policies" => private::policies,
            "private-endpoint-policy" => private::vnet_policy,
            "allow" | "default" | "public-access" | "rule" => {
                return firewall::rule_of(words, false).map(Some);
            }
            "endpoint" | "enable" => enable,
            "disable" => disable,
            "policy" => policy,
            "nsg" => security::group,
            "guard" => |words| security::guard(words, true),
            "unguard" => |words| security::guard(words, false),
            "tag" => security::tag,
            "endpoint-policy" => policies::policy,
            "attach" => |words| policies::attach(words, true),
            "detach" => |words| policies::attach(words, false),
            "id" => policies::path,
            "remove" => remove,
            _ => return Ok(None),
        };
        words.take("a verb")?;
        read(words).map(Some)
    }
}

pub(crate) fn name(words: &mut Words<'_>, what: &str) -> Result<String, Problem> {
    words.take(what).map(str::to_owned)
}

fn vnet(words: &mut Words<'_>) -> Result<Edit, Problem> {
    let name = name(words, "the name of a virtual network")?;
    let ranges = words.list(PREFIXES)?;
    let region = if words.accept("region") { Some(words.region()?) } else { None };
    Ok(Edit::Vnet { name, ranges, region })
}

fn peer(words: &mut Words<'_>, on: bool) -> Result<Edit, Problem> {
    let a = name(words, "the name of a virtual network")?;
    let b = name(words, "the name of another virtual network")?;
    Ok(Edit::Peer { a, b, on })
}

fn subnet(words: &mut Words<'_>) -> Result<Edit, Problem> {
    let name = name(words, "the name of a subnet")?;
    let prefix = words.parse(PREFIX)?;
    words.expect("in")?;
    let vnet = self::name(words, "the name of a virtual network")?;
    let method = if words.peek().is_some() { method(words)? } else { Method::default() };
    Ok(Edit::Subnet { name, prefix, vnet, method })
}

fn outbound(words: &mut Words<'_>) -> Result<Edit, Problem> {
    let subnet = name(words, "the name of a subnet")?;
    Ok(Edit::Outbound { subnet, method: method(words)? })
}

fn method(words: &mut Words<'_>) -> Result<Method, Problem> {
    let outbound = if words.accept("private") {
        Outbound::Private
    } else if words.accept("default") {
        Outbound::Default(words.parse(ADDRESS)?)
    } else if words.accept("nat") {
        let outbound = Outbound::NatGateway(words.list(ADDRESSES)?);
        return Ok(Method { outbound, idle: idle(words)? });
    } else if words.accept("pool") {
        pool(words)?
    } else {
        return Err(words.wrong("how packets leave: private, default ADDRESS, nat ADDRESS or pool ADDRESS ports 1024-65535 like linux"));
    };
    Ok(Method { outbound, idle: None })
}

/// Reads `idle 10min`, if it is there (N-15, N-23).
pub(crate) fn idle(words: &mut Words<'_>) -> Result<Option<IdleMinutes>, Problem> {
    const EXPECTED: &str = "an idle timeout of whole minutes, 4min to 120min";
    if !words.accept("idle") {
        return Ok(None);
    }
    let minutes = |word: &str| IdleMinutes::new(word.strip_suffix("min")?.parse().ok()?);
    let idle = words.peek().and_then(minutes).ok_or_else(|| words.wrong(EXPECTED))?;
    words.take(EXPECTED)?;
    Ok(Some(idle))
}

fn nic(words: &mut Words<'_>) -> Result<Edit, Problem> {
    let name = name(words, "the name of an interface")?;
    let address = words.parse(ADDRESS)?;
    words.expect("in")?;
    let subnet = self::name(words, "the name of a subnet")?;
    let forwarding = words.accept("forwarding");
    Ok(Edit::Nic { name, address, subnet, forwarding })
}

fn deallocated(words: &mut Words<'_>, deallocated: bool) -> Result<Edit, Problem> {
    let nic = name(words, "the name of an interface")?;
    Ok(Edit::Deallocated { nic, deallocated })
}

fn forwarding(words: &mut Words<'_>) -> Result<Edit, Problem> {
    let nic = name(words, "the name of an interface")?;
    let on = match words.take("on or off")? {
        "on" => true,
        "off" => false,
        other => return Err(found(other, "on or off")),
    };
    Ok(Edit::Forwarding { nic, on })
}

fn service(words: &mut Words<'_>) -> Result<Edit, Problem> {
    let name = name(words, "the name of a service")?;
    let prefixes = if words.accept("tag") {
        Prefixes::Tag(self::name(words, "the name of a service tag")?)
    } else if words.peek().is_some_and(|word| word != ";") {
        Prefixes::Given(
            words.list("tag and the name of a tag, or prefixes with commas between them")?,
        )
    } else {
        Prefixes::Known
    };
    Ok(Edit::Service { name, prefixes })
}

fn prefixes(words: &mut Words<'_>) -> Result<Edit, Problem> {
    let service = name(words, "the name of a service")?;
    Ok(Edit::Prefixes { service, prefixes: words.list(PREFIXES)? })
}

fn region(words: &mut Words<'_>) -> Result<Edit, Problem> {
    let region = words.region()?;
    words.expect("of")?;
    let service = name(words, "the name of a service")?;
    Ok(Edit::Regions { service, region, prefixes: words.list(PREFIXES)? })
}

fn resource(words: &mut Words<'_>) -> Result<Edit, Problem> {
    let name = name(words, "the name of a resource")?;
    let address = words.parse(ADDRESS)?;
    words.expect("of")?;
    let service = self::name(words, "the name of a service")?;
    let kind = if words.accept("as") { Some(firewall::kind(words)?) } else { None };
    let mut rules = Vec::new();
    while words.peek().is_some() {
        rules.push(firewall::rule(words)?);
    }
    Ok(Edit::Resource { name, address, service, kind, rules })
}

fn secondary(words: &mut Words<'_>) -> Result<Edit, Problem> {
    let address = words.parse(ADDRESS)?;
    words.expect("of")?;
    Ok(Edit::Secondary { resource: name(words, "the name of a resource")?, address })
}

fn enable(words: &mut Words<'_>) -> Result<Edit, Problem> {
    let service = name(words, "the name of a service")?;
    words.expect("on")?;
    let subnet = name(words, "the name of a subnet")?;
    let regions = if words.accept("regions") { Some(words.regions()?) } else { None };
    Ok(Edit::Enable { service, subnet, regions })
}

fn disable(words: &mut Words<'_>) -> Result<Edit, Problem> {
    let service = name(words, "the name of a service")?;
    words.expect("on")?;
    Ok(Edit::Disable { service, subnet: name(words, "the name of a subnet")? })
}

fn policy(words: &mut Words<'_>) -> Result<Edit, Problem> {
    match words.take("tie or deny")? {
        "tie" => match words.take("documented or observed")? {
            "documented" => Ok(Edit::Tie(TiePolicy::Documented)),
            "observed" => Ok(Edit::Tie(TiePolicy::Observed)),
            other => Err(found(other, "documented or observed")),
        },
        "deny" => match words.take("deliver, reset or drop")? {
            "deliver" => Ok(Edit::Deny(DenyMode::Deliver)),
            "reset" => Ok(Edit::Deny(DenyMode::Reset)),
            "drop" => Ok(Edit::Deny(DenyMode::Drop)),
            other => Err(found(other, "deliver, reset or drop")),
        },
        other => Err(found(other, "tie or deny")),
    }
}

fn remove(words: &mut Words<'_>) -> Result<Edit, Problem> {
    const EXPECTED: &str = "route, rule, vnet, subnet, nic, resource, nsg, endpoint-policy, site, gateway, member, private-endpoint or zone";
    match words.take(EXPECTED)? {
        "route" => RoutingEdit::remove_route(words).map(Edit::Routing),
        "gateway" => RoutingEdit::disconnect(words).map(Edit::Routing),
        "member" => RoutingEdit::member(words, false).map(Edit::Routing),
        "site" => name(words, "the name of a site").map(RoutingEdit::RemoveSite).map(Edit::Routing),
        "rule" => firewall::rule_of(words, true),
        "vnet" => name(words, "the name of a virtual network").map(Edit::RemoveVnet),
        "subnet" => name(words, "the name of a subnet").map(Edit::RemoveSubnet),
        "nic" => name(words, "the name of an interface").map(Edit::RemoveNic),
        "resource" => name(words, "the name of a resource").map(Edit::RemoveResource),
        "nsg" => security::remove(words),
        "private-endpoint" => private::remove(words),
        "zone" => private::zone(words, false),
        "endpoint-policy" => policies::remove(words),
        other => Err(found(other, EXPECTED)),
    }
}

pub(crate) fn found(found: &str, expected: &str) -> Problem {
    Problem::Expected { found: format!("\"{found}\""), expected: expected.to_owned() }
}
