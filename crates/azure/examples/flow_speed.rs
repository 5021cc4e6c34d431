//! Says how fast flow logs are read: `cargo run --release -p vnetem-azure --example flow_speed`.
//!
//! Without a file it makes a log of 200 MB in memory, version 4, as busy networks write it.

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use vnetem_azure::import::flow_log::{self, Traffic};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let log = match std::env::args().nth(1) {
        Some(file) => std::fs::read(file)?,
        None => made(200_000_000)?.into_bytes(),
    };
    let size = log.len() as f64 / 1e6;
    let start = Clock::start();
    let summary = flow_log::read(&log[..], |_, _| {})?;
    let read = start.seconds();
    let start = Clock::start();
    let mut traffic = Traffic::new();
    flow_log::read(&log[..], |record, tuple| traffic.add(record, tuple))?;
    let gathered = start.seconds();
    println!("{size:.0} MB, {} records, {} tuples", summary.records, summary.tuples);
    println!("read      {:6.0} MB/s", size / read);
    println!("gathered  {:6.0} MB/s to {} flows", size / gathered, traffic.len());
    Ok(())
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

/// A log of about this many bytes: records of a minute, some hundred lines each.
fn made(size: usize) -> Result<String, std::fmt::Error> {
    let mut log = String::with_capacity(size + 100_000);
    log.push_str("{\"records\":[");
    let (mut minute, mut number) = (0_u64, 0_u64);
    while log.len() < size {
        if minute > 0 {
            log.push(',');
        }
        let target =
            "/subscriptions/s/resourceGroups/g/providers/Microsoft.Network/virtualNetworks/v";
        write!(
            log,
            "{{\"time\":\"2026-01-01T00:00:{minute}Z\",\"flowLogVersion\":4,\"flowLogGUID\":\"g\",\
             \"macAddress\":\"00224871C2{:02X}\",\"category\":\"FlowLogFlowEvent\",\
             \"targetResourceID\":\"{target}\",\"operationName\":\"FlowLogFlowEvent\",\
             \"flowRecords\":{{\"flows\":[{{\"aclID\":\"a\",\"flowGroups\":[{{\"rule\":\"r\",\
             \"flowTuples\":[",
            minute % 64
        )?;
        for line in 0..500_u64 {
            number = number.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(line);
            let port = 1_024 + (number >> 33) % 60_000;
            let comma = if line > 0 { "," } else { "" };
            let third = (number >> 20) % 200;
            let time = 1_663_146_003_599 + minute * 60_000;
            write!(
                log,
                "{comma}\"{time},10.0.{third}.{},52.239.184.180,{port},443,6,O,C,NX,{},{},{},{}\"",
                line % 250,
                number % 100,
                number % 100_000,
                number % 300,
                number % 1_000_000
            )?;
        }
        log.push_str("]}]}]}}");
        minute += 1;
    }
    log.push_str("]}");
    Ok(log)
}
