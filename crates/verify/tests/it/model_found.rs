//! Differences that the model found in the data plane, each in its smallest form.

#![allow(clippy::unwrap_used, reason = "a test that cannot be set up must fail")]

use std::net::Ipv4Addr;

use vnetem::{
    DataPlane, Disposition, DropReason, Edge, EventKind, Ipv4Net, Network, NicId, ServiceId,
    Settings, SubnetId, Time, VnetId,
    authz::{DefaultAction, RuleLimits, RuleSet},
    control::{NextHop, Outbound, Scope},
    nat::{Cause, PoolRules, TranslationEventKind},
};
use vnetem_packet_text::Packet;

fn net(text: &str) -> Ipv4Net {
    text.parse().unwrap()
}

/// Alpha with two subnets and an appliance, a hub network, and storage.
struct World {
    network: Network,
    plane: DataPlane,
    storage: ServiceId,
    vnets: [VnetId; 2],
    web: SubnetId,
    dmz: SubnetId,
    fw: NicId,
}

impl World {
    fn new(outbound: Outbound) -> Self {
        let mut network = Network::new();
        let storage = network.add_service("storage", &[net("52.239.0.0/16")]).unwrap();
        let alpha = network.add_vnet("alpha", &[net("10.0.0.0/16")]).unwrap();
        let hub = network.add_vnet("hub", &[net("10.1.0.0/16")]).unwrap();
        let web = network.add_subnet(alpha, "web", net("10.0.0.0/24")).unwrap();
        let dmz = network.add_subnet(hub, "dmz", net("10.1.9.0/24")).unwrap();
        network.peer(alpha, hub).unwrap();
        let fw = network.add_nic(dmz, "fw", Ipv4Addr::new(10, 1, 9, 4)).unwrap();
        network.set_ip_forwarding(fw, true).unwrap();
        network.set_outbound(web, outbound).unwrap();
        let plane = DataPlane::new(network.commit(), Settings::replayable(0));
        Self { network, plane, storage, vnets: [alpha, hub], web, dmz, fw }
    }

    fn send(&mut self, edge: Edge, packet: &[u8]) -> (Disposition, Vec<u8>) {
        let mut packet = packet.to_vec();
        let traced = self.plane.trace(Time(1), edge, &packet).verdict;
        let verdict = self.plane.process(Time(1), edge, &mut packet);
        assert_eq!(traced, verdict, "the trace explains what happens (INV-trace-equals-verdict)");
        (verdict.disposition, packet)
    }

    fn web_sends(&mut self, line: &str) -> (Disposition, Vec<u8>) {
        self.send(Edge::Subnet(self.web), &bytes(line))
    }

    fn apply(&mut self) {
        self.plane.apply(Time(1), self.network.commit());
    }

    /// Takes everything that waits. Returns the number of packets that the data plane made, and the
    /// events.
    fn drain(&mut self) -> (usize, Vec<EventKind>) {
        let made = std::iter::from_fn(|| self.plane.poll_transmit(Time(1))).count();
        (made, std::iter::from_fn(|| self.plane.poll_event()).map(|event| event.kind).collect())
    }
}

fn bytes(line: &str) -> Vec<u8> {
    line.parse::<Packet>().unwrap().build().to_vec()
}

fn gateway() -> Outbound {
    Outbound::NatGateway(vec![Ipv4Addr::new(20, 1, 1, 1)])
}

fn pool() -> Outbound {
    let addresses = vec![Ipv4Addr::new(20, 1, 1, 1)];
    Outbound::Pool { addresses, first_port: 1024, last_port: 65_535, rules: PoolRules::AZURE }
}

const SYN: &str = "10.0.0.5:50001 > 52.239.1.9:443 tcp S seq 100";

fn is_forwarded(disposition: Disposition) -> bool {
    matches!(disposition, Disposition::Forward(_))
}

/// INV-fragment-state-bounded, INV-tombstone-answers: a closed flow answers, and forwards nothing.
#[test]
fn closed_flow_drops_later_fragments() {
    let mut world = World::new(pool());
    assert!(is_forwarded(world.web_sends(SYN).0));
    let first = "10.0.0.5:50001 > 52.239.1.9:443 tcp S seq 100 len 36 frag id 7 offset 0 more";
    assert!(is_forwarded(world.web_sends(first).0));
    world.network.enable_endpoint(world.web, world.storage, Scope::Worldwide).unwrap();
    world.apply();
    world.drain();
    let (disposition, _) = world.web_sends("10.0.0.5 > 52.239.1.9 tcp len 16 frag id 7 offset 56");
    assert_eq!(disposition, Disposition::Drop(DropReason::FragmentWithoutFirst));
}

/// S-18: between a change and its draining, packets of flows that go on are not lost.
#[test]
fn unchanged_flow_loses_nothing_in_change() {
    let mut world = World::new(pool());
    assert!(is_forwarded(
        world.web_sends("10.0.0.5:7 > 52.239.1.9:53 udp len 16 frag id 7 offset 0 more").0
    ));
    world.network.set_route(world.web, net("172.20.0.0/16"), NextHop::None).unwrap();
    world.apply();
    assert!(is_forwarded(
        world.web_sends("10.0.0.5 > 52.239.1.9 udp len 16 frag id 7 offset 24").0
    ));
    let error =
        "10.0.0.5 > 52.239.1.9 icmp unreachable port about 52.239.1.9:53 > 10.0.0.5:7 udp len 8";
    assert!(is_forwarded(world.web_sends(error).0));
}

/// T-22, RFC 5508 REQ-3: the quote of a damaged error cannot be trusted.
#[test]
fn icmp_error_wrong_checksum_is_dropped() {
    let mut world = World::new(pool());
    assert!(is_forwarded(world.web_sends("10.0.0.5:7 > 52.239.1.9:53 udp len 8").0));
    let error =
        "10.0.0.5 > 52.239.1.9 icmp unreachable port about 52.239.1.9:53 > 10.0.0.5:7 udp len 8";
    let mut damaged = bytes(error);
    if let Some(sum) = damaged.get_mut(22) {
        *sum ^= 1;
    }
    let edge = Edge::Subnet(world.web);
    assert_eq!(world.send(edge, &damaged).0, Disposition::Drop(DropReason::IcmpChecksum));
    assert!(is_forwarded(world.web_sends(error).0));
}

/// S-24: in a common hub and spoke setup a spoke also routes the hub's own range to the appliance.
#[test]
fn peered_appliance_is_found_despite_routes() {
    let mut world = World::new(gateway());
    let fw = NextHop::VirtualAppliance(Ipv4Addr::new(10, 1, 9, 4));
    world.network.set_route(world.web, net("0.0.0.0/0"), fw).unwrap();
    world.network.set_route(world.web, net("10.1.0.0/16"), fw).unwrap();
    world.apply();
    let (disposition, _) = world.web_sends(SYN);
    assert!(
        matches!(disposition, Disposition::Forward(forward) if forward.to() == Edge::Nic(world.fw)),
        "{disposition:?}"
    );
}

/// N-07: a flow whose address still exists goes on, even if the new method would not carry it or
/// there is none.
#[test]
fn live_flows_keep_an_existing_address() {
    let ping = "10.0.0.5 > 52.239.1.9 icmp echo id 7";
    let mut world = World::new(pool());
    assert!(is_forwarded(world.web_sends(ping).0));
    world.network.set_outbound(world.web, gateway()).unwrap();
    world.apply();
    assert_eq!(world.drain(), (0, vec![EventKind::Opened]));
    assert!(is_forwarded(world.web_sends(ping).0));
    let another = world.web_sends("10.0.0.5 > 52.239.1.9 icmp echo id 8").0;
    assert_eq!(another, Disposition::Drop(DropReason::OutboundUnsupported));

    let mut world = World::new(Outbound::Default(Ipv4Addr::new(20, 1, 1, 9)));
    assert!(is_forwarded(world.web_sends(SYN).0));
    for outbound in [gateway(), Outbound::Private] {
        world.network.set_outbound(world.web, outbound).unwrap();
        world.apply();
    }
    assert_eq!(world.drain(), (0, vec![EventKind::Opened]));
}

/// N-08: the cause of the end is the removed address, not the path that fails without it.
#[test]
fn flow_of_removed_address_is_withdrawn() {
    let mut world = World::new(gateway());
    assert!(is_forwarded(world.web_sends(SYN).0));
    world.network.set_outbound(world.web, Outbound::Private).unwrap();
    world.apply();
    assert_eq!(world.drain(), (2, vec![EventKind::Opened, EventKind::Closed(Cause::Withdrawn)]));
}

/// INV-both-halves-end, INV-accepted-edit-in-force: a host that becomes a declared interface has
/// another edge. Its flows are closed, and not lost at a wrong edge.
#[test]
fn declaring_interface_closes_flows_of_address() {
    let mut world = World::new(gateway());
    assert!(is_forwarded(world.web_sends(SYN).0));
    world.network.add_nic(world.web, "vm", Ipv4Addr::new(10, 0, 0, 5)).unwrap();
    world.apply();
    assert_eq!(world.drain(), (2, vec![EventKind::Opened, EventKind::Closed(Cause::PathSwitched)]));
}

/// INV-both-halves-end, INV-accepted-edit-in-force: flows close when a private endpoint takes the
/// host's address.
#[test]
fn private_endpoint_closes_replaced_hosts_flows() {
    let mut world = World::new(gateway());
    assert!(is_forwarded(world.web_sends(SYN).0));
    let address = Ipv4Addr::new(52, 239, 1, 9);
    let rules = RuleSet::new(RuleLimits::STORAGE, DefaultAction::Deny);
    let account = world.network.add_resource(world.storage, "acct", address, rules).unwrap();
    let private = Ipv4Addr::new(10, 0, 0, 5);
    world.network.add_private_endpoint(world.web, "pe", private, account).unwrap();
    world.apply();
    assert_eq!(world.drain(), (2, vec![EventKind::Opened, EventKind::Closed(Cause::PathSwitched)]));
    assert_eq!(world.web_sends(SYN).0, Disposition::Drop(DropReason::SpoofedSource));
}

/// INV-events-in-order: the end of a replaced flow is reported before the new flow.
#[test]
fn reopening_reports_the_replaced_flows_end() {
    let mut world = World::new(gateway());
    assert!(is_forwarded(world.web_sends(SYN).0));
    assert!(is_forwarded(world.web_sends("10.0.0.5:50001 > 52.239.1.9:443 tcp R seq 101").0));
    assert!(is_forwarded(world.web_sends("10.0.0.5:50001 > 52.239.1.9:443 tcp S seq 900").0));
    let notified = [EventKind::Opened, EventKind::Ended(Cause::Reset), EventKind::Opened];
    assert_eq!(world.drain(), (0, notified.to_vec()));
}

/// INV-trace-equals-verdict: a trace predicts that a segment does not fit its connection; `send`
/// compares.
#[test]
fn trace_predicts_invalid_segments() {
    let mut world = World::new(gateway());
    assert!(is_forwarded(world.web_sends(SYN).0));
    let (disposition, _) = world.web_sends("10.0.0.5:50001 > 52.239.1.9:443 tcp FA seq 101 ack 1");
    assert_eq!(disposition, Disposition::Drop(DropReason::TcpInvalid));
}

/// T-37, RFC 6888 REQ-12: a log of ports must show when each was given back, also where a change
/// ended the flow.
#[test]
fn t_37_mapping_ended_by_change_notified() {
    use TranslationEventKind::{SessionCreated, SessionDeleted};
    let mut world = World::new(gateway());
    let settings = Settings { translation_events: 8, ..Settings::replayable(0) };
    world.plane = DataPlane::new(world.network.commit(), settings);
    assert!(is_forwarded(world.web_sends("10.0.0.5:7 > 198.51.100.1:53 udp len 8").0));
    world.network.set_outbound(world.web, Outbound::Private).unwrap();
    world.apply();
    world.drain();
    let notified = std::iter::from_fn(|| world.plane.poll_translation_event());
    assert_eq!(
        notified.map(|event| event.kind).collect::<Vec<_>>(),
        [SessionCreated, SessionDeleted]
    );
}

/// INV-special-addresses-refused: an interface that forwards sends for other hosts, and no host has
/// these addresses.
#[test]
fn forwarding_interface_sends_no_martian_sources() {
    let mut world = World::new(gateway());
    world.network.set_outbound(world.dmz, Outbound::Default(Ipv4Addr::new(20, 9, 9, 9))).unwrap();
    world.apply();
    let edge = Edge::Nic(world.fw);
    for martian in
        ["127.0.0.1", "0.1.2.3", "224.0.0.9", "240.1.1.1", "255.255.255.255", "169.254.1.1"]
    {
        let (disposition, _) =
            world.send(edge, &bytes(&format!("{martian}:7 > 52.239.1.9:53 udp len 8")));
        assert_eq!(disposition, Disposition::Drop(DropReason::MartianSource), "{martian}");
    }
    assert!(is_forwarded(world.send(edge, &bytes("10.0.0.5:7 > 10.0.0.6:53 udp len 8")).0));
}

/// INV-networks-isolated: neither ports nor identifications reveal one network's traffic to
/// another.
#[test]
fn one_network_never_observes_another() {
    let outputs = |other_speaks: bool| {
        let mut world = World::new(gateway());
        let [_, hub] = world.vnets;
        let app = world.network.add_subnet(hub, "app", net("10.1.0.0/24")).unwrap();
        let outbound = Outbound::NatGateway(vec![Ipv4Addr::new(20, 2, 2, 2)]);
        world.network.set_outbound(app, outbound).unwrap();
        world.apply();
        let stray =
            |address: &str| bytes(&format!("{address}:9 > 52.239.1.9:443 tcp A seq 5 ack 6"));
        if other_speaks {
            assert!(is_forwarded(
                world.send(Edge::Subnet(app), &bytes(&SYN.replace("10.0", "10.1"))).0
            ));
            world.send(Edge::Subnet(app), &stray("10.1.0.5"));
            world.drain();
        }
        let sent = world.web_sends(SYN);
        world.send(Edge::Subnet(world.web), &stray("10.0.0.5"));
        (sent, world.plane.poll_transmit(Time(1)))
    };
    assert!(outputs(true).1.is_some());
    assert_eq!(outputs(true), outputs(false));
}

/// N-11, INV-syn-opens-anew: the internet can open again at once what closed because an interface
/// began to forward.
#[test]
fn internet_reopens_after_interface_change() {
    let mut world = World::new(gateway());
    world.network.set_public_address(world.fw, Some(Ipv4Addr::new(20, 1, 1, 9))).unwrap();
    world.apply();
    let syn = bytes("198.51.100.20:1004 > 20.1.1.9:443 tcp S seq 100");
    assert!(matches!(world.send(Edge::Internet, &syn).0, Disposition::Forward(_)));
    world.network.set_ip_forwarding(world.fw, false).unwrap();
    world.apply();
    assert_eq!(world.drain().0, 2, "both ends hear of it");
    let again = bytes("198.51.100.20:1004 > 20.1.1.9:443 tcp S seq 200");
    assert!(matches!(world.send(Edge::Internet, &again).0, Disposition::Forward(_)));
}

/// N-11, T-17: only one interface has the ports of its own address, so a refused caller may call
/// again at once.
#[test]
fn internet_can_reconnect_after_refusal() {
    let mut world = World::new(gateway());
    world.network.set_public_address(world.fw, Some(Ipv4Addr::new(20, 1, 1, 9))).unwrap();
    world.apply();
    for sequence in [100, 200] {
        let syn = format!("198.51.100.20:1004 > 20.1.1.9:443 tcp S seq {sequence}");
        assert!(matches!(world.send(Edge::Internet, &bytes(&syn)).0, Disposition::Forward(_)));
        let no = format!("10.1.9.4:443 > 198.51.100.20:1004 tcp RA ack {}", sequence + 1);
        assert!(matches!(world.send(Edge::Nic(world.fw), &bytes(&no)).0, Disposition::Forward(_)));
    }
}

/// RFC 792: in a flow of queries the initiator asks and the other end answers, also with the
/// identifier 0, where both look up the same key.
#[test]
fn only_the_responder_answers_icmp_queries() {
    for id in [0, 7] {
        let mut world = World::new(pool());
        let reply = |ends: &str| format!("{ends} icmp reply id {id}");
        assert!(is_forwarded(world.web_sends(&format!("10.0.0.4 > 8.8.8.8 icmp echo id {id}")).0));
        let (disposition, _) = world.web_sends(&reply("10.0.0.4 > 8.8.8.8"));
        assert_eq!(disposition, Disposition::Drop(DropReason::NoFlow), "identifier {id}");
        let between = "10.0.0.4 > 10.0.0.5";
        assert!(is_forwarded(world.web_sends(&format!("{between} icmp echo id {id}")).0));
        let (disposition, _) = world.web_sends(&reply(between));
        assert_eq!(disposition, Disposition::Drop(DropReason::NoFlow), "identifier {id}");
        let answer = reply("10.0.0.5 > 10.0.0.4");
        assert!(is_forwarded(world.web_sends(&answer).0));
    }
}
