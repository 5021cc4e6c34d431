//! Kinds of IPv4 addresses. The pipeline has one verdict for each (INV-special-addresses-refused).

use core::fmt;
use core::net::Ipv4Addr;

/// The class of an IPv4 address (RFC 6890).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum AddressClass {
    /// 0.0.0.0/8, "this network" (RFC 1122 3.2.1.3).
    ThisNetwork,
    /// 10.0.0.0/8, 172.16.0.0/12 and 192.168.0.0/16 (RFC 1918).
    Private,
    /// 100.64.0.0/10, shared by carriers (RFC 6598).
    Shared,
    /// 127.0.0.0/8 (RFC 1122 3.2.1.3).
    Loopback,
    /// 169.254.0.0/16 (RFC 3927).
    LinkLocal,
    /// 224.0.0.0/4 (RFC 5771).
    Multicast,
    /// 240.0.0.0/4 without the last address (RFC 1112 4).
    Reserved,
    /// 255.255.255.255 (RFC 919 7).
    Broadcast,
    /// Any other.
    Public,
}

impl AddressClass {
    /// Gives the class of an address.
    #[must_use]
    #[inline]
    pub const fn of(address: Ipv4Addr) -> Self {
        match address.octets() {
            [0, ..] => Self::ThisNetwork,
            [10, ..] | [172, 16..=31, ..] | [192, 168, ..] => Self::Private,
            [100, 64..=127, ..] => Self::Shared,
            [127, ..] => Self::Loopback,
            [169, 254, ..] => Self::LinkLocal,
            [224..=239, ..] => Self::Multicast,
            [255, 255, 255, 255] => Self::Broadcast,
            [240..=255, ..] => Self::Reserved,
            _ => Self::Public,
        }
    }

    /// Gives the stable name of the class.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::ThisNetwork => "this-network",
            Self::Private => "private",
            Self::Shared => "shared",
            Self::Loopback => "loopback",
            Self::LinkLocal => "link-local",
            Self::Multicast => "multicast",
            Self::Reserved => "reserved",
            Self::Broadcast => "broadcast",
            Self::Public => "public",
        }
    }
}

impl fmt::Display for AddressClass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
