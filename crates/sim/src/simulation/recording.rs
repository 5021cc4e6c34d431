//! Who looks at the packets of a simulation.

use vnetem::Time;
use vnetem_io::{CaptureWriter, Direction, Record};

use crate::world::{Tap, Tapped};

/// A capture, a list of all packets, or a tap of the user's: whatever was asked for.
#[derive(Default)]
pub(super) struct Recording {
    capture: Option<CaptureWriter<Vec<u8>>>,
    pub(super) seen: Option<Vec<Seen>>,
    pub(super) tap: Option<Box<Tap<'static>>>,
}

/// One packet at one place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Seen {
    time: Time,
    place: String,
    packet: Vec<u8>,
}

impl Recording {
    pub(super) fn start_capture(&mut self) {
        // Nothing fails that is written to memory.
        self.capture = CaptureWriter::new(Vec::new()).ok();
    }

    pub(super) fn take_capture(&mut self) -> Vec<u8> {
        self.capture.take().and_then(|capture| capture.finish().ok()).unwrap_or_default()
    }

    pub(super) fn take(&mut self, tapped: &Tapped<'_>) {
        if let Some(capture) = &mut self.capture {
            let direction = if tapped.leaves { Direction::Outbound } else { Direction::Inbound };
            let record = Record {
                time: tapped.time.0,
                packet_id: tapped.id,
                direction,
                comment: tapped.comment,
                bytes: tapped.packet,
            };
            let _ = capture.write(tapped.place, &record);
        }
        if let Some(seen) = &mut self.seen {
            let (time, place) = (tapped.time, tapped.place.to_owned());
            seen.push(Seen { time, place, packet: tapped.packet.to_vec() });
        }
        if let Some(tap) = &mut self.tap {
            tap(tapped);
        }
    }
}

/// As in `at 12ms in:alpha/web 10.0.0.4:50001 > 52.239.1.9:443 tcp S`.
impl core::fmt::Display for Seen {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "at {:?} {} ", self.time.since(Time(0)), self.place)?;
        match vnetem_packet::Headers::parse(&self.packet) {
            Ok(headers) => write!(f, "{headers}"),
            Err(_) => write!(f, "{} bytes", self.packet.len()),
        }
    }
}
