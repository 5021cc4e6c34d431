//! One packet, explained by the code that forwards it. `Step` is typed; text exists only in
//! `Display`.

use core::fmt;
use core::net::{Ipv4Addr, SocketAddrV4};
use std::sync::Arc;

use vnetem_authz::{Access, Action, Grant, Refusal, RuleDirection};
use vnetem_nat::Generation;
use vnetem_packet::{Headers, Identity, Malformed, SubnetId};

use crate::route::Choice;
use crate::{
    AccessVerdict, Disposition, DropReason, Edge, PassedOver, PrivateEndpointId, ResourceId, Route,
    SecurityGroupId, ServiceId, Snapshot, SourceMode, TiePolicy, Verdict,
};

/// Why a packet would end as it would. Making one changes nothing; the packet's bytes and all
/// counters stay as they are (INV-trace-equals-verdict).
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Trace {
    snapshot: Arc<Snapshot>,
    /// Where the packet would enter.
    pub edge: Edge,
    /// The headers of the packet, or why the bytes are no packet.
    pub headers: Result<Headers, Malformed>,
    /// What was decided, in order.
    pub steps: Vec<Step>,
    /// The reasons for the cached decision of the packet's live flow, which its packets take
    /// without asking again.
    pub given: Vec<Step>,
    /// The final word.
    pub verdict: Verdict,
}

impl Trace {
    /// Names the edge by which the packet would leave, if it would. An answer enters there.
    #[must_use]
    pub fn leaves_by(&self) -> Option<Edge> {
        self.verdict.edge(&self.snapshot)
    }
}

/// One step of a decision.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
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
        /// The number of the rule that decided, default rules included; `None` for the platform's
        /// own services (P-15).
        rule: Option<u16>,
    },
    /// The route that was taken, and the subnet's own route if the endpoint was preferred to it.
    Route {
        /// What was chosen.
        choice: Choice,
        /// The best route of the subnet's own table.
        route: Option<Route>,
    },
    /// Answers of the flow do not leave by the edge that the question came by, but as the next step
    /// says.
    Answer {
        /// Where the question came from.
        question: Edge,
    },
    /// An endpoint that the subnet has for the service of the destination, and that does not take
    /// the packet.
    PassedOver {
        /// The subnet.
        subnet: SubnetId,
        /// The service.
        service: ServiceId,
        /// Where the packet goes.
        destination: Ipv4Addr,
        /// Why the endpoint does not take it.
        why: PassedOver,
    },
    /// A user route and the prefix of an endpoint are of equal length, and the policy chose (C-01).
    Tie {
        /// The subnet.
        subnet: SubnetId,
        /// The service.
        service: ServiceId,
        /// The policy; the other one chooses the other.
        policy: TiePolicy,
    },
    /// A user route to the network itself stands in the place of a private endpoint's own route
    /// (L-11).
    PrivateRoute {
        /// The private endpoint.
        endpoint: PrivateEndpointId,
        /// Whether the route carries to it.
        carries: bool,
    },
    /// Whether a service sees the caller's private source without an endpoint hangs on the regions
    /// of both (C-03).
    Region {
        /// The subnet of the caller.
        subnet: SubnetId,
        /// The address of the service.
        destination: Ipv4Addr,
        /// What the regions say.
        choice: RegionChoice,
    },
    /// Under which source the far side will see the flow.
    Source {
        /// The public address and port, if the source is translated.
        translated: Option<SocketAddrV4>,
        /// What the service learns of the caller, if the flow goes over an endpoint.
        identity: Option<Identity>,
    },
    /// The endpoint policies of the subnet refuse an address at which no resource is declared: they
    /// name it nowhere (S-45).
    Undeclared {
        /// The address.
        destination: Ipv4Addr,
        /// What the service says.
        refusal: Refusal,
    },
    /// What the rules of the resource said.
    Access {
        /// The resource.
        resource: ResourceId,
        /// The answer.
        access: Access,
    },
}

/// What the regions of a network and of a service's address say of the path between them; each with
/// whether the path inside one region is on, which it is for Storage unless it is switched off
/// (C-03).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum RegionChoice {
    /// They are one. With the path on the service sees the private source and no identity.
    Same(bool),
    /// The network's is not known, so the service sees a public source (S-14).
    NetworkUnknown(bool),
    /// The address's is not known, so the service sees a public source (S-14).
    AddressUnknown(bool),
}

/// What the flow table said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum FlowStep {
    /// No flow has this tuple.
    Miss,
    /// A live flow whose cached decision is current.
    Hit {
        /// The generation that decided on it last.
        opened_by: Generation,
    },
    /// A live flow that a change made stale, revalidated without a difference.
    Renewed {
        /// The generation that decided on it last.
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

/// Takes the steps of a decision, or ignores them.
pub(crate) trait Note {
    /// Takes a step.
    fn step(&mut self, step: impl FnOnce() -> Step);

    /// Takes the reasons for the cached decision of a live flow.
    #[inline]
    fn given(&mut self, _: impl FnOnce(&mut Vec<Step>)) {}
}

/// Forwards: takes no steps, and nothing is computed for them.
impl Note for () {
    #[inline]
    fn step(&mut self, _: impl FnOnce() -> Step) {}
}

/// Takes the steps of one list.
impl Note for Vec<Step> {
    fn step(&mut self, step: impl FnOnce() -> Step) {
        self.push(step());
    }
}

/// Explains a packet: takes all steps, and apart from them the reasons of its live flow.
#[derive(Default)]
pub(crate) struct Explanation {
    steps: Vec<Step>,
    given: Vec<Step>,
}

impl Note for Explanation {
    fn step(&mut self, step: impl FnOnce() -> Step) {
        self.steps.push(step());
    }

    fn given(&mut self, explain: impl FnOnce(&mut Vec<Step>)) {
        explain(&mut self.given);
    }
}

impl Trace {
    pub(crate) fn new(
        snapshot: Arc<Snapshot>,
        edge: Edge,
        headers: Result<Headers, Malformed>,
        explanation: Explanation,
        verdict: Verdict,
    ) -> Self {
        let Explanation { steps, given } = explanation;
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
            Step::Answer { question } => {
                let from = snapshot.describe(question);
                write!(f, "reply    goes another way than the question came, which was from {from}")
            }
            Step::PassedOver { subnet, service, destination, why } => {
                let name = snapshot.endpoint_name(subnet, service);
                write!(f, "passed   endpoint {name}: ")?;
                match why {
                    PassedOver::NotTcp => f.write_str("it carries TCP only"),
                    PassedOver::ForeignSource => {
                        f.write_str("it serves no source from outside of the network and its peers")
                    }
                    PassedOver::NotReached => f.write_str("it has not reached this host yet"),
                    PassedOver::UserRoute => f.write_str("the user route is longer"),
                    PassedOver::OutOfScope => {
                        let there = snapshot.region_of(destination).unwrap_or("?");
                        let scope = snapshot.scope_of(subnet, service).join(", ");
                        write!(f, "{destination} is in {there}, out of its scope ({scope})")
                    }
                }
            }
            Step::Tie { subnet, service, policy } => {
                let name = snapshot.endpoint_name(subnet, service);
                let (chosen, other) = match policy {
                    TiePolicy::Documented => ("documented: the endpoint", "observed: the route"),
                    TiePolicy::Observed => ("observed: the route", "documented: the endpoint"),
                };
                write!(f, "tie      of the user route and endpoint {name}, {chosen}   ({other})")
            }
            Step::PrivateRoute { endpoint, carries } => {
                let name = snapshot.describe(Edge::PrivateEndpoint(endpoint));
                write!(f, "private  the user route stands in the place of that of {name} and ")?;
                f.write_str(match carries {
                    true => "carries to it",
                    false => {
                        "carries nothing to it, as observed   (with the network's policy basic: it does)"
                    }
                })
            }
            Step::Region { subnet, destination, choice } => {
                let there = snapshot.region_of(destination);
                let on = match choice {
                    RegionChoice::Same(on)
                    | RegionChoice::NetworkUnknown(on)
                    | RegionChoice::AddressUnknown(on) => on,
                };
                let off = if on { "" } else { ", were the same-region path on" };
                match (choice, there) {
                    (RegionChoice::Same(true), _) => write!(
                        f,
                        "region   both in {}: private source, no identity   (same-region path off: a public source)",
                        there.unwrap_or("?")
                    ),
                    (RegionChoice::Same(false), _) => write!(
                        f,
                        "region   both in {}, same-region path off: a public source   (on: private source, no identity)",
                        there.unwrap_or("?")
                    ),
                    (RegionChoice::NetworkUnknown(_), Some(there)) => write!(
                        f,
                        "region   of {} not known: a public source   (in {there}: private source, no identity{off})",
                        snapshot.network_name(subnet)
                    ),
                    (RegionChoice::NetworkUnknown(_), None) => write!(
                        f,
                        "region   of {} and of {destination} not known: a public source   (in one region: private source, no identity{off})",
                        snapshot.network_name(subnet)
                    ),
                    (RegionChoice::AddressUnknown(_), _) => write!(
                        f,
                        "region   of {destination} not known: a public source   (in that of {}: private source, no identity{off})",
                        snapshot.network_name(subnet)
                    ),
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
            Step::Undeclared { destination, refusal } => {
                write!(f, "access   refused, no resource is declared at {destination}: {refusal}")
            }
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
        match self.item.disposition {
            Disposition::Forward(forward) => {
                write!(f, "forward to {}", self.snapshot.describe(forward.edge(self.snapshot)))?;
                if let SourceMode::Translated(external) = forward.source() {
                    write!(f, " as {external}")?;
                }
                if let AccessVerdict::Refused(refusal) = forward.access() {
                    write!(f, ", which will refuse it: {refusal}")?;
                }
                Ok(())
            }
            Disposition::Deny(reason) => write!(f, "deny {reason}"),
            Disposition::Drop(reason) => write!(f, "drop {reason}"),
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
