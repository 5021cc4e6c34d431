//! App Service's ordered rules (F-20), and properties of every list of them.

use std::net::Ipv4Addr;

use ipnet::Ipv4Net;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use vnetem_authz::{
    Access, Action, Arrival, Caller, Grant, OrderedRule, OrderedRules, Refusal, RuleError,
};
use vnetem_packet::{Identity, SubnetId, VnetId};

use crate::cases;

use Action::{Allow, Deny};

const WEB: SubnetId = SubnetId(1);

/// The lowest number that matches decides, in whatever order the rules were added (F-20).
#[test]
fn the_lowest_number_that_matches_decides() {
    let rules = ordered(&[
        (300, Deny, Caller::Any),
        (100, Deny, range("20.1.1.1/32")),
        (200, Allow, range("20.1.0.0/16")),
    ]);
    assert_eq!(rules.judge(public("20.1.1.1")), Access::Refused(Refusal::DeniedByRule));
    assert_eq!(rules.judge(public("20.1.1.2")), Access::Allowed(Grant::OrderedRule(200)));
    assert_eq!(rules.judge(public("20.2.1.1")), Access::Refused(Refusal::DeniedByRule));
    assert_eq!(rules.judge(tunnel(WEB)), Access::Refused(Refusal::DeniedByRule));
    assert_eq!(rules.rules().iter().map(|rule| rule.number).collect::<Vec<_>>(), [100, 200, 300]);
}

/// A request over an endpoint is matched by its subnet and by no address, however wide (F-20).
#[test]
fn endpoint_request_is_matched_by_subnet() {
    let rules = ordered(&[
        (1, Deny, range("10.0.0.0/8")),
        (2, Deny, range("0.0.0.0/0")),
        (3, Allow, Caller::Subnet(WEB)),
    ]);
    assert_eq!(rules.judge(tunnel(WEB)), Access::Allowed(Grant::OrderedRule(3)));
    assert_eq!(rules.judge(tunnel(SubnetId(2))), Access::Refused(Refusal::SubnetNotListed));
}

/// Without a match the answer is deny if there are rules, allow if there are none, or as configured
/// (F-20).
#[test]
fn final_action_is_deny_unless_configured() {
    let arrivals = [
        (public("20.1.1.1"), Refusal::AddressNotListed),
        (tunnel(WEB), Refusal::SubnetNotListed),
        (Arrival::PrivateSameRegion([10, 0, 0, 4].into()), Refusal::PrivateWithoutIdentity),
    ];
    for (arrival, refusal) in arrivals {
        let mut none = OrderedRules::new();
        assert_eq!(none.judge(arrival), Access::Allowed(Grant::DefaultAllow));
        none.set_unmatched(Some(Deny));
        assert_eq!(none.judge(arrival), Access::Refused(refusal));
        for action in [Allow, Deny] {
            let mut some = ordered(&[(1, action, Caller::Subnet(SubnetId(9)))]);
            assert_eq!(some.judge(arrival), Access::Refused(refusal));
            some.set_unmatched(Some(Allow));
            assert_eq!(some.judge(arrival), Access::Allowed(Grant::DefaultAllow));
            some.set_unmatched(None);
            assert_eq!(some.judge(arrival), Access::Refused(refusal));
        }
    }
}

/// A site takes 512 rules and no more (F-20).
#[test]
#[cfg_attr(miri, ignore = "adds hundreds, each beside all others")]
fn site_has_at_most_512_rules() {
    let mut rules = OrderedRules::new();
    let rule = OrderedRule { number: 7, action: Allow, caller: Caller::Any };
    for number in 0..512 {
        rules.add_rule(OrderedRule { number, ..rule.clone() }).unwrap();
    }
    let full = rules.clone();
    assert_eq!(rules.add_rule(rule.clone()), Err(RuleError::TooManyRules { limit: 512 }));
    assert_eq!(rules, full);
    assert!(rules.remove_rule(&rule));
    assert!(!rules.remove_rule(&rule));
    rules.add_rule(rule).unwrap();
    assert_eq!(rules, full);
}

/// Templates give many rules one number. Those are tried as listed.
#[test]
fn equal_priorities_keep_insertion_order() {
    let address = range("20.1.1.1/32");
    let rules = ordered(&[(100, Deny, address), (100, Allow, address)]);
    assert!(!rules.judge(public("20.1.1.1")).is_allowed());
    let rules = ordered(&[(100, Allow, address), (100, Deny, address)]);
    assert!(rules.judge(public("20.1.1.1")).is_allowed());
}

#[test]
fn range_with_host_bits_is_refused() {
    let caller = Caller::Addresses("20.1.1.1/24".parse().unwrap());
    let refused = OrderedRules::new().add_rule(OrderedRule { number: 1, action: Allow, caller });
    assert_eq!(refused, Err(RuleError::HostBits("20.1.1.1/24".parse().unwrap())));
}

proptest! {
    #![proptest_config(cases(1_000))]

    /// Equals a reference implementation that looks for the lowest number among all matches (F-20).
    #[test]
    fn ordered_rules_agree_with_reference(rules in vec(rule(), 0..12), unmatched in unmatched(), arrival in arrival()) {
        let mut set = OrderedRules::new();
        set.set_unmatched(unmatched);
        let mut first: Option<&OrderedRule> = None;
        for rule in &rules {
            set.add_rule(rule.clone()).unwrap();
            if matches(rule, arrival) && first.is_none_or(|found| rule.number < found.number) {
                first = Some(rule);
            }
        }
        let allowed = match (first, unmatched) {
            (Some(rule), _) => rule.action == Allow,
            (None, Some(action)) => action == Allow,
            (None, None) => rules.is_empty(),
        };
        prop_assert_eq!(set.judge(arrival).is_allowed(), allowed);
    }

    /// For distinct numbers the order of edits does not matter (INV-rules-order-free).
    #[test]
    fn edit_order_of_priorities_is_irrelevant((rules, shuffled) in vec(rule(), 0..12).prop_flat_map(|mut rules| {
        rules.iter_mut().zip(1..).for_each(|(rule, number)| rule.number = number);
        (Just(rules.clone()), Just(rules).prop_shuffle())
    })) {
        let set = |rules: &[OrderedRule]| {
            let mut set = OrderedRules::new();
            rules.iter().for_each(|rule| set.add_rule(rule.clone()).unwrap());
            set
        };
        prop_assert_eq!(set(&rules), set(&shuffled));
    }

    /// No rule about addresses matches the private address of an identity, or a private source
    /// (INV-identity-decides, INV-ip-rule-public-only).
    #[test]
    fn private_address_matches_no_rule(rules in vec(rule(), 0..12), one in address(), other in address()) {
        let mut set = OrderedRules::new();
        rules.iter().for_each(|rule| set.add_rule(rule.clone()).unwrap());
        let over = |address| Arrival::Tunnel(Identity { vnet: VnetId(1), subnet: WEB, address });
        prop_assert_eq!(set.judge(over(one)), set.judge(over(other)));
        let private = Ipv4Addr::new(10, 1, 0, 1);
        set.set_unmatched(Some(Deny));
        let mut more = set.clone();
        more.add_rule(OrderedRule { number: 0, action: Allow, caller: range("10.0.0.0/8") }).unwrap();
        for arrival in [Arrival::Public(private), Arrival::PrivateSameRegion(private)] {
            prop_assert_eq!(more.judge(arrival), set.judge(arrival));
        }
    }
}

fn matches(rule: &OrderedRule, arrival: Arrival) -> bool {
    match rule.caller {
        Caller::Any => true,
        Caller::Subnet(subnet) => {
            matches!(arrival, Arrival::Tunnel(identity) if identity.subnet == subnet)
        }
        Caller::Addresses(range) => match arrival {
            Arrival::Public(address) => {
                range.network() <= address && address <= range.broadcast() && !is_private(address)
            }
            _ => false,
        },
    }
}

fn is_private(address: Ipv4Addr) -> bool {
    matches!(address.octets(), [10, ..] | [172, 16..=31, ..] | [192, 168, ..])
}

fn ordered(rules: &[(u32, Action, Caller)]) -> OrderedRules {
    let mut ordered = OrderedRules::new();
    for &(number, action, caller) in rules {
        ordered.add_rule(OrderedRule { number, action, caller }).unwrap();
    }
    ordered
}

fn range(text: &str) -> Caller {
    Caller::Addresses(text.parse().unwrap())
}

fn public(text: &str) -> Arrival {
    Arrival::Public(text.parse().unwrap())
}

fn tunnel(subnet: SubnetId) -> Arrival {
    Arrival::Tunnel(Identity { vnet: VnetId(1), subnet, address: [10, 0, 0, 4].into() })
}

fn address() -> impl Strategy<Value = Ipv4Addr> {
    (select(vec![[20, 1], [10, 1], [192, 168]]), 0..2_u8, 0..4_u8)
        .prop_map(|([a, b], c, d)| Ipv4Addr::new(a, b, c, d))
}

fn rule() -> impl Strategy<Value = OrderedRule> {
    let length = select(vec![0, 8, 16, 24, 31, 32]);
    let caller = prop_oneof![
        1 => Just(Caller::Any),
        3 => (0..4_u32).prop_map(|subnet| Caller::Subnet(SubnetId(subnet))),
        5 => (address(), length)
            .prop_map(|(address, length)| Caller::Addresses(Ipv4Net::new_assert(address, length).trunc())),
    ];
    (0..6_u32, select(vec![Allow, Deny]), caller).prop_map(|(number, action, caller)| OrderedRule {
        number,
        action,
        caller,
    })
}

fn unmatched() -> impl Strategy<Value = Option<Action>> {
    select(vec![None, None, Some(Allow), Some(Deny)])
}

fn arrival() -> impl Strategy<Value = Arrival> {
    prop_oneof![
        3 => address().prop_map(Arrival::Public),
        3 => (0..4_u32).prop_map(|subnet| tunnel(SubnetId(subnet))),
        1 => address().prop_map(Arrival::PrivateSameRegion),
    ]
}
