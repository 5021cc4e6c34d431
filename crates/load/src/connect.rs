//! Measures connections that come and go.

use core::time::Duration;

use vnetem_nat::{HoldDown, Side, Timers};

use super::frame::Kind;
use super::{LATE, Load, LoadError, Shape, Timed, settings};

/// The time that a finished connection waits before its tuple enters hold-down.
const TIME_WAIT: Duration = Duration::from_secs(1);

/// The packets of a connection, from the first to the last.
const LIFE: [(Side, Kind); 6] = [
    (Side::Internal, Kind::First),
    (Side::External, Kind::Answer),
    (Side::Internal, Kind::Acknowledgement),
    (Side::Internal, Kind::Finish),
    (Side::External, Kind::Finish),
    (Side::Internal, Kind::Last),
];

impl Load {
    /// Makes a data plane for [`connect`](Self::connect), with Azure's hold-down. In time
    /// `shape.flows` tuples are in hold-down at once.
    ///
    /// # Errors
    ///
    /// As for [`new`](Self::new).
    pub fn connecting(shape: Shape) -> Result<Self, LoadError> {
        let mut set = settings(&shape);
        set.flows.hold = HoldDown::AZURE;
        set.flows.timers = Timers { time_wait: TIME_WAIT, ..Timers::AZURE };
        // Those of more than a second, and of the ring.
        set.flows.capacity = shape.flows / 32 + 4096;
        set.flows.held = shape.flows + shape.flows / 16 + 4096;
        Self::with(shape, &set)
    }

    /// Takes one ring of connections through SYN, SYN and ACK, ACK, FIN, FIN and ACK, ACK, each
    /// packet through the data plane, and times all of it. Time advances so that as many
    /// connections are made during one hold-down as there are flows in the shape. Returns the
    /// number of connections.
    ///
    /// # Errors
    ///
    /// [`LoadError::Dropped`].
    pub fn connect(&mut self, timed: Timed<'_>) -> Result<u64, LoadError> {
        if self.now >= LATE {
            self.renew();
            let mut made = 0;
            // As many tuples are in hold-down again as before.
            while made < 2 * u64::from(self.shape.flows) {
                made += self.connect_ring(&mut |work| work())?;
            }
        }
        self.connect_ring(timed)
    }

    fn connect_ring(&mut self, timed: Timed<'_>) -> Result<u64, LoadError> {
        let flows = self.shape.flows.max(1);
        let ring = u32::try_from(self.frames.ring()).unwrap_or(u32::MAX).min(flows);
        let connections: Vec<u32> = (0..ring).map(|n| (self.next + n) % flows).collect();
        self.next = (self.next + ring) % flows;
        let step = HoldDown::AZURE.fin * ring / flows / 6;
        for (side, kind) in LIFE {
            self.now += step;
            self.frames.begin();
            self.edges.clear();
            connections.iter().for_each(|&n| self.put(n, side, kind));
            self.pass(timed)?;
            if kind == Kind::First {
                for (&n, packet) in connections.iter().zip(self.frames.packets()) {
                    self.talks.seen_outside(n, packet);
                }
            }
        }
        Ok(ring.into())
    }

    /// Returns the number of tuples in hold-down.
    #[must_use]
    pub fn resting(&self) -> u32 {
        self.plane.flow_counters().held
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn held_tuples_equal_the_flow_count() -> Result<(), LoadError> {
        let mut load = Load::connecting(Shape { flows: 10_000, ..Shape::default() })?;
        let mut made = 0;
        while made < 30_000 {
            made += load.connect(&mut |work| work())?;
        }
        let counters = load.plane().flow_counters();
        assert_eq!(counters.opened, made);
        assert!((9_000..=11_000).contains(&load.resting()), "{counters:?}");
        assert_eq!(counters.released_early, 0);
        Ok(())
    }
}
