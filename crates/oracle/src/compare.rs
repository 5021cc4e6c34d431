//! Compares two outcomes byte for byte, and names the intended differences.

use core::fmt;

use vnetem::packet::checksum::sum;
use vnetem::{Disposition, DropReason, Verdict, packet::Malformed};
use vnetem_nat::Side;

use crate::draft::put;
use crate::packet::{Emitted, ICMP, TCP, byte, header, payload, show, word};

/// A difference from Linux that is intended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Chosen {
    /// Linux checks the TTL before it refuses a packet, so the sender of an expired packet gets an
    /// ICMP error even if the packet would be refused. vnetem does not answer refused packets.
    ExpiredThoughRefused,
    /// Linux forwards an ICMP error whose quoted header has a wrong checksum. vnetem drops it, as
    /// RFC 5508 REQ-3 says (T-22).
    QuoteChecksum,
    /// Linux leaves the checksum of a quoted segment as it is unless the whole TCP header is
    /// quoted. vnetem keeps it right wherever it is quoted (T-25).
    QuotedChecksum,
    /// Linux forwards an ICMP error whatever sequence number it quotes. In vnetem it must quote a
    /// segment in flight, since addresses and ports are easily guessed (RFC 5927 4.1).
    QuotedNumber,
    /// Linux sends an ICMP parameter problem for a header whose options cannot be read. vnetem
    /// answers no malformed packet.
    BadOptions,
}

impl Chosen {
    /// All intended differences.
    pub const ALL: [Self; 5] = [
        Self::ExpiredThoughRefused,
        Self::QuoteChecksum,
        Self::QuotedChecksum,
        Self::QuotedNumber,
        Self::BadOptions,
    ];
}

/// A difference that is not intended.
#[derive(Clone, Debug)]
pub struct Difference {
    sent: Vec<u8>,
    from: Side,
    kernel: Vec<Emitted>,
    ours: Vec<Emitted>,
    verdict: Verdict,
}

/// Compares what came out for a packet: sides, number and all bytes. Returns the intended
/// difference if it is one.
///
/// Three fields of ICMP errors that the gateway itself makes are left out: identification, type of
/// service, and with them the header checksum. Linux counts the identification for the whole host;
/// vnetem uses the packet's own (RFC 6864 4.1).
///
/// # Errors
///
/// A [`Difference`] with all details.
pub fn compare(
    from: Side,
    sent: &[u8],
    kernel: &[Emitted],
    ours: &[Emitted],
    verdict: Verdict,
) -> Result<Option<Chosen>, Difference> {
    let expired = byte(sent, 8) <= 1;
    let plain = |all: &[Emitted]| {
        let mut all = all.to_vec();
        if expired {
            all.iter_mut()
                .filter(|one| is_time_exceeded(one))
                .for_each(|one| blank(&mut one.bytes));
        }
        all
    };
    if plain(kernel) == plain(ours) {
        return Ok(None);
    }
    if let Some(chosen) = chosen(from, sent, kernel, ours, verdict.disposition) {
        return Ok(Some(chosen));
    }
    Err(Difference {
        sent: sent.to_vec(),
        from,
        kernel: kernel.to_vec(),
        ours: ours.to_vec(),
        verdict,
    })
}

/// Returns the intended difference that explains the two outcomes, if one does.
fn chosen(
    from: Side,
    sent: &[u8],
    kernel: &[Emitted],
    ours: &[Emitted],
    disposition: Disposition,
) -> Option<Chosen> {
    let Disposition::Drop(reason) = disposition else {
        let mut ours = ours.to_vec();
        ours.iter_mut().for_each(|one| leave_quoted_checksum(&mut one.bytes, sent));
        return (ours == kernel).then_some(Chosen::QuotedChecksum);
    };
    let notified = matches!(kernel, [one] if one.to == from && is_time_exceeded(one));
    let has_problem = matches!(kernel, [one] if one.to == from && is_parameter_problem(one));
    let quote = payload(sent).get(8..).unwrap_or_default();
    let quoted_header = quote.get(..header(quote)).unwrap_or_default();
    match reason {
        DropReason::NoFlow
        | DropReason::TcpInvalid
        | DropReason::QuoteUnknown
        | DropReason::QuoteOutOfWindow
        | DropReason::Redirect
        | DropReason::IcmpChecksum
            if byte(sent, 8) <= 1 && notified && ours.is_empty() =>
        {
            Some(Chosen::ExpiredThoughRefused)
        }
        DropReason::Malformed(Malformed::QuoteHeader)
            if ours.is_empty() && sum(quoted_header) != 0xFFFF =>
        {
            Some(Chosen::QuoteChecksum)
        }
        DropReason::QuoteOutOfWindow if ours.is_empty() && kernel.len() == 1 => {
            Some(Chosen::QuotedNumber)
        }
        DropReason::Malformed(Malformed::HeaderOptions) if ours.is_empty() && has_problem => {
            Some(Chosen::BadOptions)
        }
        _ => None,
    }
}

/// Restores the checksum of a quoted segment whose header is not quoted completely.
fn leave_quoted_checksum(packet: &mut [u8], sent: &[u8]) {
    let error = header(packet);
    let segment = error + 8 + header(packet.get(error + 8..).unwrap_or_default());
    let quoted = packet.len().saturating_sub(segment);
    if byte(packet, 9) != ICMP || byte(packet, error + 8 + 9) != TCP || !(18..20).contains(&quoted)
    {
        return;
    }
    put(packet, segment + 16, word(sent, segment + 16));
    put(packet, error + 2, 0);
    let checksum = !sum(payload(packet));
    put(packet, error + 2, checksum);
}

fn is_parameter_problem(emitted: &Emitted) -> bool {
    byte(&emitted.bytes, 9) == ICMP && byte(payload(&emitted.bytes), 0) == 12
}

fn is_time_exceeded(emitted: &Emitted) -> bool {
    byte(&emitted.bytes, 9) == ICMP && byte(payload(&emitted.bytes), 0) == 11
}

/// Zeroes identification, type of service and header checksum.
fn blank(packet: &mut [u8]) {
    for at in [1, 4, 5, 10, 11] {
        if let Some(byte) = packet.get_mut(at) {
            *byte = 0;
        }
    }
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "from {:?}: {}", self.from, show(&self.sent))?;
        writeln!(f, "  {:02x?}", self.sent)?;
        for (who, emitted) in [("kernel", &self.kernel), ("ours", &self.ours)] {
            if emitted.is_empty() {
                writeln!(f, "  {who}: nothing")?;
            }
            for one in emitted {
                writeln!(f, "  {who}: to {:?}: {}", one.to, show(&one.bytes))?;
                writeln!(f, "    {:02x?}", one.bytes)?;
            }
        }
        write!(f, "  our verdict: {:?}", self.verdict.disposition)
    }
}

impl core::error::Error for Difference {}
