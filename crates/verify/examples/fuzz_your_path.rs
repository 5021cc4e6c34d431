//! Fuzzes a forwarding path of your own with vnetem's generators, and with vnetem as the oracle.
//! This is the worked example of `docs/guide/fuzzing.md`.
//!
//! ```text
//! cargo run --release -p vnetem-verify --example fuzz_your_path
//! ```
//!
//! Three parts are yours: the path, what must hold for it, and the two lines that a fuzzer needs.

use std::error::Error;
use std::net::Ipv4Addr;

use proptest::prelude::*;
use proptest::test_runner::{TestError, TestRunner};
use vnetem::packet::Checksums;
use vnetem::{DataPlane, Disposition, Edge, EditError, Headers, Network, NicId, Settings, Time};
use vnetem_packet_text::strategies;

const INSIDE: [u8; 4] = [10, 0, 0, 4];
const OUTSIDE: [u8; 4] = [20, 1, 1, 1];

/// Your path. Here it is one host behind an address of its own, with its ports preserved. Two of
/// the three variants have a bug.
#[derive(Clone, Copy, Debug)]
enum YourPath {
    Right,
    /// Updates a UDP checksum of 0, which means that there is none (INV-udp-zero-checksum).
    Broken,
    /// Does not decrement the TTL, so packets could loop forever. All checksums are right.
    Endless,
}

impl YourPath {
    /// Rewrites a packet in place. Returns whether it is forwarded.
    fn forward(self, packet: &mut [u8]) -> bool {
        let Some(&[0x45, _, high, low, _, _, fragment, units, ttl, protocol, ..]) =
            packet.get(..20)
        else {
            return false;
        };
        let total = usize::from(u16::from_be_bytes([high, low]));
        let Some(packet) = packet.get_mut(..total) else { return false };
        let Some((header, payload)) = packet.split_at_mut_checked(20) else { return false };
        let is_whole = (fragment & 0x3f, units) == (0, 0);
        if !is_whole || ttl < 2 || header.get(12..16) != Some(&INSIDE) || sum(header) != 0xffff {
            return false;
        }
        let (at, needed) = match protocol {
            6 => (16, 20),
            17 => (6, 8),
            _ => return false,
        };
        let announced = |at| word(payload, at).map(usize::from);
        let fits = match protocol {
            6 => payload
                .get(12)
                .is_some_and(|words| (20..=payload.len()).contains(&(usize::from(words >> 4) * 4))),
            _ => announced(4).is_some_and(|length| (8..=payload.len()).contains(&length)),
        };
        if payload.len() < needed || !fits {
            return false;
        }
        // RFC 1624, equation 3, for all words that change.
        let moved = [(INSIDE, OUTSIDE)].into_iter().flat_map(|(old, new)| {
            [([old[0], old[1]], [new[0], new[1]]), ([old[2], old[3]], [new[2], new[3]])]
        });
        let moved: Vec<([u8; 2], [u8; 2])> = moved.collect();
        let has_none = protocol == 17 && word(payload, at) == Some(0);
        if !has_none || matches!(self, Self::Broken) {
            let new = update(word(payload, at).unwrap_or(0), &moved);
            let new = if protocol == 17 && new == 0 { 0xffff } else { new };
            put(payload, at, new.to_be_bytes());
        }
        let after = if matches!(self, Self::Endless) { ttl } else { ttl - 1 };
        let lived = [([ttl, protocol], [after, protocol])];
        let new = update(word(header, 10).unwrap_or(0), &[&moved[..], &lived].concat());
        put(header, 10, new.to_be_bytes());
        put(header, 8, [after, protocol]);
        put(header, 12, [OUTSIDE[0], OUTSIDE[1]]);
        put(header, 14, [OUTSIDE[2], OUTSIDE[3]]);
        true
    }
}

/// Makes the oracle: a network in which the same host has the same public address.
fn oracle() -> Result<(DataPlane, NicId), EditError> {
    let net = |text: &str| text.parse().unwrap_or_default();
    let mut network = Network::new();
    let vnet = network.add_vnet("yours", &[net("10.0.0.0/16")])?;
    let subnet = network.add_subnet(vnet, "inside", net("10.0.0.0/24"))?;
    let nic = network.add_nic(subnet, "host", Ipv4Addr::from(INSIDE))?;
    network.set_public_address(nic, Some(Ipv4Addr::from(OUTSIDE)))?;
    Ok((DataPlane::new(network.commit(), Settings::replayable(0)), nic))
}

/// Checks what must hold for any packet. The same function serves proptest and libFuzzer:
/// `fuzz_target!(|bytes: &[u8]| assert_eq!(holds(path, bytes), Ok(())))`.
fn holds(path: YourPath, bytes: &[u8]) -> Result<(), String> {
    let mut yours = bytes.to_vec();
    let is_forwarded = path.forward(&mut yours);
    // From here on vnetem's parser decides what a packet is.
    let headers = match Headers::parse(bytes) {
        Ok(headers) => headers,
        Err(cause) if is_forwarded => return Err(format!("went on, though {cause}: {bytes:02x?}")),
        Err(_) => return Ok(()),
    };
    if !is_forwarded {
        return Ok(());
    }
    // Sums from scratch: a right checksum stays right, and a wrong one is not repaired.
    let [before, after] = [bytes, &yours].map(|packet| Checksums::of(packet, &headers));
    if before != after {
        return Err(format!("{headers}: {before:?} became {after:?}"));
    }
    // Compares with the data plane: where both forward, they write the same bytes.
    let (mut plane, nic) = oracle().map_err(|error| error.to_string())?;
    let mut ours = bytes.to_vec();
    match plane.process(Time(0), Edge::Nic(nic), &mut ours).disposition {
        Disposition::Forward(_) if ours != yours => {
            Err(format!("{headers}: {ours:02x?}, not {yours:02x?}"))
        }
        // The data plane does not forward segments without a flow or to nowhere. This path has no
        // such rules.
        _ => Ok(()),
    }
}

/// Tries this many generated packets. Returns the smallest one that fails, if one does.
fn fuzz(path: YourPath, cases: u32) -> Result<(), String> {
    let packets = prop_oneof![
        strategies::packet().prop_map(|packet| packet.build().to_vec()),
        strategies::adversarial(),
    ];
    let config = ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() };
    let ran = TestRunner::new(config)
        .run(&packets, |bytes| holds(path, &bytes).map_err(TestCaseError::fail));
    ran.map_err(|error| match error {
        TestError::Fail(why, bytes) => format!("{why}\n{} bytes: {bytes:02x?}", bytes.len()),
        TestError::Abort(why) => why.to_string(),
    })
}

fn main() -> Result<(), Box<dyn Error>> {
    fuzz(YourPath::Right, 20_000)?;
    println!("20,000 packets through the right path: nothing found");
    for path in [YourPath::Broken, YourPath::Endless] {
        match fuzz(path, 20_000) {
            Ok(()) => return Err(format!("{path:?} was not found out").into()),
            Err(found) => println!("{path:?}, in its smallest form:\n{found}"),
        }
    }
    Ok(())
}

fn word(bytes: &[u8], at: usize) -> Option<u16> {
    bytes.get(at..at + 2)?.try_into().ok().map(u16::from_be_bytes)
}

fn put(bytes: &mut [u8], at: usize, new: [u8; 2]) {
    bytes.iter_mut().skip(at).zip(new).for_each(|(to, from)| *to = from);
}

fn sum(bytes: &[u8]) -> u16 {
    let all = (0..bytes.len()).step_by(2).filter_map(|at| word(bytes, at)).map(u32::from);
    fold(all.sum())
}

fn update(checksum: u16, moved: &[([u8; 2], [u8; 2])]) -> u16 {
    let grown = moved.iter().map(|(old, new)| {
        u32::from(!u16::from_be_bytes(*old)) + u32::from(u16::from_be_bytes(*new))
    });
    !fold(u32::from(!checksum) + grown.sum::<u32>())
}

fn fold(sum: u32) -> u16 {
    let once = (sum & 0xffff) + (sum >> 16);
    u16::try_from((once & 0xffff) + (once >> 16)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn example_finds_only_the_planted_bugs() {
        assert_eq!(fuzz(YourPath::Right, 3_000), Ok(()));
        assert!(fuzz(YourPath::Broken, 20_000).is_err());
        assert!(fuzz(YourPath::Endless, 20_000).is_err(), "only the data plane tells");
    }
}
