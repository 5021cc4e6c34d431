//! Faults 27 to 32: configurations that change under traffic.

use std::sync::{Arc, Barrier};
use std::thread;
use std::time::Duration;

use vnetem::{
    DataPlane, DropReason, Edge, EditError, Settings, SourceMode, Time,
    control::{NextHop, Scope},
};
use vnetem_verify::said::{Disposition, Forward};

use crate::rig::{ACCOUNT, BYSTANDER, FILM, Rig, bytes, dropped, is_forwarded, net, pool};

/// INV-one-generation-decides, INV-toggle-ends-exact-set, S-18: a thousand toggles, one a
/// millisecond, under traffic. The newest configuration decides each packet, and only service flows
/// close.
#[test]
fn fault_27_toggles_at_a_thousand_a_second() {
    let mut rig = Rig::new(Settings::replayable(0));
    let mut closed = 0;
    for toggle in 0..1_000_u16 {
        let on = toggle % 2 == 0;
        let client = format!("10.0.0.5:{}", 2_000 + toggle);
        match on {
            true => rig.network.enable_endpoint(rig.web, rig.storage, Scope::Worldwide).unwrap(),
            false => rig.network.disable_endpoint(rig.web, rig.storage).unwrap(),
        }
        let generation = rig.plane.generation();
        rig.apply();
        assert!(rig.plane.generation() > generation);
        let (disposition, _) =
            rig.says(Edge::Subnet(rig.web), &format!("{client} > {ACCOUNT} tcp S seq 1"));
        let Disposition::Forward(Forward { source, to, .. }) = disposition else {
            panic!("{disposition:?}")
        };
        let identified = matches!(to, Edge::Service { identity: Some(_), .. });
        assert_eq!(
            (source == SourceMode::Preserved, identified),
            (on, on),
            "INV-endpoint-source-private, INV-other-source-public"
        );
        closed += rig.made().len();
        rig.bystander_talks();
        rig.now += Duration::from_millis(1);
    }
    // Each flow before the last got two resets.
    assert_eq!(closed, 999 * 2);
    assert_eq!(rig.live(), 2);
}

/// INV-one-generation-decides, INV-routes-replaced-whole: all routes of a subnet are replaced in
/// one edit, repeatedly. A flow whose path stays the same stays open.
#[test]
fn fault_28_all_routes_replaced_under_load() {
    let mut rig = Rig::new(Settings::replayable(0));
    let web = rig.web;
    let route = |round: u32, at: u32| net(&format!("{}.{}.0.0/16", 60 + round % 3, at));
    for round in 0..50 {
        let replaced: Result<(), EditError> = rig.network.edit(|network| {
            for at in 0..100 {
                if round > 0 {
                    network.remove_route(web, route(round - 1, at))?;
                }
                let hop = if at % 2 == 0 { NextHop::None } else { NextHop::Internet };
                network.set_route(web, route(round, at), hop)?;
            }
            Ok(())
        });
        replaced.unwrap();
        rig.apply();
        for at in [0, 1, 98, 99] {
            let line = format!("10.0.0.5:40000 > {}.{at}.0.1:53 udp len 4", 60 + round % 3);
            let disposition = rig.says(Edge::Subnet(web), &line).0;
            match at % 2 {
                0 => assert_eq!(disposition, dropped(DropReason::RouteNone)),
                _ => assert!(is_forwarded(disposition), "{disposition:?}"),
            }
        }
        rig.bystander_talks();
    }
    assert_eq!(rig.made(), []);
}

/// INV-deleted-network-gone, INV-edits-idempotent: a network is deleted under its flows and made
/// again under the same names. Packets, flows and timers of the old one belong to nobody.
#[test]
fn fault_29_network_deleted_and_recreated() {
    let mut rig = Rig::new(Settings::replayable(0));
    let old = rig.beta;
    let seen = rig.connect(old, BYSTANDER, FILM);
    let vnet = rig.network.subnet(old).unwrap().vnet;
    rig.network.remove_subnet(old).unwrap();
    rig.network.remove_vnet(vnet).unwrap();
    let vnet = rig.network.add_vnet("beta", &[net("10.0.0.0/16")]).unwrap();
    let new = rig.network.add_subnet(vnet, "web", net("10.0.0.0/24")).unwrap();
    rig.network.set_outbound(new, pool([20, 2, 2, 2], 1024, 65_535)).unwrap();
    rig.apply();
    assert_ne!(new, old, "numbers are never used again");
    rig.made();
    let data = format!("{BYSTANDER} > {FILM} tcp A seq 1001 ack 9001 len 5");
    assert_eq!(rig.says(Edge::Subnet(old), &data).0, dropped(DropReason::UnknownEdge));
    assert_eq!(rig.says(Edge::Subnet(new), &data).0, dropped(DropReason::NoFlow));
    let answer = rig.says(Edge::Internet, &format!("{FILM} > {seen} tcp A seq 9001 ack 1001")).0;
    assert!(matches!(answer, Disposition::Drop(_)), "{answer:?}");
    rig.connect(new, "10.0.0.4:50002", FILM);
    rig.bystander_talks();
    rig.wait(Duration::from_secs(60));
    assert_eq!(rig.live(), 2);
}

/// INV-withdrawn-address-ends-flows, N-08: an address is taken out of a pool in use. Its flows end,
/// both ends are notified, and nothing leaves under it any more.
#[test]
fn fault_30_public_address_withdrawn_in_use() {
    let mut rig = Rig::new(Settings::replayable(0));
    let seen = rig.connect(rig.beta, "10.0.0.5:40000", FILM);
    assert_eq!(seen.ip().octets(), [20, 2, 2, 2]);
    rig.network.set_outbound(rig.beta, pool([20, 2, 2, 3], 1024, 65_535)).unwrap();
    rig.apply();
    assert_eq!(rig.made().len(), 2, "a reset to each end");
    let late = format!("10.0.0.5:40000 > {FILM} tcp A seq 1001 ack 9001 len 5");
    assert!(!is_forwarded(rig.says(Edge::Subnet(rig.beta), &late).0));
    let again = rig.connect(rig.beta, "10.0.0.5:40001", FILM);
    assert_eq!(again.ip().octets(), [20, 2, 2, 3]);
    rig.bystander_talks();
}

/// INV-failed-edit-changes-nothing: a bulk edit that fails at its k-th item, for each k, changes
/// nothing.
#[test]
fn fault_31_bulk_edit_fails_anywhere() {
    let mut rig = Rig::new(Settings::replayable(0));
    let (web, alpha, storage) = (rig.web, rig.alpha, rig.storage);
    for fails_at in 0..6 {
        let (before, snapshot) = (rig.network.clone(), rig.network.commit());
        let result: Result<(), EditError> = rig.network.edit(|network| {
            let wrong = |item| match item == fails_at {
                true => network_refuses(),
                false => Ok(()),
            };
            wrong(0)?;
            network.enable_endpoint(web, storage, Scope::Worldwide)?;
            wrong(1)?;
            network.add_subnet(alpha, "late", net("10.0.9.0/24"))?;
            wrong(2)?;
            network.set_route(web, net("60.0.0.0/8"), NextHop::None)?;
            wrong(3)?;
            network.set_outbound(web, pool([20, 9, 9, 9], 1024, 2048))?;
            wrong(4)?;
            network.set_service_prefixes(storage, &[net("52.240.0.0/16")])?;
            wrong(5)
        });
        assert!(result.is_err(), "{fails_at}");
        assert_eq!(rig.network, before, "{fails_at}");
        assert!(Arc::ptr_eq(&rig.network.commit(), &snapshot), "{fails_at}");
        rig.apply();
        rig.bystander_talks();
    }
}

/// Makes an edit that is always refused.
fn network_refuses() -> Result<(), EditError> {
    let mut network = vnetem::Network::new();
    network.add_vnet("one", &[net("10.0.0.0/16")])?;
    network.add_vnet("one", &[net("10.0.0.0/16")]).map(drop)
}

/// INV-one-generation-decides: a worker that pauses in the middle of a swap continues with the
/// whole configuration that it has, and then takes the newest.
#[test]
fn fault_32_reader_pauses_during_swap() {
    let mut rig = Rig::new(Settings::replayable(0));
    let (web, storage) = (rig.web, rig.storage);
    let (old, barrier) = (rig.network.commit(), Arc::new(Barrier::new(2)));
    let (paused, mailbox) = (Arc::clone(&barrier), Arc::new(std::sync::Mutex::new(None)));
    let mail = Arc::clone(&mailbox);
    let reader = thread::spawn(move || {
        let mut plane = DataPlane::new(Arc::clone(&old), Settings::replayable(0));
        let decide = |plane: &mut DataPlane, port: u16| {
            let mut packet = bytes(&format!("10.0.0.9:{port} > {ACCOUNT} tcp S"));
            let verdict = plane.process(Time(1), Edge::Subnet(web), &mut packet);
            let vnetem::Disposition::Forward(forward) = verdict.disposition else {
                panic!("{verdict:?}")
            };
            (verdict.generation, forward.source() == SourceMode::Preserved)
        };
        assert_eq!(decide(&mut plane, 1), (old.generation(), false));
        paused.wait(); // the writer makes a hundred configurations
        paused.wait();
        assert_eq!(decide(&mut plane, 2), (old.generation(), false));
        let newest: Arc<vnetem::Snapshot> = mail.lock().unwrap().take().unwrap();
        plane.apply(Time(1), Arc::clone(&newest));
        assert_eq!(decide(&mut plane, 3), (newest.generation(), true));
    });
    barrier.wait();
    for swap in 0..101 {
        match swap % 2 {
            0 => rig.network.enable_endpoint(web, storage, Scope::Worldwide).unwrap(),
            _ => rig.network.disable_endpoint(web, storage).unwrap(),
        }
        rig.apply();
        rig.bystander_talks();
    }
    *mailbox.lock().unwrap() = Some(rig.network.commit());
    barrier.wait();
    reader.join().unwrap();
}
