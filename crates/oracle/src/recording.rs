//! Keeps what the kernel did in a file: a capture that any analyser opens.

use std::collections::BTreeMap;
use std::io::{Read, Write};

use vnetem_io::{CaptureReader, CaptureWriter, Direction, Record};
use vnetem_nat::Side;

use crate::Failure;
use crate::packet::{Emitted, is_error, source_port};

/// A packet that was sent, and what the kernel made of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exchange {
    /// The side that sent it.
    pub from: Side,
    /// The packet.
    pub sent: Vec<u8>,
    /// What came out.
    pub emitted: Vec<Emitted>,
}

/// Exchanges in their order. Each depends on those before it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Recording(pub Vec<Exchange>);

/// The interfaces of the capture: what was sent from a side, and what came out there.
const PLACES: [(&str, Side, Direction); 4] = [
    ("inside sends", Side::Internal, Direction::Inbound),
    ("outside sends", Side::External, Direction::Inbound),
    ("inside receives", Side::Internal, Direction::Outbound),
    ("outside receives", Side::External, Direction::Outbound),
];

impl Exchange {
    /// Returns the port, or identifier, by which a packet from the internal side came out. An ICMP
    /// error has none, since it opens nothing.
    #[must_use]
    pub fn port(&self) -> Option<u16> {
        if self.from == Side::External || is_error(&self.sent) {
            return None;
        }
        let arrived = self.emitted.iter().find(|emitted| emitted.to == Side::External)?;
        Some(source_port(&arrived.bytes))
    }
}

impl Recording {
    /// Writes the capture. The time of a packet is the number of its exchange.
    ///
    /// # Errors
    ///
    /// It cannot be written.
    pub fn write(&self, writer: impl Write) -> Result<(), Failure> {
        let mut capture = CaptureWriter::new(writer)?;
        for (exchange, number) in self.0.iter().zip(1..) {
            let mut put = |at: Side, direction, bytes: &[u8]| {
                let place = PLACES.iter().find(|place| (place.1, place.2) == (at, direction));
                let place = place.map_or("", |place| place.0);
                capture.write(
                    place,
                    &Record { time: number, packet_id: number, direction, comment: "", bytes },
                )
            };
            put(exchange.from, Direction::Inbound, &exchange.sent)?;
            for emitted in &exchange.emitted {
                put(emitted.to, Direction::Outbound, &emitted.bytes)?;
            }
        }
        capture.finish()?;
        Ok(())
    }

    /// Reads a capture that [`write`](Self::write) made.
    ///
    /// # Errors
    ///
    /// It is not such a capture.
    pub fn read(reader: impl Read) -> Result<Self, Failure> {
        let mut capture = CaptureReader::new(reader)?;
        let mut exchanges: BTreeMap<u64, Exchange> = BTreeMap::new();
        while let Some(packet) = capture.next() {
            let packet = packet?;
            let name = capture.interface_name(packet.interface).unwrap_or_default();
            let place = PLACES.iter().find(|place| place.0 == name);
            let (_, side, direction) = *place.ok_or_else(|| format!("an interface {name:?}"))?;
            match (direction, exchanges.get_mut(&packet.time)) {
                (Direction::Inbound, None) => {
                    let (sent, emitted) = (packet.bytes, Vec::new());
                    exchanges.insert(packet.time, Exchange { from: side, sent, emitted });
                }
                (Direction::Outbound, Some(exchange)) => {
                    exchange.emitted.push(Emitted { to: side, bytes: packet.bytes });
                }
                _ => return Err(format!("packets of exchange {} in disorder", packet.time).into()),
            }
        }
        if capture.skipped().total() > 0 {
            return Err("packets that cannot be read".into());
        }
        Ok(Self(exchanges.into_values().collect()))
    }
}
