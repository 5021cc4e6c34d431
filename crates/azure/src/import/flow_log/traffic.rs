//! Lines of flow logs, gathered to flows.

use core::net::Ipv4Addr;
use std::collections::HashMap;

use super::{FlowState, FlowTuple, RecordHead};

/// Flows, gathered from the lines of any number of logs.
#[derive(Clone, Debug, Default)]
pub struct Traffic {
    flows: HashMap<FlowKey, Flow>,
    interfaces: Vec<String>,
    places: HashMap<String, u32>,
}

/// What tells flows apart: the interface that logged, and the five-tuple.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FlowKey {
    /// The interface, a place in [`Traffic::interfaces`].
    pub interface: u32,
    /// Who opened the flow.
    pub source: Ipv4Addr,
    /// Its receiver.
    pub destination: Ipv4Addr,
    /// The port of the initiator.
    pub source_port: u16,
    /// The port of the other end.
    pub destination_port: u16,
    /// The IPv4 protocol number.
    pub protocol: u8,
    /// Whether it came from outside the interface.
    pub inbound: bool,
}

/// What a flow did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Flow {
    /// When it was seen first, in milliseconds since 1970.
    pub first: u64,
    /// When it was seen last.
    pub last: u64,
    /// What it did first.
    pub first_state: FlowState,
    /// What it did last.
    pub last_state: FlowState,
    /// How often it began.
    pub begins: u32,
    /// How often it was refused.
    pub denied: u32,
    /// Packets, both ways.
    pub packets: u64,
    /// Bytes, both ways.
    pub bytes: u64,
}

impl Traffic {
    /// Makes traffic without flows.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes a line.
    pub fn add(&mut self, record: &RecordHead, tuple: &FlowTuple) {
        let name = if record.mac.is_empty() { &record.target } else { &record.mac };
        let interface = match self.places.get(name) {
            Some(&place) => place,
            None => {
                let place = u32::try_from(self.interfaces.len()).unwrap_or(u32::MAX);
                self.interfaces.push(name.clone());
                self.places.insert(name.clone(), place);
                place
            }
        };
        let key = FlowKey {
            interface,
            source: tuple.source,
            destination: tuple.destination,
            source_port: tuple.source_port,
            destination_port: tuple.destination_port,
            protocol: tuple.protocol,
            inbound: tuple.inbound,
        };
        let flow = self.flows.entry(key).or_insert(Flow {
            first: tuple.millis,
            last: tuple.millis,
            first_state: tuple.state,
            last_state: tuple.state,
            begins: 0,
            denied: 0,
            packets: 0,
            bytes: 0,
        });
        if tuple.millis < flow.first {
            (flow.first, flow.first_state) = (tuple.millis, tuple.state);
        }
        if tuple.millis >= flow.last {
            (flow.last, flow.last_state) = (tuple.millis, tuple.state);
        }
        flow.begins += u32::from(tuple.state == FlowState::Begin);
        flow.denied += u32::from(tuple.state == FlowState::Denied);
        flow.packets =
            flow.packets.saturating_add(tuple.packets_sent).saturating_add(tuple.packets_received);
        flow.bytes =
            flow.bytes.saturating_add(tuple.bytes_sent).saturating_add(tuple.bytes_received);
    }

    /// Returns the flows, in no order.
    pub fn flows(&self) -> impl Iterator<Item = (&FlowKey, &Flow)> {
        self.flows.iter()
    }

    /// Returns how many flows there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.flows.len()
    }

    /// Returns whether there is no flow.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.flows.is_empty()
    }

    /// Returns the interfaces that logged: MAC addresses, or what the log names instead.
    #[must_use]
    pub fn interfaces(&self) -> &[String] {
        &self.interfaces
    }
}

impl Flow {
    /// Returns whether it was open when the log ended: it began or went on, and did not end.
    #[must_use]
    pub fn is_open(&self) -> bool {
        matches!(self.last_state, FlowState::Begin | FlowState::Continue)
    }

    /// Returns whether it was open when the log began: its first line is not its
    /// beginning.
    #[must_use]
    pub fn was_open_before(&self) -> bool {
        matches!(self.first_state, FlowState::Continue | FlowState::End)
    }
}
