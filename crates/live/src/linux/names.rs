//! The name server of every host, at 168.63.129.16.

use std::net::Ipv4Addr;

use etherparse::{IpNumber, Ipv4Header, UdpHeader};
use simple_dns::rdata::{A, RData};
use simple_dns::{CLASS, Packet, PacketFlag, QTYPE, RCODE, ResourceRecord, TYPE};
use vnetem::{Edge, Headers, Network, Protocol, SubnetId, VnetId};
use vnetem_scenario::Model;

use super::stations::Stations;

/// The port of name servers.
const PORT: u16 = 53;
/// How long an answer holds: not at all, since an edit may change it.
const TTL: u32 = 0;

/// The answer to a packet that asks the name server, if it is a question.
pub(super) fn answer(packet: &[u8], resolve: impl Fn(&str) -> Option<Ipv4Addr>) -> Option<Vec<u8>> {
    let headers = Headers::parse(packet).ok()?;
    if headers.protocol != Protocol::UDP || headers.destination_port != PORT {
        return None;
    }
    let payload = usize::from(headers.header_length) + UdpHeader::LEN;
    let reply = reply(packet.get(payload..usize::from(headers.total_length))?, resolve)?;
    let length = u16::try_from(UdpHeader::LEN + reply.len()).ok()?;
    let (from, to) = (headers.destination.octets(), headers.source.octets());
    let mut ip = Ipv4Header::new(length, 64, IpNumber::UDP, from, to).ok()?;
    ip.header_checksum = ip.calc_header_checksum();
    let (from, to) = (headers.destination_port, headers.source_port);
    let udp = UdpHeader::with_ipv4_checksum(from, to, &ip, &reply).ok()?;
    Some([&ip.to_bytes()[..], &udp.to_bytes(), &reply].concat())
}

/// The reply to a question: the address of a name, nothing of another kind, or that there is no
/// such name.
fn reply(question: &[u8], resolve: impl Fn(&str) -> Option<Ipv4Addr>) -> Option<Vec<u8>> {
    let question = Packet::parse(question).ok()?;
    if question.has_flags(PacketFlag::RESPONSE) {
        return None;
    }
    let asked = question.questions.first()?;
    let mut reply = Packet::new_reply(question.id());
    reply.set_flags(PacketFlag::AUTHORITATIVE_ANSWER | PacketFlag::RECURSION_AVAILABLE);
    if question.has_flags(PacketFlag::RECURSION_DESIRED) {
        reply.set_flags(PacketFlag::RECURSION_DESIRED);
    }
    reply.questions.push(asked.clone());
    match resolve(&asked.qname.to_string().to_ascii_lowercase()) {
        None => *reply.rcode_mut() = RCODE::NameError,
        Some(address) if matches!(asked.qtype, QTYPE::TYPE(TYPE::A) | QTYPE::ANY) => {
            let data = RData::A(A { address: address.to_bits() });
            let name = asked.qname.clone();
            reply.answers.push(ResourceRecord::new(name, CLASS::IN, TTL, data));
        }
        Some(_) => {}
    }
    reply.build_bytes_vec_compressed().ok()
}

/// What a name means to a host at an edge: of a resource what its network says (S-08, S-50, L-10),
/// of a host its own address where that is reached, and elsewhere its public one.
pub(super) fn resolve(
    model: &Model,
    stations: &Stations,
    asks: Edge,
    name: &str,
) -> Option<Ipv4Addr> {
    let network = model.network();
    let label = name.split('.').next().unwrap_or(name);
    let vnet = subnet_of(network, asks).and_then(|subnet| Some(network.subnet(subnet).ok()?.vnet));
    if let Some(resource) = network.resource_named(label) {
        let domain = model.domain(resource)?;
        let known = name == label || name == format!("{label}.{domain}");
        return if known { network.resolve(resource, vnet).ok()? } else { None };
    }
    let (address, edge) = stations.host(name)?;
    let Edge::Nic(id) = edge else { return Some(address) };
    let nic = network.nic(id).ok()?;
    let reached = reaches(network, vnet, asks, network.subnet(nic.subnet).ok()?.vnet);
    Some(nic.public.filter(|_| !reached).unwrap_or(address))
}

/// Whether private addresses of a virtual network are reached from an edge.
fn reaches(network: &Network, vnet: Option<VnetId>, asks: Edge, home: VnetId) -> bool {
    let Ok(view) = network.vnet(home) else { return false };
    match (vnet, asks) {
        (Some(vnet), _) => vnet == home || view.peers.contains(&vnet),
        (None, Edge::Site(site)) => view.gateways.contains_key(&site),
        _ => false,
    }
}

fn subnet_of(network: &Network, edge: Edge) -> Option<SubnetId> {
    match edge {
        Edge::Nic(id) => Some(network.nic(id).ok()?.subnet),
        Edge::Subnet(id) | Edge::Platform(id) => Some(id),
        _ => None,
    }
}
