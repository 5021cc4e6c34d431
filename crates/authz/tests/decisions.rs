//! The decision order of a service and the limits of its rules, one statement each.

use std::net::Ipv4Addr;

use vnetem_authz::{
    Access, Arrival, DefaultAction, DenyMode, Grant, IpRule, PublicAccess, Refusal,
    ResourceInstance, RuleError, RuleLimits, RuleSet, RuleState,
};
use vnetem_packet::{Identity, SubnetId, VnetId};

const WEB: SubnetId = SubnetId(1);
const DATABASE: SubnetId = SubnetId(2);
const CLIENT: Ipv4Addr = Ipv4Addr::new(20, 1, 1, 1);

/// A default of allow admits every request, with rules or without (F-01).
#[test]
fn default_allow_makes_rules_void() {
    let mut rules = RuleSet::new(RuleLimits::STORAGE, DefaultAction::Allow);
    for _ in 0..2 {
        for arrival in
            [tunnel(WEB), Arrival::Public(CLIENT), Arrival::PrivateSameRegion([10, 0, 0, 4].into())]
        {
            assert_eq!(rules.judge(arrival), Access::Allowed(Grant::DefaultAllow));
        }
        rules.set_vnet_rule(DATABASE, RuleState::Succeeded).unwrap();
        rules.add_ip_rule(ip("40.1.0.0/16")).unwrap();
    }
}

/// Each kind of arrival is refused for its own reason (F-02, F-19).
#[test]
fn default_deny_reason_depends_on_arrival() {
    let rules = RuleSet::new(RuleLimits::STORAGE, DefaultAction::Deny);
    for (arrival, refusal) in [
        (tunnel(WEB), Refusal::SubnetNotListed),
        (Arrival::Public(CLIENT), Refusal::AddressNotListed),
        (Arrival::PrivateSameRegion([10, 0, 0, 4].into()), Refusal::PrivateWithoutIdentity),
        (Arrival::PrivateEndpoint { approved: false }, Refusal::PrivateEndpointNotApproved),
        (Arrival::Instance(ResourceInstance(1)), Refusal::InstanceNotListed),
    ] {
        assert_eq!(rules.judge(arrival), Access::Refused(refusal));
    }
}

/// Disabled public access overrides the default action and all rules but those of F-11 and F-13
/// (F-12).
#[test]
fn disabled_public_access_leaves_private_paths() {
    let mut rules = RuleSet::new(RuleLimits::STORAGE, DefaultAction::Allow);
    rules.set_vnet_rule(WEB, RuleState::Succeeded).unwrap();
    rules.add_ip_rule(IpRule::Address(CLIENT)).unwrap();
    rules.trust_instance(ResourceInstance(1));
    rules.set_public_access(PublicAccess::Disabled);
    for default_action in [DefaultAction::Allow, DefaultAction::Deny] {
        rules.set_default_action(default_action);
        for arrival in
            [tunnel(WEB), Arrival::Public(CLIENT), Arrival::Instance(ResourceInstance(2))]
        {
            assert_eq!(rules.judge(arrival), Access::Refused(Refusal::PublicAccessDisabled));
        }
        let private_endpoint = rules.judge(Arrival::PrivateEndpoint { approved: true });
        assert_eq!(private_endpoint, Access::Allowed(Grant::PrivateEndpoint));
        let instance = rules.judge(Arrival::Instance(ResourceInstance(1)));
        assert_eq!(instance, Access::Allowed(Grant::TrustedInstance));
    }
}

/// Trusted instances are listed in order, once each. Removing one that is not there returns false
/// (F-11).
#[test]
fn instance_trust_is_listed_and_revoked() {
    let mut rules = RuleSet::new(RuleLimits::STORAGE, DefaultAction::Deny);
    for number in [7, 3, 7] {
        rules.trust_instance(ResourceInstance(number));
    }
    assert_eq!(rules.instances(), [ResourceInstance(3), ResourceInstance(7)]);
    assert!(rules.distrust_instance(ResourceInstance(7)));
    assert!(!rules.distrust_instance(ResourceInstance(7)));
    assert_eq!(rules.instances(), [ResourceInstance(3)]);
    assert!(!rules.judge(Arrival::Instance(ResourceInstance(7))).is_allowed());
    assert!(rules.judge(Arrival::Instance(ResourceInstance(3))).is_allowed());
}

/// An unapproved private endpoint carries nothing, even to a resource that is open to all (L-07).
#[test]
fn unapproved_private_endpoint_is_always_refused() {
    let rules = RuleSet::new(RuleLimits::STORAGE, DefaultAction::Allow);
    let access = rules.judge(Arrival::PrivateEndpoint { approved: false });
    assert_eq!(access, Access::Refused(Refusal::PrivateEndpointNotApproved));
}

/// A new rule waits for success; an updated one goes on deciding as before (U-20, F-24).
#[test]
fn provisioning_rule_retains_previous_decision() {
    let mut rules = RuleSet::new(RuleLimits::SQL, DefaultAction::Deny);
    rules.set_vnet_rule(WEB, RuleState::Provisioning).unwrap();
    assert_eq!(rules.judge(tunnel(WEB)), Access::Refused(Refusal::RuleNotInForce));
    rules.set_vnet_rule(WEB, RuleState::Succeeded).unwrap();
    rules.set_vnet_rule(WEB, RuleState::Provisioning).unwrap();
    assert_eq!(rules.judge(tunnel(WEB)), Access::Allowed(Grant::SubnetRule(WEB)));
    rules.set_vnet_rule(WEB, RuleState::Deprovisioning).unwrap();
    rules.set_vnet_rule(WEB, RuleState::Provisioning).unwrap();
    assert_eq!(rules.judge(tunnel(WEB)), Access::Refused(Refusal::RuleNotInForce));
}

/// A recreated subnet has a new number. The rule of the old one can only be removed (E-17,
/// INV-deleted-subnet-admits-none).
#[test]
fn recreated_subnet_inherits_no_rule() {
    let mut rules = RuleSet::new(RuleLimits::STORAGE, DefaultAction::Deny);
    rules.set_vnet_rule(WEB, RuleState::Succeeded).unwrap();
    rules.set_vnet_rule(WEB, RuleState::NetworkSourceDeleted).unwrap();
    let recreated = SubnetId(3);
    assert_eq!(rules.judge(tunnel(recreated)), Access::Refused(Refusal::SubnetNotListed));
    assert_eq!(rules.judge(tunnel(WEB)), Access::Refused(Refusal::RuleNotInForce));
    let revived = rules.set_vnet_rule(WEB, RuleState::Succeeded);
    assert_eq!(revived, Err(RuleError::NetworkSourceDeleted(WEB)));
    assert!(rules.remove_vnet_rule(WEB));
    assert!(!rules.remove_vnet_rule(WEB));
    assert_eq!(rules.vnet_rules().count(), 0);
}

/// Storage accounts want hosts as addresses; other services accept both forms (F-05).
#[test]
fn storage_refuses_hosts_written_as_prefixes() {
    let mut storage = RuleSet::new(RuleLimits::STORAGE, DefaultAction::Deny);
    let mut vault = RuleSet::new(RuleLimits::KEY_VAULT, DefaultAction::Deny);
    for text in ["20.1.1.1/32", "20.1.1.2/31"] {
        let range = text.parse().unwrap();
        assert_eq!(storage.add_ip_rule(ip(text)), Err(RuleError::HostPrefix(range)));
        assert_eq!(vault.add_ip_rule(ip(text)), Ok(()));
    }
    for text in ["20.1.1.1", "20.1.1.4/30"] {
        assert_eq!(storage.add_ip_rule(ip(text)), Ok(()));
    }
    assert_eq!(
        storage.ip_rules(),
        ["20.1.1.1/32".parse().unwrap(), "20.1.1.4/30".parse().unwrap()]
    );
}

/// A set takes 400 rules of each kind. Adding an existing one takes no place (C-10).
#[test]
#[cfg_attr(miri, ignore = "adds hundreds, each beside all others")]
fn storage_account_has_400_rules_each() {
    let mut rules = RuleSet::new(RuleLimits::STORAGE, DefaultAction::Deny);
    let address = |number: u16| {
        let [high, low] = number.to_be_bytes();
        IpRule::Address(Ipv4Addr::new(20, 1, high, low))
    };
    for number in 0..400 {
        rules.set_vnet_rule(SubnetId(number.into()), RuleState::Succeeded).unwrap();
        rules.add_ip_rule(address(number)).unwrap();
    }
    let full = rules.clone();
    let further = rules.set_vnet_rule(SubnetId(400), RuleState::Succeeded);
    assert_eq!(further, Err(RuleError::TooManyVnetRules { limit: 400 }));
    assert_eq!(rules.add_ip_rule(address(400)), Err(RuleError::TooManyIpRules { limit: 400 }));
    rules.set_vnet_rule(SubnetId(0), RuleState::Succeeded).unwrap();
    rules.add_ip_rule(address(0)).unwrap();
    assert_eq!(rules, full);
}

/// App Service counts rules of all kinds together (F-20).
#[test]
#[cfg_attr(miri, ignore = "adds hundreds, each beside all others")]
fn app_service_site_has_512_rules() {
    let mut rules = RuleSet::new(RuleLimits::APP_SERVICE, DefaultAction::Deny);
    for number in 0..511 {
        rules.set_vnet_rule(SubnetId(number), RuleState::Succeeded).unwrap();
    }
    rules.add_ip_rule(IpRule::Address(CLIENT)).unwrap();
    let error = Err(RuleError::TooManyRules { limit: 512 });
    assert_eq!(rules.add_ip_rule(ip("20.1.1.2")), error);
    assert_eq!(rules.set_vnet_rule(SubnetId(511), RuleState::Succeeded), error);
    assert!(rules.remove_ip_rule(IpRule::Address(CLIENT)));
    assert_eq!(rules.set_vnet_rule(SubnetId(511), RuleState::Succeeded), Ok(()));
}

/// The real service answers a refusal itself, so the packet must reach it (P-32).
#[test]
fn refused_packet_is_delivered_by_default() {
    assert_eq!(DenyMode::default(), DenyMode::Deliver);
}

fn tunnel(subnet: SubnetId) -> Arrival {
    Arrival::Tunnel(Identity { vnet: VnetId(1), subnet, address: [10, 0, 0, 4].into() })
}

#[allow(clippy::unwrap_used, reason = "constants of the tests")]
fn ip(text: &str) -> IpRule {
    text.parse().unwrap()
}
