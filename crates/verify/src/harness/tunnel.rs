//! Sends what leaves over an endpoint through a service tunnel, and compares it with the
//! specification byte for byte. Wraps by hand what comes back, and unwraps it by the port (W-01 to
//! W-12, W-19, W-20, U-15, U-16).

use core::net::{Ipv4Addr, Ipv6Addr};

use vnetem::packet::tunnel::{Encapsulation, Fragments, Key, Layout, Overlay, Tunnel, Underlay};
use vnetem::{
    Edge, Identity, ServiceId,
    tunnel::{TunnelPort, TunnelSettings},
};

use crate::model::wire::{Packet, Part, TCP, folded, total};

/// The host in the provider's network behind the port.
const HOST: Ipv4Addr = Ipv4Addr::new(40, 1, 2, 1);
const REGION: u16 = 0x0108;
/// The IPv6 prefix that embeds the addresses of services.
const PREFIX: Ipv6Addr = Ipv6Addr::new(0x2603, 0x10e1, 0x100, 2, 0, 0, 0, 0);
/// Ethernet in GRE with a key, and IPv6 in Ethernet (RFC 7637 3.2).
const GRE: [u8; 4] = [0x20, 0, 0x65, 0x58];
const IPV6: [u8; 2] = [0x86, 0xdd];

/// The tunnel ports of the world's services.
#[derive(Clone, Debug)]
pub(crate) struct Tunnels(Vec<(ServiceId, TunnelPort)>);

impl Tunnels {
    pub(crate) fn new(services: impl IntoIterator<Item = ServiceId>) -> Self {
        let underlay = Underlay {
            source: HOST,
            destination: None,
            encapsulation: Encapsulation::Nvgre,
            key: Key::SERVICE_TUNNEL,
            dscp: 10,
            source_mac: [2, 0, 0, 0, 0, 1],
            destination_mac: [2, 0, 0, 0, 0, 2],
        };
        let settings = TunnelSettings {
            layout: Layout::default(),
            region: REGION,
            destination: Overlay::prefix(PREFIX),
            underlay,
            fragments: Fragments::Carry,
        };
        Self(services.into_iter().map(|id| (id, TunnelPort::new(id, settings))).collect())
    }

    /// Checks a packet that leaves by an edge. Returns whether it went through a tunnel.
    pub(crate) fn leave(&mut self, to: Edge, packet: &[u8]) -> Result<bool, String> {
        let Edge::Service { service, identity: Some(identity) } = to else { return Ok(false) };
        let Some((_, port)) = self.0.iter_mut().find(|(id, _)| *id == service) else {
            return Ok(false);
        };
        let Ok(read) = Packet::read(packet) else { return Ok(false) };
        let mut buffer = vec![0; packet.len() + Tunnel::MAXIMUM_OVERHEAD];
        let wrapped = port.encapsulate(to, packet, &mut buffer);
        // U-15: IPv6 has no place for options.
        if read.header > 20 {
            return match wrapped {
                Err(_) => Ok(false),
                Ok(_) => Err("options entered a tunnel (U-15)".into()),
            };
        }
        let length = wrapped.map_err(|why| format!("it did not enter the tunnel: {why}"))?;
        let wire = buffer.get(..length).unwrap_or_default();
        // An ICMP error about a flow may come from another host of the caller's subnet.
        let identity = Identity { address: *read.source.ip(), ..identity };
        let ends = [caller(identity), over(PREFIX, *read.destination.ip())];
        let inner = translated(packet, &read, ends);
        outer(wire, *read.destination.ip(), inner.len())?;
        let there = wire.get(42..).unwrap_or_default();
        if !is_same(there, &inner) {
            return Err(format!("in the tunnel {there:02x?}\nand by the texts {inner:02x?}"));
        }
        Ok(true)
    }

    /// Returns a packet from a service over an endpoint as it looks after the tunnel (W-06, W-10).
    pub(crate) fn come(&mut self, from: Edge, packet: &[u8]) -> Result<Option<Vec<u8>>, String> {
        let Edge::Service { service, identity: Some(identity) } = from else { return Ok(None) };
        let Some((_, port)) = self.0.iter_mut().find(|(id, _)| *id == service) else {
            return Ok(None);
        };
        let Ok(read) = Packet::read(packet) else { return Ok(None) };
        // E-13: an endpoint carries TCP only.
        if read.protocol != TCP {
            return Ok(None);
        }
        let is_callers = identity.address == *read.destination.ip();
        if read.header > 20 || read.part != Part::Whole || !is_callers || packet.len() != read.total
        {
            return Ok(None);
        }
        let ends = [over(PREFIX, *read.source.ip()), caller(identity)];
        let wire = framed(*read.source.ip(), &translated(packet, &read, ends));
        let mut buffer = vec![0; packet.len()];
        let (edge, length) = port
            .decapsulate(&wire, &mut buffer)
            .map_err(|why| format!("what a service sent did not leave the tunnel: {why}"))?;
        if edge != from {
            return Err(format!("the tunnel leads to {edge:?}"));
        }
        // Identification 1 and no flags. Everything else is as it was sent.
        let mut expected = packet.to_vec();
        expected.splice(4..8, [0, 1, 0, 0]);
        expected.splice(1..2, [0]);
        crate::model::wire::finish_header(&mut expected, 20);
        let came = buffer.get(..length).unwrap_or_default();
        let checks = checksum_at(&read);
        let same = came.len() == expected.len()
            && came.iter().zip(&expected).enumerate().all(|(at, (one, other))| {
                one == other || checks.is_some_and(|sum| (sum..sum + 2).contains(&at))
            })
            && checks.is_none_or(|sum| is_equal_sum(came, &expected, sum));
        if !same {
            return Err(format!("out of the tunnel {came:02x?}\nand by the texts {expected:02x?}"));
        }
        Ok(Some(came.to_vec()))
    }
}

/// Makes the IPv6 address of a caller: 16 bits of kind, 16 of region, 48 of the network, 16 of the
/// subnet, and the private address (U-03).
fn caller(Identity { vnet, subnet, address }: Identity) -> Ipv6Addr {
    let high = 0xfd00_u128 << 112 | u128::from(REGION) << 96;
    let middle = u128::from(vnet.0) << 48 | u128::from(subnet.0) << 32;
    Ipv6Addr::from(high | middle | u128::from(address.to_bits()))
}

/// Embeds an IPv4 address in the low 32 bits (W-02).
fn over(prefix: Ipv6Addr, address: Ipv4Addr) -> Ipv6Addr {
    Ipv6Addr::from(u128::from(prefix) | u128::from(address.to_bits()))
}

/// Translates the packet to IPv6 (W-09). Traffic class and flow label are 0, and the hop limit is
/// the TTL. A fragment has the header of RFC 7915 4.1. The checksum moves from one pseudo-header to
/// the other (W-20).
fn translated(packet: &[u8], read: &Packet, [source, destination]: [Ipv6Addr; 2]) -> Vec<u8> {
    let payload = packet.get(read.header..read.total).unwrap_or_default();
    let mut above = payload.to_vec();
    let ends: Vec<u8> = source.octets().into_iter().chain(destination.octets()).collect();
    if let Some(at) = checksum_at(read).map(|at| at - read.header)
        && let Some(&[high, low]) = above.get(at..at + 2)
    {
        // RFC 1624: without the old addresses, with the new ones.
        let old = folded(total(packet.get(12..20).unwrap_or_default()));
        let sum = u64::from(!u16::from_be_bytes([high, low])) + u64::from(!old) + total(&ends);
        above.splice(at..at + 2, (!folded(sum)).to_be_bytes());
    }
    let fragment = match read.part {
        Part::Whole => Vec::new(),
        _ => {
            let field = packet.get(6..8).map_or(0, |it| u16::from_be_bytes([it[0], it[1]]));
            let offset = field << 3 | field >> 13 & 1;
            let id = read.identification.to_be_bytes();
            let [high, low] = offset.to_be_bytes();
            vec![read.protocol, 0, high, low, 0, 0, id[0], id[1]]
        }
    };
    let next = if fragment.is_empty() { read.protocol } else { 44 };
    let length = u16::try_from(fragment.len() + above.len()).unwrap_or(u16::MAX);
    let mut bytes = vec![0x60, 0, 0, 0];
    bytes.extend(length.to_be_bytes());
    bytes.extend([next, read.ttl]);
    bytes.extend(ends);
    bytes.extend(fragment);
    bytes.extend(above);
    bytes
}

/// Returns the offset of the TCP checksum, which covers the addresses. Other protocols do not use
/// endpoints (E-13).
fn checksum_at(read: &Packet) -> Option<usize> {
    let is_first = !matches!(read.part, Part::Later { .. });
    (read.protocol == TCP && is_first).then_some(read.header + 16)
}

/// Checks the headers around the packet. The outer header goes from the host to the service's own
/// address with a TTL of 64, then come GRE with the key 100 and a frame (W-03, W-11, W-12). Their
/// lengths must add up (W-19).
fn outer(wire: &[u8], service: Ipv4Addr, inner: usize) -> Result<(), String> {
    let part = |from: usize, to: usize| wire.get(from..to).unwrap_or_default();
    let length = u16::try_from(inner + 14 + 8 + 20).unwrap_or(u16::MAX);
    let checks = [
        (part(0, 2) == [0x45, 10 << 2], "version or code point (W-11)"),
        (part(2, 4) == length.to_be_bytes() && wire.len() == usize::from(length), "length (W-19)"),
        (part(8, 10) == [64, 47], "time to live or protocol (W-11, W-12)"),
        (folded(total(part(0, 20))) == 0xffff, "checksum"),
        (part(12, 16) == HOST.octets() && part(16, 20) == service.octets(), "ends (W-03)"),
        (part(20, 24) == GRE && part(24, 27) == [0, 0, 100], "key (W-03)"),
        (part(40, 42) == IPV6, "frame"),
    ];
    match checks.into_iter().find(|(holds, _)| !holds) {
        Some((_, what)) => Err(format!("the outer {what} is wrong: {wire:02x?}")),
        None => Ok(()),
    }
}

/// Wraps an IPv6 packet as a service sends it to the host.
fn framed(service: Ipv4Addr, inner: &[u8]) -> Vec<u8> {
    let length = u16::try_from(inner.len() + 42).unwrap_or(u16::MAX).to_be_bytes();
    let mut bytes = vec![0x45, 0, length[0], length[1], 0, 9, 0, 0, 64, 47, 0, 0];
    bytes.extend(service.octets());
    bytes.extend(HOST.octets());
    crate::model::wire::finish_header(&mut bytes, 20);
    bytes.extend(GRE);
    bytes.extend([0, 0, 100, 0]);
    bytes.extend([2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2]);
    bytes.extend(IPV6);
    bytes.extend(inner);
    bytes
}

/// Returns whether two packets are equal, apart from the two representations of a zero checksum.
fn is_same(one: &[u8], other: &[u8]) -> bool {
    let sum = match one.get(6) {
        Some(&TCP) => 56,
        Some(&44) => 64,
        _ => return one == other,
    };
    let differs = |at: usize| one.get(at) != other.get(at);
    one.len() == other.len()
        && (0..one.len()).filter(|at| differs(*at)).all(|at| (sum..sum + 2).contains(&at))
        && is_equal_sum(one, other, sum)
}

fn is_equal_sum(one: &[u8], other: &[u8], at: usize) -> bool {
    let sum = |bytes: &[u8]| match bytes.get(at..at + 2) {
        Some(&[0xff, 0xff]) => Some([0, 0]),
        Some(&[high, low]) => Some([high, low]),
        _ => None,
    };
    sum(one) == sum(other)
}
