//! Policy changes: which flows they invalidate, and the walk over those.

use std::collections::BTreeSet;

use proptest::prelude::*;
use vnetem_nat::{Cause, FlowId, FlowTable, Generation, NewFlow, RevalidationKey, Settings, Time};
use vnetem_packet::Protocol;

use crate::packets::at;
use crate::world::{World, flow, open};

fn nth(port: u16, revalidation_key: u32, generation: u32) -> NewFlow<u32> {
    NewFlow {
        internal: at([10, 0, 0, 4], port),
        external: at([20, 1, 1, 1], port),
        revalidation_key: RevalidationKey(revalidation_key),
        generation: Generation(generation),
        ..flow(Protocol::UDP)
    }
}

/// Exactly the flows of the invalidated key are stale (INV-toggle-ends-exact-set, P-21).
#[test]
fn change_invalidates_flows_of_its_key() {
    let mut table = FlowTable::new(Settings::replayable(0));
    let ids: Vec<_> = (0..30)
        .map(|port| open(&mut table, Time(0), nth(port, u32::from(port % 3), 1)).unwrap())
        .collect();
    assert_eq!(table.next_stale(), None);
    table.invalidate(RevalidationKey(1), Generation(2));
    let stale: Vec<_> = ids.iter().filter(|id| table.is_stale(**id)).copied().collect();
    let expected: Vec<_> = ids.iter().skip(1).step_by(3).copied().collect();
    assert_eq!(stale, expected);
    let mut walked = Vec::new();
    while let Some(id) = table.next_stale() {
        walked.push(id);
        assert!(table.refresh(id, RevalidationKey(1), Generation(2), 5));
        assert!(!table.is_stale(id));
    }
    assert_eq!(walked, expected);
    assert_eq!(table.cached(expected[0]), Some(5));
}

/// A flow opened by the new configuration is not stale; one opened by an older one is.
#[test]
fn staleness_is_decided_by_generation() {
    let mut table = FlowTable::new(Settings::replayable(0));
    let same_key = open(&mut table, Time(0), nth(1, 1, 5)).unwrap();
    table.invalidate(RevalidationKey(1), Generation(4));
    assert!(!table.is_stale(same_key));
    let new = open(&mut table, Time(0), nth(2, 1, 4)).unwrap();
    let old = open(&mut table, Time(0), nth(3, 1, 3)).unwrap();
    assert_eq!([table.is_stale(new), table.is_stale(old)], [false, true]);
    assert_eq!(table.next_stale(), Some(old));
}

/// The walk finds such a flow even after the walk over the change has ended.
#[test]
fn walk_reaches_flows_of_old_configurations() {
    let mut table = FlowTable::new(Settings::replayable(0));
    open(&mut table, Time(0), nth(1, 1, 1)).unwrap();
    table.invalidate(RevalidationKey(1), Generation(4));
    let first = table.next_stale().unwrap();
    assert!(table.refresh(first, RevalidationKey(1), Generation(4), 0));
    assert_eq!(table.next_stale(), None);
    let old = open(&mut table, Time(0), nth(2, 1, 3)).unwrap();
    assert_eq!(table.next_stale(), Some(old));
}

/// The walk gives the same flow until that is handled, whatever happens between.
#[test]
fn walk_survives_interleaved_events() {
    let mut table = FlowTable::new(Settings::replayable(0));
    let ids: Vec<_> =
        (0..6).map(|port| open(&mut table, Time(0), nth(port, 1, 1)).unwrap()).collect();
    table.invalidate(RevalidationKey(1), Generation(2));
    assert_eq!(table.next_stale(), Some(ids[0]));
    assert_eq!(table.next_stale(), Some(ids[0]));
    table.end(Time(0), ids[0], Cause::Evicted);
    table.end(Time(0), ids[1], Cause::Evicted);
    let fresh = open(&mut table, Time(0), nth(9, 1, 2)).unwrap();
    assert_eq!(table.next_stale(), Some(ids[2]));
    table.invalidate(RevalidationKey(1), Generation(3));
    assert!(table.is_stale(fresh));
    let mut walked = BTreeSet::new();
    while let Some(id) = table.next_stale() {
        walked.insert(id);
        _ = table.close(Time(0), id, Cause::SourceSwitched);
    }
    assert_eq!(walked, BTreeSet::from([ids[2], ids[3], ids[4], ids[5], fresh]));
}

/// A flow that an outdated configuration revalidates stays stale.
#[test]
fn refresh_with_old_generation_stays_stale() {
    let mut table = FlowTable::new(Settings::replayable(0));
    let id = open(&mut table, Time(0), nth(1, 1, 1)).unwrap();
    table.invalidate(RevalidationKey(1), Generation(3));
    assert!(table.refresh(id, RevalidationKey(1), Generation(2), 0));
    assert_eq!(table.next_stale(), Some(id));
}

/// Revalidation may give a flow another key.
#[test]
fn refreshed_flow_can_change_its_key() {
    let mut table = FlowTable::new(Settings::replayable(0));
    let id = open(&mut table, Time(0), nth(1, 1, 1)).unwrap();
    table.invalidate(RevalidationKey(1), Generation(2));
    assert!(table.refresh(id, RevalidationKey(2), Generation(2), 7));
    assert_eq!(table.flow(id).unwrap().revalidation_key, RevalidationKey(2));
    table.invalidate(RevalidationKey(1), Generation(3));
    assert_eq!(table.next_stale(), None);
    table.invalidate(RevalidationKey(2), Generation(3));
    assert_eq!(table.next_stale(), Some(id));
}

/// Without room for another key a flow keeps its old one.
#[test]
fn full_table_leaves_key_unchanged() {
    let mut table = FlowTable::new(Settings { revalidation_keys: 1, ..Settings::replayable(0) });
    let id = open(&mut table, Time(0), nth(1, 1, 1)).unwrap();
    open(&mut table, Time(0), nth(2, 1, 1)).unwrap();
    assert!(table.refresh(id, RevalidationKey(2), Generation(2), 7));
    let flow = table.flow(id).unwrap();
    assert_eq!(
        (flow.revalidation_key, flow.generation, flow.cached),
        (RevalidationKey(1), Generation(2), 7)
    );
}

#[test]
fn a_tombstone_is_not_stale() {
    let mut world = World::established();
    _ = world.table.close(world.now, world.id, Cause::SourceSwitched);
    world.table.invalidate(RevalidationKey(1), Generation(9));
    assert!(!world.table.is_stale(world.id));
    assert_eq!(world.table.next_stale(), None);
    assert!(!world.table.refresh(world.id, RevalidationKey(1), Generation(9), 0));
}

proptest! {
    /// Compares with a plain rule: generations rise, and a flow is stale if its key was invalidated
    /// after its decision.
    #[test]
    fn walk_agrees_with_reference(
        moves in proptest::collection::vec((0_u8..7, 0_u32..3, any::<prop::sample::Index>()), 1..120),
    ) {
        let mut table = FlowTable::new(Settings { revalidation_keys: 3, ..Settings::replayable(0) });
        let mut reference: Vec<(FlowId, u32, u32)> = Vec::new();
        let (mut invalidated, mut generation) = ([0; 3], 1);
        for (port, (kind, revalidation_key, which)) in (1..).zip(moves) {
            let place = (!reference.is_empty()).then(|| which.index(reference.len()));
            match (kind, place) {
                (0 | 1, _) => {
                    let id = open(&mut table, Time(0), nth(port, revalidation_key, generation)).unwrap();
                    reference.push((id, revalidation_key, generation));
                }
                (2, _) => {
                    generation += 1;
                    table.invalidate(RevalidationKey(revalidation_key), Generation(generation));
                    invalidated[revalidation_key as usize] = generation;
                }
                (3, Some(place)) => {
                    let (id, ..) = reference.swap_remove(place);
                    table.end(Time(0), id, Cause::Evicted);
                }
                (4, Some(place)) => {
                    table.refresh(reference[place].0, RevalidationKey(revalidation_key), Generation(generation), 0);
                    (reference[place].1, reference[place].2) = (revalidation_key, generation);
                }
                _ => {
                    let next = table.next_stale();
                    let any = reference.iter().any(|flow| flow.2 < invalidated[flow.1 as usize]);
                    prop_assert_eq!(next.is_some(), any);
                    if let Some(place) = reference.iter().position(|flow| Some(flow.0) == next) {
                        prop_assert!(reference[place].2 < invalidated[reference[place].1 as usize]);
                        table.refresh(reference[place].0, RevalidationKey(revalidation_key), Generation(generation), 0);
                        (reference[place].1, reference[place].2) = (revalidation_key, generation);
                    }
                }
            }
            for (id, revalidation_key, generation) in &reference {
                prop_assert_eq!(table.is_stale(*id), *generation < invalidated[*revalidation_key as usize]);
                prop_assert_eq!(table.flow(*id).unwrap().revalidation_key, RevalidationKey(*revalidation_key));
            }
        }
        let mut stale: BTreeSet<_> =
            reference.iter().filter(|flow| flow.2 < invalidated[flow.1 as usize]).map(|flow| flow.0).collect();
        while let Some(id) = table.next_stale() {
            prop_assert!(stale.remove(&id));
            table.end(Time(0), id, Cause::Withdrawn);
        }
        prop_assert!(stale.is_empty());
    }
}

/// Without room for its new key a flow stays with the old one, however often it is revalidated
/// (P-21).
#[test]
fn flow_without_new_key_stays() {
    let mut table = FlowTable::new(Settings { revalidation_keys: 1, ..Settings::replayable(0) });
    let id = open(&mut table, Time(0), nth(1, 1, 1)).unwrap();
    for generation in 2..5 {
        assert!(table.refresh(id, RevalidationKey(2), Generation(generation), 7));
        assert_eq!(table.flow(id).unwrap().revalidation_key, RevalidationKey(1));
    }
    table.invalidate(RevalidationKey(1), Generation(5));
    assert_eq!(table.next_stale(), Some(id), "its cell was forgotten");
    assert!(table.refresh(id, RevalidationKey(1), Generation(5), 7));
    assert_eq!(table.next_stale(), None);
    let full = open(&mut table, Time(0), nth(2, 2, 5));
    assert_eq!(full, Err(vnetem_nat::OpenError::CellsFull));
    assert!(table.end(Time(0), id, Cause::Evicted));
    assert!(open(&mut table, Time(0), nth(2, 2, 5)).is_ok());
}
