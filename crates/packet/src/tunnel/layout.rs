//! Where an IPv6 source holds VNet and subnet.

use core::fmt;
use core::net::{Ipv4Addr, Ipv6Addr};

use super::Overlay;
use crate::{Identity, SubnetId, VnetId};

/// The widths of the fields in the upper 96 bits of an address, from the left: kind, region, VNet
/// key, subnet (U-03).
///
/// Azure does not publish the layout. The default is a guess that fits the published samples. For
/// another layout, use another value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Layout {
    kind: u32,
    region: u32,
    vnet: u32,
    subnet: u32,
}

/// The fields in the upper 96 bits of an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tag {
    /// The kind of tunnel: [`Tag::SERVICE_TUNNEL`] or [`Tag::PRIVATE_ENDPOINT`].
    pub kind: u16,
    /// Number of the caller's region.
    pub region: u16,
    /// Key of the virtual network.
    pub vnet_key: u64,
    /// Number of the subnet object.
    pub subnet: u32,
}

/// A value that is wider than its field in the layout.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DoesNotFit {
    /// The field's name.
    pub field: &'static str,
    /// The value.
    pub value: u64,
    /// The field's width in bits.
    pub width: u32,
}

impl Layout {
    /// Makes a layout of widths in bits; `None` unless they add up to 96 and each fits [`Tag`].
    #[must_use]
    pub const fn new(kind: u32, region: u32, vnet: u32, subnet: u32) -> Option<Self> {
        if kind > 16 || region > 16 || vnet > 64 || subnet > 32 {
            return None;
        }
        match kind.saturating_add(region).saturating_add(vnet).saturating_add(subnet) {
            96 => Some(Self { kind, region, vnet, subnet }),
            _ => None,
        }
    }

    /// Gives the bits to lay over a private source so that it carries the tag.
    ///
    /// # Errors
    ///
    /// A value is wider than its field.
    pub fn encode(self, tag: Tag) -> Result<Overlay, DoesNotFit> {
        let fields = [
            ("kind", self.kind, u64::from(tag.kind)),
            ("region", self.region, u64::from(tag.region)),
            ("vnet", self.vnet, tag.vnet_key),
            ("subnet", self.subnet, u64::from(tag.subnet)),
        ];
        let bits =
            fields.into_iter().try_fold(0_u128, |bits, (field, width, value)| {
                match value.unbounded_shr(width) {
                    0 => Ok(bits.unbounded_shl(width) | u128::from(value)),
                    _ => Err(DoesNotFit { field, value, width }),
                }
            })?;
        Ok(Overlay::prefix(Ipv6Addr::from_bits(bits << 32)))
    }

    /// Reads the tag of an address.
    #[must_use]
    pub fn decode(self, address: Ipv6Addr) -> Tag {
        let bits = address.to_bits();
        let subnet = low(bits >> 32, self.subnet);
        let rest = (bits >> 32).unbounded_shr(self.subnet);
        let vnet_key = low(rest, self.vnet);
        let rest = rest.unbounded_shr(self.vnet);
        let region = low(rest, self.region);
        let kind = low(rest.unbounded_shr(self.region), self.kind);
        Tag {
            // Nothing is cut off: no layout is wider than these types.
            kind: u16::try_from(kind).unwrap_or(u16::MAX),
            region: u16::try_from(region).unwrap_or(u16::MAX),
            vnet_key,
            subnet: u32::try_from(subnet).unwrap_or(u32::MAX),
        }
    }
}

impl Tag {
    /// Kind of a service endpoint's tunnel.
    pub const SERVICE_TUNNEL: u16 = 0xfd00;
    /// Kind of a private endpoint's tunnel, which has the same wire form (L-08).
    pub const PRIVATE_ENDPOINT: u16 = 0xfd40;

    /// Makes the tag of a caller.
    #[must_use]
    pub fn of(kind: u16, region: u16, identity: Identity) -> Self {
        Self { kind, region, vnet_key: u64::from(identity.vnet.0), subnet: identity.subnet.0 }
    }

    /// Gives the caller at this private address; `None` if the key is no VNet's.
    #[must_use]
    pub fn identity(self, address: Ipv4Addr) -> Option<Identity> {
        let vnet = VnetId(u32::try_from(self.vnet_key).ok()?);
        Some(Identity { vnet, subnet: SubnetId(self.subnet), address })
    }
}

/// Gives 16 bits to the kind, 16 to the region, 48 to the VNet key, 16 to the subnet (U-03).
impl Default for Layout {
    fn default() -> Self {
        Self { kind: 16, region: 16, vnet: 48, subnet: 16 }
    }
}

impl fmt::Display for DoesNotFit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { field, value, width } = self;
        write!(f, "{field} {value:#x} does not fit the layout's {width} bits")
    }
}

impl core::error::Error for DoesNotFit {}

/// Takes the lowest `width` bits, at most 64.
fn low(bits: u128, width: u32) -> u64 {
    let mask = 1_u128.unbounded_shl(width).wrapping_sub(1);
    u64::try_from(bits & mask).unwrap_or(u64::MAX)
}
