//! ICMP types, grouped by how NAT treats them.

/// What kind of message an ICMP type is (RFC 792, RFC 950, RFC 1122 3.2.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum IcmpKind {
    /// A request with an identifier.
    Request,
    /// The reply to a request, with its identifier.
    Reply,
    /// An error, which quotes the packet that caused it.
    Error,
    /// Any other message.
    Other,
}

impl IcmpKind {
    /// Gives the kind of a message type.
    pub(crate) const fn of(message: u8) -> Self {
        match message {
            8 | 13 | 15 | 17 => Self::Request,
            0 | 14 | 16 | 18 => Self::Reply,
            3 | 4 | 5 | 11 | 12 => Self::Error,
            _ => Self::Other,
        }
    }

    /// Gives the identifier as the two ports of a tuple: the source of a request, the destination
    /// of a reply.
    pub(crate) const fn ports(self, identifier: u16) -> (u16, u16) {
        match self {
            Self::Request => (identifier, 0),
            Self::Reply => (0, identifier),
            Self::Error | Self::Other => (0, 0),
        }
    }
}
