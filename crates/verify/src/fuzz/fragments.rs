use core::net::{Ipv4Addr, SocketAddrV4};
use core::time::Duration;

use vnetem_nat::{
    FlowId, FlowTable, FragmentError, FragmentKey, Fragments, Generation, Keys, MappingPolicy,
    NewFlow, RevalidationKey, Settings, Shared, Side, Span, Tenant, Time, Zone,
};
use vnetem_packet::{FiveTuple, Headers, Protocol};

use vnetem_packet_text::Packet;

/// Datagrams that the tracker can know at one time.
const CAPACITY: u64 = 4;
const LIFE: u64 = 30;
/// The longest payload of a datagram.
const LONGEST: u64 = 65_515;

/// Sends fragments in any order, with duplicates, overlaps, gaps and waits, and compares with a
/// list of what was forwarded (INV-fragment-follows-first).
///
/// Each six bytes are an event: its kind with the bits of the key, a flow, an offset in eights (two
/// bytes), a length, and the wait before it. There are few keys and offsets, so that fragments
/// meet.
pub fn frag_tracker(bytes: &[u8]) {
    let flows = flows();
    let mut tracker = Fragments::new(
        CAPACITY as usize,
        Duration::from_nanos(LIFE),
        Keys::replayable(u64::from(bytes.len() as u8)),
    );
    let mut list = List::default();
    for event in bytes.as_chunks::<6>().0.iter().take(96) {
        let [kind, flow, high, low, length, wait] = *event;
        // Sometimes the clock goes back, which counts as standing still.
        let now = if wait == 255 {
            list.now.saturating_sub(40)
        } else {
            list.now + u64::from(wait.saturating_sub(160))
        };
        list.now = list.now.max(now);
        let now = Time(now);
        let key = key(kind);
        let (id, side) = (flows[usize::from(flow) % flows.len()], side(flow));
        // Mostly near the beginning; with all bits set, up to the largest offset.
        let offset = u16::from_be_bytes([high, low]);
        let offset = (if high < 0xf0 { offset % 32 } else { offset & 0x1fff }) * 8;
        let length = u16::from(length % 64) * 8;
        if kind & 0x80 != 0 {
            // The parser refuses an empty fragment, and a first one that is the last.
            let span = Span { offset: 0, length: length.max(8), last: false };
            tracker.note(now, key, span, id, side, Tenant::NOBODY);
            list.note(key, span, id, side);
        } else {
            let last = kind & 0x40 != 0;
            let length = if last { length.saturating_sub(3) } else { length };
            let span = Span { offset, length, last };
            let expected = list.admit(&key, span);
            assert_eq!(tracker.admit(now, &key, span), expected, "{span:?} {list:?}");
            tracker.pass(now, &key, span);
            if expected.is_ok() {
                list.pass(&key, span);
            }
        }
        list.agrees(&tracker, now, key);
    }
    for key in (0..32).map(key) {
        list.agrees(&tracker, Time(list.now), key);
    }
}

/// First fragments in order of arrival, each with the parts that were forwarded.
#[derive(Debug, Default)]
struct List {
    now: u64,
    firsts: Vec<First>,
}

#[derive(Clone, Debug)]
struct First {
    key: FragmentKey,
    id: FlowId,
    side: Side,
    until: u64,
    /// Every fragment that was forwarded, from its first byte to behind its last.
    passed: Vec<(u64, u64)>,
    end: Option<u64>,
    /// Whether the datagram is complete, or another one has begun.
    over: bool,
}

impl List {
    /// Returns the latest first fragment with this key, unless it is over.
    fn first(&self, key: &FragmentKey) -> Option<&First> {
        let is_it = |first: &&First| first.key == *key && !first.over && first.until > self.now;
        self.firsts.iter().rev().find(is_it)
    }

    fn agrees(&self, tracker: &Fragments, now: Time, key: FragmentKey) {
        let found = self.first(&key).map(|first| (first.id, first.side));
        assert_eq!(tracker.find(now, &key), found, "{key:?} {self:?}");
    }

    fn note(&mut self, key: FragmentKey, span: Span, id: FlowId, side: Side) {
        let length = u64::from(span.length);
        if let Some(first) = self.first(&key)
            && (first.id, first.side) == (id, side)
            && first.pieces().first().is_some_and(|piece| piece.0 == 0 && piece.1 >= length)
        {
            return;
        }
        for first in self.firsts.iter_mut().filter(|first| first.key == key) {
            first.over = true;
        }
        let until = self.now + LIFE;
        let passed = vec![(0, length)];
        self.firsts.push(First { key, id, side, until, passed, end: None, over: false });
        // Where there is no room the oldest is removed, whatever ends later.
        let standing = self.firsts.iter_mut().rev().filter(|first| !first.over);
        standing.skip(CAPACITY as usize).for_each(|first| first.over = true);
    }

    fn admit(&self, key: &FragmentKey, span: Span) -> Result<(FlowId, Side), FragmentError> {
        let first = self.first(key).ok_or(FragmentError::WithoutFirst)?;
        let (start, end) = ends(span);
        let pieces = first.pieces();
        if start == end || end > LONGEST || first.end.is_some_and(|last| end > last) {
            return Err(FragmentError::TooLong);
        }
        if first.passed.iter().any(|piece| piece.0 < end && start < piece.1) {
            return Err(FragmentError::Overlap);
        }
        let invalidates = pieces.iter().any(|piece| piece.0 == end || piece.1 == start);
        if pieces.len() == 8 && !invalidates {
            return Err(FragmentError::Scattered);
        }
        let ends_early = first.end.is_some() || first.passed.iter().any(|piece| piece.1 > end);
        if span.last && ends_early {
            return Err(FragmentError::TooLong);
        }
        Ok((first.id, first.side))
    }

    fn pass(&mut self, key: &FragmentKey, span: Span) {
        let newest = self.firsts.iter_mut().rev().filter(|first| !first.over);
        let newest = newest.take(CAPACITY as usize);
        let Some(first) = newest.into_iter().find(|first| first.key == *key && !first.over) else {
            return;
        };
        first.passed.push(ends(span));
        if span.last {
            first.end = Some(ends(span).1);
        }
        let bytes: u64 = first.passed.iter().map(|piece| piece.1 - piece.0).sum();
        first.over = first.end == Some(bytes);
    }
}

impl First {
    /// Returns what was forwarded, in order, with adjacent parts merged.
    fn pieces(&self) -> Vec<(u64, u64)> {
        let mut sorted = self.passed.clone();
        sorted.sort_unstable();
        let mut pieces: Vec<(u64, u64)> = Vec::new();
        for (start, end) in sorted {
            match pieces.last_mut() {
                Some(last) if last.1 == start => last.1 = end,
                _ => pieces.push((start, end)),
            }
        }
        pieces
    }
}

fn ends(span: Span) -> (u64, u64) {
    (u64::from(span.offset), u64::from(span.offset) + u64::from(span.length))
}

fn side(bits: u8) -> Side {
    if bits & 0x10 == 0 { Side::Internal } else { Side::External }
}

/// Makes a key from two zones, two senders, two protocols and four identifications
/// (INV-fragments-never-mix).
fn key(bits: u8) -> FragmentKey {
    FragmentKey {
        zone: Zone(u32::from(bits & 1)),
        source: Ipv4Addr::new(10, 0, 0, 4 + (bits >> 1 & 1)),
        destination: Ipv4Addr::new(52, 239, 1, 9),
        protocol: if bits & 4 == 0 { Protocol::UDP } else { Protocol::TCP },
        identification: u16::from(bits >> 3 & 3),
    }
}

/// Returns handles of three flows.
fn flows() -> Vec<FlowId> {
    let (revalidation_keys, shared) = (1, Shared::NONE);
    let settings =
        Settings { capacity: 4, held: 4, revalidation_keys, shared, ..Settings::replayable(0) };
    let mut table = FlowTable::new(settings);
    let ids = (1..=3).map(|port| {
        let internal = SocketAddrV4::new(Ipv4Addr::new(10, 0, 0, 4), port);
        let remote = SocketAddrV4::new(Ipv4Addr::new(52, 239, 1, 9), 53);
        let new = NewFlow {
            protocol: Protocol::UDP,
            internal,
            internal_zone: Zone(1),
            external: internal,
            external_zone: Zone(2),
            remote,
            initiator: Side::Internal,
            revalidation_key: RevalidationKey(0),
            tenant: Tenant::NOBODY,
            generation: Generation(1),
            cached: (),
            mapping_policy: MappingPolicy::default(),
        };
        let packet = first_packet(&FiveTuple {
            protocol: Protocol::UDP,
            source: internal,
            destination: remote,
        });
        let headers = Headers::parse(&packet).unwrap_or_else(|cause| panic!("{cause}"));
        let id = table.open(Time(1), new, &headers, &packet);
        id.unwrap_or_else(|error| panic!("{error:?}"))
    });
    ids.collect()
}

/// Makes the packet with which a flow begins.
pub(crate) fn first_packet(tuple: &FiveTuple) -> Vec<u8> {
    use vnetem_packet::TcpFlags;
    use vnetem_packet_text::{Content, Echo, Segment};

    let FiveTuple { protocol, source, destination } = *tuple;
    let packet = match protocol {
        Protocol::TCP => {
            let segment = Segment::new(source.port(), destination.port(), TcpFlags::SYN);
            Packet::new(*source.ip(), *destination.ip(), Content::Tcp(segment))
        }
        Protocol::ICMP => {
            let echo = Echo { reply: false, identifier: source.port(), sequence: 1, length: 0 };
            Packet::new(*source.ip(), *destination.ip(), Content::Echo(echo))
        }
        _ => Packet::udp(source, destination, 0),
    };
    packet.build().to_vec()
}
