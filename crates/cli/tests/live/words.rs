//! What is said: by `ctl`, by the capture, by errors.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::{Command, Stdio};

use vnetem::packet::{Checksums, Headers};
use vnetem_io::CaptureReader;
use vnetem_live::names_of_clouds;

use crate::rig::{ACCOUNT, NETWORK, VNETEM, cloud, cloud_with, printed, program, start, whoami};

#[test]
fn questions_are_answered_while_it_runs() {
    let Some(cloud) = cloud("questions_are_answered_while_it_runs", NETWORK) else { return };
    whoami(&cloud, "vm-a", ACCOUNT);
    let lines = |words: &str| cloud.ctl(words).unwrap().lines;
    assert!(lines("routes net-a/app").iter().any(|line| line.contains("0.0.0.0/0")));
    let trace = "trace nic vm-a 10.0.0.4:50000 > 20.60.26.10:443 tcp S";
    assert!(lines(trace).last().unwrap().contains("forward to service Microsoft.Storage"));
    assert!(lines("show counters")[0].starts_with("in "));
    assert!(lines("flows").iter().any(|line| line.contains("20.60.26.10:80 tcp as 20.31.0.10")));
    assert!(lines("hosts").iter().any(|line| line.starts_with("stdata")));
    assert!(lines("help").iter().any(|line| line.starts_with("trace")));
    assert_eq!(lines("enable Microsoft.Storage on net-b/app"), ["generation 2"]);
    for (words, said) in [
        ("enable Microsoft.Storag on net-a/app", "did you mean"),
        ("enable Microsoft.Storage on app", "two networks"),
        ("frobnicate", "found \"frobnicate\", expected a change"),
        ("wait 1s", "expected a change"),
        ("trace nowhere 1.2.3.4 > 1.2.3.5 icmp echo id 1", "there is no subnet"),
        ("routes net-c/app", "there is no vnet net-c"),
    ] {
        let refused = cloud.ctl(words).unwrap_err().to_string();
        assert!(refused.contains(said), "{words}: {refused}");
    }
}

#[test]
fn name_is_free_after_down() {
    let Some(first) = cloud("name_is_free_after_down", NETWORK) else { return };
    assert_eq!(first.ctl("down").unwrap().lines, ["down"]);
    assert!(!names_of_clouds().contains(&first.name().to_owned()));
}

#[test]
fn taken_name_is_refused() {
    let Some(first) = cloud("taken_name_is_refused", NETWORK) else { return };
    let file = Path::new(env!("CARGO_TARGET_TMPDIR")).join("taken.scn");
    std::fs::write(&file, crate::rig::text(NETWORK)).unwrap();
    let mut second = Command::new(VNETEM);
    second.arg("live").arg(&file).args(["--name", first.name()]).stdin(Stdio::null());
    let output = second.output().unwrap();
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("is up already; --name gives this one another name"), "{said}");
}

/// INV-checksums-stay-right: a capture has every packet, whole and with right checksums.
#[test]
fn capture_has_whole_packets() {
    let file = Path::new(env!("CARGO_TARGET_TMPDIR")).join("live.pcapng");
    let options = ["--pcap", file.to_str().unwrap()];
    let Some(cloud) = cloud_with("capture_has_whole_packets", NETWORK, &options) else { return };
    whoami(&cloud, "vm-a", ACCOUNT);
    let path = "/film?bytes=300000";
    assert_eq!(
        printed(start(&mut program(&cloud, "vm-a", &["get", ACCOUNT, path])))["end"],
        "done"
    );
    drop(cloud);
    let bytes = std::fs::read(&file).unwrap();
    let mut reader = CaptureReader::new(bytes.as_slice()).unwrap();
    let (mut packets, mut longest) = (0, 0);
    let mut places = BTreeSet::new();
    while let Some(packet) = reader.next() {
        let packet = packet.unwrap();
        let headers = Headers::parse(&packet.bytes).unwrap();
        assert!(Checksums::of(&packet.bytes, &headers).none_wrong(), "{headers}");
        places.insert(reader.interface_name(packet.interface).unwrap().to_owned());
        (packets, longest) = (packets + 1, longest.max(packet.bytes.len()));
    }
    assert!(packets > 400, "{packets}");
    assert_eq!(longest, 1500);
    for place in ["in:nic/vm-a", "out:service/Microsoft.Storage", "out:platform/for/net-a/app"] {
        assert!(places.contains(place), "{place} of {places:?}");
    }
}
