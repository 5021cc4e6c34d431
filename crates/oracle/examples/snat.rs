//! Measures Linux's source NAT beside vnetem's, in one run on one machine:
//!
//! ```text
//! cargo run --release -p vnetem-oracle --example snat -- FLOWS...
//! ```
//!
//! By default it measures 1000 and 100000 flows. Packets are 46 bytes of UDP from the internal
//! side, at random over all flows, and every flow is open. Figures are processor time of the
//! thread.
//!
//! Linux gets the packets through a TUN device in a namespace. They are dropped after the
//! translation, so that nobody needs to read them. A rule that drops packets on entry measures the
//! cost of delivery to the kernel, which is subtracted.

#[cfg(target_os = "linux")]
fn main() -> Result<(), vnetem_oracle::Failure> {
    let flows: Result<Vec<u32>, _> = std::env::args().skip(1).map(|text| text.parse()).collect();
    let flows = Some(flows?).filter(|flows| !flows.is_empty()).unwrap_or(vec![1_000, 100_000]);
    println!("conntrack buckets: {}", linux::buckets()?);
    println!(
        "ns a packet   handed over  forwarded  translated | Linux snat  ours, batch of 32, one at a time | ratio"
    );
    for flows in flows {
        let [entry, forward, snat] = [linux::DROP, linux::FORWARD, linux::TRANSLATE].map(|rules| {
            // In a thread of its own, with which the namespace ends.
            std::thread::spawn(move || linux::nanoseconds(rules, flows))
                .join()
                .unwrap_or_else(|_| Err("the measurement failed".into()))
        });
        let (entry, forward, snat) = (entry?, forward?, snat?);
        let (batch, single) = (ours::nanoseconds(flows, 32)?, ours::nanoseconds(flows, 1)?);
        let linux = snat - entry;
        println!(
            "{flows:>9} flows  {entry:>10.0}  {forward:>9.0}  {snat:>10.0} | {linux:>10.0}  {batch:>17.1}  {single:>13.1} | {:.1}",
            linux / batch
        );
    }
    Ok(())
}

#[cfg(not(target_os = "linux"))]
fn main() {}

/// The number of rounds, whose median counts, and the packets of a round.
#[cfg(target_os = "linux")]
const ROUNDS: usize = 51;
#[cfg(target_os = "linux")]
const PACKETS: u32 = 10_000;

/// Returns the median of rounds, each of which returns the time of one packet.
#[cfg(target_os = "linux")]
fn median(round: impl FnMut() -> f64) -> f64 {
    let mut rounds: Vec<_> = std::iter::repeat_with(round).take(ROUNDS).collect();
    rounds.sort_by(f64::total_cmp);
    rounds.get(ROUNDS / 2).copied().unwrap_or(0.0)
}

/// Returns the processor time of this thread in nanoseconds.
#[cfg(target_os = "linux")]
fn spent() -> f64 {
    let clock = nix::time::ClockId::CLOCK_THREAD_CPUTIME_ID;
    nix::time::clock_gettime(clock)
        .map_or(0.0, |time| std::time::Duration::from(time).as_secs_f64() * 1e9)
}

#[cfg(target_os = "linux")]
mod linux {
    use vnetem::packet::checksum::sum;
    use vnetem_oracle::{Failure, Namespace, Tun, command};

    use super::{PACKETS, median, spent};

    /// Drops the packet on entry.
    pub(super) const DROP: &str = "table netdev sink { chain in { type filter hook ingress device \"tin\" priority 0; drop; }; }";
    /// Routes the packet.
    pub(super) const FORWARD: &str = "table netdev sink { chain out { type filter hook egress device \"tout\" priority 0; drop; }; }";
    /// Routes and translates the packet.
    pub(super) const TRANSLATE: &str = "table netdev sink { chain out { type filter hook egress device \"tout\" priority 0; drop; }; }
        table ip nat { chain leave { type nat hook postrouting priority 100; oifname \"tout\" snat to 203.0.113.1; }; }";

    pub(super) fn buckets() -> Result<String, Failure> {
        let text = std::fs::read_to_string("/proc/sys/net/netfilter/nf_conntrack_buckets")?;
        Ok(text.trim().to_owned())
    }

    pub(super) fn nanoseconds(rules: &str, flows: u32) -> Result<f64, Failure> {
        let _namespace = Namespace::new()?;
        let (mut internal, _outside) = (Tun::open("tin")?, Tun::open("tout")?);
        command("ip", &["address", "add", "10.255.255.1/8", "dev", "tin"])?;
        command("ip", &["address", "add", "203.0.113.1/24", "dev", "tout"])?;
        for device in ["lo", "tin", "tout"] {
            command("ip", &["link", "set", device, "up"])?;
        }
        command("ip", &["route", "add", "default", "dev", "tout"])?;
        std::fs::write("/proc/sys/net/ipv4/ip_forward", "1")?;
        command("nft", &[rules])?;
        // The setting does not exist before something is tracked.
        let _ = std::fs::write("/proc/sys/net/netfilter/nf_conntrack_udp_timeout", "900");
        for flow in 0..flows {
            internal.send(&packet(flow));
        }
        let mut drawn = 1_u64;
        let median = median(|| {
            let packets: Vec<_> = (0..PACKETS)
                .map(|_| {
                    drawn = drawn.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                    packet(u32::try_from(((drawn >> 32) * u64::from(flows)) >> 32).unwrap_or(0))
                })
                .collect();
            let before = spent();
            packets.iter().for_each(|packet| internal.send(packet));
            (spent() - before) / f64::from(PACKETS)
        });
        Ok(median)
    }

    /// Makes a datagram of the n-th flow: 64 ports of each host, 16,384 remotes.
    fn packet(flow: u32) -> [u8; 46] {
        let mut packet = [0; 46];
        packet[..10].copy_from_slice(&[0x45, 0, 0, 46, 0, 0, 0x40, 0, 64, 17]);
        packet[12..16].copy_from_slice(&(0x0A00_0004 + (flow >> 6)).to_be_bytes());
        packet[16..20]
            .copy_from_slice(&(0x34EF_0000 | flow.wrapping_mul(0x9E37_79B1) >> 18).to_be_bytes());
        packet[20..22]
            .copy_from_slice(&u16::try_from(1024 + (flow & 63)).unwrap_or(0).to_be_bytes());
        packet[22..26].copy_from_slice(&[0, 53, 0, 26]);
        let checksum = !sum(&packet[..20]);
        packet[10..12].copy_from_slice(&checksum.to_be_bytes());
        packet
    }
}

#[cfg(target_os = "linux")]
mod ours {
    use vnetem::Protocol;
    use vnetem_load::{Load, Shape};
    use vnetem_oracle::Failure;

    use super::{median, spent};

    pub(super) fn nanoseconds(flows: u32, batch: usize) -> Result<f64, Failure> {
        let shape = Shape { protocol: Protocol::UDP, flows, batch, ..Shape::default() };
        let mut load = Load::new(shape)?;
        load.open(&mut |work| work())?;
        load.forward(&mut |work| work())?;
        // Both directions, which is more than Linux has to do here.
        Ok(median(|| {
            let (mut time, mut packets) = (0.0, 0);
            for _ in 0..10 {
                let forwarded = load.forward(&mut |work| {
                    let before = spent();
                    work();
                    time += spent() - before;
                });
                packets += forwarded.unwrap_or(0);
            }
            time / f64::from(u32::try_from(packets).unwrap_or(u32::MAX))
        }))
    }
}
