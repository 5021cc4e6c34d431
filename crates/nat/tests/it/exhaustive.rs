//! Every sequence of seven operations on two hosts, two remotes and two ports.

use std::net::Ipv4Addr;
use std::time::Duration;

use vnetem_nat::{
    Answers, Cause, FlowTable, HoldDown, Keys, NewFlow, NoTuple, Pool, PoolRules, Settings, Side,
    Time, Timers, Wanted, Zone,
};
use vnetem_packet::{FiveTuple, Protocol};

use crate::packets::at;
use crate::world::{SUBNET, flow, open};

const OPS: u32 = 7;
const DEPTH: u32 = 7;

/// One sequence as a number in base seven: 0 to 3 open a flow of a host to a remote, 4 ends the
/// oldest flow, 5 closes it, 6 waits for all hold-downs and tombstones.
fn run(mut sequence: u32) {
    let second = Duration::from_secs(1);
    let settings = Settings {
        capacity: 8,
        held: 8,
        revalidation_keys: 1,
        keys: Keys::replayable(u64::from(sequence)),
        timers: Timers { tombstone: second, ..Timers::RFC },
        hold: HoldDown { reset: second, ..HoldDown::NONE },
        answers: Answers { burst: 1, interval: second },
        ..Settings::replayable(0)
    };
    let public = [Ipv4Addr::new(20, 1, 1, 1)];
    let pool =
        Pool { addresses: &public, first_port: 1024, last_port: 1025, rules: &PoolRules::AZURE };
    let mut table = FlowTable::new(settings);
    let mut now = Time(0);
    let mut flows = Vec::new();
    // External tuples of ended flows in hold-down, and their flows.
    let mut resting: Vec<NewFlow<u32>> = Vec::new();
    for _ in 0..DEPTH {
        let op = sequence % OPS;
        sequence /= OPS;
        match op {
            0..4 => {
                let host = at([10, 0, 0, 4], 1 + u16::from(op & 1 == 1));
                let remote = at([52, 239, 1, 9], 443 + u16::from(op >> 1 == 1));
                let mut new = NewFlow { internal: host, remote, ..flow(Protocol::TCP) };
                let wanted = Wanted {
                    protocol: Protocol::TCP,
                    internal: host,
                    internal_zone: SUBNET,
                    remote,
                    external_zone: Zone::PUBLIC,
                    suggestion: None,
                };
                let chosen = table.choose(now, pool, &wanted).map(|chosen| chosen.external);
                let held = |port: u16| {
                    flows.iter().map(|(new, _)| new).chain(&resting).any(|other: &NewFlow<u32>| {
                        other.remote == remote && other.external.port() == port
                    })
                };
                match chosen {
                    Ok(external) => {
                        assert!(!held(external.port()), "INV-mapping-unique, INV-hold-down-kept");
                        new.external = external;
                    }
                    Err(why) => {
                        assert_eq!(why, NoTuple::Exhausted);
                        assert!((1024..=1025).all(held), "INV-refused-only-when-full");
                        continue;
                    }
                }
                // The same host has a flow to the same remote already. A tombstone is replaced.
                let old = flows
                    .iter()
                    .position(|(other, _)| other.internal == host && other.remote == remote);
                let id = open(&mut table, now, new);
                match old {
                    Some(old) if table.flow(flows[old].1).is_none() => {
                        resting.push(flows.remove(old).0);
                        flows.push((new, id.unwrap()));
                    }
                    Some(_) => assert!(id.is_err()),
                    None => flows.push((new, id.unwrap())),
                }
            }
            4 if !flows.is_empty() => {
                let (new, id) = flows.remove(0);
                assert!(table.end(now, id, Cause::Withdrawn));
                resting.push(new);
            }
            5 if !flows.is_empty() => {
                _ = table.close(now, flows[0].1, Cause::SourceSwitched);
            }
            6 => {
                now += second + second;
                table.expire(now, usize::MAX, &mut |_| ());
                flows.retain(|(_, id)| table.flow(*id).is_some());
                resting.clear();
            }
            _ => {}
        }
        let counters = table.counters();
        assert_eq!(
            (counters.live + counters.tombstones) as usize,
            flows.len(),
            "INV-flows-conserved"
        );
        for (place, (new, id)) in flows.iter().enumerate() {
            assert!(flows[..place].iter().all(|(other, _)| {
                (other.external, other.remote) != (new.external, new.remote)
            }));
            // The reply goes to the host that asked (INV-reply-reaches-initiator).
            let reply = FiveTuple {
                protocol: Protocol::TCP,
                source: new.remote,
                destination: new.external,
            };
            let found = table.find(now, Zone::PUBLIC, &reply).unwrap();
            assert_eq!((found.id, found.side), (*id, Side::External));
            assert_eq!(table.flow(*id).unwrap().internal, new.internal);
        }
    }
}

/// Every short history keeps tuples apart.
/// INV-mapping-unique, INV-reply-reaches-initiator, INV-refused-only-when-full, INV-hold-down-kept,
/// INV-flows-conserved, T-04.
#[test]
fn every_short_history_has_unique_tuples() {
    // The first flow is the first host's to the first remote. The others are its mirror images, and
    // nothing happens before it.
    for sequence in 0..OPS.pow(DEPTH - 1) {
        run(sequence * OPS);
    }
}
