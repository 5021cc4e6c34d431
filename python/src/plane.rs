//! The data plane.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::sync::MutexExt;
use pyo3::types::{PyBytes, PyDict, PyString};

use crate::api::{
    self as vnetem, AccessVerdict, Applied, CloseMode, DenyReason, DropReason, EdgeId, Refusal,
    Settings, Time, TrafficCount,
};
use crate::batch::{Packets, Verdicts};
use crate::convert::{self, seconds, socket};
use crate::edge::Edge;
use crate::error::{ApplyError, argument, refused};
use crate::event::{Event, Transmit, state};
use crate::names;
use crate::network::Network;
use crate::trace::Trace;
use crate::verdict::{InForce, Verdict};

type Any<'a, 'py> = &'a Bound<'py, PyAny>;

/// The data plane of an emulated cloud network: packets in, verdicts out.
///
/// It has no sockets, threads or clock. Every ``now`` is in seconds since an origin of your choice,
/// as a number or a ``timedelta``. Without ``now`` the clock stands still, and it never goes back.
/// Threads may share a data plane, and take turns.
///
/// ``seed=`` makes runs that repeat byte for byte. Without a seed, keys are drawn from
/// ``os.urandom``, so that nobody can predict public ports.
#[pyclass(frozen, module = "vnetem")]
pub(crate) struct DataPlane(Mutex<Inner>);

struct Inner {
    plane: vnetem::DataPlane,
    in_force: Arc<InForce>,
    /// Edges by the names that were passed.
    edges: HashMap<String, EdgeId>,
    /// The latest time so far.
    now: Time,
}

/// An edge as an argument.
enum Entry<'a> {
    Known(EdgeId),
    Named(std::borrow::Cow<'a, str>),
}

impl<'a> Entry<'a> {
    fn read(value: Any<'a, '_>) -> PyResult<Self> {
        if let Ok(edge) = value.cast_exact::<Edge>() {
            return Ok(Self::Known(edge.get().id));
        }
        if let Ok(name) = value.cast_exact::<PyString>() {
            return Ok(Self::Named(name.to_cow()?));
        }
        let kind = value.get_type().name()?.to_string();
        let wrong = || PyTypeError::new_err(format!("expected an Edge or its name, not {kind}"));
        value.extract().map(|name: String| Self::Named(name.into())).map_err(|_| wrong())
    }
}

impl Inner {
    fn advance(&mut self, now: Time) -> Time {
        self.now = self.now.max(now);
        self.now
    }

    fn edge(&mut self, entry: &Entry<'_>) -> PyResult<EdgeId> {
        let name = match entry {
            Entry::Known(id) => return Ok(*id),
            Entry::Named(name) => name.as_ref(),
        };
        if let Some(id) = self.edges.get(name) {
            return Ok(*id);
        }
        let id = EdgeId::new(names::edge(&self.in_force.network, name)?);
        self.edges.insert(name.to_owned(), id);
        Ok(id)
    }
}

impl DataPlane {
    fn lock(&self, py: Python<'_>) -> MutexGuard<'_, Inner> {
        self.0.lock_py_attached(py).unwrap_or_else(PoisonError::into_inner)
    }
}

#[pymethods]
impl DataPlane {
    /// Makes an empty data plane with the present configuration of a network.
    #[new]
    #[pyo3(signature = (
        network, *, seed = None, flows = None, closing = "both", public_mtu = 65535,
        private_mtu = 65535, verify_checksums = false, queue = 256, events = 1024,
    ))]
    #[allow(clippy::too_many_arguments, reason = "Python has names for them")]
    fn new(
        py: Python<'_>,
        network: &mut Network,
        seed: Option<u64>,
        flows: Option<u32>,
        closing: &str,
        public_mtu: u16,
        private_mtu: u16,
        verify_checksums: bool,
        queue: usize,
        events: usize,
    ) -> PyResult<Self> {
        let mut settings = match seed {
            Some(seed) => Settings::replayable(seed),
            None => Settings::secret(py.import("os")?.call_method1("urandom", (16,))?.extract()?),
        };
        if let Some(flows) = flows {
            settings.flows.capacity = flows;
        }
        let modes = [
            ("both", CloseMode::Both),
            ("initiator", CloseMode::Initiator),
            ("silent", CloseMode::Silent),
        ];
        settings.closing = convert::choose("mode of closing", closing, &modes)?;
        settings.mtu.public = public_mtu;
        settings.mtu.private = private_mtu;
        settings.verify_checksums = verify_checksums;
        settings.queue = queue;
        settings.events = events;
        settings.check().map_err(refused)?;
        let in_force = network.in_force();
        let plane = vnetem::DataPlane::new(Arc::clone(&in_force.snapshot), settings);
        Ok(Self(Mutex::new(Inner { plane, in_force, edges: HashMap::new(), now: Time(0) })))
    }

    /// Takes a packet that enters by an edge, and says what becomes of it.
    ///
    /// ``packet`` is raw IPv4: ``bytes``, a buffer, or an object that ``bytes()`` takes, such as a
    /// packet of scapy from its IP layer on. It stays as it is; ``verdict.packet`` is rewritten.
    ///
    /// Raises ``EditError`` if there is no such edge, ``ArgumentError`` if ``now`` is no time.
    #[pyo3(signature = (edge, packet, now = None))]
    fn process(
        &self,
        py: Python<'_>,
        edge: Any<'_, '_>,
        packet: Any<'_, '_>,
        now: Option<Any<'_, '_>>,
    ) -> PyResult<Verdict> {
        let (entry, now) = (Entry::read(edge)?, convert::time(now)?);
        let packet = convert::packet(packet)?;
        let bytes = packet.as_bytes();
        let mut inner = self.lock(py);
        let (edge, now) = (inner.edge(&entry)?, inner.advance(now));
        let mut verdict = None;
        let rewritten = PyBytes::new_with(py, bytes.len(), |rewritten| {
            rewritten.copy_from_slice(bytes);
            verdict = Some(inner.plane.process(now, edge, rewritten));
            Ok(())
        })?;
        let verdict = verdict.ok_or_else(|| argument("the packet was not processed"))?;
        let packet = verdict.forwarded_to().map(|_| rewritten.unbind());
        Ok(Verdict { verdict, in_force: Arc::clone(&inner.in_force), packet })
    }

    /// Does ``process`` for many packets in their order, and lets other threads run meanwhile.
    ///
    /// ``packets`` is an iterable of packets, or one buffer in which they are back to back.
    /// ``edge`` is one edge for all of them, or a list with one for each.
    ///
    /// Raises ``ArgumentError``, before any packet is processed, if the buffer does not end with a
    /// packet, or if there are not as many edges as packets.
    #[pyo3(signature = (edge, packets, now = None))]
    fn process_batch(
        &self,
        py: Python<'_>,
        edge: Any<'_, '_>,
        packets: Any<'_, '_>,
        now: Option<Any<'_, '_>>,
    ) -> PyResult<Verdicts> {
        let now = convert::time(now)?;
        let mut packets = Packets::read(packets)?;
        let is_one = edge.is_instance_of::<Edge>() || edge.is_instance_of::<PyString>();
        let each: Vec<Bound<'_, PyAny>> = match is_one {
            true => vec![edge.clone()],
            false => edge.try_iter()?.collect::<PyResult<_>>()?,
        };
        if !is_one && each.len() != packets.len() {
            let (edges, packets) = (each.len(), packets.len());
            return Err(argument(format!("{edges} edges for {packets} packets")));
        }
        let entries: Vec<_> = each.iter().map(Entry::read).collect::<PyResult<_>>()?;
        let mut inner = self.lock(py);
        let edges: Vec<_> =
            entries.iter().map(|entry| inner.edge(entry)).collect::<PyResult<_>>()?;
        let (in_force, now) = (Arc::clone(&inner.in_force), inner.advance(now));
        let plane = &mut inner.plane;
        let verdicts = py.detach(|| packets.process(plane, now, &edges));
        Ok(Verdicts { packets, verdicts, in_force })
    }

    /// Takes the present configuration of a network, and returns whether it is a new one.
    ///
    /// It is in force for the next packet. Flows that it closes are closed by ``transmits``, or at
    /// their own next packet.
    ///
    /// Raises ``ApplyError`` if the network is neither the one of this data plane nor a copy of it.
    #[pyo3(signature = (network, now = None))]
    fn apply(
        &self,
        py: Python<'_>,
        network: &mut Network,
        now: Option<Any<'_, '_>>,
    ) -> PyResult<bool> {
        let now = convert::time(now)?;
        let in_force = network.in_force();
        let mut inner = self.lock(py);
        let now = inner.advance(now);
        match inner.plane.apply(now, Arc::clone(&in_force.snapshot)) {
            Applied::Taken => {
                inner.in_force = in_force;
                inner.edges.clear();
                Ok(true)
            }
            Applied::Same => Ok(false),
            Applied::Older => {
                Err(ApplyError::new_err("the network is older than the one in force"))
            }
            Applied::OfAnotherNetwork => Err(ApplyError::new_err(
                "the network is another one than that in force, or a copy with other edits",
            )),
        }
    }

    /// Ends what has expired, closes what a change ends, and returns the packets that the data
    /// plane made: resets and ICMP errors.
    #[pyo3(signature = (now = None))]
    fn transmits(&self, py: Python<'_>, now: Option<Any<'_, '_>>) -> PyResult<Vec<Transmit>> {
        let now = convert::time(now)?;
        let mut inner = self.lock(py);
        let now = inner.advance(now);
        let plane = &mut inner.plane;
        let made = py.detach(|| drain(plane, now));
        made.iter().map(|made| Transmit::new(py, &inner.in_force.network, made)).collect()
    }

    /// Returns what happened to flows since the last call, oldest first.
    fn events(&self, py: Python<'_>) -> Vec<Event> {
        let mut inner = self.lock(py);
        core::iter::from_fn(|| inner.plane.poll_event()).map(Event).collect()
    }

    /// Explains what would become of a packet, by the code that forwards. Nothing changes.
    #[pyo3(signature = (edge, packet, now = None))]
    fn trace(
        &self,
        py: Python<'_>,
        edge: Any<'_, '_>,
        packet: Any<'_, '_>,
        now: Option<Any<'_, '_>>,
    ) -> PyResult<Trace> {
        let (entry, now) = (Entry::read(edge)?, convert::time(now)?);
        let packet = convert::packet(packet)?;
        let mut inner = self.lock(py);
        let edge = inner.edge(&entry)?;
        let trace = inner.plane.trace(now, edge, packet.as_bytes());
        Ok(Trace::new(&trace, Arc::clone(&inner.in_force)))
    }

    /// The time in seconds at which ``transmits`` has something to do even if no packet comes;
    /// ``None`` if it never has.
    #[getter]
    fn next_timeout(&self, py: Python<'_>) -> Option<f64> {
        self.lock(py).plane.poll_timeout().map(seconds)
    }

    /// The number of the configuration in force.
    #[getter]
    fn generation(&self, py: Python<'_>) -> u32 {
        self.lock(py).plane.generation().0
    }

    /// Lists the flows, closed ones that still answer included, a ``dict`` each: ends, state, and
    /// packets and bytes that the initiator sent and received.
    fn flows<'py>(&self, py: Python<'py>) -> PyResult<Vec<Bound<'py, PyDict>>> {
        let inner = self.lock(py);
        let flows = inner.plane.flows().map(|flow| {
            let row = PyDict::new(py);
            row.set_item("protocol", flow.tuple.protocol.to_string())?;
            for (end, [address, port]) in [
                (flow.tuple.source, ["source", "source_port"]),
                (flow.tuple.destination, ["destination", "destination_port"]),
                (flow.external, ["external", "external_port"]),
            ] {
                let (at, number) = socket(end);
                row.set_item(address, at)?;
                row.set_item(port, number)?;
            }
            row.set_item("state", state(flow.state))?;
            for (name, count) in [("sent", flow.sent), ("received", flow.received)] {
                row.set_item(name, count.packets)?;
                row.set_item(format!("{name}_bytes"), count.bytes)?;
            }
            let access = match flow.access {
                AccessVerdict::Unjudged => "unjudged",
                AccessVerdict::Allowed => "allowed",
                AccessVerdict::Refused(refusal) => refusal.name(),
            };
            row.set_item("access", access)?;
            Ok(row)
        });
        flows.collect()
    }

    /// Counts what went in and out: packets and bytes, and packets by reason.
    fn counters<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let counters = self.lock(py).plane.counters().clone();
        let all = PyDict::new(py);
        for (name, TrafficCount { packets, bytes }) in [
            ("received", counters.received),
            ("generated", counters.generated),
            ("forwarded", counters.forwarded),
            ("transmitted", counters.transmitted),
            ("denied", counters.denied),
            ("dropped", counters.dropped),
            ("queue_full", counters.queue_full),
            ("refused", counters.refused),
        ] {
            all.set_item(name, packets)?;
            all.set_item(format!("{name}_bytes"), bytes)?;
        }
        all.set_item("events_lost", counters.events_lost)?;
        let drops = DropReason::all().map(|it| (it.name(), counters.drops(it)));
        let denies = DenyReason::all().map(|it| (it.name(), counters.denies(it)));
        let refusals = Refusal::ALL.into_iter().map(|it| (it.name(), counters.refusals(it)));
        all.set_item("drops", seen(drops))?;
        all.set_item("denies", seen(denies))?;
        all.set_item("refusals", seen(refusals))?;
        Ok(all)
    }

    fn __repr__(&self, py: Python<'_>) -> String {
        let inner = self.lock(py);
        let live = inner.plane.flow_counters().live;
        format!("<DataPlane of generation {} with {live} flows>", inner.plane.generation().0)
    }
}

/// Returns the counters that have counted.
fn seen(
    counters: impl Iterator<Item = (&'static str, u64)>,
) -> std::collections::BTreeMap<&'static str, u64> {
    counters.filter(|(_, count)| *count > 0).collect()
}

/// Takes packets until the data plane has no more work at this time.
fn drain(plane: &mut vnetem::DataPlane, now: Time) -> Vec<vnetem::Transmit> {
    let mut made = Vec::new();
    plane.handle_timeout(now);
    loop {
        made.extend(core::iter::from_fn(|| plane.poll_transmit(now)));
        match plane.poll_timeout() {
            Some(at) if at <= now => plane.handle_timeout(now),
            _ => return made,
        }
    }
}
