//! Seven years of Azure's service tags, replayed under live flows: 266 lists, one after the other.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test that cannot be set up must fail"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::net::{Ipv4Addr, SocketAddrV4};
use std::sync::Arc;

use vnetem::{
    DataPlane, Edge, EventKind, Ipv4Net, Network, ServiceId, Settings, Snapshot, SubnetId, Time,
    control::{Outbound, Scope},
};
use vnetem_packet::TcpFlags;
use vnetem_packet_text::Packet;

/// Tag, lists that changed it, prefixes that joined, prefixes that left, prefixes of the first and
/// of the last list.
const CHURN: [(&str, usize, usize, usize, usize, usize); 9] = [
    ("AppService", 43, 345, 25, 769, 1089),
    ("AzureActiveDirectory", 17, 127, 19, 95, 203),
    ("AzureContainerRegistry", 75, 523, 5, 80, 598),
    ("AzureCosmosDB", 53, 480, 156, 283, 607),
    ("AzureKeyVault", 49, 388, 188, 136, 336),
    ("EventHub", 70, 313, 261, 325, 377),
    ("ServiceBus", 61, 531, 190, 115, 456),
    ("Sql", 79, 788, 330, 655, 1113),
    ("Storage", 33, 61, 63, 498, 496),
];

/// The changes of a list: by tag, the prefixes that leave and those that join.
type Change<'a> = BTreeMap<&'a str, (BTreeSet<Ipv4Net>, BTreeSet<Ipv4Net>)>;

/// The prefixes of every tag.
type List<'a> = BTreeMap<&'a str, BTreeSet<Ipv4Net>>;

/// in seven years no two prefixes of the nine tags shared an address. The number of
/// changes shows that the lists are the published ones.
#[test]
fn nine_tags_stayed_disjoint_for_years() {
    let changes = changes();
    assert_eq!((changes.len(), changes[0].0, changes[265].0), (266, "2019-07-22", "2026-06-26"));
    let mut list = List::new();
    for (day, change) in &changes {
        advance(&mut list, change);
        let mut all: Vec<_> = list.values().flatten().collect();
        all.sort_unstable();
        let apart = |pair: &[&Ipv4Net]| pair[0].broadcast() < pair[1].network();
        assert!(all.windows(2).all(apart), "{day}");
    }
    for (tag, changed, joined, left, first, last) in CHURN {
        let of_tag: Vec<_> =
            changes[1..].iter().filter_map(|(_, change)| change.get(tag)).collect();
        let sum = |which: fn(&(BTreeSet<Ipv4Net>, BTreeSet<Ipv4Net>)) -> usize| {
            of_tag.iter().map(|change| which(change)).sum::<usize>()
        };
        assert_eq!(
            (of_tag.len(), sum(|(_, joining)| joining.len()), sum(|(leaving, _)| leaving.len())),
            (changed, joined, left),
            "{tag}"
        );
        assert_eq!((changes[0].1[tag].1.len(), list[tag].len()), (first, last), "{tag}");
    }
}

/// E-19, U-02, INV-prefix-change-exact, S-18: the lists replace each other under live TCP flows to
/// addresses in and beside the tags. Each time exactly those flows close whose address joined, left
/// or changed its service. The subnet without endpoints keeps all its flows, no packet is missing
/// from the counters, and the routes equal those of a new network made from the list.
#[test]
fn tag_updates_close_only_changed_flows() {
    let changes = changes();
    let addresses = addresses(&changes);
    let mut list = List::new();
    advance(&mut list, &changes[0].1);
    let mut world = World::new(&list);
    for (number, &address) in addresses.iter().enumerate() {
        world.open(world.web, number, address);
        world.open(world.plain, number, address);
        world.check_far_edge(&list, address);
    }
    assert!(world.closed_by_applying().is_empty());
    let (mut updates, mut closings) = (0, 0);
    for (day, change) in &changes[1..] {
        let before = list.clone();
        advance(&mut list, change);
        let moved = |address: &&Ipv4Addr| owner(&before, **address) != owner(&list, **address);
        let expected: BTreeSet<Ipv4Addr> = addresses.iter().filter(moved).copied().collect();

        world.update(change, &list);
        let closed = world.closed_by_applying();
        assert_eq!(closed, expected.iter().map(|&to| (world.web, to)).collect(), "{day}");
        for &address in &expected {
            world.open(world.web, world.opened, address);
            world.check_far_edge(&list, address);
        }
        if !change.is_empty() {
            let (live, afresh) = (world.snapshot(), World::new(&list).snapshot());
            assert_eq!(
                live.effective_routes(world.web),
                afresh.effective_routes(world.web),
                "{day}"
            );
            updates += 1;
            closings += expected.len();
        }
    }
    // Every flow that was opened and not closed still exists.
    let flows = world.plane.flow_counters();
    assert_eq!(flows.live as usize, 2 * addresses.len());
    assert_eq!(updates, 147, "the other lists change nothing");
    println!("{} flows, {closings} closed by {updates} updates", 2 * addresses.len());
    assert!(closings > 400, "{closings}");
}

/// Reads the lists, whose source is in `churn/NOTICE.md`.
fn changes() -> Vec<(&'static str, Change<'static>)> {
    let mut changes: Vec<(&str, Change<'_>)> = Vec::new();
    for line in include_str!("churn/endpoint-tags.txt").lines() {
        let Some((tag, prefixes)) = line.split_once(' ') else {
            changes.push((line, Change::new()));
            continue;
        };
        let signed = |sign| {
            let ours = prefixes.split(' ').filter_map(move |word| word.strip_prefix(sign));
            ours.map(|text| text.parse().unwrap()).collect()
        };
        let (_, change) = changes.last_mut().unwrap();
        change.insert(tag, (signed('-'), signed('+')));
    }
    changes
}

fn advance<'a>(list: &mut List<'a>, change: &Change<'a>) {
    for (tag, (leaving, joining)) in change {
        let prefixes = list.entry(tag).or_default();
        assert!(leaving.iter().all(|prefix| prefixes.remove(prefix)));
        assert!(joining.iter().all(|prefix| prefixes.insert(*prefix)));
    }
}

/// Returns the tag of an address, by a scan.
fn owner<'a>(list: &List<'a>, address: Ipv4Addr) -> Option<&'a str> {
    let mut tags = list.iter();
    tags.find(|(_, prefixes)| {
        let before = prefixes.range(..=Ipv4Net::from(address)).next_back();
        before.is_some_and(|prefix| prefix.contains(&address))
    })
    .map(|(tag, _)| *tag)
}

/// Returns addresses to which flows are held: of every prefix that joined or left after the first
/// list, of some others, and one next to each of those.
fn addresses(changes: &[(&str, Change<'_>)]) -> Vec<Ipv4Addr> {
    let mut addresses = BTreeSet::new();
    for (place, (_, change)) in changes.iter().enumerate() {
        for (leaving, joining) in change.values() {
            let step = if place == 0 { 16 } else { 4 };
            for prefix in leaving.iter().chain(joining).step_by(step) {
                addresses.insert(prefix.network());
                addresses.insert(Ipv4Addr::from_bits(prefix.broadcast().to_bits() + 1));
            }
        }
    }
    addresses.into_iter().collect()
}

struct World {
    network: Network,
    plane: DataPlane,
    /// The subnet with the endpoints of all nine services.
    web: SubnetId,
    /// The subnet with none.
    plain: SubnetId,
    services: BTreeMap<String, ServiceId>,
    /// Flows of the first subnet that were opened so far.
    opened: usize,
}

impl World {
    fn new(list: &List<'_>) -> Self {
        let mut network = Network::new();
        let alpha = network.add_vnet("alpha", &["10.0.0.0/16".parse().unwrap()]).unwrap();
        let [web, plain] = [("web", 0), ("plain", 1)].map(|(name, third)| {
            let prefix = Ipv4Net::new_assert(Ipv4Addr::new(10, 0, third, 0), 24);
            let subnet = network.add_subnet(alpha, name, prefix).unwrap();
            let address = Ipv4Addr::new(198, 51, 100, third);
            network.set_outbound(subnet, Outbound::NatGateway(vec![address])).unwrap();
            subnet
        });
        let mut services = BTreeMap::new();
        for (tag, prefixes) in list {
            let service = network.add_service(tag, &Vec::from_iter(prefixes.iter().copied()));
            let service = service.unwrap();
            network.enable_endpoint(web, service, Scope::Worldwide).unwrap();
            services.insert((*tag).to_owned(), service);
        }
        let plane = DataPlane::new(network.commit(), Settings::replayable(0));
        Self { network, plane, web, plain, services, opened: 0 }
    }

    fn snapshot(&mut self) -> Arc<Snapshot> {
        self.network.commit()
    }

    /// Opens a TCP flow of a subnet, from a host and port of its own, and leaves it half open.
    fn open(&mut self, from: SubnetId, number: usize, to: Ipv4Addr) {
        let host = 4 + u8::try_from(number / 50_000).unwrap();
        let third = u8::from(from == self.plain);
        let port = 10_000 + u16::try_from(number % 50_000).unwrap();
        let source = SocketAddrV4::new(Ipv4Addr::new(10, 0, third, host), port);
        let packet = Packet::tcp(source, SocketAddrV4::new(to, 443), TcpFlags::SYN);
        let mut bytes = packet.build().to_vec();
        let verdict = self.plane.process(Time(0), Edge::Subnet(from), &mut bytes);
        assert!(verdict.forwarded_to().is_some(), "{to} {verdict:?}");
        self.opened += usize::from(from == self.web);
    }

    /// Checks that a new flow would leave by the endpoint of the service in the list, or by the
    /// internet.
    fn check_far_edge(&self, list: &List<'_>, to: Ipv4Addr) {
        let source = SocketAddrV4::new(Ipv4Addr::new(10, 0, 0, 200), 9_999);
        let packet = Packet::tcp(source, SocketAddrV4::new(to, 443), TcpFlags::SYN).build();
        let trace = self.plane.trace(Time(0), Edge::Subnet(self.web), &packet);
        let far = match trace.leaves_by().unwrap() {
            Edge::Service { service, identity: Some(_) } => Some(service),
            edge => {
                assert_eq!(edge, Edge::Internet, "{to}");
                None
            }
        };
        assert_eq!(far, owner(list, to).map(|tag| self.services[tag]), "{to}");
    }

    /// Replaces the list. Prefixes leave first, since an address may move from one service to
    /// another.
    fn update(&mut self, change: &Change<'_>, list: &List<'_>) {
        let services = &self.services;
        self.network
            .edit(|network| {
                for (tag, (_, joining)) in change {
                    let staying = list[tag].difference(joining).copied();
                    network.set_service_prefixes(services[*tag], &Vec::from_iter(staying))?;
                }
                for tag in change.keys() {
                    let all = Vec::from_iter(list[tag].iter().copied());
                    network.set_service_prefixes(services[*tag], &all)?;
                }
                Ok::<_, vnetem::EditError>(())
            })
            .unwrap();
    }

    /// Applies the network to the data plane. Returns the subnet and remote address of every flow
    /// that this closes.
    fn closed_by_applying(&mut self) -> BTreeSet<(SubnetId, Ipv4Addr)> {
        self.plane.apply(Time(0), self.network.commit());
        let mut closed = BTreeSet::new();
        loop {
            let made = self.plane.poll_transmit(Time(0));
            while let Some(event) = self.plane.poll_event() {
                if let EventKind::Closed(_) = event.kind {
                    let third = event.tuple.source.ip().octets()[2];
                    let subnet = if third == 0 { self.web } else { self.plain };
                    closed.insert((subnet, *event.tuple.destination.ip()));
                }
            }
            // Each call closes a bounded number of flows.
            if made.is_none() && self.plane.poll_timeout() != Some(Time(0)) {
                break;
            }
        }
        let counters = self.plane.counters();
        assert_eq!(
            counters.received.packets + counters.generated.packets,
            counters.forwarded.packets + counters.transmitted.packets
        );
        closed
    }
}
