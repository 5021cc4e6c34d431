//! The reference implementation of the table: a list of flows searched from the front. It shares
//! only types with the table.

use std::net::{Ipv4Addr, SocketAddrV4};
use std::time::Duration;

use vnetem_nat::{Cause, HoldDown, NewFlow, OpenError, Side, State, Time, Timers, Zone};
use vnetem_packet::{FiveTuple, Protocol};

pub(crate) struct Reference {
    pub(crate) flows: Vec<ReferenceFlow>,
    /// External keys in hold-down, and until when.
    held: Vec<(Key, Time)>,
    pub(crate) capacity: usize,
    pub(crate) opened: u64,
    pub(crate) ended: Vec<Cause>,
    timers: Timers,
    hold: HoldDown,
}

#[derive(Clone, Debug)]
pub(crate) struct ReferenceFlow {
    pub(crate) name: u64,
    pub(crate) new: NewFlow<u32>,
    pub(crate) last: Time,
    pub(crate) stage: Stage,
    /// The latest generation that invalidated it.
    pub(crate) invalidated: u32,
    /// Next sequence number of the internal and the external side.
    pub(crate) next: [u32; 2],
}

/// The stage of a flow, as its ends see it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    Datagrams {
        answered: bool,
    },
    Opening {
        answered: bool,
    },
    Open {
        finished: [bool; 2],
    },
    Finished,
    Reset,
    /// An RST answered the SYN, so the flow ends at once.
    Refused,
    Tombstone(Cause),
}

type Key = (Zone, FiveTuple);

pub(crate) fn key(new: &NewFlow<u32>, side: Side) -> Key {
    let (zone, source, destination) = match side {
        Side::Internal => (new.internal_zone, new.internal, new.remote),
        Side::External => (new.external_zone, new.remote, new.external),
    };
    (zone, FiveTuple { protocol: new.protocol, source, destination })
}

impl ReferenceFlow {
    fn is_over(&self) -> bool {
        matches!(self.stage, Stage::Finished | Stage::Reset | Stage::Refused | Stage::Tombstone(_))
    }

    pub(crate) fn is_tombstone(&self) -> bool {
        matches!(self.stage, Stage::Tombstone(_))
    }

    pub(crate) fn is_stale(&self) -> bool {
        self.invalidated > self.new.generation.0 && !self.is_tombstone()
    }

    /// Says whether the table's state fits this stage. A stage may cover several states.
    pub(crate) fn fits(&self, state: State) -> bool {
        match self.stage {
            Stage::Datagrams { answered } => match self.new.protocol {
                Protocol::UDP => state == if answered { State::TwoWay } else { State::OneWay },
                _ => state == State::Query,
            },
            Stage::Opening { answered } => {
                state == if answered { State::SynReceived } else { State::SynSent }
            }
            Stage::Open { finished: [false, false] } => state == State::Established,
            Stage::Open { finished: [true, true] } => state == State::LastAck,
            Stage::Open { .. } => matches!(state, State::FinWait | State::CloseWait),
            Stage::Finished => state == State::TimeWait,
            Stage::Reset => state == State::Close,
            Stage::Refused => state == State::Refused,
            Stage::Tombstone(cause) => state == State::Tombstone(cause),
        }
    }

    /// Gives the cause with which a timeout ends it.
    fn cause(&self) -> Cause {
        match self.stage {
            Stage::Datagrams { .. } | Stage::Open { finished: [false, false] } => Cause::Idle,
            Stage::Opening { .. } => Cause::HalfOpen,
            Stage::Open { .. } | Stage::Finished => Cause::Fin,
            Stage::Reset | Stage::Refused => Cause::Reset,
            Stage::Tombstone(cause) => cause,
        }
    }
}

impl Reference {
    pub(crate) fn new(capacity: usize, timers: Timers, hold: HoldDown) -> Self {
        Self { flows: vec![], held: vec![], capacity, opened: 0, ended: vec![], timers, hold }
    }

    pub(crate) fn deadline(&self, flow: &ReferenceFlow) -> Time {
        let timers = &self.timers;
        // All timers of closing are equal here, so that the reference implementation needs no finer
        // stages.
        let timer = match flow.stage {
            Stage::Datagrams { answered } => match (flow.new.protocol, answered) {
                (Protocol::UDP, false) => timers.udp_one_way,
                (Protocol::UDP, true) => timers.udp_two_way,
                _ => timers.icmp,
            },
            Stage::Opening { answered: false } => timers.syn_sent,
            Stage::Opening { answered: true } => timers.syn_received,
            Stage::Open { finished: [false, false] } => timers.established,
            Stage::Open { .. } => timers.fin_wait,
            Stage::Finished => timers.time_wait,
            Stage::Reset => timers.close,
            Stage::Refused => Duration::ZERO,
            Stage::Tombstone(_) => timers.tombstone,
        };
        flow.last + timer
    }

    pub(crate) fn find(&self, now: Time, wanted: Key) -> Option<(&ReferenceFlow, Side)> {
        let (flow, side) = self.holder(wanted)?;
        (self.deadline(flow) > now).then_some((flow, side))
    }

    /// Finds the holder of a key, past its deadline or not.
    fn holder(&self, wanted: Key) -> Option<(&ReferenceFlow, Side)> {
        self.flows.iter().find_map(|flow| {
            let side = [Side::Internal, Side::External]
                .into_iter()
                .find(|side| key(&flow.new, *side) == wanted)?;
            Some((flow, side))
        })
    }

    /// Gives the end of hold-down for the external tuple of a flow that ends now.
    fn rest(&self, flow: &ReferenceFlow, cause: Cause, ended: Time) -> Time {
        let (hold, over) = (&self.hold, flow.last);
        // It counts from the end of the connection, which is before the end of a flow that only
        // waits.
        match (flow.stage, cause) {
            (Stage::Datagrams { .. }, _) => ended + hold.datagram,
            (Stage::Finished, _) => over + hold.fin,
            (Stage::Open { finished: [true, true] }, Cause::Fin) => over + hold.fin,
            (Stage::Reset | Stage::Tombstone(_), _) => over + hold.reset,
            (_, Cause::HalfOpen) => over + hold.half_open,
            (_, Cause::Idle | Cause::Fin) => ended + hold.idle,
            _ => ended + hold.reset,
        }
    }

    /// Says whether a flow leaves its external tuple to others.
    fn leaves(&self, now: Time, flow: &ReferenceFlow) -> bool {
        let translated = flow.new.external != flow.new.internal;
        let rested = !translated || self.rest(flow, flow.cause(), self.deadline(flow)) <= now;
        (self.deadline(flow) <= now || flow.is_tombstone() && translated) && rested
    }

    fn hold_down_times(&self, now: Time, wanted: Key) -> bool {
        self.held.iter().any(|(held, until)| *held == wanted && *until > now)
    }

    /// Gives the next time at which a hold-down ends.
    pub(crate) fn rested_next(&self, now: Time) -> Option<Time> {
        self.held.iter().map(|(_, until)| *until).filter(|until| *until > now).min()
    }

    pub(crate) fn end(&mut self, name: u64, cause: Cause, ended: Time) {
        let place = self.flows.iter().position(|flow| flow.name == name).unwrap();
        let flow = self.flows.remove(place);
        if flow.new.external != flow.new.internal {
            self.held.push((key(&flow.new, Side::External), self.rest(&flow, cause, ended)));
        }
        self.ended.push(cause);
    }

    /// Ends due flows, earliest first.
    pub(crate) fn expire(&mut self, now: Time) -> Vec<(u64, Cause)> {
        let mut due: Vec<_> = self
            .flows
            .iter()
            .filter(|flow| self.deadline(flow) <= now)
            .map(|flow| (self.deadline(flow), flow.name, flow.cause()))
            .collect();
        due.sort_unstable_by_key(|due| due.0);
        for (deadline, name, cause) in &due {
            self.end(*name, *cause, *deadline);
        }
        due.into_iter().map(|(_, name, cause)| (name, cause)).collect()
    }

    /// Opens a flow in place of a finished one, or says why not.
    pub(crate) fn open(
        &mut self,
        now: Time,
        new: NewFlow<u32>,
        name: u64,
    ) -> Result<(), OpenError> {
        let external_side = key(&new, Side::External);
        let mut give_way = Vec::new();
        if key(&new, Side::Internal) == external_side {
            return Err(OpenError::TupleInUse);
        }
        if self.hold_down_times(now, external_side) {
            return Err(OpenError::TupleHeld);
        }
        for side in [new.initiator, new.initiator.other()] {
            let Some((flow, found)) = self.holder(key(&new, side)) else { continue };
            let reopens = side == new.initiator && flow.is_over() && found == flow.new.initiator;
            let given = give_way.iter().any(|(name, _)| *name == flow.name);
            let left = found == Side::External && self.leaves(now, flow);
            if self.deadline(flow) > now && !reopens && !given && !left {
                return Err(OpenError::TupleInUse);
            }
            // The hold-down of another host's tuple must be over.
            let same_host = key(&flow.new, Side::Internal) == key(&new, Side::Internal);
            let rested = self.rest(flow, flow.cause(), self.deadline(flow)) <= now;
            let translated = flow.new.external != flow.new.internal;
            if key(&flow.new, Side::External) == external_side
                && !same_host
                && translated
                && !rested
            {
                return Err(OpenError::TupleHeld);
            }
            if !given {
                give_way.push((flow.name, flow.cause()));
            }
        }
        if self.flows.len() - give_way.len() >= self.capacity {
            return Err(OpenError::TableFull);
        }
        for (name, cause) in give_way {
            let flow = self.flows.iter().find(|flow| flow.name == name).unwrap();
            let ended = self.deadline(flow).min(now);
            let same = key(&flow.new, Side::External) == external_side;
            self.end(name, cause, ended);
            if same {
                self.held.retain(|(held, _)| *held != external_side);
            }
        }
        let stage = match new.protocol {
            Protocol::TCP => Stage::Opening { answered: false },
            _ => Stage::Datagrams { answered: false },
        };
        self.opened += 1;
        let next = match new.initiator {
            Side::Internal => [1001, 9000],
            Side::External => [9000, 1001],
        };
        self.flows.push(ReferenceFlow { name, new, last: now, stage, invalidated: 0, next });
        Ok(())
    }

    /// Lists all tuples of a pool that are free towards the remote of a flow.
    pub(crate) fn free(
        &self,
        now: Time,
        addresses: &[Ipv4Addr],
        ports: std::ops::RangeInclusive<u16>,
        new: &NewFlow<u32>,
    ) -> Vec<SocketAddrV4> {
        let all = addresses
            .iter()
            .flat_map(|address| ports.clone().map(|port| SocketAddrV4::new(*address, port)));
        all.filter(|external| {
            let wanted = key(&NewFlow { external: *external, ..*new }, Side::External);
            let taken = self.holder(wanted).is_some_and(|(flow, _)| !self.leaves(now, flow));
            !taken && !self.hold_down_times(now, wanted)
        })
        .collect()
    }
}
