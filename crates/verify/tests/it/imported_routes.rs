//! Compares the effective routes of every subnet of every importable file with the reference model.
//!
//! The files are those of the importers' tests. The model reads the network by its own code.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::collections::BTreeSet;
use std::fs;
use std::net::Ipv4Addr;
use std::path::Path;

use vnetem::control::{Choice, NextHop, Subnet};
use vnetem_azure::ServiceTags;
use vnetem_azure::import::{Importer, LoadedNetwork};
use vnetem_verify::model::next_hop;

/// Returns addresses on both sides of every border in a subnet's routes, and some of services.
fn destinations(subnet: &Subnet, network: &vnetem::Network) -> BTreeSet<Ipv4Addr> {
    let mut all = BTreeSet::from(
        [[8, 8, 8, 8], [10, 0, 0, 1], [192, 168, 1, 1], [100, 64, 0, 1]].map(Ipv4Addr::from),
    );
    let tables = subnet
        .table
        .routes
        .keys()
        .chain(subnet.table.tags.values().flat_map(|it| it.prefixes.iter().take(8)));
    for prefix in tables.chain([&subnet.prefix]) {
        all.extend([prefix.network(), prefix.broadcast()]);
        all.insert(Ipv4Addr::from_bits(prefix.broadcast().to_bits().wrapping_add(1)));
    }
    for service in subnet.endpoints.keys() {
        let service = network.service(*service).unwrap();
        all.extend(service.prefixes.iter().step_by(97).map(|prefix| prefix.network()));
        all.extend(service.regions.keys().step_by(61).map(|prefix| prefix.broadcast()));
    }
    for (_, vnet) in network.vnets() {
        all.extend(vnet.ranges.iter().map(|range| range.broadcast()));
    }
    all
}

/// the model routes what importers make of files in the same way.
#[test]
fn imported_routes_are_the_models() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../azure/tests/corpus");
    if !root.is_dir() {
        return vnetem_checks::skip("imported routes", format!("there is no {}", root.display()));
    }
    let (mut files, mut asked) = (0, 0);
    for folder in ["arm", "az", "terraform", "whatif", "synthetic"] {
        for entry in fs::read_dir(root.join(folder)).unwrap() {
            let path = entry.unwrap().path();
            let mut importer = Importer::new();
            if importer.read("file", &fs::read(&path).unwrap()).is_err() {
                continue;
            }
            for inventory in [importer.before(), importer.inventory()] {
                let mut loaded = LoadedNetwork::new(ServiceTags::embedded());
                loaded.update(&inventory);
                let snapshot = loaded.network.commit();
                for (id, subnet) in loaded.network.subnets() {
                    for to in destinations(subnet, &loaded.network) {
                        let ours = snapshot.next_hop(id, to).map(|choice| match choice {
                            Choice::Route(route) => Ok(route.next_hop),
                            Choice::Endpoint { service, .. } => Err(service),
                        });
                        let models: Option<Result<NextHop, _>> = next_hop(&loaded.network, id, to);
                        assert_eq!(ours, models, "{}: {id} to {to}", path.display());
                        asked += 1;
                    }
                }
            }
            files += 1;
        }
    }
    assert!(files > 60 && asked > 5_000, "{files} files, {asked} questions");
}
