//! Connections that begin anew under the same tuple. An opener that has forgotten its connection sends a SYN, which means nothing to the
//! connection; should the far end have forgotten it too, it answers with SYN and ACK, and both go on with new numbers. Who stayed with the
//! old ones would lose them: the timer would run out under traffic, and closing would send resets that neither end believes (R3).

use vnetem_packet::{TcpFlags, TcpSegment};

use crate::FlowId;
use crate::tcp::CONTROL;

/// The latest SYNs on connections under way, the oldest first. One that is forgotten is as if it had never been noticed.
pub(crate) struct Restarts(Vec<Restart>);

/// A SYN by which an opener begins anew, if it is answered.
#[derive(Clone, Copy)]
pub(crate) struct Restart {
    id: FlowId,
    pub(crate) syn: TcpSegment,
    pub(crate) scale: Option<u8>,
}

/// SYNs that are remembered.
const MOST: usize = 256;

impl Restarts {
    pub(crate) fn new() -> Self {
        Self(Vec::with_capacity(MOST))
    }

    /// Remembers the SYN of a flow's opener, in place of an earlier one of the flow or, where there is no room, of the oldest of all.
    pub(crate) fn note(&mut self, id: FlowId, syn: &TcpSegment, scale: Option<u8>) {
        let same = self.0.iter().position(|other| other.id == id);
        if let Some(at) = same.or((self.0.len() == MOST).then_some(0)) {
            self.0.remove(at);
        }
        self.0.push(Restart { id, syn: *syn, scale });
    }

    /// Whether a segment from the far end answers a SYN as a new one.
    pub(crate) fn has_answer(&self, id: FlowId, segment: &TcpSegment) -> bool {
        self.answered(id, segment).is_some()
    }

    /// The SYN that a segment from the far end answers as a new one, which is then the connection's own.
    pub(crate) fn take(&mut self, id: FlowId, segment: &TcpSegment) -> Option<Restart> {
        self.answered(id, segment).map(|at| self.0.remove(at))
    }

    fn answered(&self, id: FlowId, segment: &TcpSegment) -> Option<usize> {
        let is_answer = segment.flags.0 & CONTROL == TcpFlags::SYN.0 | TcpFlags::ACK.0;
        let acknowledged = segment.acknowledgement;
        self.0.iter().position(|Restart { id: of, syn, .. }| {
            is_answer && *of == id && syn.end() == acknowledged
        })
    }
}
