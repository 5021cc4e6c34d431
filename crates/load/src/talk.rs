//! The ends of the flows.

use core::net::{Ipv4Addr, SocketAddrV4};

use rand_xoshiro::Xoshiro256PlusPlus;
use rand_xoshiro::rand_core::{Rng, SeedableRng};
use vnetem::{FiveTuple, Protocol};
use vnetem_nat::Side;

use super::Shape;

/// The number of subnets. The first one is toggled.
pub(super) const SUBNETS: u8 = 64;

/// All flows, each with what the data plane chose for it.
pub(super) struct Talks {
    flows: u32,
    affected: u32,
    protocol: Protocol,
    external: Vec<SocketAddrV4>,
    random: Xoshiro256PlusPlus,
}

/// The ends of a flow.
#[derive(Clone, Copy)]
pub(super) struct Talk {
    pub(super) subnet: u8,
    pub(super) internal: SocketAddrV4,
    external: SocketAddrV4,
    remote: SocketAddrV4,
    protocol: Protocol,
}

impl Talks {
    pub(super) fn new(shape: &Shape) -> Self {
        let nowhere = SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, 0);
        Self {
            flows: shape.flows,
            affected: shape.affected,
            protocol: shape.protocol,
            external: vec![nowhere; shape.flows as usize],
            random: Xoshiro256PlusPlus::seed_from_u64(shape.seed),
        }
    }

    /// Returns the n-th flow: 512 ports of each host, and one of 16,384 remote hosts.
    pub(super) fn ends(&self, n: u32) -> Talk {
        let others = u32::from(SUBNETS) - 1;
        let (subnet, k) = match n.checked_sub(self.affected) {
            None => (0, n),
            Some(n) => (n % others + 1, n / others),
        };
        let internal = Ipv4Addr::from_bits(0x0A00_0000 | subnet << 16 | (k >> 9).wrapping_add(4));
        let port = 1024 + u16::try_from(k & 511).unwrap_or(0);
        let remote = Ipv4Addr::from_bits(0x34EF_0000 | n.wrapping_mul(0x9E37_79B1) >> 18);
        let external = self.external.get(n as usize).copied();
        Talk {
            subnet: u8::try_from(subnet).unwrap_or(0),
            internal: SocketAddrV4::new(internal, port),
            external: external.unwrap_or(SocketAddrV4::new(internal, port)),
            remote: SocketAddrV4::new(remote, 443),
            protocol: self.protocol,
        }
    }

    /// Records how the first packet of a flow came out.
    pub(super) fn seen_outside(&mut self, n: u32, packet: &[u8]) {
        if let (Some(external), Some([a, b, c, d, _, _, _, _, high, low])) =
            (self.external.get_mut(n as usize), packet.get(12..22))
        {
            let port = u16::from_be_bytes([*high, *low]);
            *external = SocketAddrV4::new(Ipv4Addr::new(*a, *b, *c, *d), port);
        }
    }

    pub(super) fn random(&mut self) -> u32 {
        let drawn = u64::from(self.random.next_u32()) * u64::from(self.flows);
        u32::try_from(drawn >> 32).unwrap_or(0)
    }

    pub(super) fn random_side(&mut self) -> Side {
        if self.random.next_u32() & 1 == 0 { Side::Internal } else { Side::External }
    }
}

impl Talk {
    /// Returns the tuple of packets from a side, as that side sends them.
    pub(super) fn tuple(&self, side: Side) -> FiveTuple {
        let (source, destination) = match side {
            Side::Internal => (self.internal, self.remote),
            Side::External => (self.remote, self.external),
        };
        FiveTuple { protocol: self.protocol, source, destination }
    }
}
