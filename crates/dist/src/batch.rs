//! Packets of one unit and one second, as they travel between workers.

use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;
use vnetem_whatif::replay::Unit;

/// Bytes after which a batch is sent.
const FULL: usize = 1 << 16;

/// Packets of one unit and one second of the capture.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Batch {
    pub(crate) unit: Unit,
    heads: Vec<Head>,
    bytes: ByteBuf,
}

/// What is known of a packet beside its bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) struct Head {
    /// Nanoseconds since the first packet of all captures.
    pub(crate) time: u64,
    /// The number of the file and that of the packet in it.
    pub(crate) id: u64,
    length: u32,
}

impl Batch {
    pub(crate) fn new(unit: Unit) -> Self {
        Self { unit, ..Self::default() }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.heads.is_empty()
    }

    /// Adds a packet. Returns the batch if it is to be sent now.
    pub(crate) fn add(&mut self, time: u64, id: u64, packet: &[u8]) -> Option<Self> {
        // A packet has at most 65,535 bytes; the reader keeps none above 16 MiB.
        let length = u32::try_from(packet.len()).unwrap_or(u32::MAX);
        self.heads.push(Head { time, id, length });
        self.bytes.extend_from_slice(packet);
        (self.bytes.len() >= FULL).then(|| self.take())
    }

    /// Takes the packets out.
    pub(crate) fn take(&mut self) -> Self {
        core::mem::replace(self, Self::new(self.unit))
    }
}

/// Gives the packets of many batches in the order in which they are played.
pub(crate) fn in_order(batches: &mut [Batch], mut play: impl FnMut(Unit, Head, &mut [u8])) {
    let mut order = Vec::with_capacity(batches.iter().map(|batch| batch.heads.len()).sum());
    for (number, batch) in batches.iter().enumerate() {
        let mut start = 0;
        for head in &batch.heads {
            order.push((*head, number, start));
            start += head.length as usize;
        }
    }
    // Those of one file are in order already.
    order.sort_by_key(|(head, ..)| *head);
    for (head, number, start) in order {
        let end = start + head.length as usize;
        let Some(batch) = batches.get_mut(number) else { continue };
        if let Some(bytes) = batch.bytes.get_mut(start..end) {
            play(batch.unit, head, bytes);
        }
    }
}
