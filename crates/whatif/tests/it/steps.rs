//! What to do in which order, and the gaps that no order avoids (E-14).

use serde_json::{Value, json};

use crate::setup::{
    GROUP, SQL, STORAGE, account, behind, changing, enabling, estate, nat, subnet_id, vnet,
};

fn network(endpoints: &[&str]) -> Vec<Value> {
    let mut all = nat("nat1", "52.160.0.9");
    let mut subnet = behind("nat1");
    let list: Vec<_> = endpoints.iter().map(|service| json!({ "service": service })).collect();
    subnet.as_object_mut().unwrap().insert("serviceEndpoints".into(), list.into());
    all.push(vnet("vnet1", "10.0.0.0/16", &[("snet-app", "10.0.1.0/24", subnet)]));
    all
}

fn server(subnets: &[&str]) -> Vec<Value> {
    let id = format!("{GROUP}/Microsoft.Sql/servers/sql1");
    let mut all = vec![
        json!({ "id": id, "location": "northeurope", "publicNetworkAccess": "Enabled" }),
        json!({
            "id": format!("{id}/firewallRules/nat"),
            "startIpAddress": "52.160.0.9", "endIpAddress": "52.160.0.9",
        }),
    ];
    all.extend(subnets.iter().map(|name| {
        json!({
            "id": format!("{id}/virtualNetworkRules/one"),
            "virtualNetworkSubnetId": subnet_id(name),
            "ignoreMissingVnetServiceEndpoint": true,
        })
    }));
    all
}

/// SQL takes the rule beforehand: nothing is refused at any step.
#[test]
fn rule_comes_before_the_endpoint() {
    let mut all = network(&[]);
    all.extend(server(&[]));
    let mut estate = estate(&all, &[("sql1", SQL)]);
    let report = enabling(&mut estate, "Microsoft.Sql", "vnet1/snet-app");
    assert_eq!(
        report.steps,
        [
            "add virtual network rule vnet1/snet-app to sql1 with ignoreMissingVnetServiceEndpoint",
            "apply the change",
        ]
    );
    assert_eq!(report.plan.refused_without, 1);
    let refused: Vec<_> = report.plan.stages.iter().map(|stage| stage.newly_refused).collect();
    assert_eq!(refused, [0, 0]);
    assert_eq!((report.plan.gaps.len(), report.plan.remaining.len()), (0, 0));
}

/// Storage takes no rule before the endpoint: the gap is said, and closes with the last step.
#[test]
fn storage_gap_is_named() {
    let mut all = network(&[]);
    all.push(account("stlogs", &["52.160.0.9"], &[]));
    let mut estate = estate(&all, &[("stlogs", STORAGE)]);
    let report = enabling(&mut estate, "Microsoft.Storage", "vnet1/snet-app");
    assert_eq!(
        report.steps,
        ["apply the change", "add virtual network rule vnet1/snet-app to stlogs"]
    );
    let refused: Vec<_> = report.plan.stages.iter().map(|stage| stage.newly_refused).collect();
    assert_eq!(refused, [1, 0]);
    let gap = &report.plan.gaps[0];
    assert_eq!(
        (gap.resource.as_str(), gap.subnet.as_str(), gap.flows),
        ("stlogs", "vnet1/snet-app", 1)
    );
    assert!(gap.why.contains("takes a rule for a subnet only when the subnet has the endpoint"));
}

/// A plan that brings endpoint and rule at once still has the gap in between.
#[test]
fn endpoint_with_rule_has_a_gap() {
    let (mut old, mut new) = (network(&[]), network(&["Microsoft.Storage"]));
    old.push(account("stlogs", &["52.160.0.9"], &[]));
    new.push(account("stlogs", &["52.160.0.9"], &["vnet1/snet-app"]));
    let report = changing(&mut estate(&old, &[("stlogs", STORAGE)]), &new);
    assert_eq!(report.plan.refused_without, 0);
    assert_eq!(report.plan.gaps.len(), 1, "{report}");
    let refused: Vec<_> = report.plan.stages.iter().map(|stage| stage.newly_refused).collect();
    assert_eq!(refused, [1, 0]);
}

/// The same for SQL has no gap if the rule goes first.
#[test]
fn rule_of_the_plan_goes_first() {
    let (mut old, mut new) = (network(&[]), network(&["Microsoft.Sql"]));
    old.extend(server(&[]));
    new.extend(server(&["vnet1/snet-app"]));
    let report = changing(&mut estate(&old, &[("sql1", SQL)]), &new);
    assert_eq!(report.plan.gaps.len(), 0, "{report}");
    assert_eq!(
        report.steps[0],
        "add virtual network rule vnet1/snet-app to sql1 with ignoreMissingVnetServiceEndpoint"
    );
}

/// Back to the internet: the address rule comes before the switch.
#[test]
fn address_rule_comes_before_endpoint_goes() {
    let (mut old, mut new) = (network(&["Microsoft.Storage"]), network(&[]));
    old.push(account("stlogs", &[], &["vnet1/snet-app"]));
    new.push(account("stlogs", &[], &["vnet1/snet-app"]));
    let report = changing(&mut estate(&old, &[("stlogs", STORAGE)]), &new);
    assert_eq!(report.steps, ["add ip rule 52.160.0.9 to stlogs", "apply the change"]);
    assert_eq!(report.dead_rules[0].rule, "subnet vnet1/snet-app");
    assert_eq!(report.plan.remaining, []);
}

/// A rule for a subnet without the endpoint does not lose its account (E-14).
#[test]
fn rule_without_the_endpoint_matches_nothing() {
    let mut all = network(&[]);
    all.push(account("stlogs", &[], &["vnet1/snet-app"]));
    let mut estate = estate(&all, &[("stlogs", STORAGE)]);
    let report = enabling(&mut estate, "Microsoft.Storage", "vnet1/snet-app");
    let logs = crate::setup::group(&report, "vnet1/snet-app", "stlogs");
    assert_eq!((logs.before.access, logs.after.access), (Some("deny"), Some("allow")));
    assert!(report.assumptions.iter().any(|one| one.code == "rule-without-endpoint"));
}
