use std::net::Ipv4Addr;

use vnetem_packet::AddressClass;

/// First and last address of each class, as RFC 6890 and its sources print them. The last range
/// that fits wins.
const RANGES: [(&str, &str, AddressClass); 12] = [
    ("0.0.0.0", "255.255.255.255", AddressClass::Public),
    ("0.0.0.0", "0.255.255.255", AddressClass::ThisNetwork),
    ("10.0.0.0", "10.255.255.255", AddressClass::Private),
    ("100.64.0.0", "100.127.255.255", AddressClass::Shared),
    ("127.0.0.0", "127.255.255.255", AddressClass::Loopback),
    ("169.254.0.0", "169.254.255.255", AddressClass::LinkLocal),
    ("172.16.0.0", "172.31.255.255", AddressClass::Private),
    ("192.168.0.0", "192.168.255.255", AddressClass::Private),
    ("224.0.0.0", "239.255.255.255", AddressClass::Multicast),
    ("240.0.0.0", "255.255.255.255", AddressClass::Reserved),
    ("255.255.255.255", "255.255.255.255", AddressClass::Broadcast),
    ("168.63.129.16", "168.63.129.16", AddressClass::Public),
];

fn slow(address: Ipv4Addr) -> AddressClass {
    let fits = RANGES.iter().rev().find(|(first, last, _)| {
        (first.parse::<Ipv4Addr>().unwrap()..=last.parse().unwrap()).contains(&address)
    });
    fits.unwrap().2
}

/// Tries both ends of every range, their neighbours, and the whole space in steps
/// (INV-special-addresses-refused).
#[test]
fn every_boundary_has_its_class() {
    let ends = RANGES
        .iter()
        .flat_map(|(first, last, _)| [first, last])
        .map(|end| end.parse::<Ipv4Addr>().unwrap().to_bits());
    let beside = ends.flat_map(|end| [end.wrapping_sub(1), end, end.wrapping_add(1)]);
    for address in beside
        .chain((0..=u32::MAX).step_by(if cfg!(miri) { 0x1111_1111 } else { 0x7FFF }))
        .map(Ipv4Addr::from_bits)
    {
        assert_eq!(AddressClass::of(address), slow(address), "{address}");
    }
}

#[test]
fn names_are_stable() {
    let named = RANGES.map(|(_, _, class)| class.to_string());
    let names = [
        "public",
        "this-network",
        "private",
        "shared",
        "loopback",
        "link-local",
        "private",
        "private",
    ];
    assert_eq!(named[..8], names);
    assert_eq!(named[8..], ["multicast", "reserved", "broadcast", "public"]);
}
