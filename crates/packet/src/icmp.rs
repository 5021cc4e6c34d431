//! ICMP types, sorted by what translation does with them.

/// What kind of message an ICMP type is (RFC 792, RFC 950, RFC 1122 3.2.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum IcmpKind {
    /// Asks, and carries an identifier.
    Request,
    /// Answers a request, with its identifier.
    Reply,
    /// Quotes the packet that it is about.
    Error,
    /// Anything else.
    Other,
}

impl IcmpKind {
    /// The kind of a message type.
    pub(crate) const fn of(message: u8) -> Self {
        match message {
            8 | 13 | 15 | 17 => Self::Request,
            0 | 14 | 16 | 18 => Self::Reply,
            3 | 4 | 5 | 11 | 12 => Self::Error,
            _ => Self::Other,
        }
    }

    /// The identifier as the two ports of a tuple: in the source of a request, in the destination
    /// of a reply.
    pub(crate) const fn ports(self, identifier: u16) -> (u16, u16) {
        match self {
            Self::Request => (identifier, 0),
            Self::Reply => (0, identifier),
            Self::Error | Self::Other => (0, 0),
        }
    }
}
