//! What an appliance writes down of a flow.

use core::fmt;
use core::net::SocketAddrV4;

use vnetem_nat::{Cause, Flow, Sides, State, Time};
use vnetem_packet::Protocol;

/// A line of an appliance's flow log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FlowRecord {
    /// When the flow was opened.
    pub opened: Time,
    /// The protocol.
    pub protocol: Protocol,
    /// The address and port of the initiator.
    pub client: SocketAddrV4,
    /// The client's address and port after the appliance: its own if that does not translate.
    pub external: SocketAddrV4,
    /// The address and port that the client called.
    pub remote: SocketAddrV4,
    /// Packets from the client (inside) and to it (outside).
    pub packets: Sides<u64>,
    /// Bytes of these packets, headers included.
    pub bytes: Sides<u64>,
    /// How it ended; none while it lives.
    pub ended: Option<Cause>,
}

impl FlowRecord {
    /// A flow whose TCP connection is over counts as ended, though its entry stays for a while.
    pub(super) fn of(flow: &Flow<()>, cause: Option<Cause>) -> Self {
        let over = match flow.state {
            State::Close => Some(Cause::Reset),
            State::TimeWait => Some(Cause::Fin),
            State::Tombstone(cause) => Some(cause),
            _ => None,
        };
        Self {
            opened: flow.opened,
            protocol: flow.protocol,
            client: flow.internal,
            external: flow.external,
            remote: flow.remote,
            packets: flow.packets,
            bytes: flow.bytes,
            ended: over.or(cause),
        }
    }
}

/// `10.0.0.4:50001 > 52.239.1.9:443 tcp as 10.0.9.4:1024, 5 packets out, 4 back, reset`.
impl fmt::Display for FlowRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} > {} {}", self.client, self.remote, self.protocol)?;
        if self.external != self.client {
            write!(f, " as {}", self.external)?;
        }
        let Sides { internal, external } = self.packets;
        let ended = self.ended.map_or("open", Cause::name);
        write!(f, ", {internal} packets out, {external} back, {ended}")
    }
}
