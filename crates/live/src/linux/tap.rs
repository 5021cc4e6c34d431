//! Every packet into a capture: one interface a place, all copies of a packet under one number.

use std::io::{self, Write};
use std::sync::{Arc, Mutex, PoisonError};

use vnetem::{AccessVerdict, Disposition, Edge, SourceMode, Time, Transmit, Verdict};
use vnetem_io::{CaptureError, CaptureWriter, Direction, Record};
use vnetem_scenario::Model;

/// A capture that is being written. The first failure ends it.
pub(super) struct Tap {
    writer: Option<CaptureWriter<Shared>>,
    buffer: Shared,
    numbered: u64,
}

/// A buffer that can be flushed from beside its writer.
#[derive(Clone)]
struct Shared(Arc<Mutex<io::BufWriter<Box<dyn Write + Send>>>>);

impl Tap {
    pub(super) fn new(to: Box<dyn Write + Send>) -> Result<Self, CaptureError> {
        let buffer = Shared(Arc::new(Mutex::new(io::BufWriter::new(to))));
        let writer = Some(CaptureWriter::new(buffer.clone())?);
        Ok(Self { writer, buffer, numbered: 0 })
    }

    /// Shows a packet as it came to the data plane and as it left or was dropped.
    pub(super) fn show(
        &mut self,
        now: Time,
        model: &Model,
        (from, to): (Edge, Option<Edge>),
        (came, went): (&[u8], &[u8]),
        verdict: &Verdict,
    ) {
        self.numbered += 1;
        let what = match verdict.disposition {
            Disposition::Forward(forward) => {
                let reason = match (forward.access(), forward.source()) {
                    (AccessVerdict::Refused(refusal), _) => refusal.name(),
                    (_, SourceMode::Preserved) => "source-preserved",
                    (_, SourceMode::Translated(_)) => "source-translated",
                };
                format!("verdict=forward reason={reason}")
            }
            Disposition::Deny(reason) => format!("verdict=deny reason={reason}"),
            Disposition::Drop(reason) => format!("verdict=drop reason={reason}"),
        };
        let out = to.map_or_else(|| "drop".to_owned(), |to| place("out", model, to));
        let comment = format!("vnetem {what}");
        self.write(now, &place("in", model, from), Direction::Inbound, came, &comment);
        let direction = if to.is_some() { Direction::Outbound } else { Direction::Inbound };
        self.write(now, &out, direction, went, &comment);
    }

    /// Shows a packet that the data plane has made.
    pub(super) fn made(&mut self, now: Time, model: &Model, made: &Transmit) {
        self.numbered += 1;
        let out = place("out", model, made.to);
        self.write(now, &out, Direction::Outbound, &made.packet, "vnetem verdict=made");
    }

    /// Hands on what was written so far.
    pub(super) fn flush(&mut self) {
        if self.buffer.flush().is_err() {
            self.writer = None;
        }
    }

    fn write(&mut self, now: Time, place: &str, direction: Direction, bytes: &[u8], comment: &str) {
        let record = Record { time: now.0, packet_id: self.numbered, direction, comment, bytes };
        if let Some(writer) = &mut self.writer
            && let Err(error) = writer.write(place, &record)
        {
            // Whoever looks at the packets has closed the pipe, or the disk is full.
            eprintln!("vnetem: the capture ends: {error}");
            self.writer = None;
        }
    }
}

impl Write for Shared {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).flush()
    }
}

/// `in:nic/vm-a`, `out:service/Microsoft.Storage/net-a/app`.
fn place(side: &str, model: &Model, edge: Edge) -> String {
    let words = match edge {
        Edge::Service { identity: None, .. } => model.place(edge).replace(" public", ""),
        Edge::Service { .. } => model.place(edge).replace(" as ", " "),
        edge => model.place(edge),
    };
    format!("{side}:{}", words.replace(' ', "/"))
}
