//! Says how fast a change is tried: `cargo run --release -p vnetem-whatif --example speed`.
//!
//! It makes a flow log of ten million lines of a million flows in memory (`-- 1000000 100000` for
//! fewer), reads it, and tries all flows before and after an endpoint is enabled.

use std::error::Error;
use std::fmt::Write as _;
use std::io::Read;
use std::time::{Duration, Instant};

use vnetem::{
    Network,
    authz::{DefaultAction, Firewall, IpRule, RuleLimits, RuleSet},
    control::Outbound,
};
use vnetem_azure::{EndpointService, ServiceTags};
use vnetem_whatif::{Change, Options, Traffic, compare};

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let mut number = |otherwise| arguments.next().map_or(Ok(otherwise), |text| text.parse::<u64>());
    let (tuples, flows) = (number(10_000_000)?, number(1_000_000)?);
    let mut log = Log { tuples, flows, next: 0, text: String::new(), at: 0, bytes: 0 };

    // The log is made while it is read. What that takes is measured first, and taken off.
    let start = Clock::start();
    std::io::copy(&mut log, &mut std::io::sink())?;
    let made = start.seconds();
    (log.next, log.at, log.bytes) = (0, 0, 0);
    log.text.clear();
    let start = Clock::start();
    let mut traffic = Traffic::new();
    traffic.read_flow_log("made", &mut log)?;
    let read = start.seconds() - made;
    println!(
        "read      {read:6.2} s   {} lines, {} flows, {:.0} MB, {:.0} MB/s",
        traffic.tuples(),
        traffic.len(),
        log.bytes as f64 / 1e6,
        log.bytes as f64 / 1e6 / read
    );
    let change = change()?;
    let start = Clock::start();
    let report = compare(&change, &traffic, &Options::default());
    println!(
        "compared  {:6.2} s   {} flows, {} open, {} cut, {} rows",
        start.seconds(),
        report.traffic.flows,
        report.traffic.open,
        report.traffic.closed,
        report.groups.len()
    );
    let start = Clock::start();
    let page = report.html();
    println!("page      {:6.2} s   {} bytes", start.seconds(), page.len());
    if let Some(most) = most_memory() {
        println!("memory    {most}");
    }
    Ok(())
}

/// A network of 200 subnets behind one NAT gateway each, and the endpoint for Storage on all.
fn change() -> Result<Change, Box<dyn Error>> {
    let tags = ServiceTags::embedded();
    let storage = EndpointService::named("Microsoft.Storage").ok_or("no Storage")?;
    let mut network = Network::new();
    let service = storage.add_to(&mut network, &tags)?;
    let vnet = network.add_vnet("vnet1", &["10.0.0.0/16".parse()?])?;
    let mut places = Vec::new();
    for at in 0..200 {
        let place =
            network.add_subnet(vnet, &format!("snet-{at}"), format!("10.0.{at}.0/24").parse()?)?;
        let addresses = (0..8).map(|one| format!("20.5.{at}.{one}").parse());
        let addresses = addresses.collect::<Result<Vec<_>, _>>()?;
        network.set_outbound(place, Outbound::NatGateway(addresses))?;
        places.push(place);
    }
    for at in 0..20 {
        let mut rules = RuleSet::new(RuleLimits::STORAGE, DefaultAction::Deny);
        rules.add_ip_rule(IpRule::Prefix("20.5.0.0/17".parse()?))?;
        let address = format!("20.60.26.{at}").parse()?;
        network.add_resource(service, &format!("acct{at}"), address, Firewall::Storage(rules))?;
    }
    let begun = Change::begin(&mut network);
    for place in places {
        network.set_endpoint(place, service, storage.endpoint(None))?;
    }
    Ok(begun.end(&mut network))
}

/// A flow log that is made while it is read.
struct Log {
    tuples: u64,
    flows: u64,
    next: u64,
    text: String,
    at: usize,
    bytes: u64,
}

impl Log {
    /// Makes the next record of 500 lines.
    fn record(&mut self) -> std::fmt::Result {
        self.text.clear();
        self.at = 0;
        let first = self.next;
        write!(
            self.text,
            "{}{{\"time\":\"2026-01-01T00:00:{first}Z\",\"flowLogVersion\":4,\
             \"macAddress\":\"00224871C205\",\"category\":\"FlowLogFlowEvent\",\
             \"targetResourceID\":\"/subscriptions/s\",\"flowRecords\":{{\"flows\":[{{\"aclID\":\"a\",\
             \"flowGroups\":[{{\"rule\":\"r\",\"flowTuples\":[",
            if first == 0 { "{\"records\":[" } else { "," }
        )?;
        let last = self.tuples.min(first + 500);
        for line in first..last {
            let flow = line % self.flows;
            let (host, port) = (flow % 25_000, 1_024 + flow / 25_000 * 7 % 60_000);
            let to = match flow % 4 {
                0 => format!("20.60.26.{}", flow / 4 % 20),
                1 => format!("198.41.{}.{}", flow / 4 % 200, flow / 800 % 250),
                2 => format!("20.60.26.{}", 100 + flow / 4 % 100),
                _ => format!("10.0.{}.{}", flow / 4 % 200, 4 + flow / 800 % 240),
            };
            let state =
                if line + self.flows >= self.tuples && flow.is_multiple_of(3) { 'E' } else { 'C' };
            let time = 1_733_975_972_606 + line;
            write!(
                self.text,
                "{}\"{time},10.0.{}.{},{to},{port},443,6,O,{state},NX,{},{},{},{}\"",
                if line > first { "," } else { "" },
                host / 125,
                4 + host % 125,
                flow % 90,
                flow % 9_000,
                flow % 80,
                flow % 70_000
            )?;
        }
        self.text.push_str("]}]}]}}");
        self.next = last;
        if last == self.tuples {
            self.text.push_str("]}");
        }
        Ok(())
    }
}

impl Read for Log {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        if self.at == self.text.len() {
            if self.next == self.tuples {
                return Ok(0);
            }
            self.record().map_err(std::io::Error::other)?;
        }
        let left = self.text.as_bytes().get(self.at..).unwrap_or_default();
        let read = left.len().min(buffer.len());
        for (to, from) in buffer.iter_mut().zip(left) {
            *to = *from;
        }
        self.at += read;
        self.bytes += u64::try_from(read).unwrap_or_default();
        Ok(read)
    }
}

/// Time on the processor where the system says it, else time.
struct Clock(Instant, Option<Duration>);

impl Clock {
    fn start() -> Self {
        Self(Instant::now(), on_processor())
    }

    fn seconds(&self) -> f64 {
        let spent = match (self.1, on_processor()) {
            (Some(start), Some(end)) => end - start,
            _ => self.0.elapsed(),
        };
        spent.as_secs_f64()
    }
}

fn on_processor() -> Option<Duration> {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").ok()?;
    text.split(' ').next()?.parse().ok().map(Duration::from_nanos)
}

/// The most memory that the process had, where the system says it.
fn most_memory() -> Option<String> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with("VmHWM:"))?;
    Some(line.trim_start_matches("VmHWM:").trim().to_owned())
}
