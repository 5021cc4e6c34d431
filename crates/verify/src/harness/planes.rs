//! One data plane, or the shards of one network with [`Sharding`] in front. From outside they must
//! look the same.

use std::sync::Arc;

use vnetem::{
    Counters, DataPlane, Edge, Event, Generation, Settings, Shard, Sharding, Snapshot, Time,
    TrafficCount, Transmit, Verdict, nat::TranslationEvent, trace::Trace,
};

/// All data planes of a network.
pub(crate) struct Planes {
    /// At least one.
    all: Vec<DataPlane>,
    sharding: Option<Sharding>,
}

impl Planes {
    pub(crate) fn one(snapshot: Arc<Snapshot>, settings: Settings) -> Self {
        Self { all: vec![DataPlane::new(snapshot, settings)], sharding: None }
    }

    /// Makes a data plane for each shard.
    pub(crate) fn shards(snapshot: &Arc<Snapshot>, settings: Settings) -> Self {
        let of = |shard| {
            let settings = Settings { shard: Some(shard), ..settings };
            DataPlane::new(Arc::clone(snapshot), settings)
        };
        let sharding = Some(Sharding::new(snapshot, 1024));
        Self { all: Shard::all().map(of).collect(), sharding }
    }

    /// Returns the only one.
    pub(crate) fn only(&self) -> &DataPlane {
        &self.all[0]
    }

    /// Returns the only one.
    pub(crate) fn only_mut(&mut self) -> &mut DataPlane {
        &mut self.all[0]
    }

    /// Returns which of them a packet goes to, and the shard if there are several.
    pub(crate) fn place(&mut self, edge: Edge, packet: &[u8]) -> (usize, Option<usize>) {
        let shard = self.sharding.as_mut().map(|sharding| sharding.shard(edge, packet).index());
        (shard.unwrap_or_default(), shard)
    }

    pub(crate) fn trace(&self, at: usize, now: Time, edge: Edge, packet: &[u8]) -> Trace {
        self.all[at].trace(now, edge, packet)
    }

    pub(crate) fn process(
        &mut self,
        at: usize,
        now: Time,
        edge: Edge,
        packet: &mut [u8],
    ) -> Verdict {
        self.all[at].process(now, edge, packet)
    }

    pub(crate) fn generation(&self) -> Generation {
        self.only().generation()
    }

    pub(crate) fn apply(&mut self, now: Time, snapshot: &Arc<Snapshot>) {
        if let Some(sharding) = &mut self.sharding {
            sharding.apply(snapshot);
        }
        for plane in &mut self.all {
            plane.apply(now, Arc::clone(snapshot));
        }
    }

    pub(crate) fn is_due(&self, now: Time) -> bool {
        self.all.iter().filter_map(DataPlane::poll_timeout).any(|due| due <= now)
    }

    /// Returns the earliest timeout of all.
    pub(crate) fn due(&self) -> Option<Time> {
        self.all.iter().filter_map(DataPlane::poll_timeout).min()
    }

    pub(crate) fn handle_timeout(&mut self, now: Time) {
        for plane in &mut self.all {
            plane.handle_timeout(now);
        }
    }

    pub(crate) fn poll_event(&mut self) -> Option<Event> {
        self.all.iter_mut().find_map(DataPlane::poll_event)
    }

    pub(crate) fn poll_translation_event(&mut self) -> Option<TranslationEvent> {
        self.all.iter_mut().find_map(DataPlane::poll_translation_event)
    }

    pub(crate) fn poll_transmit(&mut self, now: Time) -> Option<Transmit> {
        self.all.iter_mut().find_map(|plane| plane.poll_transmit(now))
    }

    /// Sums a packet and byte count over all.
    pub(crate) fn tally(&self, of: impl Fn(&Counters) -> TrafficCount) -> [u64; 2] {
        let all = self.all.iter().map(|plane| of(plane.counters()));
        all.fold([0, 0], |[packets, bytes], tally| [packets + tally.packets, bytes + tally.bytes])
    }

    /// Sums a counter over all.
    pub(crate) fn count(&self, of: impl Fn(&Counters) -> u64) -> u64 {
        self.all.iter().map(|plane| of(plane.counters())).sum()
    }

    /// Sums the packets and bytes that wait to be taken.
    pub(crate) fn queued(&self) -> [u64; 2] {
        let all = self.all.iter().map(DataPlane::queued);
        all.fold([0, 0], |[packets, bytes], (more, of)| [packets + more as u64, bytes + of as u64])
    }

    /// Sums live flows, closed flows that still answer, flows opened and flows ended.
    pub(crate) fn flows(&self) -> [u64; 4] {
        let all = self.all.iter().map(DataPlane::flow_counters);
        all.fold([0; 4], |[live, closed, opened, ended], of| {
            [
                live + u64::from(of.live),
                closed + u64::from(of.tombstones),
                opened + of.opened,
                ended + of.total_ended(),
            ]
        })
    }
}
