//! Faults 23 to 26: the clock.

use std::time::Duration;

use vnetem::{DropReason, Edge, Settings, Time};

use crate::rig::{ACCOUNT, FILM, Rig, dropped, is_forwarded};

/// INV-clock-steps-harmless: with a clock that does not move everything works and nothing ends.
#[test]
fn fault_23_clock_stands_still() {
    let mut rig = Rig::new(Settings::replayable(0));
    for number in 0..2_000 {
        let line = format!("10.0.0.5:{} > {FILM} udp len 4", 2_000 + number);
        assert!(is_forwarded(rig.says(Edge::Subnet(rig.web), &line).0));
        rig.plane.handle_timeout(rig.now);
        rig.bystander_talks();
    }
    assert_eq!(rig.live(), 2_001);
    assert!(rig.plane.poll_timeout().is_some_and(|at| at > rig.now));
}

/// INV-clock-steps-harmless: a clock that goes back counts as standing still. Nothing ends early,
/// and nothing lives longer.
#[test]
fn fault_24_clock_goes_back() {
    let mut rig = Rig::new(Settings::replayable(0));
    rig.wait(Duration::from_secs(100));
    rig.bystander_talks();
    let latest = rig.now;
    for back in [1, 1_000_000_000, 100_000_000_000] {
        rig.now = Time(latest.0.saturating_sub(back));
        rig.plane.handle_timeout(rig.now);
        rig.bystander_talks();
    }
    rig.now = Time(0);
    rig.connect(rig.web, "10.0.0.5:40000", ACCOUNT);
    // Both flows were refreshed at the latest time, and end by it.
    rig.now = Time(latest.0 + 240_000_000_000 - 1);
    rig.plane.handle_timeout(rig.now);
    assert_eq!(rig.live(), 2);
    rig.wait(Duration::from_nanos(1));
    assert_eq!(rig.live(), 0);
}

/// INV-clock-steps-harmless: after a jump of 2^62 ns, and another to the end of time, everything
/// ends once. What is opened then works.
#[test]
fn fault_25_clock_leaps() {
    let mut rig = Rig::new(Settings::replayable(0));
    for port in 2_000..2_100 {
        rig.connect(rig.web, &format!("10.0.0.5:{port}"), ACCOUNT);
    }
    rig.now = Time(rig.now.0 + (1 << 62));
    rig.wait(Duration::ZERO);
    assert_eq!(rig.live(), 0);
    rig.call_the_film();
    rig.bystander_talks();
    rig.now = Time(u64::MAX);
    rig.wait(Duration::ZERO);
    let late = format!("10.0.0.5:2000 > {ACCOUNT} tcp A seq 1001 ack 9001");
    assert_eq!(rig.says(Edge::Subnet(rig.web), &late).0, dropped(DropReason::NoFlow));
    // At the end of time no deadline can be in the future, so a flow ends as soon as it is opened.
    let disposition = rig.says(Edge::Subnet(rig.web), &format!("10.0.0.6:1 > {ACCOUNT} tcp S")).0;
    assert!(is_forwarded(disposition), "{disposition:?}");
}

/// INV-deadline-exact, INV-work-bounded: 20,000 flows end in one tick. Packets in between do a
/// bounded part of the work, none finds an expired flow, and each flow has one event.
#[test]
fn fault_26_everything_expires_in_one_tick() {
    let mut rig = Rig::new(Settings::replayable(0));
    let web = Edge::Subnet(rig.web);
    for number in 0..20_000_u32 {
        let line =
            format!("10.0.0.{}:{} > {FILM} udp len 4", 5 + number % 200, 2_000 + number / 200);
        assert!(is_forwarded(rig.says(web, &line).0));
    }
    while rig.plane.poll_event().is_some() {}
    rig.now += Duration::from_secs(240);
    let (before, mut budget) = (rig.live(), 0);
    rig.says(web, &format!("10.0.0.5:1 > {FILM} tcp A seq 1"));
    budget += before - rig.live();
    assert!(budget <= 64, "one packet ended {budget} flows");
    assert_eq!(
        rig.says(web, &format!("10.0.0.5:2000 > {FILM} tcp A")).0,
        dropped(DropReason::NoFlow)
    );
    rig.wait(Duration::ZERO);
    assert_eq!(rig.live(), 0);
    let counters = rig.plane.flow_counters();
    assert_eq!((counters.opened, counters.total_ended()), (20_001, 20_001));
    rig.call_the_film();
    rig.bystander_talks();
}
