//! Remembers SYNs on live connections, since both ends may start anew under the same tuple.
//!
//! An initiator that has forgotten its connection sends a SYN, which has no effect on a live one.
//! If the far end has forgotten it too, it answers with SYN and ACK, and both use new numbers.
//! Without following them, the flow would time out under traffic, and its resets would not be exact
//! (INV-reset-number-exact).

use vnetem_packet::{TcpFlags, TcpSegment};

use crate::FlowId;
use crate::flow::tcp::CONTROL;

/// The latest SYN on each live connection, by the slot of its flow: its sequence number, its other
/// relevant fields, and its flow's stamp.
///
/// Each flow has its own entry, so that none displaces another's. Zeros mean none, and cost no
/// memory before they are written.
pub(crate) struct PendingReopens(Vec<[u32; 3]>);

/// A SYN that restarts a connection if it is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Restart {
    pub(crate) syn: TcpSegment,
    pub(crate) scale: Option<u8>,
}

/// Marks an entry as present, and a SYN that offers a window scale.
const IS_THERE: u32 = 1 << 31;
const HAS_SCALE: u32 = 1 << 30;

impl PendingReopens {
    /// Makes entries for so many flows.
    pub(crate) fn new(flows: u32) -> Self {
        Self(vec![[0; 3]; flows as usize])
    }

    /// Remembers the SYN of a flow's initiator, in place of an earlier one.
    pub(crate) fn note(&mut self, id: FlowId, Restart { syn, scale }: &Restart) {
        if let Some(place) = self.0.get_mut(id.slot as usize) {
            let scale = scale.map_or(0, |scale| HAS_SCALE | u32::from(scale) << 16);
            let rest = IS_THERE | scale | u32::from(syn.payload_length);
            *place = [syn.sequence, rest, id.stamp];
        }
    }

    /// Forgets the SYN of a flow, which is the connection's own from now on.
    pub(crate) fn forget(&mut self, id: FlowId) {
        if let Some(place) = self.0.get_mut(id.slot as usize) {
            *place = [0; 3];
        }
    }

    /// Returns the SYN that a segment from the far end answers as a new one.
    pub(crate) fn answered(&self, id: FlowId, segment: &TcpSegment) -> Option<Restart> {
        let is_answer = segment.flags.0 & CONTROL == TcpFlags::SYN.0 | TcpFlags::ACK.0;
        let &[sequence, rest, stamp] = self.0.get(id.slot as usize)?;
        if !is_answer || rest & IS_THERE == 0 || stamp != id.stamp {
            return None;
        }
        let [low, high, scale, _] = rest.to_le_bytes();
        // The connection's start needs no other field of the SYN.
        let syn = TcpSegment {
            sequence,
            acknowledgement: 0,
            window: 0,
            payload_length: u16::from_le_bytes([low, high]),
            header_length: 20,
            flags: TcpFlags::SYN,
        };
        let scale = (rest & HAS_SCALE != 0).then_some(scale);
        (syn.end() == segment.acknowledgement).then_some(Restart { syn, scale })
    }
}
