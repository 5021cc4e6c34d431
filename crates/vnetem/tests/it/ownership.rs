//! Who may tie a resource to a subnet, and from where: tenants, subscriptions, permissions, limits,
//! the classic model.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;

use vnetem::{
    Network, SubnetId,
    authz::{
        Access, Action, Arrival, Caller, DefaultAction, EventHubsVersion, Firewall, OrderedRule,
        OrderedRules, PublicAccess, RuleLimits, RuleSet, RuleState,
    },
    control::{Permissions, Placement, Scope},
};

use crate::base::{World, world};

const ACCOUNT: Ipv4Addr = Ipv4Addr::new(52, 239, 1, 9);

fn letting_in(subnet: SubnetId) -> RuleSet {
    let mut rules = RuleSet::new(RuleLimits::UNSTATED, DefaultAction::Deny);
    rules.set_vnet_rule(subnet, RuleState::Succeeded).unwrap();
    rules
}

fn place(tenant: &str, subscription: &str, region: &str) -> Placement {
    let [tenant, subscription, region] = [tenant, subscription, region].map(str::to_owned);
    Placement { tenant, subscription, region }
}

/// S-09: a network of the classic model gets no endpoint; any other does.
#[test]
fn a_classic_network_has_no_endpoints() {
    let mut w = world();
    let old = w.network.add_classic_vnet("old", &["10.1.0.0/16".parse().unwrap()]).unwrap();
    let app = w.network.add_subnet(old, "app", "10.1.0.0/24".parse().unwrap()).unwrap();
    let refused = w.network.enable_endpoint(app, w.storage, Scope::Worldwide).unwrap_err();
    assert_eq!(refused.to_string(), "vnet old is of the classic model and has no endpoints");
    assert!(w.network.subnet(app).unwrap().endpoints.is_empty());
    assert_eq!(w.network.enable_endpoint(w.web, w.storage, Scope::Worldwide), Ok(()));
}

/// F-15: rules that let nobody in keep data requests out, and no call of the control plane: whoever
/// may make it opens and closes the account, gives it a copy and takes it away.
#[test]
fn f_15_firewall_ignores_control_plane_calls() {
    let mut w = world();
    let mut nobody = RuleSet::new(RuleLimits::UNSTATED, DefaultAction::Deny);
    nobody.set_public_access(PublicAccess::Disabled);
    let id = w.network.add_resource(w.storage, "acct", ACCOUNT, nobody.clone()).unwrap();
    let client = Arrival::Public(Ipv4Addr::new(198, 51, 100, 7));
    let is_let_in = |network: &mut Network| {
        matches!(network.commit().judge(id, client), Some(Access::Allowed(_)))
    };
    assert!(!is_let_in(&mut w.network));
    let user = Permissions { join: BTreeSet::from([w.web]), ..Permissions::default() };
    for round in 0..2 {
        let mut open = letting_in(w.web);
        open.add_ip_rule("198.51.100.7".parse().unwrap()).unwrap();
        assert_eq!(w.network.set_rules_as(id, open, &user), Ok(()), "{round}");
        assert!(is_let_in(&mut w.network));
        assert_eq!(w.network.set_rules_as(id, nobody.clone(), &user), Ok(()), "{round}");
        assert!(!is_let_in(&mut w.network));
    }
    let copy = Ipv4Addr::new(52, 239, 2, 9);
    assert_eq!(w.network.set_secondary(id, Some(copy)), Ok(()));
    assert_eq!(w.network.remove_resource(id), Ok(()));
}

/// S-10, S-11, C-13: another subscription is no hindrance for any service; another tenant is none
/// for Storage and Key Vault, and one for all others, whichever of the two is placed last.
#[test]
fn only_storage_and_vault_cross_tenants() {
    let rules = letting_in;
    let ordered = |subnet| {
        let mut rules = OrderedRules::new();
        let caller = Caller::Subnet(subnet);
        rules.add_rule(OrderedRule { number: 1, action: Action::Allow, caller }).unwrap();
        rules
    };
    type Kind = fn(RuleSet) -> Firewall;
    let kinds: [(Kind, bool); 8] = [
        (Firewall::Storage, true),
        (Firewall::KeyVault, true),
        (Firewall::Sql, false),
        (Firewall::CosmosDb, false),
        (|rules| Firewall::EventHubs(EventHubsVersion::DenyCounts, rules), false),
        (Firewall::ServiceBus, false),
        (Firewall::ContainerRegistry, false),
        (Firewall::Other, false),
    ];
    let mut cases: Vec<(Firewall, bool)> =
        kinds.iter().map(|(kind, crosses)| (kind(rules(world().web)), *crosses)).collect();
    cases.push((ordered(world().web).into(), false));
    for (firewall, crosses) in cases {
        let mut w = world();
        let id = w.network.add_resource(w.storage, "acct", ACCOUNT, firewall.clone()).unwrap();
        w.network.place_vnet(w.alpha, place("one", "a", "westeurope")).unwrap_or_else(|error| {
            assert!(!crosses, "{firewall:?}: {error}");
        });
        let other = w.network.place_resource(id, place("", "b", "eastus"));
        assert_eq!(other, Ok(()), "S-10: {firewall:?}");
        let mut w = world();
        w.network.place_vnet(w.alpha, place("one", "a", "westeurope")).unwrap();
        let open = RuleSet::new(RuleLimits::UNSTATED, DefaultAction::Allow);
        let id = w.network.add_resource(w.storage, "acct", ACCOUNT, open).unwrap();
        w.network.place_resource(id, place("two", "b", "eastus")).unwrap();
        match w.network.set_rules(id, firewall.clone()) {
            Ok(()) => assert!(crosses, "{firewall:?}"),
            Err(error) => {
                assert!(!crosses, "{firewall:?}");
                let said = "resource acct of tenant two cannot let in a subnet of vnet alpha of tenant one";
                assert_eq!(error.to_string(), said);
                assert!(w.network.resource(id).unwrap().rules.subnets().next().is_none());
            }
        }
        w.network.place_resource(id, place("one", "b", "eastus")).unwrap();
        assert_eq!(w.network.set_rules(id, firewall), Ok(()));
    }
}

/// S-12: a rule takes the permission to join that very subnet, only when it is new; enabling the
/// endpoint takes no more than to write the network.
#[test]
fn rule_needs_permission_to_join_subnet() {
    let mut w = world();
    let db = w.network.add_subnet(w.alpha, "db", "10.0.1.0/24".parse().unwrap()).unwrap();
    let open = RuleSet::new(RuleLimits::UNSTATED, DefaultAction::Deny);
    let id = w.network.add_resource(w.storage, "acct", ACCOUNT, open.clone()).unwrap();
    let user = Permissions { write: BTreeSet::from([w.alpha]), join: BTreeSet::from([db]) };
    let refused = w.network.set_rules_as(id, letting_in(w.web), &user).unwrap_err();
    assert_eq!(
        refused.to_string(),
        "Microsoft.Network/virtualNetworks/subnets/joinViaServiceEndpoint/action is not permitted on subnet web"
    );
    assert_eq!(w.network.resource(id).unwrap().rules, Firewall::Other(open));
    assert_eq!(w.network.set_rules_as(id, letting_in(db), &user), Ok(()));
    // A rule that stands may stay in what somebody else writes.
    let nobody = Permissions::default();
    assert_eq!(w.network.set_rules_as(id, letting_in(db), &nobody), Ok(()));

    assert_eq!(w.network.enable_endpoint_as(w.web, w.storage, Scope::Worldwide, &user), Ok(()));
    let refused = w.network.enable_endpoint_as(db, w.storage, Scope::Worldwide, &nobody);
    assert_eq!(
        refused.unwrap_err().to_string(),
        "Microsoft.Network/virtualNetworks/write is not permitted on vnet alpha"
    );
    assert!(w.network.subnet(db).unwrap().endpoints.is_empty());
}

/// S-13: active rules of one service tie a network to 200 different subscriptions and regions and
/// no more; another service, another network and a rule that is not active have nothing to do with
/// it.
#[test]
fn network_spans_at_most_200_subscriptions() {
    let mut w = world();
    let storage = w.storage;
    let sql = w.network.add_service("sql", &["52.238.0.0/16".parse().unwrap()]).unwrap();
    let open = RuleSet::new(RuleLimits::UNSTATED, DefaultAction::Deny);
    let resource = |w: &mut World, service, number: u32, address: [u8; 4]| {
        let name = format!("r{number}of{service:?}");
        let id = w.network.add_resource(service, &name, address.into(), open.clone()).unwrap();
        // Half of them differ by their region alone.
        let (subscription, region) = (format!("s{}", number / 2), format!("r{}", number % 2));
        w.network.place_resource(id, place("", &subscription, &region)).unwrap();
        id
    };
    for number in 0..200 {
        let address = [52, 239, 0, u8::try_from(number).unwrap()];
        let id = resource(&mut w, storage, number, address);
        w.network.set_rules(id, letting_in(w.web)).unwrap();
    }
    let one_more = resource(&mut w, storage, 200, [52, 239, 1, 0]);
    let refused = w.network.set_rules(one_more, letting_in(w.web)).unwrap_err();
    assert_eq!(
        refused.to_string(),
        "rules of storage tie vnet alpha to 200 subscriptions and regions already"
    );
    let mut not_active = open.clone();
    not_active.set_vnet_rule(w.web, RuleState::Provisioning).unwrap();
    assert_eq!(w.network.set_rules(one_more, not_active), Ok(()));
    // The same subscription and region again is no further one.
    w.network.place_resource(one_more, place("", "s7", "r1")).unwrap();
    assert_eq!(w.network.set_rules(one_more, letting_in(w.web)), Ok(()));
    // Nor is another spelling of the region.
    w.network.place_resource(one_more, place("", "s7", "R 1")).unwrap();
    assert_eq!(w.network.set_rules(one_more, letting_in(w.web)), Ok(()));
    let of_sql = resource(&mut w, sql, 300, [52, 238, 0, 1]);
    assert_eq!(w.network.set_rules(of_sql, letting_in(w.web)), Ok(()));
    let beta = w.network.add_vnet("beta", &["10.0.0.0/16".parse().unwrap()]).unwrap();
    let app = w.network.add_subnet(beta, "app", "10.0.0.0/24".parse().unwrap()).unwrap();
    let of_beta = resource(&mut w, storage, 301, [52, 239, 1, 1]);
    assert_eq!(w.network.set_rules(of_beta, letting_in(app)), Ok(()));
}

/// E-18, E-17: when a subnet is deleted, the rule that names it says so and cannot be brought back.
#[test]
fn rule_shows_its_deleted_subnet() {
    let mut w = world();
    let id = w
        .network
        .add_resource(w.storage, "acct", ACCOUNT, Firewall::Storage(letting_in(w.web)))
        .unwrap();
    w.network.remove_subnet(w.web).unwrap();
    let rules = &w.network.resource(id).unwrap().rules;
    let states: Vec<_> = rules.subnets().collect();
    assert_eq!(states, [(w.web, RuleState::NetworkSourceDeleted)]);
    let mut rules = rules.rule_set().unwrap().clone();
    assert!(rules.set_vnet_rule(w.web, RuleState::Succeeded).is_err());
}
