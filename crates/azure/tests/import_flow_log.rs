//! Flow logs of three versions, in any wrapping.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test that cannot go on has failed"
)]

use std::io::Read;

use vnetem_azure::import::flow_log::{self, FlowLogError, FlowState, FlowTuple, Traffic};

const BEGIN: &str = "1733975962447,10.1.0.4,20.60.0.4,57892,443,6,O,B,NX,0,0,0,0";

fn v4(time: &str, mac: &str, tuples: &[&str]) -> String {
    let tuples: Vec<_> = tuples.iter().map(|tuple| format!("\"{tuple}\"")).collect();
    format!(
        r#"{{"category":"FlowLogFlowEvent","flowLogGUID":"g","flowLogVersion":4,"flowRecords":{{"flows":[{{"aclID":"a","flowGroups":[{{"flowTuples":[{}],"rule":"r"}}]}}]}},"macAddress":"{mac}","time":"{time}","targetResourceID":"/v"}}"#,
        tuples.join(",")
    )
}

fn nsg(version: u8, tuples: &[&str]) -> String {
    let tuples: Vec<_> = tuples.iter().map(|tuple| format!("\"{tuple}\"")).collect();
    format!(
        r#"{{"time":"t","systemId":"s","category":"NetworkSecurityGroupFlowEvent","resourceId":"/NSG","properties":{{"Version":{version},"flows":[{{"rule":"r","flows":[{{"mac":"M","flowTuples":[{}]}}]}}]}}}}"#,
        tuples.join(",")
    )
}

fn read(log: impl Read) -> Result<(flow_log::FlowLogSummary, Vec<FlowTuple>), FlowLogError> {
    let mut tuples = Vec::new();
    let summary = flow_log::read(log, |_, tuple| tuples.push(*tuple))?;
    Ok((summary, tuples))
}

/// Gives a byte at a time.
struct Slowly<'a>(&'a [u8]);

impl Read for Slowly<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let [first, rest @ ..] = self.0 else { return Ok(0) };
        buffer[0] = *first;
        self.0 = rest;
        Ok(1)
    }
}

#[test]
fn wrappings_hold_the_same_records() {
    let (one, other) = (v4("1", "A", &[BEGIN]), v4("2", "A", &[BEGIN, BEGIN]));
    let raw = |record: &str| format!("{{\"_raw\":{}}}", serde_json::to_string(record).unwrap());
    for log in [
        format!("{{\"records\":[{one},{other}]}}"),
        format!("\u{feff}{{ \"records\" :\n [ {one} ,\n {other} ] , \"more\": 1 }}"),
        format!("{one}\n{other}\n"),
        format!("[{one},{other}]"),
        format!("{{\"records\":[{{\"records\":[{one},{other}]}}]}}"),
        format!("{}\n{}", raw(&one), raw(&other)),
        format!("[{{\"result\":{}}},{{\"result\":{}}}]", raw(&one), raw(&other)),
        format!("{{\"records\":[{one}]}}\n{{\"records\":[{other}]}}"),
    ] {
        for (summary, tuples) in
            [read(log.as_bytes()).unwrap(), read(Slowly(log.as_bytes())).unwrap()]
        {
            assert_eq!((summary.records, summary.tuples), (2, 3), "{log}");
            assert_eq!(tuples.len(), 3);
        }
    }
}

#[test]
fn versions_differ_in_their_lines() {
    let log = [
        v4(
            "1",
            "A",
            &[
                "1733975962447,10.1.0.4,20.60.0.4,57892,443,6,O,E,X,10,5291,11,6911",
                "1733975,1.2.3.4,10.1.0.4,1,2,17,I,D,NX,,,,",
            ],
        ),
        nsg(
            2,
            &[
                "1724090346,10.1.0.4,20.60.0.4,35620,443,T,O,A,B,,,,",
                "1724090346,10.1.0.4,20.60.0.4,35620,53,U,O,A,C,1,74,2,80",
                "1724090346,1.2.3.4,10.1.0.4,1,2,T,I,D,B,,,,",
            ],
        ),
        nsg(
            1,
            &[
                "1487282481,198.51.100.194,10.1.0.4,53,1732,U,I,D",
                "1487282481,10.1.0.4,198.51.100.194,53,1732,U,O,A",
            ],
        ),
    ]
    .join("\n");
    let (summary, tuples) = read(log.as_bytes()).unwrap();
    assert_eq!((summary.records, summary.tuples, summary.denied, summary.wrong), (3, 7, 3, 0));
    let states: Vec<_> = tuples.iter().map(|tuple| tuple.state).collect();
    assert_eq!(
        states,
        [
            FlowState::End,
            FlowState::Denied,
            FlowState::Begin,
            FlowState::Continue,
            FlowState::Denied,
            FlowState::Denied,
            FlowState::Allowed,
        ]
    );
    assert_eq!(tuples[0].encrypted, Some(true));
    assert_eq!((tuples[0].packets_sent, tuples[0].bytes_received), (10, 6911));
    // Seconds are turned into milliseconds, also where version 4 has them.
    assert_eq!((tuples[1].millis, tuples[2].millis), (1_733_975_000, 1_724_090_346_000));
    assert_eq!((tuples[2].protocol, tuples[3].protocol, tuples[2].bytes_sent), (6, 17, 0));
    assert_eq!(tuples[3].bytes_received, 80);
    assert!(!tuples[0].inbound && tuples[1].inbound);
}

#[test]
fn repeated_records_count_once() {
    let one = v4("1", "A", &[BEGIN]);
    let spaced = one.replace(":{", ": {").replace(",\"", ", \"");
    let log = [
        &one,
        &spaced,
        &v4("1", "B", &[BEGIN]),
        &v4("1", "A", &[BEGIN, BEGIN]),
        &v4("2", "A", &[BEGIN]),
    ]
    .map(String::as_str)
    .join("\n");
    let (summary, _) = read(log.as_bytes()).unwrap();
    assert_eq!((summary.records, summary.repeated, summary.tuples), (4, 1, 5));
}

#[test]
fn flows_at_the_ends_are_known() {
    let line = |time: u64, port: u16, state: &str| {
        format!("{time},10.1.0.4,20.60.0.4,{port},443,6,O,{state},NX,1,10,2,20")
    };
    let lines = [
        line(1_000_000_000_001, 1, "B"),
        line(1_000_000_000_003, 1, "C"),
        line(1_000_000_000_002, 1, "C"),
        line(1_000_000_000_001, 2, "B"),
        line(1_000_000_000_002, 2, "E"),
        line(1_000_000_000_001, 3, "E"),
        line(1_000_000_000_001, 4, "C"),
        line(1_000_000_000_001, 5, "D"),
    ];
    let lines: Vec<_> = lines.iter().map(String::as_str).collect();
    let mut traffic = Traffic::new();
    flow_log::read(v4("1", "A", &lines).as_bytes(), |record, tuple| traffic.add(record, tuple))
        .unwrap();
    let ports = |is: fn(&flow_log::Flow) -> bool| {
        let mut ports: Vec<_> =
            traffic.flows().filter(|(_, flow)| is(flow)).map(|(key, _)| key.source_port).collect();
        ports.sort_unstable();
        ports
    };
    assert_eq!(ports(flow_log::Flow::is_open), [1, 4]);
    assert_eq!(ports(flow_log::Flow::was_open_before), [3, 4]);
    assert_eq!(ports(|flow| flow.denied > 0), [5]);
    assert_eq!(traffic.interfaces(), ["A"]);
    let (_, flow) = traffic.flows().find(|(key, _)| key.source_port == 1).unwrap();
    assert_eq!((flow.packets, flow.bytes, flow.begins), (9, 90, 1));
}

#[test]
fn other_logs_and_lines_are_said() {
    let audit = r#"{"time":"t","category":"AuditEvent","properties":{"flows":"none"}}"#;
    let metric = r#"{"time":"t","category":"AllMetrics","properties":"text"}"#;
    let six = "1733975962447,fe80::1,fe80::2,1,2,6,O,B,NX,0,0,0,0";
    let log = [audit, metric, &v4("1", "A", &[BEGIN, six, "1,2,3", "x"])].join("\n");
    let (summary, _) = read(log.as_bytes()).unwrap();
    assert_eq!((summary.tuples, summary.ipv6, summary.wrong), (1, 1, 2));
    assert_eq!(summary.first_wrong.as_deref(), Some("1,2,3"));
    assert_eq!(summary.others.len(), 2);
    let error = read([audit, metric].join("\n").as_bytes()).unwrap_err();
    assert_eq!(error.to_string(), "no flow log but records of AllMetrics, AuditEvent");
}

#[test]
fn broken_record_has_its_line() {
    let good = v4("1", "A", &[BEGIN]);
    let cut = &good[..good.len() - 30];
    let error = read(format!("{{\"records\":[\n{good},\n{cut}").as_bytes()).unwrap_err();
    assert_eq!(error.to_string(), "the record that begins on line 3: the file ends inside it");
    let error = read(format!("\n{}", good.replace("\"flowGroups\":", "\"flowGroups\"")).as_bytes())
        .unwrap_err();
    assert!(error.to_string().starts_with("the record that begins on line 2: "), "{error}");
    assert_eq!(read(&b""[..]).unwrap().0.records, 0);
}
