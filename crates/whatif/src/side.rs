//! One side of the comparison: a network, asked packet by packet what it does.

use core::net::Ipv4Addr;
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use foldhash::fast::RandomState;
use vnetem::packet::{AddressClass, FiveTuple};
use vnetem::{
    AccessVerdict, DataPlane, Disposition, DropReason, Edge, Forward, Ipv4Net, Network, NicId,
    ResourceId, SecurityGroupId, ServiceId, Settings, Snapshot, SourceMode, SubnetId, Time,
    authz::{Access, Action, Arrival, Grant, Refusal, RuleDirection},
    control::{Choice, NextHop, Outbound},
    trace::{Step, Trace},
};

use crate::packet::{Packet, Segment};
use crate::seen::{AccessSeen, Answer, Delivery, Need, Seen, Shared, Source};

/// Appliances that a packet passes at most, one behind the other.
const MOST_APPLIANCES: usize = 4;

/// Where a flow begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Origin {
    Subnet(SubnetId),
    Internet,
}

/// A rule that let a flow in, or out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Hit {
    Address(ResourceId, Ipv4Net),
    Subnet(ResourceId, SubnetId),
    Ordered(ResourceId, u32),
    Security(SecurityGroupId, RuleDirection, u16),
}

/// Choices of the model on which an answer hangs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Hinge {
    Tie,
    Region,
    ApplianceTranslates,
    ApplianceUnknown,
    SiteUnknown,
    PublicAddressUnknown,
    AccountUnknown,
}

/// Says what an address stands for that is in no file.
pub(crate) type StandsFor<'a> = &'a dyn Fn(Ipv4Addr) -> Option<String>;

pub(crate) struct Side<'a> {
    pub(crate) network: &'a Network,
    pub(crate) snapshot: Arc<Snapshot>,
    plane: DataPlane,
    nics: HashMap<(SubnetId, Ipv4Addr), NicId>,
    pools: HashMap<Ipv4Addr, u32>,
    accounts: HashMap<ServiceId, Vec<ResourceId>>,
    stands_for: StandsFor<'a>,
    asked: HashMap<(ServiceId, Arrival), u32, RandomState>,
    pub(crate) hits: HashMap<Hit, u64, RandomState>,
    pub(crate) hinges: BTreeSet<Hinge>,
}

impl<'a> Side<'a> {
    pub(crate) fn new(
        network: &'a Network,
        snapshot: &Arc<Snapshot>,
        stands_for: StandsFor<'a>,
        shared: &mut Shared,
    ) -> Self {
        let mut settings = Settings::replayable(1);
        settings.flows.capacity = 64;
        settings.flows.held = 64;
        settings.flows.revalidation_keys = 64;
        let nics = network.nics().map(|(id, nic)| ((nic.subnet, nic.address), id));
        let mut accounts: HashMap<ServiceId, Vec<ResourceId>> = HashMap::new();
        for (id, resource) in network.resources() {
            accounts.entry(resource.service).or_default().push(id);
        }
        Self {
            network,
            snapshot: Arc::clone(snapshot),
            plane: DataPlane::new(Arc::clone(snapshot), settings),
            nics: nics.collect(),
            pools: pools(network, shared),
            accounts,
            stands_for,
            asked: HashMap::default(),
            hits: HashMap::default(),
            hinges: BTreeSet::new(),
        }
    }

    /// The edge by which a host's packets enter.
    pub(crate) fn edge(&self, origin: Origin, source: Ipv4Addr) -> Edge {
        match origin {
            Origin::Internet => Edge::Internet,
            Origin::Subnet(subnet) => {
                self.nics.get(&(subnet, source)).map_or(Edge::Subnet(subnet), |nic| Edge::Nic(*nic))
            }
        }
    }

    /// Asks what becomes of a new flow.
    pub(crate) fn judge(&mut self, origin: Origin, tuple: &FiveTuple, shared: &mut Shared) -> Seen {
        let edge = self.edge(origin, *tuple.source.ip());
        let trace = self.trace(edge, tuple);
        let choice = choice(&trace);
        let appliance = match choice {
            Some(Choice::Route(route)) => match route.next_hop {
                NextHop::VirtualAppliance(address) => Some(address),
                _ => None,
            },
            _ => None,
        };
        let known = appliance.filter(|address| (self.stands_for)(*address).is_none());
        let mut seen = self.outcome(tuple, trace, appliance, shared);
        seen.next_hop = choice.map(Choice::next_hop_type);
        seen.appliance = known;
        seen
    }

    fn trace(&self, edge: Edge, tuple: &FiveTuple) -> Trace {
        self.plane.trace(Time(0), edge, Packet::new(tuple, Segment::SYN).bytes())
    }

    /// What comes out at the end, behind the appliances in the way.
    fn outcome(
        &mut self,
        tuple: &FiveTuple,
        mut trace: Trace,
        mut appliance: Option<Ipv4Addr>,
        shared: &mut Shared,
    ) -> Seen {
        let public = AddressClass::of(*tuple.destination.ip()) == AddressClass::Public;
        let sender = *tuple.source.ip();
        let mut tuple = *tuple;
        for _ in 0..MOST_APPLIANCES {
            self.note(&trace);
            let Some(address) = appliance else { break };
            match (trace.verdict.disposition, trace.leaves_by()) {
                (_, Some(to @ (Edge::Nic(_) | Edge::Subnet(_)))) if public => {
                    self.hinges.insert(Hinge::ApplianceTranslates);
                    tuple.source.set_ip(address);
                    trace = self.trace(to, &tuple);
                    appliance = match choice(&trace) {
                        Some(Choice::Route(route)) => match route.next_hop {
                            NextHop::VirtualAppliance(next) => Some(next),
                            _ => None,
                        },
                        _ => None,
                    };
                }
                (Disposition::Drop(DropReason::NoNextHop), _) => {
                    self.hinges.insert(Hinge::ApplianceUnknown);
                    return self.beyond(&tuple, shared);
                }
                _ => break,
            }
        }
        let mut seen = self.last_leg(&tuple, &trace, shared);
        if seen.source == Source::Private && *tuple.source.ip() != sender {
            seen.source = Source::Appliance(*tuple.source.ip());
        }
        seen
    }

    /// A packet that is handed on to where no file says what becomes of it.
    fn beyond(&self, tuple: &FiveTuple, shared: &mut Shared) -> Seen {
        let service = self.snapshot.service_at(*tuple.destination.ip());
        let asked = service.map(|service| self.candidates(service, *tuple.destination.ip()));
        let answers: Vec<Answer> = asked
            .unwrap_or_default()
            .into_iter()
            .map(|resource| Answer {
                resource,
                access: AccessSeen::Unknown,
                reason: None,
                need: None,
            })
            .collect();
        Seen {
            disposition: Delivery::Forward,
            next_hop: None,
            appliance: None,
            source: Source::Unknown,
            access: if answers.is_empty() { AccessSeen::NotAsked } else { AccessSeen::Unknown },
            reason: None,
            accounts: (!answers.is_empty()).then(|| shared.answer(&answers)),
        }
    }

    fn last_leg(&mut self, tuple: &FiveTuple, trace: &Trace, shared: &mut Shared) -> Seen {
        let mut seen = Seen {
            disposition: Delivery::Forward,
            next_hop: None,
            appliance: None,
            source: Source::None,
            access: AccessSeen::NotAsked,
            reason: None,
            accounts: None,
        };
        let forward = match trace.verdict.disposition {
            Disposition::Forward(forward) => forward,
            Disposition::Deny(reason) => {
                (seen.disposition, seen.reason) = (Delivery::Deny, Some(reason.name()));
                return seen;
            }
            Disposition::Drop(reason) => {
                (seen.disposition, seen.reason) = (Delivery::Drop, Some(reason.name()));
                return seen;
            }
        };
        if let Some(Edge::Site(_)) = trace.leaves_by() {
            // What a site makes of a packet to a public address is its own affair.
            if AddressClass::of(*tuple.destination.ip()) == AddressClass::Public {
                self.hinges.insert(Hinge::SiteUnknown);
                return self.beyond(tuple, shared);
            }
        }
        seen.source = match forward.source() {
            SourceMode::Preserved => Source::Private,
            SourceMode::Translated(external) if (self.stands_for)(*external.ip()).is_some() => {
                self.hinges.insert(Hinge::PublicAddressUnknown);
                Source::PublicUnknown
            }
            SourceMode::Translated(external) => {
                let known = self.pools.get(external.ip()).copied();
                Source::Public(known.unwrap_or_else(|| shared.pool(&[*external.ip()])))
            }
        };
        self.ask(tuple, trace, forward, &mut seen, shared);
        seen
    }

    /// Asks the rules of the resource, or of every account that may be meant.
    fn ask(
        &mut self,
        tuple: &FiveTuple,
        trace: &Trace,
        forward: Forward,
        seen: &mut Seen,
        shared: &mut Shared,
    ) {
        let (service, arrival) = match (forward.edge(&self.snapshot), forward.source()) {
            (Edge::Service { service, identity: Some(identity) }, _) => {
                (service, Arrival::Tunnel(identity))
            }
            (Edge::Service { service, .. }, SourceMode::Translated(external)) => {
                (service, Arrival::Public(*external.ip()))
            }
            (Edge::Service { service, .. }, SourceMode::Preserved) => {
                (service, Arrival::Public(*tuple.source.ip()))
            }
            (Edge::SameRegion { service, .. }, _) => {
                (service, Arrival::PrivateSameRegion(*tuple.source.ip()))
            }
            (Edge::PrivateEndpoint(id), _) => {
                if let Some(resource) = self.snapshot.resource_behind(id) {
                    let answer = self.answer(resource, Arrival::PrivateEndpoint { approved: true });
                    self.answered(&[answer], seen, shared);
                }
                return;
            }
            _ => return,
        };
        let destination = *tuple.destination.ip();
        let named = self.candidates(service, destination);
        if named.is_empty() {
            if let AccessVerdict::Refused(refusal) = forward.access() {
                // Policies of the endpoint refuse what is declared nowhere (S-45).
                (seen.access, seen.reason) = (AccessSeen::Deny, Some(refusal.name()));
            }
            return;
        }
        let is_one = matches!(self.snapshot.resources_at(destination), [_]);
        if is_one {
            let access = trace.steps.iter().find_map(|step| match step {
                Step::Access { resource, access } => Some((*resource, *access)),
                _ => None,
            });
            let answer = match access {
                Some((resource, access)) => self.answer_of(resource, access, arrival),
                None => match named.first() {
                    Some(resource) => self.answer(*resource, arrival),
                    None => return,
                },
            };
            return self.answered(&[answer], seen, shared);
        }
        self.hinges.insert(Hinge::AccountUnknown);
        // What an account says hangs on the identity's subnet, not on the host.
        let key = match arrival {
            Arrival::Tunnel(mut identity) => {
                identity.address = Ipv4Addr::UNSPECIFIED;
                Arrival::Tunnel(identity)
            }
            Arrival::PrivateSameRegion(_) => Arrival::PrivateSameRegion(Ipv4Addr::UNSPECIFIED),
            other => other,
        };
        let shares = self.snapshot.resources_at(destination).is_empty();
        let known = shares.then(|| self.asked.get(&(service, key)).copied()).flatten();
        let number = known.unwrap_or_else(|| {
            let answers: Vec<_> = named.iter().map(|id| self.answer(*id, arrival)).collect();
            shared.answer(&answers)
        });
        if shares {
            self.asked.insert((service, key), number);
        }
        seen.accounts = Some(number);
        let answers = shared.answers_of(seen);
        let first = answers.first().map(|answer| (answer.access, answer.reason));
        let alike = answers.iter().all(|answer| Some((answer.access, answer.reason)) == first);
        (seen.access, seen.reason) = match first {
            Some(first) if alike => first,
            _ => (AccessSeen::Unknown, None),
        };
    }

    fn answered(&mut self, answers: &[Answer], seen: &mut Seen, shared: &mut Shared) {
        if let [answer] = answers {
            (seen.access, seen.reason) = (answer.access, answer.reason);
        }
        seen.accounts = Some(shared.answer(answers));
    }

    /// Resources that may be meant by an address of a service: those that are there, or those of
    /// the service of which no file says where they are.
    pub(crate) fn candidates(&self, service: ServiceId, address: Ipv4Addr) -> Vec<ResourceId> {
        let here = self.snapshot.resources_at(address);
        if !here.is_empty() {
            return here.to_vec();
        }
        let floats = |id: &&ResourceId| {
            let resource = self.network.resource(**id).ok();
            resource.is_some_and(|resource| (self.stands_for)(resource.address).is_some())
        };
        let all = self.accounts.get(&service).into_iter().flatten();
        all.filter(floats).copied().collect()
    }

    fn answer(&mut self, resource: ResourceId, arrival: Arrival) -> Answer {
        match self.snapshot.judge(resource, arrival) {
            Some(access) => self.answer_of(resource, access, arrival),
            None => Answer { resource, access: AccessSeen::NotAsked, reason: None, need: None },
        }
    }

    fn answer_of(&mut self, resource: ResourceId, access: Access, arrival: Arrival) -> Answer {
        let refusal = match access {
            Access::Allowed(grant) => {
                let hit = match grant {
                    Grant::IpRule(range) => Some(Hit::Address(resource, range)),
                    Grant::SubnetRule(subnet) => Some(Hit::Subnet(resource, subnet)),
                    Grant::OrderedRule(number) => Some(Hit::Ordered(resource, number)),
                    _ => None,
                };
                if let Some(hit) = hit {
                    *self.hits.entry(hit).or_default() += 1;
                }
                return Answer { resource, access: AccessSeen::Allow, reason: None, need: None };
            }
            Access::Refused(refusal) => refusal,
        };
        let need = match (refusal, arrival) {
            (Refusal::SubnetNotListed, Arrival::Tunnel(identity)) => Need::Subnet(identity.subnet),
            (Refusal::DeniedByRule, Arrival::Tunnel(identity)) => Need::Subnet(identity.subnet),
            (Refusal::AddressNotListed | Refusal::DeniedByRule, Arrival::Public(address)) => {
                Need::Address(address)
            }
            (other, _) => Need::Other(other.name()),
        };
        // Whether a rule has an address cannot be said of one that is in no file.
        let open = matches!(need, Need::Address(address) if (self.stands_for)(address).is_some())
            && self.has_address_rules(resource);
        let access = if open { AccessSeen::Unknown } else { AccessSeen::Deny };
        let reason = (!open).then(|| refusal.name());
        Answer { resource, access, reason, need: Some(need) }
    }

    fn has_address_rules(&self, resource: ResourceId) -> bool {
        let Ok(resource) = self.network.resource(resource) else { return false };
        match crate::rules::rule_set(&resource.rules) {
            Some(rules) => !rules.ip_rules().is_empty(),
            None => true,
        }
    }

    /// Keeps what a decision hung on.
    fn note(&mut self, trace: &Trace) {
        for step in trace.steps.iter().chain(&trace.given) {
            match *step {
                Step::Tie { .. } => _ = self.hinges.insert(Hinge::Tie),
                Step::Region { .. } => _ = self.hinges.insert(Hinge::Region),
                Step::Security { group, direction, rule: Some(rule), action: Action::Allow } => {
                    *self.hits.entry(Hit::Security(group, direction, rule)).or_default() += 1;
                }
                _ => {}
            }
        }
    }
}

fn choice(trace: &Trace) -> Option<Choice> {
    trace.steps.iter().find_map(|step| match step {
        Step::Route { choice, .. } => Some(*choice),
        _ => None,
    })
}

/// The public addresses of each outbound method, by each of them: which of a pool a flow gets is
/// chance, and no difference.
fn pools(network: &Network, shared: &mut Shared) -> HashMap<Ipv4Addr, u32> {
    let mut pools = HashMap::new();
    let subnets = network.subnets().map(|(_, subnet)| match &subnet.outbound {
        Outbound::Private => &[][..],
        outbound => outbound.addresses(),
    });
    let balancers = network.load_balancers().map(|(_, one)| one.frontends.as_slice());
    let sites = network.sites().map(|(_, site)| site.nat.as_slice());
    for addresses in subnets.chain(balancers).chain(sites).filter(|list| !list.is_empty()) {
        let number = shared.pool(addresses);
        pools.extend(addresses.iter().map(|address| (*address, number)));
    }
    for (_, nic) in network.nics() {
        if let Some(address) = nic.public {
            pools.insert(address, shared.pool(&[address]));
        }
    }
    pools
}
