//! Faults 18 to 22: full tables.

use vnetem::{DropReason, Edge, EditError, Headers, Settings, control::Scope};
use vnetem_packet_text::fragments;

use crate::rig::{ACCOUNT, FILM, Rig, bytes, dropped, is_forwarded, net, pool, small};

/// INV-memory-bounded, INV-refused-only-when-full: with the table full, new flows are refused and
/// change nothing. Live ones go on, and one freed place allows one more flow.
#[test]
fn fault_18_flow_table_full() {
    let mut rig = Rig::new(small(4));
    let near = Edge::Subnet(rig.web);
    let open = |host: u8| format!("10.0.0.{host}:40000 > {FILM} tcp S seq 1");
    for host in 5..7 {
        assert!(is_forwarded(rig.says(near, &open(host)).0));
    }
    // The last place belongs to the other network.
    assert_eq!(rig.says(near, &open(7)).0, dropped(DropReason::FlowShareUsed));
    assert!(is_forwarded(rig.says(Edge::Subnet(rig.beta), &open(7)).0));
    let before = format!("{:?}", rig.plane.flow_counters());
    for host in 8..100 {
        assert_eq!(rig.says(near, &open(host)).0, dropped(DropReason::FlowTableFull));
    }
    assert_eq!(format!("{:?}", rig.plane.flow_counters()), before);
    rig.bystander_talks();
    rig.wait(std::time::Duration::from_secs(30));
    assert!(is_forwarded(rig.says(near, &open(9)).0));
    rig.bystander_talks();
}

/// INV-refused-only-when-full, INV-exhaustion-stays-local, N-17: the last port of a pool is given
/// and the next flow is refused. Other remotes and another network's pool have ports.
#[test]
fn fault_19_port_pool_empty() {
    let mut rig = Rig::new(Settings::replayable(0));
    rig.network.set_outbound(rig.beta, pool([20, 2, 2, 2], 2000, 2001)).unwrap();
    rig.apply();
    let near = Edge::Subnet(rig.beta);
    let open = |host: u8, to: &str| format!("10.0.0.{host}:40000 > {to} tcp S seq 1");
    assert!(
        is_forwarded(rig.says(near, &open(5, FILM)).0)
            && is_forwarded(rig.says(near, &open(6, FILM)).0)
    );
    for host in 7..50 {
        assert_eq!(rig.says(near, &open(host, FILM)).0, dropped(DropReason::SnatExhausted));
        assert!(is_forwarded(rig.says(Edge::Subnet(rig.web), &open(host, FILM)).0), "alpha's pool");
    }
    assert_eq!(rig.plane.flow_counters().opened, 1 + 2 + 43);
    assert!(is_forwarded(rig.says(near, &open(7, "93.184.216.35:443")).0), "another remote (N-12)");
    rig.bystander_talks();
}

/// INV-fragment-state-bounded: the oldest first fragment of a network is removed. Its later
/// fragments are dropped, and all others pass. The other network has its share.
#[test]
fn fault_20_fragment_table_full() {
    let mut rig = Rig::new(Settings { fragments: 4, ..Settings::replayable(0) });
    let near = Edge::Subnet(rig.web);
    let datagram = |id| {
        let line = format!("10.0.0.{}:40000 > 93.184.216.34:53 udp len 100", 5 + id);
        fragments(&bytes(&line), 76, id)
    };
    for id in 0..5 {
        assert!(is_forwarded(rig.send(near, &datagram(id)[0]).0));
    }
    for id in 0..5 {
        let disposition = rig.send(near, &datagram(id)[1]).0;
        match id {
            0 | 1 => assert_eq!(disposition, dropped(DropReason::FragmentWithoutFirst)),
            _ => assert!(is_forwarded(disposition), "{id}: {disposition:?}"),
        }
    }
    rig.bystander_talks();
}

/// INV-untaken-output-bounded: nobody takes the packets that the data plane makes. Answers beyond
/// the share of their network are dropped and counted. Resets of a change wait, and so does the
/// closing of further flows (docs/shares.md).
#[test]
fn fault_21_output_not_taken() {
    let mut rig = Rig::new(Settings { queue: 4, ..Settings::replayable(0) });
    for host in 5..25 {
        rig.connect(rig.web, &format!("10.0.0.{host}:40000"), ACCOUNT);
    }
    rig.network.enable_endpoint(rig.web, rig.storage, Scope::Worldwide).unwrap();
    rig.apply();
    for host in 5..25 {
        let late = format!("10.0.0.{host}:40000 > {ACCOUNT} tcp A seq 1001 ack 9001 len 10");
        let (disposition, _) = rig.says(Edge::Subnet(rig.web), &late);
        assert_eq!(disposition, dropped(DropReason::SourceSwitched));
        assert!(rig.plane.queued().0 <= 4);
    }
    assert_eq!((rig.live(), rig.plane.queued().0), (20, 2));
    for host in 5..25 {
        let packet = bytes(&format!("10.0.0.{host}:40000 > 93.184.216.34:53 udp len 4 ttl 1"));
        rig.send(Edge::Subnet(rig.web), &packet);
    }
    let counters = rig.plane.counters();
    assert_eq!((counters.queue_full.packets, counters.generated.packets), (17, 2 + 20));
    assert_eq!(rig.made().len(), 2 * 20 + 3);
    assert_eq!((rig.live(), rig.plane.counters().queue_full.packets), (1, 17));
    rig.bystander_talks();
}

/// INV-failed-edit-changes-nothing: an edit for which the control plane has no room is refused
/// completely, by name, and changes nothing. (Memory is allocated when a data plane or a snapshot
/// is made. Rust ends a process that gets none.)
#[test]
fn fault_22_no_room_in_the_control_plane() {
    let mut rig = Rig::new(Settings::replayable(0));
    for number in 1..vnetem::control::MAX_SERVICES {
        rig.network.add_service(&format!("s{number}"), &[]).unwrap();
    }
    rig.apply();
    let (before, snapshot) = (rig.network.clone(), rig.network.commit());
    let error = rig.network.edit(|network| {
        network.add_vnet("gamma", &[net("10.9.0.0/16")])?;
        network.add_service("one too many", &[]).map(drop)
    });
    let error: EditError = error.unwrap_err();
    assert!(!error.to_string().is_empty(), "{error}");
    assert_eq!(rig.network, before);
    assert!(std::sync::Arc::ptr_eq(&rig.network.commit(), &snapshot));
    rig.bystander_talks();
    let headers = Headers::parse(&bytes("10.0.0.5:1 > 8.8.8.8:53 udp len 1")).unwrap();
    assert!(!headers.dont_fragment);
}
