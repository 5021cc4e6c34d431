//! Measures what a question costs: reading a flow log, deciding flows before and after a change,
//! and writing a page.
//!
//! `cargo run --release -p vnetem-whatif --example speed` does the same at full size.

#![allow(missing_docs, clippy::unwrap_used, reason = "a benchmark may fail by panic")]

use std::fmt::Write as _;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use vnetem::{
    Network,
    authz::{DefaultAction, Firewall, IpRule, RuleLimits, RuleSet},
    control::{Outbound, Scope},
};
use vnetem_azure::import::Importer;
use vnetem_whatif::{Change, Options, Traffic, compare};

const SUBNETS: u64 = 100;

/// Makes a flow log of this many lines, each of a flow of its own.
fn log(flows: u64) -> String {
    let mut text = String::from(
        "{\"records\":[{\"time\":\"2026-01-01T00:00:00Z\",\"macAddress\":\"0022\",\"flowRecords\":\
         {\"flows\":[{\"aclID\":\"a\",\"flowGroups\":[{\"rule\":\"r\",\"flowTuples\":[",
    );
    for flow in 0..flows {
        let comma = if flow > 0 { "," } else { "" };
        let to = if flow.is_multiple_of(2) { "52.239.1.9" } else { "198.41.0.4" };
        let (subnet, host) = (flow % SUBNETS, 4 + flow / SUBNETS % 240);
        let port = 1_024 + flow / (SUBNETS * 240) % 60_000;
        write!(
            text,
            "{comma}\"1733975972606,10.0.{subnet}.{host},{to},{port},443,6,O,C,NX,9,900,8,8000\""
        )
        .unwrap();
    }
    text.push_str("]}]}]}}]}");
    text
}

fn change() -> Change {
    let mut network = Network::new();
    let ranges = ["52.239.0.0/16".parse().unwrap()];
    let storage = network.add_service("Microsoft.Storage", &ranges).unwrap();
    let vnet = network.add_vnet("vnet1", &["10.0.0.0/16".parse().unwrap()]).unwrap();
    let mut rules = RuleSet::new(RuleLimits::STORAGE, DefaultAction::Deny);
    rules.add_ip_rule(IpRule::Prefix("20.5.0.0/17".parse().unwrap())).unwrap();
    let address = "52.239.1.9".parse().unwrap();
    network.add_resource(storage, "logs", address, Firewall::Storage(rules)).unwrap();
    let mut places = Vec::new();
    for at in 0..SUBNETS {
        let range = format!("10.0.{at}.0/24").parse().unwrap();
        let place = network.add_subnet(vnet, &format!("snet-{at}"), range).unwrap();
        let address = format!("20.5.{at}.1").parse().unwrap();
        network.set_outbound(place, Outbound::NatGateway(vec![address])).unwrap();
        places.push(place);
    }
    let begun = Change::begin(&mut network);
    for place in places {
        network.enable_endpoint(place, storage, Scope::Worldwide).unwrap();
    }
    begun.end(&mut network)
}

fn traffic(flows: u64) -> Traffic {
    let mut traffic = Traffic::new();
    traffic.read_flow_log("made", log(flows).as_bytes()).unwrap();
    traffic
}

fn what_if(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("what-if");
    group.sample_size(10);
    let text = log(100_000);
    group.throughput(Throughput::Bytes(text.len() as u64)).bench_function(
        "read/100000",
        |bencher| {
            bencher.iter(|| {
                let mut traffic = Traffic::new();
                traffic.read_flow_log("made", text.as_bytes()).unwrap();
                traffic.len()
            });
        },
    );
    let change = change();
    for flows in [1_000, 100_000] {
        let traffic = traffic(flows);
        let name = format!("compare/{flows}");
        group.throughput(Throughput::Elements(flows)).bench_function(name, |bencher| {
            bencher.iter(|| compare(&change, &traffic, &Options::default()).traffic.closed);
        });
    }
    let report = compare(&change, &traffic(10_000), &Options::default());
    group.bench_function(format!("page/{}", report.groups.len()), |bencher| {
        bencher.iter(|| report.html().len());
    });
    let plan = plan(10_000);
    group.throughput(Throughput::Elements(10_000)).bench_function("plan/10000", |bencher| {
        bencher.iter(|| {
            let mut importer = Importer::new();
            importer.read("plan.json", plan.as_bytes()).unwrap();
            importer.inventory().subnets.len()
        });
    });
    group.finish();
}

/// Makes a plan of this many resources: subnets of networks of a hundred each.
fn plan(resources: u32) -> String {
    let mut text = String::from("{\"format_version\":\"1.2\",\"resource_changes\":[");
    for at in 0..resources {
        let comma = if at > 0 { "," } else { "" };
        let (vnet, subnet) = (at / 100, at % 100);
        let (kind, values) = match subnet {
            0 => (
                "azurerm_virtual_network",
                format!("\"name\":\"v{vnet}\",\"address_space\":[\"10.0.0.0/16\"]"),
            ),
            _ => (
                "azurerm_subnet",
                format!(
                    "\"name\":\"s{subnet}\",\"virtual_network_name\":\"v{vnet}\",\
                     \"address_prefixes\":[\"10.0.{subnet}.0/24\"],\
                     \"service_endpoints\":[\"Microsoft.Storage\"]"
                ),
            ),
        };
        let values =
            format!("{{{values},\"resource_group_name\":\"g\",\"location\":\"westeurope\"}}");
        write!(
            text,
            "{comma}{{\"address\":\"{kind}.r{at}\",\"mode\":\"managed\",\"type\":\"{kind}\",\
             \"name\":\"r{at}\",\"change\":{{\"actions\":[\"create\"],\"before\":null,\
             \"after\":{values},\"after_unknown\":{{\"id\":true}}}}}}"
        )
        .unwrap();
    }
    text.push_str("]}");
    text
}

criterion_group!(benches, what_if);
criterion_main!(benches);
