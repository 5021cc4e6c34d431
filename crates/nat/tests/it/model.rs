//! The table and its reference implementation, side by side, under any sequence of calls, packets
//! and clock steps.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::time::Duration;

use proptest::prelude::*;
use vnetem_nat::{
    Cause, Ended, FlowId, FlowTable, Generation, HoldDown, MappingPolicy, NewFlow, NoTuple, Pool,
    PoolRules, Resets, RevalidationKey, Settings, Side, Standing, Tenant, Time, Timers, Track,
    Wanted, Zone,
};
use vnetem_packet::{Protocol, Reset};

use crate::packets::{ACK, FIN, Packet, RST, SYN, at, segment};
use crate::reference::{Reference, ReferenceFlow, Stage, key};
use crate::world::first;

const PUBLIC: [Ipv4Addr; 2] = [Ipv4Addr::new(20, 1, 1, 1), Ipv4Addr::new(20, 1, 1, 2)];

#[derive(Clone, Debug)]
enum Op {
    /// A new flow of few hosts, ports, remotes and networks, so that flows collide.
    Open {
        shape: u8,
        translated: bool,
        chosen: bool,
        from_outside: bool,
        revalidation_key: u32,
    },
    Packet {
        which: prop::sample::Index,
        side: bool,
        kind: u8,
    },
    Close {
        which: prop::sample::Index,
    },
    End {
        which: prop::sample::Index,
    },
    Wait {
        step: u8,
    },
    Expire {
        budget: usize,
    },
    Touch {
        revalidation_key: u32,
    },
    NextStale {
        refresh: bool,
    },
}

struct Pair {
    table: FlowTable<u32>,
    reference: Reference,
    ids: BTreeMap<u64, FlowId>,
    now: Time,
    generation: u32,
    names: u64,
    ports: u16,
    addresses: usize,
}

fn ops() -> impl Strategy<Value = Vec<Op>> {
    use prop::sample::Index;
    let op = prop_oneof![
        8 => (any::<u8>(), any::<bool>(), any::<bool>(), prop::bool::weighted(0.2), 0..3_u32).prop_map(
            |(shape, translated, chosen, from_outside, revalidation_key)| Op::Open {
                shape, translated, chosen, from_outside, revalidation_key
            }
        ),
        12 => (any::<Index>(), any::<bool>(), 0..8_u8)
            .prop_map(|(which, side, kind)| Op::Packet { which, side, kind }),
        2 => any::<Index>().prop_map(|which| Op::Close { which }),
        1 => any::<Index>().prop_map(|which| Op::End { which }),
        4 => (0..8_u8).prop_map(|step| Op::Wait { step }),
        2 => prop_oneof![Just(1), Just(3), Just(usize::MAX)].prop_map(|budget| Op::Expire { budget }),
        1 => (0..3_u32).prop_map(|revalidation_key| Op::Touch { revalidation_key }),
        2 => any::<bool>().prop_map(|refresh| Op::NextStale { refresh }),
    ];
    proptest::collection::vec(op, 1..64)
}

impl Pair {
    fn new(seed: u64, capacity: u32, ports: u16, addresses: usize) -> Self {
        let closing = Duration::from_secs(60);
        let timers = Timers {
            fin_wait: closing,
            close_wait: closing,
            last_ack: closing,
            time_wait: closing,
            udp_one_way: Duration::from_secs(30),
            udp_two_way: Duration::from_secs(120),
            ..Timers::AZURE
        };
        let settings = Settings { capacity, timers, ..Settings::replayable(seed) };
        Self {
            table: FlowTable::new(settings),
            reference: Reference::new(capacity as usize, timers, HoldDown::AZURE),
            ids: BTreeMap::new(),
            now: Time(1 << 40),
            generation: 1,
            names: 0,
            ports,
            addresses,
        }
    }

    fn run(&mut self, op: &Op) {
        match *op {
            Op::Open { shape, translated, chosen, from_outside, revalidation_key } => {
                self.open(shape, translated, chosen, from_outside, revalidation_key);
            }
            Op::Packet { which, side, kind } => self.packet(which, side, kind),
            Op::Close { which } => self.close(which),
            Op::End { which } => {
                if let Some(flow) = self.pick(which) {
                    assert!(self.table.end(self.now, self.ids[&flow.name], Cause::Withdrawn));
                    self.reference.end(flow.name, Cause::Withdrawn, self.now);
                }
            }
            Op::Wait { step } => {
                let steps = [
                    0,
                    1,
                    1_000_000_000,
                    16_000_000_000,
                    30_000_000_000,
                    60_000_000_000,
                    240_000_000_000,
                    1 << 61,
                ];
                // The last step repeats, except for rare long leaps (fault 25).
                let step =
                    if step == 7 && self.now.0 > 1 << 60 { 0 } else { steps[usize::from(step)] };
                self.now = Time(self.now.0 + step);
            }
            Op::Expire { budget } => self.expire(budget),
            Op::Touch { revalidation_key } => {
                self.generation += 1;
                self.table
                    .invalidate(RevalidationKey(revalidation_key), Generation(self.generation));
                for flow in &mut self.reference.flows {
                    if flow.new.revalidation_key == RevalidationKey(revalidation_key) {
                        flow.invalidated = self.generation;
                    }
                }
            }
            Op::NextStale { refresh } => self.next_stale(refresh),
        }
    }

    fn pick(&self, which: prop::sample::Index) -> Option<ReferenceFlow> {
        let flows = &self.reference.flows;
        (!flows.is_empty()).then(|| flows[which.index(flows.len())].clone())
    }

    fn open(
        &mut self,
        shape: u8,
        translated: bool,
        chosen: bool,
        from_outside: bool,
        revalidation_key: u32,
    ) {
        let bit = |bit: u8| shape >> bit & 1;
        let protocol =
            [Protocol::TCP, Protocol::TCP, Protocol::UDP, Protocol::ICMP][usize::from(shape >> 6)];
        let internal = at([10, 0, 0, 4 + bit(0)], 50_000 + u16::from(bit(1)));
        let remote = at([52, 239, 1, 9 + bit(2)], if protocol == Protocol::ICMP { 0 } else { 443 });
        let mut new = NewFlow {
            protocol,
            internal,
            internal_zone: Zone(7 + u32::from(bit(3))),
            external: internal,
            // Preserved sources of both networks go to one zone, or each to its own.
            external_zone: if bit(4) == 0 { Zone(7 + u32::from(bit(3))) } else { Zone(9) },
            remote,
            initiator: if from_outside { Side::External } else { Side::Internal },
            revalidation_key: RevalidationKey(revalidation_key),
            tenant: Tenant::NOBODY,
            generation: Generation(self.generation),
            cached: u32::from(shape),
            mapping_policy: MappingPolicy::default(),
        };
        if from_outside && protocol == Protocol::ICMP {
            // The identifier is then the remote's.
            new.internal.set_port(0);
            new.external.set_port(0);
            new.remote.set_port(5);
        }
        if translated && !from_outside {
            new.external_zone = Zone::PUBLIC;
            let addresses = &PUBLIC[..self.addresses];
            let (first_port, last_port) = (1024, 1023 + self.ports);
            let pool = Pool { addresses, first_port, last_port, rules: &PoolRules::AZURE };
            let free = self.reference.free(self.now, addresses, first_port..=last_port, &new);
            let wanted = Wanted {
                protocol,
                internal,
                internal_zone: new.internal_zone,
                remote,
                external_zone: Zone::PUBLIC,
                suggestion: None,
            };
            let got = self.table.choose(self.now, pool, &wanted).map(|chosen| chosen.external);
            match got {
                Ok(external) => {
                    assert!(free.contains(&external), "{external} is not among {free:?}")
                }
                Err(why) => assert_eq!((why, free.as_slice()), (NoTuple::Exhausted, &[][..])),
            }
            new.external = match got {
                Ok(external) if chosen => external,
                // Any port, free or not: `open` must find out.
                _ => at([20, 1, 1, 1], 1024 + u16::from(bit(5))),
            };
        }
        self.names += 1;
        let opening = self.table.may_open(self.now, new);
        let could = opening.map(|_| ());
        let mut replaced = Vec::new();
        let ended_before = self.reference.ended.len();
        let packet = first(&new);
        let mut sink = |ended: Ended<u32>| replaced.push(ended.cause);
        let (headers, bytes) = (&packet.headers, &packet.bytes);
        let opened =
            opening.and_then(|it| self.table.enter(self.now, &it, headers, bytes, &mut sink));
        assert_eq!(opened.map(|_| ()), could, "what may open does");
        assert_eq!(could, self.reference.open(self.now, new, self.names), "{new:?}");
        let ended = self.reference.ended[ended_before..].to_vec();
        assert_eq!(replaced, ended, "the replaced flow is reported");
        if let Ok(id) = opened {
            self.ids.insert(self.names, id);
        }
    }

    /// Makes a packet as a well-behaved end in this stage would send it.
    fn packet(&mut self, which: prop::sample::Index, external: bool, kind: u8) {
        let Some(mut flow) = self.pick(which) else { return };
        let id = self.ids[&flow.name];
        let side = if external { Side::External } else { Side::Internal };
        let (mine, theirs) = if external { (1, 0) } else { (0, 1) };
        let (_, tuple) = key(&flow.new, side);
        let alive = self.reference.deadline(&flow) > self.now;
        let initiator = side == flow.new.initiator;
        let [next, expects] = [flow.next[mine], flow.next[theirs]];
        let plain = |flags, payload| segment(flags, next, expects, payload);
        let (packet, stage, length) = match (flow.stage, kind) {
            (Stage::Datagrams { answered }, _) => {
                let answered = answered || !initiator && flow.new.protocol == Protocol::UDP;
                (Packet::of(tuple), Stage::Datagrams { answered }, 0)
            }
            (Stage::Opening { answered: false }, _) if initiator => {
                let syn = segment(SYN, next - 1, 0, 0);
                (Packet::tcp(tuple.source, tuple.destination, syn), flow.stage, 0)
            }
            (Stage::Opening { answered: false }, 0) => {
                let refusal = segment(RST | ACK, 0, expects, 0);
                (Packet::tcp(tuple.source, tuple.destination, refusal), Stage::Refused, 0)
            }
            (Stage::Opening { answered: false }, _) => {
                let answer = plain(SYN | ACK, 0);
                (
                    Packet::tcp(tuple.source, tuple.destination, answer),
                    Stage::Opening { answered: true },
                    1,
                )
            }
            (Stage::Opening { answered: true }, _) if initiator => {
                let ack = plain(ACK, 0);
                (
                    Packet::tcp(tuple.source, tuple.destination, ack),
                    Stage::Open { finished: [false; 2] },
                    0,
                )
            }
            (Stage::Open { mut finished }, 0) if !finished[mine] => {
                finished[mine] = true;
                (
                    Packet::tcp(tuple.source, tuple.destination, plain(FIN | ACK, 5)),
                    Stage::Open { finished },
                    6,
                )
            }
            (Stage::Open { .. }, 1) => {
                (Packet::tcp(tuple.source, tuple.destination, plain(RST, 0)), Stage::Reset, 0)
            }
            (Stage::Open { finished: [true, true] }, _) => {
                (Packet::tcp(tuple.source, tuple.destination, plain(ACK, 0)), Stage::Finished, 0)
            }
            (Stage::Open { finished }, _) => {
                let payload = if finished[mine] { 0 } else { u16::from(kind) * 100 };
                let stage = Stage::Open { finished };
                (
                    Packet::tcp(tuple.source, tuple.destination, plain(ACK, payload)),
                    stage,
                    payload.into(),
                )
            }
            (Stage::Finished, _) => {
                (Packet::tcp(tuple.source, tuple.destination, plain(ACK, 0)), Stage::Finished, 0)
            }
            // A stray acknowledgement passes, and neither refreshes nor revives
            // (INV-syn-opens-anew).
            (Stage::Reset | Stage::Refused, _) => {
                let packet = Packet::tcp(tuple.source, tuple.destination, plain(ACK, 0));
                let track = self.track(id, side, &packet);
                assert_eq!(track == Track::Pass, alive);
                return;
            }
            (Stage::Tombstone(_), _) => return self.late(&flow, id, side, kind),
            (Stage::Opening { answered: true }, _) => return,
        };
        let track = self.track(id, side, &packet);
        assert_eq!(track == Track::Pass, alive, "{flow:?} {packet:?}");
        if alive {
            flow.next[mine] = next.wrapping_add(length);
            (flow.stage, flow.last) = (stage, self.now);
            let place =
                self.reference.flows.iter().position(|other| other.name == flow.name).unwrap();
            self.reference.flows[place] = flow;
        }
    }

    fn track(&mut self, id: FlowId, side: Side, packet: &Packet) -> Track {
        let before = self.table.flow(id);
        let followed = self.table.follow(self.now, id, side, &packet.headers, &packet.bytes);
        assert_eq!(self.table.flow(id), before, "follow changes nothing");
        let track = self.table.track(self.now, id, side, &packet.headers, &packet.bytes);
        let state = self.table.flow(id).map(|flow| flow.state);
        assert_eq!(followed.is_some(), track == Track::Pass);
        assert!(followed.is_none_or(|followed| Some(followed.state()) == state));
        track
    }

    /// Sends a late segment to a tombstone, which drops it and answers unless it is an RST.
    /// INV-reset-answers-segment, INV-resets-bounded, INV-tombstone-answers.
    fn late(&mut self, flow: &ReferenceFlow, id: FlowId, side: Side, kind: u8) {
        let (_, tuple) = key(&flow.new, side);
        let flags = [ACK, RST, SYN, FIN | ACK, RST | ACK, ACK, SYN | ACK, FIN][usize::from(kind)];
        let packet = Packet::tcp(tuple.source, tuple.destination, segment(flags, 77, 88, 3));
        let track = self.track(id, side, &packet);
        assert_eq!(track, Track::Invalid);
        let answer = self.table.answer(self.now, id, side, &packet.headers);
        let alive = self.reference.deadline(flow) > self.now;
        let expected = if flags & ACK == 0 {
            let length = 3 + u32::from(flags & SYN != 0) + u32::from(flags & FIN != 0);
            (0, Some(77 + length))
        } else {
            (88, None)
        };
        let reset = Reset {
            source: tuple.destination,
            destination: tuple.source,
            sequence: expected.0,
            acknowledgement: expected.1,
        };
        // A tombstone is silent after its burst of 16, which 64 steps rarely use up.
        if flags & RST != 0 || !alive {
            assert_eq!(answer, None);
        } else if let Some(answer) = answer {
            assert_eq!(answer, reset);
        }
    }

    fn close(&mut self, which: prop::sample::Index) {
        let Some(flow) = self.pick(which) else { return };
        let closing = self.table.close(self.now, self.ids[&flow.name], Cause::SourceSwitched);
        self.close_reference(&flow, closing);
    }

    fn close_reference(&mut self, flow: &ReferenceFlow, closing: Resets) {
        let deadline = self.reference.deadline(flow);
        let open = matches!(flow.stage, Stage::Opening { .. } | Stage::Open { .. });
        let silent = !open || deadline <= self.now;
        let [internal, external_side] = flow.next;
        let answered = flow.stage != Stage::Opening { answered: false };
        let opened_inside = flow.new.initiator == Side::Internal;
        // Nothing of an end that has not replied was forwarded, so there is nothing of it to
        // acknowledge.
        let (from_inside, from_outside) = (
            (answered || opened_inside).then_some(internal),
            (answered || !opened_inside).then_some(external_side),
        );
        let expected = Resets {
            to_internal: Some(Reset {
                source: flow.new.remote,
                destination: flow.new.internal,
                sequence: from_outside.unwrap_or(0),
                acknowledgement: from_inside,
            }),
            to_external: Some(Reset {
                source: flow.new.external,
                destination: flow.new.remote,
                sequence: from_inside.unwrap_or(0),
                acknowledgement: from_outside,
            }),
        };
        assert_eq!(closing, if silent { Resets::default() } else { expected }, "{flow:?}");
        if flow.is_tombstone() {
        } else if deadline <= self.now {
            let expired =
                self.reference.flows.iter().position(|other| other.name == flow.name).unwrap();
            let rest: Vec<_> = self.reference.flows.drain(..).collect();
            self.reference.flows = vec![rest[expired].clone()];
            self.reference.expire(self.now);
            self.reference.flows =
                rest.into_iter().filter(|other| other.name != flow.name).collect();
        } else if silent {
            self.reference.end(flow.name, Cause::SourceSwitched, self.now);
        } else {
            let place =
                self.reference.flows.iter().position(|other| other.name == flow.name).unwrap();
            let flow = &mut self.reference.flows[place];
            (flow.stage, flow.last) = (Stage::Tombstone(Cause::SourceSwitched), self.now);
        }
    }

    fn next_stale(&mut self, refresh: bool) {
        let next = self.table.next_stale();
        let Some(id) = next else {
            assert!(!self.reference.flows.iter().any(ReferenceFlow::is_stale), "one was missed");
            return;
        };
        let flow =
            self.reference.flows.iter().find(|flow| self.ids[&flow.name] == id).unwrap().clone();
        assert!(flow.is_stale());
        if refresh {
            let generation = Generation(self.generation);
            assert!(self.table.refresh(id, flow.new.revalidation_key, generation, 9));
            let place =
                self.reference.flows.iter().position(|other| other.name == flow.name).unwrap();
            let new = &mut self.reference.flows[place].new;
            (new.generation, new.cached) = (generation, 9);
        } else {
            let closing = self.table.close(self.now, id, Cause::SourceSwitched);
            self.close_reference(&flow, closing);
        }
    }

    fn expire(&mut self, budget: usize) {
        let mut ended = Vec::new();
        while self.table.expire(self.now, budget, &mut |gone| {
            ended.push((gone.flow.cached, gone.flow.internal, gone.cause));
        }) >= budget
        {}
        let before = self.reference.flows.clone();
        let mut expected: Vec<_> = self
            .reference
            .expire(self.now)
            .into_iter()
            .map(|(name, cause)| {
                let flow = before.iter().find(|flow| flow.name == name).unwrap();
                (flow.new.cached, flow.new.internal, cause)
            })
            .collect();
        ended.sort_unstable();
        expected.sort_unstable();
        assert_eq!(ended, expected);
        assert!(self.table.next_deadline().is_none_or(|next| next > self.now));
    }

    /// Compares everything visible after every step.
    fn agree(&self) {
        let counters = self.table.counters();
        let tombstones = self.reference.flows.iter().filter(|flow| flow.is_tombstone()).count();
        assert_eq!(counters.opened, self.reference.opened);
        assert_eq!(counters.tombstones as usize, tombstones);
        assert_eq!((counters.live + counters.tombstones) as usize, self.reference.flows.len());
        assert_eq!(
            counters.opened - counters.total_ended(),
            self.reference.flows.len() as u64,
            "INV-flows-conserved"
        );
        for cause in Cause::ALL {
            let ended = self.reference.ended.iter().filter(|other| **other == cause).count();
            assert_eq!(counters.ended(cause), ended as u64, "{cause}");
        }
        let listed: BTreeMap<_, _> = self.table.iter().collect();
        assert_eq!(listed.len(), self.reference.flows.len());
        for flow in &self.reference.flows {
            let id = self.ids[&flow.name];
            let seen = &listed[&id];
            assert!(flow.fits(seen.state), "{flow:?} {seen:?}");
            assert_eq!(
                (seen.last, seen.revalidation_key, seen.generation),
                (flow.last, flow.new.revalidation_key, flow.new.generation)
            );
            assert_eq!(
                (seen.external, seen.cached),
                (flow.new.external, flow.new.cached),
                "INV-mapping-constant"
            );
            assert_eq!(self.table.is_stale(id), flow.is_stale());
            for side in [Side::Internal, Side::External] {
                let (zone, tuple) = key(&flow.new, side);
                let found = self.table.find(self.now, zone, &tuple);
                let expected = self.reference.find(self.now, (zone, tuple));
                assert_eq!(
                    found.map(|found| (found.id, found.side)),
                    expected.map(|(flow, side)| (self.ids[&flow.name], side))
                );
                if let Some(found) = found {
                    assert_eq!(found.standing == Standing::Tombstone, flow.is_tombstone());
                }
            }
        }
        let earliest = self.reference.flows.iter().map(|flow| self.reference.deadline(flow)).min();
        let earliest = earliest.into_iter().chain(self.reference.rested_next(self.now)).min();
        match (self.table.next_deadline(), earliest) {
            (Some(next), Some(earliest)) => assert!(next <= earliest),
            (Some(_), None) => assert!(counters.held > 0, "of tuples that have rested"),
            (None, earliest) => assert_eq!(earliest, None),
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1500, ..ProptestConfig::default() })]

    /// The table keeps the invariants of source NAT and of closing (INV-mapping-unique,
    /// INV-tombstone-answers).
    #[test]
    fn table_agrees_with_its_reference(
        seed in any::<u64>(),
        capacity in 1_u32..12,
        ports in 1_u16..=4,
        addresses in 1_usize..=2,
        ops in ops(),
    ) {
        let mut pair = Pair::new(seed, capacity, ports, addresses);
        for op in &ops {
            pair.run(op);
            pair.agree();
        }
    }
}
