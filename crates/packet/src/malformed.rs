//! The causes for which bytes are refused as a packet.

use core::fmt;

/// Why [`Headers::parse`](crate::Headers::parse) refused bytes. A refused packet changes no state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Malformed {
    /// Fewer than 20 bytes (INV-malformed-headers-dropped).
    Truncated,
    /// The version is not 4 (INV-malformed-headers-dropped).
    NotIpv4,
    /// The header length is below 20 or beyond the bytes (INV-malformed-headers-dropped, RFC 791
    /// 3.1).
    HeaderLength,
    /// The total length is below the header length or beyond the bytes
    /// (INV-malformed-headers-dropped, RFC 791 3.1).
    TotalLength,
    /// The IPv4 header checksum is wrong (INV-header-checksum-checked, RFC 1812 4.2.2.5).
    HeaderChecksum,
    /// The option lengths do not add up, so the end of the list is unknown
    /// (INV-options-kept-or-refused, RFC 791 3.1).
    HeaderOptions,
    /// A loose or strict source route. A packet may not choose its own path
    /// (INV-options-kept-or-refused, RFC 7126 4.3 and 4.4).
    SourceRoute,
    /// A fragment is empty, or one that is not the last is no multiple of eight bytes (RFC 791
    /// 3.2).
    FragmentLength,
    /// A fragment would end past the 65,535th byte of its datagram (INV-bad-fragments-dropped).
    FragmentEnd,
    /// A first fragment lacks part of its TCP header, or a later one would overwrite it
    /// (INV-bad-fragments-dropped, RFC 1858 3, RFC 3128).
    TinyFragment,
    /// The TCP data offset is below 5 or beyond the segment, or the segment is under 20 bytes
    /// (INV-malformed-transport-dropped, RFC 9293 3.1).
    TcpHeader,
    /// The UDP length is below 8 or beyond the payload (INV-malformed-transport-dropped, RFC 768).
    UdpLength,
    /// An ICMP message has fewer than 8 bytes (INV-malformed-transport-dropped, RFC 792).
    IcmpLength,
    /// An ICMP error quotes less than an IPv4 header and eight bytes (RFC 792, RFC 1122 3.2.2).
    QuoteTruncated,
    /// The quoted IPv4 header is invalid or its checksum is wrong (T-22, RFC 5508 REQ-3).
    QuoteHeader,
    /// An ICMP error quotes an ICMP error (RFC 1122 3.2.2).
    QuoteOfError,
    /// The packet is no ICMP error, so it quotes nothing.
    NoQuote,
}

impl Malformed {
    /// All causes in the order of declaration.
    pub const ALL: [Self; 17] = [
        Self::Truncated,
        Self::NotIpv4,
        Self::HeaderLength,
        Self::TotalLength,
        Self::HeaderChecksum,
        Self::HeaderOptions,
        Self::SourceRoute,
        Self::FragmentLength,
        Self::FragmentEnd,
        Self::TinyFragment,
        Self::TcpHeader,
        Self::UdpLength,
        Self::IcmpLength,
        Self::QuoteTruncated,
        Self::QuoteHeader,
        Self::QuoteOfError,
        Self::NoQuote,
    ];

    /// Gives the stable name of the cause.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Truncated => "truncated",
            Self::NotIpv4 => "not-ipv4",
            Self::HeaderLength => "header-length",
            Self::TotalLength => "total-length",
            Self::HeaderChecksum => "header-checksum",
            Self::HeaderOptions => "header-options",
            Self::SourceRoute => "source-route",
            Self::FragmentLength => "fragment-length",
            Self::FragmentEnd => "fragment-end",
            Self::TinyFragment => "tiny-fragment",
            Self::TcpHeader => "tcp-header",
            Self::UdpLength => "udp-length",
            Self::IcmpLength => "icmp-length",
            Self::QuoteTruncated => "quote-truncated",
            Self::QuoteHeader => "quote-header",
            Self::QuoteOfError => "quote-of-error",
            Self::NoQuote => "no-quote",
        }
    }
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl core::error::Error for Malformed {}
