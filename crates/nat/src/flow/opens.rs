//! Which packets may open a flow.

use vnetem_packet::{Fragment, Headers, Protocol, TcpFlags, Transport};

use crate::flow::tcp::CONTROL;

/// Whether a packet without a flow may pick one up in the middle where that is wanted (T-19): a TCP
/// segment with ACK and none of SYN, RST, FIN, as in Linux.
#[must_use]
#[inline]
pub fn picks_up(headers: &Headers) -> bool {
    match headers.transport {
        Transport::Tcp(segment) => segment.flags.0 & CONTROL == TcpFlags::ACK.0,
        _ => false,
    }
}

/// Whether a packet without a flow may open one (P-25, T-20): TCP with SYN and none of ACK, RST,
/// FIN; UDP; an ICMP request, never a reply; any other protocol, for callers that carry it. Never a
/// later fragment.
#[must_use]
#[inline]
pub fn opens(headers: &Headers) -> bool {
    match headers.transport {
        Transport::Tcp(segment) => segment.flags.0 & CONTROL == TcpFlags::SYN.0,
        Transport::Udp => true,
        Transport::IcmpRequest => true,
        Transport::IcmpReply | Transport::IcmpError | Transport::IcmpOther => false,
        Transport::None => {
            !matches!(headers.protocol, Protocol::TCP | Protocol::UDP | Protocol::ICMP)
                && !matches!(headers.fragment, Fragment::Later { .. })
        }
    }
}
