//! How the opening packets of connections travel, through appliances too.

use core::net::SocketAddrV4;
use std::collections::BTreeMap;

use vnetem::{Edge, Verdict, trace::Trace};
use vnetem_packet::FiveTuple;

use super::StationId;

/// How the opening packet of a connection travelled.
#[derive(Clone, Debug)]
pub struct Journey {
    /// Where it left the data plane, once for each time that it entered: behind an appliance it
    /// enters again.
    pub hops: Vec<Edge>,
    /// The source as the last hop sees it.
    pub source: SocketAddrV4,
    /// Why it went where it went the last time, explained by the deciding code.
    pub trace: Trace,
    /// The final word of the last time.
    pub verdict: Verdict,
}

/// All journeys, found by the station that sends and the tuple that it sends.
#[derive(Debug, Default)]
pub(super) struct Journeys {
    journeys: Vec<Journey>,
    /// Where a journey began.
    origins: BTreeMap<(StationId, FiveTuple), usize>,
    /// Where a journey goes on behind an appliance.
    legs: BTreeMap<(StationId, FiveTuple), usize>,
    /// What has arrived at a station.
    arrivals: BTreeMap<(StationId, FiveTuple), usize>,
}

impl Journeys {
    /// The journey of a host's connection.
    pub(super) fn of(
        &self,
        station: StationId,
        local: SocketAddrV4,
        remote: SocketAddrV4,
    ) -> Option<&Journey> {
        let protocol = vnetem_packet::Protocol::TCP;
        let tuple = FiveTuple { protocol, source: local, destination: remote };
        self.journeys.get(*self.origins.get(&(station, tuple))?)
    }

    /// An opening packet has been decided.
    pub(super) fn leg(
        &mut self,
        from: Option<StationId>,
        tuple: FiveTuple,
        trace: &Trace,
        verdict: &Verdict,
    ) {
        let Some(from) = from else { return };
        let key = (from, tuple);
        let known = self.legs.get(&key).copied();
        // The same tuple from its origin is the same packet sent again, or a later connection: the
        // journey starts over.
        let hops = known.and_then(|at| self.journeys.get(at)).map(|journey| journey.hops.clone());
        let journey = Journey {
            hops: hops.unwrap_or_default(),
            source: tuple.source,
            trace: trace.clone(),
            verdict: *verdict,
        };
        let at = match known.or_else(|| self.origins.get(&key).copied()) {
            Some(at) => at,
            None => {
                self.origins.insert(key, self.journeys.len());
                self.journeys.len()
            }
        };
        match self.journeys.get_mut(at) {
            Some(old) => *old = journey,
            None => self.journeys.push(journey),
        }
        if let (Some(to), Some(journey)) = (trace.leaves_by(), self.journeys.get_mut(at)) {
            journey.hops.push(to);
        }
    }

    /// An opening packet is on its way to a station, as `arrived`.
    pub(super) fn arrived(
        &mut self,
        from: Option<StationId>,
        tuple: FiveTuple,
        to: StationId,
        arrived: FiveTuple,
    ) {
        let Some(from) = from else { return };
        let key = (from, tuple);
        let Some(&at) = self.legs.get(&key).or_else(|| self.origins.get(&key)) else { return };
        if let Some(journey) = self.journeys.get_mut(at) {
            journey.source = arrived.source;
        }
        self.arrivals.insert((to, arrived), at);
    }

    /// An appliance has taken one opening packet and sent another for it.
    pub(super) fn relayed(&mut self, appliance: StationId, came: FiveTuple, went: FiveTuple) {
        if let Some(&at) = self.arrivals.get(&(appliance, came)) {
            self.legs.insert((appliance, went), at);
        }
    }
}
