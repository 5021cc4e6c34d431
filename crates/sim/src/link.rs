//! A seeded link, one direction: what a packet meets between two places.

use core::num::NonZeroU64;
use core::time::Duration;
use std::collections::BTreeMap;

use bytes::{Bytes, BytesMut};
use rand_xoshiro::Xoshiro256PlusPlus;
use rand_xoshiro::rand_core::{Rng, SeedableRng};
use vnetem::Edge;
use vnetem_nat::Time;

/// One direction of a link: packets go in, and come out later, in another order, damaged, twice or
/// not at all.
///
/// Same settings, same seed and same packets at the same times give the same bytes at the same
/// times. Each packet takes the same number of draws whatever the settings are, so that turning one
/// knob changes only what that knob names.
#[derive(Clone, Debug)]
pub struct Link {
    settings: LinkSettings,
    generator: Xoshiro256PlusPlus,
    /// By arrival, then by number of sending.
    queue: BTreeMap<(Time, u64), Travelling>,
    /// Where an undisturbed packet stands behind its predecessor: jitter alone never reorders.
    last_arrival: Time,
    /// When the last packet has left the sender.
    free: Time,
    numbered: u64,
    counters: LinkCounters,
}

/// What a link does to packets; probabilities are per mille.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LinkSettings {
    /// Time on the way.
    pub delay: Duration,
    /// Largest further delay, drawn evenly for each packet. Jitter alone keeps the order.
    pub jitter: Duration,
    /// Probability that a packet is lost (smoltcp's `--drop-chance`).
    pub loss: u16,
    /// Probability that a packet arrives twice.
    pub duplicate: u16,
    /// Probability that a packet is held back by once more `delay` and `jitter`, at least a
    /// millisecond, and overtaken.
    pub reorder: u16,
    /// Probability that one bit of a packet is flipped (smoltcp's `--corrupt-chance`).
    pub corrupt: u16,
    /// Bits that can be sent in a second; any number without. Packets wait for those before them.
    pub rate: Option<NonZeroU64>,
    /// Packets that may be on the way at once; one more is lost and counted as overflow.
    pub capacity: usize,
}

/// What happened on a link: `sent + duplicated` is the sum of `lost`, `overflowed`, `delivered` and
/// what is still on the way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LinkCounters {
    /// Packets given to the link.
    pub sent: u64,
    /// Packets lost by chance.
    pub lost: u64,
    /// Second copies made.
    pub duplicated: u64,
    /// Packets held back.
    pub reordered: u64,
    /// Packets with a flipped bit.
    pub corrupted: u64,
    /// Packets lost because the link was full.
    pub overflowed: u64,
    /// Packets taken out at the far end.
    pub delivered: u64,
}

impl Link {
    /// Makes an empty link.
    #[must_use]
    pub fn new(settings: LinkSettings, seed: u64) -> Self {
        Self {
            settings,
            generator: Xoshiro256PlusPlus::seed_from_u64(seed),
            queue: BTreeMap::new(),
            last_arrival: Time(0),
            free: Time(0),
            numbered: 0,
            counters: LinkCounters::default(),
        }
    }

    /// Puts a packet on its way.
    pub fn send(&mut self, now: Time, packet: Bytes) {
        self.send_by(now, None, packet);
    }

    /// Puts a packet on its way, with the edge by which it enters or has left the network.
    pub(crate) fn send_by(&mut self, now: Time, edge: Option<Edge>, packet: Bytes) {
        let disposition = Disposition::draw(&mut self.generator);
        self.counters.sent += 1;
        if let Some(rate) = self.settings.rate {
            self.free = self.free.max(now) + sending(packet.len(), rate);
        }
        let left = self.free.max(now);
        let mut arrival =
            self.last_arrival.max(left + self.settings.delay + self.jitter(disposition));
        let held_back = disposition.hits(disposition.reorder, self.settings.reorder);
        if held_back {
            let held = self.settings.delay.saturating_add(self.settings.jitter);
            arrival += held.max(Duration::from_millis(1));
        } else {
            self.last_arrival = arrival;
        }
        if disposition.hits(disposition.loss, self.settings.loss) {
            self.counters.lost += 1;
            return;
        }
        self.counters.reordered += u64::from(held_back);
        let packet = if disposition.hits(disposition.corrupt, self.settings.corrupt) {
            self.counters.corrupted += 1;
            flip_bit(packet, disposition.bit)
        } else {
            packet
        };
        if disposition.hits(disposition.duplicate, self.settings.duplicate) {
            self.counters.duplicated += 1;
            self.enqueue(arrival, Travelling { edge, packet: packet.clone() });
        }
        self.enqueue(arrival, Travelling { edge, packet });
    }

    /// Takes the next packet that has arrived by `now`, in order of arrival.
    pub fn poll(&mut self, now: Time) -> Option<Bytes> {
        Some(self.poll_by(now)?.packet)
    }

    /// As [`poll`](Self::poll), with the edge that was given.
    pub(crate) fn poll_by(&mut self, now: Time) -> Option<Travelling> {
        let entry = self.queue.first_entry()?;
        if entry.key().0 > now {
            return None;
        }
        self.counters.delivered += 1;
        Some(entry.remove())
    }

    /// Returns when the next packet arrives, if one is on the way.
    #[must_use]
    pub fn next_arrival(&self) -> Option<Time> {
        self.queue.first_key_value().map(|((arrival, _), _)| *arrival)
    }

    /// Packets on the way.
    #[must_use]
    pub fn len(&self) -> usize {
        self.queue.len()
    }

    /// Returns whether nothing is on the way.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// Changes what the link does to packets from now on; those on the way are not affected.
    pub fn change(&mut self, settings: LinkSettings) {
        self.settings = settings;
    }

    /// Returns the counters so far.
    #[must_use]
    pub const fn counters(&self) -> LinkCounters {
        self.counters
    }

    fn jitter(&self, disposition: Disposition) -> Duration {
        let most = u64::try_from(self.settings.jitter.as_nanos()).unwrap_or(u64::MAX);
        Duration::from_nanos(
            most.checked_add(1).map_or(disposition.jitter, |span| disposition.jitter % span),
        )
    }

    fn enqueue(&mut self, arrival: Time, packet: Travelling) {
        if self.queue.len() >= self.settings.capacity {
            self.counters.overflowed += 1;
            return;
        }
        self.queue.insert((arrival, self.numbered), packet);
        self.numbered += 1;
    }
}

impl LinkSettings {
    /// Makes a link without faults.
    #[must_use]
    pub const fn clean(delay: Duration) -> Self {
        let jitter = Duration::ZERO;
        let (loss, duplicate, reorder, corrupt) = (0, 0, 0, 0);
        let (rate, capacity) = (None, 4096);
        Self { delay, jitter, loss, duplicate, reorder, corrupt, rate, capacity }
    }
}

/// A packet on its way.
#[derive(Clone, Debug)]
pub(crate) struct Travelling {
    /// By what edge it enters or has left the network, if that was said.
    pub(crate) edge: Option<Edge>,
    pub(crate) packet: Bytes,
}

/// All draws of one packet.
#[derive(Clone, Copy)]
struct Disposition {
    loss: u64,
    duplicate: u64,
    reorder: u64,
    corrupt: u64,
    bit: u64,
    jitter: u64,
}

impl Disposition {
    fn draw(generator: &mut Xoshiro256PlusPlus) -> Self {
        let mut next = || generator.next_u64();
        Self {
            loss: next(),
            duplicate: next(),
            reorder: next(),
            corrupt: next(),
            bit: next(),
            jitter: next(),
        }
    }

    fn hits(self, draw: u64, per_mille: u16) -> bool {
        draw % 1000 < u64::from(per_mille)
    }
}

/// How long it takes to send so many bytes.
fn sending(bytes: usize, rate: NonZeroU64) -> Duration {
    let bits = u64::try_from(bytes).unwrap_or(u64::MAX).saturating_mul(8);
    Duration::from_nanos(bits.saturating_mul(1_000_000_000) / rate)
}

/// The packet with one bit turned over; an empty one stays as it is.
fn flip_bit(packet: Bytes, draw: u64) -> Bytes {
    let mut packet = BytesMut::from(packet);
    let bits = u64::try_from(packet.len()).unwrap_or(u64::MAX).saturating_mul(8).max(1);
    let bit = draw % bits;
    if let Some(byte) = usize::try_from(bit / 8).ok().and_then(|index| packet.get_mut(index)) {
        *byte ^= 1 << (bit % 8);
    }
    packet.freeze()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const MILLISECOND: u64 = 1_000_000;

    fn arrivals(settings: LinkSettings, seed: u64, count: u32) -> Vec<(Time, Bytes)> {
        let mut link = Link::new(settings, seed);
        for number in 0..count {
            let packet = Bytes::copy_from_slice(&number.to_be_bytes());
            link.send(Time(u64::from(number) * MILLISECOND), packet);
        }
        drain(&mut link)
    }

    fn drain(link: &mut Link) -> Vec<(Time, Bytes)> {
        let mut out = Vec::new();
        while let Some(arrival) = link.next_arrival() {
            while let Some(packet) = link.poll(arrival) {
                out.push((arrival, packet));
            }
        }
        out
    }

    fn settings() -> impl Strategy<Value = LinkSettings> {
        let chance = || 0_u16..=1000;
        (0_u64..50, 0_u64..50, chance(), chance(), chance(), chance(), 1_usize..100).prop_map(
            |(delay, jitter, loss, duplicate, reorder, corrupt, capacity)| LinkSettings {
                delay: Duration::from_millis(delay),
                jitter: Duration::from_millis(jitter),
                loss,
                duplicate,
                reorder,
                corrupt,
                rate: NonZeroU64::new(delay * 1_000_000),
                capacity,
            },
        )
    }

    #[test]
    fn a_clean_link_only_delays() {
        let delay = Duration::from_millis(7);
        let got = arrivals(LinkSettings::clean(delay), 1, 100);
        let wanted: Vec<_> = (0_u32..100)
            .map(|number| {
                let sent = Time(u64::from(number) * MILLISECOND);
                (sent + delay, Bytes::copy_from_slice(&number.to_be_bytes()))
            })
            .collect();
        assert_eq!(got, wanted);
    }

    #[test]
    fn nothing_arrives_early() {
        let mut link = Link::new(LinkSettings::clean(Duration::from_millis(5)), 1);
        link.send(Time(0), Bytes::from_static(b"x"));
        assert_eq!(link.poll(Time(5 * MILLISECOND - 1)), None);
        assert!(link.poll(Time(5 * MILLISECOND)).is_some());
    }

    #[test]
    fn jitter_preserves_order_reorder_does_not() {
        let clean = LinkSettings::clean(Duration::from_millis(5));
        let numbers = |settings| -> Vec<Bytes> {
            arrivals(settings, 3, 200).into_iter().map(|(_, packet)| packet).collect()
        };
        let jittered = numbers(LinkSettings { jitter: Duration::from_millis(40), ..clean });
        assert!(jittered.is_sorted());
        assert_eq!(jittered.len(), 200);
        let reordered = numbers(LinkSettings { reorder: 200, ..clean });
        assert!(!reordered.is_sorted());
        assert_eq!(reordered.len(), 200);
    }

    #[test]
    fn probabilities_hold_on_average() {
        let clean = LinkSettings { capacity: 100_000, ..LinkSettings::clean(Duration::ZERO) };
        let faulty = LinkSettings { loss: 300, duplicate: 100, reorder: 100, corrupt: 50, ..clean };
        let mut link = Link::new(faulty, 11);
        for _ in 0..20_000 {
            link.send(Time(0), Bytes::from_static(b"packet"));
        }
        let counters = link.counters();
        assert!((5_700..6_300).contains(&counters.lost), "{counters:?}");
        assert!((1_250..1_550).contains(&counters.duplicated), "{counters:?}");
        assert!((1_250..1_550).contains(&counters.reordered), "{counters:?}");
        assert!((600..800).contains(&counters.corrupted), "{counters:?}");
    }

    #[test]
    fn corruption_flips_exactly_one_bit() {
        let clean = LinkSettings::clean(Duration::ZERO);
        for seed in 0..100 {
            let mut link = Link::new(LinkSettings { corrupt: 1000, ..clean }, seed);
            let packet = Bytes::from_static(&[0x55; 40]);
            link.send(Time(0), packet.clone());
            let got = link.poll(Time(0)).expect("a corrupted packet still arrives");
            let flipped: u32 = packet.iter().zip(&got).map(|(a, b)| (a ^ b).count_ones()).sum();
            assert_eq!((flipped, got.len()), (1, packet.len()));
        }
    }

    #[test]
    fn empty_packet_is_never_corrupted() {
        let mut link =
            Link::new(LinkSettings { corrupt: 1000, ..LinkSettings::clean(Duration::ZERO) }, 1);
        link.send(Time(0), Bytes::new());
        assert_eq!(link.poll(Time(0)), Some(Bytes::new()));
    }

    #[test]
    fn a_full_link_loses_and_counts() {
        let mut link =
            Link::new(LinkSettings { capacity: 2, ..LinkSettings::clean(Duration::ZERO) }, 1);
        for _ in 0..5 {
            link.send(Time(0), Bytes::from_static(b"x"));
        }
        assert_eq!((link.len(), link.counters().overflowed), (2, 3));
    }

    #[test]
    fn one_setting_changes_only_its_effect() {
        let clean = LinkSettings {
            jitter: Duration::from_millis(9),
            ..LinkSettings::clean(Duration::from_millis(5))
        };
        let all = arrivals(LinkSettings { corrupt: 100, ..clean }, 5, 300);
        let some = arrivals(LinkSettings { corrupt: 100, loss: 300, ..clean }, 5, 300);
        assert!(some.len() < 250);
        // What survives is what would have been delivered without loss, byte for byte and at the
        // same time.
        assert!(some.iter().all(|arrival| all.contains(arrival)));
    }

    #[test]
    fn rate_spaces_packets() {
        let rate = NonZeroU64::new(8_000_000);
        let settings = LinkSettings { rate, ..LinkSettings::clean(Duration::from_millis(7)) };
        let mut link = Link::new(settings, 1);
        for _ in 0..3 {
            link.send(Time(0), Bytes::from_static(&[0; 1000]));
        }
        let arrivals: Vec<_> = drain(&mut link).into_iter().map(|(at, _)| at.0).collect();
        assert_eq!(arrivals, [8 * MILLISECOND, 9 * MILLISECOND, 10 * MILLISECOND]);
    }

    /// What adds up to more than time has stops at its end.
    #[test]
    fn delay_plus_jitter_saturates() {
        let (delay, jitter) = (Duration::MAX, Duration::MAX);
        let mut link =
            Link::new(LinkSettings { jitter, reorder: 1000, ..LinkSettings::clean(delay) }, 1);
        link.send(Time(1), Bytes::from_static(b"x"));
        assert_eq!(link.next_arrival(), Some(Time(u64::MAX)));
    }

    proptest! {
        /// Same seed, same bytes at the same times (INV-same-input-same-bytes),
        /// and every packet has one end, as INV-packets-conserved asks of a data plane.
        #[test]
        fn links_are_deterministic_and_conserve_packets(
            settings in settings(),
            seed: u64,
            count in 0_u32..200,
        ) {
            prop_assert_eq!(arrivals(settings, seed, count), arrivals(settings, seed, count));
            let mut link = Link::new(settings, seed);
            for number in 0..count {
                let now = Time(u64::from(number) * MILLISECOND);
                link.send(now, Bytes::from_static(b"packet"));
                if number % 3 == 0 {
                    link.poll(now);
                }
                let counters = link.counters();
                let ends = counters.lost
                    + counters.overflowed
                    + counters.delivered
                    + u64::try_from(link.len()).unwrap();
                prop_assert_eq!(counters.sent + counters.duplicated, ends);
                prop_assert!(link.len() <= settings.capacity);
            }
        }
    }
}
