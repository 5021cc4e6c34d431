//! The catalogue put into a network: names, endpoints, and lists that replace each other.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test that cannot be set up must fail"
)]

use std::collections::BTreeSet;

use vnetem::{
    Ipv4Net, Network, ServiceId, SubnetId,
    control::{EndpointFirst, ProvisioningState},
};
use vnetem_azure::{Assumption, EndpointService, Scope, ServiceError, ServiceTag, ServiceTags};

/// A network with one subnet.
fn world() -> (Network, SubnetId) {
    let mut network = Network::new();
    let alpha = network.add_vnet("alpha", &["10.0.0.0/16".parse().unwrap()]).unwrap();
    let web = network.add_subnet(alpha, "web", "10.0.0.0/24".parse().unwrap()).unwrap();
    (network, web)
}

fn named(name: &str) -> &'static EndpointService {
    EndpointService::named(name).unwrap()
}

/// E-05, E-06, E-07: every endpoint of the catalogue can be enabled on a subnet in East US and
/// shows its locations, and the two of Storage cannot stand together.
#[test]
fn every_catalogue_service_can_be_enabled() {
    let (tags, (mut network, web)) = (ServiceTags::embedded(), world());
    for service in &EndpointService::ALL {
        let id = service.add_to(&mut network, &tags).unwrap();
        let enabled = network.set_endpoint(web, id, service.endpoint(Some("eastus")));
        if service.name == "Microsoft.Storage.Global" {
            assert_eq!(
                enabled.unwrap_err().to_string(),
                "Microsoft.Storage.Global cannot stand on subnet web beside Microsoft.Storage"
            );
            continue;
        }
        enabled.unwrap();
        let endpoint = &network.subnet(web).unwrap().endpoints[&id];
        let shown: Vec<_> = endpoint.scope.locations().collect();
        let expected: &[&str] = match service.name {
            "Microsoft.Storage" => &["eastus", "westus", "westus3"],
            "Microsoft.Sql" => &["eastus"],
            _ => &["*"],
        };
        assert_eq!((endpoint.name.as_str(), shown.as_slice()), (service.name, expected));
    }
    // Storage has two names and is one service.
    assert_eq!(network.services().count(), EndpointService::ALL.len() - 1);
    assert_eq!(
        network.service_named("Microsoft.Storage.Global"),
        network.service_named("Microsoft.Storage")
    );
}

/// E-15, S-28, S-29: Data Lake Gen1 takes up to 15 minutes for an endpoint and up to 5 for its
/// firewall; nothing is published of others.
#[test]
fn e_15_data_lake_takes_its_time() {
    let products = EndpointService::ALL.iter().flat_map(|service| service.products);
    let slow: Vec<_> = products.filter(|product| product.rollout.is_some()).collect();
    let [lake] = slow[..] else { panic!("{slow:?}") };
    assert_eq!(lake.name, "Data Lake Storage Gen1");
    let times = lake.rollout.unwrap();
    let minutes = |minutes: u64| std::time::Duration::from_secs(60 * minutes);
    let (mut network, web) = world();
    let service = named("Microsoft.AzureActiveDirectory");
    let id = service.add_to(&mut network, &ServiceTags::embedded()).unwrap();
    let rules = |action| {
        let rules = vnetem::authz::RuleSet::new(vnetem::authz::RuleLimits::UNSTATED, action);
        vnetem::authz::Firewall::Storage(rules)
    };
    let allow = rules(vnetem::authz::DefaultAction::Allow);
    let address = network.service(id).unwrap().prefixes[0].hosts().next().unwrap();
    let lake = network.add_resource(id, "lake", address, allow).unwrap();
    let mut rollout = vnetem::control::Rollout::new(7, times.endpoint, times.firewall).unwrap();
    let now = vnetem::Time(0);
    rollout.set_endpoint(now, &mut network, web, id, Some(service.endpoint(None))).unwrap();
    let deny = rules(vnetem::authz::DefaultAction::Deny);
    rollout.set_rules(now, &mut network, lake, deny.clone()).unwrap();
    let (mut last, mut denies) = (now, None);
    while let Some(due) = rollout.poll_timeout() {
        rollout.handle_timeout(due, &mut network);
        if denies.is_none() && network.resource(lake).unwrap().rules == deny {
            denies = Some(due);
        }
        last = due;
    }
    assert!(last > now && last <= now + minutes(15), "{last:?}");
    assert!(denies.is_some_and(|at| at > now && at <= now + minutes(5)), "{denies:?}");
}

/// E-05, U-18: an endpoint is being updated until a snapshot has it, and gives back the identifier
/// that it was given.
#[test]
fn endpoint_shows_state_and_same_identifier() {
    let (mut network, web) = world();
    let service = named("Microsoft.KeyVault");
    let id = service.add_to(&mut network, &ServiceTags::embedded()).unwrap();
    network.commit();
    assert_eq!(network.provisioning_state(web), Ok(ProvisioningState::Succeeded));
    let mut endpoint = service.endpoint(None);
    endpoint.network_identifier = Some("publicIPAddresses/any".to_owned());
    network.set_endpoint(web, id, endpoint.clone()).unwrap();
    assert_eq!(network.provisioning_state(web), Ok(ProvisioningState::Updating));
    network.commit();
    assert_eq!(network.provisioning_state(web), Ok(ProvisioningState::Succeeded));
    assert_eq!(network.subnet(web).unwrap().endpoints[&id], endpoint);
    assert!(network.provisioning_state(SubnetId(99)).is_err());

    endpoint.name = "Microsoft.Web".to_owned();
    assert_eq!(
        network.set_endpoint(web, id, endpoint).unwrap_err().to_string(),
        "there is no endpoint name Microsoft.Web"
    );
}

/// E-03, E-04: the routes hold the worldwide list of the tag, whatever the locations: what these
/// leave out is listed as such.
#[test]
fn endpoint_routes_are_the_whole_tag() {
    let (tags, (mut network, web)) = (ServiceTags::embedded(), world());
    for name in ["Microsoft.Storage", "Microsoft.Sql", "Microsoft.KeyVault"] {
        let service = named(name);
        let id = service.add_to(&mut network, &tags).unwrap();
        network.set_endpoint(web, id, service.endpoint(Some("eastus"))).unwrap();
        let routes = network.commit().effective_routes(web);
        let entries = routes.iter().filter(|route| route.service.as_deref() == Some(name));
        let listed: Vec<Ipv4Net> = entries.flat_map(|entry| entry.prefixes.clone()).collect();
        let missing = |prefix: &&Ipv4Net| !covered(prefix, &listed);
        assert_eq!(tags.tag(service.tag).unwrap().prefixes().iter().find(missing), None);
        let regions: BTreeSet<_> = tags
            .sub_tags(service.tag)
            .filter(|part| part.prefixes().iter().any(|prefix| covered(prefix, &listed)))
            .filter_map(ServiceTag::region)
            .collect();
        assert!(regions.len() > 9, "{name} {}", regions.len());
    }
}

/// E-19: a newer list takes the place of the older one in every subnet that has the endpoint, and
/// in no other.
#[test]
fn newer_list_changes_enabled_subnets_only() {
    let (tags, (mut network, web)) = (ServiceTags::embedded(), world());
    let alpha = network.subnet(web).unwrap().vnet;
    let other = network.add_subnet(alpha, "other", "10.0.1.0/24".parse().unwrap()).unwrap();
    let service = named("Microsoft.KeyVault");
    let id = service.add_to(&mut network, &tags).unwrap();
    network.set_endpoint(web, id, service.endpoint(None)).unwrap();
    let before = network.commit();
    let newer = ServiceTags::from_text(
        "cloud Public\nchange 400\ntag AzureKeyVault 9 - VSE\n198.51.100.0/25\n\
         tag AzureKeyVault.EastUS 9 eastus\n203.0.113.0/24\n",
    )
    .unwrap();
    newer.update_service(&mut network, service.name, service.tag).unwrap();
    let after = network.commit();
    assert_eq!(before.effective_routes(other), after.effective_routes(other));
    let entry = after.effective_routes(web).pop().unwrap();
    assert_eq!(entry.prefixes, nets(&["198.51.100.0/25", "203.0.113.0/24"]));
    let regions = &network.service(id).unwrap().regions;
    assert_eq!(Vec::from_iter(regions.keys().copied()), nets(&["203.0.113.0/24"]));

    let refused = |done: Result<(), ServiceError>| done.unwrap_err().to_string();
    assert_eq!(
        refused(newer.update_service(&mut network, "Microsoft.Sql", "Sql")),
        "the list of tags has no tag Sql"
    );
    assert_eq!(
        refused(newer.update_service(&mut network, "Microsoft.Sql", service.tag)),
        "there is no service Microsoft.Sql"
    );
}

/// U-10: the directory's marked tag by default, the narrower sub-tag by choice, and that lies
/// inside.
#[test]
fn directory_can_use_narrower_tag() {
    let (tags, service) = (ServiceTags::embedded(), *named("Microsoft.AzureActiveDirectory"));
    let narrower = EndpointService { tag: "AzureActiveDirectory.ServiceEndpoint", ..service };
    let prefixes = |service: &EndpointService| {
        let mut network = Network::new();
        service.add_to(&mut network, &tags).unwrap();
        network.service(ServiceId(0)).unwrap().prefixes.clone()
    };
    let (parent, part) = (prefixes(&service), prefixes(&narrower));
    assert_eq!((parent.len(), part.len()), (200, 809));
    assert!(part.iter().all(|prefix| covered(prefix, &parent)));
}

/// U-11: no tag is marked for the AI services, so theirs is assumed and said to be; it lies in no
/// marked one.
#[test]
fn assumed_tag_is_marked_assumed() {
    let assumed = |assumption| {
        let known = EndpointService::ALL.iter();
        known.filter(move |service| service.assumption == Some(assumption)).map(|one| one.name)
    };
    assert_eq!(assumed(Assumption::Tag).collect::<Vec<_>>(), ["Microsoft.CognitiveServices"]);
    assert_eq!(
        assumed(Assumption::Scope).collect::<Vec<_>>(),
        ["Microsoft.ContainerRegistry", "Microsoft.EventHub", "Microsoft.ServiceBus"]
    );
    let tags = ServiceTags::embedded();
    assert!(!tags.tag("CognitiveServicesManagement").unwrap().is_endpoint());
}

/// S-33, S-35, E-12, C-17: products go by the endpoint of the catalogue that says so, five of them
/// by that of Sql; what Azure's list of 2025 has dropped is marked.
#[test]
fn products_use_their_catalogue_endpoint() {
    let by = |endpoint: &str| -> Vec<_> {
        named(endpoint).products.iter().map(|one| (one.name, one.legacy)).collect()
    };
    assert_eq!(
        by("Microsoft.Sql"),
        [
            ("SQL Database", false),
            ("Synapse dedicated pool", false),
            ("Database for PostgreSQL", true),
            ("Database for MySQL", true),
            ("Database for MariaDB", false),
        ]
    );
    assert_eq!(by("Microsoft.AzureActiveDirectory"), [("Data Lake Storage Gen1", true)]);
    assert_eq!(by("Microsoft.Storage"), by("Microsoft.Storage.Global"));
}

/// S-30, S-31: of all endpoints only that of Sql is bound to one region, and only the local one of
/// Storage to a pair.
#[test]
fn only_sql_and_storage_are_regional() {
    for service in &EndpointService::ALL {
        let far = service.scope.covers("westeurope", "eastus");
        let paired = service.scope.covers("westeurope", "northeurope");
        let expected = match service.name {
            "Microsoft.Sql" => (Scope::OwnRegion, false, false),
            "Microsoft.Storage" => (Scope::OwnRegionAndPairs, true, false),
            _ => (Scope::Worldwide, true, true),
        };
        assert_eq!((service.scope, paired, far), expected, "{}", service.name);
        assert!(service.scope.covers("westeurope", "westeurope"));
    }
}

fn nets(texts: &[&str]) -> Vec<Ipv4Net> {
    texts.iter().map(|text| text.parse().unwrap()).collect()
}

fn covered(prefix: &Ipv4Net, by: &[Ipv4Net]) -> bool {
    by.iter().any(|whole| whole.contains(prefix))
}

/// E-14, P-33, C-03: each service of the catalogue has its facts with their source, and the page of
/// services says the same.
#[test]
fn every_service_states_its_facts() {
    let page = include_str!("../../../docs/services.md");
    for service in &EndpointService::ALL {
        let asks = match service.rules.endpoint_first {
            EndpointFirst::Always => "refused",
            EndpointFirst::UnlessIgnored => "with the flag",
            EndpointFirst::NotAsked => panic!("{} asks nothing", service.name),
        };
        let is_storage = service.tag == "Storage";
        let [path, policies] = if is_storage { ["on", "yes"] } else { ["off", "no"] };
        let source = service.rules.source;
        assert!(!source.is_empty());
        let row = format!("| {} | {asks} | {source} | {path} | {policies} |\n", service.name);
        assert!(page.contains(&row), "{row}");

        let mut network = Network::new();
        let id = service.add_to(&mut network, &ServiceTags::embedded()).unwrap();
        let added = network.service(id).unwrap();
        assert_eq!(added.endpoint_first, service.rules.endpoint_first);
        assert_eq!(added.takes_policies, is_storage);
        assert_eq!(added.same_region_path, is_storage.then_some(true));
    }
    // A service of one's own name with the tag of Storage is Storage.
    let mut network = Network::new();
    let id = ServiceTags::embedded().add_service(&mut network, "blobs", "Storage").unwrap();
    assert!(network.service(id).unwrap().takes_policies);
}
