//! Why a packet does not enter a tunnel, and why bytes are no packet of one.

use core::fmt;

use crate::Malformed;

/// Why a packet cannot change its IP version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Untranslatable {
    /// It has IPv4 options, for which IPv6 has no place (U-15).
    Options,
    /// Its protocol number is an extension header in IPv6, so that its payload would be read as
    /// one.
    Protocol,
    /// It is a fragment, and the tunnel carries none (U-16).
    Fragment,
    /// It is the first fragment of a UDP datagram without a checksum, and IPv6 wants one, which
    /// needs the whole (RFC 7915 4.5).
    UncheckedFragment,
    /// It would be longer than 65,535 bytes (INV-lengths-agree).
    TooLong,
    /// The bytes are fewer than the headers say: they belong to another packet.
    Truncated,
    /// The buffer is too short for the result.
    BufferTooShort,
}

/// Why bytes are no packet of a service tunnel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Undecodable {
    /// The outer packet is none.
    Outer(Malformed),
    /// The outer packet is a fragment; tunnels are not reassembled.
    OuterFragment,
    /// The UDP checksum of a VXLAN packet is there and wrong (RFC 7348 4.1).
    OuterChecksum,
    /// It is neither GRE nor UDP to the VXLAN port.
    NotTunnel,
    /// The GRE header is not NVGRE's: a key, no checksum, no sequence number, Ethernet inside (RFC
    /// 7637 3.2).
    GreHeader,
    /// The VXLAN header is cut off or has no network identifier (RFC 7348 5).
    VxlanHeader,
    /// What is inside is no Ethernet frame with an IPv6 packet.
    InnerFrame,
    /// The inner IPv6 header is cut off, is of another version, or its payload is longer than what
    /// is there (RFC 8200 3).
    InnerHeader,
    /// The inner packet has an extension header for which IPv4 has no place (RFC 7915 5.1).
    ExtensionHeader,
    /// The inner fragment header is cut off (RFC 8200 4.5).
    InnerFragment,
}

impl Untranslatable {
    /// Every cause, in the order of declaration.
    pub const ALL: [Self; 7] = [
        Self::Options,
        Self::Protocol,
        Self::Fragment,
        Self::UncheckedFragment,
        Self::TooLong,
        Self::Truncated,
        Self::BufferTooShort,
    ];

    /// The stable name of the cause.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Options => "tunnel-options",
            Self::Protocol => "tunnel-protocol",
            Self::Fragment => "tunnel-fragment",
            Self::UncheckedFragment => "tunnel-unchecked-fragment",
            Self::TooLong => "tunnel-too-long",
            Self::Truncated => "tunnel-truncated",
            Self::BufferTooShort => "tunnel-buffer-too-short",
        }
    }
}

impl Undecodable {
    /// The stable name of the cause; what is wrong with an outer packet has the name that it has
    /// elsewhere.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Outer(cause) => cause.name(),
            Self::OuterFragment => "outer-fragment",
            Self::OuterChecksum => "outer-checksum",
            Self::NotTunnel => "not-tunnel",
            Self::GreHeader => "gre-header",
            Self::VxlanHeader => "vxlan-header",
            Self::InnerFrame => "inner-frame",
            Self::InnerHeader => "inner-header",
            Self::ExtensionHeader => "inner-extension-header",
            Self::InnerFragment => "inner-fragment",
        }
    }
}

impl fmt::Display for Untranslatable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl fmt::Display for Undecodable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl core::error::Error for Untranslatable {}

impl core::error::Error for Undecodable {}
