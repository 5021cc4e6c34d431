//! Decides which packets may open a flow.

use vnetem_packet::{Fragment, Headers, Protocol, TcpFlags, Transport};

use crate::flow::tcp::CONTROL;

/// Says whether loose pick-up may open a flow from this packet, as in Linux: TCP with ACK and
/// without SYN, RST or FIN (T-19).
#[must_use]
#[inline]
pub fn picks_up(headers: &Headers) -> bool {
    match headers.transport {
        Transport::Tcp(segment) => segment.flags.0 & CONTROL == TcpFlags::ACK.0,
        _ => false,
    }
}

/// Says whether a packet without a flow may open one (P-25, T-20).
///
/// - TCP with SYN and without ACK, RST or FIN.
/// - UDP.
/// - An ICMP request, never a reply.
/// - Any other protocol, if the caller carries it.
/// - Never a later fragment.
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
