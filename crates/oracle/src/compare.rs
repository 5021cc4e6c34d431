//! Whether two outcomes are the same, byte for byte; and the differences that are chosen.

use core::fmt;

use vnetem::packet::checksum::sum;
use vnetem::{Disposition, DropReason, Malformed, Verdict};
use vnetem_nat::Side;

use crate::draft::put;
use crate::packet::{Emitted, ICMP, TCP, byte, header, payload, show, word};

/// A difference that is ours by choice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Chosen {
    /// Linux looks at the time to live before it refuses a packet, so the sender of one that would
    /// be refused anyway is told that it expired. Here what is refused is not answered: nothing is
    /// said of what nobody may send.
    ExpiredThoughRefused,
    /// Linux lets an ICMP error through whose quoted header has a wrong checksum; RFC 5508 REQ-3
    /// wants it dropped (T-22).
    QuoteChecksum,
    /// Linux leaves the checksum of a quoted segment as it is unless the whole TCP header is
    /// quoted; here it is kept right wherever it is quoted (T-25).
    QuotedChecksum,
    /// Linux lets an ICMP error through whatever sequence number it quotes; here it must quote a
    /// segment under way, since addresses and ports are easily guessed (RFC 5927 4.1).
    QuotedNumber,
    /// Linux tells the sender of a header whose options cannot be read that it has a problem; here
    /// nothing malformed is answered.
    BadOptions,
}

impl Chosen {
    /// All of them.
    pub const ALL: [Self; 5] = [
        Self::ExpiredThoughRefused,
        Self::QuoteChecksum,
        Self::QuotedChecksum,
        Self::QuotedNumber,
        Self::BadOptions,
    ];
}

/// A difference that nobody chose.
#[derive(Clone, Debug)]
pub struct Difference {
    sent: Vec<u8>,
    from: Side,
    kernel: Vec<Emitted>,
    ours: Vec<Emitted>,
    verdict: Verdict,
}

/// Compares what came out for a packet: sides, number and all bytes; gives the chosen difference if
/// it is one.
///
/// Left aside are only three fields of ICMP errors that the gateway itself makes: identification,
/// which in Linux is a count of the whole host (here that of the packet, RFC 6864 4.1), type of
/// service, and with them the header checksum.
///
/// # Errors
///
/// A [`Difference`] that says all.
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

/// Which choice explains a difference, if one does.
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
    let told = matches!(kernel, [one] if one.to == from && is_time_exceeded(one));
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
            if byte(sent, 8) <= 1 && told && ours.is_empty() =>
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

/// Puts the checksum of a quoted segment, of whose header not all is quoted, back to what it was
/// when the error was sent.
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

/// Blanks identification, type of service and header checksum.
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
