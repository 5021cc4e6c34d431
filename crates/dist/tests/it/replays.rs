//! Replays: the same for any number of workers and processes.

use std::fs::File;
use std::time::{Duration, Instant};

use vnetem::Time;
use vnetem_azure::ServiceTags;
use vnetem_azure::import::Importer;
use vnetem_io::CaptureReader;
use vnetem_whatif::replay::{Finder, Happening, Players, SPLIT_ABOVE, Units};
use vnetem_whatif::{Estate, enable};

use crate::made::Day;
use crate::run::{Here, answer, errors, results};

const SMALL: Day = Day { vnets: 6, hosts: 5, seconds: 8, segments: 2, payload: 100, files: 2 };

const REPLAY: &str = "replay -m estate.json --address stlogs=20.60.26.10 -o json";
const CHANGE: &str = "--enable Microsoft.Storage@net-1/app --at 4s";

/// INV-same-input-same-bytes: workers and processes change no byte of what comes out.
#[test]
fn workers_and_processes_change_nothing() {
    let here = Here::new(SMALL);
    let replay = |out: &str| format!("{REPLAY} {CHANGE} --captures day/*.pcap -w {out}");
    let one = here.answer(&replay("one"));
    assert_eq!(one["closed"]["source-switched"], 5, "{one}");
    assert_eq!((&one["resets"], &one["units"]), (&10.into(), &6.into()), "{one}");
    let connections = 6 * 5 * 2;
    assert_eq!(one["packets"], 3 * connections + 8 * 2 * 2 * connections + 2 * 3, "{one}");
    assert_eq!((&one["skipped"]["no-ipv4"], &one["dropped"]["unreadable"]), (&2.into(), &2.into()));
    let two = here.answer(&format!("{} -- -w 2", replay("two")));
    let processes = here.pair(&replay("pair")).map(|child| child.wait_with_output().unwrap());
    assert!(processes[1].status.success() && processes[1].stdout.is_empty());
    assert_eq!((&one, &one), (&two, &answer(&processes[0])));
    let files = results(&here.path("one"));
    assert!(files == results(&here.path("two")) && files == results(&here.path("pair")));

    let cut = here.run(
        "shard -m estate.json --address stlogs=20.60.26.10 --captures day/*.pcap --parts 4 -w cut",
    );
    assert!(cut.status.success(), "{}", errors(&cut));
    for (out, timely) in [("cut-one", "-w 1"), ("cut-two", "-w 2")] {
        let again = format!("{REPLAY} {CHANGE} --cut cut -w {out} -- {timely}");
        assert_eq!(one, here.answer(&again), "{timely}");
        assert!(files == results(&here.path(out)), "{timely}");
    }
}

/// The verb on one machine plays the same units one after the other.
#[test]
fn single_machine_gives_same_packets() {
    let here = Here::new(Day { files: 1, ..SMALL });
    let distributed =
        here.answer(&format!("{REPLAY} {CHANGE} --captures day/*.pcap -w out -- -w 2"));

    let mut importer = Importer::new();
    let model = std::fs::read(here.path("estate.json")).unwrap();
    importer.read("estate.json", &model).unwrap();
    let mut estate =
        Estate::new(ServiceTags::embedded(), &[("stlogs".to_owned(), [20, 60, 26, 10].into())]);
    estate.load(&importer.inventory());
    let network = estate.network_mut();
    let before = network.commit();
    enable(network, "Microsoft.Storage", "net-1/app").unwrap();
    let after = network.commit();
    let units = Units::new(network, &[&before, &after], SPLIT_ABOVE);
    let mut finder = Finder::new(&units, &before);
    let mut players = Players::new(&units, before, 1 << 16);
    let mut expected = Vec::new();
    let mut see = |seen: Happening<'_>| {
        if let Happening::Packet(played) = seen {
            expected.push((
                played.time.0,
                played.id,
                played.place.to_owned(),
                played.bytes.to_vec(),
            ));
        }
        Ok::<(), String>(())
    };
    let reader = CaptureReader::new(File::open(here.path("day/000.pcap")).unwrap()).unwrap();
    let (mut start, mut now, mut due) = (None, Time(0), Some(Time(4_000_000_000)));
    for (number, packet) in (1..).zip(reader) {
        let mut packet = packet.unwrap();
        now = now.max(Time(packet.time - *start.get_or_insert(packet.time)));
        if let Some(at) = due.take_if(|due| *due <= now) {
            players.apply(at, &after, &mut see).unwrap();
        }
        let player = players.player(finder.unit(&packet.bytes));
        player.play(now, number, &mut packet.bytes, &mut see).unwrap();
    }
    let mut counts = players.counts().json();
    counts["skipped"]["no-ipv4"] = distributed["skipped"]["no-ipv4"].clone();
    for field in ["packets", "forwarded", "dropped", "refused", "closed", "resets"] {
        assert_eq!(counts[field], distributed[field], "{field}");
    }
    let mut found = Vec::new();
    for (name, bytes) in results(&here.path("out")) {
        if !name.ends_with(".pcapng") {
            continue;
        }
        let mut reader = CaptureReader::new(bytes.as_slice()).unwrap();
        while let Some(packet) = reader.next() {
            let packet = packet.unwrap();
            let place = reader.interface_name(packet.interface).unwrap().to_owned();
            found.push((packet.time - start.unwrap(), packet.id.unwrap(), place, packet.bytes));
        }
    }
    found.sort();
    expected.sort();
    assert!(found == expected, "{} and {} packets", found.len(), expected.len());
}

#[test]
fn large_domain_is_split_alike() {
    let here = Here::new(Day { vnets: 1, hosts: 40, files: 1, ..SMALL });
    let change = "--enable Microsoft.Storage@net-0/app --at 4s --split-above 100";
    let replay = format!("{REPLAY} {change} --captures day/*.pcap");
    let one = here.answer(&replay);
    assert!(one["units"].as_u64().unwrap() > 20, "{one}");
    assert_eq!(one["closed"]["source-switched"], 40);
    assert_eq!(one, here.answer(&format!("{replay} -- -w 2")));
    let cut = here.run(
        "shard -m estate.json --address stlogs=20.60.26.10 --split-above 100 --captures \
         day/*.pcap --parts 2 -w cut",
    );
    assert!(cut.status.success(), "{}", errors(&cut));
    assert_eq!(one, here.answer(&format!("{REPLAY} {change} --cut cut -- -w 2")));
    let whole = here.run(&format!("{REPLAY} --cut cut"));
    assert_eq!(whole.status.code(), Some(1));
    assert!(errors(&whole).contains("cut for another network"), "{}", errors(&whole));
}

/// A process that is killed brings the other down, and a second start goes on where they ended.
#[test]
fn killed_process_ends_the_run() {
    let here = Here::new(Day { seconds: 2_000, segments: 1, ..SMALL });
    let replay = |out: &str| format!("{REPLAY} {CHANGE} --captures day/*.pcap -w {out}");
    let whole = here.answer(&replay("whole"));
    let [mut first, mut second] = here.pair(&replay("out"));
    let some = |name: &str| std::fs::metadata(here.path("out").join(name)).map_or(0, |it| it.len());
    let begun = Instant::now();
    while some("unit-000.seconds") == 0 || some("unit-001.seconds") == 0 {
        assert!(begun.elapsed() < Duration::from_secs(60), "no second is complete");
        std::thread::sleep(Duration::from_millis(2));
    }
    second.kill().unwrap();
    let killed = Instant::now();
    while first.try_wait().unwrap().is_none() {
        assert!(killed.elapsed() < Duration::from_secs(20), "the other process hangs");
        std::thread::sleep(Duration::from_millis(5));
    }
    second.wait().unwrap();
    let first = first.wait_with_output().unwrap();
    assert_eq!(first.status.code(), Some(3), "{first:?}");
    assert!(errors(&first).contains("another process ended early"), "{}", errors(&first));
    assert!(first.stdout.is_empty());

    let refused = here.run(&replay("out"));
    assert!(errors(&refused).contains("go on with --resume"), "{}", errors(&refused));
    let resumed = here.run(&format!("{} --resume -- -w 2", replay("out")));
    assert!(errors(&resumed).contains("not written again"), "{}", errors(&resumed));
    assert_eq!(whole, answer(&resumed));
    assert!(results(&here.path("out")) == results(&here.path("whole")));
}

/// Bytes behind the last complete second are written again, and a cut line is no second.
#[test]
fn resumed_run_mends_torn_files() {
    let here = Here::new(SMALL);
    let replay = format!("{REPLAY} {CHANGE} --captures day/*.pcap -w out");
    let whole = here.answer(&replay);
    let files = results(&here.path("out"));
    let tear = |name: &str, length: u64| {
        let file = File::options().write(true).open(here.path("out").join(name)).unwrap();
        file.set_len(length).unwrap();
    };
    tear("unit-001.seconds", 101);
    tear("unit-002.pcapng", 5_000);
    tear("unit-003.closed", 0);
    let resumed = here.run(&format!("{replay} --resume -- -w 2"));
    assert_eq!(whole, answer(&resumed));
    assert!(files == results(&here.path("out")));
    let other = here.run(&format!("{REPLAY} --captures day/*.pcap -w out --resume"));
    assert_eq!(other.status.code(), Some(1));
    assert!(errors(&other).contains("another run wrote here"), "{}", errors(&other));
    let nowhere = here.run(&format!("{REPLAY} --captures day/*.pcap -w new --resume"));
    assert!(errors(&nowhere).contains("no run wrote here"), "{}", errors(&nowhere));
}

/// A capture of 92 MiB passes through a process that may have 90 MiB of addresses, its program
/// included.
#[cfg(target_os = "linux")]
#[test]
fn captures_larger_than_memory_pass() {
    let small = Day { vnets: 2, hosts: 2, seconds: 40, segments: 200, payload: 1_400, files: 1 };
    let here = Here::new(small);
    let size = std::fs::metadata(here.path("day/000.pcap")).unwrap().len();
    assert!(size > 92 << 20, "{size}");
    let limited = |kilobytes: u32| {
        let program = env!("CARGO_BIN_EXE_vnetem-dist");
        let words = format!("{REPLAY} --captures 'day/*.pcap' --flows 4096");
        let mut shell = std::process::Command::new("sh");
        shell.args(["-c", &format!("ulimit -v {kilobytes}; exec {program} {words}")]);
        shell.current_dir(here.path("")).output().unwrap()
    };
    let output = limited(90 << 10);
    assert_eq!(answer(&output)["packets"], 2 * 40 * 200 * 8 + 3 * 8 + 3);
}

#[test]
fn wrong_commands_say_what_is_wrong() {
    let here = Here::new(Day { seconds: 1, ..SMALL });
    std::fs::write(here.path("one-host"), "127.0.0.1:1\n").unwrap();
    std::fs::write(here.path("day/broken.pcap"), "no capture").unwrap();
    for (words, says) in [
        ("replay --captures day/0*.pcap", "Give -m FILE"),
        ("replay -m estate.json", "Give --captures or --cut"),
        ("replay -m estate.json --captures nothing/*", "nothing/*: no such file"),
        ("replay -m estate.json --captures day/*.pcap", "day/broken.pcap: "),
        ("replay -m estate.json --captures day/0*.pcap --at 3s", "--at says when"),
        ("replay -m estate.json --captures day/0*.pcap -- -w x", "after --, `-w x`"),
        ("replay -m estate.json --captures day/0*.pcap -- -n 2 -p 2", "processes are 0 to 1"),
        ("replay -m estate.json --captures day/0*.pcap -- -n 2 -h one-host", "only read 1"),
        ("replay -m estate.json --captures day/0*.pcap --enable A@b", "no service is named A"),
        ("replay -m estate.json --cut day", "day/parts.json: "),
        ("shard -m estate.json --captures day/0*.pcap --parts 0 -w cut", "from 1 to 255"),
    ] {
        let output = here.run(words);
        assert_eq!(output.status.code(), Some(1), "{words}: {output:?}");
        assert!(errors(&output).contains(says), "{words}: {}", errors(&output));
    }
}
