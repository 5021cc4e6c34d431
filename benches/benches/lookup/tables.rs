//! Makes tables and streams of addresses, all from seeds or from a file.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use ipnet::Ipv4Net;

pub(crate) type Routes = Vec<(Ipv4Net, u32)>;

/// Prefixes by length in the full table of 19 June 2026.
const LENGTHS: [(u8, usize); 17] = [
    (8, 16),
    (9, 14),
    (10, 39),
    (11, 97),
    (12, 306),
    (13, 599),
    (14, 1_223),
    (15, 2_249),
    (16, 14_310),
    (17, 9_053),
    (18, 15_072),
    (19, 27_788),
    (20, 49_815),
    (21, 57_824),
    (22, 122_384),
    (23, 126_268),
    (24, 741_888),
];

/// Makes a table with the real lengths. Neighbours often have the same value, as those of one
/// origin do.
pub(crate) fn seeded(values: u32, part: usize) -> Routes {
    let mut random = Random(2026);
    let mut routes = BTreeMap::new();
    for (length, count) in LENGTHS {
        let (mut left, mut run) = (count.div_ceil(part), None);
        while left > 0 {
            // Runs of neighbours, four long on average.
            let network = match run.filter(|_| random.below(4) > 0) {
                Some(last) => u32::wrapping_add(last, 1 << (32 - length)),
                None => random.next() as u32,
            };
            run = Some(network);
            let prefix = prefix(network, length);
            let value = 1 + mixed(network >> 11) % values;
            if (1..224).contains(&prefix.addr().octets()[0])
                && routes.insert(prefix, value).is_none()
            {
                left -= 1;
            }
        }
    }
    routes.into_iter().collect()
}

/// Splits some /24s, as routers inside one network do.
pub(crate) fn longer(routes: &mut Routes, values: u32, count: usize) {
    let mut random = Random(25);
    let mut all: BTreeMap<Ipv4Net, u32> = routes.iter().copied().collect();
    for _ in 0..count {
        let address = covered(routes, &mut random);
        all.insert(prefix(address, 25 + random.below(8) as u8), 1 + mixed(address) % values);
    }
    *routes = all.into_iter().collect();
}

pub(crate) fn read(path: &str, values: u32) -> Routes {
    let text = if path.ends_with(".gz") {
        let unpacked = std::process::Command::new("gzip").args(["-dc", path]).output().unwrap();
        String::from_utf8(unpacked.stdout).unwrap()
    } else {
        std::fs::read_to_string(path).unwrap()
    };
    let routes = text.lines().filter(|line| !line.starts_with('#')).map(|line| {
        let mut fields = line.split_whitespace();
        let prefix: Ipv4Net = fields.next().unwrap().parse().unwrap();
        let number = fields.next().and_then(|field| field.parse().ok());
        let value = number.unwrap_or(u32::from(prefix.addr()) ^ u32::from(prefix.prefix_len()));
        (prefix.trunc(), 1 + mixed(value) % values)
    });
    routes.collect::<BTreeMap<_, _>>().into_iter().collect()
}

pub(crate) const STREAMS: [&str; 4] = ["uniform", "covered", "zipf", "sequential"];

pub(crate) fn stream(name: &str, routes: &Routes, count: usize) -> Vec<u32> {
    let mut random = Random(0x5eed);
    match name {
        "uniform" => (0..count).map(|_| random.next() as u32).collect(),
        "covered" => (0..count).map(|_| covered(routes, &mut random)).collect(),
        "zipf" => {
            // 100,000 flows; the n-th has weight 1/n.
            let flows: Vec<u32> = (0..100_000).map(|_| covered(routes, &mut random)).collect();
            let mut sum = 0.0;
            let weights = (1..=flows.len()).map(|n| {
                sum += 1.0 / n as f64;
                sum
            });
            let weights: Vec<f64> = weights.collect();
            let pick =
                |part: f64| weights.partition_point(|weight| *weight < part).min(flows.len() - 1);
            let whole = weights[weights.len() - 1];
            (0..count)
                .map(|_| flows[pick((random.next() >> 11) as f64 / (1u64 << 53) as f64 * whole)])
                .collect()
        }
        _ => (0..count).map(|n| 0x0100_0000 + n as u32).collect(),
    }
}

/// Returns a random host of a random route.
pub(crate) fn covered(routes: &Routes, random: &mut Random) -> u32 {
    let (prefix, _) = routes[random.below(routes.len())];
    prefix.network().to_bits() | (random.next() as u32 & prefix.hostmask().to_bits())
}

pub(crate) fn prefix(address: u32, length: u8) -> Ipv4Net {
    Ipv4Net::new(Ipv4Addr::from_bits(address), length).unwrap().trunc()
}

/// Mixes a number by the finaliser of MurmurHash3.
fn mixed(mut h: u32) -> u32 {
    h ^= h >> 16;
    h = h.wrapping_mul(0x85eb_ca6b);
    h ^= h >> 13;
    h = h.wrapping_mul(0xc2b2_ae35);
    h ^ (h >> 16)
}

/// A random generator, splitmix64.
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub(crate) fn below(&mut self, bound: usize) -> usize {
        ((u128::from(self.next()) * bound as u128) >> 64) as usize
    }
}
