//! Replays captured packets through a live data plane in five setups. The model and every invariant
//! check each packet.

use core::net::{Ipv4Addr, SocketAddrV4};
use core::time::Duration;
use std::collections::BTreeMap;

use rand_xoshiro::Xoshiro256PlusPlus;
use rand_xoshiro::rand_core::{Rng, SeedableRng};
use vnetem::{
    DropReason, EditError, ServiceId, SubnetId,
    control::{Outbound, Scope},
};
use vnetem_packet::{
    AddressClass, FiveTuple, Fragment, Headers, Quote, Rewrite, rewrite, rewrite_quoting,
};

use super::*;

/// How the captured hosts are connected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Setup {
    /// Both ends are in subnets of one network, and nothing is translated.
    Untranslated,
    /// The initiator is behind a NAT gateway, the other end on the internet.
    Translated,
    /// As before, but half of the remote ends are a service's. Its endpoint is toggled every 1,000
    /// packets.
    Toggled,
    /// As translated, in 16 networks with the same addresses: each packet comes once in each.
    Sixteen,
    /// As toggled, but packets are cut short, have a bit flipped, or come in another order.
    Damaged,
}

/// The result of all packets so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Replayed {
    /// Packets that were sent.
    pub packets: u64,
    /// What the harness counts.
    pub coverage: Coverage,
    /// Flows opened.
    pub opened: u64,
    /// Toggles of the endpoint.
    pub toggles: u64,
}

/// A live data plane into which captures are replayed, one after the other.
pub struct Replay {
    setup: Setup,
    runner: Runner,
    service: ServiceId,
    networks: Vec<Joined>,
    replayed: Replayed,
    random: Xoshiro256PlusPlus,
}

/// One network's view of a capture.
#[derive(Clone, Debug)]
struct Joined {
    near: SubnetId,
    far: SubnetId,
    hosts: BTreeMap<Ipv4Addr, u16>,
    talks: Vec<Talk>,
    /// Conversations by the tuple of the first sender. A later fragment's tuple has no ports.
    by_tuple: BTreeMap<FiveTuple, usize>,
}

/// A conversation that one end of a capture began.
#[derive(Clone, Copy, Debug)]
struct Talk {
    /// As captured.
    initiator: SocketAddrV4,
    remote: SocketAddrV4,
    /// The edge where it left, and the source that is seen there.
    far: Option<(Edge, SocketAddrV4)>,
}

const GAP: Duration = Duration::from_secs(600);

impl Setup {
    /// All setups.
    pub const ALL: [Self; 5] =
        [Self::Untranslated, Self::Translated, Self::Toggled, Self::Sixteen, Self::Damaged];

    /// Returns the stable name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Untranslated => "plain",
            Self::Translated => "translated",
            Self::Toggled => "toggled",
            Self::Sixteen => "sixteen",
            Self::Damaged => "damaged",
        }
    }
}

impl Replay {
    /// Makes a data plane without flows. The seed decides what is damaged.
    ///
    /// # Errors
    ///
    /// The networks cannot be built, which would be a bug in this function.
    pub fn new(setup: Setup, seed: u64) -> Result<Self, EditError> {
        let (mut network, world) = world::build(&world::BEGINNINGS[0], false)?;
        let service = network.add_service("captured", &[net4("52.200.0.0/16")])?;
        let count = if setup == Setup::Sixteen { 16 } else { 1 };
        let mut networks = Vec::new();
        for number in 0..count {
            let vnet = network.add_vnet(&format!("captured-{number}"), &[net4("10.0.0.0/16")])?;
            let near = network.add_subnet(vnet, "near", net4("10.0.0.0/17"))?;
            let far = network.add_subnet(vnet, "far", net4("10.0.128.0/17"))?;
            let gateway = Outbound::NatGateway(vec![Ipv4Addr::new(20, 200, number, 1)]);
            network.set_outbound(near, gateway)?;
            let (hosts, talks, by_tuple) = Default::default();
            networks.push(Joined { near, far, hosts, talks, by_tuple });
        }
        let mut settings = settings(0);
        settings.flows.capacity = 1 << 14;
        settings.flows.held = 1 << 14;
        // Many captures begin in the middle.
        settings.flows.strict_windows = false;
        // All flows of a capture may end at the same time.
        (settings.events, settings.translation_events) = (1 << 16, 1 << 16);
        let runner = Runner::over(network, world, settings);
        let random = Xoshiro256PlusPlus::seed_from_u64(seed);
        Ok(Self { setup, runner, service, networks, replayed: Replayed::default(), random })
    }

    /// Replays one capture: packets with their times in nanoseconds. All flows of earlier captures
    /// have ended by then.
    ///
    /// # Errors
    ///
    /// The data plane and the model disagree, or an invariant does not hold. The transcript is that
    /// of the packet.
    pub fn capture<'a>(
        &mut self,
        packets: impl IntoIterator<Item = (u64, &'a [u8])>,
    ) -> Result<(), Box<Mismatch>> {
        let mut packets: Vec<(u64, Vec<u8>)> =
            packets.into_iter().map(|(at, bytes)| (at, bytes.to_vec())).collect();
        if self.setup == Setup::Damaged {
            self.damage(&mut packets);
        }
        for joined in &mut self.networks {
            (joined.hosts, joined.talks, joined.by_tuple) = Default::default();
        }
        self.run(|replay| {
            replay.runner.now += GAP;
            replay.runner.sweep()
        })?;
        let mut before = packets.first().map_or(0, |first| first.0);
        for (at, bytes) in packets {
            // Clocks of captures jump and go back. Related packets are never more than 10 s apart.
            let passed = at.saturating_sub(before).min(10_000_000_000);
            before = at;
            self.run(|replay| {
                replay.runner.now = Time(replay.runner.now.0 + passed);
                replay.runner.sweep()?;
                replay.packet(&bytes)
            })?;
        }
        Ok(())
    }

    /// Returns the result of all packets so far.
    #[must_use]
    pub fn replayed(&self) -> Replayed {
        let opened = self.runner.planes.only().flow_counters().opened;
        Replayed { coverage: self.runner.coverage, opened, ..self.replayed }
    }

    /// Returns how many packets were dropped, by reason.
    #[must_use]
    pub fn drops(&self) -> Vec<(DropReason, u64)> {
        let counters = self.runner.planes.only().counters();
        let all = DropReason::all().map(|why| (why, counters.drops(why)));
        all.filter(|(_, count)| *count > 0).collect()
    }

    fn run(
        &mut self,
        step: impl FnOnce(&mut Self) -> Result<(), String>,
    ) -> Result<(), Box<Mismatch>> {
        self.runner.forget();
        step(self).map_err(|what| self.runner.mismatch(what))
    }

    fn packet(&mut self, bytes: &[u8]) -> Result<(), String> {
        if matches!(self.setup, Setup::Toggled | Setup::Damaged)
            && self.replayed.packets % 1_000 == 999
        {
            self.toggle()?;
        }
        let mut fates = Vec::new();
        for number in 0..self.networks.len() {
            self.replayed.packets += 1;
            fates.push(self.packet_in(number, bytes)?);
        }
        // INV-networks-isolated: networks with the same addresses and the same traffic get the same
        // dispositions.
        if fates.iter().any(|disposition| Some(disposition) != fates.first()) {
            return Err(format!(
                "equal networks, different fates: {fates:?} (INV-networks-isolated)"
            ));
        }
        Ok(())
    }

    fn toggle(&mut self) -> Result<(), String> {
        let (near, service) = (self.networks[0].near, self.service);
        let on = self.replayed.toggles.is_multiple_of(2);
        self.replayed.toggles += 1;
        self.runner.change_by(true, |network, _| match on {
            true => network.enable_endpoint(near, service, Scope::Worldwide),
            false => network.disable_endpoint(near, service),
        })
    }

    /// Sends one packet in one network. Returns whether it was forwarded, and by what kind of
    /// source.
    fn packet_in(&mut self, number: usize, bytes: &[u8]) -> Result<Option<(bool, bool)>, String> {
        let setup = self.setup;
        let joined = &mut self.networks[number];
        let (edge, packet, talk) = joined.placed(setup, bytes);
        let forwarded = self.runner.send(edge, packet, Twist { kind: 0, at: 0 })?;
        let Some((forward, packet)) = forwarded else { return Ok(None) };
        let is_forward = forward.direction == vnetem::nat::Direction::Original;
        if let Some(talk) = talk.filter(|_| is_forward).and_then(|at| joined.talks.get_mut(at)) {
            let first = talk.far.is_none() || packet.part == crate::model::wire::Part::Whole;
            if first && packet.kind != crate::model::wire::Kind::IcmpError {
                talk.far = Some((forward.to, packet.source));
            }
        }
        Ok(Some((is_forward, forward.source == SourceMode::Preserved)))
    }

    /// Cuts packets short, flips single bits, and swaps packets within eight.
    fn damage(&mut self, packets: &mut [(u64, Vec<u8>)]) {
        for (_, bytes) in packets.iter_mut() {
            let draw = self.random.next_u64();
            let at = (draw >> 16) as usize % bytes.len().max(1);
            match draw % 4 {
                0 => bytes.truncate(at),
                1 => {
                    bytes.iter_mut().skip(at).take(1).for_each(|byte| *byte ^= 1 << (draw >> 8 & 7))
                }
                _ => {}
            }
        }
        for eight in packets.chunks_mut(8) {
            for at in (1..eight.len()).rev() {
                let other = self.random.next_u64() as usize % (at + 1);
                eight.swap(at, other);
            }
        }
    }
}

impl Joined {
    /// Returns where a captured packet enters, the packet with the addresses that its ends have
    /// here, and its conversation.
    fn placed(&mut self, setup: Setup, bytes: &[u8]) -> (Edge, Vec<u8>, Option<usize>) {
        let near = Edge::Subnet(self.near);
        let mut packet = bytes.to_vec();
        let Ok(headers) = Headers::parse(bytes) else { return (near, packet, None) };
        let quote = Quote::parse(bytes, &headers).ok();
        // An error belongs to the packet that it quotes, and goes the other way.
        let about = quote.map_or_else(|| headers.tuple(), |quote| quote.tuple().reversed());
        let (talk, is_answer) = self.talk(about, quote.is_some(), headers.fragment);
        let Some(Talk { initiator, remote, far }) = talk.and_then(|at| self.talks.get(at).copied())
        else {
            let source = SocketAddrV4::new(self.near(headers.source), headers.source_port);
            let destination =
                SocketAddrV4::new(self.far(setup, headers.destination), headers.destination_port);
            let ends = Rewrite { source: Some(source), destination: Some(destination) };
            rewrite(&mut packet, &headers, ends, headers.ttl);
            return (near, packet, None);
        };
        let internal = SocketAddrV4::new(self.near(*initiator.ip()), initiator.port());
        let external_side = SocketAddrV4::new(self.far(setup, *remote.ip()), remote.port());
        let nowhere = match setup {
            Setup::Untranslated => Edge::Subnet(self.far),
            _ => Edge::Internet,
        };
        let (far_edge, external) = far.unwrap_or((nowhere, internal));
        let (edge, source, destination) = if is_answer {
            (far_edge, external_side, external)
        } else {
            (near, internal, external_side)
        };
        match quote {
            None => {
                let ends = Rewrite { source: Some(source), destination: Some(destination) };
                rewrite(&mut packet, &headers, ends, headers.ttl);
            }
            Some(quote) => {
                let only = |end: SocketAddrV4| Some(SocketAddrV4::new(*end.ip(), 0));
                // A router on the way is a host like any other.
                let reporter = if headers.source == quote.headers.destination {
                    source
                } else if is_answer {
                    SocketAddrV4::new(self.far(setup, headers.source), 0)
                } else {
                    SocketAddrV4::new(self.near(headers.source), 0)
                };
                let outer = Rewrite { source: only(reporter), destination: only(destination) };
                let inner = Rewrite { source: Some(destination), destination: Some(source) };
                rewrite_quoting(&mut packet, &headers, &quote, outer, inner, headers.ttl);
            }
        }
        (edge, packet, talk)
    }

    /// Returns the conversation of a packet, and whether the remote end sent it.
    fn talk(
        &mut self,
        tuple: FiveTuple,
        is_error: bool,
        fragment: Fragment,
    ) -> (Option<usize>, bool) {
        let bare = |tuple: FiveTuple| {
            let end = |end: SocketAddrV4| SocketAddrV4::new(*end.ip(), 0);
            FiveTuple { source: end(tuple.source), destination: end(tuple.destination), ..tuple }
        };
        for (tuple, is_answer) in [(tuple, false), (tuple.reversed(), true)] {
            if let Some(at) = self.by_tuple.get(&tuple) {
                return (Some(*at), is_answer);
            }
        }
        if is_error || matches!(fragment, Fragment::Later { .. }) {
            return (None, false);
        }
        let at = self.talks.len();
        self.talks.push(Talk { initiator: tuple.source, remote: tuple.destination, far: None });
        self.by_tuple.insert(tuple, at);
        self.by_tuple.insert(bare(tuple), at);
        (Some(at), false)
    }

    /// Returns a host's number, in the order of appearance.
    fn number(&mut self, address: Ipv4Addr) -> u16 {
        let next = self.hosts.len() as u16 % 30_000;
        *self.hosts.entry(address).or_insert(next)
    }

    fn near(&mut self, address: Ipv4Addr) -> Ipv4Addr {
        if !is_a_hosts(address) {
            return address;
        }
        Ipv4Addr::from_bits(0x0a00_0000 + 4 + u32::from(self.number(address)))
    }

    fn far(&mut self, setup: Setup, address: Ipv4Addr) -> Ipv4Addr {
        if !is_a_hosts(address) {
            return address;
        }
        let number = u32::from(self.number(address));
        let base = match setup {
            Setup::Untranslated => 0x0a00_8000 + 4,
            // 52.200.0.0 is the service's, 93.184.0.0 is on the internet.
            Setup::Toggled | Setup::Damaged if number % 2 == 1 => 0x34c8_0000,
            _ => 0x5db8_0000,
        };
        Ipv4Addr::from_bits(base + number)
    }
}

/// Returns whether an address is one host's. Other addresses stay as captured, to be refused as
/// such (INV-special-addresses-refused).
fn is_a_hosts(address: Ipv4Addr) -> bool {
    !matches!(
        AddressClass::of(address),
        AddressClass::ThisNetwork
            | AddressClass::Loopback
            | AddressClass::Multicast
            | AddressClass::Broadcast
            | AddressClass::Reserved
    )
}

fn net4(text: &str) -> vnetem::Ipv4Net {
    text.parse().unwrap_or_default()
}
