//! The TCP options that connection tracking and MSS clamping need.

use crate::checksum::update;
use crate::options::options;
use crate::{Headers, TcpFlags, TcpSegment, Transport};

const MAXIMUM_SEGMENT_SIZE: u8 = 2;
const WINDOW_SCALE: u8 = 3;

/// The options of a SYN.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct TcpOptions {
    /// The longest segment in bytes that the sender accepts (RFC 9293 3.7.1).
    pub maximum_segment_size: Option<u16>,
    /// The shift of the sender's later windows, at most 14 (RFC 7323 2.3).
    pub window_scale: Option<u8>,
}

/// Reads the options of a TCP segment. `headers` must be the result of [`Headers::parse`] for
/// `packet`.
///
/// If an option stands twice the last one counts, as in Linux. An option of the wrong length is
/// ignored. A length beyond the header ends the list.
#[must_use]
pub fn tcp_options(packet: &[u8], headers: &Headers) -> TcpOptions {
    let mut found = TcpOptions::default();
    let Transport::Tcp(segment) = headers.transport else { return found };
    let list = packet
        .get(usize::from(headers.header_length)..)
        .and_then(|packet| list_of(packet, segment));
    for option in options(list.unwrap_or_default()).flatten() {
        match (option.kind, option.value) {
            (MAXIMUM_SEGMENT_SIZE, &[high, low]) => {
                found.maximum_segment_size = Some(u16::from_be_bytes([high, low]))
            }
            (WINDOW_SCALE, &[shift]) => found.window_scale = Some(shift.min(14)),
            _ => {}
        }
    }
    found
}

/// Lowers the maximum segment size of a SYN to `limit` bytes, updates the checksum, and says
/// whether it changed anything (T-36).
///
/// Segments without SYN carry no such option and stay unchanged (RFC 9293 3.7.1).
pub fn clamp_maximum_segment_size(packet: &mut [u8], headers: &Headers, limit: u16) -> bool {
    let Transport::Tcp(segment) = headers.transport else { return false };
    let Some(bytes) = packet.get_mut(usize::from(headers.header_length)..) else { return false };
    let mut clamped = false;
    while segment.flags.contains(TcpFlags::SYN)
        && let Some((offset, old)) = first_above(bytes, segment, limit)
    {
        write_size(bytes, offset, old, limit);
        clamped = true;
    }
    clamped
}

/// Gives the option bytes of a segment.
fn list_of(bytes: &[u8], segment: TcpSegment) -> Option<&[u8]> {
    bytes.get(20..usize::from(segment.header_length))
}

/// Finds the first maximum segment size above `limit`: its offset in the segment and its value.
fn first_above(bytes: &[u8], segment: TcpSegment, limit: u16) -> Option<(usize, u16)> {
    options(list_of(bytes, segment)?).flatten().find_map(|option| {
        match (option.kind, option.value) {
            (MAXIMUM_SEGMENT_SIZE, &[high, low]) => {
                let size = u16::from_be_bytes([high, low]);
                (size > limit).then_some((option.offset.saturating_add(20), size))
            }
            _ => None,
        }
    })
}

/// Writes a maximum segment size at `offset` of the segment and updates the checksum.
fn write_size(bytes: &mut [u8], offset: usize, old: u16, new: u16) {
    if let Some(value) = bytes.get_mut(offset..).and_then(<[u8]>::first_chunk_mut) {
        *value = new.to_be_bytes();
    }
    let Some(fixed) = bytes.first_chunk_mut::<18>() else { return };
    let checksum = u16::from_be_bytes([fixed[16], fixed[17]]);
    // At an odd offset the value spans two words, so its bytes count in swapped halves (RFC 1071 2
    // (B)).
    let (old, new) =
        if offset & 1 == 0 { (old, new) } else { (old.swap_bytes(), new.swap_bytes()) };
    [fixed[16], fixed[17]] = update(checksum, old, new).to_be_bytes();
}
