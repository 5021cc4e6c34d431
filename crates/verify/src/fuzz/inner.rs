use core::net::{Ipv4Addr, SocketAddrV4};

use vnetem_packet::{
    Headers, IcmpError, IcmpErrorKind, Protocol, Quote, Rewrite, Transport, rewrite_quoting,
};

use super::residual;
use crate::model::wire;

/// Checks ICMP errors about any packet. A quote is found, and rewritten with the error as the model
/// does from scratch (INV-icmp-quote-translated, T-22 to T-25). An error that vnetem makes about
/// any packet quotes that packet (INV-last-hop-ends, INV-generated-packets-valid, T-26).
///
/// The first byte chooses type and length of the quote, and the next twelve the addresses and
/// ports. The rest is what is quoted, or the whole error if the highest bit of the first byte is
/// set.
pub fn icmp_inner(bytes: &[u8]) {
    let Some(([how, ends @ ..], packet)) = bytes.split_first_chunk::<13>() else { return };
    own_error(*how, packet);
    let error = if how & 0x80 == 0 { error_about(*how, packet) } else { packet.to_vec() };
    let Ok(headers) = Headers::parse(&error) else { return };
    let quote = Quote::parse(&error, &headers);
    let read = wire::Packet::read(&error).unwrap_or_else(|cause| panic!("{headers}: {cause}"));
    if headers.transport != Transport::IcmpError {
        assert!(quote.is_err(), "no error, and yet it quotes {quote:?}");
        return;
    }
    let quoted = wire::quoted(&error, &read);
    assert_eq!(quote.map(|quote| quote.offset.into()), quoted.map(|(_, at)| at), "{headers}");
    let (Ok(quote), Ok((inner, _))) = (quote, quoted) else { return };
    let tuple = quote.tuple();
    assert_eq!((tuple.protocol.0, tuple.source, tuple.destination), inner.ends(), "{headers}");

    let [a, b, c, d, e, f, g, h, i, j, k, l] = *ends;
    let (new, port) = (Ipv4Addr::new(a, b, c, d), u16::from_be_bytes([e, f]));
    let external = SocketAddrV4::new(Ipv4Addr::new(g, h, i, j), u16::from_be_bytes([k, l]));
    // As a translator does: the quoted source and the error's destination become the internal end.
    // A router on the way may need to be renamed as well.
    let port = match quote.headers.transport {
        Transport::Tcp(_) | Transport::Udp | Transport::IcmpRequest => port,
        _ => tuple.source.port(),
    };
    let internal = SocketAddrV4::new(new, port);
    let source = if how & 0x40 == 0 { headers.source } else { *external.ip() };
    let outer = Rewrite {
        source: (how & 0x40 != 0).then_some(SocketAddrV4::new(source, 0)),
        destination: Some(SocketAddrV4::new(new, 0)),
    };
    let mut after = error.clone();
    let by = Rewrite { source: Some(internal), destination: None };
    rewrite_quoting(&mut after, &headers, &quote, outer, by, 63);
    let slow =
        wire::readdress_error(&error, &read, (source, new), (internal, tuple.destination), 63);
    let slow = slow.unwrap_or_else(|| panic!("the model sees no quote in {headers}"));
    assert!(same_but_for_zeros(&after, &slow, &headers, &quote), "not as from scratch: {headers}");

    let new = Headers::parse(&after).unwrap_or_else(|cause| panic!("{cause} after {headers}"));
    let again = Quote::parse(&after, &new).map(|quote| quote.tuple().source);
    // A quoted query's identifier may belong to the other end, and then there is none to change.
    let wanted = match quote.headers.transport {
        Transport::IcmpReply | Transport::IcmpOther | Transport::None => {
            SocketAddrV4::new(*internal.ip(), tuple.source.port())
        }
        _ => internal,
    };
    assert_eq!(again, Ok(wanted), "another quoted source than was asked for: {headers}");
    let body = |bytes: &[u8]| {
        residual(bytes.get(usize::from(headers.header_length)..).unwrap_or_default(), 0)
    };
    if error.len() == usize::from(headers.total_length) {
        assert_eq!(
            body(&error),
            body(&after),
            "the error's checksum (INV-wrong-checksum-stays-wrong): {headers}"
        );
    }
}

/// Checks an ICMP error that vnetem makes about any packet: its length, its checksums and its
/// quote.
fn own_error(how: u8, about: &[u8]) {
    let Ok(headers) = Headers::parse(about) else { return };
    let kind = match how & 7 {
        0 => IcmpErrorKind::TimeExceeded,
        1 => IcmpErrorKind::FragmentationNeeded { mtu: 1400 },
        2 => IcmpErrorKind::HostUnreachable,
        3 => IcmpErrorKind::PortUnreachable,
        _ => IcmpErrorKind::AdministrativelyProhibited,
    };
    let may = IcmpError::may_answer(&headers);
    let later = matches!(headers.fragment, vnetem_packet::Fragment::Later { .. });
    assert!(
        !may || !later && headers.transport != Transport::IcmpError,
        "{headers} (INV-last-hop-ends)"
    );
    let mut buffer = [0; IcmpError::MAXIMUM_LENGTH];
    let length =
        IcmpError { kind, source: Ipv4Addr::new(10, 0, 0, 1) }.write(about, &headers, &mut buffer);
    let error = buffer.get(..length).unwrap_or_default();
    assert!(
        wire::sums_are_right(error),
        "an error of our own is wrong (INV-generated-packets-valid): {headers}"
    );
    let read = Headers::parse(error).unwrap_or_else(|cause| panic!("{cause} about {headers}"));
    assert_eq!(read.destination, headers.source, "an error goes to who sent the packet");
    if may {
        let quoted = Quote::parse(error, &read).map(|quote| quote.tuple());
        assert_eq!(quoted, Ok(headers.tuple()), "an error of our own is about another packet");
    }
}

/// Makes an ICMP error that quotes the beginning of these bytes, with right checksums around the
/// quote.
fn error_about(how: u8, quoted: &[u8]) -> Vec<u8> {
    let message = [3, 11, 12, 5].get(usize::from(how & 3)).copied().unwrap_or(3);
    let most = [28, 36, 46, 548].get(usize::from(how >> 2 & 3)).copied().unwrap_or(548);
    let quoted = quoted.get(..most.min(quoted.len())).unwrap_or_default();
    let length = u16::try_from(28 + quoted.len()).unwrap_or(u16::MAX);
    let mut error = vec![0x45, 0, 0, 0, 0, 1, 0, 0, 64, Protocol::ICMP.0, 0, 0];
    error.extend([198, 51, 100, 254, 20, 1, 1, 1, message, 1, 0, 0, 0, 0, 0, 0]);
    error.extend(quoted);
    for (to, from) in error.iter_mut().skip(2).zip(length.to_be_bytes()) {
        *to = from;
    }
    wire::finish(&mut error, 2);
    error
}

/// Returns whether two errors are equal, apart from the two representations of a zero checksum (RFC
/// 1624 3). A UDP checksum has one only: there 0 means none.
fn same_but_for_zeros(one: &[u8], other: &[u8], headers: &Headers, quote: &Quote) -> bool {
    let (message, inner) = (usize::from(headers.header_length), usize::from(quote.offset));
    let behind = inner + usize::from(quote.headers.header_length);
    let transport = match quote.headers.transport {
        Transport::Tcp(_) => Some(behind + 16),
        Transport::IcmpRequest | Transport::IcmpReply | Transport::IcmpOther => Some(behind + 2),
        _ => None,
    };
    let mut one = one.to_vec();
    for place in [Some(10), Some(message + 2), Some(inner + 10), transport].into_iter().flatten() {
        let there = other.get(place..place + 2);
        if let (Some(here), Some(there)) = (one.get_mut(place..place + 2), there)
            && matches!((&*here, there), ([0, 0], [0xff, 0xff]) | ([0xff, 0xff], [0, 0]))
        {
            here.copy_from_slice(there);
        }
    }
    one == other
}
