//! What is secret, what is replayable, and which configuration a data plane takes.

use std::time::Duration;

use vnetem::{
    Applied, DataPlane, Disposition, Edge, EditError, Headers, Mtu, Network, Settings, Time,
    control::{Outbound, Rollout},
};

use crate::packets::{datagram, end, ip, net, process};

/// A network with one subnet behind a gateway.
fn network() -> (Network, Edge) {
    let mut network = Network::new();
    let alpha = network.add_vnet("alpha", &[net("10.0.0.0/16")]).unwrap();
    let web = network.add_subnet(alpha, "web", net("10.0.0.0/24")).unwrap();
    network.set_outbound(web, Outbound::NatGateway(vec![ip("20.1.1.1")])).unwrap();
    (network, Edge::Subnet(web))
}

/// The public ports of the first hundred flows.
fn ports(settings: Settings) -> Vec<u16> {
    let (mut network, edge) = network();
    let mut plane = DataPlane::new(network.commit(), settings);
    let port = |number| {
        let mut packet = datagram(end("10.0.0.4:9"), end(&format!("8.8.8.8:{number}")), b"x");
        let verdict = plane.process(Time(0), edge, &mut packet);
        assert!(matches!(verdict.disposition, Disposition::Forward(_)));
        Headers::parse(&packet).unwrap().source_port
    };
    (1..=100).map(port).collect()
}

/// T-07, INV-same-input-same-bytes: two secret data planes have nothing in common, two replayable
/// ones of one seed everything.
#[test]
fn secret_planes_differ_replayable_ones_agree() {
    let (one, other) = (Settings::secret([1; 16]), Settings::secret([2; 16]));
    let same = |left: Vec<u16>, right: Vec<u16>| {
        left.iter().zip(&right).filter(|(left, right)| left == right).count()
    };
    assert!(same(ports(one), ports(other)) <= 2);
    assert_eq!(same(ports(Settings::replayable(7)), ports(Settings::replayable(7))), 100);
    assert!(same(ports(Settings::replayable(7)), ports(Settings::replayable(8))) <= 2);
    assert!(same(ports(Settings::replayable(1)), ports(one)) <= 2);
}

/// T-07: nothing shows a secret.
#[test]
fn a_secret_is_shown_nowhere() {
    let text = format!("{:?}", Settings::secret([0xA5; 16]));
    assert!(text.contains("keys: Secret,") && !text.contains("a5a5") && !text.contains("165"));
}

/// INV-accepted-edit-in-force: of two copies of a network that went different ways, a data plane
/// stays with the one that it has.
#[test]
fn copied_network_is_another() {
    let (mut network, _) = network();
    let first = network.commit();
    let mut plane = DataPlane::new(first.clone(), Settings::replayable(0));
    let mut copy = network.clone();
    network.add_vnet("beta", &[net("10.1.0.0/16")]).unwrap();
    copy.add_vnet("gamma", &[net("10.2.0.0/16")]).unwrap();
    let (ours, theirs) = (network.commit(), copy.commit());
    assert_eq!(ours.generation(), theirs.generation());
    assert_eq!(plane.apply(Time(0), ours.clone()), Applied::Taken);
    assert_eq!(plane.apply(Time(0), theirs.clone()), Applied::OfAnotherNetwork);
    assert_eq!(plane.apply(Time(0), ours), Applied::Same);
    assert_eq!(plane.apply(Time(0), first.clone()), Applied::Older);
    // Newer by its number is not enough.
    copy.add_vnet("delta", &[net("10.3.0.0/16")]).unwrap();
    assert_eq!(plane.apply(Time(0), copy.commit()), Applied::OfAnotherNetwork);
    assert_eq!(plane.generation().0, 2);
    // Whoever follows the copy from its beginning takes all of it.
    let mut other = DataPlane::new(first, Settings::replayable(0));
    assert_eq!(other.apply(Time(0), theirs), Applied::Taken);
    assert_eq!(other.apply(Time(0), copy.commit()), Applied::Taken);
    let (mut stranger, _) = self::network();
    for name in ["x", "y", "z"] {
        stranger.add_service(name, &[]).unwrap();
        assert_eq!(plane.apply(Time(0), stranger.commit()), Applied::OfAnotherNetwork);
    }
}

/// INV-failed-edit-changes-nothing: an edit that is tried in a copy and given up leaves no trace.
#[test]
fn dropped_draft_is_no_fork() {
    let (mut network, _) = network();
    let mut plane = DataPlane::new(network.commit(), Settings::replayable(0));
    let given_up: Result<(), ()> = network.edit(|draft| {
        draft.add_vnet("beta", &[net("10.1.0.0/16")]).map_err(drop)?;
        draft.commit();
        Err(())
    });
    assert!(given_up.is_err());
    for number in 1..=100 {
        let range = net(&format!("10.{number}.0.0/16"));
        network.add_vnet(&format!("vnet{number}"), &[range]).unwrap();
        let snapshot = network.commit();
        // A data plane that lags behind by more than the log is long knows its own line all the
        // same.
        if number % 90 == 0 {
            assert_eq!(plane.apply(Time(0), snapshot), Applied::Taken);
        }
    }
}

#[test]
fn sizes_beyond_the_limits_are_errors() {
    let week = Rollout::LONGEST;
    assert!(Rollout::new(1, week, week).is_ok());
    for (endpoints, rules) in [(Duration::MAX, week), (week, week + Duration::from_nanos(1))] {
        let refused = Rollout::new(1, endpoints, rules).map(drop);
        let Err(EditError::Limit { limit: 604_800, .. }) = refused else { panic!("{refused:?}") };
    }
    let fits = Settings::replayable(0);
    assert_eq!(fits.check(), Ok(()));
    let mut flows = fits;
    flows.flows.capacity = u32::MAX;
    let most = Settings::MOST_WAITING;
    let beyond = [
        (flows, "there can be at most 536870912 flows".to_owned()),
        (Settings { events: most + 1, ..fits }, format!("there can be at most {most} events")),
        (
            Settings { fragments: usize::MAX, ..fits },
            format!("there can be at most {most} first fragments"),
        ),
        (
            Settings { queue: usize::MAX, ..fits },
            format!("there can be at most {most} packets in the queue"),
        ),
        (
            Settings { unsolicited: usize::MAX, ..fits },
            format!("there can be at most {most} unsolicited SYNs"),
        ),
        (
            Settings { translation_events: usize::MAX, ..fits },
            format!("there can be at most {most} events of translations"),
        ),
    ];
    for (settings, text) in beyond {
        assert_eq!(settings.check().map_err(|error| error.to_string()), Err(text));
    }
    // And what is not checked is not given either.
    let (mut network, _) = network();
    let plane = DataPlane::new(network.commit(), Settings { events: usize::MAX, ..fits });
    assert_eq!(plane.queued(), (0, 0));
}

/// T-27, RFC 791 3.2: every link takes 68 bytes.
#[test]
fn mtu_below_68_is_refused() {
    let fits = Settings { mtu: Mtu { public: 68, private: 68 }, ..Settings::replayable(0) };
    assert_eq!(fits.check(), Ok(()));
    for (mtu, text) in [
        (Mtu { public: 67, private: 68 }, "the MTU of public links must be at least 68"),
        (Mtu { public: 1500, private: 0 }, "the MTU of private links must be at least 68"),
    ] {
        let refused = Settings { mtu, ..fits }.check().map_err(|error| error.to_string());
        assert_eq!(refused, Err(text.into()));
    }
    // What is not checked is as wide as it must be.
    let (mut network, web) = network();
    let narrow = Settings { mtu: Mtu { public: 1, private: 1 }, ..fits };
    let mut plane = DataPlane::new(network.commit(), narrow);
    for (bytes, forwarded) in [(40, true), (41, false)] {
        let mut packet = datagram(end("10.0.0.4:7"), end("8.8.8.8:53"), &vec![7; bytes]);
        let disposition = process(&mut plane, Time(1), web, &mut packet);
        assert_eq!(matches!(disposition, Disposition::Forward(_)), forwarded, "{disposition:?}");
    }
}
