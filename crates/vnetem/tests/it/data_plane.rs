//! The data plane as its users call it: what becomes of packets, flows and counters when the
//! configuration changes under them.

use std::net::{Ipv4Addr, SocketAddrV4};
use std::time::Duration;

use vnetem::{
    AccessVerdict, CloseMode, DataPlane, DenyReason, Disposition, DropReason, Edge, EventKind,
    Forward, Headers, Ipv4Net, Network, NicId, Protocol, ServiceId, Settings, SourceMode, SubnetId,
    Time, Transmit, VnetId,
    authz::{DefaultAction, DenyMode, IpRule, Refusal, RuleLimits, RuleSet, RuleState},
    control::{NextHop, Outbound, OutboundRule, Scope},
    nat::Cause,
};

use crate::packets::{datagram, end, ip, net, segment, summed};

struct World {
    network: Network,
    plane: DataPlane,
    now: Time,
    alpha: VnetId,
    web: SubnetId,
    storage: ServiceId,
}

const ACCOUNT: &str = "52.239.1.9:443";
const VM: &str = "10.0.0.4:50001";

impl World {
    fn new(settings: Settings) -> Self {
        let mut network = Network::new();
        let storage = network.add_service("storage", &[net("52.239.0.0/16")]).unwrap();
        let alpha = network.add_vnet("alpha", &[net("10.0.0.0/16")]).unwrap();
        let web = network.add_subnet(alpha, "web", net("10.0.0.0/24")).unwrap();
        network.set_outbound(web, Outbound::NatGateway(vec![ip("20.1.1.1")])).unwrap();
        let plane = DataPlane::new(network.commit(), settings);
        Self { network, plane, now: Time(0), alpha, web, storage }
    }

    fn apply(&mut self) {
        self.plane.apply(self.now, self.network.commit());
    }

    fn wait(&mut self, duration: Duration) {
        self.now += duration;
    }

    fn send(&mut self, edge: Edge, mut packet: Vec<u8>) -> (Disposition, Vec<u8>) {
        let before = packet.clone();
        let traced = self.plane.trace(self.now, edge, &packet).verdict;
        let verdict = self.plane.process(self.now, edge, &mut packet);
        assert_eq!(traced, verdict, "INV-trace-equals-verdict: the trace is what happens");
        let disposition = verdict.disposition;
        if !matches!(disposition, Disposition::Forward(_)) {
            assert_eq!(packet, before, "only a forwarded packet's bytes change");
        }
        self.check_accounts();
        (disposition, packet)
    }

    /// INV-packets-conserved, INV-one-cause-per-drop, INV-flows-conserved after every step.
    fn check_accounts(&self) {
        let c = self.plane.counters();
        let (queued, queued_bytes) = self.plane.queued();
        assert_eq!(
            c.received.packets + c.generated.packets,
            c.forwarded.packets
                + c.transmitted.packets
                + c.denied.packets
                + c.dropped.packets
                + queued as u64
        );
        assert_eq!(
            c.received.bytes + c.generated.bytes,
            c.forwarded.bytes
                + c.transmitted.bytes
                + c.denied.bytes
                + c.dropped.bytes
                + queued_bytes as u64
        );
        let by_reason: u64 = DropReason::all().map(|reason| c.drops(reason)).sum();
        assert_eq!(by_reason + c.queue_full.packets, c.dropped.packets);
        let f = self.plane.flow_counters();
        assert_eq!(f.opened - f.total_ended(), u64::from(f.live) + u64::from(f.tombstones));
    }

    fn forwarded(&mut self, edge: Edge, packet: Vec<u8>) -> (Forward, Vec<u8>) {
        match self.send(edge, packet) {
            (Disposition::Forward(forward), packet) => (forward, packet),
            (disposition, _) => panic!("not forwarded: {disposition:?}"),
        }
    }

    /// An established connection; where its packets leave and under which source.
    fn connect(&mut self, from: Edge, client: &str, server: &str) -> (Edge, SocketAddrV4) {
        let (client, server) = (end(client), end(server));
        let (forward, packet) = self.forwarded(from, tcp(client, server, "S", 1000, 0));
        let source = Headers::parse(&packet).unwrap().tuple().source;
        let to = forward.edge(self.plane.snapshot());
        self.forwarded(to, tcp(server, source, "SA", 9000, 1001));
        self.forwarded(from, tcp(client, server, "A", 1001, 9001));
        (to, source)
    }

    fn made(&mut self) -> Vec<Transmit> {
        let mut all = Vec::new();
        if self.plane.queued().0 > 0 {
            assert_eq!(self.plane.poll_timeout(), Some(self.now), "at once if packets wait");
        }
        let before = self.plane.counters().transmitted.bytes;
        while let Some(made) = self.plane.poll_transmit(self.now) {
            all.push(made);
        }
        let bytes: usize = all.iter().map(|made: &Transmit| made.packet.len()).sum();
        assert_eq!(self.plane.counters().transmitted.bytes - before, bytes as u64);
        self.check_accounts();
        all
    }

    fn vm(&self) -> Edge {
        Edge::Subnet(self.web)
    }

    fn enable(&mut self) {
        self.network.enable_endpoint(self.web, self.storage, Scope::Worldwide).unwrap();
        self.apply();
    }

    fn closed(&mut self) -> Vec<(SocketAddrV4, Cause)> {
        std::iter::from_fn(|| self.plane.poll_event())
            .filter_map(|event| match event.kind {
                EventKind::Closed(cause) => Some((event.tuple.source, cause)),
                _ => None,
            })
            .collect()
    }
}

fn tcp(
    source: SocketAddrV4,
    destination: SocketAddrV4,
    flags: &str,
    sequence: u32,
    acknowledgement: u32,
) -> Vec<u8> {
    segment(source, destination, flags, (sequence, acknowledgement), &[])
}

fn udp(source: &str, destination: &str) -> Vec<u8> {
    datagram(end(source), end(destination), b"question")
}

fn syn(client: &str, server: &str) -> Vec<u8> {
    tcp(end(client), end(server), "S", 1000, 0)
}

fn reset_of(made: &Transmit) -> (u32, u32) {
    let headers = Headers::parse(&made.packet).unwrap();
    match headers.transport {
        vnetem::packet::Transport::Tcp(segment) => {
            assert!(segment.flags.contains(vnetem::packet::TcpFlags::RST));
            (segment.sequence, segment.acknowledgement)
        }
        _ => panic!("no reset: {headers}"),
    }
}

/// S-17, S-18, INV-toggle-ends-exact-set, INV-reset-number-exact, U-01: both ends are reset with
/// the exact sequence; the internet connection and UDP to the service live on. (T-12)
#[test]
fn toggle_resets_both_ends() {
    let mut world = World::new(Settings::replayable(0));
    let (service, public) = world.connect(world.vm(), VM, ACCOUNT);
    let (internet, elsewhere) = world.connect(world.vm(), "10.0.0.4:50002", "8.8.8.8:443");
    let (disposition, _) = world.send(world.vm(), udp("10.0.0.4:50003", "52.239.1.9:53"));
    assert!(matches!(disposition, Disposition::Forward(_)));
    world.enable();
    let made = world.made();
    assert_eq!(made.len(), 2);
    assert_eq!(made[0].to, world.vm());
    assert_eq!(Headers::parse(&made[0].packet).unwrap().tuple().destination, end(VM));
    assert_eq!(reset_of(&made[0]), (9001, 1001));
    assert_eq!(made[1].to, service);
    assert_eq!(Headers::parse(&made[1].packet).unwrap().tuple().source, public);
    assert_eq!(reset_of(&made[1]), (1001, 9001));
    assert_eq!(world.closed(), [(end(VM), Cause::SourceSwitched)]);
    // The others go on, both ways.
    world.forwarded(world.vm(), tcp(end("10.0.0.4:50002"), end("8.8.8.8:443"), "A", 1001, 9001));
    world.forwarded(internet, tcp(end("8.8.8.8:443"), elsewhere, "A", 9001, 1001));
    world.forwarded(world.vm(), udp("10.0.0.4:50003", "52.239.1.9:53"));
}

/// The same, but at the flow's next packet rather than by `poll_transmit`: whichever comes first.
#[test]
fn next_packet_closes_stale_flow() {
    let mut world = World::new(Settings::replayable(0));
    let (service, public) = world.connect(world.vm(), VM, ACCOUNT);
    world.enable();
    let (disposition, _) = world.send(service, tcp(end(ACCOUNT), public, "A", 9001, 1001));
    assert_eq!(disposition, Disposition::Drop(DropReason::SourceSwitched));
    assert_eq!(world.made().len(), 2);
    // INV-tombstone-answers: later segments are answered with a reset that is exact by
    // construction, and never delivered.
    let (disposition, _) = world.send(world.vm(), tcp(end(VM), end(ACCOUNT), "A", 1001, 9001));
    assert_eq!(disposition, Disposition::Drop(DropReason::FlowClosed));
    let made = world.made();
    assert_eq!((made.len(), made[0].to), (1, world.vm()));
    assert_eq!(reset_of(&made[0]).0, 9001);
    // INV-resets-bounded: never in answer to a reset.
    world.send(world.vm(), tcp(end(VM), end(ACCOUNT), "RA", 1001, 9001));
    assert!(world.made().is_empty());
}

/// U-01: who is told is a mode.
#[test]
fn closing_mode_decides_who_is_notified() {
    for (closing, notified) in
        [(CloseMode::Both, 2), (CloseMode::Initiator, 1), (CloseMode::Silent, 0)]
    {
        let mut world = World::new(Settings { closing, ..Settings::replayable(0) });
        let (service, public) = world.connect(world.vm(), VM, ACCOUNT);
        world.enable();
        let made = world.made();
        assert_eq!(made.len(), notified, "{closing:?}");
        assert!(made.iter().take(1).all(|made| made.to == world.vm()));
        for (edge, packet, answered) in [
            (world.vm(), tcp(end(VM), end(ACCOUNT), "A", 1001, 9001), closing != CloseMode::Silent),
            (service, tcp(end(ACCOUNT), public, "A", 9001, 1001), closing == CloseMode::Both),
        ] {
            world.send(edge, packet);
            assert_eq!(world.made().len(), usize::from(answered), "{closing:?} {edge:?}");
        }
    }
}

/// INV-toggle-idempotent: there and back with no packet between leaves every flow as it was.
#[test]
fn toggling_twice_between_packets_closes_nothing() {
    let mut world = World::new(Settings::replayable(0));
    world.connect(world.vm(), VM, ACCOUNT);
    world.network.enable_endpoint(world.web, world.storage, Scope::Worldwide).unwrap();
    let on = world.network.commit();
    world.network.disable_endpoint(world.web, world.storage).unwrap();
    let off = world.network.commit();
    world.plane.apply(world.now, on);
    world.plane.apply(world.now, off);
    assert!(world.made().is_empty());
    world.forwarded(world.vm(), tcp(end(VM), end(ACCOUNT), "A", 1001, 9001));
}

/// A data plane that skips generations, even more than are logged, misses no change.
#[test]
fn skipped_generations_are_caught_up_with() {
    for skipped in [1, 30, 200] {
        let mut world = World::new(Settings::replayable(0));
        world.connect(world.vm(), VM, ACCOUNT);
        world.network.enable_endpoint(world.web, world.storage, Scope::Worldwide).unwrap();
        world.network.commit();
        for n in 0..skipped {
            world
                .network
                .set_route(
                    world.web,
                    Ipv4Net::new(Ipv4Addr::new(99, 0, n, 0), 24).unwrap(),
                    NextHop::None,
                )
                .unwrap();
            world.network.commit();
        }
        world.apply();
        assert_eq!(world.made().len(), 2, "{skipped} skipped");
        // An older snapshot is ignored.
        let old = World::new(Settings::replayable(0)).network.commit();
        let generation = world.plane.generation();
        world.plane.apply(world.now, old);
        assert_eq!(world.plane.generation(), generation);
    }
}

/// INV-prefix-change-exact, U-02: a prefix that joins or leaves an enabled service switches exactly
/// the flows to it.
#[test]
fn prefix_change_switches_exactly_its_flows() {
    let mut world = World::new(Settings::replayable(0));
    world.enable();
    world.connect(world.vm(), "10.0.0.4:1", "52.239.1.9:443");
    world.connect(world.vm(), "10.0.0.4:2", "40.0.0.1:443");
    world.connect(world.vm(), "10.0.0.4:3", "8.8.8.8:443");
    world
        .network
        .set_service_prefixes(world.storage, &[net("52.239.0.0/16"), net("40.0.0.0/24")])
        .unwrap();
    world.apply();
    assert_eq!(world.made().len(), 2);
    assert_eq!(world.closed(), [(end("10.0.0.4:2"), Cause::SourceSwitched)]);
    world.network.set_service_prefixes(world.storage, &[net("40.0.0.0/24")]).unwrap();
    world.apply();
    assert_eq!(world.made().len(), 2);
    assert_eq!(world.closed(), [(end("10.0.0.4:1"), Cause::SourceSwitched)]);
    world.forwarded(world.vm(), tcp(end("10.0.0.4:3"), end("8.8.8.8:443"), "A", 1001, 9001));
}

/// INV-prefix-change-exact, C-06: so does a prefix that moves out of the scope of an endpoint, into
/// another region.
#[test]
fn region_change_switches_exactly_its_flows() {
    let mut world = World::new(Settings::replayable(0));
    let place = |world: &mut World, region: &str| {
        // Both are there before and after, so that they keep their numbers.
        let others = [("52.239.2.0/24", "westeurope"), ("52.239.3.0/24", "eastus")];
        let regions = [("52.239.1.0/24", region)].into_iter().chain(others);
        let regions = regions.map(|(prefix, region)| (net(prefix), region.to_owned()));
        world.network.set_service_regions(world.storage, regions).unwrap();
    };
    place(&mut world, "westeurope");
    let scope = Scope::Regions(["westeurope".to_owned()].into());
    world.network.enable_endpoint(world.web, world.storage, scope).unwrap();
    world.apply();
    world.connect(world.vm(), "10.0.0.4:1", "52.239.1.9:443");
    world.connect(world.vm(), "10.0.0.4:2", "52.239.2.9:443");
    place(&mut world, "eastus");
    world.apply();
    assert_eq!(world.made().len(), 2);
    assert_eq!(world.closed(), [(end("10.0.0.4:1"), Cause::SourceSwitched)]);
}

/// INV-trace-equals-verdict: a segment without a place in its connection is dropped, which the plan
/// says already.
#[test]
fn invalid_segment_is_dropped() {
    let mut world = World::new(Settings::replayable(0));
    world.forwarded(world.vm(), syn(VM, "8.8.8.8:443"));
    let (disposition, _) = world.send(world.vm(), tcp(end(VM), end("8.8.8.8:443"), "FA", 1001, 1));
    assert_eq!(disposition, Disposition::Drop(DropReason::TcpInvalid));
}

/// INV-prefix-change-exact: where no endpoint is enabled, a tag update closes nothing, though the
/// packets now leave by the service's edge.
#[test]
fn tag_update_without_endpoint_closes_nothing() {
    let mut world = World::new(Settings::replayable(0));
    world.connect(world.vm(), VM, "40.0.0.1:443");
    world
        .network
        .set_service_prefixes(world.storage, &[net("52.239.0.0/16"), net("40.0.0.0/24")])
        .unwrap();
    world.apply();
    assert!(world.made().is_empty());
    let (forward, _) =
        world.forwarded(world.vm(), tcp(end(VM), end("40.0.0.1:443"), "A", 1001, 9001));
    assert_eq!(forward.to(), Edge::Service { service: world.storage, identity: None });
}

/// N-07: attaching a NAT gateway leaves live flows where they are; N-08: taking an address away
/// ends its flows and no others.
#[test]
fn gateway_retains_flows_until_address_removal() {
    let mut world = World::new(Settings::replayable(0));
    world.network.set_outbound(world.web, Outbound::Private).unwrap();
    world.network.set_outbound(world.web, Outbound::Default(ip("20.9.9.9"))).unwrap();
    world.apply();
    let (_, default) = world.connect(world.vm(), "10.0.0.4:1", "8.8.8.8:443");
    assert_eq!(*default.ip(), ip("20.9.9.9"));
    world.network.set_outbound(world.web, Outbound::NatGateway(vec![ip("20.1.1.1")])).unwrap();
    world.apply();
    let (_, gateway) = world.connect(world.vm(), "10.0.0.4:2", "8.8.8.8:443");
    assert_eq!(*gateway.ip(), ip("20.1.1.1"));
    // Another change makes the plane revalidate both: they remain.
    world.network.set_route(world.web, net("99.0.0.0/8"), NextHop::None).unwrap();
    world.apply();
    assert!(world.made().is_empty());
    world.forwarded(world.vm(), tcp(end("10.0.0.4:1"), end("8.8.8.8:443"), "A", 1001, 9001));
    world.network.set_outbound(world.web, Outbound::NatGateway(vec![ip("20.1.1.2")])).unwrap();
    world.apply();
    assert_eq!(world.made().len(), 2);
    assert_eq!(world.closed(), [(end("10.0.0.4:2"), Cause::Withdrawn)]);
}

fn rules(default: DefaultAction) -> RuleSet {
    RuleSet::new(RuleLimits::STORAGE, default)
}

/// S-06, S-16, INV-endpoint-voids-ip-rule, INV-group-replaced-whole: what the service is told
/// follows the rules of the moment, without closing the flow.
#[test]
fn access_follows_rules_flows_stay_open() {
    let mut world = World::new(Settings::replayable(0));
    let mut selected = rules(DefaultAction::Deny);
    selected.add_ip_rule(IpRule::Address(ip("20.1.1.1"))).unwrap();
    let account = world
        .network
        .add_resource(world.storage, "acct", ip("52.239.1.9"), selected.clone())
        .unwrap();
    world.apply();
    let (forward, _) = world.forwarded(world.vm(), syn(VM, ACCOUNT));
    assert_eq!(forward.access(), AccessVerdict::Allowed);
    // The endpoint: the address rule matches no more, and no rule names the subnet yet.
    world.enable();
    let (forward, _) = world.forwarded(world.vm(), syn("10.0.0.4:50002", ACCOUNT));
    assert_eq!(
        (forward.source(), forward.access()),
        (SourceMode::Preserved, AccessVerdict::Refused(Refusal::SubnetNotListed))
    );
    assert_eq!(world.plane.counters().refusals(Refusal::SubnetNotListed), 1);
    selected.set_vnet_rule(world.web, RuleState::Succeeded).unwrap();
    world.network.set_rules(account, selected).unwrap();
    world.apply();
    let (forward, _) = world.forwarded(world.vm(), syn("10.0.0.4:50002", ACCOUNT));
    assert_eq!(forward.access(), AccessVerdict::Allowed);
    world.made();
    assert_eq!(world.closed(), [(end(VM), Cause::SourceSwitched)]);
}

/// P-32: a refused packet is delivered, answered with a reset, or dropped.
#[test]
fn deny_modes_deliver_reset_or_drop() {
    for mode in [DenyMode::Deliver, DenyMode::Reset, DenyMode::Drop] {
        let mut world = World::new(Settings::replayable(0));
        world
            .network
            .add_resource(world.storage, "acct", ip("52.239.1.9"), rules(DefaultAction::Deny))
            .unwrap();
        world.network.set_deny_mode(mode);
        world.apply();
        let (disposition, _) = world.send(world.vm(), syn(VM, ACCOUNT));
        let made = world.made();
        let refused = AccessVerdict::Refused(Refusal::AddressNotListed);
        let denied = Disposition::Deny(DenyReason::Refused(Refusal::AddressNotListed));
        match mode {
            DenyMode::Deliver => assert!(
                matches!(disposition, Disposition::Forward(forward) if forward.access() == refused)
            ),
            DenyMode::Reset => {
                assert_eq!((disposition, made.len()), (denied, 1));
                assert_eq!(reset_of(&made[0]), (0, 1001));
            }
            DenyMode::Drop => assert_eq!((disposition, made.len()), (denied, 0)),
        }
        assert_eq!(world.plane.flow_counters().live, u32::from(mode == DenyMode::Deliver));
    }
}

/// INV-spoofed-source-dropped, INV-special-addresses-refused, R-24, INV-identity-not-forged: who
/// may send what from where.
#[test]
fn impossible_sources_are_dropped() {
    let mut world = World::new(Settings::replayable(0));
    let fixed = world.network.add_nic(world.web, "fixed", ip("10.0.0.9")).unwrap();
    let router = world.network.add_nic(world.web, "router", ip("10.0.0.10")).unwrap();
    world.network.set_ip_forwarding(router, true).unwrap();
    let another = world.network.add_service("another", &[net("52.240.0.0/16")]).unwrap();
    world.apply();
    let storage = world.storage;
    let forged =
        vnetem::Identity { vnet: world.alpha, subnet: world.web, address: ip("10.0.0.77") };
    for (edge, packet, reason) in [
        (world.vm(), syn("10.0.1.4:1", ACCOUNT), DropReason::SpoofedSource),
        (Edge::Nic(fixed), syn("10.0.0.4:1", ACCOUNT), DropReason::SpoofedSource),
        (Edge::Nic(NicId(99)), syn("10.0.0.4:1", ACCOUNT), DropReason::UnknownEdge),
        (Edge::Subnet(SubnetId(99)), syn("10.0.0.4:1", ACCOUNT), DropReason::UnknownEdge),
        (Edge::Internet, syn("10.0.0.4:1", ACCOUNT), DropReason::SpoofedSource),
        (Edge::Internet, syn("20.1.1.1:1", ACCOUNT), DropReason::SpoofedSource),
        (Edge::Internet, syn("127.0.0.1:1", ACCOUNT), DropReason::MartianSource),
        (Edge::Internet, syn("224.0.0.1:1", ACCOUNT), DropReason::MartianSource),
        (Edge::Internet, syn("8.8.8.8:1", "20.1.1.1:80"), DropReason::Unsolicited),
        (Edge::Internet, syn("8.8.8.8:1", "9.9.9.9:80"), DropReason::NoRoute),
        (Edge::Internet, syn("8.8.8.8:1", "8.8.8.8:80"), DropReason::MartianDestination),
        (world.vm(), syn("10.0.0.4:1", "255.255.255.255:80"), DropReason::MartianDestination),
        (world.vm(), syn("10.0.0.4:1", "169.254.1.1:80"), DropReason::MartianDestination),
        (world.vm(), syn("10.0.0.4:1", "172.16.1.1:80"), DropReason::RouteNone),
        (world.vm(), syn("10.0.0.4:1", "10.0.7.7:80"), DropReason::NoSuchHost),
        (world.vm(), syn("10.0.0.4:1", "20.1.1.1:80"), DropReason::Hairpin),
        (
            Edge::Service { service: storage, identity: None },
            syn("8.8.8.8:1", "20.1.1.1:80"),
            DropReason::SpoofedSource,
        ),
        (
            Edge::Service { service: another, identity: None },
            syn(ACCOUNT, "20.1.1.1:80"),
            DropReason::SpoofedSource,
        ),
        (
            Edge::Service { service: storage, identity: None },
            syn(ACCOUNT, "20.1.1.1:80"),
            DropReason::Unsolicited,
        ),
        (
            Edge::Service { service: storage, identity: Some(forged) },
            syn(ACCOUNT, "10.0.0.4:80"),
            DropReason::NoFlow,
        ),
        (
            Edge::Service { service: storage, identity: Some(forged) },
            syn(ACCOUNT, "10.0.0.77:80"),
            DropReason::NoFlow,
        ),
    ] {
        let (disposition, _) = world.send(edge, packet.clone());
        assert_eq!(
            disposition,
            Disposition::Drop(reason),
            "{} by {edge:?}",
            Headers::parse(&packet).unwrap()
        );
    }
    assert_eq!(world.plane.flow_counters().opened, 0);
    // what it forwards, it must translate itself for the internet and for services.
    let (disposition, _) = world.send(Edge::Nic(router), syn("10.0.0.4:1", ACCOUNT));
    assert_eq!(disposition, Disposition::Drop(DropReason::ForeignSource));
    world.forwarded(Edge::Nic(router), syn("10.0.0.4:1", "10.0.0.77:80"));
}

/// An answer enters at the very edge by which the question left, or not at all.
#[test]
fn answer_by_another_edge_is_dropped() {
    let mut world = World::new(Settings::replayable(0));
    let (forward, packet) = world.forwarded(world.vm(), syn(VM, "8.8.8.8:443"));
    assert_eq!(forward.to(), Edge::Internet);
    let source = Headers::parse(&packet).unwrap().tuple().source;
    world.network.add_service("dns", &[net("8.8.8.0/24")]).unwrap();
    world.apply();
    // Until the plane revalidates the flow, its packets go by the internet; then by the service.
    let answer = || tcp(end("8.8.8.8:443"), source, "SA", 1, 1001);
    let service = Edge::Service { service: ServiceId(1), identity: None };
    world.made();
    assert_eq!(world.send(Edge::Internet, answer()).0, Disposition::Drop(DropReason::WrongEdge));
    world.forwarded(service, answer());
}

/// INV-reply-needs-flow, INV-reply-reaches-initiator: nor does whoever opened a flow go on by
/// another edge.
#[test]
fn initiator_stays_at_its_edge() {
    let mut world = World::new(Settings::replayable(0));
    let nic = world.network.add_nic(world.web, "vm", ip("10.0.0.4")).unwrap();
    world.network.set_public_address(nic, Some(ip("20.2.2.2"))).unwrap();
    world.apply();
    let question = || datagram(end(ACCOUNT), end("20.2.2.2:53"), b"who?");
    assert_eq!(world.forwarded(Edge::Internet, question()).0.to(), Edge::Nic(nic));
    let service = Edge::Service { service: world.storage, identity: None };
    assert_eq!(world.send(service, question()).0, Disposition::Drop(DropReason::WrongEdge));
    world.forwarded(Edge::Internet, question());
}

/// INV-last-hop-ends, T-26: nothing is forwarded with a time to live that is over; the sender is
/// told once, from its gateway, and no flow is made.
#[test]
fn last_hop_is_answered_without_flow() {
    let mut world = World::new(Settings::replayable(0));
    let mut packet = syn(VM, ACCOUNT);
    packet[8] = 1;
    packet[10..12].fill(0);
    let checksum = !vnetem::packet::checksum::sum(&packet[..20]);
    packet[10..12].copy_from_slice(&checksum.to_be_bytes());
    let (disposition, _) = world.send(world.vm(), packet.clone());
    assert_eq!(disposition, Disposition::Drop(DropReason::TtlExpired));
    let made = world.made();
    assert_eq!((made.len(), made[0].to), (1, world.vm()));
    let headers = Headers::parse(&made[0].packet).unwrap();
    assert_eq!((headers.source, headers.protocol), (ip("10.0.0.1"), Protocol::ICMP));
    assert_eq!(made[0].packet[20..22], [11, 0]);
    assert_eq!(made[0].packet[28..], packet[..]);
    assert_eq!(world.plane.flow_counters().opened, 0);
}

/// INV-toggle-stalls-nobody: one call closes a bounded number of flows, so that other packets need
/// not wait until all are closed.
#[test]
fn one_call_closes_bounded_flows() {
    let mut world = World::new(Settings::replayable(0));
    for port in 1..=3000 {
        let client = SocketAddrV4::new(ip("10.0.0.4"), port);
        world.forwarded(world.vm(), datagram(client, end("8.8.8.8:53"), b"?"));
    }
    world.network.set_route(world.web, net("8.8.8.8/32"), NextHop::None).unwrap();
    world.apply();
    let mut left = 3000;
    while left > 0 {
        assert_eq!(world.plane.poll_timeout(), Some(world.now), "there is more to do");
        assert!(world.plane.poll_transmit(world.now).is_none(), "nobody is notified of datagrams");
        let live = world.plane.flow_counters().live;
        assert!(live < left && left - live <= 1024, "{} of {left} in one call", left - live);
        left = live;
    }
}

/// INV-untaken-output-bounded: a queue that nobody empties is bounded, and what found no room is
/// counted.
#[test]
fn a_full_queue_drops_and_counts() {
    let mut world = World::new(Settings { queue: 3, events: 2, ..Settings::replayable(0) });
    for port in 1..=5 {
        world.connect(world.vm(), &format!("10.0.0.4:{port}"), ACCOUNT);
    }
    world.enable();
    for port in 1..=5 {
        world
            .send(world.vm(), tcp(end(&format!("10.0.0.4:{port}")), end(ACCOUNT), "A", 1001, 9001));
    }
    // What a change has to say waits for room and is never lost.
    let counters = world.plane.counters();
    assert_eq!((counters.generated.packets, counters.queue_full.packets), (2, 0));
    assert_eq!(world.made().len(), 10);
    assert_eq!(world.plane.counters().events_lost, 8);
    for port in 1..=5 {
        let mut late = udp(&format!("10.0.0.4:{port}"), "8.8.8.8:53");
        late[8] = 1;
        assert_eq!(
            world.send(world.vm(), summed(late)).0,
            Disposition::Drop(DropReason::TtlExpired)
        );
    }
    assert_eq!(world.plane.counters().queue_full.packets, 2);
    assert_eq!(world.made().len(), 3);
}

/// INV-clock-steps-harmless: a clock that steps back ends nothing early and brings nothing back.
#[test]
fn backward_clock_counts_as_standing_still() {
    let mut world = World::new(Settings::replayable(0));
    world.connect(world.vm(), VM, ACCOUNT);
    world.wait(Duration::from_secs(200));
    world.forwarded(world.vm(), tcp(end(VM), end(ACCOUNT), "A", 1001, 9001));
    world.now = Time(0);
    world.forwarded(world.vm(), tcp(end(VM), end(ACCOUNT), "A", 1001, 9001));
    // What happens meanwhile is told as of when the clock stood highest.
    world.connect(world.vm(), "10.0.0.4:50002", ACCOUNT);
    let times: Vec<_> =
        std::iter::from_fn(|| world.plane.poll_event()).map(|event| event.at).collect();
    assert_eq!(times, [Time(0), Time(0) + Duration::from_secs(200)]);
    world.now = Time(0) + Duration::from_secs(200 + 239);
    world.forwarded(world.vm(), tcp(end(VM), end(ACCOUNT), "A", 1001, 9001));
    world.wait(Duration::from_secs(240));
    // N-15, N-16: idle for four minutes it is gone, and a NAT gateway says so.
    let (disposition, _) = world.send(world.vm(), tcp(end(VM), end(ACCOUNT), "A", 1001, 9001));
    assert_eq!(disposition, Disposition::Drop(DropReason::NoFlow));
    assert_eq!(reset_of(&world.made()[0]).0, 9001);
}

/// INV-networks-isolated, S-05: two networks with the same addresses, hosts, ports and remotes
/// never meet, with and without endpoints.
#[test]
fn overlapping_networks_never_meet() {
    let mut world = World::new(Settings::replayable(0));
    let beta = world.network.add_vnet("beta", &[net("10.0.0.0/16")]).unwrap();
    let other = world.network.add_subnet(beta, "web", net("10.0.0.0/24")).unwrap();
    world.network.set_outbound(other, Outbound::NatGateway(vec![ip("20.2.2.2")])).unwrap();
    world.network.enable_endpoint(other, world.storage, Scope::Worldwide).unwrap();
    world.enable();
    let (mine, _) = world.connect(world.vm(), VM, ACCOUNT);
    let (theirs, _) = world.connect(Edge::Subnet(other), VM, ACCOUNT);
    assert_ne!(mine, theirs);
    for (edge, home) in [(mine, world.vm()), (theirs, Edge::Subnet(other))] {
        let (forward, _) = world.forwarded(edge, tcp(end(ACCOUNT), end(VM), "A", 9001, 1001));
        assert_eq!(forward.to(), home);
    }
    world.network.disable_endpoint(other, world.storage).unwrap();
    world.apply();
    let notified: Vec<_> = world.made().iter().map(|made| made.to).collect();
    assert_eq!(notified, [Edge::Subnet(other), theirs]);
}

/// A removed subnet's connections are closed, and late answers still carry its identity
/// (INV-deleted-subnet-admits-none, INV-deleted-network-gone).
#[test]
fn a_removed_subnet_closes_its_connections() {
    let mut world = World::new(Settings::replayable(0));
    world.enable();
    let (service, _) = world.connect(world.vm(), VM, ACCOUNT);
    world.network.remove_subnet(world.web).unwrap();
    world.apply();
    let notified: Vec<_> = world.made().iter().map(|made| made.to).collect();
    assert_eq!(notified, [world.vm(), service]);
    let (disposition, _) = world.send(service, tcp(end(ACCOUNT), end(VM), "A", 9001, 1001));
    assert_eq!(disposition, Disposition::Drop(DropReason::FlowClosed));
}

/// N-14, section 4.2 of the TCP states: a connection that the far end refuses is forgotten with the
/// packet that says so.
#[test]
fn refused_connection_is_forgotten_immediately() {
    let mut world = World::new(Settings::replayable(0));
    let web = Edge::Subnet(world.web);
    let (out, packet) = world.forwarded(web, syn(VM, ACCOUNT));
    let source = Headers::parse(&packet).unwrap().tuple().source;
    while world.plane.poll_event().is_some() {}
    let refusal = segment(end(ACCOUNT), source, "RA", (0, 1001), &[]);
    let (back, _) = world.forwarded(out.edge(world.plane.snapshot()), refusal);
    assert_eq!((back.to(), world.plane.flows().count()), (web.into(), 0));
    let kinds: Vec<_> =
        std::iter::from_fn(|| world.plane.poll_event()).map(|event| event.kind).collect();
    assert_eq!(kinds, [EventKind::Ended(Cause::Reset)]);
}

/// N-23: behind a rule with resets both ends of a connection that idles out get an exact one;
/// without, and half open, nobody does.
#[test]
fn n_23_balancer_resets_idle_connections() {
    for resets in [true, false] {
        let mut world = World::new(Settings::replayable(0));
        world.network.set_outbound(world.web, Outbound::Private).unwrap();
        let nic = world.network.add_nic(world.web, "vm", ip("10.0.0.4")).unwrap();
        let balancer =
            world.network.add_load_balancer(world.alpha, "lb", &[ip("20.1.1.8")]).unwrap();
        world.network.add_member(balancer, nic).unwrap();
        let rule = OutboundRule { resets, ..OutboundRule::default() };
        world.network.set_outbound_rule(balancer, rule).unwrap();
        world.apply();
        let (far, source) = world.connect(Edge::Nic(nic), VM, ACCOUNT);
        world.forwarded(Edge::Nic(nic), syn("10.0.0.4:50002", ACCOUNT));
        world.wait(Duration::from_secs(239));
        world.plane.handle_timeout(world.now);
        assert_eq!(world.made(), []);
        world.wait(Duration::from_secs(1));
        world.plane.handle_timeout(world.now);
        let made = world.made();
        let expected =
            [(Edge::Nic(nic), end(ACCOUNT), end(VM), 9001), (far, source, end(ACCOUNT), 1001)];
        let seen: Vec<_> = made
            .iter()
            .map(|made| {
                let headers = Headers::parse(&made.packet).unwrap();
                let vnetem::packet::Transport::Tcp(segment) = headers.transport else {
                    panic!("not TCP")
                };
                let tuple = headers.tuple();
                (made.to, tuple.source, tuple.destination, segment.sequence)
            })
            .collect();
        assert_eq!(seen, if resets { expected.to_vec() } else { vec![] });
    }
}
