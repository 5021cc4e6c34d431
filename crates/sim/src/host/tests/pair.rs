//! Two hosts that talk.

use super::*;

/// Two hosts joined by a link each way, and a hash of all that passed.
pub(super) struct Pair {
    pub(super) now: Time,
    pub(super) client: Host,
    pub(super) server: Host,
    pub(super) there: Link,
    pub(super) back: Link,
    pub(super) digest: u64,
    pub(super) packets: u64,
    /// The last packet there, and the last one back.
    pub(super) last: (Bytes, Bytes),
}

impl Pair {
    pub(super) fn new(seed: u64, link: LinkSettings) -> Self {
        let mut server = Host::new(HostSettings::new(SERVER, seed + 1));
        server.listen(80, App::Http);
        server.listen(sql::PORT, App::Sql);
        Self {
            now: Time(0),
            client: Host::new(HostSettings::new(CLIENT, seed)),
            server,
            there: Link::new(link, seed + 2),
            back: Link::new(link, seed + 3),
            digest: crate::blob::DIGEST_START,
            packets: 0,
            last: Default::default(),
        }
    }

    pub(super) fn clean() -> Self {
        Self::new(1, LinkSettings::clean(Duration::from_millis(5)))
    }

    pub(super) fn get(&mut self, target: &str) -> ConnectionId {
        let request = Request::get("a.example", target).write();
        self.client.connect(self.now, SocketAddrV4::new(SERVER, 80), request, None).unwrap()
    }

    pub(super) fn status(&self, id: ConnectionId) -> Status {
        self.client.connection(id).unwrap().status
    }

    /// The server's end of the only connection.
    pub(super) fn served(&self) -> &Connection {
        let served: Vec<_> = self.server.connections().collect();
        assert_eq!(served.len(), 1);
        served[0].1
    }

    pub(super) fn deliver(&mut self) {
        while let Some(packet) = self.there.poll(self.now) {
            self.server.receive(packet);
        }
        while let Some(packet) = self.back.poll(self.now) {
            self.client.receive(packet);
        }
    }

    pub(super) fn step(&mut self) -> Option<Time> {
        let now = self.now;
        self.deliver();
        self.client.poll(now);
        self.server.poll(now);
        while let Some(packet) = self.client.transmit() {
            self.note(0, &packet);
            self.last.0 = packet.clone();
            self.there.send(now, packet);
        }
        while let Some(packet) = self.server.transmit() {
            self.note(1, &packet);
            self.last.1 = packet.clone();
            self.back.send(now, packet);
        }
        let next = [
            self.client.next_poll(now),
            self.server.next_poll(now),
            self.there.next_arrival(),
            self.back.next_arrival(),
        ];
        next.into_iter().flatten().min()
    }

    pub(super) fn note(&mut self, side: u8, packet: &[u8]) {
        let time = self.now.0.to_be_bytes();
        self.digest =
            [&[side][..], &time, packet].into_iter().fold(self.digest, crate::blob::digest);
        self.packets += 1;
    }

    /// Runs until `end`, or until nothing is left to do.
    pub(super) fn run(&mut self, end: u64) {
        let mut steps = 0;
        while let Some(next) = self.step().filter(|next| next.0 <= end) {
            assert!(
                next > self.now || !self.there.is_empty() || !self.back.is_empty(),
                "no progress"
            );
            self.now = next;
            steps += 1;
            assert!(steps < 1_000_000, "it does not come to rest");
        }
        self.now = Time(end);
    }

    /// A reset with the tuple of the last packet in this direction, exactly where the receiver
    /// expects it.
    pub(super) fn reset(last: &[u8]) -> Bytes {
        let mut bytes = last.to_vec();
        let (source, destination, header, length) = {
            let packet = Ipv4Packet::new_checked(&bytes[..]).unwrap();
            let header = usize::from(packet.header_len());
            (packet.src_addr(), packet.dst_addr(), header, usize::from(packet.total_len()))
        };
        let (end, data) = {
            let segment = TcpPacket::new_checked(&bytes[header..length]).unwrap();
            let end = segment.seq_number() + segment.segment_len();
            (end, usize::from(segment.header_len()))
        };
        bytes.truncate(header + data);
        let mut segment = TcpPacket::new_unchecked(&mut bytes[header..]);
        segment.set_seq_number(end);
        segment.set_syn(false);
        segment.set_fin(false);
        segment.set_rst(true);
        segment.fill_checksum(&IpAddress::Ipv4(source), &IpAddress::Ipv4(destination));
        let mut packet = Ipv4Packet::new_unchecked(&mut bytes[..]);
        packet.set_total_len(u16::try_from(header + data).unwrap());
        packet.fill_checksum();
        bytes.into()
    }
}
