//! One packet, explained by the very code that forwards it. `Step` is typed; text exists only in `Display`.

use core::fmt;
use core::net::SocketAddrV4;
use std::sync::Arc;

use vnetem_authz::{Access, Action, Grant, RuleDirection};
use vnetem_nat::Generation;
use vnetem_packet::{Headers, Identity, Malformed};

use crate::route::Choice;
use crate::{
    DropReason, Edge, Fate, Mark, ResourceId, Route, SecurityGroupId, Snapshot, SourceMode, Verdict,
};

/// Why a packet would end as it would. Making one changes nothing; the packet's bytes and all counters stay as they are (O5).
#[derive(Clone, Debug)]
pub struct Trace {
    snapshot: Arc<Snapshot>,
    /// Where the packet would enter.
    pub edge: Edge,
    /// What the packet says of itself, or why it is none.
    pub headers: Result<Headers, Malformed>,
    /// What was decided, in order.
    pub steps: Vec<Step>,
    /// The reasons that the packet's live flow was given when it was judged last; its packets do not ask again.
    pub given: Vec<Step>,
    /// The final word.
    pub verdict: Verdict,
}

/// One step of a decision.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// What the flow table said.
    Flow(FlowStep),
    /// What a security group in the way said.
    Security {
        /// The group.
        group: SecurityGroupId,
        /// Which way the packet goes, seen from the host that the group guards.
        direction: RuleDirection,
        /// Whether it passes.
        action: Action,
        /// The number of the rule that decided, default rules included; `None` for the platform's own services (P-15).
        rule: Option<u16>,
    },
    /// The route that was taken, and the subnet's own route if the endpoint was preferred to it.
    Route {
        /// What was chosen.
        choice: Choice,
        /// The best route of the subnet's own table.
        route: Option<Route>,
    },
    /// Under which source the far side will see the flow.
    Source {
        /// The public address and port, if the source is translated.
        translated: Option<SocketAddrV4>,
        /// What the service learns of the caller, if the flow goes over an endpoint.
        identity: Option<Identity>,
    },
    /// What the rules of the resource said.
    Access {
        /// The resource.
        resource: ResourceId,
        /// The answer.
        access: Access,
    },
}

/// What the flow table said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FlowStep {
    /// No flow has this tuple.
    Miss,
    /// A live flow, judged by the configuration of this generation.
    Hit {
        /// The generation that judged it last.
        opened_by: Generation,
    },
    /// A live flow that a change touched and that would be judged the same.
    Renewed {
        /// The generation that judged it last.
        opened_by: Generation,
    },
    /// A live flow that a change closes.
    Switched {
        /// What would change.
        reason: DropReason,
    },
    /// A flow that was closed and answers late segments.
    Closed,
    /// A connection that has ended and may begin anew.
    Reopen,
}

/// Takes the steps of a decision, or does not care for them.
pub(crate) trait Note {
    fn step(&mut self, step: impl FnOnce() -> Step);
}

/// Forwarding: nobody listens, and nothing is computed.
impl Note for () {
    #[inline]
    fn step(&mut self, _: impl FnOnce() -> Step) {}
}

/// Explaining.
impl Note for Vec<Step> {
    fn step(&mut self, step: impl FnOnce() -> Step) {
        self.push(step());
    }
}

impl Trace {
    pub(crate) fn new(
        snapshot: Arc<Snapshot>,
        edge: Edge,
        headers: Result<Headers, Malformed>,
        steps: Vec<Step>,
        given: Vec<Step>,
        verdict: Verdict,
    ) -> Self {
        Self { snapshot, edge, headers, steps, given, verdict }
    }
}

impl fmt::Display for Trace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.headers {
            Ok(headers) => write!(f, "{headers}")?,
            Err(_) => f.write_str("not a packet")?,
        }
        let from = self.snapshot.describe(self.edge);
        writeln!(f, "   from {from}   generation {}", self.verdict.generation.0)?;
        for step in &self.steps {
            writeln!(f, "  {}", Shown { snapshot: &self.snapshot, item: step })?;
        }
        for step in &self.given {
            writeln!(f, "  given    {}", Shown { snapshot: &self.snapshot, item: step })?;
        }
        write!(f, "  verdict  {}", Shown { snapshot: &self.snapshot, item: &self.verdict })
    }
}

/// Something shown with the names of a snapshot.
struct Shown<'a, T> {
    snapshot: &'a Snapshot,
    item: &'a T,
}

impl fmt::Display for Shown<'_, Step> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let snapshot = self.snapshot;
        match *self.item {
            Step::Flow(step) => write!(f, "flow     {step}"),
            Step::Security { group, direction, action, rule } => {
                let said = match action {
                    Action::Allow => "allowed",
                    Action::Deny => "denied",
                };
                let name = snapshot.security_group_name(group);
                match rule {
                    Some(number) => {
                        let rule = snapshot.security_rule_name(group, direction, number);
                        let rule = rule.unwrap_or("?");
                        write!(f, "security {said} by {number} {rule} of {name}, {direction}")
                    }
                    None => write!(
                        f,
                        "security {said} to the platform whatever {name} says, {direction}"
                    ),
                }
            }
            Step::Route { choice: Choice::Route(route), .. } => write!(f, "route    {route}"),
            Step::Route { choice: Choice::Endpoint { service, prefix }, route } => {
                let name = snapshot.service_name(service);
                write!(f, "route    service {name} by {prefix}, VirtualNetworkServiceEndpoint")?;
                match route {
                    Some(route) => write!(f, "   (else {route})"),
                    None => f.write_str("   (else no route)"),
                }
            }
            Step::Source { translated: Some(external), .. } => {
                write!(f, "source   translated to {external}")
            }
            Step::Source { identity: Some(identity), .. } => {
                let subnet = snapshot.subnet_name(identity.subnet);
                write!(f, "source   preserved, identity {subnet} {}", identity.address)
            }
            Step::Source { .. } => f.write_str("source   preserved"),
            Step::Access { resource, access } => {
                let name = snapshot.resource_name(resource);
                match access {
                    Access::Allowed(Grant::SubnetRule(subnet)) => {
                        let subnet = snapshot.subnet_name(subnet);
                        write!(f, "access   allowed by subnet rule {subnet} on {name}")
                    }
                    Access::Allowed(Grant::IpRule(prefix)) => {
                        write!(f, "access   allowed by ip rule {prefix} on {name}")
                    }
                    Access::Allowed(grant) => write!(f, "access   allowed by {grant} on {name}"),
                    Access::Refused(refusal) => write!(f, "access   refused by {name}: {refusal}"),
                }
            }
        }
    }
}

impl fmt::Display for Shown<'_, Verdict> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.item.fate {
            Fate::Forward(forward) => {
                write!(f, "forward to {}", self.snapshot.describe(forward.to))?;
                if let SourceMode::Translated(external) = forward.source {
                    write!(f, " as {external}")?;
                }
                if let Mark::Refused(refusal) = forward.mark {
                    write!(f, ", which will refuse it: {refusal}")?;
                }
                Ok(())
            }
            Fate::Deny(reason) => write!(f, "deny {reason}"),
            Fate::Drop(reason) => write!(f, "drop {reason}"),
        }
    }
}

impl fmt::Display for FlowStep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Miss => f.write_str("miss"),
            Self::Hit { opened_by } => write!(f, "hit, judged by generation {}", opened_by.0),
            Self::Renewed { opened_by } => {
                write!(f, "hit, judged by generation {}, renewed and unchanged", opened_by.0)
            }
            Self::Switched { reason } => write!(f, "hit, closed by the change: {reason}"),
            Self::Closed => f.write_str("closed, answers late segments"),
            Self::Reopen => f.write_str("ended, may begin anew"),
        }
    }
}

impl fmt::Display for Route {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let source = match self.source {
            crate::RouteSource::User => "user",
            crate::RouteSource::VirtualNetworkGateway => "bgp",
            crate::RouteSource::Default => "system",
        };
        write!(f, "{source} {} to {}", self.prefix, self.next_hop)
    }
}
