//! `vnetem replay`: a capture through the model, with a change under way.

use std::fs::File;
use std::io::BufWriter;
use std::path::Path;

use vnetem::{Network, Time};
use vnetem_io::{CaptureReader, CaptureWriter, CapturedPacket};
use vnetem_scenario::Options;
use vnetem_whatif::Timeline;
use vnetem_whatif::files::switch;
use vnetem_whatif::replay::{Finder, Happening, Players, SPLIT_ABOVE, Units};

use crate::arguments::{Common, Output};
use crate::progress::Bar;
use crate::questions::Replay;
use crate::{Answer, Failure, estate_verbs, load};

/// Flows that are live at once at most, in all units together.
const FLOWS: u32 = 1 << 20;

pub(crate) fn replay(common: &Common, asked: &Replay) -> Result<Answer, Failure> {
    let (mut network, mut notes) = network(common, asked)?;
    let named = |error: &dyn core::fmt::Display| format!("{}: {error}", asked.capture.display());
    let switches = !asked.enable.is_empty() || !asked.disable.is_empty();
    if asked.at.is_some() && !switches {
        return Err("--at says when, --enable or --disable what: give one".into());
    }
    let before = network.commit();
    switch(&mut network, &asked.enable, &asked.disable)?;
    let after = network.commit();
    let units = Units::new(&network, &[&before, &after], SPLIT_ABOVE);
    let mut finder = Finder::new(&units, &before);
    let mut players = Players::new(&units, before, FLOWS);
    let mut shown = Shown { draws: asked.html.is_some(), ..Shown::default() };
    if let Some(path) = &asked.write {
        load::not_read_too("-w", path, &[Some(&asked.capture)])?;
        shown.writer = Some(writer(path)?);
    }
    let bar = Bar::new();
    let size = std::fs::metadata(&asked.capture).map(|data| data.len()).unwrap_or_default();
    bar.begin_bytes("replaying", size);
    let file = File::open(&asked.capture).map_err(|error| named(&error))?;
    let mut reader = CaptureReader::new(bar.through(file)).map_err(|error| named(&error))?;
    let mut due = switches.then(|| asked.at.unwrap_or(Time(0)));
    let mut now = Time(0);
    let mut number = 0;
    let mut packet = CapturedPacket::default();
    while let Some(read) = reader.read(&mut packet) {
        read.map_err(|error| named(&error))?;
        number += 1;
        let start = *shown.start.get_or_insert(packet.time);
        // A capture may go back in time, and a data plane does not.
        now = now.max(Time(packet.time.saturating_sub(start)));
        if let Some(at) = due.take_if(|due| *due <= now) {
            shown.timeline.change(at.0, "change");
            players.apply(at, &after, |seen| shown.see(seen))?;
        }
        let player = players.player(finder.unit(&packet.bytes));
        player.play(now, number, &mut packet.bytes, |seen| shown.see(seen))?;
    }
    bar.end();
    if due.is_some() {
        notes.push("the capture ends before the change".to_owned());
    }
    let mut counts = players.counts();
    counts.not_ipv4 = reader.skipped().total();
    if let Some(path) = &asked.html {
        let name = asked.capture.display().to_string();
        let page = shown.timeline.html(&format!("replay of {name}"));
        std::fs::write(path, page).map_err(|error| format!("{}: {error}", path.display()))?;
        notes.push(format!("the timeline as a page: {}", path.display()));
    }
    if let (Some(writer), Some(path)) = (shown.writer.take(), &asked.write) {
        writer.finish().map_err(|error| format!("{}: {error}", path.display()))?;
        notes.push(format!(
            "every packet is in {}; what was dropped: frame.interface_name == \"drop\"",
            path.display()
        ));
    }
    let text = match common.output {
        Output::Text => counts.text(),
        Output::Json => format!("{:#}\n", counts.json()),
    };
    Ok(Answer { text, notes, good: counts.is_good() })
}

/// The network of a scenario or of files; what of the files is left out.
fn network(common: &Common, asked: &Replay) -> Result<(Network, Vec<String>), Failure> {
    match asked.sources.scenario()? {
        None if asked.sources.model.is_empty() => Err("through which network? Give -m FILE".into()),
        None => {
            let loaded = estate_verbs::load(&asked.sources, &[], &[])?;
            Ok((loaded.network().clone(), loaded.notes))
        }
        Some(path) => {
            let scenario = load::scenario(Some(path))?;
            let tags = load::tags(&asked.sources.list)?;
            let options = Options { seed: common.seed, tags, tap: None };
            Ok((scenario.play_until(None, options)?.network().clone(), Vec::new()))
        }
    }
}

type Writer = CaptureWriter<BufWriter<File>>;

fn writer(path: &Path) -> Result<Writer, Failure> {
    let named = |error: &dyn core::fmt::Display| format!("{}: {error}", path.display());
    let file = File::create(path).map_err(|error| named(&error))?;
    Ok(CaptureWriter::new(BufWriter::new(file)).map_err(|error| named(&error))?)
}

/// What is written and drawn of a replay.
#[derive(Default)]
struct Shown {
    writer: Option<Writer>,
    timeline: Timeline,
    draws: bool,
    /// The time of the first packet.
    start: Option<u64>,
}

impl Shown {
    fn see(&mut self, seen: Happening<'_>) -> Result<(), Failure> {
        let played = match seen {
            Happening::Closed(at, tuple, _) => {
                self.timeline.cut(&tuple, at.0);
                return Ok(());
            }
            Happening::Packet(played) => played,
        };
        if let (true, Some((tuple, external))) = (self.draws, played.source) {
            let translated = external != tuple.source;
            self.timeline.seen(&tuple, played.time.0, &external.ip().to_string(), translated);
        }
        let Some(writer) = &mut self.writer else { return Ok(()) };
        let time = self.start.unwrap_or_default() + played.time.0;
        writer.write(played.place, &played.record(time))?;
        Ok(())
    }
}
