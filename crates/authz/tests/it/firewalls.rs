//! Differences between services: which callers they admit, and how they answer a refused client.

use std::net::Ipv4Addr;

use vnetem_authz::{
    Access, Admission, Arrival, Caller, DefaultAction, EventHubsVersion, Firewall, Grant, IpRule,
    OrderedRule, OrderedRules, PublicAccess, Refusal, ResourceInstance, RuleError, RuleLimits,
    RuleSet, RuleState, ServiceAnswer,
};
use vnetem_packet::{Identity, SubnetId, VnetId};

use vnetem_authz::Action::{Allow, Deny};

const WEB: SubnetId = SubnetId(1);
const OTHER: SubnetId = SubnetId(2);
const VM: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 4);
const CLIENT: Ipv4Addr = Ipv4Addr::new(20, 1, 1, 1);
const PUBLIC: Arrival = Arrival::Public(CLIENT);
const SAME_REGION: Arrival = Arrival::PrivateSameRegion(VM);

/// Over the tunnel the subnet decides, in every service. No IP rule matters, for the private or the
/// public address (F-03, S-16).
#[test]
fn tunnel_request_is_decided_by_subnet() {
    for firewall in locked(|rules| rules.add_ip_rule(IpRule::Address(CLIENT)).unwrap()) {
        assert!(firewall.judge(PUBLIC).is_allowed(), "{firewall:?}");
        let access = firewall.judge(tunnel(WEB));
        assert_eq!(access, Access::Refused(Refusal::SubnetNotListed), "{firewall:?}");
    }
    for firewall in locked(|rules| rules.set_vnet_rule(WEB, RuleState::Succeeded).unwrap()) {
        assert!(firewall.judge(tunnel(WEB)).is_allowed(), "{firewall:?}");
        assert!(!firewall.judge(tunnel(OTHER)).is_allowed(), "{firewall:?}");
        assert!(!firewall.judge(PUBLIC).is_allowed(), "{firewall:?}");
    }
}

/// A firewall of any kind lists its rules' subnets and marks a deleted one. Ordered rules have no
/// state to mark (E-17, E-18).
#[test]
fn firewall_names_subnets_and_deleted_ones() {
    let letting_in = |rules: &mut RuleSet| {
        for subnet in [WEB, OTHER] {
            rules.set_vnet_rule(subnet, RuleState::Succeeded).unwrap();
        }
    };
    for mut firewall in locked(letting_in) {
        let both = [(WEB, RuleState::Succeeded), (OTHER, RuleState::Succeeded)];
        assert_eq!(firewall.subnets().collect::<Vec<_>>(), both, "{firewall:?}");
        let before = firewall.clone();
        firewall.source_deleted(SubnetId(9));
        assert_eq!(firewall, before);
        firewall.source_deleted(WEB);
        let ordered = matches!(firewall, Firewall::AppService(_));
        let noted = if ordered { RuleState::Succeeded } else { RuleState::NetworkSourceDeleted };
        let after = [(WEB, noted), (OTHER, RuleState::Succeeded)];
        assert_eq!(firewall.subnets().collect::<Vec<_>>(), after, "{firewall:?}");
    }
}

/// Only Storage and Key Vault accept other tenants (S-11, C-13).
#[test]
fn storage_and_vault_serve_other_tenants() {
    for firewall in locked(|_| ()) {
        let crosses = matches!(firewall, Firewall::Storage(_) | Firewall::KeyVault(_));
        assert_eq!(firewall.crosses_tenants(), crosses, "{firewall:?}");
        assert_eq!(firewall.rule_set().is_none(), matches!(firewall, Firewall::AppService(_)));
    }
}

/// A machine of the account's own region comes with its private address. The rule for its public
/// one does not match, and it gets AuthorizationFailure (F-07, C-03).
#[test]
fn ip_rule_ignores_same_region_clients() {
    let mut rules = deny();
    rules.add_ip_rule(IpRule::Address(CLIENT)).unwrap();
    assert!(rules.add_ip_rule("0.0.0.0/0".parse().unwrap()).is_err(), "F-04");
    let storage = Firewall::Storage(rules);
    assert_eq!(storage.judge(SAME_REGION), Access::Refused(Refusal::PrivateWithoutIdentity));
    let answer = storage.answer(Refusal::PrivateWithoutIdentity, SAME_REGION, "stlogs");
    assert!(matches!(answer, ServiceAnswer::Http { code: "AuthorizationFailure", .. }));
}

/// A machine of the paired region with an endpoint comes over the tunnel. Only its subnet's rule
/// matches (F-08).
#[test]
fn ip_rule_ignores_paired_region_endpoint() {
    let mut rules = deny();
    rules.add_ip_rule(IpRule::Address(CLIENT)).unwrap();
    assert!(!rules.judge(tunnel(WEB)).is_allowed());
    rules.set_vnet_rule(WEB, RuleState::Succeeded).unwrap();
    assert_eq!(rules.judge(tunnel(WEB)), Access::Allowed(Grant::SubnetRule(WEB)));
}

/// A log shows the private address in the same region and over an endpoint, the public one
/// otherwise (F-09, F-10, F-26, S-21).
#[test]
fn log_shows_the_arriving_address() {
    assert_eq!(SAME_REGION.address(), Some(VM));
    assert_eq!(tunnel(WEB).address(), Some(VM));
    assert_eq!(PUBLIC.address(), Some(CLIENT));
    assert_eq!(Arrival::PrivateEndpoint { approved: true }.address(), None);
}

/// The service learns VNet, subnet and private address. Callers that differ only in the subnet are
/// two (F-26, S-05).
#[test]
fn equal_private_addresses_differ_by_subnet() {
    let mut rules = deny();
    rules.set_vnet_rule(WEB, RuleState::Succeeded).unwrap();
    let (one, other) = (tunnel(WEB), tunnel(OTHER));
    assert_eq!(one.address(), other.address());
    assert!(rules.judge(one).is_allowed());
    assert!(!rules.judge(other).is_allowed());
}

/// A private address is allowed only within a named subnet. The address alone is no rule (S-46,
/// C-20, F-04).
#[test]
fn private_address_allowed_only_with_subnet() {
    assert!(deny().add_ip_rule(VM.to_string().parse().unwrap()).is_err());
    let restricted = locked(|rules| rules.set_vnet_rule(WEB, RuleState::Succeeded).unwrap());
    for account in restricted {
        assert!(account.judge(tunnel(WEB)).is_allowed(), "{account:?}");
        for same_address in [tunnel(OTHER), SAME_REGION, Arrival::Public(VM)] {
            assert_eq!(same_address.address(), Some(VM));
            assert!(!account.judge(same_address).is_allowed(), "{account:?} {same_address:?}");
        }
    }
}

/// In every service an approved private endpoint passes disabled public access. Otherwise only a
/// trusted instance does, and an unapproved endpoint never (F-12, F-13, F-11).
#[test]
fn disabled_public_access_admits_private_paths() {
    let instance = Arrival::Instance(ResourceInstance(7));
    let firewalls = kinds(
        || {
            let mut rules = RuleSet::new(RuleLimits::UNSTATED, DefaultAction::Allow);
            rules.set_public_access(PublicAccess::Disabled);
            rules.set_vnet_rule(WEB, RuleState::Succeeded).unwrap();
            rules.trust_instance(ResourceInstance(7));
            rules
        },
        || {
            let mut rules = OrderedRules::new();
            rules.set_public_access(PublicAccess::Disabled);
            rules.add_rule(OrderedRule { number: 1, action: Allow, caller: Caller::Any }).unwrap();
            rules
        },
    );
    for firewall in firewalls {
        let approved = firewall.judge(Arrival::PrivateEndpoint { approved: true });
        assert_eq!(approved, Access::Allowed(Grant::PrivateEndpoint), "{firewall:?}");
        let pending = firewall.judge(Arrival::PrivateEndpoint { approved: false });
        assert_eq!(pending, Access::Refused(Refusal::PrivateEndpointNotApproved), "{firewall:?}");
        for arrival in [PUBLIC, tunnel(WEB), SAME_REGION] {
            let access = firewall.judge(arrival);
            assert_eq!(access, Access::Refused(Refusal::PublicAccessDisabled), "{firewall:?}");
        }
        // Sites have no rules for instances.
        let trusted = firewall.judge(instance).is_allowed();
        assert_eq!(trusted, !matches!(firewall, Firewall::AppService(_)), "{firewall:?}");
    }
}

/// The credential is checked only if the network rules allow, and can only refuse (F-14, F-22,
/// F-23).
#[test]
fn network_check_precedes_the_credential() {
    let mut rules = deny();
    rules.add_ip_rule(IpRule::Address(CLIENT)).unwrap();
    let grant = Grant::IpRule("20.1.1.1/32".parse().unwrap());
    assert_eq!(rules.judge(PUBLIC).admit(|| true), Admission::Admitted(grant));
    assert_eq!(rules.judge(PUBLIC).admit(|| false), Admission::RefusedByCredential);
    let mut asked = false;
    let refused = rules.judge(tunnel(WEB)).admit(|| {
        asked = true;
        true
    });
    assert_eq!(refused, Admission::RefusedByNetwork(Refusal::SubnetNotListed));
    assert!(!asked);
}

/// A signature bound to an address narrows what the rules allow and never widens it (F-14).
#[test]
fn address_bound_signature_never_widens_rules() {
    let mut rules = deny();
    rules.add_ip_rule("20.1.1.0/24".parse().unwrap()).unwrap();
    let bound_to = |signed: Ipv4Addr| {
        let admitted = |last: u8| {
            let address = Ipv4Addr::new(20, 1, if last < 4 { 1 } else { 2 }, last);
            let access = rules.judge(Arrival::Public(address));
            matches!(access.admit(|| address == signed), Admission::Admitted(_)).then_some(last)
        };
        (0..8).filter_map(admitted).collect::<Vec<_>>()
    };
    assert_eq!(bound_to(Ipv4Addr::new(20, 1, 1, 3)), [3]);
    assert_eq!(bound_to(Ipv4Addr::new(20, 1, 2, 5)), []);
}

/// A storage account answers 403 with one code, whatever the reason (F-16, S-47).
#[test]
fn storage_always_answers_403_authorization_failure() {
    let storage = Firewall::Storage(deny());
    for refusal in Refusal::ALL {
        for arrival in [PUBLIC, tunnel(WEB), SAME_REGION] {
            let answer = storage.answer(refusal, arrival, "stlogs");
            let text = "This request is not authorized to perform this operation.".into();
            assert_eq!(
                answer,
                ServiceAnswer::Http { status: 403, code: "AuthorizationFailure", text }
            );
        }
    }
}

/// Every service with VNet rules answers an outsider with 403, or 404 if configured. SQL speaks no
/// HTTP (F-17, C-12, F-20, F-23).
#[test]
fn outsider_gets_403_or_404() {
    for firewall in locked(|rules| rules.set_vnet_rule(WEB, RuleState::Succeeded).unwrap()) {
        let refusal = firewall.judge(PUBLIC).refusal().unwrap();
        let answer = firewall.answer(refusal, PUBLIC, "resource");
        match (&firewall, answer) {
            (Firewall::Sql(_), answer @ ServiceAnswer::Sql { .. }) => {
                assert_eq!(answer.clone().as_not_found(), answer);
            }
            (_, answer @ ServiceAnswer::Http { status: 403, .. }) => {
                let hidden = answer.as_not_found();
                assert!(matches!(hidden, ServiceAnswer::Http { status: 404, .. }), "{firewall:?}");
            }
            (_, other) => panic!("{firewall:?} answers {other:?}"),
        }
    }
}

/// A client of a subnet without a rule gets 40914. A public one gets 40615 with its address (F-18).
#[test]
fn sql_names_only_the_public_address() {
    let sql = Firewall::Sql(deny());
    let answer =
        |arrival: Arrival| sql.answer(sql.judge(arrival).refusal().unwrap(), arrival, "sql1");
    let opening = "Cannot open server 'sql1' requested by the login. Client";
    assert_eq!(
        answer(tunnel(WEB)),
        ServiceAnswer::Sql {
            number: 40914,
            text: format!("{opening} is not allowed to access the server.")
        }
    );
    assert_eq!(
        answer(PUBLIC),
        ServiceAnswer::Sql {
            number: 40615,
            text: format!(
                "{opening} with IP address '20.1.1.1' is not allowed to access the server."
            )
        }
    );
    let mut closed = deny();
    closed.set_public_access(PublicAccess::Disabled);
    let closed = Firewall::Sql(closed);
    for arrival in [PUBLIC, tunnel(WEB)] {
        let refusal = closed.judge(arrival).refusal().unwrap();
        let answer = closed.answer(refusal, arrival, "sql1");
        assert!(matches!(answer, ServiceAnswer::Sql { number: 47073, .. }));
    }
}

/// Cosmos DB says how the request arrived, with the address if it was public (F-19).
#[test]
fn cosmos_db_reason_names_arrival_path() {
    let account = Firewall::CosmosDb(deny());
    let text = |arrival: Arrival| match account.answer(
        account.judge(arrival).refusal().unwrap(),
        arrival,
        "cosmos1",
    ) {
        ServiceAnswer::Http { status: 403, text, .. } => text,
        other => panic!("{other:?}"),
    };
    let blocked = "This is blocked by your Cosmos DB account firewall settings.";
    let expected =
        format!("Request originated from client VNET through service endpoint. {blocked}");
    assert_eq!(text(tunnel(WEB)), expected);
    let expected =
        format!("Request originated from IP 20.1.1.1 through public internet. {blocked}");
    assert_eq!(text(PUBLIC), expected);
    let private = text(Arrival::PrivateEndpoint { approved: false });
    assert!(private.starts_with("Request originated from client VNET through private endpoint."));
}

/// A key vault and a registry name the address that they know (F-23, F-17).
#[test]
fn vault_and_registry_name_the_client() {
    for firewall in [Firewall::KeyVault(deny()), Firewall::ContainerRegistry(deny())] {
        for (arrival, named) in [
            (PUBLIC, "20.1.1.1"),
            (tunnel(WEB), "10.0.0.4"),
            (Arrival::Instance(ResourceInstance(1)), "unknown"),
        ] {
            let answer = firewall.answer(Refusal::AddressNotListed, arrival, "kv1");
            let ServiceAnswer::Http { status: 403, text, .. } = answer else {
                panic!("{answer:?}")
            };
            assert!(text.contains(named), "{text}");
        }
    }
}

/// Under an old version Deny counts only once there is a rule, in force or not. Under a new one it
/// counts at once (F-21).
#[test]
fn event_hubs_deny_needs_a_rule() {
    use EventHubsVersion::{DenyCounts, DenyNeedsARule};
    let old = |rules: &RuleSet, arrival| {
        Firewall::EventHubs(DenyNeedsARule, rules.clone()).judge(arrival)
    };
    let new =
        |rules: &RuleSet, arrival| Firewall::EventHubs(DenyCounts, rules.clone()).judge(arrival);
    let arrivals = [PUBLIC, tunnel(WEB), SAME_REGION, Arrival::Instance(ResourceInstance(1))];
    let empty = deny();
    for arrival in arrivals {
        assert_eq!(old(&empty, arrival), Access::Allowed(Grant::NoRuleYet), "{arrival:?}");
        assert!(!new(&empty, arrival).is_allowed(), "{arrival:?}");
    }
    // A trusted instance is no rule.
    let mut trusting = deny();
    trusting.trust_instance(ResourceInstance(1));
    assert!(old(&trusting, PUBLIC).is_allowed());

    let mut by_address = deny();
    by_address.add_ip_rule("40.1.1.1".parse().unwrap()).unwrap();
    let mut by_subnet = deny();
    by_subnet.set_vnet_rule(OTHER, RuleState::Provisioning).unwrap();
    for rules in [by_address, by_subnet] {
        for arrival in arrivals {
            assert!(!old(&rules, arrival).is_allowed(), "{arrival:?}");
            assert_eq!(old(&rules, arrival), new(&rules, arrival));
        }
    }
}

/// The uncounted Deny opens neither a closed public address nor an unapproved private endpoint
/// (F-21, F-12, L-07).
#[test]
fn the_open_deny_opens_nothing_else() {
    let mut rules = deny();
    let old = |rules: &RuleSet, arrival| {
        Firewall::EventHubs(EventHubsVersion::DenyNeedsARule, rules.clone()).judge(arrival)
    };
    let pending = Arrival::PrivateEndpoint { approved: false };
    assert_eq!(old(&rules, pending), Access::Refused(Refusal::PrivateEndpointNotApproved));
    rules.set_public_access(PublicAccess::Disabled);
    assert_eq!(old(&rules, PUBLIC), Access::Refused(Refusal::PublicAccessDisabled));
    rules.set_public_access(PublicAccess::Enabled);
    rules.set_default_action(DefaultAction::Allow);
    assert_eq!(old(&rules, PUBLIC), Access::Allowed(Grant::DefaultAllow));
}

/// Versions on either side of the change have different defaults for a namespace that sets none
/// (F-21).
#[test]
fn event_hubs_version_follows_its_date() {
    for (text, default_action) in [
        ("2017-04-01", DefaultAction::Deny),
        ("2021-01-01-preview", DefaultAction::Deny),
        ("2021-06-01-preview", DefaultAction::Allow),
        ("2024-01-01", DefaultAction::Allow),
    ] {
        assert_eq!(text.parse::<EventHubsVersion>().unwrap().default_action(), default_action);
    }
    for text in ["", "2021", "2021-06-01-beta", "2021/06/01", "21-06-01", "latest"] {
        let error = text.parse::<EventHubsVersion>().unwrap_err().to_string();
        assert_eq!(
            error,
            format!("\"{text}\" is no API version, expected one such as 2021-06-01-preview")
        );
    }
}

/// Each service takes its limit of subnet rules and not one more (C-10, F-20).
#[test]
#[cfg_attr(miri, ignore = "adds hundreds, each beside all others")]
fn subnet_rules_are_limited_per_service() {
    for (limits, most) in [
        (RuleLimits::STORAGE, 400),
        (RuleLimits::SQL, 128),
        (RuleLimits::COSMOS_DB, 64),
        (RuleLimits::KEY_VAULT, 200),
        (RuleLimits::SERVICE_BUS, 128),
        (RuleLimits::EVENT_HUBS, 128),
        (RuleLimits::APP_SERVICE, 512),
    ] {
        let mut rules = RuleSet::new(limits, DefaultAction::Deny);
        for subnet in 0..most {
            rules.set_vnet_rule(SubnetId(subnet), RuleState::Succeeded).unwrap();
        }
        assert!(rules.set_vnet_rule(SubnetId(most), RuleState::Succeeded).is_err(), "{limits:?}");
    }
    let mut vault = RuleSet::new(RuleLimits::KEY_VAULT, DefaultAction::Deny);
    let address = |number: u32| IpRule::Address(Ipv4Addr::from(u32::from(CLIENT) + number));
    for number in 0..1000 {
        vault.add_ip_rule(address(number)).unwrap();
    }
    assert_eq!(vault.add_ip_rule(address(1000)), Err(RuleError::TooManyIpRules { limit: 1000 }));
}

/// An endpoint reaches a Cosmos DB account or a SQL server only while its public access is enabled
/// (F-25).
#[test]
fn endpoints_need_public_access() {
    for firewall in [Firewall::CosmosDb, Firewall::Sql] {
        for (public_access, allowed) in
            [(PublicAccess::Enabled, true), (PublicAccess::Disabled, false)]
        {
            let mut rules = deny();
            rules.set_vnet_rule(WEB, RuleState::Succeeded).unwrap();
            rules.set_public_access(public_access);
            assert_eq!(firewall(rules).judge(tunnel(WEB)).is_allowed(), allowed);
        }
    }
}

/// The service refuses what an endpoint policy does not list, for a reason of its own (U-06).
#[test]
fn policy_refusal_is_reported_as_403() {
    let storage = Firewall::Storage(deny());
    let answer = storage.answer(Refusal::NotInEndpointPolicy, tunnel(WEB), "stother");
    assert!(matches!(answer, ServiceAnswer::Http { status: 403, .. }));
    assert_eq!(Refusal::NotInEndpointPolicy.name(), "not-in-endpoint-policy");
}

/// Makes one firewall of each kind that refuses by default, with a rule. App Service gets a similar
/// one.
fn locked(edit: impl Fn(&mut RuleSet)) -> Vec<Firewall> {
    let rules = || {
        let mut rules = deny();
        edit(&mut rules);
        rules
    };
    let ordered = || {
        let rules = rules();
        let mut ordered = OrderedRules::new();
        let subnets = rules.vnet_rules().map(|(subnet, _)| Caller::Subnet(subnet));
        let ranges = rules.ip_rules().iter().map(|range| Caller::Addresses(*range));
        for caller in subnets.chain(ranges) {
            ordered.add_rule(OrderedRule { number: 1, action: Allow, caller }).unwrap();
        }
        // This rule has no effect after one that allows, but counts as a rule.
        let nobody = Caller::Subnet(SubnetId(99));
        ordered.add_rule(OrderedRule { number: 2, action: Deny, caller: nobody }).unwrap();
        ordered
    };
    kinds(rules, ordered)
}

fn kinds(rules: impl Fn() -> RuleSet, ordered: impl Fn() -> OrderedRules) -> Vec<Firewall> {
    vec![
        Firewall::Storage(rules()),
        Firewall::Sql(rules()),
        Firewall::CosmosDb(rules()),
        Firewall::KeyVault(rules()),
        Firewall::EventHubs(EventHubsVersion::DenyNeedsARule, rules()),
        Firewall::EventHubs(EventHubsVersion::DenyCounts, rules()),
        Firewall::ServiceBus(rules()),
        Firewall::AppService(ordered()),
        Firewall::ContainerRegistry(rules()),
        Firewall::Other(rules()),
    ]
}

fn deny() -> RuleSet {
    RuleSet::new(RuleLimits::UNSTATED, DefaultAction::Deny)
}

fn tunnel(subnet: SubnetId) -> Arrival {
    Arrival::Tunnel(Identity { vnet: VnetId(1), subnet, address: VM })
}
