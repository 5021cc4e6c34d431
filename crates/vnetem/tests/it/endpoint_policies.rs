//! Endpoint policies on the endpoints of subnets: who judges, what else they change, and what is
//! refused.

use std::net::Ipv4Addr;

use vnetem::{
    DataPlane, Edge, EndpointPolicyId, Identity, Settings, Time, VnetId,
    authz::{
        Access, Arrival, DefaultAction, EndpointPolicy, Firewall, Grant, PolicyDefinition,
        PolicyService, Refusal, RuleLimits, RuleSet, RuleState,
    },
    control::{Outbound, Placement, Scope},
};

use crate::base::{self, World};
use crate::packets::segment;

/// With the endpoint.
fn world() -> World {
    let mut w = base::world();
    w.network.enable_endpoint(w.web, w.storage, Scope::Worldwide).unwrap();
    w.network.set_takes_policies(w.storage, true).unwrap();
    w
}

fn policy(name: &str, region: &str, ids: &[&str]) -> EndpointPolicy {
    let ids = ids.iter().map(|id| id.parse().unwrap()).collect();
    EndpointPolicy {
        name: name.into(),
        region: region.into(),
        definitions: vec![PolicyDefinition::new(PolicyService::Storage, ids).unwrap()],
    }
}

impl World {
    fn policy(&mut self, name: &str, ids: &[&str]) -> EndpointPolicyId {
        self.network.add_endpoint_policy("7", policy(name, "westeurope", ids)).unwrap()
    }
}

/// E-11, E-09: with a policy the endpoint leads to the service in every region, and without one
/// where its scope says.
#[test]
fn e_11_policy_makes_endpoint_worldwide() {
    let mut w = world();
    let regions = [("52.239.0.0/24", "westeurope"), ("52.239.1.0/24", "eastus")];
    let regions = regions.map(|(prefix, region)| (prefix.parse().unwrap(), region.to_owned()));
    w.network.set_service_regions(w.storage, regions).unwrap();
    let scope = Scope::Regions(["westeurope".to_owned()].into());
    w.network.enable_endpoint(w.web, w.storage, scope).unwrap();
    let gateway = Outbound::NatGateway(vec![Ipv4Addr::new(20, 1, 1, 1)]);
    w.network.set_outbound(w.web, gateway).unwrap();
    let by_endpoint = |w: &mut World, to: [u8; 4]| {
        let plane = DataPlane::new(w.network.commit(), Settings::replayable(0));
        let ends = [([10, 0, 0, 4], 50_000), (to, 443)]
            .map(|(address, port)| std::net::SocketAddrV4::new(Ipv4Addr::from(address), port));
        let syn = segment(ends[0], ends[1], "S", (1000, 0), &[]);
        let verdict = plane.trace(Time(0), Edge::Subnet(w.web), &syn).verdict;
        matches!(verdict.edge(plane.snapshot()), Some(Edge::Service { identity: Some(_), .. }))
    };
    let (near, far) = ([52, 239, 0, 9], [52, 239, 1, 9]);
    assert_eq!([near, far].map(|to| by_endpoint(&mut w, to)), [true, false]);
    let logs = w.policy("logs", &["/subscriptions/7/resourceGroups/logs"]);
    w.network.attach_policy(w.web, w.storage, logs).unwrap();
    assert_eq!([near, far].map(|to| by_endpoint(&mut w, to)), [true, true]);
    w.network.detach_policy(w.web, w.storage, logs).unwrap();
    assert_eq!([near, far].map(|to| by_endpoint(&mut w, to)), [true, false]);
}

/// U-06: a policy is bound to the identity of the subnet, and speaks before the rules of the
/// resource; it says nothing of who comes otherwise.
#[test]
fn service_applies_the_identitys_policy() {
    let mut w = world();
    let db = w.network.add_subnet(w.alpha, "db", "10.0.1.0/24".parse().unwrap()).unwrap();
    let mut rules = RuleSet::new(RuleLimits::UNSTATED, DefaultAction::Deny);
    rules.set_vnet_rule(w.web, RuleState::Succeeded).unwrap();
    rules.set_vnet_rule(db, RuleState::Succeeded).unwrap();
    rules.add_ip_rule("198.51.100.20".parse().unwrap()).unwrap();
    let address = Ipv4Addr::new(52, 239, 1, 9);
    let id = w.network.add_resource(w.storage, "acct", address, Firewall::Storage(rules)).unwrap();
    let group = "/subscriptions/7/resourceGroups/logs";
    let path = format!("{group}/providers/Microsoft.Storage/storageAccounts/acct");
    let judge = |w: &mut World, arrival| w.network.commit().judge(id, arrival).unwrap();
    let from = |subnet| {
        let address = Ipv4Addr::new(10, 0, 0, 4);
        Arrival::Tunnel(Identity { vnet: VnetId(0), subnet, address })
    };
    let web = from(w.web);
    assert_eq!(judge(&mut w, web), Access::Allowed(Grant::SubnetRule(w.web)));
    let logs = w.policy("logs", &[group]);
    w.network.attach_policy(w.web, w.storage, logs).unwrap();
    // Known by no id, it is named by nobody.
    let refused = Access::Refused(Refusal::NotInEndpointPolicy);
    assert_eq!(judge(&mut w, web), refused);
    w.network.set_resource_path(id, &path).unwrap();
    assert_eq!(judge(&mut w, web), Access::Allowed(Grant::SubnetRule(w.web)));
    w.network.set_resource_path(id, &path.replace("logs", "other")).unwrap();
    assert_eq!(judge(&mut w, web), refused);
    assert_eq!(judge(&mut w, from(db)), Access::Allowed(Grant::SubnetRule(db)));
    assert!(judge(&mut w, Arrival::Public(Ipv4Addr::new(198, 51, 100, 20))).is_allowed());
    w.network.detach_policy(w.web, w.storage, logs).unwrap();
    assert_eq!(judge(&mut w, web), Access::Allowed(Grant::SubnetRule(w.web)));
}

/// P-07: the endpoint comes first and stays as long as the policy does; policy and network are in
/// one region, whichever is said last; 100 policies a subnet, 500 a subscription; what is attached
/// is not removed.
#[test]
fn policy_needs_endpoint_region_and_room() {
    let mut w = world();
    let db = w.network.add_subnet(w.alpha, "db", "10.0.1.0/24".parse().unwrap()).unwrap();
    let logs = w.policy("logs", &[]);
    let said = |refused: Result<(), vnetem::EditError>| refused.unwrap_err().to_string();
    assert_eq!(
        said(w.network.attach_policy(db, w.storage, logs)),
        "subnet db: policy logs needs the subnet's endpoint for storage first"
    );
    let place = |region: &str| Placement { region: region.into(), ..Placement::default() };
    w.network.place_vnet(w.alpha, place("eastus")).unwrap();
    let elsewhere = "subnet web: policy logs is in westeurope, the virtual network in eastus";
    assert_eq!(said(w.network.attach_policy(w.web, w.storage, logs)), elsewhere);
    w.network.place_vnet(w.alpha, place("West Europe")).unwrap();
    assert_eq!(w.network.attach_policy(w.web, w.storage, logs), Ok(()));
    assert_eq!(w.network.attach_policy(w.web, w.storage, logs), Ok(()), "INV-edits-idempotent");
    assert_eq!(said(w.network.place_vnet(w.alpha, place("eastus"))), elsewhere);
    assert_eq!(
        said(w.network.disable_endpoint(w.web, w.storage)),
        "the endpoint of subnet web is used by endpoint policy logs"
    );
    assert_eq!(
        said(w.network.remove_endpoint_policy(logs)),
        "endpoint policy logs is used by subnet web"
    );
    for number in 1..100 {
        let id = w.policy(&format!("p{number}"), &[]);
        w.network.attach_policy(w.web, w.storage, id).unwrap();
    }
    let one_more = w.policy("p100", &[]);
    assert_eq!(
        said(w.network.attach_policy(w.web, w.storage, one_more)),
        "subnet web: the subnet already has 100 policies, the most it may have"
    );
    for number in 101..500 {
        w.policy(&format!("p{number}"), &[]);
    }
    let full = w.network.add_endpoint_policy("7", policy("p500", "westeurope", &[]));
    assert_eq!(
        full.unwrap_err().to_string(),
        "there can be at most 500 endpoint policies of a subscription"
    );
    assert!(w.network.add_endpoint_policy("8", policy("p500", "westeurope", &[])).is_ok());
    assert!(w.network.add_endpoint_policy("8", policy("P500", "westeurope", &[])).is_err());
    w.network.remove_subnet(w.web).unwrap();
    assert_eq!(w.network.remove_endpoint_policy(logs), Ok(()));
}
