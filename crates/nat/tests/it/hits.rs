//! Compares the fast path of a packet with the slow one.

use std::time::Duration;

use proptest::prelude::*;
use proptest::sample::select;
use vnetem_nat::{FlowTable, Side, Standing, State, Time, Track, Zone};
use vnetem_packet::{AddressPair, Protocol, Transport};

use crate::packets::{ACK, FIN, Packet, RST, SYN, segment};
use crate::world::{CLIENT, SERVER, SUBNET, World, ends};

/// Gives the side of a packet if it is a hit.
fn hit(table: &mut FlowTable<u32>, now: Time, side: Side, packet: &Packet) -> Option<Side> {
    let tuple = packet.headers.tuple();
    let zone = if side == Side::Internal { SUBNET } else { Zone::PUBLIC };
    let mut lookup = table.prepare_lookup(
        zone,
        AddressPair::new(tuple.source, tuple.destination),
        tuple.protocol,
    );
    table.look(&mut lookup);
    let segment = || match packet.headers.transport {
        Transport::Tcp(segment) => Some(segment),
        _ => None,
    };
    let length = u16::try_from(packet.bytes.len()).unwrap();
    table.hit(now, &lookup, segment, length, |_, _| true).map(|hit| hit.side)
}

/// Says whether the slow path lets a packet pass.
fn passes(table: &mut FlowTable<u32>, now: Time, side: Side, packet: &Packet) -> bool {
    let zone = if side == Side::Internal { SUBNET } else { Zone::PUBLIC };
    let found = table.find(now, zone, &packet.headers.tuple());
    let Some(found) = found.filter(|found| found.standing == Standing::Live) else { return false };
    assert_eq!(found.side, side);
    table.track(now, found.id, side, &packet.headers, &packet.bytes) == Track::Pass
}

/// A packet that begins or ends a connection takes the slow path, and the fast one leaves it
/// unchanged (INV-inexact-reset-ignored, INV-packets-allocate-nothing).
#[test]
fn syn_and_rst_miss_fast_path() {
    let mut world = World::established();
    for side in [Side::Internal, Side::External] {
        let (sequence, acknowledgement) = match side {
            Side::Internal => (CLIENT + 1, SERVER + 1),
            Side::External => (SERVER + 1, CLIENT + 1),
        };
        for flags in [SYN, SYN | ACK, RST, RST | ACK] {
            let packet = world.packet(side, segment(flags, sequence, acknowledgement, 0));
            let before = world.table.flow(world.id);
            assert_eq!(hit(&mut world.table, world.now, side, &packet), None, "{flags:06b}");
            assert_eq!(world.table.flow(world.id), before);
        }
        let packet = world.packet(side, segment(ACK, sequence, acknowledgement, 0));
        assert_eq!(hit(&mut world.table, world.now, side, &packet), Some(side));
    }
}

/// The first reply makes a datagram flow two-way, on the fast path too (RFC 4787 4.3).
#[test]
fn fast_path_records_first_answer() {
    let mut world = World::opened(Protocol::UDP);
    let (source, destination) = ends(&world.new, Side::Internal);
    assert_eq!(
        hit(&mut world.table, world.now, Side::Internal, &Packet::udp(source, destination)),
        Some(Side::Internal)
    );
    assert_eq!(world.state(), State::OneWay);
    let (source, destination) = ends(&world.new, Side::External);
    assert_eq!(
        hit(&mut world.table, world.now, Side::External, &Packet::udp(source, destination)),
        Some(Side::External)
    );
    assert_eq!(world.state(), State::TwoWay);
}

#[test]
fn vacancies_are_what_still_fits() {
    let world = World::opened(Protocol::UDP);
    let empty = FlowTable::<u32>::new(vnetem_nat::Settings::replayable(0));
    assert_eq!(world.table.vacancies() + 1, empty.vacancies());
}

proptest! {
    /// A hit is a packet that the slow path lets pass, and both leave the flow in the same state.
    #[test]
    fn fast_path_tracks_like_slow_path(
        protocol in select(vec![Protocol::TCP, Protocol::UDP]),
        steps in proptest::collection::vec(
            (any::<bool>(), select(vec![ACK, ACK, ACK, FIN | ACK, SYN, SYN | ACK, RST]), 0_u32..3, 0_u16..40, 0_u64..20),
            1..40,
        ),
    ) {
        let world = || match protocol {
            Protocol::TCP => World::established(),
            _ => World::opened(protocol),
        };
        let [mut short, mut long] = [world(), world()];
        let mut next = [CLIENT + 1, SERVER + 1];
        for (external, flags, ahead, payload, seconds) in steps {
            let side = if external { Side::External } else { Side::Internal };
            let (source, destination) = ends(&long.new, side);
            let numbers = if external { [next[1], next[0]] } else { next };
            let packet = match protocol {
                Protocol::TCP => Packet::tcp(source, destination, segment(flags, numbers[0] + ahead, numbers[1], payload)),
                _ => Packet::udp(source, destination),
            };
            next[usize::from(external)] += u32::from(payload);
            let now = long.now + Duration::from_secs(seconds);
            (short.now, long.now) = (now, now);
            let passed = passes(&mut long.table, now, side, &packet);
            match hit(&mut short.table, now, side, &packet) {
                Some(found) => prop_assert!(passed && found == side),
                None => prop_assert_eq!(passes(&mut short.table, now, side, &packet), passed),
            }
            prop_assert_eq!(short.table.flow(short.id), long.table.flow(long.id));
        }
    }
}
