//! Checks what the scenario language refuses and how it says so, and that a run depends only on its
//! file and its seed.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that cannot go on has failed"
)]

use std::sync::{Arc, Mutex};

use vnetem::Time;
use vnetem_azure::ServiceTags;
use vnetem_scenario::report::Report;
use vnetem_scenario::{Model, Options, Role, Scenario, Serves};

const MODEL: &str = "\
vnet     alpha 10.0.0.0/16
subnet   web   10.0.0.0/24 in alpha  nat 20.1.1.1
service  storage 52.239.0.0/16
resource acct 52.239.1.9 of storage  default deny
host     vm 10.0.0.4 in web
serve    acct http
";

fn options(seed: Option<u64>) -> Options<'static> {
    Options { seed, ..Options::embedded() }
}

fn play(text: &str) -> Report {
    Scenario::parse("a.scn", text)
        .unwrap()
        .play(options(None))
        .unwrap_or_else(|error| panic!("{error}"))
}

/// Returns the error for a file that is not well formed, or that the model refuses.
fn icmp_error(text: &str) -> String {
    let played = Scenario::parse("a.scn", text).and_then(|scenario| scenario.play(options(None)));
    match played {
        Ok(_) => panic!("it was played: {text}"),
        Err(error) => error.to_string(),
    }
}

#[test]
fn error_names_line_found_and_expected() {
    for (line, said) in [
        (
            "vent alpha 10.0.0.0/16",
            "found \"vent\", expected a declaration (vnet, subnet, service, resource, host, ...) or \"at TIME\"",
        ),
        (
            "vnet beta 10.0.0/16",
            "found \"10.0.0/16\", expected a prefix, or several with commas between them",
        ),
        ("vnet beta 10.1.0.1/16", "10.1.0.1/16 has host bits set; did you mean 10.1.0.0/16?"),
        ("subnet app 10.0.1.0/24 alpha", "found \"alpha\", expected \"in\""),
        (
            "subnet app 10.0.1.0/24 in alpha pool 20.1.1.9 mapping sometimes",
            "found \"sometimes\", expected dependent or independent",
        ),
        (
            "subnet app 10.0.1.0/24 in alpha pool 20.1.1.9 likely linux",
            "found \"likely\", expected a rule of the pool: like (before all others), mapping, filtering, keep-port, preserve-port, keep-parity, blocks, limit, refuse, mid-stream, other-protocols, segment, unsolicited, hairpin, timers or idle",
        ),
        (
            "subnet app 10.0.1.0/24 in alpha pool 20.1.1.9 like windows",
            "found \"windows\", expected azure, linux or rfc",
        ),
        (
            "subnet app 10.0.1.0/24 in alpha pool 20.1.1.9 hairpin like linux",
            "found \"like\", expected \"like\" before all other rules, since it sets them all",
        ),
        (
            "subnet app 10.0.1.0/24 in alpha none",
            "found \"none\", expected how packets leave: private, default ADDRESS, nat ADDRESS or pool ADDRESS ports 1024-65535 like linux",
        ),
        (
            "subnet app 10.0.1.0/24 in alpha pool 20.1.1.9 blocks 64 of 2",
            "found \"of\", expected \"most\"",
        ),
        (
            "subnet app 10.0.1.0/24 in alpha nat 20.1.1.9 idle 3min",
            "found \"3min\", expected an idle timeout of whole minutes, 4min to 120min",
        ),
        ("subnet app 10.0.1.0/24 in gamma", "there is no vnet gamma"),
        (
            "subnet app 10.0.0.0/25 in alpha",
            "10.0.0.0/25 of subnet app overlaps 10.0.0.0/24 of subnet web",
        ),
        (
            "subnet app 10.0.1.0/24 in alpha pool 20.1.1.2 ports 5",
            "found \"5\", expected ports such as 1024-1027",
        ),
        (
            "route web 0.0.0.0/0 to moon",
            "found \"moon\", expected appliance ADDRESS, gateway SITE, internet, vnet or none",
        ),
        (
            "service Microsoft.Moon",
            "Microsoft.Moon is no endpoint service that is known; write \"service Microsoft.Moon tag TAG\" or give its prefixes",
        ),
        (
            "service moon tag Moon",
            "the list of tags has no tag Moon (--tags FILE gives another list)",
        ),
        ("endpoint storage on", "found the end of the line, expected the name of a subnet"),
        ("endpoint storage on web now", "found \"now\", expected the end of the line"),
        (
            "host wait 10.0.0.5 in web",
            "found \"wait\", expected a name that is no verb of the language",
        ),
        ("host vm 10.0.0.5 in web", "there is a nic vm already"),
        ("host vm2 10.0.0.4 in web", "10.0.0.4 cannot be given to nic vm2: it belongs to nic vm"),
        ("link loss 200%", "found \"200%\", expected a percentage such as 1% or 0.5%"),
        ("link delay 5", "found \"5\", expected a time such as 10ms, 5s or 4min"),
        ("resource x 9.9.9.9 of storage", "9.9.9.9/32 of resource x is not inside service storage"),
        ("serve x http", "there is no resource x"),
        ("policy tie sometimes", "found \"sometimes\", expected documented or observed"),
        (
            "  enable storage on web",
            "found \"enable\", expected a declaration at the start of the line, since no \"at TIME\" has come yet",
        ),
        ("at noon", "found \"noon\", expected a time such as 10ms, 5s or 4min"),
    ] {
        assert_eq!(icmp_error(&format!("{MODEL}{line}\n")), format!("a.scn:7: {said}"));
    }
}

#[test]
fn step_error_names_its_line() {
    for (step, said) in [
        (
            "  vm jumps",
            "found \"jumps\", expected what the host does: gets, downloads, queries, resolves, pings or sends",
        ),
        (
            "  jump",
            "there is no host jump that calls; there are vm, and the steps from, answer, connect, trace, wait, probe, status, show and changes",
        ),
        (
            "  jump gets acct /x",
            "there is no host jump that calls; there are vm, and the steps from, answer, connect, trace, wait, probe, status, show and changes",
        ),
        (
            "  wget http://acct/x",
            "there is no host wget that calls; there are vm, and the steps from, answer, connect, trace, wait, probe, status, show and changes",
        ),
        ("  show rules moon", "there is no resource moon"),
        ("  vm gets moon /x", "found \"moon\", expected somebody who serves (acct)"),
        ("  vm gets acct x", "found \"x\", expected a path such as /report.csv"),
        (
            "  from web 10.0.0.4:1 > 52.239.1.9:443",
            "found the end of the line, expected `tcp` or `udp`",
        ),
        (
            "  from moon 10.0.0.4:1 > 52.239.1.9:443 tcp S",
            "there is no subnet, nic, site or service moon",
        ),
        ("  status d1", "found \"d1\", expected the name of a download or query ()"),
        ("  show flows fw", "found \"fw\", expected the name of an appliance"),
        (
            "  enable storage on web ; wait 5s",
            "found \"wait\", expected another change behind the semicolon",
        ),
        (
            "enable storage on web",
            "found \"enable\", expected \"at TIME\", or a step, which is indented",
        ),
        ("at 500ms", "found \"at 500ms\", expected a time that is not before the last one"),
    ] {
        let text = icmp_error(&format!("{MODEL}at 1s\n{step}\n"));
        assert_eq!(text, format!("a.scn:8: {said}"));
    }
}

#[test]
fn wrong_outcome_is_reported_as_difference() {
    let step = "at 0ms\n  from web  10.0.0.4:50001 > 203.0.113.80:443 udp\n";
    assert!(play(&format!("{MODEL}{step}")).is_as_expected());
    let report = play(&format!("{MODEL}{step}    drop no-route\n"));
    let [difference] = report.differences.as_slice() else { panic!("{:?}", report.differences) };
    assert_eq!(
        (difference.line, difference.expected.as_slice()),
        (8, &["drop no-route".to_owned()][..])
    );
    assert!(difference.to_string().contains("\n    - drop no-route\n    + "), "{difference}");
}

#[test]
fn reported_outcomes_parse_as_expected() {
    let text = format!(
        "{MODEL}\nat 1ms # early\n\n  # a word before\n  vm gets acct /x\n  enable storage on web\n\n  vm gets acct /y # and after\n"
    );
    let scenario = Scenario::parse("a.scn", &text).unwrap();
    let written = scenario.with_outcomes(&scenario.play(options(None)).unwrap());
    let again = Scenario::parse("a.scn", &written).unwrap();
    assert!(again.is_golden());
    let report = again.play(options(None)).unwrap();
    assert!(report.is_as_expected(), "{:?}", report.differences);
    assert_eq!(again.with_outcomes(&report), written);
    let bare: Vec<&str> = written.lines().filter(|line| !line.starts_with("    ")).collect();
    assert_eq!(bare, text.lines().collect::<Vec<_>>());
}

/// INV-same-input-same-bytes: the demo scenario depends only on its text and its seed, to the last
/// byte on every link.
#[test]
fn packets_depend_on_the_seed_alone() {
    let tags = Arc::new(ServiceTags::embedded());
    let story = Scenario::demo().unwrap();
    let packets = |seed| {
        let digest = Mutex::new((0_u64, 0xcbf2_9ce4_8422_2325_u64));
        let tap = |tapped: &vnetem_sim::world::Tapped<'_>| {
            let (count, hash) = &mut *digest.lock().unwrap();
            *count += 1;
            let all = tapped
                .packet
                .iter()
                .chain(tapped.place.as_bytes())
                .chain(tapped.comment.as_bytes());
            for byte in
                all.copied().chain(tapped.time.0.to_le_bytes()).chain(tapped.id.to_le_bytes())
            {
                *hash = (*hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
            }
        };
        let options = Options { seed, tags: Arc::clone(&tags), tap: Some(Box::new(tap)) };
        let report = story.play(options).unwrap();
        assert!(report.is_as_expected());
        let seen = *digest.lock().unwrap();
        (seen, report.timeline)
    };
    let first = packets(None);
    assert!(first.0.0 > 4000, "{:?}", first.0);
    assert_eq!(first, packets(None));
    let seven = packets(Some(7));
    assert_ne!(first.0, seven.0);
    assert_eq!(seven, packets(Some(7)));
}

/// S-17, S-18: under any seed, the switch resets the storage download at both ends and leaves the
/// two others alone.
#[test]
fn demo_ends_alike_under_every_seed() {
    let tags = Arc::new(ServiceTags::embedded());
    let story = Scenario::demo().unwrap();
    for seed in 2..12 {
        let report =
            story.play(Options { seed: Some(seed), tags: Arc::clone(&tags), tap: None }).unwrap();
        let said = |step: &str| {
            let moments = report.timeline.iter().filter(|moment| moment.step == step);
            moments.flat_map(|moment| moment.outcome.clone()).collect::<Vec<_>>()
        };
        let storage = said("status storage");
        assert!(
            storage[0].starts_with("open") && storage[0].ends_with("far end open"),
            "{storage:?}"
        );
        assert!(
            storage[1].starts_with("reset") && storage[1].ends_with("far end reset"),
            "{storage:?}"
        );
        for other in ["status database", "status internet"] {
            let said = said(other);
            assert!(
                said[2].starts_with("finished") && said[2].ends_with("far end finished"),
                "{said:?}"
            );
        }
        let reached = |probe: usize, from: &str, to: &str| {
            let calls = &report.probes[probe].calls;
            calls.iter().find(|call| call.from == from && call.to == to).unwrap().reached
        };
        let vm: Vec<bool> = (0..6).map(|probe| reached(probe, "vm-a", "stlogs")).collect();
        assert_eq!(vm, [true, true, true, false, true, false]);
        assert!((0..6).all(|probe| reached(probe, "vm-a", "stdata")));
        assert!(
            (1..6)
                .all(|probe| !reached(probe, "vm-b", "stlogs")
                    && !reached(probe, "jump-a", "stlogs"))
        );
    }
}

#[test]
fn scenario_can_stop_at_a_time() {
    let text =
        format!("{MODEL}at 1s\n  enable storage on web\nat 2s\n  allow subnet web on acct\n");
    let scenario = Scenario::parse("a.scn", &text).unwrap();
    let verdict = |seconds: Option<u64>| {
        let end = seconds.map(|seconds| Time(seconds * 1_000_000_000));
        let stage = scenario.play_until(end, options(None)).unwrap();
        let trace = stage.trace("web", "10.0.0.9:50000 > 52.239.1.9:443 tcp S").unwrap();
        trace.to_string().lines().last().unwrap().to_owned()
    };
    assert!(verdict(None).contains("as 20.1.1.1:"), "{}", verdict(None));
    assert!(verdict(Some(0)).contains("address-not-listed"));
    assert!(verdict(Some(1)).contains("subnet-not-listed"));
    assert_eq!(verdict(Some(2)), "  verdict  forward to service storage as alpha/web 10.0.0.9");
}

/// A byte order mark, tabs and carriage returns change nothing.
#[test]
fn files_of_any_editor_are_read() {
    let text = format!("{MODEL}at 1s\n  enable storage on web\n    generation 2\n");
    let plain = play(&text).timeline;
    assert_eq!(play(&format!("\u{feff}{text}")).timeline, plain);
    assert_eq!(play(&text.replace('\n', "\r\n")).timeline, plain);
    let tabs = text.replace("    gen", "\t\tgen").replace("  enable", "\tenable");
    let report = play(&tabs);
    assert!(report.is_as_expected(), "{:?}", report.differences);
    assert_eq!(report.timeline, plain);
}

/// A step that is indented like an outcome would be compared with one, and never played.
#[test]
fn steps_indented_by_four_are_refused() {
    let expected = "expected an outcome of the step above, or a step behind two spaces";
    for (lines, line, step) in [
        ("at 1s\n    enable storage on web\n    wait 1s\n", 9, "wait 1s"),
        ("at 1s\n  wait 1s\n      vm gets acct /a\n", 9, "vm gets acct /a"),
        ("at 1s\n  wait 1s\n    disable storage on web  # now\n", 9, "disable storage on web"),
        ("at 1s\n\twait 1s\n\t\tprobe all\n", 9, "probe all"),
    ] {
        let found = format!("found the step \"{step}\" behind 4 spaces or more");
        assert_eq!(
            icmp_error(&format!("{MODEL}{lines}")),
            format!("a.scn:{line}: {found}, {expected}")
        );
    }
}

/// No scenario may contain control characters, not even in comments.
#[test]
fn hidden_characters_are_named_not_echoed() {
    for (line, code) in [
        ("vnet \u{1b}[31mred 10.9.0.0/16", "001B"),
        ("# a title \u{1b}]0;mine\u{7}", "001B"),
        ("vnet a\u{0}b 10.9.0.0/16", "0000"),
        ("vnet a\u{202e}b 10.9.0.0/16", "202E"),
        ("vnet a\u{9b}b 10.9.0.0/16", "009B"),
    ] {
        let said = icmp_error(&format!("{MODEL}{line}\n"));
        let named =
            format!("found the invisible character U+{code}, expected text that can be seen");
        assert_eq!(said, format!("a.scn:7: {named}"));
    }
    let endless = "x".repeat(1_000_000);
    for line in
        [format!("{endless} y"), format!("vnet beta {endless}"), format!("serve {endless} http")]
    {
        let said = icmp_error(&format!("{MODEL}{line}\n"));
        assert!(said.len() < 400 && said.contains("xxx..."), "{}", said.len());
    }
}

/// Without outcomes, a file does not say that the refusal is expected.
#[test]
fn refused_changes_are_reported_unless_expected() {
    let step = "at 1s\n  subnet app 10.0.0.0/25 in alpha\n";
    let why = "10.0.0.0/25 of subnet app overlaps 10.0.0.0/24 of subnet web";
    let report = play(&format!("{MODEL}{step}"));
    assert!(!report.is_as_expected());
    let refused: Vec<_> = report.refused_changes.iter().map(ToString::to_string).collect();
    assert_eq!(refused, [format!("line 8: subnet app 10.0.0.0/25 in alpha: refused: {why}")]);
    let expected = format!("{MODEL}{step}    refused {why}\n");
    let report = play(&expected);
    assert!(report.is_as_expected() && report.refused_changes.is_empty());
    // With another seed outcomes are not compared, but this one is as the file says.
    let other = Scenario::parse("a.scn", &expected).unwrap().play(options(Some(99))).unwrap();
    assert!(other.is_as_expected(), "{:?}", other.refused_changes);
    // In a file with outcomes it is one difference.
    let golden = play(&format!("{MODEL}{step}  enable storage on web\n    generation 2\n"));
    assert_eq!((golden.differences.len(), golden.refused_changes.len()), (1, 0));
}

/// A server of the simulation is never busy, so a probe shows the network alone.
#[test]
fn probes_of_many_hosts_reach_everybody() {
    let mut text = MODEL.replace("default deny", "default allow");
    text.push_str("subnet many 10.0.4.0/22 in alpha  nat 20.1.1.2\nhost www 198.51.100.1 on internet serves http\n");
    for n in 0..600 {
        text.push_str(&format!("host h{n} 10.0.{}.{} in many\n", 4 + n / 200, 10 + n % 200));
    }
    let report = play(&format!("{text}at 1s\n  probe\n"));
    let calls = &report.probes[0].calls;
    assert_eq!(calls.len(), 601 * 2);
    let refused: Vec<_> = calls.iter().filter(|call| !call.reached).collect();
    assert!(refused.is_empty(), "{} of them, first {:?}", refused.len(), refused[0]);
}

/// The ports may come before or after the profile.
#[test]
fn pools_are_like_a_known_one() {
    let run = |pool: &str| {
        let subnet = format!("subnet app 10.0.1.0/24 in alpha pool 20.1.1.9 {pool}");
        play(&format!("{MODEL}{subnet}\nat 0s\n  from app 10.0.1.4:4242 > 8.8.8.8:53 udp\n"))
            .timeline
    };
    let linux = run("ports 4000-5000 like linux");
    assert!(linux[0].outcome[0].contains("20.1.1.9:4242 > 8.8.8.8:53"), "{linux:?}");
    assert_eq!(run("like linux ports 4000-5000"), linux);
    assert_eq!(run("like linux hairpin ports 4000-5000"), linux);
}

/// Each answers the packet that was sent, not the answer before.
#[test]
fn answers_keep_the_first_direction() {
    let text = "at 0s\n  from web 10.0.0.4:5000 > 203.0.113.80:53 udp\n  answer udp\n  answer udp\n  answer icmp unreachable port\n";
    let timeline = play(&format!("{MODEL}{text}")).timeline;
    let [_, first, second, error] = timeline.as_slice() else { panic!("{timeline:?}") };
    assert_eq!(first.outcome, second.outcome);
    assert!(first.outcome[0].contains("203.0.113.80:53 > 10.0.0.4:5000 udp"), "{first:?}");
    assert!(
        error.outcome[0].contains("203.0.113.80 > 10.0.0.4 icmp unreachable port about"),
        "{error:?}"
    );
}

/// An unknown tag is an error that says where the full list comes from.
#[test]
fn rule_tags_are_known_or_hinted() {
    let rule =
        |tag: &str| format!("{MODEL}nsg shut\nnsg shut rule 100 out outbound deny * * > {tag}\n");
    for tag in [
        "AzureCloud",
        "AzureCloud.westeurope",
        "Internet",
        "Storage.WestEurope",
        "Sql",
        "AzureActiveDirectory",
        "AzureMonitor",
        "AzureFrontDoor.Backend",
        "GatewayManager",
    ] {
        assert!(play(&format!("{}at 0s\n  wait 1s\n", rule(tag))).is_as_expected(), "{tag}");
    }
    assert_eq!(
        icmp_error(&rule("AzureMoon")),
        "a.scn:8: security group shut: rule out: there is no tag AzureMoon; \"tag AzureMoon PREFIXES\" says what it stands for, --tags FILE a list that has it"
    );
}

/// A size from a file is refused with its limit, before any memory is allocated for it.
#[test]
fn sizes_beyond_their_limits_are_refused() {
    for (line, said) in [
        ("flows 4294967295", "there can be at most 16777216 flows"),
        (
            "propagation 99999999999min",
            "there can be at most 604800 seconds until an endpoint reaches the last host",
        ),
    ] {
        assert!(icmp_error(&format!("{MODEL}{line}\n")).contains(said), "{line}");
    }
}

/// A server that only a live network starts is read, and the model has it.
#[test]
fn real_programs_are_read() {
    let text = format!(
        "{}serve    other by \"python3 server.py 80\" proxy-v2\nhost     fw 10.0.0.9 in web forwarding\n",
        MODEL.replace("host ", "resource other 52.239.1.10 of storage\nhost ")
    );
    let scenario = Scenario::parse("a.scn", &text).unwrap();
    let model = Model::new(&scenario, Arc::new(ServiceTags::embedded())).unwrap();
    let members = model.members(&scenario).unwrap();
    let line = "python3 server.py 80".to_owned();
    let by = |name: &str| members.iter().find(|member| member.name == name).unwrap().role.clone();
    assert!(
        matches!(by("other"), Role::Resource { by, .. } if by == Serves::Command { line, header: true })
    );
    assert_eq!(by("fw"), Role::Host { forwards: true, serves: None });
    // The file can also be played, without that server.
    play(&text);
    let wrong = |words: &str| icmp_error(&format!("{MODEL}{words}"));
    for words in ["serve acct by", "serve acct by python3", "serve acct by \"\""] {
        assert!(wrong(words).contains("expected a command between double quotes"), "{words}");
    }
    assert!(wrong("serve acct by \"x\" proxy-v1").contains("found \"proxy-v1\""));
    assert!(wrong("serve acct https").contains("expected http, sql or by \"COMMAND\""));
}
