//! A network with a bystander: a connection that no fault may disturb. Every packet is checked.

use std::net::{Ipv4Addr, SocketAddrV4};
use std::time::Duration;

use rand_xoshiro::Xoshiro256PlusPlus;
use rand_xoshiro::rand_core::{Rng, SeedableRng};
use vnetem::packet::Checksums;
use vnetem::{
    DataPlane, DropReason, Edge, Headers, Ipv4Net, Network, ServiceId, Settings, SourceMode,
    SubnetId, Time, Transmit, VnetId, control::Outbound, nat::PoolRules,
};
use vnetem_packet_text::Packet;
use vnetem_verify::said::Disposition;

pub(crate) const BYSTANDER: &str = "10.0.0.4:50001";
pub(crate) const FILM: &str = "93.184.216.34:443";
pub(crate) const ACCOUNT: &str = "52.239.1.9:443";

pub(crate) struct Rig {
    pub(crate) network: Network,
    pub(crate) plane: DataPlane,
    pub(crate) now: Time,
    pub(crate) storage: ServiceId,
    pub(crate) alpha: VnetId,
    pub(crate) web: SubnetId,
    pub(crate) beta: SubnetId,
    /// The public end of the bystander, and the next sequence numbers of both ends.
    external: SocketAddrV4,
    next: [u32; 2],
}

impl Rig {
    /// Makes alpha's web and beta's, with the same addresses, each behind its own pool, and a
    /// service. The bystander's connection is open.
    pub(crate) fn new(settings: Settings) -> Self {
        let mut network = Network::new();
        let storage = network.add_service("storage", &[net("52.239.0.0/16")]).unwrap();
        let alpha = network.add_vnet("alpha", &[net("10.0.0.0/16")]).unwrap();
        let web = network.add_subnet(alpha, "web", net("10.0.0.0/24")).unwrap();
        network.set_outbound(web, pool([20, 1, 1, 1], 1024, 65_535)).unwrap();
        let other = network.add_vnet("beta", &[net("10.0.0.0/16")]).unwrap();
        let beta = network.add_subnet(other, "web", net("10.0.0.0/24")).unwrap();
        network.set_outbound(beta, pool([20, 2, 2, 2], 1024, 65_535)).unwrap();
        let plane = DataPlane::new(network.commit(), settings);
        let (now, external) = (Time(1_000_000_000), end(BYSTANDER));
        let next = [1001, 9001];
        let mut rig = Self { network, plane, now, storage, alpha, web, beta, external, next };
        rig.call_the_film();
        rig
    }

    /// Opens the bystander's connection.
    pub(crate) fn call_the_film(&mut self) {
        let opened = self.connect(self.web, BYSTANDER, FILM);
        (self.external, self.next) = (opened, [1001, 9001]);
    }

    /// Opens a TCP connection, with sequence numbers 1000 and 9000. Returns the source that the
    /// remote end sees.
    pub(crate) fn connect(&mut self, from: SubnetId, client: &str, server: &str) -> SocketAddrV4 {
        let near = Edge::Subnet(from);
        let (disposition, bytes) = self.says(near, &format!("{client} > {server} tcp S seq 1000"));
        let Disposition::Forward(forward) = disposition else {
            panic!("{client} to {server}: {disposition:?}")
        };
        let seen = Headers::parse(&bytes).unwrap().tuple().source;
        let answer = format!("{server} > {seen} tcp SA seq 9000 ack 1001");
        assert!(is_forwarded(self.says(forward.to, &answer).0), "{answer}");
        let last = format!("{client} > {server} tcp A seq 1001 ack 9001");
        assert!(is_forwarded(self.says(near, &last).0), "{last}");
        seen
    }

    /// Sends a segment from the bystander and one from its server, and checks that both arrive.
    pub(crate) fn bystander_talks(&mut self) {
        let [mine, theirs] = self.next;
        let line = format!("{BYSTANDER} > {FILM} tcp PA seq {mine} ack {theirs} len 100");
        let (disposition, bytes) = self.says(Edge::Subnet(self.web), &line);
        assert!(is_forwarded(disposition), "the bystander was disturbed: {disposition:?}");
        assert_eq!(
            Headers::parse(&bytes).unwrap().tuple().source,
            self.external,
            "INV-mapping-constant"
        );
        let mine = mine.wrapping_add(100);
        let answer = format!("{FILM} > {} tcp PA seq {theirs} ack {mine} len 50", self.external);
        let (disposition, bytes) = self.says(Edge::Internet, &answer);
        assert!(is_forwarded(disposition), "the bystander's server was not heard: {disposition:?}");
        assert_eq!(
            Headers::parse(&bytes).unwrap().tuple().destination,
            end(BYSTANDER),
            "INV-reply-reaches-initiator"
        );
        self.next = [mine, theirs.wrapping_add(50)];
    }

    /// Returns the bystander's end as its server sees it.
    pub(crate) fn seen(&self) -> SocketAddrV4 {
        self.external
    }

    /// Returns what its server expects next, and what the bystander expects.
    pub(crate) fn numbers(&self) -> [u32; 2] {
        self.next
    }

    pub(crate) fn says(&mut self, edge: Edge, line: &str) -> (Disposition, Vec<u8>) {
        self.send(edge, &bytes(line))
    }

    /// Sends a packet through the data plane. It checks INV-packets-conserved,
    /// INV-one-cause-per-drop, INV-trace-equals-verdict, INV-one-generation-decides,
    /// INV-private-source-stays-inside, INV-checksums-stay-right, and that only a forwarded packet
    /// changes.
    pub(crate) fn send(&mut self, edge: Edge, before: &[u8]) -> (Disposition, Vec<u8>) {
        let mut after = before.to_vec();
        let traced = self.plane.trace(self.now, edge, before).verdict;
        let verdict = self.plane.process(self.now, edge, &mut after);
        assert_eq!(traced, verdict, "INV-trace-equals-verdict");
        assert_eq!(verdict.generation, self.plane.generation(), "INV-one-generation-decides");
        let said = Disposition::of(verdict.disposition, self.plane.snapshot());
        match said {
            Disposition::Forward(forward) => {
                let (old, new) = (Headers::parse(before).unwrap(), Headers::parse(&after).unwrap());
                let external =
                    matches!(forward.to, Edge::Internet | Edge::Service { identity: None, .. });
                assert!(
                    !external || !new.source.is_private(),
                    "INV-private-source-stays-inside: {new}"
                );
                let right = Checksums::of(before, &old).none_wrong();
                assert_eq!(
                    right,
                    Checksums::of(&after, &new).none_wrong(),
                    "INV-checksums-stay-right, INV-wrong-checksum-stays-wrong: {old}"
                );
                let is_kept = forward.source == SourceMode::Preserved;
                assert!(!is_kept || old.source == new.source, "{old} became {new}");
            }
            _ => assert_eq!(before, after, "what goes no further stays as it is"),
        }
        self.accounts();
        (said, after)
    }

    /// Takes all packets that the data plane made.
    pub(crate) fn made(&mut self) -> Vec<Transmit> {
        let mut made = Vec::new();
        while let Some(transmit) = self.plane.poll_transmit(self.now) {
            let headers = Headers::parse(&transmit.packet).unwrap();
            assert!(
                Checksums::of(&transmit.packet, &headers).none_wrong(),
                "INV-generated-packets-valid"
            );
            let external =
                matches!(transmit.to, Edge::Internet | Edge::Service { identity: None, .. });
            assert!(
                !external || !headers.source.is_private(),
                "INV-private-source-stays-inside: {headers}"
            );
            made.push(transmit);
        }
        while self.plane.poll_event().is_some() {}
        self.accounts();
        made
    }

    pub(crate) fn wait(&mut self, time: Duration) {
        self.now += time;
        let due = |plane: &DataPlane, now| plane.poll_timeout().is_some_and(|at| at <= now);
        for _ in 0..10_000 {
            if !due(&self.plane, self.now) {
                return;
            }
            self.plane.handle_timeout(self.now);
            self.made();
        }
        panic!("handle_timeout does not come to an end");
    }

    pub(crate) fn apply(&mut self) {
        self.plane.apply(self.now, self.network.commit());
    }

    pub(crate) fn live(&self) -> u32 {
        self.plane.flow_counters().live
    }

    pub(crate) fn opened(&self) -> u64 {
        self.plane.flow_counters().opened
    }

    pub(crate) fn drops(&self, reason: DropReason) -> u64 {
        self.plane.counters().drops(reason)
    }

    /// Checks INV-packets-conserved, INV-one-cause-per-drop and INV-flows-conserved.
    pub(crate) fn accounts(&self) {
        let counters = self.plane.counters();
        let (waiting, waiting_bytes) = self.plane.queued();
        let came = counters.received.packets + counters.generated.packets;
        let went = [counters.forwarded, counters.transmitted, counters.denied, counters.dropped];
        let packets: u64 = went.iter().map(|tally| tally.packets).sum();
        assert_eq!(came, packets + waiting as u64, "INV-packets-conserved");
        let came = counters.received.bytes + counters.generated.bytes;
        let bytes: u64 = went.iter().map(|tally| tally.bytes).sum();
        assert_eq!(came, bytes + waiting_bytes as u64, "INV-packets-conserved");
        let causes: u64 = DropReason::all().map(|reason| counters.drops(reason)).sum();
        assert_eq!(
            counters.dropped.packets,
            causes + counters.queue_full.packets,
            "INV-one-cause-per-drop"
        );
        let flows = self.plane.flow_counters();
        let left = u64::from(flows.live) + u64::from(flows.tombstones);
        assert_eq!(flows.opened - flows.total_ended(), left, "INV-flows-conserved");
    }
}

pub(crate) fn small(capacity: u32) -> Settings {
    let mut settings = Settings::replayable(0);
    settings.flows.capacity = capacity;
    settings
}

pub(crate) fn pool(address: [u8; 4], first_port: u16, last_port: u16) -> Outbound {
    let addresses = vec![Ipv4Addr::from(address)];
    Outbound::Pool { addresses, first_port, last_port, rules: PoolRules::AZURE }
}

pub(crate) fn is_forwarded(disposition: Disposition) -> bool {
    matches!(disposition, Disposition::Forward(_))
}

pub(crate) fn dropped(reason: DropReason) -> Disposition {
    Disposition::Drop(reason)
}

pub(crate) fn bytes(line: &str) -> Vec<u8> {
    match line.parse::<Packet>() {
        Ok(packet) => packet.build().to_vec(),
        Err(error) => panic!("{line}: {error:?}"),
    }
}

pub(crate) fn end(text: &str) -> SocketAddrV4 {
    text.parse().unwrap()
}

pub(crate) fn net(text: &str) -> Ipv4Net {
    text.parse().unwrap()
}

pub(crate) fn random(seed: u64) -> impl FnMut() -> u64 {
    let mut random = Xoshiro256PlusPlus::seed_from_u64(seed);
    move || random.next_u64()
}
