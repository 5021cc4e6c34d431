//! Whose flows are tried, and which are passed over.

use serde_json::json;

use crate::setup::{STORAGE, account, estate, group, logged, vnet};
use vnetem_whatif::Traffic;

/// INV-networks-isolated: two networks of one range are told apart by what the log is of.
#[test]
fn log_tells_overlapping_networks_apart() {
    let one = vnet("net-a", "10.0.0.0/16", &[("app", "10.0.0.0/24", json!({}))]);
    let other = vnet("net-b", "10.0.0.0/16", &[("app", "10.0.0.0/24", json!({}))]);
    let all = [one, other, account("stlogs", &[], &[])];
    let mut estate = estate(&all, &[("stlogs", STORAGE)]);
    let change = estate.edit(|it| it.enable("Microsoft.Storage", "net-b/app")).unwrap();
    let flows = [("10.0.0.4", "20.60.26.10", 443, 'B')];
    let report = estate.report(&change, &logged("net-b", &flows), None);
    assert!(group(&report, "net-b/app", "stlogs").different);
    let report = estate.report(&change, &logged("net-a", &flows), None);
    assert!(!group(&report, "net-a/app", "stlogs").different);
    let report = estate.report(&change, &logged("elsewhere", &flows), None);
    assert_eq!(report.traffic.skipped.get("source-in-several-networks"), Some(&1));
}

/// One flow stands in the logs of both its ends, and counts once.
#[test]
fn flow_in_two_logs_counts_once() {
    let both = [("app", "10.0.0.0/24", json!({})), ("db", "10.0.1.0/24", json!({}))];
    let mut estate = estate(&[vnet("net-a", "10.0.0.0/16", &both)], &[]);
    let change = estate.edit(|it| it.enable("Microsoft.Storage", "net-a/app")).unwrap();
    let log = crate::setup::flow_log("net-a", &[("10.0.0.4", "10.0.1.4", 1433, 'B')]);
    let mut traffic = Traffic::new();
    traffic.read_flow_log("one.json", log.as_bytes()).unwrap();
    let other = log.replace("virtualNetworks/net-a", "virtualNetworks/net-a/subnets/db");
    traffic.read_flow_log("other.json", other.replace(",O,", ",I,").as_bytes()).unwrap();
    let report = estate.report(&change, &traffic, None);
    assert_eq!(report.traffic.flows, 1);
    assert_eq!(group(&report, "net-a/app", "net-a/db").packets, 7);
}

#[test]
fn strangers_are_counted_and_left_out() {
    let mut estate =
        estate(&[vnet("net-a", "10.0.0.0/16", &[("app", "10.0.0.0/24", json!({}))])], &[]);
    let change = estate.edit(|it| it.enable("Microsoft.Storage", "net-a/app")).unwrap();
    let flows = [("172.20.0.4", "10.0.0.4", 22, 'B'), ("198.41.0.4", "10.0.0.4", 22, 'B')];
    let report = estate.report(&change, &logged("net-a", &flows), None);
    assert_eq!(report.traffic.skipped.get("source-not-in-model"), Some(&1));
    assert_eq!(report.traffic.skipped.get("from-internet"), Some(&1));
    assert!(!report.different);
}

fn capture(packets: &[(&str, u64, u8)]) -> Vec<u8> {
    let mut writer = vnetem_io::CaptureWriter::new(Vec::new()).unwrap();
    for (line, time, flags) in packets {
        let (from, to) = line.split_once(" > ").unwrap();
        let (from, to): (std::net::SocketAddrV4, std::net::SocketAddrV4) =
            (from.parse().unwrap(), to.parse().unwrap());
        let mut bytes = vec![0x45, 0, 0, 40, 0, 0, 0x40, 0, 64, 6, 0, 0];
        bytes.extend(from.ip().octets());
        bytes.extend(to.ip().octets());
        bytes.extend(from.port().to_be_bytes());
        bytes.extend(to.port().to_be_bytes());
        bytes.extend([0, 0, 0, 1, 0, 0, 0, 1, 0x50, *flags, 0xff, 0xff, 0, 0, 0, 0]);
        let sum = !vnetem::packet::checksum::sum(&bytes[..20]);
        bytes[10..12].copy_from_slice(&sum.to_be_bytes());
        let record = vnetem_io::Record {
            time: *time,
            packet_id: *time,
            direction: vnetem_io::Direction::Inbound,
            comment: "",
            bytes: &bytes,
        };
        writer.write("eth0", &record).unwrap();
    }
    writer.finish().unwrap()
}

/// Both directions are one flow, opened by who sent the SYN, or by the end that is the model's.
#[test]
fn capture_gives_flows_by_initiator() {
    const SYN: u8 = 2;
    const ACK: u8 = 16;
    const FIN_ACK: u8 = 17;
    let bytes = capture(&[
        ("10.0.0.4:50000 > 20.60.26.10:443", 1, SYN),
        ("20.60.26.10:443 > 10.0.0.4:50000", 2, SYN | ACK),
        ("20.60.26.10:443 > 10.0.0.5:50001", 3, ACK),
        ("10.0.0.6:50002 > 20.60.26.10:443", 4, SYN),
        ("10.0.0.6:50002 > 20.60.26.10:443", 5, FIN_ACK),
    ]);
    let all = [
        vnet("net-a", "10.0.0.0/16", &[("app", "10.0.0.0/24", json!({}))]),
        account("stlogs", &[], &[]),
    ];
    let mut estate = estate(&all, &[("stlogs", STORAGE)]);
    let mut traffic = Traffic::new();
    traffic.read_capture("in.pcapng", &bytes[..], |at| estate.is_inside(at)).unwrap();
    assert_eq!((traffic.len(), traffic.tuples()), (3, 5));
    let change = estate.edit(|it| it.enable("Microsoft.Storage", "net-a/app")).unwrap();
    let report = estate.report(&change, &traffic, None);
    let logs = group(&report, "net-a/app", "stlogs");
    assert_eq!((logs.flows, logs.packets, logs.closed), (3, 5, 2), "{report}");
}
