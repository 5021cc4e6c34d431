//! The traffic that a change is tried on: flow logs and captures, gathered to distinct flows.

mod table;

use core::net::{Ipv4Addr, SocketAddrV4};
use std::collections::{BTreeMap, HashMap};
use std::io::Read;

use vnetem::Protocol;
use vnetem::packet::{FiveTuple, Headers, TcpFlags, Transport};
use vnetem_azure::import::flow_log::{self, FlowLogError, FlowState, FlowTuple, RecordHead};
use vnetem_io::{CaptureError, CaptureReader, CapturedPacket};

use table::FlowTable;

/// Distinct flows of any number of flow logs and captures.
///
/// ```
/// use vnetem_whatif::Traffic;
///
/// let log = br#"{"records":[{"time":"2026-01-01T00:00:00Z","macAddress":"0022","flowRecords":{
///     "flows":[{"aclID":"a","flowGroups":[{"rule":"r","flowTuples":[
///     "1733975972606,10.1.0.4,20.60.0.4,57892,443,6,O,B,NX,0,0,0,0",
///     "1733975972606,45.1.2.3,10.1.0.4,57892,23,6,I,D,NX,0,0,0,0"]}]}]}}]}"#;
/// let mut traffic = Traffic::new();
/// traffic.read_flow_log("PT1H.json", &log[..])?;
/// assert_eq!((traffic.tuples(), traffic.denied(), traffic.len()), (2, 1, 1));
/// # Ok::<(), vnetem_azure::import::flow_log::FlowLogError>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct Traffic {
    sources: Vec<String>,
    tuples: u64,
    denied: u64,
    skipped: BTreeMap<&'static str, u64>,
    targets: Vec<String>,
    target_numbers: HashMap<String, u32>,
    last_target: Option<(String, u32)>,
    waiting: Vec<Line>,
    flows: FlowTable,
}

/// What tells flows apart: what the log is of, and the five-tuple.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct FlowKey {
    /// A place in [`Traffic::targets`]; captures name nothing.
    pub(crate) target: Option<u32>,
    pub(crate) source: Ipv4Addr,
    pub(crate) destination: Ipv4Addr,
    pub(crate) source_port: u16,
    pub(crate) destination_port: u16,
    pub(crate) protocol: u8,
}

/// What a flow did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct FlowUse {
    pub(crate) packets: u64,
    pub(crate) bytes: u64,
    pub(crate) last: u64,
    /// Whether it was open when the traffic ended.
    pub(crate) open: bool,
}

/// A line that waits to be added to its flow.
#[derive(Clone, Copy, Debug)]
struct Line {
    key: FlowKey,
    millis: u64,
    open: bool,
    packets: u64,
    bytes: u64,
}

/// Lines that wait at most.
const MOST_WAITING: usize = 1 << 9;

impl Traffic {
    /// Makes traffic without flows.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Reads a flow log of a virtual network or of security groups. Refused flows are counted only.
    ///
    /// # Errors
    ///
    /// The log cannot be read or is none. Lines before the error are kept.
    pub fn read_flow_log(&mut self, name: &str, log: impl Read) -> Result<(), FlowLogError> {
        self.sources.push(name.to_owned());
        let summary = flow_log::read(log, |head, tuple| self.add(head, tuple));
        self.flows.add(&mut self.waiting);
        let summary = summary?;
        self.tuples += summary.tuples;
        self.denied += summary.denied;
        self.skip("ipv6", summary.ipv6);
        self.skip("unreadable", summary.wrong);
        Ok(())
    }

    /// Takes one line of a flow log.
    fn add(&mut self, head: &RecordHead, tuple: &FlowTuple) {
        if tuple.state == FlowState::Denied {
            return;
        }
        let target = Some(self.target(&head.target));
        let key = FlowKey {
            target,
            source: tuple.source,
            destination: tuple.destination,
            source_port: tuple.source_port,
            destination_port: tuple.destination_port,
            protocol: tuple.protocol,
        };
        self.waiting.push(Line {
            key,
            millis: tuple.millis,
            open: matches!(tuple.state, FlowState::Begin | FlowState::Continue),
            packets: tuple.packets_sent.saturating_add(tuple.packets_received),
            bytes: tuple.bytes_sent.saturating_add(tuple.bytes_received),
        });
        if self.waiting.len() == MOST_WAITING {
            self.flows.add(&mut self.waiting);
        }
    }

    /// The number of what a log is of.
    fn target(&mut self, name: &str) -> u32 {
        // Lines of one place stand together.
        if let Some((held, number)) = &self.last_target
            && held == name
        {
            return *number;
        }
        let number = self.find_target(name);
        self.last_target = Some((name.to_owned(), number));
        number
    }

    fn find_target(&mut self, name: &str) -> u32 {
        if let Some(number) = self.target_numbers.get(name) {
            return *number;
        }
        let number = u32::try_from(self.targets.len()).unwrap_or(u32::MAX);
        self.targets.push(name.to_owned());
        self.target_numbers.insert(name.to_owned(), number);
        number
    }

    /// Reads a capture of a host or of a mirror port, pcap or pcapng.
    ///
    /// A flow is opened by who sends its SYN. Where none is seen, `is_inside` says which end is the
    /// model's, and that one opened it.
    ///
    /// # Errors
    ///
    /// The capture cannot be read or is none. Packets before the error are kept.
    pub fn read_capture(
        &mut self,
        name: &str,
        capture: impl Read,
        is_inside: impl Fn(Ipv4Addr) -> bool,
    ) -> Result<(), CaptureError> {
        self.sources.push(name.to_owned());
        let mut reader = CaptureReader::new(capture)?;
        let (mut packet, mut result) = (CapturedPacket::default(), Ok(()));
        while let Some(read) = reader.read(&mut packet) {
            if let Err(error) = read {
                result = Err(error);
                break;
            }
            self.add_packet(&packet.bytes, packet.time, &is_inside);
        }
        self.skip("no-ipv4", reader.skipped().total());
        result
    }

    fn add_packet(&mut self, bytes: &[u8], time: u64, is_inside: &impl Fn(Ipv4Addr) -> bool) {
        let Ok(headers) = Headers::parse(bytes) else { return self.skip("unreadable", 1) };
        let flags = match headers.transport {
            Transport::Tcp(segment) => segment.flags,
            Transport::Udp => TcpFlags(0),
            _ => return self.skip("neither-tcp-nor-udp", 1),
        };
        self.tuples += 1;
        let (here, back) = (headers.tuple(), headers.tuple().reversed());
        let [forward, reverse] = [&here, &back].map(key_of);
        let opens = flags.contains(TcpFlags::SYN) && !flags.contains(TcpFlags::ACK);
        let answers = flags.contains(TcpFlags::SYN) && flags.contains(TcpFlags::ACK);
        let key = match () {
            () if opens || self.flows.contains(&forward) => forward,
            () if answers || self.flows.contains(&reverse) => reverse,
            () if is_inside(headers.source) || !is_inside(headers.destination) => forward,
            () => reverse,
        };
        let ends = flags.contains(TcpFlags::FIN) || flags.contains(TcpFlags::RST);
        self.flows.update(key, |flow| {
            flow.open = match flow.last {
                _ if ends => false,
                0 => true,
                _ => flow.open || opens,
            };
            flow.last = time.max(1);
            flow.packets += 1;
            flow.bytes += u64::from(headers.total_length);
        });
    }

    /// Takes one flow that is open, seen in no file.
    pub fn add_flow(&mut self, tuple: &FiveTuple) {
        self.flows.update(key_of(tuple), |flow| flow.open = true);
    }

    pub(crate) fn skip(&mut self, what: &'static str, count: u64) {
        if count > 0 {
            *self.skipped.entry(what).or_default() += count;
        }
    }

    /// Returns the files that were read.
    #[must_use]
    pub fn sources(&self) -> &[String] {
        &self.sources
    }

    /// Lines of flow logs and packets of captures that were read.
    #[must_use]
    pub fn tuples(&self) -> u64 {
        self.tuples
    }

    /// Lines of refused flows among them.
    #[must_use]
    pub fn denied(&self) -> u64 {
        self.denied
    }

    /// Returns what was passed over, by reason.
    #[must_use]
    pub fn skipped(&self) -> &BTreeMap<&'static str, u64> {
        &self.skipped
    }

    /// Returns how many distinct flows there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.flows.len()
    }

    /// Returns whether there is no flow.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.flows.is_empty()
    }

    /// What the logs are of: ids of networks, subnets, interfaces or security groups.
    pub(crate) fn targets(&self) -> &[String] {
        &self.targets
    }

    /// Returns the flows in no particular order.
    pub(crate) fn unsorted(&self) -> impl Iterator<Item = &(FlowKey, FlowUse)> {
        self.flows.rows().iter()
    }
}

fn key_of(tuple: &FiveTuple) -> FlowKey {
    FlowKey {
        target: None,
        source: *tuple.source.ip(),
        destination: *tuple.destination.ip(),
        source_port: tuple.source.port(),
        destination_port: tuple.destination.port(),
        protocol: tuple.protocol.0,
    }
}

impl FlowUse {
    fn add(&mut self, line: &Line) {
        if line.millis >= self.last {
            self.last = line.millis;
            self.open = line.open;
        }
        self.packets = self.packets.saturating_add(line.packets);
        self.bytes = self.bytes.saturating_add(line.bytes);
    }
}

impl FlowKey {
    pub(crate) fn tuple(&self) -> FiveTuple {
        FiveTuple {
            protocol: Protocol(self.protocol),
            source: SocketAddrV4::new(self.source, self.source_port),
            destination: SocketAddrV4::new(self.destination, self.destination_port),
        }
    }
}
