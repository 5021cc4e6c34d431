//! What a tenant may use of a table, whatever the others do (docs/shares.md).

use std::net::Ipv4Addr;
use std::time::Duration;

use proptest::prelude::*;
use vnetem_nat::{
    Cause, FlowId, FlowTable, FragmentKey, Fragments, Generation, HoldDown, Keys, Limits, Mapping,
    NewFlow, OpenError, Pool, PoolRules, RevalidationKey, Settings, Shared, Side, Span, Tenant,
    Time, Wanted,
};
use vnetem_packet::Protocol;

use crate::packets::at;
use crate::world::{flow, open};

const ATTACKER: Tenant = Tenant(2);
const VICTIM: Tenant = Tenant(4);
const PUBLIC: [Ipv4Addr; 1] = [Ipv4Addr::new(20, 1, 1, 9)];

fn shared(settings: Settings) -> FlowTable<u32> {
    let mut table = FlowTable::new(settings);
    table.share_among([ATTACKER, VICTIM]);
    table
}

/// Makes the n-th flow of a tenant, with a revalidation key of that tenant.
fn nth(tenant: Tenant, number: u16) -> NewFlow<u32> {
    let host = tenant.0 as u8;
    NewFlow {
        internal: at([10, host, 0, 4], number),
        external: at([20, 1, 1, host], number),
        revalidation_key: RevalidationKey(tenant.0),
        tenant,
        ..flow(Protocol::UDP)
    }
}

fn fill(table: &mut FlowTable<u32>, tenant: Tenant) -> (u16, OpenError) {
    for number in 1.. {
        if let Err(why) = open(table, Time(0), nth(tenant, number)) {
            return (number - 1, why);
        }
    }
    unreachable!()
}

#[test]
fn largest_tenant_is_refused_first() {
    let mut table = shared(Settings { capacity: 100, ..Settings::replayable(0) });
    assert_eq!(fill(&mut table, ATTACKER), (75, OpenError::ShareUsed));
    assert_eq!(fill(&mut table, VICTIM), (25, OpenError::TableFull));
    assert_eq!((table.share_of(ATTACKER), table.share_of(VICTIM)), ((75, 25), (25, 25)));
}

/// A replaced flow leaves its place to the new one, even if its tenant has too many.
#[test]
fn over_quota_tenant_can_reopen() {
    let mut table = shared(Settings { capacity: 100, ..Settings::replayable(0) });
    assert_eq!(fill(&mut table, ATTACKER), (75, OpenError::ShareUsed));
    let later = Time(Duration::from_secs(300).as_nanos() as u64);
    assert!(open(&mut table, later, nth(ATTACKER, 1)).is_ok(), "in place of the one of before");
    assert_eq!(table.share_of(ATTACKER), (75, 25));
}

#[test]
fn revalidation_keys_are_shared_like_flows() {
    let mut table = shared(Settings { revalidation_keys: 8, ..Settings::replayable(0) });
    let of_cell = |tenant: Tenant, number: u16| NewFlow {
        revalidation_key: RevalidationKey(100 * tenant.0 + u32::from(number)),
        ..nth(tenant, number)
    };
    for number in 1..=6 {
        open(&mut table, Time(0), of_cell(ATTACKER, number)).unwrap();
    }
    let seventh = open(&mut table, Time(0), of_cell(ATTACKER, 7));
    assert_eq!(seventh, Err(OpenError::CellsFull));
    for number in 1..=2 {
        assert!(open(&mut table, Time(0), of_cell(VICTIM, number)).is_ok());
    }
    // A flow that is revalidated to another tenant's key counts for that tenant.
    let id = open(&mut table, Time(0), nth(VICTIM, 9)).err();
    assert_eq!(id, Some(OpenError::CellsFull));
}

#[test]
fn flow_counts_for_its_keys_tenant() {
    let mut table = shared(Settings::replayable(0));
    let id = open(&mut table, Time(0), nth(ATTACKER, 1)).unwrap();
    open(&mut table, Time(0), nth(VICTIM, 1)).unwrap();
    assert_eq!(table.tenant(id), Some(ATTACKER));
    assert!(table.refresh(id, RevalidationKey(VICTIM.0), Generation(2), 0));
    assert_eq!(table.tenant(id), Some(VICTIM));
    assert_eq!((table.share_of(ATTACKER).0, table.share_of(VICTIM).0), (0, 2));
    table.end(Time(0), id, Cause::Evicted);
    assert_eq!(table.share_of(VICTIM).0, 1);
}

/// Sockets, remotes, internal addresses and blocks are guaranteed too (INV-accepted-edit-in-force).
#[test]
fn mappings_are_shared_like_flows() {
    let cone = PoolRules { mapping: Mapping::Independent, ..PoolRules::RFC };
    let counted =
        PoolRules { limits: Limits { flows: 9, ..Limits::default() }, ..PoolRules::AZURE };
    for rules in [cone, counted] {
        let room = Shared { hosts: 8, sockets: 8, blocks: 8 };
        let mut table = shared(Settings { shared: room, ..Settings::replayable(0) });
        let mut tries = |tenant: Tenant| {
            (1..)
                .map_while(|host| {
                    let new = NewFlow {
                        internal: at([10, tenant.0 as u8, 0, host], 9),
                        ..nth(tenant, 9)
                    };
                    let wanted = Wanted {
                        protocol: new.protocol,
                        internal: new.internal,
                        internal_zone: new.internal_zone,
                        remote: new.remote,
                        external_zone: new.external_zone,
                        suggestion: None,
                    };
                    let pool =
                        Pool { addresses: &PUBLIC, first_port: 1, last_port: 999, rules: &rules };
                    let chosen = table.choose(Time(0), pool, &wanted).unwrap();
                    let new = NewFlow {
                        external: chosen.external,
                        mapping_policy: chosen.mapping_policy,
                        ..new
                    };
                    let opened = open(&mut table, Time(0), new);
                    assert!(matches!(opened, Ok(_) | Err(OpenError::MappingsFull)), "{opened:?}");
                    opened.ok()
                })
                .count()
        };
        assert_eq!([tries(ATTACKER), tries(VICTIM)], [6, 2]);
    }
}

/// Flows that others close do not shorten a tenant's hold-down (N-14, INV-hold-down-kept).
#[test]
fn hold_down_outlasts_others_short_flows() {
    let mut table = shared(Settings { held: 64, ..Settings::replayable(0) });
    let mine = NewFlow { protocol: Protocol::TCP, ..nth(VICTIM, 1) };
    let id = open(&mut table, Time(0), mine).unwrap();
    table.end(Time(0), id, Cause::Reset);
    for number in 1..=2000 {
        let new = NewFlow { protocol: Protocol::TCP, ..nth(ATTACKER, number) };
        let id = open(&mut table, Time(u64::from(number)), new).unwrap();
        // Their hold-down is longer, so the victim's is nearest to its time.
        table.end(Time(u64::from(number)), id, Cause::Fin);
    }
    assert!(table.counters().released_early > 1900);
    let hold_down_times = HoldDown::AZURE.reset.as_nanos() as u64;
    let next = NewFlow { internal: at([10, 4, 0, 5], 7), ..mine };
    assert_eq!(table.may_open(Time(hold_down_times - 1), next), Err(OpenError::TupleHeld));
    assert!(table.may_open(Time(hold_down_times), next).is_ok());
}

fn datagram(tenant: Tenant, identification: u16) -> FragmentKey {
    let zone = vnetem_nat::Zone(tenant.0);
    let (source, destination) = ([10, 0, 0, 4].into(), [52, 239, 1, 9].into());
    FragmentKey { zone, source, destination, protocol: Protocol::UDP, identification }
}

/// The oldest entry of the same tenant is removed (INV-fragment-state-bounded).
#[test]
fn first_fragments_are_replaced_within_tenant() {
    let mut fragments = Fragments::new(8, Duration::from_secs(30), Keys::replayable(0));
    fragments.share_among([ATTACKER, VICTIM]);
    let id = first_id();
    let mut note = |tenant, identification| {
        let span = Span { offset: 0, length: 8, last: false };
        fragments.note(Time(0), datagram(tenant, identification), span, id, Side::Internal, tenant);
    };
    note(VICTIM, 1);
    (1..=1000).for_each(|number| note(ATTACKER, number));
    note(VICTIM, 2);
    let known = |tenant, number| fragments.find(Time(0), &datagram(tenant, number)).is_some();
    assert!(known(VICTIM, 1) && known(VICTIM, 2));
    let of_attacker = (1..=1000).filter(|number| known(ATTACKER, *number));
    assert_eq!(of_attacker.collect::<Vec<_>>(), [995, 996, 997, 998, 999, 1000]);
}

fn first_id() -> FlowId {
    let mut table = FlowTable::new(Settings::replayable(0));
    open(&mut table, Time(0), flow(Protocol::UDP)).unwrap()
}

proptest! {
    /// Compares with lists: each tenant has its newest entries, as many as it has room for
    /// (INV-fragment-state-bounded).
    #[test]
    fn fragments_of_tenants_agree_with_lists(
        moves in proptest::collection::vec((0_u32..4, 0_u16..12, any::<bool>()), 0..120),
    ) {
        let mut fragments = Fragments::new(8, Duration::from_secs(30), Keys::replayable(0));
        let tenants = [Tenant(1), Tenant(2)];
        fragments.share_among(tenants);
        let id = first_id();
        let mut rows: Vec<(Tenant, u16)> = Vec::new();
        for (tenant, number, ends) in moves {
            // An unknown tenant counts as none.
            let tenant = Tenant(tenant);
            let row = if tenants.contains(&tenant) { tenant } else { Tenant::NOBODY };
            let key = datagram(row, number);
            if ends {
                fragments.pass(Time(0), &key, Span { offset: 8, length: 8, last: true });
                rows.retain(|entry| *entry != (row, number));
                continue;
            }
            let first = Span { offset: 0, length: 8, last: false };
            fragments.note(Time(0), key, first, id, Side::Internal, tenant);
            if rows.contains(&(row, number)) {
                continue;
            }
            let used = |of: Tenant| rows.iter().filter(|(other, _)| *other == of).count();
            let lacking: usize = tenants.iter().map(|of| 2_usize.saturating_sub(used(*of))).sum();
            let free = 8 - rows.len();
            let lacks = row != Tenant::NOBODY && used(row) < 2;
            if free == 0 || !lacks && free <= lacking {
                let Some(oldest) = rows.iter().position(|(of, _)| *of == row) else { continue };
                rows.remove(oldest);
            }
            rows.push((row, number));
            for of in [Tenant::NOBODY, tenants[0], tenants[1]] {
                for number in 0..12 {
                    let known = fragments.find(Time(0), &datagram(of, number)).is_some();
                    prop_assert_eq!(known, rows.contains(&(of, number)), "{:?} {}", of, number);
                }
            }
        }
    }
}
