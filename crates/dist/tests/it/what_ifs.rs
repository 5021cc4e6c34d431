//! Questions about flow logs: the answer of one machine, from any number of workers.

use std::fs::File;

use vnetem_azure::ServiceTags;
use vnetem_azure::import::Importer;
use vnetem_whatif::{Estate, Traffic};

use crate::made::Day;
use crate::run::{Here, errors};

const SMALL: Day = Day { vnets: 5, hosts: 6, seconds: 1, segments: 3, payload: 0, files: 1 };
const HOURS: u16 = 3;
const ASKED: &str = "what-if -m estate.json --address stlogs=20.60.26.10 -o json --enable \
                     Microsoft.Storage@net-1/app --enable Microsoft.Storage@net-3/app";

/// What the single-machine verb answers.
fn single(here: &Here) -> String {
    let mut importer = Importer::new();
    let model = std::fs::read(here.path("estate.json")).unwrap();
    importer.read("estate.json", &model).unwrap();
    let mut estate =
        Estate::new(ServiceTags::embedded(), &[("stlogs".to_owned(), [20, 60, 26, 10].into())]);
    estate.load(&importer.before());
    let change = estate
        .edit(|estate| {
            estate.enable("Microsoft.Storage", "net-1/app")?;
            estate.enable("Microsoft.Storage", "net-3/app")
        })
        .unwrap();
    let mut traffic = Traffic::new();
    for vnet in 0..SMALL.vnets {
        for hour in 0..HOURS {
            let name = format!("logs/net-{vnet}/h={hour:02}/PT1H.json");
            traffic.read_flow_log(&name, File::open(here.path(&name)).unwrap()).unwrap();
        }
    }
    estate.report(&change, &traffic, None).json()
}

/// Flows that go on in the next hour's log are one flow, whoever reads which file.
#[test]
fn workers_answer_as_one_machine() {
    let here = Here::new(SMALL);
    SMALL.write_logs(&here.path(""), HOURS);
    let expected = single(&here);
    let report: serde_json::Value = serde_json::from_str(&expected).unwrap();
    let (flows, closed) =
        (report["traffic"]["flows"].as_u64(), report["traffic"]["closed"].as_u64());
    assert!(flows > Some(100) && closed > Some(10), "{report:#}");
    let skipped = &report["traffic"]["skipped"]["source-not-in-model"];
    assert_eq!(*skipped, 30, "one a host, in three files");
    let asked = format!("{ASKED} --flows logs/**/PT1H.json");
    for timely in ["-w 1", "-w 2", "-w 3"] {
        let output = here.run(&format!("{asked} -- {timely}"));
        assert_eq!(output.status.code(), Some(2), "{}", errors(&output));
        assert!(output.stdout == expected.as_bytes(), "{timely}: {output:?}");
    }
    let [first, second] = here.pair(&asked).map(|child| child.wait_with_output().unwrap());
    assert!(first.stdout == expected.as_bytes() && second.stdout.is_empty(), "{first:?}");
}

#[test]
fn wrong_log_ends_all_workers() {
    let here = Here::new(SMALL);
    SMALL.write_logs(&here.path(""), 1);
    std::fs::write(here.path("logs/net-4/h=00/PT1H.json"), "{\"records\":").unwrap();
    let asked = format!("{ASKED} --flows logs/**/PT1H.json");
    let outputs = here.pair(&asked).map(|child| child.wait_with_output().unwrap());
    let said: String = outputs.iter().map(errors).collect();
    assert!(said.contains("logs/net-4/h=00/PT1H.json: "), "{said}");
    assert!(outputs.iter().all(|output| output.status.code() == Some(3)), "{outputs:?}");
}
