//! Two tenants behind one data plane: what one has for certain, whatever the other does
//! (docs/shares.md).

use std::time::Duration;

use proptest::prelude::*;
use vnetem::{
    DataPlane, Disposition, DropReason, Edge, Event, Headers, Ipv4Net, Network, ServiceId,
    Settings, SubnetId, Time, Transmit, VnetId,
    control::{Outbound, Scope},
    nat::{Blocks, Filtering, Limits, Mapping, PoolRules},
};

use crate::packets::{datagram, end, fragments, ip, net, process, segment, summed};

const ACCOUNT: &str = "52.239.1.9:443";

/// Alpha attacks, beta is attacked. Both have the same ranges, and pools with every kind of state.
struct World {
    network: Network,
    plane: DataPlane,
    now: Time,
    vnets: [VnetId; 2],
    subnets: [SubnetId; 2],
    storage: ServiceId,
}

const ATTACKER: usize = 0;
const VICTIM: usize = 1;

impl World {
    fn new(settings: Settings, rules: PoolRules) -> Self {
        let mut network = Network::new();
        let storage = network.add_service("storage", &[net("52.239.0.0/16")]).unwrap();
        let range: Ipv4Net = net("10.0.0.0/16");
        let vnets = ["alpha", "beta"].map(|name| network.add_vnet(name, &[range]).unwrap());
        let subnets =
            vnets.map(|vnet| network.add_subnet(vnet, "web", net("10.0.0.0/24")).unwrap());
        for (subnet, address) in subnets.into_iter().zip(["20.1.1.1", "20.1.1.2"]) {
            let addresses = vec![ip(address)];
            let pool = Outbound::Pool { addresses, first_port: 1024, last_port: 5119, rules };
            network.set_outbound(subnet, pool).unwrap();
        }
        let plane = DataPlane::new(network.commit(), settings);
        Self { network, plane, now: Time(0), vnets, subnets, storage }
    }

    fn edge(&self, tenant: usize) -> Edge {
        Edge::Subnet(self.subnets[tenant])
    }

    fn process(&mut self, edge: Edge, mut packet: Vec<u8>) -> (Disposition, Vec<u8>) {
        let disposition = process(&mut self.plane, self.now, edge, &mut packet);
        (disposition, packet)
    }

    fn apply(&mut self) {
        self.plane.apply(self.now, self.network.commit());
    }

    fn made(&mut self) -> Vec<Transmit> {
        std::iter::from_fn(|| self.plane.poll_transmit(self.now)).collect()
    }
}

/// Rules that need everything that flows can share.
fn rules() -> PoolRules {
    PoolRules {
        mapping: Mapping::Independent,
        filtering: Filtering::Address,
        blocks: Blocks::Dynamic { size: 64, most: 4 },
        limits: Limits { flows: 1000, ..Limits::default() },
        unsolicited_syn: Some(Duration::from_secs(6)),
        ..PoolRules::RFC
    }
}

/// A table so small that everything in it is full at once; a part of it for each is 16 of flows and
/// 4 of nearly everything else.
fn tiny() -> Settings {
    let mut settings = Settings::replayable(3);
    settings.flows.capacity = 64;
    settings.flows.held = 64;
    settings.flows.revalidation_keys = 16;
    settings.flows.shared.hosts = 16;
    settings.flows.shared.sockets = 32;
    settings.flows.shared.blocks = 32;
    settings.fragments = 16;
    settings.queue = 16;
    settings.events = 16;
    settings.translation_events = 16;
    settings.unsolicited = 8;
    settings
}

fn low_ttl(mut packet: Vec<u8>) -> Vec<u8> {
    packet[8] = 1;
    summed(packet)
}

/// A packet of the attacker's own making, of every kind that takes room, and where it enters.
fn attack(world: &World, kind: u8, number: u16) -> (Edge, Vec<u8>) {
    let own = world.edge(ATTACKER);
    let host = format!("10.0.0.{}:{}", 4 + number % 200, number.max(1));
    let remote = format!("8.8.{}.{}:53", number >> 8, number & 0xFF);
    let (host, remote) = (end(&host), end(&remote));
    let account = end(ACCOUNT);
    match kind % 9 {
        0 => (own, datagram(host, remote, b"flood")),
        1 => (own, segment(host, remote, "S", (u32::from(number).wrapping_mul(70_000), 0), &[])),
        2 => (
            own,
            segment(
                end("10.0.0.4:7"),
                account,
                "S",
                (u32::from(number).wrapping_mul(70_000), 0),
                &[],
            ),
        ),
        3 => {
            let [first, _] = fragments(&datagram(host, remote, &[0; 64]), 24, number);
            (own, first)
        }
        4 => {
            let known = end(&format!("8.8.0.{}:53", number % 4));
            (own, low_ttl(datagram(end("10.0.0.4:9"), known, b"ttl")))
        }
        5 => {
            let public = end(&format!("20.1.1.1:{}", 1024 + number % 4096));
            (Edge::Internet, segment(remote, public, "S", (1, 0), &[]))
        }
        6 => (own, segment(host, remote, "R", (1, 0), &[])),
        7 => (Edge::Internet, low_ttl(datagram(remote, end("20.1.1.1:1024"), b"ttl"))),
        _ => (own, datagram(end("10.0.0.4:9"), remote, b"many remotes")),
    }
}

/// What the victim does and sees, in the order of its script.
fn script(world: &mut World, step: usize, seen: &mut Seen) {
    let own = world.edge(VICTIM);
    let (vm, account) = (end("10.0.0.4:50001"), end(ACCOUNT));
    let mut sends = |world: &mut World, edge: Edge, packet: Vec<u8>| {
        let done = world.process(edge, packet);
        seen.packets.push(done.clone());
        done
    };
    match step {
        // A connection, which begins anew and is then closed by a change: its resets have the new
        // numbers.
        0 => {
            let (_, packet) = sends(world, own, segment(vm, account, "S", (1000, 0), &[]));
            seen.public = Headers::parse(&packet).ok().map(|headers| headers.tuple().source);
        }
        1 | 4 => {
            let Some(public) = seen.public else { return };
            let service = Edge::Service { service: world.storage, identity: None };
            let numbers = if step == 1 { (9000, 1001) } else { (500_000_000, 800_001) };
            sends(world, service, segment(account, public, "SA", numbers, &[]));
        }
        2 | 5 => {
            let numbers = if step == 2 { (1001, 9001) } else { (800_001, 500_000_001) };
            sends(world, own, segment(vm, account, "A", numbers, &[]));
        }
        3 => {
            sends(world, own, segment(vm, account, "S", (800_000, 0), &[]));
        }
        6..=9 => {
            let from = end(&format!("10.0.0.{}:{step}", 5 + step % 2));
            sends(world, own, datagram(from, end("1.1.1.1:53"), b"question"));
        }
        10 => {
            let whole = datagram(end("10.0.0.4:20"), end("1.1.1.1:53"), &[7; 64]);
            seen.parts = fragments(&whole, 24, 77).into();
            let first = seen.parts.remove(0);
            sends(world, own, first);
        }
        11 => {
            let later = seen.parts.remove(0);
            sends(world, own, later);
        }
        12 | 13 => {
            let packet = low_ttl(datagram(end("10.0.0.4:21"), end("1.1.1.1:53"), b"trace"));
            sends(world, own, packet);
        }
        14 => {
            let syn = segment(end("9.9.9.9:5"), end("20.1.1.2:1030"), "S", (5, 0), &[]);
            sends(world, Edge::Internet, syn);
        }
        15 => {
            let (subnet, storage) = (world.subnets[VICTIM], world.storage);
            world.network.enable_endpoint(subnet, storage, Scope::Worldwide).unwrap();
            world.apply();
        }
        // The packet that meets the stale flow closes it on the way.
        16 => {
            sends(world, own, segment(vm, account, "A", (800_001, 500_000_001), &[]));
        }
        _ => {
            world.now += Duration::from_secs(1);
            let from = end(&format!("10.0.0.5:{}", 100 + step));
            if step < 19 {
                sends(world, own, datagram(from, end("1.0.0.1:53"), b"after"));
            }
        }
    }
}

#[derive(Debug, Default, PartialEq)]
struct Seen {
    packets: Vec<(Disposition, Vec<u8>)>,
    made: Vec<Transmit>,
    events: Vec<Event>,
    public: Option<std::net::SocketAddrV4>,
    parts: Vec<Vec<u8>>,
}

impl Seen {
    /// What has been made for the victim, and happened to its flows.
    fn collect(&mut self, world: &mut World) {
        let own = world.edge(VICTIM);
        let of_victim = |made: &Transmit| {
            let headers = Headers::parse(&made.packet).unwrap();
            made.to == own || [headers.source, headers.destination].contains(&ip("20.1.1.2"))
        };
        self.made.extend(world.made().into_iter().filter(of_victim));
        while let Some(event) = world.plane.poll_event() {
            let ours = *event.external.ip() != ip("20.1.1.1");
            if ours {
                self.events.push(event);
            }
        }
        while world.plane.poll_translation_event().is_some() {}
    }
}

/// All that the victim sees, with so many packets of an attacker before each step of its own.
fn play(bursts: &[Vec<(u8, u16)>]) -> Seen {
    let mut world = World::new(tiny(), rules());
    let mut seen = Seen::default();
    for (step, burst) in bursts.iter().enumerate() {
        for (kind, number) in burst {
            let (edge, packet) = attack(&world, *kind, *number);
            world.process(edge, packet);
        }
        script(&mut world, step, &mut seen);
        // Nobody drains before the victim has acted: its share of the queues is what it counts on.
        // What the change of step 15 closes, the packet of step 16 meets first.
        if step != 15 {
            seen.collect(&mut world);
        }
    }
    seen
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    /// INV-tenant-shares-hold, docs/shares.md: a tenant within its share sees what it would see
    /// alone.
    #[test]
    fn attacking_tenant_changes_nothing_for_others(
        bursts in proptest::collection::vec(
            proptest::collection::vec((any::<u8>(), any::<u16>()), 0..120), 24),
    ) {
        let alone = play(&vec![Vec::new(); bursts.len()]);
        prop_assert_eq!(play(&bursts), alone);
    }
}

/// The script is worth its while: it goes through, and the attack fills everything.
#[test]
fn attack_fills_all_but_the_share() {
    let alone = play(&vec![Vec::new(); 24]);
    let passed = alone
        .packets
        .iter()
        .filter(|(disposition, _)| matches!(disposition, Disposition::Forward(_)))
        .count();
    assert_eq!((passed, alone.made.len()), (14, 5));
    let exact = |made: &&Transmit| made.packet[24..28] == 500_000_001_u32.to_be_bytes();
    assert_eq!(
        alone.made.iter().filter(exact).count(),
        1,
        "INV-reset-number-exact: the numbers are the new ones"
    );
    let mut world = World::new(tiny(), rules());
    for number in 0..2000_u16 {
        for kind in 0..9 {
            let (edge, packet) = attack(&world, kind, number);
            world.process(edge, packet);
        }
    }
    let counters = world.plane.counters();
    let refused = |reason| counters.drops(reason) > 0;
    assert!(refused(DropReason::MappingTableFull), "sockets, inside addresses or blocks");
    assert!(counters.queue_full.packets > 0 && counters.events_lost > 0);
    let part = world.plane.share_of(world.vnets[VICTIM]);
    assert_eq!(part, (0, 16));
}

/// INV-accepted-edit-in-force: as many flows as the table has room for beyond the other's part,
/// with plain rules.
#[test]
fn flow_flood_stops_at_the_share() {
    let mut world = World::new(tiny(), PoolRules::AZURE);
    let flood = |world: &mut World, tenant: usize| {
        let edge = world.edge(tenant);
        (0..100_u16)
            .map(|number| {
                let packet = datagram(end("10.0.0.4:9"), end(&format!("8.8.8.8:{number}")), b"x");
                world.process(edge, packet).0
            })
            .filter(|disposition| matches!(disposition, Disposition::Forward(_)))
            .count()
    };
    assert_eq!(flood(&mut world, ATTACKER), 48);
    assert_eq!(world.plane.counters().drops(DropReason::FlowShareUsed), 52);
    assert_eq!(flood(&mut world, VICTIM), 16);
    assert_eq!(world.plane.counters().drops(DropReason::FlowTableFull), 84);
}

/// INV-reset-number-exact: what a change has to say is never lost for what packets ask to be said.
#[test]
fn resets_outlast_a_flood_of_errors() {
    let mut world = World::new(tiny(), PoolRules::AZURE);
    let (own, vm) = (world.edge(VICTIM), end("10.0.0.4:50001"));
    let (disposition, _) = world.process(own, segment(vm, end(ACCOUNT), "S", (1000, 0), &[]));
    assert!(matches!(disposition, Disposition::Forward(_)));
    let (subnet, storage) = (world.subnets[VICTIM], world.storage);
    world.network.enable_endpoint(subnet, storage, Scope::Worldwide).unwrap();
    world.apply();
    // Both tenants' errors fill the queue.
    for tenant in [ATTACKER, VICTIM] {
        for number in 1..=256 {
            let edge = world.edge(tenant);
            let packet = datagram(end(&format!("10.0.0.9:{number}")), end("8.8.8.8:53"), b"x");
            world.process(edge, low_ttl(packet));
        }
    }
    assert!(world.plane.counters().queue_full.packets > 400);
    let (disposition, _) = world.process(own, segment(vm, end(ACCOUNT), "A", (1001, 0), &[]));
    assert_eq!(disposition, Disposition::Drop(DropReason::SourceSwitched));
    let resets = world.made().iter().filter(|made| made.packet[9] == 6).count();
    assert_eq!(resets, 2);
}

/// INV-reset-number-exact: where no room is left for resets, a flow that a packet meets is closed
/// later, and its resets are as exact.
#[test]
fn closing_waits_for_room() {
    let mut settings = tiny();
    settings.queue = 0;
    let mut world = World::new(settings, PoolRules::AZURE);
    let own = world.edge(VICTIM);
    for port in 1..=3 {
        let syn = segment(end(&format!("10.0.0.4:{port}")), end(ACCOUNT), "S", (1000, 0), &[]);
        world.process(own, syn);
    }
    let (subnet, storage) = (world.subnets[VICTIM], world.storage);
    world.network.enable_endpoint(subnet, storage, Scope::Worldwide).unwrap();
    world.apply();
    for port in 1..=3 {
        let ack = segment(end(&format!("10.0.0.4:{port}")), end(ACCOUNT), "A", (1001, 0), &[]);
        let (disposition, _) = world.process(own, ack);
        assert_eq!(disposition, Disposition::Drop(DropReason::SourceSwitched), "{port}");
    }
    assert_eq!(world.plane.queued().0, 2, "of the first; the others wait");
    assert_eq!(world.made().len(), 6);
    assert_eq!(world.plane.counters().queue_full.packets, 0);
}

/// A network that comes later has its share, and one that goes gives it back.
#[test]
fn shares_follow_the_configuration() {
    let mut world = World::new(tiny(), PoolRules::AZURE);
    let [alpha, beta] = world.vnets;
    assert_eq!(world.plane.share_of(alpha), (0, 16));
    let gamma = world.network.add_vnet("gamma", &[net("10.9.0.0/16")]).unwrap();
    world.network.add_site("office", &[net("192.168.1.0/24")], &[]).unwrap();
    world.apply();
    assert_eq!([alpha, beta, gamma].map(|vnet| world.plane.share_of(vnet).1), [8; 3]);
    world.network.remove_vnet(gamma).unwrap();
    world.apply();
    assert_eq!(world.plane.share_of(alpha).1, 10, "two networks and a site");
}

/// INV-trace-equals-verdict, INV-one-cause-per-drop: with no room for a flow, its cell, or what it
/// shares, a trace says what happens, and each has its reason.
#[test]
fn every_full_table_has_its_reason() {
    let counted =
        PoolRules { limits: Limits { flows: 1000, ..Limits::default() }, ..PoolRules::AZURE };
    let cone = PoolRules { mapping: Mapping::Independent, ..PoolRules::RFC };
    let known = PoolRules { filtering: Filtering::Address, ..cone };
    let blocks = PoolRules { blocks: Blocks::Dynamic { size: 64, most: 4 }, ..PoolRules::AZURE };
    type Change = fn(&mut Settings);
    let cases: [(PoolRules, Change, DropReason); 6] = [
        (PoolRules::AZURE, |it| it.flows.capacity = 0, DropReason::FlowTableFull),
        (PoolRules::AZURE, |it| it.flows.revalidation_keys = 0, DropReason::CellTableFull),
        (counted, |it| it.flows.shared.hosts = 0, DropReason::MappingTableFull),
        (cone, |it| it.flows.shared.sockets = 0, DropReason::MappingTableFull),
        (known, |it| it.flows.shared.sockets = 0, DropReason::MappingTableFull),
        (blocks, |it| it.flows.shared.blocks = 0, DropReason::MappingTableFull),
    ];
    for (rules, change, reason) in cases {
        let mut settings = tiny();
        change(&mut settings);
        let mut world = World::new(settings, rules);
        let own = world.edge(VICTIM);
        let (disposition, _) =
            world.process(own, datagram(end("10.0.0.4:9"), end("8.8.8.8:53"), b"x"));
        assert_eq!(disposition, Disposition::Drop(reason));
        assert_eq!(world.plane.counters().drops(reason), 1);
        assert_eq!(world.plane.flow_counters().opened, 0);
    }
}

/// A port that one socket had towards a remote is in hold-down there, though another socket has it
/// for all other remotes by now (INV-hold-down-kept, INV-one-cause-per-drop).
#[test]
fn held_tuple_has_its_own_reason() {
    let mut network = Network::new();
    let alpha = network.add_vnet("alpha", &[net("10.0.0.0/16")]).unwrap();
    let web = network.add_subnet(alpha, "web", net("10.0.0.0/24")).unwrap();
    let pool = |rules| Outbound::Pool {
        addresses: vec![ip("20.1.1.1")],
        first_port: 5000,
        last_port: 5000,
        rules,
    };
    network.set_outbound(web, pool(PoolRules::AZURE)).unwrap();
    let mut plane = DataPlane::new(network.commit(), Settings::replayable(0));
    let (vm, own) = (end("10.0.0.4:9"), Edge::Subnet(web));
    let send = |plane: &mut DataPlane, now, remote: &str| {
        process(plane, now, own, &mut datagram(vm, end(remote), b"x"))
    };
    assert!(matches!(send(&mut plane, Time(0), "8.8.8.8:53"), Disposition::Forward(_)));
    let later = Time(0) + Duration::from_secs(241);
    plane.handle_timeout(later);
    let cone = PoolRules { mapping: Mapping::Independent, ..PoolRules::AZURE };
    network.set_outbound(web, pool(cone)).unwrap();
    plane.apply(later, network.commit());
    assert!(matches!(send(&mut plane, later, "9.9.9.9:53"), Disposition::Forward(_)));
    assert_eq!(send(&mut plane, later, "8.8.8.8:53"), Disposition::Drop(DropReason::TupleHeld));
    assert_eq!(plane.counters().drops(DropReason::TupleHeld), 1);
}
