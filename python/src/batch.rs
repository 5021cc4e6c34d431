//! Many packets in one call.

use std::collections::BTreeMap;
use std::sync::Arc;

use pyo3::exceptions::PyIndexError;
use pyo3::prelude::*;
use pyo3::types::{PyByteArray, PyBytes, PyList, PyMemoryView};

use crate::api::{self as vnetem, BatchPacket, DataPlane, Disposition, EdgeId, Time};
use crate::convert;
use crate::error::argument;
use crate::verdict::{InForce, Verdict, reason};

/// Packets back to back, and where each ends.
pub(crate) struct Packets {
    data: Vec<u8>,
    ends: Vec<usize>,
}

/// Room that is made beforehand at most, since packets may differ in length.
const MOST_RESERVED: usize = 1 << 22;

/// The length of an IPv4 header without options, so of the shortest packet.
const SHORTEST: usize = 20;

/// Packets that go through the data plane together. More would leave the fastest cache meanwhile.
const TOGETHER: usize = 128;

impl Packets {
    /// Copies packets from an iterable, or from one buffer in which they are back to back.
    pub(crate) fn read(value: &Bound<'_, PyAny>) -> PyResult<Self> {
        let is_buffer = value.is_instance_of::<PyBytes>()
            || value.is_instance_of::<PyByteArray>()
            || value.is_instance_of::<PyMemoryView>();
        if is_buffer {
            return Self::of_buffer(convert::packet(value)?.as_bytes());
        }
        let mut packets = Self { data: Vec::new(), ends: Vec::new() };
        if let Ok(list) = value.cast_exact::<PyList>() {
            packets.ends.reserve(list.len());
            let first = list.get_item(0).and_then(|first| first.len()).unwrap_or_default();
            packets.data.reserve(list.len().saturating_mul(first).min(MOST_RESERVED));
            list.iter().try_for_each(|item| packets.push(&item))?;
        } else {
            value.try_iter()?.try_for_each(|item| packets.push(&item?))?;
        }
        Ok(packets)
    }

    fn push(&mut self, item: &Bound<'_, PyAny>) -> PyResult<()> {
        match item.cast_exact::<PyBytes>() {
            Ok(bytes) => self.data.extend_from_slice(bytes.as_bytes()),
            Err(_) => self.data.extend_from_slice(convert::packet(item)?.as_bytes()),
        }
        self.ends.push(self.data.len());
        Ok(())
    }

    /// Cuts a buffer where the total length of each packet says that it ends.
    fn of_buffer(data: &[u8]) -> PyResult<Self> {
        let length_at = |at: usize| match data.get(at..) {
            Some([_, _, high, low, ..]) => usize::from(u16::from_be_bytes([*high, *low])),
            _ => 0,
        };
        let about = data.len() / length_at(0).max(SHORTEST);
        let (mut ends, mut start) = (Vec::with_capacity(about), 0);
        while start < data.len() {
            let (length, left) = (length_at(start), data.len().saturating_sub(start));
            if length < SHORTEST || length > left {
                return Err(argument(format!(
                    "packet {} at byte {start} says that it has {length} bytes, and the buffer \
                     has {left} more",
                    ends.len()
                )));
            }
            start += length;
            ends.push(start);
            // Packets of one length need not wait for the length of the packet before.
            while length_at(start) == length && length <= data.len().saturating_sub(start) {
                start += length;
                ends.push(start);
            }
        }
        Ok(Self { data: data.to_vec(), ends })
    }

    pub(crate) fn len(&self) -> usize {
        self.ends.len()
    }

    /// Processes all packets. `edges` has one edge for all of them, or one for each.
    pub(crate) fn process(
        &mut self,
        plane: &mut DataPlane,
        now: Time,
        edges: &[EdgeId],
    ) -> Vec<Option<vnetem::Verdict>> {
        let mut verdicts = Vec::with_capacity(self.ends.len());
        let mut slots = Vec::with_capacity(TOGETHER);
        let (mut rest, mut start) = (self.data.as_mut_slice(), 0);
        let mut each = edges.iter();
        let mut edge = EdgeId::INTERNET;
        for ends in self.ends.chunks(TOGETHER) {
            for end in ends {
                let (packet, more) = rest.split_at_mut(end.saturating_sub(start));
                (rest, start) = (more, *end);
                edge = each.next().copied().unwrap_or(edge);
                slots.push(BatchPacket::new(edge, packet));
            }
            plane.process_batch(now, &mut slots);
            verdicts.extend(slots.iter().map(|slot| slot.verdict));
            slots.clear();
        }
        verdicts
    }
}

/// The verdicts on a batch, in the order of its packets.
///
/// A sequence of ``Verdict``, each of which is made when it is asked for.
#[pyclass(frozen, module = "vnetem")]
pub(crate) struct Verdicts {
    pub(crate) packets: Packets,
    /// All are there. Taking them out of the batch as they are there is quicker.
    pub(crate) verdicts: Vec<Option<vnetem::Verdict>>,
    pub(crate) in_force: Arc<InForce>,
}

impl Verdicts {
    fn bytes(&self, at: usize) -> &[u8] {
        let ends = &self.packets.ends;
        let start = at.checked_sub(1).and_then(|before| ends.get(before)).copied().unwrap_or(0);
        let end = ends.get(at).copied().unwrap_or(start);
        self.packets.data.get(start..end).unwrap_or_default()
    }

    fn packet(&self, py: Python<'_>, at: usize, verdict: &vnetem::Verdict) -> Option<Py<PyBytes>> {
        verdict.forwarded_to().map(|_| PyBytes::new(py, self.bytes(at)).unbind())
    }
}

#[pymethods]
impl Verdicts {
    fn __len__(&self) -> usize {
        self.verdicts.len()
    }

    fn __getitem__(&self, py: Python<'_>, index: isize) -> PyResult<Verdict> {
        let at = match index {
            0.. => Some(index.unsigned_abs()),
            _ => self.verdicts.len().checked_sub(index.unsigned_abs()),
        };
        let found = at.and_then(|at| Some((at, (*self.verdicts.get(at)?)?)));
        let (at, verdict) = found.ok_or_else(|| {
            PyIndexError::new_err(format!("no verdict {index} of {}", self.verdicts.len()))
        })?;
        let packet = self.packet(py, at, &verdict);
        Ok(Verdict { verdict, in_force: Arc::clone(&self.in_force), packet })
    }

    /// The packets as they leave; ``None`` in the place of one that does not.
    #[getter]
    fn packets(&self, py: Python<'_>) -> Vec<Option<Py<PyBytes>>> {
        let verdicts = self.verdicts.iter().flatten().enumerate();
        verdicts.map(|(at, verdict)| self.packet(py, at, verdict)).collect()
    }

    /// All packets back to back. Forwarded ones are rewritten, and the others as they came.
    #[getter]
    fn data<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        PyBytes::new(py, &self.packets.data)
    }

    /// Counts packets by what became of them: ``forward``, or the reason why not.
    fn counts(&self) -> BTreeMap<&'static str, usize> {
        let mut counts = BTreeMap::new();
        for verdict in self.verdicts.iter().flatten() {
            *counts.entry(reason(verdict).unwrap_or("forward")).or_default() += 1;
        }
        counts
    }

    fn __repr__(&self) -> String {
        let is_forward =
            |verdict: &&vnetem::Verdict| matches!(verdict.disposition, Disposition::Forward(_));
        let forwarded = self.verdicts.iter().flatten().filter(is_forward).count();
        format!("<Verdicts: {forwarded} of {} packets forwarded>", self.verdicts.len())
    }
}
