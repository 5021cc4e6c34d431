//! Checks that the measured loads do what they say.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on has failed")]

use vnetem::{Protocol, SubnetId};
use vnetem_load::{Estate, EstatePart, FrameSize, Load, LoadError, Shape, TogglePart};

const SMALL: Shape = Shape {
    size: FrameSize::Bytes(64),
    protocol: Protocol::TCP,
    flows: 1500,
    affected: 100,
    routes: 0,
    endpoint: false,
    batch: 32,
    shard: 0,
    seed: 7,
};

fn shapes() -> Vec<Shape> {
    let mut shapes = Vec::new();
    for batch in [1, 32] {
        for size in [FrameSize::Bytes(64), FrameSize::Bytes(1518), FrameSize::Imix] {
            for (protocol, endpoint) in
                [(Protocol::TCP, false), (Protocol::TCP, true), (Protocol::UDP, false)]
            {
                shapes.push(Shape { batch, size, protocol, endpoint, routes: 50, ..SMALL });
            }
        }
    }
    shapes
}

/// Every packet of every shape is forwarded, every flow opens, and all end at their deadline.
#[test]
fn what_is_measured_happens() {
    for shape in shapes() {
        let mut load = Load::new(shape).unwrap();
        for _ in 0..2 {
            assert_eq!(load.open(&mut |work| work()).unwrap(), 1500, "{shape:?}");
            assert_eq!(load.plane().flow_counters().live, 1500, "{shape:?}");
            let before = load.plane().counters().forwarded.packets;
            let packets = load.forward(&mut |work| work()).unwrap();
            assert!(packets >= 64, "{shape:?}");
            assert_eq!(load.plane().counters().forwarded.packets, before + packets);
            assert_eq!(load.expire(&mut |work| work()), 1500, "{shape:?}");
            assert_eq!(load.plane().flow_counters().live, 0, "{shape:?}");
        }
        assert_eq!(load.plane().counters().dropped.packets, 0, "{shape:?}");
    }
}

/// U-02: a toggle closes the flows of its subnet and no others, in either direction, and leaves the
/// load as it was.
#[test]
fn toggle_closes_its_subnets_flows_only() {
    for endpoint in [false, true] {
        let mut load = Load::new(Shape { endpoint, ..SMALL }).unwrap();
        load.open(&mut |work| work()).unwrap();
        for round in 0..3 {
            let mut parts = Vec::new();
            let mut note = |part, work: &mut dyn FnMut()| {
                work();
                parts.push(part);
            };
            let closed = if round == 1 {
                load.toggle_in_steps(&mut note).unwrap()
            } else {
                load.toggle(&mut note).unwrap()
            };
            assert_eq!(closed, 100);
            assert_eq!(parts[..2], [TogglePart::Commit, TogglePart::Apply]);
            assert_eq!(parts.len() > 3, round == 1, "a step for each packet of our own");
            assert_eq!(load.plane().flow_counters().live, 1500, "all are open again");
            load.forward(&mut |work| work()).unwrap();
        }
    }
}

/// With another batch size the packets and the counters are the same.
#[test]
fn batch_changes_only_the_time() {
    let run = |batch| {
        let mut load = Load::new(Shape { batch, size: FrameSize::Imix, ..SMALL }).unwrap();
        load.open(&mut |work| work()).unwrap();
        for _ in 0..5 {
            load.forward(&mut |work| work()).unwrap();
        }
        load.plane().counters().clone()
    };
    assert_eq!(run(1), run(32));
}

/// Work that is not done is an error.
#[test]
fn unforwarded_packets_are_an_error() {
    let mut load = Load::new(SMALL).unwrap();
    assert!(matches!(load.open(&mut |_| ()), Err(LoadError::Dropped { .. })));
    let udp = Shape { protocol: Protocol::UDP, endpoint: true, ..SMALL };
    assert!(matches!(Load::new(udp), Err(LoadError::EndpointOfTcpOnly)));
}

/// A round of opening and expiring takes two million seconds of virtual time, which ends after
/// 9,223 of them.
#[test]
fn rounds_go_on_past_virtual_time() {
    let mut load = Load::new(Shape { flows: 1, affected: 1, ..SMALL }).unwrap();
    for round in 0..20_000 {
        assert_eq!(load.open(&mut |work| work()).unwrap(), 1, "round {round}");
        assert_eq!(load.expire(&mut |work| work()), 1, "round {round}");
    }
}

/// Each change of an estate is one generation, and switches the endpoint of one subnet.
#[test]
fn estates_toggle_their_endpoints() {
    for (vnets, routes, last) in [(1, 0, 2), (20, 0, 40), (1, 70, 3)] {
        let mut parts = Vec::new();
        let timed = &mut |part, work: &mut dyn FnMut()| {
            parts.push(part);
            work();
        };
        let mut estate = Estate::new(vnets, routes, timed).unwrap();
        assert_eq!(parts, [EstatePart::Build, EstatePart::FirstCommit]);
        let has_endpoint = |estate: &Estate, subnet| {
            let routes = estate.plane().snapshot().effective_routes(SubnetId(subnet));
            routes.iter().any(|route| route.service.is_some())
        };
        // With routes the site has the first number.
        let first = last + 1 - 2 * vnets;
        let states = [(true, false), (true, true), (false, true), (false, false)];
        for (number, expected) in states.into_iter().cycle().take(8).enumerate() {
            if number % 2 == 0 {
                estate.toggle(&mut |work| work()).unwrap();
            } else {
                estate.bulk_edit(&mut |work| work()).unwrap();
            }
            let found = (has_endpoint(&estate, first), has_endpoint(&estate, last));
            assert_eq!(found, expected, "{vnets} {number}");
            assert_eq!(estate.plane().generation().0, u32::try_from(number).unwrap() + 2);
        }
        let learned = estate.plane().snapshot().effective_routes(SubnetId(first)).len();
        assert_eq!(learned > 70, routes > 0, "{learned}");
    }
}
