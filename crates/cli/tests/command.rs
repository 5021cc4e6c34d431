//! The command as its users meet it: what it prints where, its exit status, and that a seed fixes
//! every byte.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test that cannot go on has failed"
)]

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::{Command, Output};

use vnetem::packet::{Checksums, Headers, Transport};
use vnetem_io::CaptureReader;

fn vnetem(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_vnetem")).args(arguments).output().unwrap()
}

fn stdout(output: &Output) -> &str {
    core::str::from_utf8(&output.stdout).unwrap()
}

fn stderr(output: &Output) -> &str {
    core::str::from_utf8(&output.stderr).unwrap()
}

/// A file of this test's own.
fn file(name: &str, text: &str) -> PathBuf {
    let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
    std::fs::write(&path, text).unwrap();
    path
}

const MODEL: &str = "\
# A model. S-01
vnet     alpha 10.0.0.0/16
subnet   web   10.0.0.0/24 in alpha  nat 20.1.1.1
service  storage 52.239.0.0/16
resource acct 52.239.1.9 of storage  default deny  allow ip 20.1.1.1
at 5s
  enable storage on web
";

#[test]
fn default_run_plays_the_demo() {
    let played = vnetem(&[]);
    assert_eq!(played.status.code(), Some(0), "{}", stderr(&played));
    assert!(played.stderr.is_empty(), "{}", stderr(&played));
    let text = stdout(&played);
    assert!(text.starts_with(
        "vnetem 0.1.0   demo.scn   tags 2025-10-28 (9 services, 5245 prefixes)   seed 1\n"
    ));
    for said in [
        "Who reaches what",
        "VirtualNetworkServiceEndpoint                   Microsoft.Storage",
        "403 AuthorizationFailure, subnet-not-listed",
        "notified: nic vm-a, nic fw",
        "Counters at",
    ] {
        assert!(text.contains(said), "{said}");
    }
    assert!(!text.contains('\u{1b}'), "plain text has no colours");
    assert_eq!(stdout(&vnetem(&["run"])), text);
}

/// INV-packets-conserved, as printed: in + made = out + sent + denied + dropped + queued.
#[test]
fn printed_counters_add_up() {
    let played = vnetem(&["--seed", "3"]);
    let line = stdout(&played)
        .lines()
        .find(|line| line.trim_start().starts_with("packets   in "))
        .unwrap()
        .to_owned();
    let (came, went) = line.split_once('=').unwrap();
    let sum = |text: &str| {
        text.split_whitespace().filter_map(|word| word.parse::<u64>().ok()).sum::<u64>()
    };
    assert!(sum(came) > 4000);
    assert_eq!(sum(came), sum(went));
}

/// INV-same-input-same-bytes.
#[test]
fn equal_seeds_give_equal_outputs() {
    let run = |name: &str, output: &str, seed: &str| {
        let path = file(name, "");
        let played = vnetem(&["--seed", seed, "--pcap", path.to_str().unwrap(), "-o", output]);
        assert_eq!(played.status.code(), Some(0), "{}", stderr(&played));
        (played.stdout, std::fs::read(path).unwrap())
    };
    let text = run("one.pcapng", "text", "7");
    assert_eq!(text, run("two.pcapng", "text", "7"));
    let json = run("three.pcapng", "json", "7");
    assert_eq!(json, run("four.pcapng", "json", "7"));
    assert_eq!(text.1, json.1);
    assert_ne!(text, run("five.pcapng", "text", "8"));
}

/// INV-checksums-stay-right, INV-reset-number-exact, INV-generated-packets-valid seen from each
/// place alone: no wrong checksum, and every reset stands exactly at the end of what was seen there
/// before.
#[test]
fn each_capture_interface_is_valid() {
    let path = file("story.pcapng", "");
    let played = vnetem(&["--pcap", path.to_str().unwrap()]);
    assert_eq!(played.status.code(), Some(0));
    assert!(stderr(&played).contains("frame.interface_name == \"drop\""));
    let bytes = std::fs::read(&path).unwrap();
    let mut reader = CaptureReader::new(bytes.as_slice()).unwrap();
    let mut ends: BTreeMap<(String, vnetem::FiveTuple), u32> = BTreeMap::new();
    let (mut packets, mut resets) = (0, 0);
    let mut places = std::collections::BTreeSet::new();
    while let Some(packet) = reader.next() {
        let packet = packet.unwrap();
        let place = reader.interface_name(packet.interface).unwrap().to_owned();
        let headers = Headers::parse(&packet.bytes).unwrap();
        assert!(Checksums::of(&packet.bytes, &headers).none_wrong(), "{place} {headers}");
        packets += 1;
        places.insert(place.clone());
        let Transport::Tcp(segment) = headers.transport else { continue };
        let key = (place.clone(), headers.tuple());
        let end = ends.entry(key).or_insert(segment.sequence);
        if segment.flags.contains(vnetem::packet::TcpFlags::RST) && place != "drop" {
            resets += 1;
            assert_eq!(segment.sequence, *end, "{place} {headers}");
        } else if segment.end().wrapping_sub(*end) < 1 << 31 {
            *end = segment.end();
        }
    }
    assert!(packets > 8000 && resets >= 6, "{packets} packets, {resets} resets");
    for place in [
        "in:nic/vm-a",
        "out:internet",
        "out:service/Microsoft.Storage",
        "out:service/Microsoft.Storage/net-a/app",
        "drop",
    ] {
        assert!(places.contains(place), "{place} of {places:?}");
    }
}

#[test]
fn json_has_schema_and_equals_text() {
    let played = vnetem(&["-o", "json"]);
    let value: serde_json::Value = serde_json::from_slice(&played.stdout).unwrap();
    assert_eq!(value["schema"], "vnetem/1");
    assert_eq!(value["probes"].as_array().unwrap().len(), 6);
    assert_eq!(value["counters"]["drops"]["flow-closed"], 2);
    let (came, went) =
        (["received", "generated"], ["forwarded", "transmitted", "denied", "dropped"]);
    for unit in ["packets", "bytes"] {
        let sum = |names: &[&str]| {
            names.iter().map(|name| value["counters"][name][unit].as_u64().unwrap()).sum::<u64>()
        };
        assert_eq!(sum(&came), sum(&went), "{unit}");
    }
}

#[test]
fn trace_exit_status_follows_the_verdict() {
    let path = file("model.scn", MODEL);
    let path = path.to_str().unwrap();
    let packet = ["tcp", "10.0.0.4:50000", "52.239.1.9:443"];
    let asked = |extra: &[&str]| {
        vnetem(&[&["trace", "-m", path, "--from", "alpha/web"], extra, &packet].concat())
    };
    let before = asked(&[]);
    assert_eq!(before.status.code(), Some(0), "{}", stderr(&before));
    assert!(
        stdout(&before).contains("access   allowed by ip rule 20.1.1.1/32 on acct"),
        "{}",
        stdout(&before)
    );
    let after = asked(&["--at", "5s"]);
    assert_eq!(after.status.code(), Some(2));
    assert!(
        stdout(&after).contains("which will refuse it: subnet-not-listed"),
        "{}",
        stdout(&after)
    );
    let json = asked(&["--at", "5s", "-o", "json"]);
    let value: serde_json::Value = serde_json::from_slice(&json.stdout).unwrap();
    assert_eq!(value["verdict"]["access"]["reason"], "subnet-not-listed");
    let dropped =
        vnetem(&["trace", "-m", path, "--from", "alpha/web", "tcp", "10.0.1.4:1", "8.8.8.8:443"]);
    assert_eq!(
        (dropped.status.code(), stdout(&dropped).contains("drop spoofed-source")),
        (Some(2), true)
    );
}

#[test]
fn routes_are_shown_at_a_time() {
    let before = vnetem(&["routes", "net-a/app"]);
    assert_eq!(before.status.code(), Some(0), "{}", stderr(&before));
    assert!(!stdout(&before).contains("VirtualNetworkServiceEndpoint"));
    let after = vnetem(&["routes", "--at", "8s", "net-a/app"]);
    assert!(
        stdout(&after).contains("104 prefixes        VirtualNetworkServiceEndpoint"),
        "{}",
        stdout(&after)
    );
    let all = vnetem(&["routes", "--at", "8s", "--all", "net-a/app"]);
    let listed = |state: &str| {
        let all = stdout(&all);
        let endpoint = all.lines().filter(|line| line.contains("VirtualNetworkServiceEndpoint"));
        endpoint.filter(|line| line.contains(state)).count()
    };
    assert_eq!([listed(" Active "), listed("out of the endpoint's scope")], [104, 1487]);
    let json = vnetem(&["routes", "--at", "8s", "net-a/app", "-o", "json"]);
    let value: serde_json::Value = serde_json::from_slice(&json.stdout).unwrap();
    let [.., endpoint, outside] = value["routes"].as_array().unwrap().as_slice() else {
        panic!("{value}")
    };
    for (entry, state, count) in [(endpoint, "Active", 104), (outside, "Invalid", 1487)] {
        assert_eq!(entry["nextHopType"], "VirtualNetworkServiceEndpoint");
        assert_eq!(entry["state"], state);
        assert_eq!(entry["addressPrefix"].as_array().unwrap().len(), count);
    }
    assert_eq!(outside["remark"], "out of the endpoint's scope");
}

#[test]
fn failed_scenario_exits_2_with_diff() {
    let path = file("otherwise.scn", &format!("{MODEL}    generation 9\n"));
    let played = vnetem(&["run", path.to_str().unwrap()]);
    assert_eq!(played.status.code(), Some(2));
    assert!(
        stderr(&played).contains("\n    - generation 9\n    + generation 2"),
        "{}",
        stderr(&played)
    );
}

#[test]
fn bad_files_and_options_are_reported() {
    let path = file("bad.scn", &format!("{MODEL}  enable storage an web\n"));
    let played = vnetem(&["run", path.to_str().unwrap()]);
    assert_eq!((played.status.code(), played.stdout.is_empty()), (Some(1), true));
    assert!(
        stderr(&played).ends_with("bad.scn:8: found \"an\", expected \"on\"\n"),
        "{}",
        stderr(&played)
    );
    let tags = file("bad.json", "{\"values\": 3}");
    for (arguments, said) in [
        (vec!["run", "no-such-file.scn"], "no-such-file.scn: "),
        (vec!["--tags", tags.to_str().unwrap()], "bad.json: "),
        (vec!["--pcap", "no/such/folder/x.pcapng"], "no/such/folder/x.pcapng: "),
        (vec!["routes", "moon"], "there is no subnet moon"),
        (vec!["trace", "--from", "net-a/app", "tcp", "x", "y"], "vnetem: found "),
    ] {
        let failed = vnetem(&arguments);
        assert_eq!(failed.status.code(), Some(1), "{arguments:?}");
        assert!(stderr(&failed).contains(said), "{arguments:?}: {}", stderr(&failed));
    }
    for arguments in [
        &["--seed", "x"][..],
        &["--moon"],
        &["fly"],
        &["routes"],
        &["routes", "--at", "noon", "web"],
    ] {
        let refused = vnetem(arguments);
        assert_eq!(refused.status.code(), Some(64), "{arguments:?}");
        assert!(refused.stdout.is_empty());
    }
    assert_eq!(vnetem(&["--help"]).status.code(), Some(0));
}

#[test]
fn bench_reports_what_was_asked() {
    let modes = ["forward", "open", "toggle", "expire", "connect"];
    let sizes = ["--flows", "640", "--sizes", "64,imix", "--batch", "1,32", "--duration", "1ms"];
    let measured = vnetem(&[&["bench"], &modes[..], &sizes, &["-o", "json"]].concat());
    assert_eq!(measured.status.code(), Some(0), "{}", stderr(&measured));
    let answer: serde_json::Value = serde_json::from_str(stdout(&measured)).unwrap();
    let rows = answer["rows"].as_array().unwrap();
    // Sizes and batches make no difference to a toggle.
    let of = |mode: &str| rows.iter().filter(|row| row["mode"] == mode).count();
    assert_eq!(modes.map(of), [4, 2, 1, 1, 2]);
    for row in rows {
        assert!(row["nanoseconds"].as_f64().unwrap() > 0.0, "{row}");
        assert!(row["count"].as_u64().unwrap() > 0, "{row}");
        assert_eq!(row["flows"], 640);
        // INV-packets-allocate-nothing: packets allocate nothing; a reset that is handed out is one
        // allocation.
        let allocations = row["allocations"].as_f64().unwrap();
        assert_eq!(allocations, if row["mode"] == "toggle" { 2.0 } else { 0.0 }, "{row}");
    }
    let table = vnetem(&[&["bench"], &sizes[..]].concat());
    let title: Vec<_> = stdout(&table).lines().next().unwrap().split_whitespace().collect();
    assert_eq!(title[8..], ["Mpps", "Gb/s", "ns", "allocs"]);
    assert_eq!(stdout(&table).lines().count(), 6, "{}", stdout(&table));
}

#[test]
fn bench_commit_reports_each_size() {
    let sizes = ["--vnets", "1,20", "--routes", "0,50", "--flows", "640", "-d", "1ms"];
    let modes = ["bench", "commit", "expire", "-o", "json"];
    let measured = vnetem(&[&modes[..], &sizes].concat());
    assert_eq!(measured.status.code(), Some(0), "{}", stderr(&measured));
    let answer: serde_json::Value = serde_json::from_str(stdout(&measured)).unwrap();
    let rows = answer["rows"].as_array().unwrap();
    let commits: Vec<_> = rows.iter().filter(|row| row["mode"] == "commit").collect();
    assert_eq!((commits.len(), rows.len()), (4, 6), "{rows:?}");
    for row in &commits {
        for part in ["build", "firstCommit", "toggle", "bulkEdit"] {
            assert!(row[format!("{part}Nanoseconds")].as_u64().unwrap() > 0, "{row}");
        }
    }
    let sizes: Vec<_> = commits.iter().map(|row| (&row["vnets"], &row["routes"])).collect();
    assert!(sizes.iter().any(|(vnets, routes)| **vnets == 20 && **routes == 50));
    let table = vnetem(&["bench", "commit", "--vnets", "1,2k", "-d", "1ms"]);
    let lines: Vec<_> = stdout(&table).lines().collect();
    assert!(lines[0].ends_with("first commit    toggle  bulk edit"), "{lines:?}");
    assert!(lines[2].trim_start().starts_with("2k  ") && lines.len() == 4, "{lines:?}");
}

#[test]
fn impossible_bench_options_are_refused() {
    let wrong = vnetem(&["bench", "--sizes", "63"]);
    assert_eq!(wrong.status.code(), Some(64));
    assert!(stderr(&wrong).contains("\"63\" is no frame size: 64 to 9018, or imix"));
    for (option, value) in [
        ("--batch", "0"),
        ("--batch", "1,0"),
        ("--cores", "0"),
        ("-d", "0s"),
        ("-d", "0"),
        ("--flows", "0"),
        ("--flows", "101M"),
        ("--affected", "0"),
        ("--vnets", "0"),
        ("--vnets", "2M"),
    ] {
        let refused = vnetem(&["bench", "toggle", option, value]);
        assert_eq!(refused.status.code(), Some(64), "{option} {value}");
        assert!(stderr(&refused).contains("invalid value"), "{}", stderr(&refused));
    }
    let nothing = vnetem(&["bench", "--protocol", "udp", "--endpoint", "on"]);
    assert_eq!(nothing.status.code(), Some(1));
    assert!(stderr(&nothing).contains("an endpoint carries only TCP"));
}

/// A toggle of fewer than 64 flows still has one to close.
#[test]
fn toggles_of_few_flows_end() {
    let measured = vnetem(&["bench", "toggle", "--flows", "1,10", "-d", "1ms", "-o", "json"]);
    assert_eq!(measured.status.code(), Some(0), "{}", stderr(&measured));
    let answer: serde_json::Value = serde_json::from_str(stdout(&measured)).unwrap();
    let affected: Vec<_> =
        answer["rows"].as_array().unwrap().iter().map(|row| row["affected"].as_u64()).collect();
    assert_eq!(affected, [Some(1), Some(1)]);
}

#[test]
fn options_stand_where_they_work() {
    let help = |verb: &[&str]| stdout(&vnetem(&[verb, &["--help"]].concat())).to_owned();
    for (verb, pcap, tags) in [
        (&[][..], true, true),
        (&["run"], true, true),
        (&["trace"], false, true),
        (&["routes"], false, true),
        (&["tags"], false, true),
        (&["bench"], false, false),
    ] {
        let help = help(verb);
        assert_eq!(help.contains("--pcap"), pcap, "{verb:?}");
        assert_eq!(help.contains("--tags"), tags, "{verb:?}");
        assert!(help.contains("--seed") && help.contains("--output"), "{verb:?}");
    }
    for arguments in [
        &["routes", "net-a/app", "--pcap", "x.pcapng"][..],
        &["--pcap", "x.pcapng", "routes", "net-a/app"],
        &["--tags", "x.json", "bench"],
    ] {
        let refused = vnetem(arguments);
        assert_eq!(refused.status.code(), Some(64), "{arguments:?}: {}", stderr(&refused));
    }
    // Before the verb and behind it are the same.
    let path = file("placed.scn", MODEL);
    let (path, to) = (path.to_str().unwrap(), file("placed.pcapng", ""));
    for arguments in [
        &["--pcap", to.to_str().unwrap(), "run", path][..],
        &["run", "--pcap", to.to_str().unwrap(), path],
    ] {
        std::fs::write(&to, "").unwrap();
        assert_eq!(vnetem(arguments).status.code(), Some(0), "{arguments:?}");
        assert!(std::fs::metadata(&to).unwrap().len() > 0, "{arguments:?}");
    }
}

#[test]
fn captures_never_overwrite_what_is_read() {
    let path = file("kept.scn", MODEL);
    let tags =
        PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../azure/tests/lists/published.json");
    let tags = file("kept.json", &std::fs::read_to_string(tags).unwrap());
    let folder = path.parent().unwrap();
    let roundabout = folder.join("../").join(folder.file_name().unwrap()).join("kept.scn");
    let mut names = vec![path.clone(), roundabout, tags.clone()];
    #[cfg(unix)]
    {
        let (soft, hard) = (folder.join("soft.pcapng"), folder.join("hard.pcapng"));
        let _ = (std::fs::remove_file(&soft), std::fs::remove_file(&hard));
        std::os::unix::fs::symlink(&path, &soft).unwrap();
        std::fs::hard_link(&path, &hard).unwrap();
        names.extend([soft, hard]);
    }
    for to in names {
        let arguments = ["run", path.to_str().unwrap(), "--tags", tags.to_str().unwrap()];
        let refused = vnetem(&[&arguments[..], &["--pcap", to.to_str().unwrap()]].concat());
        assert_eq!(refused.status.code(), Some(1), "{}", to.display());
        assert!(stderr(&refused).contains("--pcap would overwrite"), "{}", stderr(&refused));
        assert_eq!(std::fs::read_to_string(&path).unwrap(), MODEL);
        assert!(std::fs::read_to_string(&tags).unwrap().starts_with('{'));
    }
}

#[test]
fn trace_names_the_missing_port() {
    for (source, destination, said) in [
        ("10.0.0.4", "20.60.0.4:443", "the source 10.0.0.4 has no port: tcp goes"),
        ("10.0.0.4:5", "20.60.0.4", "the destination 20.60.0.4 has no port: tcp goes"),
        (
            "10.0.0.4",
            "20.60.0.4",
            "the source 10.0.0.4 has no port, and the destination 20.60.0.4 has no port: tcp goes",
        ),
    ] {
        let traced = vnetem(&["trace", "--from", "net-a/app", "tcp", source, destination]);
        assert_eq!(traced.status.code(), Some(1));
        assert!(stderr(&traced).contains(said), "{}", stderr(&traced));
        assert!(!stderr(&traced).contains("\"S\""), "nobody typed that");
    }
    let udp = vnetem(&["trace", "--from", "net-a/app", "udp", "10.0.0.4", "20.60.0.4"]);
    assert!(stderr(&udp).contains("udp goes from a port to a port"), "{}", stderr(&udp));
    let typed = vnetem(&["trace", "--from", "net-a/app", "tcp", "10.0.0.4", "20.60.0.4", "SA"]);
    assert!(stderr(&typed).contains("found \"SA\", expected ports"), "{}", stderr(&typed));
    let icmp = vnetem(&["trace", "--from", "net-a/app", "icmp", "10.0.0.4", "20.60.0.4"]);
    assert!(stdout(&icmp).contains("verdict"), "{}", stderr(&icmp));
}

/// Where what is asked for cannot be written, that is the answer.
#[cfg(target_os = "linux")]
#[test]
fn full_outputs_are_failures() {
    let full = || std::fs::File::options().write(true).open("/dev/full").unwrap();
    for arguments in [&["run"][..], &["routes", "net-a/app"], &["--help"], &["--version"]] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_vnetem"));
        let output = command.args(arguments).stdout(full()).output().unwrap();
        assert_eq!(output.status.code(), Some(1), "{arguments:?}");
        assert!(stderr(&output).contains("standard output: No space left"), "{}", stderr(&output));
    }
    // Nobody can be told, but the status says it.
    let mut command = Command::new(env!("CARGO_BIN_EXE_vnetem"));
    let output = command.args(["routes", "moon"]).stderr(full()).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let mut command = Command::new(env!("CARGO_BIN_EXE_vnetem"));
    let closed = command.args(["routes", "net-a/app"]).stdout(writer).output().unwrap();
    assert_eq!((closed.status.code(), stderr(&closed)), (Some(0), ""));
}

/// What the file does not expect is not passed over, by no verb that plays it.
#[test]
fn refused_changes_are_no_success() {
    let text =
        "vnet a 10.0.0.0/16\nsubnet web 10.0.0.0/24 in a\nat 1s\n  subnet app 10.0.0.0/25 in a\n";
    let path = file("refused.scn", text);
    let path = path.to_str().unwrap();
    let played = vnetem(&["run", path]);
    assert_eq!(played.status.code(), Some(2));
    let said = "refused.scn line 4: subnet app 10.0.0.0/25 in a: refused: 10.0.0.0/25";
    assert!(stderr(&played).contains(said), "{}", stderr(&played));
    let json = vnetem(&["run", path, "-o", "json"]);
    let value: serde_json::Value = serde_json::from_slice(&json.stdout).unwrap();
    assert_eq!(value["refusedChanges"][0]["line"], 4);
    assert_eq!(value["asExpected"], false);
    let routes = vnetem(&["routes", "-m", path, "--at", "2s", "web"]);
    assert_eq!(routes.status.code(), Some(1));
    assert!(stderr(&routes).contains(said), "{}", stderr(&routes));
    assert_eq!(vnetem(&["routes", "-m", path, "web"]).status.code(), Some(0));
}

/// Files of editors that begin with a byte order mark.
#[test]
fn byte_order_marks_are_passed_over() {
    let path = file("marked.scn", &format!("\u{feff}{MODEL}"));
    let played = vnetem(&["run", path.to_str().unwrap()]);
    assert_eq!(played.status.code(), Some(0), "{}", stderr(&played));
    assert!(stdout(&played).contains("\nA model. S-01\n"), "{}", stdout(&played));
    let tags =
        PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../azure/tests/lists/published.json");
    let tags = std::fs::read_to_string(tags).unwrap();
    let tags = file("marked.json", &format!("\u{feff}{tags}"));
    let played = vnetem(&["run", path.to_str().unwrap(), "--tags", tags.to_str().unwrap()]);
    assert_eq!(played.status.code(), Some(0), "{}", stderr(&played));
}

/// A service's prefixes in one region, by either name and in any spelling.
#[test]
fn tags_list_prefixes_of_a_region() {
    let listed = vnetem(&["tags", "Microsoft.Storage", "westeurope"]);
    assert_eq!(listed.status.code(), Some(0), "{}", stderr(&listed));
    let lines: Vec<&str> = stdout(&listed).lines().collect();
    assert_eq!(lines.len(), 97, "as many as were published");
    assert!(lines.iter().all(|line| line.parse::<vnetem::Ipv4Net>().is_ok()));
    for (name, region) in [
        ("storage", "West Europe"),
        ("Microsoft.Storage.Global", "WestEurope"),
        ("STORAGE", "west-europe"),
    ] {
        assert_eq!(vnetem(&["tags", name, region]).stdout, listed.stdout, "{name} {region}");
    }
    assert_eq!(vnetem(&["tags", "Storage.WestEurope"]).stdout, listed.stdout);
    assert_eq!(stdout(&vnetem(&["tags", "AzureCloud"])).lines().count(), 9_585);
    let all = vnetem(&["tags"]);
    assert!(stdout(&all).contains("\nStorage "), "{}", stdout(&all));
    assert_eq!(stdout(&all).lines().filter(|line| line.ends_with("service endpoint")).count(), 9);
    let json = vnetem(&["tags", "Microsoft.Sql", "northeurope", "-o", "json"]);
    let value: serde_json::Value = serde_json::from_slice(&json.stdout).unwrap();
    assert_eq!(value["tags"][0]["region"], "northeurope");
    assert_eq!(value["tags"][0]["addressPrefixes"].as_array().unwrap().len(), 41);
    for (arguments, said) in [
        (
            &["tags", "Microsoft.Moon"][..],
            "has no service or tag Microsoft.Moon; \"vnetem tags\" lists all",
        ),
        (&["tags", "FrontDoor"], "there is AzureFrontDoor.Backend, AzureFrontDoor.FirstParty"),
        (&["tags", "Storage", "moon"], "Storage has no region moon; it has australiacentral, "),
        (&["tags", "AzureMonitor", "westeurope"], "it is not parted by regions"),
    ] {
        let failed = vnetem(arguments);
        assert_eq!(failed.status.code(), Some(1), "{arguments:?}");
        assert!(stderr(&failed).contains(said), "{arguments:?}: {}", stderr(&failed));
    }
}

/// As the outcome of the step has it.
#[test]
fn reports_list_all_prefixes_where_asked() {
    let text = "vnet a 10.0.0.0/16 region westeurope\nsubnet web 10.0.0.0/24 in a\nservice Microsoft.KeyVault\nendpoint Microsoft.KeyVault on web\nat 1s\n  show routes web all\n  show routes web\n";
    let path = file("all.scn", text);
    let played = vnetem(&["run", path.to_str().unwrap()]);
    assert_eq!(played.status.code(), Some(0), "{}", stderr(&played));
    let endpoint =
        stdout(&played).lines().filter(|line| line.contains("VirtualNetworkServiceEndpoint"));
    assert_eq!(endpoint.clone().count(), 335 + 1);
    assert_eq!(endpoint.filter(|line| line.contains("335 prefixes")).count(), 1);
}
