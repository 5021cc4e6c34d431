//! `vnetem run`: plays a scenario.

use std::path::Path;

use vnetem_scenario::Options;
use vnetem_sim::world::{Tap, Tapped};

use crate::arguments::{CaptureFile, Common, Output, TagList};
use crate::capture::Capture;
use crate::timeline::Drawing;
use crate::{Answer, Failure, json, load, text};

pub(crate) fn run(
    common: &Common,
    file: Option<&Path>,
    to: &CaptureFile,
    html: Option<&Path>,
    list: &TagList,
) -> Result<Answer, Failure> {
    let scenario = load::scenario(file)?;
    let tags = load::tags(list)?;
    for (option, path) in [("--pcap", to.pcap.as_deref()), ("--html", html)] {
        if let Some(path) = path {
            load::not_read_too(option, path, &[file, list.tags.as_deref()])?;
        }
    }
    let capture = to.pcap.as_deref().map(Capture::create).transpose()?;
    let drawing = html.map(|_| Drawing::default());
    let tap = (capture.is_some() || drawing.is_some()).then(|| {
        Box::new(|tapped: &Tapped<'_>| {
            if let Some(capture) = &capture {
                capture.take(tapped);
            }
            if let Some(drawing) = &drawing {
                drawing.take(tapped);
            }
        }) as Box<Tap<'_>>
    });
    let report = scenario.play(Options { seed: common.seed, tags, tap })?;
    let mut notes = Vec::new();
    if let (Some(capture), Some(path)) = (capture, &to.pcap) {
        capture.finish().map_err(|error| format!("{}: {error}", path.display()))?;
        notes.push(format!(
            "every packet is in {}; in Wireshark, what was dropped: frame.interface_name == \"drop\"; one packet: frame.packet_id == 7",
            path.display()
        ));
    }
    let name = file.map_or("demo.scn".into(), |path| path.display().to_string());
    if let (Some(drawing), Some(path)) = (drawing, html) {
        let page = drawing.page(&name, &report);
        std::fs::write(path, page).map_err(|error| format!("{}: {error}", path.display()))?;
        notes.push(format!("the timeline as a page: {}", path.display()));
    }
    for difference in &report.differences {
        notes.push(format!("{name} {difference}"));
    }
    for refused in &report.refused_changes {
        notes.push(format!("{name} {refused}"));
    }
    if !report.differences.is_empty() {
        notes.push(format!(
            "{name}: {} steps did not come out as the file says",
            report.differences.len()
        ));
    }
    let text = match common.output {
        Output::Text => text::report(&name, &report),
        Output::Json => json::report(&name, &report),
    };
    Ok(Answer { text, notes, good: report.is_as_expected() })
}
