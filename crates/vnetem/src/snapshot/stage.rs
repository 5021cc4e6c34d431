//! The order in which a change reaches the hosts of a subnet (U-13).

use core::net::Ipv4Addr;

use vnetem_packet::SubnetId;

/// The number of stages of a change.
pub(crate) const STAGES: u8 = 16;

/// Returns the stage of a host of a subnet, below [`STAGES`].
pub(crate) fn stage(seed: u64, subnet: SubnetId, host: Ipv4Addr) -> u8 {
    let place = u64::from(subnet.0) << 32 | u64::from(host.to_bits());
    let [first, ..] = mix(seed ^ mix(place)).to_be_bytes();
    first % STAGES
}

/// Mixes a number by SplitMix64's last step: every bit of the result depends on every bit of the
/// number.
pub(crate) const fn mix(number: u64) -> u64 {
    let number = number.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let number = (number ^ number >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let number = (number ^ number >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
    number ^ number >> 31
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_mixed_as_splitmix64_does() {
        assert_eq!(mix(0), 0xE220_A839_7B1D_CDAF);
        assert_eq!(mix(0x9E37_79B9_7F4A_7C15), 0x6E78_9E6A_A1B9_65F4);
    }

    /// U-13: seed, subnet and host together decide the stage, and the same ones always give the
    /// same.
    #[test]
    fn host_stages_follow_seed_and_subnet() {
        for (seed, subnet, stages) in [
            (1, 1, [7, 8, 10, 11, 2, 8, 8, 0]),
            (1, 2, [0, 1, 6, 15, 10, 2, 8, 15]),
            (2, 1, [15, 4, 15, 11, 10, 12, 4, 1]),
        ] {
            let hosts = (4..12).map(|host| Ipv4Addr::new(10, 0, 0, host));
            let found: Vec<u8> = hosts.map(|host| stage(seed, SubnetId(subnet), host)).collect();
            assert_eq!(found, stages, "seed {seed} subnet {subnet}");
        }
    }
}
