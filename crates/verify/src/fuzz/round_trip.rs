use core::net::{Ipv4Addr, SocketAddrV4};

use vnetem_packet::{
    AddressPair, FastHeaders, FiveTuple, Fragment, Headers, Protocol, Rewrite, Transport, rewrite,
    rewrite_by,
};

use crate::model::wire;

/// Rewrites any packet to any addresses and ports, and back, and rewrites the reply to it
/// (INV-rewrite-reverses, N-26).
///
/// The first 13 bytes say what to rewrite and to what, as for
/// [`checksum_incremental`](super::checksum_incremental); the rest is the packet. Three
/// implementations must agree: [`rewrite`], the stored difference, and the fast path. The model's,
/// which sums from scratch, must agree too.
pub fn rewrite_roundtrip(bytes: &[u8]) {
    let Some((choice, packet)) = bytes.split_first_chunk::<13>() else { return };
    let Ok(old) = Headers::parse(packet) else { return };
    let wanted = wanted(*choice, &old);
    let ttl = old.ttl.saturating_sub(1);
    let there = rewritten(packet, &old, wanted, ttl);

    let mut stored = packet.to_vec();
    rewrite_by(&mut stored, &old, wanted, wanted.delta(&old), ttl);
    assert_eq!(stored, there, "a stored difference does something else: {old}");
    let (source, destination) = ends_after(&old, wanted);
    if FastHeaders::parse(packet).is_some() {
        let mut short = packet.to_vec();
        FastHeaders::forward(&mut short, AddressPair::new(source, destination));
        assert_eq!(short, there, "the short path does something else: {old}");
    }
    let read = wire::Packet::read(packet).unwrap_or_else(|cause| panic!("{old}: {cause}"));
    let slow = wire::readdress(packet, &read, source, destination, ttl);
    assert!(same_but_for_zeros(&slow, &there, &old), "not as from scratch: {old}");

    let new = Headers::parse(&there).unwrap_or_else(|cause| panic!("{cause} after {old}"));
    let tuple = FiveTuple { protocol: old.protocol, source, destination };
    assert_eq!(new.tuple(), tuple, "other ends than were asked for");
    let (source, destination) = (old.source, old.destination);
    let (source_port, destination_port) = (old.source_port, old.destination_port);
    let restored =
        Headers { source, destination, source_port, destination_port, ttl: old.ttl, ..new };
    assert_eq!(
        restored, old,
        "more than the ends and the time to live changed (INV-only-needed-bytes-change)"
    );

    let back = |end: Option<SocketAddrV4>, old| end.map(|_| old);
    let undo = Rewrite {
        source: back(wanted.source, old.tuple().source),
        destination: back(wanted.destination, old.tuple().destination),
    };
    let undone = rewritten(&there, &new, undo, old.ttl);
    assert!(
        same_but_for_zeros(&undone, packet, &old),
        "undone it is another packet (INV-rewrite-reverses): {old}"
    );
    reply(&there, &new, &old, undo);
}

/// Checks the reply of the remote end: rewritten in the flow's reply direction, it has the reversed
/// tuple of the initiator.
fn reply(there: &[u8], new: &Headers, old: &Headers, undo: Rewrite) {
    if !matches!(old.transport, Transport::Tcp(_) | Transport::Udp) {
        return;
    }
    // Checksums do not depend on the order of words, so all stay as they are.
    let mut answer = there.to_vec();
    let at = usize::from(new.header_length);
    for (one, other) in (12..16).zip(16..20).chain((at..at + 2).zip(at + 2..at + 4)) {
        answer.swap(one, other);
    }
    let headers = Headers::parse(&answer).unwrap_or_else(|cause| panic!("{cause}: {new}"));
    assert_eq!(headers.tuple(), new.tuple().reversed());
    let reverse = Rewrite { source: undo.destination, destination: undo.source };
    let arrived = rewritten(&answer, &headers, reverse, headers.ttl);
    let arrived = Headers::parse(&arrived).map(|headers| headers.tuple());
    assert_eq!(
        arrived,
        Ok(old.tuple().reversed()),
        "the reply went to somebody else (INV-rewrite-reverses, INV-reply-reaches-initiator)"
    );
}

fn rewritten(packet: &[u8], headers: &Headers, by: Rewrite, ttl: u8) -> Vec<u8> {
    let mut bytes = packet.to_vec();
    rewrite(&mut bytes, headers, by, ttl);
    bytes
}

/// Reads what the first bytes ask for, with the ports that such a packet can have.
fn wanted(choice: [u8; 13], headers: &Headers) -> Rewrite {
    let [which, a, b, c, d, e, f, g, h, i, j, k, l] = choice;
    let has_ports = matches!(headers.transport, Transport::Tcp(_) | Transport::Udp);
    // The identifier of a query has one place, so the other port is 0. Other protocols have no
    // ports.
    let source_port = match headers.transport {
        Transport::IcmpRequest => [e, f],
        _ if has_ports => [e, f],
        _ => [0, 0],
    };
    let destination_port = match headers.transport {
        Transport::IcmpReply => [k, l],
        _ if has_ports => [k, l],
        _ => [0, 0],
    };
    let end = |address: [u8; 4], port| {
        SocketAddrV4::new(Ipv4Addr::from(address), u16::from_be_bytes(port))
    };
    Rewrite {
        source: (which & 1 != 0).then_some(end([a, b, c, d], source_port)),
        destination: (which & 2 != 0).then_some(end([g, h, i, j], destination_port)),
    }
}

fn ends_after(headers: &Headers, by: Rewrite) -> (SocketAddrV4, SocketAddrV4) {
    let FiveTuple { source, destination, .. } = headers.tuple();
    (by.source.unwrap_or(source), by.destination.unwrap_or(destination))
}

/// Returns whether two packets are equal, apart from the two representations of a zero checksum
/// (RFC 1624 3). A UDP checksum has one only: there 0 means none.
fn same_but_for_zeros(one: &[u8], other: &[u8], headers: &Headers) -> bool {
    let at = usize::from(headers.header_length);
    let transport = match (headers.fragment, headers.protocol) {
        (Fragment::Later { .. }, _) => None,
        (_, Protocol::TCP) => Some(at + 16),
        (_, Protocol::ICMP) => Some(at + 2),
        _ => None,
    };
    let mut one = one.to_vec();
    for place in [Some(10), transport].into_iter().flatten() {
        let there = other.get(place..place + 2);
        if let (Some(here), Some(there)) = (one.get_mut(place..place + 2), there)
            && matches!((&*here, there), ([0, 0], [0xff, 0xff]) | ([0xff, 0xff], [0, 0]))
        {
            here.copy_from_slice(there);
        }
    }
    one == other
}
