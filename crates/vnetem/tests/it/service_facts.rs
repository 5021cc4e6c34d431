//! What a service asks, and what regions decide: facts of a service that the catalogue knows and
//! others declare.

use core::time::Duration;

use vnetem::{
    DataPlane, Edge, EditError, ResourceId, Settings, SubnetId, Time,
    authz::{DefaultAction, Firewall, RuleLimits, RuleSet, RuleState},
    control::{
        EndpointFirst, MissingEndpoint, Outbound, PassedOver, Placement, Rollout, RouteState, Scope,
    },
    trace::{RegionChoice, Step, Trace},
};

use crate::base::{World, world};
use crate::packets::{end, ip, net, segment};

fn rule_for(subnet: SubnetId) -> Firewall {
    let mut rules = RuleSet::new(RuleLimits::UNSTATED, DefaultAction::Deny);
    rules.set_vnet_rule(subnet, RuleState::Succeeded).unwrap();
    Firewall::Storage(rules)
}

fn account(w: &mut World) -> ResourceId {
    let shut = RuleSet::new(RuleLimits::UNSTATED, DefaultAction::Deny);
    w.network.add_resource(w.storage, "acct", ip("52.239.1.9"), shut).unwrap()
}

fn scope(region: &str) -> Scope {
    Scope::Regions([region.to_owned()].into())
}

impl World {
    fn trace(&mut self, to: &str) -> Trace {
        let plane = DataPlane::new(self.network.commit(), Settings::replayable(0));
        let syn = segment(end("10.0.0.4:50001"), end(to), "S", (1000, 0), &[]);
        plane.trace(Time(0), Edge::Subnet(self.web), &syn)
    }

    /// What is said of the regions of the network and of an address.
    fn region(&mut self, to: &str) -> Option<RegionChoice> {
        self.trace(to).steps.iter().find_map(|step| match step {
            Step::Region { choice, .. } => Some(*choice),
            _ => None,
        })
    }

    fn place(&mut self, region: &str) {
        let placement = Placement { region: region.into(), ..Placement::default() };
        self.network.place_vnet(self.alpha, placement).unwrap();
    }
}

/// E-14: a service of one's own asks nothing; one that asks refuses a new rule until the endpoint
/// is there, and knows its flag or not.
#[test]
fn a_rule_waits_for_its_endpoint() {
    let mut w = world();
    let acct = account(&mut w);
    let (web, storage) = (w.web, w.storage);
    let take = |w: &mut World, missing| {
        let mut draft = w.network.clone();
        draft.set_rules_with(acct, rule_for(web), missing).is_ok()
    };
    for (asks, refuse, ignore) in [
        (EndpointFirst::NotAsked, true, true),
        (EndpointFirst::UnlessIgnored, false, true),
        (EndpointFirst::Always, false, false),
    ] {
        w.network.set_endpoint_first(storage, asks).unwrap();
        assert_eq!(take(&mut w, MissingEndpoint::Refuse), refuse, "{asks:?}");
        assert_eq!(take(&mut w, MissingEndpoint::Ignore), ignore, "{asks:?}");
        let made = w.network.clone().add_resource(storage, "b", ip("52.239.1.8"), rule_for(web));
        assert_eq!(made.is_ok(), refuse, "{asks:?}");
    }
    let refused = w.network.set_rules(acct, rule_for(web)).unwrap_err();
    assert!(matches!(refused, EditError::EndpointMissing { may_ignore: false, .. }), "{refused}");
    assert!(refused.to_string().starts_with("SubnetsHaveNoServiceEndpointsConfigured"));
    w.network.enable_endpoint(web, storage, Scope::Worldwide).unwrap();
    w.network.set_rules(acct, rule_for(web)).unwrap();
    // It stays when the endpoint goes, and may be said again.
    w.network.disable_endpoint(web, storage).unwrap();
    w.network.set_rules(acct, rule_for(web)).unwrap();
    assert_eq!(w.network.resource(acct).unwrap().rules, rule_for(web));
}

/// E-14, S-29: a rule that was taken when it was asked for comes into force although the endpoint
/// has gone meanwhile.
#[test]
fn pending_rule_is_not_checked_again() {
    let mut w = world();
    let acct = account(&mut w);
    w.network.set_endpoint_first(w.storage, EndpointFirst::Always).unwrap();
    let mut rollout = Rollout::new(7, Duration::ZERO, Duration::from_secs(60)).unwrap();
    let rule = rule_for(w.web);
    assert!(rollout.set_rules(Time(0), &mut w.network, acct, rule.clone()).is_err());
    w.network.enable_endpoint(w.web, w.storage, Scope::Worldwide).unwrap();
    rollout.set_rules(Time(0), &mut w.network, acct, rule.clone()).unwrap();
    w.network.disable_endpoint(w.web, w.storage).unwrap();
    let due = rollout.poll_timeout().unwrap();
    assert!(rollout.handle_timeout(due, &mut w.network));
    assert_eq!(w.network.resource(acct).unwrap().rules, rule);
}

/// E-14, S-29: a rule that comes into force later may go without the endpoint where the service
/// allows that.
#[test]
fn pending_rule_may_ignore_missing_endpoint() {
    let mut w = world();
    let acct = account(&mut w);
    w.network.set_endpoint_first(w.storage, EndpointFirst::UnlessIgnored).unwrap();
    let mut rollout = Rollout::new(7, Duration::ZERO, Duration::from_secs(60)).unwrap();
    let rule = rule_for(w.web);
    let mut ask = |rollout: &mut Rollout, missing| {
        rollout.set_rules_with(Time(0), &mut w.network, acct, rule.clone(), missing)
    };
    assert!(ask(&mut rollout, MissingEndpoint::Refuse).is_err());
    assert_eq!(rollout.poll_timeout(), None);
    ask(&mut rollout, MissingEndpoint::Ignore).unwrap();
    let due = rollout.poll_timeout().unwrap();
    assert!(rollout.handle_timeout(due, &mut w.network));
    assert_eq!(w.network.resource(acct).unwrap().rules, rule);
    // Without a delay it is there at once.
    let mut network = w.network.clone();
    network.set_rules(acct, RuleSet::new(RuleLimits::UNSTATED, DefaultAction::Deny)).unwrap();
    let mut at_once = Rollout::default();
    let missing = MissingEndpoint::Ignore;
    at_once.set_rules_with(Time(0), &mut network, acct, rule.clone(), missing).unwrap();
    assert_eq!(network.resource(acct).unwrap().rules, rule);
}

/// C-03, S-14: the regions of both decide, in any spelling, and what is not known is said; a
/// network that is placed anew is judged anew.
#[test]
fn regions_decide_in_any_spelling() {
    let mut w = world();
    w.network.set_outbound(w.web, Outbound::NatGateway(vec![ip("20.1.1.1")])).unwrap();
    let regions = [("52.239.1.0/24", "westeurope"), ("52.239.2.0/24", "West Europe")];
    let regions = regions.map(|(prefix, region)| (net(prefix), region.to_owned()));
    w.network.set_service_regions(w.storage, regions).unwrap();
    assert_eq!(w.region("52.239.1.9:443"), None, "nothing is known of a service of one's own");
    w.network.set_same_region_path(w.storage, true).unwrap();
    assert_eq!(w.region("52.239.1.9:443"), Some(RegionChoice::NetworkUnknown(true)));
    for spelled in ["westeurope", "WestEurope", "West Europe"] {
        w.place(spelled);
        for to in ["52.239.1.9:443", "52.239.2.9:443"] {
            assert_eq!(w.region(to), Some(RegionChoice::Same(true)), "{spelled}");
        }
    }
    assert_eq!(w.region("52.239.3.9:443"), Some(RegionChoice::AddressUnknown(true)));
    w.place("eastus");
    assert_eq!(w.region("52.239.1.9:443"), None, "known and different");
    w.place("westeurope");
    w.network.set_same_region_path(w.storage, false).unwrap();
    assert_eq!(w.region("52.239.1.9:443"), Some(RegionChoice::Same(false)));
}

/// E-09, C-06: an endpoint that could catch nothing is refused; where prefixes move away under it,
/// the routes say so.
#[test]
fn endpoint_catching_nothing_is_reported() {
    let mut w = world();
    let place = |w: &mut World, prefix: &str| {
        w.network.set_service_regions(w.storage, [(net(prefix), "north".to_owned())]).unwrap();
    };
    place(&mut w, "52.239.0.0/17");
    let near = scope("North");
    w.network.enable_endpoint(w.web, w.storage, near.clone()).unwrap();
    // Half of the service lies nowhere that is known.
    w.network.enable_endpoint(w.web, w.storage, scope("south")).unwrap();
    place(&mut w, "52.239.0.0/16");
    let refused = w.network.enable_endpoint(w.web, w.storage, scope("south")).unwrap_err();
    assert_eq!(
        refused.to_string(),
        "storage on subnet web would catch nothing: none of its addresses is in south"
    );
    let routes = w.network.commit().effective_routes(w.web);
    let states: Vec<_> =
        routes.iter().filter(|it| it.service.is_some()).map(|it| it.state).collect();
    assert_eq!(states, [RouteState::OutOfScope]);
    let passed = w
        .trace("52.239.1.9:443")
        .steps
        .iter()
        .any(|step| matches!(step, Step::PassedOver { why: PassedOver::OutOfScope, .. }));
    assert!(passed);
    w.network.enable_endpoint(w.web, w.storage, near).unwrap();
}
