//! Why a packet cannot enter a tunnel, and why bytes are no packet of a tunnel.

use core::fmt;

use crate::Malformed;

/// Why a packet cannot change its IP version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Untranslatable {
    /// The packet has IPv4 options, for which IPv6 has no place (U-15).
    Options,
    /// IPv6 uses its protocol number for an extension header, and would read the payload as one.
    Protocol,
    /// The packet is a fragment, and the tunnel carries none (U-16).
    Fragment,
    /// A first fragment of a UDP datagram has no checksum. IPv6 requires one, which needs the whole
    /// datagram (RFC 7915 4.5).
    UncheckedFragment,
    /// The result would be longer than 65,535 bytes (INV-lengths-agree).
    TooLong,
    /// The bytes are fewer than the headers say, so the headers belong to another packet.
    Truncated,
    /// The buffer is too short for the result.
    BufferTooShort,
}

/// Why bytes are no packet of a service tunnel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Undecodable {
    /// The outer packet is malformed.
    Outer(Malformed),
    /// The outer packet is a fragment; vnetem does not reassemble tunnels.
    OuterFragment,
    /// The UDP checksum of a VXLAN packet is present and wrong (RFC 7348 4.1).
    OuterChecksum,
    /// The outer packet is neither GRE nor UDP to the VXLAN port.
    NotTunnel,
    /// The GRE header is not that of NVGRE: key, no checksum, no sequence number, Ethernet payload
    /// (RFC 7637 3.2).
    GreHeader,
    /// The VXLAN header is cut off or has no network identifier (RFC 7348 5).
    VxlanHeader,
    /// The payload is no Ethernet frame with an IPv6 packet.
    InnerFrame,
    /// The inner IPv6 header is cut off or of another version, or its payload exceeds the bytes
    /// (RFC 8200 3).
    InnerHeader,
    /// The inner packet has an extension header that IPv4 cannot express (RFC 7915 5.1).
    ExtensionHeader,
    /// The inner fragment header is cut off (RFC 8200 4.5).
    InnerFragment,
}

impl Untranslatable {
    /// All causes in the order of declaration.
    pub const ALL: [Self; 7] = [
        Self::Options,
        Self::Protocol,
        Self::Fragment,
        Self::UncheckedFragment,
        Self::TooLong,
        Self::Truncated,
        Self::BufferTooShort,
    ];

    /// Gives the stable name of the cause.
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
    /// Gives the stable name of the cause. A malformed outer packet has the name of its
    /// [`Malformed`] cause.
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
