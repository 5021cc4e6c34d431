//! What the rules of a pool make of packets: T-03 to T-39.

use std::net::{Ipv4Addr, SocketAddrV4};
use std::time::Duration;

use vnetem::packet::{Checksums, IcmpError, IcmpErrorKind, Quote, Transport, TransportChecksum};
use vnetem::{
    DataPlane, Disposition, DropReason, Edge, Headers, Mtu, Network, Settings, SubnetId, Time,
    Transmit,
    control::{NextHop, Outbound},
    nat::{
        Blocks, Filtering, Limits, LoosePickup, Mapping, OnExhaustion, PoolRules, Rate,
        TranslationEventKind,
    },
};

use crate::packets::{datagram, end, process, segment, summed};

const REMOTE: &str = "8.8.8.8:53";
const PUBLIC: Ipv4Addr = Ipv4Addr::new(20, 1, 1, 1);
const INDEPENDENT: PoolRules = PoolRules { mapping: Mapping::Independent, ..PoolRules::AZURE };

/// A subnet behind a pool of one address.
struct World {
    plane: DataPlane,
    now: Time,
    web: SubnetId,
}

impl World {
    fn new(rules: PoolRules) -> Self {
        Self::with(rules, [1, 65_535], Settings::replayable(0))
    }

    fn with(rules: PoolRules, [first_port, last_port]: [u16; 2], settings: Settings) -> Self {
        let mut network = Network::new();
        let alpha = network.add_vnet("alpha", &["10.0.0.0/16".parse().unwrap()]).unwrap();
        let web = network.add_subnet(alpha, "web", "10.0.0.0/24".parse().unwrap()).unwrap();
        let pool = Outbound::Pool { addresses: vec![PUBLIC], first_port, last_port, rules };
        network.set_outbound(web, pool).unwrap();
        Self { plane: DataPlane::new(network.commit(), settings), now: Time(0), web }
    }

    fn process(&mut self, edge: Edge, packet: &mut [u8]) -> Disposition {
        process(&mut self.plane, self.now, edge, packet)
    }

    fn drop(&mut self, edge: Edge, mut packet: Vec<u8>) -> DropReason {
        match self.process(edge, &mut packet) {
            Disposition::Drop(reason) => reason,
            disposition => panic!("not dropped: {disposition:?}"),
        }
    }

    /// Where a packet leaves, and how it looks then.
    fn forward(&mut self, edge: Edge, mut packet: Vec<u8>) -> (Edge, Vec<u8>) {
        match self.process(edge, &mut packet) {
            Disposition::Forward(forward) => {
                let sums = Checksums::of(&packet, &Headers::parse(&packet).unwrap());
                assert!(sums.none_wrong(), "INV-checksums-stay-right");
                (forward.edge(self.plane.snapshot()), packet)
            }
            disposition => panic!("not forwarded: {disposition:?}"),
        }
    }

    /// The public source under which a packet of the subnet leaves.
    fn source(&mut self, packet: Vec<u8>) -> SocketAddrV4 {
        let (to, packet) = self.forward(Edge::Subnet(self.web), packet);
        assert_eq!(to, Edge::Internet);
        Headers::parse(&packet).unwrap().tuple().source
    }

    fn made(&mut self) -> Vec<Transmit> {
        std::iter::from_fn(|| self.plane.poll_transmit(self.now)).collect()
    }

    /// The one ICMP error that was made: type and code, the edge, and the packet that it quotes.
    fn error(&mut self) -> (u8, u8, Edge, Headers, Vec<u8>) {
        let [made] = self.made().try_into().unwrap();
        let headers = Headers::parse(&made.packet).unwrap();
        assert!(Checksums::of(&made.packet, &headers).none_wrong(), "INV-generated-packets-valid");
        assert!(made.packet.len() <= IcmpError::MAXIMUM_LENGTH);
        let quote = Quote::parse(&made.packet, &headers).unwrap();
        (made.packet[20], made.packet[21], made.to, quote.headers, made.packet.to_vec())
    }
}

fn tcp(source: &str, destination: &str, flags: &str) -> Vec<u8> {
    segment(end(source), end(destination), flags, (1000, 1), &[])
}

fn udp(source: &str, destination: &str, length: usize) -> Vec<u8> {
    datagram(end(source), end(destination), &vec![7; length])
}

fn dont_fragment(mut packet: Vec<u8>, on: bool) -> Vec<u8> {
    packet[6] = if on { 0x40 } else { 0 };
    summed(packet)
}

/// T-03, RFC 4787 REQ-8: what comes in reaches the socket, the answer leaves by the mapping, and
/// T-13 holds for both.
#[test]
fn t_03_open_filter_admits_the_internet() {
    let rules = PoolRules { filtering: Filtering::Independent, ..INDEPENDENT };
    let mut world = World::new(rules);
    let vm = Edge::Subnet(world.web);
    let source = world.source(udp("10.0.0.4:7", REMOTE, 9));
    let (to, packet) = world.forward(Edge::Internet, udp("9.9.9.9:1", &source.to_string(), 9));
    assert_eq!(to, vm);
    assert_eq!(Headers::parse(&packet).unwrap().tuple().destination, end("10.0.0.4:7"));
    assert_eq!(world.source(udp("10.0.0.4:7", "9.9.9.9:1", 9)), source);
    let elsewhere = SocketAddrV4::new(PUBLIC, source.port() ^ 1).to_string();
    let reason = world.drop(Edge::Internet, udp("9.9.9.9:1", &elsewhere, 9));
    assert_eq!(reason, DropReason::Unsolicited, "INV-unsolicited-dropped");
}

/// T-03, INV-other-remote-dropped: by default nobody but the remote end itself.
#[test]
fn t_03_default_filter_admits_remote_only() {
    let mut world = World::new(INDEPENDENT);
    let source = world.source(udp("10.0.0.4:7", REMOTE, 9)).to_string();
    for other in ["8.8.8.8:54", "9.9.9.9:53"] {
        let reason = world.drop(Edge::Internet, udp(other, &source, 9));
        assert_eq!(reason, DropReason::Unsolicited);
    }
    world.forward(Edge::Internet, udp(REMOTE, &source, 9));
}

/// T-03: rules that change take the mapping with them.
#[test]
fn inbound_flow_ends_with_its_rules() {
    let mut network = Network::new();
    let alpha = network.add_vnet("alpha", &["10.0.0.0/16".parse().unwrap()]).unwrap();
    let web = network.add_subnet(alpha, "web", "10.0.0.0/24".parse().unwrap()).unwrap();
    let pool =
        |rules| Outbound::Pool { addresses: vec![PUBLIC], first_port: 1, last_port: 9, rules };
    let open = PoolRules { filtering: Filtering::Independent, ..INDEPENDENT };
    network.set_outbound(web, pool(open)).unwrap();
    let plane = DataPlane::new(network.commit(), Settings::replayable(0));
    let mut world = World { plane, now: Time(0), web };
    let source = world.source(udp("10.0.0.4:7", REMOTE, 9)).to_string();
    world.forward(Edge::Internet, udp("9.9.9.9:1", &source, 9));
    network.set_outbound(web, pool(PoolRules { keep_parity: true, ..open })).unwrap();
    world.plane.apply(world.now, network.commit());
    world.forward(Edge::Internet, udp("9.9.9.9:1", &source, 9));
    network.set_outbound(web, pool(PoolRules::AZURE)).unwrap();
    world.plane.apply(world.now, network.commit());
    let reason = world.drop(Edge::Internet, udp("9.9.9.9:1", &source, 9));
    assert_eq!(reason, DropReason::Withdrawn);
    world.forward(Edge::Internet, udp(REMOTE, &source, 9));
}

/// T-03, INV-toggle-ends-exact-set: and so do ports that are the pool's no more.
#[test]
fn inbound_flow_ends_with_its_port() {
    let mut network = Network::new();
    let alpha = network.add_vnet("alpha", &["10.0.0.0/16".parse().unwrap()]).unwrap();
    let web = network.add_subnet(alpha, "web", "10.0.0.0/24".parse().unwrap()).unwrap();
    let rules = PoolRules { filtering: Filtering::Independent, ..INDEPENDENT };
    let pool = |first_port| Outbound::Pool {
        addresses: vec![PUBLIC],
        first_port,
        last_port: first_port + 8,
        rules,
    };
    network.set_outbound(web, pool(1000)).unwrap();
    let plane = DataPlane::new(network.commit(), Settings::replayable(0));
    let mut world = World { plane, now: Time(0), web };
    let source = world.source(udp("10.0.0.4:7", REMOTE, 9)).to_string();
    world.forward(Edge::Internet, udp("9.9.9.9:1", &source, 9));
    network.set_outbound(web, pool(2000)).unwrap();
    world.plane.apply(world.now, network.commit());
    let reason = world.drop(Edge::Internet, udp("9.9.9.9:1", &source, 9));
    assert_eq!(reason, DropReason::Withdrawn);
}

/// N-07, T-03: an open flow goes on when the address of its far end becomes one of ours, whichever
/// end has opened it; INV-reply-reaches-initiator: under that address nobody speaks from outside
/// any more.
#[test]
fn flow_survives_remote_address_becoming_internal() {
    let mut network = Network::new();
    let alpha = network.add_vnet("alpha", &["10.0.0.0/16".parse().unwrap()]).unwrap();
    let web = network.add_subnet(alpha, "web", "10.0.0.0/24".parse().unwrap()).unwrap();
    let other = network.add_subnet(alpha, "other", "10.0.1.0/24".parse().unwrap()).unwrap();
    let nic = network.add_nic(other, "nic", Ipv4Addr::new(10, 0, 1, 4)).unwrap();
    let rules = PoolRules { filtering: Filtering::Independent, ..INDEPENDENT };
    let addresses = vec![PUBLIC];
    let pool = Outbound::Pool { addresses, first_port: 1024, last_port: 2047, rules };
    network.set_outbound(web, pool).unwrap();
    let plane = DataPlane::new(network.commit(), Settings::replayable(0));
    let mut world = World { plane, now: Time(0), web };
    let source = world.source(udp("10.0.0.4:7", REMOTE, 9));
    world.forward(Edge::Internet, udp("9.9.9.9:1", &source.to_string(), 9));
    network.set_public_address(nic, Some(Ipv4Addr::new(9, 9, 9, 9))).unwrap();
    world.plane.apply(world.now, network.commit());
    // Another change makes sure that the flow is judged.
    network.set_route(web, "172.20.0.0/16".parse().unwrap(), NextHop::None).unwrap();
    world.plane.apply(world.now, network.commit());
    while world.plane.poll_transmit(world.now).is_some() {}
    assert_eq!(world.plane.flows().count(), 2);
    assert_eq!(world.source(udp("10.0.0.4:7", "9.9.9.9:1", 9)), source);
    let reason = world.drop(Edge::Internet, udp("9.9.9.9:1", &source.to_string(), 9));
    assert_eq!(reason, DropReason::SpoofedSource);
}

/// A socket's port keeps the filter of its allocation, also for remotes that the socket calls after
/// a change. A port allocated after the change has the new filter (T-03).
#[test]
fn t_03_port_retains_its_original_filter() {
    let mut network = Network::new();
    let alpha = network.add_vnet("alpha", &["10.0.0.0/16".parse().unwrap()]).unwrap();
    let web = network.add_subnet(alpha, "web", "10.0.0.0/24".parse().unwrap()).unwrap();
    let pool = |filtering| {
        let rules = PoolRules { filtering, ..INDEPENDENT };
        Outbound::Pool { addresses: vec![PUBLIC], first_port: 1024, last_port: 2047, rules }
    };
    network.set_outbound(web, pool(Filtering::Address)).unwrap();
    let plane = DataPlane::new(network.commit(), Settings::replayable(0));
    let mut world = World { plane, now: Time(0), web };
    let old = world.source(udp("10.0.0.4:7", REMOTE, 9)).to_string();
    network.set_outbound(web, pool(Filtering::AddressAndPort)).unwrap();
    world.plane.apply(world.now, network.commit());
    assert_eq!(world.source(udp("10.0.0.4:7", "9.9.9.9:1", 9)).to_string(), old);
    world.forward(Edge::Internet, udp("9.9.9.9:2", &old, 9));
    let new = world.source(udp("10.0.0.4:8", "9.9.9.9:1", 9)).to_string();
    let reason = world.drop(Edge::Internet, udp("9.9.9.9:2", &new, 9));
    assert_eq!(reason, DropReason::Unsolicited);
    // And the reverse: what was given a narrow port gets no wider one.
    network.set_outbound(web, pool(Filtering::Address)).unwrap();
    world.plane.apply(world.now, network.commit());
    assert_eq!(world.source(udp("10.0.0.4:8", "9.9.9.8:1", 9)).to_string(), new);
    let reason = world.drop(Edge::Internet, udp("9.9.9.8:2", &new, 9));
    assert_eq!(reason, DropReason::Unsolicited);
}

/// T-16, RFC 5382 REQ-4: silence, then port unreachable, unless the SYN crossed one from the
/// inside.
#[test]
fn t_16_unsolicited_syn_answered_late() {
    let after = Duration::from_secs(6);
    let rules = PoolRules { preserve_port: true, unsolicited_syn: Some(after), ..PoolRules::AZURE };
    let mut world = World::new(rules);
    for (remote, port) in [("8.8.8.8:53", 7), ("8.8.8.8:54", 8)] {
        let called = format!("{PUBLIC}:{port}");
        let reason = world.drop(Edge::Internet, tcp(remote, &called, "S"));
        assert_eq!(reason, DropReason::Unsolicited);
        world.drop(Edge::Internet, tcp(remote, &called, "SA"));
        world.drop(Edge::Internet, udp(remote, &called, 1));
    }
    assert_eq!(world.plane.poll_timeout(), Some(world.now + after));
    // The second one crosses this SYN (T-14).
    assert_eq!(world.source(tcp("10.0.0.4:8", "8.8.8.8:54", "S")), end("20.1.1.1:8"));
    world.now += after - Duration::from_nanos(1);
    world.plane.handle_timeout(world.now);
    assert_eq!(world.made(), []);
    world.now += Duration::from_nanos(1);
    let (kind, code, edge, quoted, _) = world.error();
    assert_eq!((kind, code, edge), (3, 3, Edge::Internet));
    assert_eq!(quoted.tuple().destination, end("20.1.1.1:7"));
}

/// T-19: what is picked up in the middle, where that is wanted.
#[test]
fn t_19_loose_pick_up_is_configurable() {
    for (loose_pickup, resets, forwarded) in [
        (LoosePickup::Drop, 0, false),
        (LoosePickup::Reset, 1, false),
        (LoosePickup::PickUp, 0, true),
    ] {
        let mut world = World::new(PoolRules { loose_pickup, ..PoolRules::AZURE });
        let vm = Edge::Subnet(world.web);
        // T-20: these never open anything.
        for flags in ["SA", "FA", "R", "RA", "SF", "."] {
            let reason = world.drop(vm, tcp("10.0.0.4:7", REMOTE, flags));
            assert_eq!(reason, DropReason::NoFlow, "{flags}");
        }
        world.made();
        let mut packet = tcp("10.0.0.4:7", REMOTE, "A");
        assert_eq!(matches!(world.process(vm, &mut packet), Disposition::Forward(_)), forwarded);
        assert_eq!(world.made().len(), resets);
        assert_eq!(world.plane.flow_counters().live, u32::from(forwarded));
    }
}

/// T-26, RFC 1812: the gateway of the subnet says so, quotes the inside packet as far as 576 bytes
/// go, and no flow is made.
#[test]
fn t_26_time_exceeded_quotes_internal_packet() {
    for (ttl, length) in [(0, 9), (1, 9), (1, 1200)] {
        let mut world = World::new(PoolRules::AZURE);
        let mut packet = udp("10.0.0.4:7", REMOTE, length);
        packet[8] = ttl;
        let packet = summed(packet);
        let reason = world.drop(Edge::Subnet(world.web), packet.clone());
        assert_eq!(reason, DropReason::TtlExpired);
        let (kind, code, edge, quoted, bytes) = world.error();
        assert_eq!((kind, code, edge), (11, 0, Edge::Subnet(world.web)));
        assert_eq!(quoted.tuple(), Headers::parse(&packet).unwrap().tuple());
        assert_eq!(bytes[12..16], [10, 0, 0, 1]);
        assert_eq!(bytes[28..], packet[..packet.len().min(548)]);
        assert_eq!(world.plane.flow_counters().opened, 0);
    }
}

/// T-26: inbound, the quote has the external form, which is what the sender knows.
#[test]
fn t_26_inbound_time_exceeded_quotes_external() {
    let mut world = World::new(PoolRules::AZURE);
    let source = world.source(udp("10.0.0.4:7", REMOTE, 9));
    let mut answer = udp(REMOTE, &source.to_string(), 9);
    answer[8] = 1;
    assert_eq!(world.drop(Edge::Internet, summed(answer)), DropReason::TtlExpired);
    let (kind, _, edge, quoted, _) = world.error();
    assert_eq!((kind, edge, quoted.tuple().destination), (11, Edge::Internet, source));
}

/// T-22, RFC 1122 3.2.2.2: a redirect names a gateway on its own link, so that it goes to hosts of
/// the same network and no further.
#[test]
fn t_22_redirect_does_not_cross_translation() {
    let mut world = World::new(PoolRules::AZURE);
    let vm = Edge::Subnet(world.web);
    let error = |source: SocketAddrV4, about: &[u8], kind: u8| {
        let error = IcmpError { kind: IcmpErrorKind::HostUnreachable, source: *source.ip() };
        let mut buffer = [0; IcmpError::MAXIMUM_LENGTH];
        let length = error.write(about, &Headers::parse(about).unwrap(), &mut buffer);
        let mut packet = buffer[..length].to_vec();
        packet[20] = kind;
        packet[22..24].fill(0);
        let sum = !vnetem::packet::checksum::sum(&packet[20..]);
        packet[22..24].copy_from_slice(&sum.to_be_bytes());
        packet
    };
    let (_, arrived) = world.forward(vm, udp("10.0.0.4:7", REMOTE, 9));
    let external = Headers::parse(&arrived).unwrap().tuple().source;
    let answer = datagram(end(REMOTE), external, b"x");
    let (_, answered) = world.forward(Edge::Internet, answer);
    let (_, beside) = world.forward(vm, udp("10.0.0.4:7", "10.0.0.5:7", 9));
    for (kind, passes) in [(3, true), (5, false), (11, true)] {
        let mut outcomes = [false, false, true];
        for (at, (edge, sender, about)) in [
            (Edge::Internet, end(REMOTE), &arrived),
            (vm, end("10.0.0.4:7"), &answered),
            (vm, end("10.0.0.5:7"), &beside),
        ]
        .into_iter()
        .enumerate()
        {
            outcomes[at] = match world.process(edge, &mut error(sender, about, kind)) {
                Disposition::Drop(DropReason::Redirect) => false,
                Disposition::Forward(_) => true,
                disposition => panic!("{disposition:?}"),
            };
        }
        assert_eq!(outcomes, [passes, passes, true], "type {kind}");
    }
}

/// T-27, INV-never-fragments, RFC 1191: with the size, and only if it must not be fragmented; the
/// same on the way in.
#[test]
fn t_27_oversized_packet_refused_with_mtu() {
    let mtu = Mtu { public: 1000, private: 900 };
    let settings = Settings { mtu, ..Settings::replayable(0) };
    let mut world = World::with(PoolRules::AZURE, [1, 65_535], settings);
    let vm = Edge::Subnet(world.web);
    let source = world.source(dont_fragment(udp("10.0.0.4:7", REMOTE, 972), true)).to_string();
    for live in [true, false] {
        let from = if live { "10.0.0.4:7" } else { "10.0.0.5:7" };
        let long = dont_fragment(udp(from, REMOTE, 973), true);
        assert_eq!(world.drop(vm, long), DropReason::TooLong);
        let (kind, code, edge, quoted, bytes) = world.error();
        assert_eq!((kind, code, edge, quoted.tuple().source), (3, 4, vm, end(from)));
        assert_eq!(bytes[26..28], 1000_u16.to_be_bytes());
        let long = dont_fragment(udp(from, REMOTE, 973), false);
        assert_eq!(world.drop(vm, long), DropReason::TooLong);
        assert_eq!(world.made(), []);
    }
    world.forward(Edge::Internet, dont_fragment(udp(REMOTE, &source, 872), true));
    let long = dont_fragment(udp(REMOTE, &source, 873), true);
    assert_eq!(world.drop(Edge::Internet, long), DropReason::TooLong);
    let (.., bytes) = world.error();
    assert_eq!(bytes[26..28], 900_u16.to_be_bytes());
    assert_eq!(world.plane.flow_counters().opened, 1);
}

/// T-34, RFC 5508 REQ-8, RFC 6888 REQ-11; T-10: and no live flow is touched to make room.
#[test]
fn t_34_refusal_notice_follows_the_pool() {
    for (on_exhaustion, said) in [
        (OnExhaustion::Silence, None),
        (OnExhaustion::Prohibited, Some((3, 13))),
        (OnExhaustion::HostUnreachable, Some((3, 1))),
    ] {
        let rules = PoolRules { on_exhaustion, ..PoolRules::AZURE };
        let limits = Limits { flows: 1, ..Limits::default() };
        let rate = Limits {
            rate: Some(Rate { burst: 1, interval: Duration::from_secs(1) }),
            ..Limits::default()
        };
        for (rules, reason) in [
            (rules, DropReason::SnatExhausted),
            (PoolRules { limits, ..rules }, DropReason::PortQuota),
            (PoolRules { limits: rate, ..rules }, DropReason::FlowRate),
        ] {
            let last = if reason == DropReason::SnatExhausted { 5 } else { 50 };
            let mut world = World::with(rules, [5, last], Settings::replayable(0));
            let source = world.source(udp("10.0.0.4:7", REMOTE, 9)).to_string();
            let vm = Edge::Subnet(world.web);
            assert_eq!(world.drop(vm, udp("10.0.0.4:8", REMOTE, 9)), reason);
            match said {
                None => assert_eq!(world.made(), []),
                Some(said) => {
                    let (kind, code, edge, quoted, _) = world.error();
                    assert_eq!(((kind, code), edge), (said, vm));
                    assert_eq!(quoted.tuple().source, end("10.0.0.4:8"));
                }
            }
            world.forward(Edge::Internet, udp(REMOTE, &source, 9));
        }
    }
}

/// T-35: by address alone, one inside address towards each remote.
#[test]
fn t_35_other_protocols_translated_by_address() {
    let gre = |source: &str| {
        let mut packet = udp(&format!("{source}:0"), REMOTE, 9);
        packet[9] = 47;
        summed(packet)
    };
    let mut world = World::new(PoolRules::AZURE);
    let reason = world.drop(Edge::Subnet(world.web), gre("10.0.0.4"));
    assert_eq!(reason, DropReason::OutboundUnsupported);
    let mut world = World::new(PoolRules { other_protocols: true, ..PoolRules::AZURE });
    let vm = Edge::Subnet(world.web);
    let (to, packet) = world.forward(vm, gre("10.0.0.4"));
    assert_eq!((to, &packet[12..16]), (Edge::Internet, &PUBLIC.octets()[..]));
    assert_eq!(packet[20..], gre("10.0.0.4")[20..], "nothing else changes");
    let mut answer = packet.clone();
    answer[12..20].rotate_left(4);
    answer[8] = 64;
    let (to, packet) = world.forward(Edge::Internet, summed(answer));
    assert_eq!((to, &packet[16..20]), (vm, &[10, 0, 0, 4][..]));
    assert_eq!(world.drop(vm, gre("10.0.0.5")), DropReason::SnatExhausted);
}

/// T-36, RFC 6691: on the SYN of either side, at even and odd option offsets, and on nothing else.
#[test]
fn t_36_segment_size_clamped_both_ways() {
    let even = [2, 4, 0x05, 0xB4];
    let odd = [1, 2, 4, 0x05, 0xB4, 1, 1, 0];
    for options in [&even[..], &odd] {
        let mut world = World::new(PoolRules { segment_size: Some(1200), ..PoolRules::AZURE });
        let vm = Edge::Subnet(world.web);
        let remote = end(REMOTE);
        let size = |packet: &[u8]| {
            let headers = Headers::parse(packet).unwrap();
            vnetem::packet::tcp_options(packet, &headers).maximum_segment_size
        };
        let (_, out) =
            world.forward(vm, segment(end("10.0.0.4:7"), remote, "S", (1000, 1), options));
        assert_eq!(size(&out), Some(1200));
        let source = Headers::parse(&out).unwrap().tuple().source;
        let mut answer = segment(remote, source, "SA", (1000, 1), options);
        answer[28..32].copy_from_slice(&1001_u32.to_be_bytes());
        let headers = Headers::parse(&answer).unwrap();
        answer[36..38].fill(0);
        let sum = |bytes: &[u8]| -> u32 {
            bytes
                .chunks(2)
                .map(|word| u32::from(word[0]) << 8 | u32::from(*word.get(1).unwrap_or(&0)))
                .sum()
        };
        let total = sum(&answer[12..]) + 6 + u32::from(headers.total_length - 20);
        let total = (total & 0xFFFF) + (total >> 16);
        answer[36..38].copy_from_slice(&(!((total & 0xFFFF) + (total >> 16)) as u16).to_be_bytes());
        let (to, back) = world.forward(Edge::Internet, answer);
        assert_eq!((to, size(&back)), (vm, Some(1200)));
        let mut small = World::new(PoolRules { segment_size: Some(9000), ..PoolRules::AZURE });
        let (_, out) = small.forward(
            Edge::Subnet(small.web),
            segment(end("10.0.0.4:7"), remote, "S", (1000, 1), options),
        );
        assert_eq!(size(&out), Some(1460), "it is never raised");
    }
}

/// T-37, RFC 8158, RFC 6888 REQ-12: sessions, blocks and refusals, and no remote unless it is asked
/// for.
#[test]
fn t_37_events_say_what_happened_to_translations() {
    for log_remotes in [false, true] {
        let settings = Settings { translation_events: 16, log_remotes, ..Settings::replayable(0) };
        let blocks = Blocks::Dynamic { size: 2, most: 1 };
        let mut world = World::with(PoolRules { blocks, ..PoolRules::AZURE }, [6, 7], settings);
        let vm = Edge::Subnet(world.web);
        for port in 1..=2 {
            world.source(udp(&format!("10.0.0.4:{port}"), REMOTE, 9));
        }
        assert_eq!(world.drop(vm, udp("10.0.0.4:3", REMOTE, 9)), DropReason::PortQuota);
        assert_eq!(world.drop(vm, udp("10.0.0.5:1", REMOTE, 9)), DropReason::SnatExhausted);
        world.now += Duration::from_secs(1000);
        world.plane.handle_timeout(world.now);
        let events: Vec<_> = std::iter::from_fn(|| world.plane.poll_translation_event()).collect();
        let codes: Vec<_> = events.iter().map(|event| event.kind.code()).collect();
        assert_eq!(codes, [16, 4, 4, 13, 12, 5, 5]);
        let TranslationEventKind::BlockAllocated(block) = events[0].kind else { panic!() };
        assert_eq!((block.address, block.first, block.last), (PUBLIC, 6, 7));
        assert!(events.iter().all(|event| event.remote == log_remotes.then(|| end(REMOTE))));
        assert_eq!(events[1].internal, end("10.0.0.4:1"));
        assert!((6..=7).contains(&events[1].external.unwrap().port()));
    }
    let mut world = World::new(PoolRules::AZURE);
    world.source(udp("10.0.0.4:1", REMOTE, 9));
    assert_eq!(world.plane.poll_translation_event(), None, "by default nothing is kept");
}

/// T-38, RFC 4787 REQ-11: whatever went before is the same, so is what comes.
#[test]
fn t_38_same_calls_give_same_bytes() {
    let run = |seed| {
        let settings = Settings::replayable(seed);
        let mut world = World::with(PoolRules::RFC, [1, 65_535], settings);
        let vm = Edge::Subnet(world.web);
        (0..50)
            .map(|n| {
                world
                    .forward(
                        vm,
                        udp(&format!("10.0.0.{}:9", 4 + n % 9), &format!("8.8.8.8:{n}"), 9),
                    )
                    .1
            })
            .collect::<Vec<_>>()
    };
    assert_eq!(run(1), run(1));
    assert_ne!(run(1), run(2), "T-07: and another seed gives others");
}

/// T-39: a wrong transport checksum is the receiver's affair, unless it is asked for.
#[test]
fn t_39_wrong_checksum_handling_is_configurable() {
    for verify_checksums in [false, true] {
        let settings = Settings { verify_checksums, ..Settings::replayable(0) };
        let mut world = World::with(PoolRules::AZURE, [1, 65_535], settings);
        let vm = Edge::Subnet(world.web);
        let source = world.source(udp("10.0.0.4:7", REMOTE, 9)).to_string();
        for (edge, mut packet) in [
            (vm, udp("10.0.0.4:7", REMOTE, 9)),
            (vm, tcp("10.0.0.4:8", REMOTE, "S")),
            (Edge::Internet, udp(REMOTE, &source, 9)),
        ] {
            let last = packet.len() - 1;
            packet[last] ^= 1;
            let disposition = world.process(edge, &mut packet);
            if verify_checksums {
                assert_eq!(disposition, Disposition::Drop(DropReason::TransportChecksum));
            } else {
                let headers = Headers::parse(&packet).unwrap();
                let wrong = Checksums::of(&packet, &headers).transport;
                assert_eq!(
                    wrong,
                    TransportChecksum::Wrong,
                    "INV-wrong-checksum-stays-wrong: and stays wrong"
                );
            }
        }
        // A checksum of 0 is none (RFC 768).
        let mut none = udp("10.0.0.4:7", REMOTE, 9);
        none[26..28].fill(0);
        let (_, packet) = world.forward(vm, none);
        assert_eq!(packet[26..28], [0, 0], "T-30");
        assert_eq!(Headers::parse(&packet).unwrap().transport, Transport::Udp);
    }
}

/// INV-deadline-exact, INV-trace-equals-verdict: a trace changes nothing, so that it does not
/// remove what has run out either; once that is done it tells what happens.
#[test]
fn trace_sees_port_until_flow_removed() {
    let mut world = World::with(INDEPENDENT, [1024, 1024], Settings::replayable(0));
    assert_eq!(world.source(udp("10.0.0.4:5000", REMOTE, 1)).port(), 1024);
    world.now = Time(world.now.0 + 3_600_000_000_000);
    let other = udp("10.0.0.5:5000", REMOTE, 1);
    let traced = |world: &World| {
        world.plane.trace(world.now, Edge::Subnet(world.web), &other).verdict.disposition
    };
    assert_eq!(traced(&world), Disposition::Drop(DropReason::SnatExhausted));
    while world.plane.poll_timeout().is_some_and(|due| due <= world.now) {
        world.plane.handle_timeout(world.now);
    }
    assert_eq!(world.source(other.clone()).port(), 1024);
}

/// N-08, S-18: what the internet opened to an interface's own address goes on through changes that
/// leave the address where it is, and ends with it, or where the interface begins to forward.
#[test]
fn inbound_call_lasts_as_its_address() {
    let mut network = Network::new();
    let alpha = network.add_vnet("alpha", &["10.0.0.0/16".parse().unwrap()]).unwrap();
    let web = network.add_subnet(alpha, "web", "10.0.0.0/24".parse().unwrap()).unwrap();
    let nics = [4, 5, 6].map(|last| {
        network.add_nic(web, &format!("nic{last}"), Ipv4Addr::new(10, 0, 0, last)).unwrap()
    });
    let own = [Ipv4Addr::new(20, 9, 9, 4), Ipv4Addr::new(20, 9, 9, 5)];
    for (nic, address) in nics.into_iter().zip(own) {
        network.set_public_address(nic, Some(address)).unwrap();
    }
    let plane = DataPlane::new(network.commit(), Settings::replayable(0));
    let mut world = World { plane, now: Time(0), web };
    let calls = own.map(|address| udp("9.9.9.9:5", &format!("{address}:53"), 9));
    for (call, nic) in calls.iter().zip(nics) {
        assert_eq!(world.forward(Edge::Internet, call.clone()).0, Edge::Nic(nic));
    }
    // Its answers would go nowhere now, if it were they that had opened the flow.
    network.set_route(web, "9.9.9.0/24".parse().unwrap(), NextHop::None).unwrap();
    world.plane.apply(world.now, network.commit());
    for (call, nic) in calls.iter().zip(nics) {
        assert_eq!(world.forward(Edge::Internet, call.clone()).0, Edge::Nic(nic));
    }
    network.set_ip_forwarding(nics[0], true).unwrap();
    network.set_public_address(nics[1], None).unwrap();
    network.set_public_address(nics[2], Some(own[1])).unwrap();
    world.plane.apply(world.now, network.commit());
    let reasons = calls.map(|call| world.drop(Edge::Internet, call));
    assert_eq!(reasons, [DropReason::PathSwitched, DropReason::Withdrawn]);
}

/// an interface that begins to forward, or ends it, speaks from another place, so that what
/// it opened itself is closed, and nothing else.
#[test]
fn forwarding_change_closes_interfaces_own_flows() {
    let mut network = Network::new();
    let alpha = network.add_vnet("alpha", &["10.0.0.0/16".parse().unwrap()]).unwrap();
    let web = network.add_subnet(alpha, "web", "10.0.0.0/24".parse().unwrap()).unwrap();
    let [router, other] = [4, 5].map(|last| {
        network.add_nic(web, &format!("nic{last}"), Ipv4Addr::new(10, 0, 0, last)).unwrap()
    });
    let plane = DataPlane::new(network.commit(), Settings::replayable(0));
    let mut world = World { plane, now: Time(0), web };
    for is_on in [true, false] {
        for (nic, from) in [(router, "10.0.0.4:5"), (other, "10.0.0.5:5")] {
            world.forward(Edge::Nic(nic), udp(from, "10.0.0.9:53", 9));
        }
        assert_eq!(world.plane.flow_counters().live, 2);
        network.set_ip_forwarding(router, is_on).unwrap();
        world.plane.apply(world.now, network.commit());
        while world.plane.poll_transmit(world.now).is_some() {}
        let left: Vec<_> = world.plane.flows().map(|flow| *flow.internal.ip()).collect();
        assert_eq!(left, [Ipv4Addr::new(10, 0, 0, 5)], "{is_on}");
    }
}
