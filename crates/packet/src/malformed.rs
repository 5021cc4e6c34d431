//! Why bytes are no packet: one flat list of causes.

use core::fmt;

/// Why bytes were refused at the door; a packet that is refused changes no state
/// (INV-malformed-headers-dropped, INV-malformed-transport-dropped, INV-header-checksum-checked,
/// INV-options-kept-or-refused).
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
    /// The option lengths do not add up, so that what follows them cannot be known
    /// (INV-options-kept-or-refused, RFC 791 3.1).
    HeaderOptions,
    /// A loose or strict source route, which must never steer a packet
    /// (INV-options-kept-or-refused, RFC 7126 4.3 and 4.4).
    SourceRoute,
    /// A fragment carries nothing, or is not the last and no multiple of eight bytes long (RFC 791
    /// 3.2).
    FragmentLength,
    /// A fragment would end past the 65,535th byte of its datagram (INV-bad-fragments-dropped).
    FragmentEnd,
    /// A first fragment does not hold its TCP header, or a later one would overwrite it
    /// (INV-bad-fragments-dropped, RFC 1858 3, RFC 3128).
    TinyFragment,
    /// The TCP data offset is below 5 or beyond the segment, or the segment has fewer than 20 bytes
    /// (INV-malformed-transport-dropped, RFC 9293 3.1).
    TcpHeader,
    /// The UDP length is below 8 or beyond the payload (INV-malformed-transport-dropped, RFC 768).
    UdpLength,
    /// An ICMP message has fewer than 8 bytes (INV-malformed-transport-dropped, RFC 792).
    IcmpLength,
    /// An ICMP error quotes less than a header and the first eight bytes behind it (RFC 792, RFC
    /// 1122 3.2.2).
    QuoteTruncated,
    /// The header that an ICMP error quotes is none, or its checksum is wrong (T-22, RFC 5508
    /// REQ-3).
    QuoteHeader,
    /// An ICMP error quotes an ICMP error (RFC 1122 3.2.2).
    QuoteOfError,
    /// The packet is no ICMP error, so that it quotes nothing.
    NoQuote,
}

impl Malformed {
    /// Every cause, in the order of declaration.
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

    /// The stable name of the cause.
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
