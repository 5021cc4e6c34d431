//! The verbs on a user's own files: what they print, and their exit status.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test that cannot go on has failed"
)]

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::Value;

fn vnetem(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_vnetem"));
    command.args(arguments).stdin(Stdio::null()).output().unwrap()
}

fn text(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn errors(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

fn json(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).unwrap()
}

fn demo(name: &str) -> String {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("demo").join(name).display().to_string()
}

/// A file of this test's own.
fn file(name: &str, text: &str) -> PathBuf {
    let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
    std::fs::write(&path, text).unwrap();
    path
}

const NETWORK: &str = r#"[ { "id": "/subscriptions/s/resourceGroups/g/providers/Microsoft.Network/virtualNetworks/vnet1",
  "location": "northeurope", "addressSpace": { "addressPrefixes": ["10.0.0.0/16"] },
  "subnets": [ { "name": "snet-app", "addressPrefix": "10.0.1.0/24" } ] } ]"#;

#[test]
fn alone_it_plays_what_it_brings() {
    let played = vnetem(&["what-if"]);
    assert_eq!(played.status.code(), Some(2), "{}", errors(&played));
    let said = text(&played);
    for words in [
        "endpoint-enabled net-a/app Microsoft.Storage",
        "allow > DENY subnet-not-listed",
        "dead rules  stlogs ip 20.31.0.10",
        "2. add virtual network rule net-a/app to stlogs   (nothing is refused that was not)",
    ] {
        assert!(said.contains(words), "{words}\n{said}");
    }
    assert!(!said.contains('\u{1b}'), "plain text has no colours");
}

/// The same by one's own files is the same.
#[test]
fn own_plan_gives_the_same_answer() {
    let arguments = ["--flows", &demo("PT1H.json"), "--hosts", &demo("hosts"), "-o", "json"];
    let plan = demo("plan.json");
    let by_plan = json(&vnetem(&[&["what-if", "--plan", &plan][..], &arguments].concat()));
    let by_model = json(&vnetem(&[&["what-if", "-m", &plan][..], &arguments].concat()));
    let alone = json(&vnetem(&["what-if", "-o", "json"]));
    assert_eq!(by_plan["groups"], alone["groups"]);
    assert_eq!(by_model["groups"], alone["groups"]);
    assert_eq!(by_plan["different"], true);
}

#[test]
fn model_and_edit_are_a_question() {
    let model = file("edit.json", NETWORK);
    let model = model.to_str().unwrap();
    let switch = "Microsoft.Storage@vnet1/snet-app";
    let asked = vnetem(&["what-if", "-m", model, "--enable", switch, "-o", "json"]);
    assert_eq!(asked.status.code(), Some(2), "{}", errors(&asked));
    assert_eq!(json(&asked)["changes"][0]["kind"], "endpoint-enabled");
    let same = vnetem(&["what-if", "--before", model, "--after", model]);
    assert_eq!(same.status.code(), Some(0), "{}", errors(&same));
    let nothing = vnetem(&["what-if", "-m", model]);
    assert_eq!(nothing.status.code(), Some(1));
    assert!(errors(&nothing).contains("no change in it"), "{}", errors(&nothing));
    let wrong = vnetem(&["what-if", "-m", model, "--enable", "Microsoft.Storage@vnet1/web"]);
    assert_eq!(wrong.status.code(), Some(1));
    assert!(errors(&wrong).contains("there is vnet1/snet-app"), "{}", errors(&wrong));
    let usage = vnetem(&["what-if", "-m", model, "--enable", "Microsoft.Storage"]);
    assert_eq!(usage.status.code(), Some(64));
}

#[test]
fn scenario_is_a_model_too() {
    let scenario = file(
        "what-if.scn",
        "vnet     alpha 10.0.0.0/16\nsubnet   web   10.0.0.0/24 in alpha  nat 20.1.1.1\n\
         service  storage 52.239.0.0/16\n\
         resource acct 52.239.1.9 of storage  default deny  allow ip 20.1.1.1\n",
    );
    let path = scenario.to_str().unwrap();
    let asked = vnetem(&["what-if", "-m", path, "--enable", "storage@alpha/web", "-o", "json"]);
    assert_eq!(asked.status.code(), Some(2), "{}", errors(&asked));
    let answer = json(&asked);
    assert_eq!(answer["groups"][0]["after"]["reason"], "subnet-not-listed");
    assert_eq!(answer["steps"][0], "add virtual network rule alpha/web to acct");
    let hop = vnetem(&["next-hop", "-m", path, "alpha/web", "52.239.1.9"]);
    assert_eq!(text(&hop), "Internet   by Default 0.0.0.0/0\n");
}

#[test]
fn folder_is_read_as_its_files() {
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("estate");
    std::fs::create_dir_all(folder.join("deep")).unwrap();
    std::fs::write(folder.join("deep/network.json"), NETWORK).unwrap();
    std::fs::write(folder.join("notes.txt"), "nothing of Azure").unwrap();
    let shown = vnetem(&["model", "-m", folder.to_str().unwrap(), "-o", "json"]);
    assert_eq!(shown.status.code(), Some(0), "{}", errors(&shown));
    assert_eq!(json(&shown)["subnets"][0]["name"], "vnet1/snet-app");
    assert!(errors(&shown).contains("passed over: "), "{}", errors(&shown));
    let none = vnetem(&["model", "-m", folder.join("notes.txt").to_str().unwrap()]);
    assert_eq!(none.status.code(), Some(1));
}

#[test]
fn model_says_where_resources_answer() {
    let plan = demo("plan.json");
    let shown = vnetem(&["model", "-m", &plan, "--address", "stlogs=20.60.26.20", "-o", "json"]);
    let model = json(&shown);
    assert_eq!((&model["schema"], &model["verb"]), (&"vnetem/1".into(), &"model".into()));
    assert_eq!(model["resources"][0]["addresses"], serde_json::json!(["20.60.26.20"]));
    let before = json(&vnetem(&["model", "-m", &plan, "--before", "-o", "json"]));
    assert_eq!(model["subnets"][0]["endpoints"], serde_json::json!(["Microsoft.Storage"]));
    assert_eq!(before["subnets"][0]["endpoints"], serde_json::json!([]));
    let people = text(&vnetem(&["model", &plan]));
    assert!(people.starts_with("network   net-a  10.0.0.0/16  northeurope\n"), "{people}");
}

#[test]
fn packets_and_routes_of_own_files() {
    let model = file("trace.json", NETWORK);
    let model = model.to_str().unwrap();
    let packet = ["--from", "vnet1/snet-app", "tcp", "10.0.1.4:50000", "20.60.26.10:443"];
    let traced = vnetem(&[&["trace", "-m", model][..], &packet].concat());
    assert_eq!(traced.status.code(), Some(0), "{}", errors(&traced));
    assert!(text(&traced).contains("system 0.0.0.0/0"), "{}", text(&traced));
    let switch = ["--enable", "Microsoft.Storage@vnet1/snet-app"];
    let traced = vnetem(&[&["trace", "-m", model][..], &packet, &switch].concat());
    assert!(text(&traced).contains("VirtualNetworkServiceEndpoint"), "{}", text(&traced));
    let routes = vnetem(&["routes", "-m", model, "snet-app"]);
    assert!(text(&routes).contains("VnetLocal"), "{}", text(&routes));
    let hop = vnetem(&["next-hop", "-m", model, "snet-app", "10.0.1.9", "-o", "json"]);
    assert_eq!(json(&hop)["next_hop"], "VnetLocal");
}

#[test]
fn routes_are_compared_with_azure() {
    let model = file("against.json", NETWORK);
    let routes = |more: &str| {
        format!(
            r#"{{ "value": [
            {{ "source": "Default", "state": "Active", "addressPrefix": ["10.0.0.0/16"], "nextHopType": "VnetLocal", "nextHopIpAddress": [] }},
            {{ "source": "Default", "state": "Active", "addressPrefix": ["0.0.0.0/0"], "nextHopType": "Internet", "nextHopIpAddress": [] }},
            {{ "source": "Default", "state": "Active", "addressPrefix": ["10.0.0.0/8"], "nextHopType": "None", "nextHopIpAddress": [] }},
            {{ "source": "Default", "state": "Active", "addressPrefix": ["100.64.0.0/10"], "nextHopType": "None", "nextHopIpAddress": [] }},
            {{ "source": "Default", "state": "Active", "addressPrefix": ["172.16.0.0/12"], "nextHopType": "None", "nextHopIpAddress": [] }},
            {{ "source": "Default", "state": "Active", "addressPrefix": ["25.33.80.0/20"], "nextHopType": "None", "nextHopIpAddress": [] }},
            {{ "source": "Default", "state": "Active", "addressPrefix": ["192.168.0.0/16"], "nextHopType": "None", "nextHopIpAddress": [] }}{more} ] }}"#
        )
    };
    let same = file("same.json", &routes(""));
    let asked = |with: &Path| {
        let (model, with) = (model.to_str().unwrap(), with.to_str().unwrap());
        vnetem(&["routes", "-m", model, "vnet1/snet-app", "--against", with])
    };
    let equal = asked(&same);
    assert_eq!(equal.status.code(), Some(0), "{}{}", text(&equal), errors(&equal));
    let more = r#", { "source": "User", "state": "Active", "addressPrefix": ["20.60.0.0/24"], "nextHopType": "VirtualAppliance", "nextHopIpAddress": ["10.0.9.4"] }"#;
    let differ = asked(&file("differ.json", &routes(more)));
    assert_eq!(differ.status.code(), Some(2));
    let said = text(&differ);
    assert!(said.contains("only Azure's: User VirtualAppliance 10.0.9.4  20.60.0.0/24"), "{said}");
}

#[test]
fn pipe_may_close_early() {
    for verb in ["what-if", "man"] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_vnetem"));
        let mut child =
            command.arg(verb).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        drop(child.stdout.take());
        let output = child.wait_with_output().unwrap();
        assert!(matches!(output.status.code(), Some(0 | 2)), "{verb} {:?}", output.status);
        assert!(!errors(&output).contains("panicked"), "{}", errors(&output));
    }
}

#[test]
fn shells_and_readers_are_served() {
    for shell in ["bash", "zsh", "fish", "powershell"] {
        let script = text(&vnetem(&["completions", shell]));
        assert!(script.contains("what-if"), "{shell}");
    }
    let page = text(&vnetem(&["man"]));
    assert!(page.contains(".TH") && page.contains("what\\-if"), "{page}");
    for verb in
        ["run", "trace", "routes", "tags", "bench", "what-if", "model", "next-hop", "replay"]
    {
        let help = text(&vnetem(&[verb, "--help"]));
        assert!(help.contains("Example:\n  "), "{verb}");
        assert!(help.contains(&format!("vnetem {verb}")), "{verb}");
    }
}

/// SYN, its answer, data before and after the change: a host's own capture.
#[test]
fn capture_plays_through_the_model() {
    let story = file("replay.scn", STORY);
    let capture = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("replay.pcapng");
    let packets = [
        (0, "10.0.0.4:50000 > 52.239.1.9:443 tcp S seq 100"),
        (1, "52.239.1.9:443 > 10.0.0.4:50000 tcp SA seq 900 ack 101"),
        (2, "10.0.0.4:50000 > 52.239.1.9:443 tcp A seq 101 ack 901"),
        (9, "10.0.0.4:50000 > 52.239.1.9:443 tcp A seq 101 ack 901"),
        (10, "45.1.1.1:7 > 10.0.0.4:50000 tcp S seq 1"),
    ];
    let mut writer =
        vnetem_io::CaptureWriter::new(std::fs::File::create(&capture).unwrap()).unwrap();
    for (at, line) in packets {
        let packet: vnetem_packet_text::Packet = line.parse().unwrap();
        let bytes = packet.build();
        let record = vnetem_io::Record {
            time: 1_700_000_000_000_000_000 + at * 1_000_000_000,
            packet_id: at,
            direction: vnetem_io::Direction::Inbound,
            comment: "",
            bytes: &bytes,
        };
        writer.write("host", &record).unwrap();
    }
    writer.finish().unwrap();
    let (story, capture) = (story.to_str().unwrap(), capture.to_str().unwrap());
    let plain = vnetem(&["replay", "-m", story, capture, "-o", "json"]);
    let answer = json(&plain);
    assert_eq!((&answer["packets"], &answer["forwarded"]), (&5.into(), &4.into()), "{answer}");
    let out = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("out.pcapng");
    let page = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("replay.html");
    let switched = vnetem(&[
        "replay",
        "-m",
        story,
        capture,
        "--enable",
        "storage@web",
        "--at",
        "5s",
        "-o",
        "json",
        "-w",
        out.to_str().unwrap(),
        "--html",
        page.to_str().unwrap(),
    ]);
    assert_eq!(switched.status.code(), Some(2), "{}", errors(&switched));
    let answer = json(&switched);
    assert_eq!(answer["closed"]["source-switched"], 1);
    assert_eq!(answer["resets"], 2);
    assert!(std::fs::read_to_string(page).unwrap().contains("cut by the change at 5.000 s"));
    let written = vnetem_io::CaptureReader::new(std::fs::File::open(out).unwrap()).unwrap();
    // The segment behind the change is answered by one more reset or dropped; both are there.
    assert!(written.count() >= 7);
}

/// A folder of logs may hold the plan too.
#[test]
fn other_files_among_logs_are_noted() {
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("logs-and-plan");
    std::fs::create_dir_all(&folder).unwrap();
    for name in ["plan.json", "PT1H.json"] {
        std::fs::copy(demo(name), folder.join(name)).unwrap();
    }
    let folder = folder.to_str().unwrap();
    let asked = vnetem(&["what-if", "--plan", &demo("plan.json"), "--flows", folder, "-o", "json"]);
    assert_eq!(json(&asked)["traffic"]["tuples"], 182);
    assert!(errors(&asked).contains("passed over: "), "{}", errors(&asked));
    let empty = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("no-logs");
    std::fs::create_dir_all(&empty).unwrap();
    std::fs::copy(demo("plan.json"), empty.join("plan.json")).unwrap();
    let empty = empty.to_str().unwrap();
    let asked = vnetem(&["what-if", "--plan", &demo("plan.json"), "--flows", empty]);
    assert_eq!(asked.status.code(), Some(1));
    assert!(errors(&asked).contains("no flow log in it"), "{}", errors(&asked));
}

/// A network with a service and a resource, as a scenario.
const STORY: &str = "vnet alpha 10.0.0.0/16\n\
    subnet web 10.0.0.0/24 in alpha nat 20.1.1.1\n\
    service storage 52.239.0.0/16\n\
    resource acct 52.239.1.9 of storage\n";

/// A scenario is shown in the form of a file's model.
#[test]
fn scenario_is_shown_as_model() {
    let story = file("model.scn", STORY);
    let story = story.to_str().unwrap();
    let shown = json(&vnetem(&["model", "-m", story, "-o", "json"]));
    assert_eq!(shown["subnets"][0]["name"], "alpha/web");
    assert_eq!(shown["subnets"][0]["outbound"]["addresses"][0], "20.1.1.1");
    assert_eq!(shown["resources"][0]["addresses"][0], "52.239.1.9");
    let printed = text(&vnetem(&["model", "-m", story]));
    assert!(printed.contains("subnet    alpha/web  10.0.0.0/24  out by nat-gateway"), "{printed}");
    let refused = vnetem(&["model", "-m", story, "--before"]);
    assert!(errors(&refused).contains("holds no change"), "{}", errors(&refused));
}

/// The page of a run has a row for each flow, and a cross where the change cut it.
#[test]
fn run_draws_its_flows() {
    let page = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("run.html");
    let run = vnetem(&["run", "--html", page.to_str().unwrap()]);
    assert_eq!(run.status.code(), Some(0), "{}", errors(&run));
    let page = std::fs::read_to_string(page).unwrap();
    assert!(page.contains("cut by the change at"), "no cut flow");
    assert!(page.contains("enable Microsoft.Storage on net-a/app"), "no change");
    // Answers are no flows of their own.
    assert!(!page.contains(":443 &gt; 20.31.0.10"), "an answer has a row");
}

/// What README and guide show is what is printed.
#[test]
fn pages_show_what_is_printed() {
    let printed = text(&vnetem(&["what-if"]));
    let shown: Vec<&str> = printed.lines().take(13).collect();
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    for page in ["README.md", "docs/guide/what-if.md"] {
        let page_text = std::fs::read_to_string(root.join(page)).unwrap();
        assert!(
            page_text.contains(&shown.join("\n")),
            "{page} shows another answer than\n{printed}"
        );
    }
}
