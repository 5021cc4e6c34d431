mod groups;

use core::net::{Ipv4Addr, SocketAddrV4};

use ipnet::Ipv4Net;
use vnetem_authz::{
    Access, Action, Arrival, Caller, Decider, DefaultAction, Grant, IpRule, NetworkSpace,
    OrderedRule, OrderedRules, PortRange, PublicAccess, Refusal, ResourceInstance, RuleDirection,
    RuleError, RuleLimits, RuleProtocol, RuleSet, RuleState, SecurityGroup, SecurityRule, Selector,
    Tags,
};
use vnetem_packet::{FiveTuple, Identity, Protocol, SubnetId, VnetId};

/// Edits a resource's rules, a site's ordered rules or a security group, and compares each decision
/// with a scan over the list of rules.
///
/// The first byte chooses which. Each eight bytes after it are an edit or a caller.
/// (INV-denied-by-default, INV-identity-decides, INV-rules-monotonic, INV-tie-limit-enforced, F-01
/// to F-13, F-20, P-08, P-09, P-12, P-14)
pub fn authz_rules(bytes: &[u8]) {
    let Some((kind, bytes)) = bytes.split_first() else { return };
    let events = bytes.as_chunks::<8>().0.iter().take(96);
    match kind % 4 {
        0 => unordered(events, RuleLimits::UNSTATED),
        1 => {
            let few = RuleLimits { vnet_rules: Some(3), ip_rules: Some(4), ..RuleLimits::STORAGE };
            unordered(events, few);
        }
        2 => ordered(events),
        _ => groups::group(events, kind >> 2),
    }
}

/// The rules of a resource, as lists.
#[derive(Clone, Debug)]
struct Written {
    limits: RuleLimits,
    public: bool,
    allow: bool,
    /// The subnet, the rule's state, and whether the rule is in force.
    subnets: Vec<(SubnetId, RuleState, bool)>,
    ranges: Vec<Ipv4Net>,
    instances: Vec<ResourceInstance>,
}

fn unordered<'a>(events: impl Iterator<Item = &'a [u8; 8]>, limits: RuleLimits) {
    let mut set = RuleSet::new(limits, DefaultAction::Deny);
    let mut written = Written {
        limits,
        public: true,
        allow: false,
        subnets: vec![],
        ranges: vec![],
        instances: vec![],
    };
    for event in events {
        let [what, a, rest @ ..] = *event;
        if what >= 0x80 {
            let arrival = arrival(event);
            assert_eq!(set.judge(arrival), written.judge(arrival), "{arrival:?} {written:?}");
            continue;
        }
        let before = set.clone();
        let subnet = SubnetId(u32::from(a % 8));
        let instance = ResourceInstance(u64::from(a % 4));
        let rule = ip_rule(a, rest);
        let done = match what % 8 {
            0 | 1 => {
                let state = state(rest[0]);
                let done = set.set_vnet_rule(subnet, state);
                let expected = written.set_subnet(subnet, state);
                assert_eq!(done, expected, "{written:?}");
                done
            }
            2 => {
                let was = written.subnets.iter().any(|rule| rule.0 == subnet);
                written.subnets.retain(|rule| rule.0 != subnet);
                assert_eq!(set.remove_vnet_rule(subnet), was);
                Ok(())
            }
            3 | 4 => {
                let done = set.add_ip_rule(rule);
                assert_eq!(done, written.add_range(rule), "{written:?}");
                done
            }
            5 => {
                let was = written.ranges.contains(&rule.range());
                written.ranges.retain(|range| *range != rule.range());
                assert_eq!(set.remove_ip_rule(rule), was);
                Ok(())
            }
            6 => {
                set.trust_instance(instance);
                written.instances.push(instance);
                if rest[0] & 1 == 1 {
                    set.distrust_instance(instance);
                    written.instances.retain(|trusted| *trusted != instance);
                }
                Ok(())
            }
            _ => {
                (written.public, written.allow) = (a & 3 != 3, a & 12 == 12);
                let access =
                    if written.public { PublicAccess::Enabled } else { PublicAccess::Disabled };
                set.set_public_access(access);
                let action = if written.allow { DefaultAction::Allow } else { DefaultAction::Deny };
                set.set_default_action(action);
                Ok(())
            }
        };
        assert!(
            done.is_ok() || set == before,
            "a refused edit changed something (INV-failed-edit-changes-nothing)"
        );
    }
}

impl Written {
    fn judge(&self, arrival: Arrival) -> Access {
        match arrival {
            Arrival::PrivateEndpoint { approved: true } => {
                return Access::Allowed(Grant::PrivateEndpoint);
            }
            Arrival::PrivateEndpoint { approved: false } => {
                return Access::Refused(Refusal::PrivateEndpointNotApproved);
            }
            Arrival::Instance(instance) if self.instances.contains(&instance) => {
                return Access::Allowed(Grant::TrustedInstance);
            }
            _ if !self.public => return Access::Refused(Refusal::PublicAccessDisabled),
            _ if self.allow => return Access::Allowed(Grant::DefaultAllow),
            _ => {}
        }
        match arrival {
            Arrival::Tunnel(identity) => {
                match self.subnets.iter().find(|rule| rule.0 == identity.subnet) {
                    Some((subnet, _, true)) => Access::Allowed(Grant::SubnetRule(*subnet)),
                    Some(_) => Access::Refused(Refusal::RuleNotInForce),
                    None => Access::Refused(Refusal::SubnetNotListed),
                }
            }
            Arrival::PrivateSameRegion(_) => Access::Refused(Refusal::PrivateWithoutIdentity),
            Arrival::Public(address) => {
                let covers = |range: &&Ipv4Net| range.contains(&address) && !private(address);
                let widest = self.ranges.iter().filter(covers);
                match widest.min_by_key(|range| range.prefix_len()) {
                    Some(range) => Access::Allowed(Grant::IpRule(*range)),
                    None => Access::Refused(Refusal::AddressNotListed),
                }
            }
            _ => Access::Refused(Refusal::InstanceNotListed),
        }
    }

    fn set_subnet(&mut self, subnet: SubnetId, state: RuleState) -> Result<(), RuleError> {
        let full = self.limits.vnet_rules.filter(|limit| self.subnets.len() >= *limit);
        match (self.subnets.iter_mut().find(|rule| rule.0 == subnet), full) {
            (Some((_, RuleState::NetworkSourceDeleted, _)), _)
                if state != RuleState::NetworkSourceDeleted =>
            {
                Err(RuleError::NetworkSourceDeleted(subnet))
            }
            (Some(rule), _) => {
                // U-20: a rule that is provisioned again decides as before.
                let stays = state == RuleState::Provisioning && rule.2;
                *rule = (subnet, state, stays || state == RuleState::Succeeded);
                Ok(())
            }
            (None, Some(limit)) => Err(RuleError::TooManyVnetRules { limit }),
            (None, None) => {
                self.subnets.push((subnet, state, state == RuleState::Succeeded));
                Ok(())
            }
        }
    }

    fn add_range(&mut self, rule: IpRule) -> Result<(), RuleError> {
        let range = rule.range();
        let internal = |text: &str| {
            let outer: Ipv4Net = text.parse().unwrap_or_default();
            (outer.prefix_len() <= range.prefix_len() && outer.contains(&range.addr()))
                .then_some(outer)
        };
        if range.trunc() != range {
            return Err(RuleError::HostBits(range));
        }
        let private =
            ["10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16"].into_iter().find_map(internal);
        // F-04: nor may a range hold private addresses, except for a SQL server.
        let holds = |text: &&str| range.contains(&net(text)) && !self.limits.around_private;
        let around = ["10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16"].into_iter().find(holds);
        if let Some(outer) = private.or(around.map(net)) {
            return Err(RuleError::Private { rule: range, range: outer });
        }
        let long = matches!(rule, IpRule::Prefix(_)) && range.prefix_len() >= 31;
        if long && !self.limits.host_prefixes {
            return Err(RuleError::HostPrefix(range));
        }
        if self.ranges.contains(&range) {
            return Ok(());
        }
        match self.limits.ip_rules {
            Some(limit) if self.ranges.len() >= limit => Err(RuleError::TooManyIpRules { limit }),
            _ => {
                self.ranges.push(range);
                Ok(())
            }
        }
    }
}

/// Checks rules with numbers, as a site has them (F-20).
fn ordered<'a>(events: impl Iterator<Item = &'a [u8; 8]>) {
    let mut rules = OrderedRules::new();
    let mut written: Vec<OrderedRule> = Vec::new();
    let mut unmatched = None;
    for event in events {
        let [what, a, rest @ ..] = *event;
        if what >= 0x80 {
            let arrival = arrival(event);
            let matches = |rule: &&OrderedRule| match (rule.caller, arrival) {
                (Caller::Any, Arrival::PrivateEndpoint { .. }) => false,
                (Caller::Any, _) => true,
                (Caller::Subnet(subnet), Arrival::Tunnel(identity)) => identity.subnet == subnet,
                (Caller::Addresses(range), Arrival::Public(address)) => {
                    range.contains(&address) && !private(address)
                }
                _ => false,
            };
            // Of the matching rules with the lowest number the first one decides.
            let decides = written.iter().filter(matches).min_by_key(|rule| rule.number);
            let allowed = match (arrival, decides, unmatched) {
                (Arrival::PrivateEndpoint { approved }, ..) => approved,
                (_, Some(rule), _) => rule.action == Action::Allow,
                (_, None, Some(action)) => action == Action::Allow,
                (_, None, None) => written.is_empty(),
            };
            let access = rules.judge(arrival);
            assert_eq!(access.is_allowed(), allowed, "{access:?} {arrival:?} {written:?}");
            continue;
        }
        let action = if a & 1 == 0 { Action::Allow } else { Action::Deny };
        let caller = match a >> 1 & 3 {
            0 => Caller::Any,
            1 => Caller::Subnet(SubnetId(u32::from(rest[0] % 8))),
            _ => Caller::Addresses(ip_rule(a, rest).range()),
        };
        let rule = OrderedRule { number: u32::from(rest[5] % 8), action, caller };
        match what % 4 {
            0 | 1 => {
                let bits = |range: Ipv4Net| range != range.trunc();
                let wrong = matches!(caller, Caller::Addresses(range) if bits(range));
                assert_eq!(rules.add_rule(rule.clone()).is_err(), wrong);
                if !wrong {
                    written.push(rule);
                }
            }
            2 => {
                let was = written.contains(&rule);
                written.retain(|other| *other != rule);
                assert_eq!(rules.remove_rule(&rule), was);
            }
            _ => {
                unmatched = [None, Some(Action::Allow), Some(Action::Deny)]
                    .get(usize::from(a % 3))
                    .copied()
                    .flatten();
                rules.set_unmatched(unmatched);
            }
        }
        let sorted = rules.rules().is_sorted_by_key(|rule| rule.number);
        assert!(sorted && rules.rules().len() == written.len());
    }
}

const TAGGED: [&str; 2] = ["52.239.0.0/16", "20.60.0.0/14"];
const SPACE: [&str; 2] = ["10.0.0.0/16", "20.1.0.0/24"];

fn arrival(event: &[u8; 8]) -> Arrival {
    let [what, a, b, c, d, ..] = *event;
    let address = host(b, c);
    match what % 8 {
        0..=2 => Arrival::Tunnel(Identity {
            vnet: VnetId(u32::from(d % 2)),
            subnet: SubnetId(u32::from(a % 8)),
            address,
        }),
        3..=5 => Arrival::Public(address),
        6 => Arrival::PrivateSameRegion(address),
        _ if a & 0x80 == 0 => Arrival::Instance(ResourceInstance(u64::from(a % 4))),
        _ => Arrival::PrivateEndpoint { approved: a & 1 == 1 },
    }
}

fn state(number: u8) -> RuleState {
    [
        RuleState::Succeeded,
        RuleState::Succeeded,
        RuleState::Provisioning,
        RuleState::Deprovisioning,
        RuleState::Failed,
        RuleState::NetworkSourceDeleted,
    ][usize::from(number % 6)]
}

/// Makes a rule about one of few addresses, often with a length that fits it.
fn ip_rule(a: u8, [b, c, d, ..]: [u8; 6]) -> IpRule {
    let address = host(b, c);
    if a & 0x40 == 0 {
        return IpRule::Address(address);
    }
    let prefix = Ipv4Net::new(address, d % 33).unwrap_or_default();
    IpRule::Prefix(if d < 0xe0 { prefix.trunc() } else { prefix })
}

/// Returns one of few addresses: public ones close together, private ones of every range, odd ones.
fn host(a: u8, b: u8) -> Ipv4Addr {
    match a % 8 {
        0 | 1 => Ipv4Addr::new(20, 1, a >> 6, b),
        2 => Ipv4Addr::new(10, 0, a >> 6, b),
        3 => Ipv4Addr::new(52, 239, 1, b),
        4 => Ipv4Addr::new(172, 15 + (a >> 6), 0, b),
        5 => Ipv4Addr::new(192, 168, 0, b),
        6 => Ipv4Addr::new(20, 60, 0, b),
        _ => Ipv4Addr::new(b, 0, 0, 1),
    }
}

fn private(address: Ipv4Addr) -> bool {
    matches!(address.octets(), [10, ..] | [172, 16..=31, ..] | [192, 168, ..])
}

fn net(text: &str) -> Ipv4Net {
    text.parse().unwrap_or_default()
}
