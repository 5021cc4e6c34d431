//! What endpoint policies let a subnet call, one statement each.

use std::sync::Arc;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{select, subsequence};
use vnetem_authz::{
    Coverage, EndpointPolicies, EndpointPolicy, PolicyDefinition, PolicyError, PolicyResource,
    PolicyService, Refusal,
};

use crate::cases;

const SUBSCRIPTION: &str = "/subscriptions/11111111-2222-3333-4444-555555555555";

/// Without a policy every resource may be called (P-01).
#[test]
fn without_policy_every_resource_is_allowed() {
    let none = EndpointPolicies::default();
    for id in [account("anything"), classic("old"), "no id at all".into(), String::new()] {
        assert_eq!(none.judge(&id), Coverage::NoPolicy);
        assert_eq!(none.judge(&id).refusal(), None);
    }
}

/// Several policies allow their union. The rest is refused for a reason of its own (P-02, S-45,
/// U-06).
#[test]
fn several_policies_allow_their_union() {
    let mut policies =
        attached(&[("logs", &[&account("stlogs")]), ("data", &[&account("stdata")])]);
    for name in ["stlogs", "stdata"] {
        assert!(policies.judge(&account(name)).is_allowed(), "{name}");
    }
    let other = policies.judge(&account("stother"));
    assert_eq!(other, Coverage::NotListed);
    assert_eq!(other.refusal(), Some(Refusal::NotInEndpointPolicy));
    let Coverage::Listed { policy, resource } = policies.judge(&account("stdata")) else {
        panic!("not listed");
    };
    assert_eq!((policy.name.as_str(), resource.to_string()), ("data", account("stdata")));

    assert!(policies.detach("LOGS"));
    assert!(!policies.detach("logs"));
    assert_eq!(policies.judge(&account("stlogs")), Coverage::NotListed);
    assert!(policies.detach("data"));
    assert_eq!(policies.judge(&account("stlogs")), Coverage::NoPolicy);
}

/// Collected policies decide as attached ones do (P-02).
#[test]
fn collected_policies_decide_like_attached_ones() {
    let one = policy("logs", &[&account("stlogs")]);
    let definition = &one.definitions[0];
    assert_eq!((definition.service(), definition.resources().len()), (PolicyService::Storage, 1));
    let collected: EndpointPolicies = [one].into_iter().collect();
    let attached = attached(&[("logs", &[&account("stlogs")])]);
    for name in ["stlogs", "stother"] {
        let (collected, attached) =
            (collected.judge(&account(name)), attached.judge(&account(name)));
        assert_eq!(collected, attached, "{name}");
    }
    assert!(collected.judge(&account("stlogs")).is_allowed());
}

/// A subscription, a resource group and an account each cover what is below them and nothing else
/// (P-03).
#[test]
fn entry_covers_only_what_is_below() {
    let group = format!("{SUBSCRIPTION}/resourceGroups/rg");
    let id = account("stlogs");
    for entry in [SUBSCRIPTION, &group, &id] {
        assert!(resource(entry).covers(&id), "{entry}");
        assert!(resource(&format!("{entry}/")).covers(&id), "{entry}/");
    }
    // A name that only begins alike is another one.
    for (entry, other) in [
        (SUBSCRIPTION.to_owned(), id.replace("555/", "5556/")),
        (group.clone(), id.replace("/rg/", "/rg2/")),
        (id.clone(), account("stlogs2")),
        (id.clone(), group.clone()),
        (group, SUBSCRIPTION.to_owned()),
    ] {
        assert!(!resource(&entry).covers(&other), "{entry} {other}");
    }
}

/// Ids compare without regard to case (P-03).
#[test]
fn ids_compare_without_regard_to_case() {
    let policies = attached(&[("logs", &[&account("stlogs").to_uppercase()])]);
    assert!(policies.judge(&account("StLogs")).is_allowed());
    assert_eq!(resource(&account("stlogs").to_uppercase()), resource(&account("STlogs")));
    assert_ne!(resource(&account("stlogs")), resource(&account("stlogs2")));
}

/// Each alias covers its service's own accounts, the shortest those of all services. Aliases belong
/// in a Global definition (P-04).
#[test]
fn alias_covers_its_services_accounts() {
    for alias in
        ["Batch", "Databricks", "DataFactory", "MachineLearning", "ManagedInstance", "WebPI"]
    {
        let alias = format!("/services/Azure/{alias}");
        let own = format!("{alias}/stpool7");
        let policies = policies_of(PolicyService::Global, &[&alias]);
        assert!(policies.judge(&own).is_allowed(), "{alias}");
        assert_eq!(policies.judge("/services/Azure/Backup/st1"), Coverage::NotListed);
        assert_eq!(policies.judge(&account("stlogs")), Coverage::NotListed);
        assert!(policies_of(PolicyService::Global, &["/services/azure"]).judge(&own).is_allowed());
    }
    for (service, entry) in [
        (PolicyService::Storage, "/services/Azure/Batch".to_owned()),
        (PolicyService::Global, account("stlogs")),
        (PolicyService::Global, SUBSCRIPTION.to_owned()),
    ] {
        let refused = PolicyDefinition::new(service, vec![resource(&entry)]).unwrap_err();
        let named = match service {
            PolicyService::Storage => "Microsoft.Storage",
            PolicyService::Global => "Global",
        };
        let text = format!("{entry} does not belong in a definition for {named}");
        assert_eq!(refused.to_string(), text);
        assert_eq!(refused, PolicyError::OtherService { resource: entry, service });
    }
}

/// A path that is neither an id of the three kinds nor a known alias is refused by name (P-04).
#[test]
fn other_paths_are_no_resources() {
    let vault = format!("{SUBSCRIPTION}/resourceGroups/rg/providers/Microsoft.KeyVault/vaults/kv");
    let container = format!("{}/blobServices/default", account("stlogs"));
    for text in [
        "",
        "/",
        "subscriptions/1",
        "/subscriptions/",
        "/subscriptions//",
        "/subscriptions/1/resourceGroups",
        "/subscriptions/1//rg",
        "/services",
        "/services/Azure/Unheard",
        "/services/Azure/Batch/st1",
        &vault,
        &container,
        &classic("old"),
    ] {
        let refused = text.parse::<PolicyResource>();
        assert_eq!(refused, Err(PolicyError::NotAResource(text.to_owned())));
    }
}

/// The read-only secondary has the account's name with an ending, and is the same account (P-05).
#[test]
fn secondary_of_listed_account_is_allowed() {
    let policies = attached(&[("logs", &[&account("stlogs")])]);
    assert!(policies.judge(&account("stlogs-secondary")).is_allowed());
    assert!(policies.judge(&account("stlogs-SECONDARY")).is_allowed());
    for name in ["stother-secondary", "stlogs-secondary2", "-secondary", "stlogs-tertiary"] {
        assert_eq!(policies.judge(&account(name)), Coverage::NotListed, "{name}");
    }
    // The ending has a meaning only after an account's name.
    let group = resource(&format!("{SUBSCRIPTION}/resourceGroups/rg"));
    assert!(!group.covers(&format!("{SUBSCRIPTION}/resourceGroups/rg-secondary")));
}

/// No policy can allow a classic account, not even through its subscription (P-06).
#[test]
fn any_policy_denies_classic_accounts() {
    let policies = attached(&[("all", &[SUBSCRIPTION])]);
    assert!(policies.judge(&account("stlogs")).is_allowed());
    assert_eq!(policies.judge(&classic("old")), Coverage::Classic);
    assert_eq!(policies.judge(&classic("old")).refusal(), Some(Refusal::NotInEndpointPolicy));
}

/// The limits are 200 resources in a definition, 100 policies on a subnet, 500 in a subscription
/// (P-07).
#[test]
#[cfg_attr(miri, ignore = "adds hundreds, each beside all others")]
fn resources_and_policies_have_their_limits() {
    let resources = |count: usize| vec![resource(&account("stlogs")); count];
    assert!(PolicyDefinition::new(PolicyService::Storage, resources(200)).is_ok());
    let refused = PolicyDefinition::new(PolicyService::Storage, resources(201));
    assert_eq!(refused, Err(PolicyError::TooManyResources { limit: 200 }));

    let mut policies = EndpointPolicies::default();
    for number in 0..100 {
        policies.attach(policy(&format!("policy{number}"), &[]), "westeurope", true).unwrap();
    }
    let full = policies.clone();
    let refused = policies.attach(policy("one-more", &[]), "westeurope", true);
    assert_eq!(refused, Err(PolicyError::TooManyPolicies { limit: 100 }));
    assert_eq!(policies, full);
    assert_eq!(EndpointPolicy::PER_SUBSCRIPTION, 500);
}

/// The endpoint must exist first, and policy and network must share a region. The error names both
/// (P-07).
#[test]
fn policy_needs_endpoint_and_same_region() {
    let mut policies = EndpointPolicies::default();
    let refused = policies.attach(policy("logs", &[]), "westeurope", false).unwrap_err();
    assert_eq!(
        refused.to_string(),
        "policy logs needs the subnet's endpoint for Microsoft.Storage first"
    );
    let refused = policies.attach(policy("logs", &[]), "northeurope", true).unwrap_err();
    assert_eq!(
        refused.to_string(),
        "policy logs is in westeurope, the virtual network in northeurope"
    );
    assert_eq!(policies, EndpointPolicies::default());
    policies.attach(policy("logs", &[]), "WestEurope", true).unwrap();
    let again = policies.attach(policy("Logs", &[]), "westeurope", true);
    assert_eq!(again, Err(PolicyError::NameTaken { policy: "Logs".into() }));
}

proptest! {
    #![proptest_config(cases(500))]

    /// Equals a reference implementation that compares lower-case paths part by part, over all
    /// policies (P-02, P-03, P-06).
    #[test]
    fn coverage_agrees_with_reference(
        policies in vec(subsequence(entries(), 0..4), 1..4),
        id in select(ids()),
        shout in any::<bool>(),
    ) {
        let mut attached = EndpointPolicies::default();
        for (number, entries) in policies.iter().enumerate() {
            let entries: Vec<_> = entries.iter().map(String::as_str).collect();
            attached.attach(policy(&number.to_string(), &entries), "westeurope", true).unwrap();
        }
        let parts = |path: &str| -> Vec<String> { path.to_lowercase().split('/').map(str::to_owned).collect() };
        let called = parts(id.strip_suffix("-secondary").unwrap_or(&id));
        let listed = policies.iter().flatten().any(|entry| called.starts_with(&parts(entry)));
        let classic = called.contains(&"microsoft.classicstorage".to_owned());
        let called = if shout { id.to_uppercase() } else { id };
        prop_assert_eq!(attached.judge(&called).is_allowed(), listed && !classic);
    }
}

fn entries() -> Vec<String> {
    let groups = ["rg", "rg2"].map(|group| format!("/subscriptions/1/resourceGroups/{group}"));
    let mut entries = vec!["/subscriptions/1".to_owned(), "/subscriptions/12".to_owned()];
    for group in &groups {
        entries.push(group.clone());
        entries.extend(["st1", "st12"].map(|name| format!("{group}/{STORAGE}/{name}")));
    }
    entries
}

fn ids() -> Vec<String> {
    let mut ids = Vec::new();
    for subscription in ["1", "12", "2"] {
        for group in ["rg", "rg2"] {
            let group = format!("/subscriptions/{subscription}/resourceGroups/{group}");
            for name in ["st1", "st12", "st1-secondary"] {
                ids.push(format!("{group}/{STORAGE}/{name}"));
                ids.push(format!("{group}/{CLASSIC}/{name}"));
            }
        }
    }
    ids
}

const STORAGE: &str = "providers/Microsoft.Storage/storageAccounts";
const CLASSIC: &str = "providers/Microsoft.ClassicStorage/storageAccounts";

fn account(name: &str) -> String {
    format!("{SUBSCRIPTION}/resourceGroups/rg/{STORAGE}/{name}")
}

fn classic(name: &str) -> String {
    format!("{SUBSCRIPTION}/resourceGroups/rg/{CLASSIC}/{name}")
}

fn resource(text: &str) -> PolicyResource {
    text.parse().unwrap()
}

fn attached(policies: &[(&str, &[&str])]) -> EndpointPolicies {
    let mut attached = EndpointPolicies::default();
    for (name, entries) in policies {
        attached.attach(policy(name, entries), "westeurope", true).unwrap();
    }
    attached
}

fn policy(name: &str, entries: &[&str]) -> Arc<EndpointPolicy> {
    policy_of(name, PolicyService::Storage, entries)
}

fn policies_of(service: PolicyService, entries: &[&str]) -> EndpointPolicies {
    let mut attached = EndpointPolicies::default();
    attached.attach(policy_of("own", service, entries), "westeurope", true).unwrap();
    attached
}

fn policy_of(name: &str, service: PolicyService, entries: &[&str]) -> Arc<EndpointPolicy> {
    let resources = entries.iter().map(|entry| resource(entry)).collect();
    let definitions = vec![PolicyDefinition::new(service, resources).unwrap()];
    Arc::new(EndpointPolicy { name: name.into(), region: "westeurope".into(), definitions })
}
