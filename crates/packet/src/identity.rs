//! Numbers of VNets, subnets and sites, and the identity of a caller that a service learns.

use core::fmt;
use core::net::Ipv4Addr;

/// Number of a virtual network. One control plane never uses it twice (U-04).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct VnetId(pub u32);

/// Number of a subnet object, unique over all VNets and never used twice. A recreated subnet gets a
/// new one (E-17, U-04).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SubnetId(pub u32);

/// Number of an on-premises site.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SiteId(pub u32);

/// A space in which an address means one thing (RFC 2663).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Realm {
    /// The public internet and the public addresses of cloud services.
    Public,
    /// The private addresses of one virtual network.
    Vnet(VnetId),
    /// The private addresses of one on-premises site.
    Site(SiteId),
}

/// The identity of a caller over a service endpoint: its subnet object and its private address
/// (S-04).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Identity {
    /// The virtual network.
    pub vnet: VnetId,
    /// The subnet object.
    pub subnet: SubnetId,
    /// The private source address. It means nothing without the other two (S-05).
    pub address: Ipv4Addr,
}

impl fmt::Display for VnetId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "vnet#{}", self.0)
    }
}

impl fmt::Display for SubnetId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "subnet#{}", self.0)
    }
}

impl fmt::Display for SiteId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "site#{}", self.0)
    }
}
