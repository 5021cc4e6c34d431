//! Compares a rule set with a reference implementation, and checks the invariants of authorization.

use std::net::Ipv4Addr;

use ipnet::Ipv4Net;
use proptest::collection::vec;
use proptest::prelude::*;
use vnetem_authz::{
    Access, Arrival, DefaultAction, Grant, IpRule, PublicAccess, Refusal, ResourceInstance,
    RuleLimits, RuleSet, RuleState,
};
use vnetem_packet::{Identity, SubnetId, VnetId};

/// The decision order of the service as linear scans over the edits.
#[derive(Clone, Debug, Default)]
struct Reference {
    public_access_disabled: bool,
    default_allow: bool,
    /// Subnet, and whether its rule is in force.
    subnets: Vec<(SubnetId, bool)>,
    ranges: Vec<Ipv4Net>,
    instances: Vec<ResourceInstance>,
}

#[derive(Clone, Debug)]
enum Edit {
    PublicAccess(PublicAccess),
    DefaultAction(DefaultAction),
    VnetRule(SubnetId, RuleState),
    RemoveVnetRule(SubnetId),
    IpRule(IpRule),
    RemoveIpRule(IpRule),
    Trust(ResourceInstance),
    Distrust(ResourceInstance),
}

impl Reference {
    fn judge(&self, arrival: Arrival) -> Access {
        if let Arrival::PrivateEndpoint { approved } = arrival {
            return if approved {
                Access::Allowed(Grant::PrivateEndpoint)
            } else {
                Access::Refused(Refusal::PrivateEndpointNotApproved)
            };
        }
        if let Arrival::Instance(instance) = arrival
            && self.instances.contains(&instance)
        {
            return Access::Allowed(Grant::TrustedInstance);
        }
        if self.public_access_disabled {
            return Access::Refused(Refusal::PublicAccessDisabled);
        }
        if self.default_allow {
            return Access::Allowed(Grant::DefaultAllow);
        }
        if let Arrival::Tunnel(identity) = arrival {
            for &(subnet, in_force) in &self.subnets {
                if subnet == identity.subnet {
                    return if in_force {
                        Access::Allowed(Grant::SubnetRule(subnet))
                    } else {
                        Access::Refused(Refusal::RuleNotInForce)
                    };
                }
            }
            return Access::Refused(Refusal::SubnetNotListed);
        }
        if let Arrival::PrivateSameRegion(_) = arrival {
            return Access::Refused(Refusal::PrivateWithoutIdentity);
        }
        if let Arrival::Public(address) = arrival {
            let mut widest: Option<Ipv4Net> = None;
            for &range in &self.ranges {
                let inside = range.network() <= address && address <= range.broadcast();
                let wider = widest.is_none_or(|found| range.prefix_len() < found.prefix_len());
                if inside && wider && !is_private(address) {
                    widest = Some(range);
                }
            }
            return match widest {
                Some(range) => Access::Allowed(Grant::IpRule(range)),
                None => Access::Refused(Refusal::AddressNotListed),
            };
        }
        Access::Refused(Refusal::InstanceNotListed)
    }

    fn apply(&mut self, edit: &Edit) {
        match *edit {
            Edit::PublicAccess(access) => {
                self.public_access_disabled = access == PublicAccess::Disabled;
            }
            Edit::DefaultAction(action) => self.default_allow = action == DefaultAction::Allow,
            Edit::VnetRule(subnet, state) => {
                let was_in_force = self.subnets.contains(&(subnet, true));
                self.subnets.retain(|&(listed, _)| listed != subnet);
                let in_force = match state {
                    RuleState::Succeeded => true,
                    RuleState::Provisioning => was_in_force,
                    _ => false,
                };
                self.subnets.push((subnet, in_force));
            }
            Edit::RemoveVnetRule(subnet) => self.subnets.retain(|&(listed, _)| listed != subnet),
            Edit::IpRule(rule) => self.ranges.push(rule.range()),
            Edit::RemoveIpRule(rule) => self.ranges.retain(|&range| range != rule.range()),
            Edit::Trust(instance) => self.instances.push(instance),
            Edit::Distrust(instance) => self.instances.retain(|&trusted| trusted != instance),
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: if cfg!(miri) { 4 } else { 2_000 },
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    /// Any history of edits gives the same decisions, and refused edits change nothing.
    #[test]
    fn rule_set_agrees_with_reference(edits in vec(edit(), 0..40), arrivals in vec(arrival(), 1..20)) {
        let mut set = RuleSet::new(RuleLimits::UNSTATED, DefaultAction::Deny);
        let mut plain = Reference::default();
        for edit in &edits {
            let before = set.clone();
            match apply(&mut set, edit) {
                true => plain.apply(edit),
                false => prop_assert_eq!(&set, &before),
            }
        }
        for arrival in arrivals {
            prop_assert_eq!(set.judge(arrival), plain.judge(arrival));
        }
    }

    /// Nothing is allowed without a rule for it or a default of allow (INV-denied-by-default).
    #[test]
    fn what_no_rule_allows_is_refused(arrival in arrival()) {
        let set = RuleSet::new(RuleLimits::STORAGE, DefaultAction::Deny);
        prop_assert_eq!(set.judge(arrival).is_allowed(), arrival == Arrival::PrivateEndpoint { approved: true });
    }

    /// Requests that differ only in the private address, or only in the VNet number, are decided
    /// alike (INV-identity-decides, S-05, C-20).
    #[test]
    fn tunnel_decision_ignores_private_address(set in rule_set(), one in identity(), address in address()) {
        let other = Identity { address, ..one };
        prop_assert_eq!(set.judge(Arrival::Tunnel(one)), set.judge(Arrival::Tunnel(other)));
    }

    /// With equal addresses, rules for one subnet do not affect another (INV-identity-decides,
    /// F-03).
    #[test]
    fn equal_addresses_are_decided_by_subnet(set in rule_set(), one in identity(), other in subnet(), state in state()) {
        prop_assume!(one.subnet != other);
        let before = set.judge(Arrival::Tunnel(one));
        let mut edited = set.clone();
        let _ = edited.set_vnet_rule(other, state);
        prop_assert_eq!(edited.judge(Arrival::Tunnel(one)), before);
        edited.remove_vnet_rule(other);
        prop_assert_eq!(edited.judge(Arrival::Tunnel(one)), before);
    }

    /// Not even 0.0.0.0/0 allows a private source (INV-ip-rule-public-only).
    #[test]
    fn ip_rule_never_matches_private_source(set in rule_set(), private in private_address()) {
        // Only a SQL server accepts such a rule. The other sets go without.
        let mut set = set;
        let _ = set.add_ip_rule(IpRule::Prefix(Ipv4Net::default()));
        let mut server = RuleSet::new(RuleLimits::SQL, DefaultAction::Deny);
        server.add_ip_rule(IpRule::Prefix(Ipv4Net::default())).unwrap();
        prop_assert!(!server.judge(Arrival::Public(private)).is_allowed());
        for arrival in [Arrival::Public(private), Arrival::PrivateSameRegion(private)] {
            prop_assert!(!matches!(set.judge(arrival), Access::Allowed(Grant::IpRule(_))));
        }
    }

    /// An IP rule does not match a request over an endpoint. So enabling the endpoint voids the
    /// rule, and disabling it restores the rule (INV-endpoint-voids-ip-rule, S-16).
    #[test]
    fn endpoint_voids_the_ip_rule(set in rule_set(), identity in identity(), public in public_address()) {
        let mut set = set;
        set.set_public_access(PublicAccess::Enabled);
        set.set_default_action(DefaultAction::Deny);
        set.remove_vnet_rule(identity.subnet);
        set.add_ip_rule(IpRule::Address(public)).unwrap();
        let (off, on) = (Arrival::Public(public), Arrival::Tunnel(identity));
        prop_assert!(set.judge(off).is_allowed());
        prop_assert_eq!(set.judge(on), Access::Refused(Refusal::SubnetNotListed));
        prop_assert!(set.judge(off).is_allowed());
    }

    /// Adding a rule never refuses a request, and removing one never allows one
    /// (INV-rules-monotonic).
    #[test]
    fn rules_only_ever_allow(set in rule_set(), subnet in subnet(), rule in ip_rule(), instance in instance(), arrival in arrival()) {
        let edits = [
            (Edit::VnetRule(subnet, RuleState::Succeeded), Edit::RemoveVnetRule(subnet)),
            (Edit::IpRule(rule), Edit::RemoveIpRule(rule)),
            (Edit::Trust(instance), Edit::Distrust(instance)),
        ];
        for (add, remove) in edits {
            let (more, less) = (edited(&set, &add), edited(&set, &remove));
            let allowed = |set: &RuleSet| set.judge(arrival).is_allowed();
            prop_assert!(allowed(&less) <= allowed(&set) && allowed(&set) <= allowed(&more));
        }
    }

    /// Rules of equal content make equal sets, in whatever order and however often they were added
    /// (INV-rules-order-free).
    #[test]
    fn rule_order_is_irrelevant(
        (rules, shuffled) in vec(added(), 0..30).prop_flat_map(|rules| (Just(rules.clone()), Just(rules).prop_shuffle())),
        arrival in arrival(),
    ) {
        let set = |rules: &[Edit]| {
            let mut set = RuleSet::new(RuleLimits::UNSTATED, DefaultAction::Deny);
            for rule in rules {
                apply(&mut set, rule);
            }
            set
        };
        let twice: Vec<_> = rules.iter().chain(&shuffled).cloned().collect();
        prop_assert_eq!(set(&rules), set(&shuffled));
        prop_assert_eq!(set(&rules), set(&twice));
        prop_assert_eq!(set(&rules).judge(arrival), set(&shuffled).judge(arrival));
    }

    /// The rule of a deleted subnet allows nothing, and no later state revives it
    /// (INV-deleted-subnet-admits-none, E-17).
    #[test]
    fn deleted_subnet_rule_never_allows_again(set in rule_set(), identity in identity(), states in vec(state(), 0..5)) {
        let mut set = set;
        set.set_default_action(DefaultAction::Deny);
        let _ = set.set_vnet_rule(identity.subnet, RuleState::Succeeded);
        set.set_vnet_rule(identity.subnet, RuleState::NetworkSourceDeleted).unwrap();
        for state in states {
            let taken = set.set_vnet_rule(identity.subnet, state).is_ok();
            prop_assert_eq!(taken, state == RuleState::NetworkSourceDeleted);
            prop_assert!(!set.judge(Arrival::Tunnel(identity)).is_allowed());
        }
    }
}

fn apply(set: &mut RuleSet, edit: &Edit) -> bool {
    match *edit {
        Edit::PublicAccess(access) => set.set_public_access(access),
        Edit::DefaultAction(action) => set.set_default_action(action),
        Edit::VnetRule(subnet, state) => return set.set_vnet_rule(subnet, state).is_ok(),
        Edit::RemoveVnetRule(subnet) => return set.remove_vnet_rule(subnet),
        Edit::IpRule(rule) => return set.add_ip_rule(rule).is_ok(),
        Edit::RemoveIpRule(rule) => return set.remove_ip_rule(rule),
        Edit::Trust(instance) => set.trust_instance(instance),
        Edit::Distrust(instance) => return set.distrust_instance(instance),
    }
    true
}

fn edited(set: &RuleSet, edit: &Edit) -> RuleSet {
    let mut copy = set.clone();
    apply(&mut copy, edit);
    copy
}

fn is_private(address: Ipv4Addr) -> bool {
    matches!(address.octets(), [10, ..] | [172, 16..=31, ..] | [192, 168, ..])
}

/// A few numbers only, so that rules and requests meet.
fn subnet() -> impl Strategy<Value = SubnetId> {
    (0..6_u32).prop_map(SubnetId)
}

fn instance() -> impl Strategy<Value = ResourceInstance> {
    (0..3_u64).prop_map(ResourceInstance)
}

fn state() -> impl Strategy<Value = RuleState> {
    prop::sample::select(vec![
        RuleState::Provisioning,
        RuleState::Deprovisioning,
        RuleState::Succeeded,
        RuleState::Failed,
        RuleState::NetworkSourceDeleted,
    ])
}

/// Addresses close to a few places, private ones among them.
fn address() -> impl Strategy<Value = Ipv4Addr> {
    prop_oneof![
        8 => public_address(),
        2 => private_address(),
        1 => any::<u32>().prop_map(Ipv4Addr::from),
    ]
}

fn public_address() -> impl Strategy<Value = Ipv4Addr> {
    (0..4_u8, 0..8_u8).prop_map(|(third, last)| Ipv4Addr::new(20, 1, third, last))
}

fn private_address() -> impl Strategy<Value = Ipv4Addr> {
    prop_oneof![
        any::<[u8; 3]>().prop_map(|[b, c, d]| Ipv4Addr::new(10, b, c, d)),
        (16..32_u8, any::<u16>()).prop_map(|(b, low)| Ipv4Addr::new(
            172,
            b,
            0,
            low.to_be_bytes()[1]
        )),
        any::<[u8; 2]>().prop_map(|[c, d]| Ipv4Addr::new(192, 168, c, d)),
    ]
}

fn ip_rule() -> impl Strategy<Value = IpRule> {
    let length = prop_oneof![4 => 20..=32_u8, 1 => 0..=32_u8];
    prop_oneof![
        address().prop_map(IpRule::Address),
        (address(), length).prop_map(|(address, length)| IpRule::Prefix(
            Ipv4Net::new_assert(address, length).trunc()
        )),
    ]
}

fn identity() -> impl Strategy<Value = Identity> {
    (0..3_u32, subnet(), address()).prop_map(|(vnet, subnet, address)| Identity {
        vnet: VnetId(vnet),
        subnet,
        address,
    })
}

fn arrival() -> impl Strategy<Value = Arrival> {
    prop_oneof![
        4 => identity().prop_map(Arrival::Tunnel),
        4 => address().prop_map(Arrival::Public),
        1 => address().prop_map(Arrival::PrivateSameRegion),
        1 => any::<bool>().prop_map(|approved| Arrival::PrivateEndpoint { approved }),
        1 => instance().prop_map(Arrival::Instance),
    ]
}

fn added() -> impl Strategy<Value = Edit> {
    prop_oneof![
        // One state only, since a later state replaces an earlier one.
        subnet().prop_map(|subnet| Edit::VnetRule(subnet, RuleState::Succeeded)),
        ip_rule().prop_map(Edit::IpRule),
        instance().prop_map(Edit::Trust),
    ]
}

fn edit() -> impl Strategy<Value = Edit> {
    prop_oneof![
        1 => prop::sample::select(vec![PublicAccess::Enabled, PublicAccess::Disabled]).prop_map(Edit::PublicAccess),
        1 => prop::sample::select(vec![DefaultAction::Allow, DefaultAction::Deny]).prop_map(Edit::DefaultAction),
        8 => added(),
        4 => (subnet(), state()).prop_map(|(subnet, state)| Edit::VnetRule(subnet, state)),
        2 => subnet().prop_map(Edit::RemoveVnetRule),
        2 => ip_rule().prop_map(Edit::RemoveIpRule),
        1 => instance().prop_map(Edit::Distrust),
    ]
}

fn rule_set() -> impl Strategy<Value = RuleSet> {
    vec(edit(), 0..30).prop_map(|edits| {
        let mut set = RuleSet::new(RuleLimits::UNSTATED, DefaultAction::Deny);
        for edit in &edits {
            apply(&mut set, edit);
        }
        set
    })
}
