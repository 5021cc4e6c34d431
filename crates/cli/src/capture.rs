//! A run as a pcapng file: one interface for each place, all copies of one packet under one packet
//! id.

use std::fs::File;
use std::io::BufWriter;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use vnetem_io::{CaptureError, CaptureWriter, Direction, Record};
use vnetem_sim::world::Tapped;

use crate::Failure;

/// A capture that is being written. The first error stays until the end, since nobody can be told
/// earlier.
pub(crate) struct Capture {
    state: Mutex<Result<CaptureWriter<BufWriter<File>>, CaptureError>>,
}

impl Capture {
    pub(crate) fn create(path: &Path) -> Result<Self, Failure> {
        let named = |error: &dyn core::fmt::Display| format!("{}: {error}", path.display());
        let file = File::create(path).map_err(|error| named(&error))?;
        let writer = CaptureWriter::new(BufWriter::new(file)).map_err(|error| named(&error))?;
        Ok(Self { state: Mutex::new(Ok(writer)) })
    }

    pub(crate) fn take(&self, tapped: &Tapped<'_>) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let Ok(writer) = state.as_mut() else { return };
        let record = Record {
            time: tapped.time.0,
            packet_id: tapped.id,
            direction: if tapped.leaves { Direction::Outbound } else { Direction::Inbound },
            comment: tapped.comment,
            bytes: tapped.packet,
        };
        if let Err(error) = writer.write(tapped.place, &record) {
            *state = Err(error);
        }
    }

    pub(crate) fn finish(self) -> Result<(), CaptureError> {
        self.state.into_inner().unwrap_or_else(PoisonError::into_inner)?.finish().map(drop)
    }
}
