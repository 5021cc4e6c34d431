//! Reads a packet from its bytes.

use vnetem_packet::{
    Checksums, Fragment, Headers, Malformed, Quote, Transport, TransportChecksum, tcp_options,
};

use super::{Content, Datagram, Echo, Flaws, IcmpError, Packet, Part, Problem, Segment};

impl Packet {
    /// Reads a packet from its bytes.
    ///
    /// Some things have no words and are left out: the identification of a whole packet, IPv4
    /// options, and the data itself. ICMP messages other than echoes and the known errors become
    /// data. Of a packet that is quoted in part only that part is known.
    ///
    /// # Errors
    ///
    /// [`Malformed`] if the bytes are no IPv4 packet. A wrong header checksum is a flaw,
    /// not an error.
    pub fn read(bytes: &[u8]) -> Result<Self, Malformed> {
        let parsed = Headers::parse(bytes);
        if parsed == Err(Malformed::HeaderChecksum) {
            let mut packet = Self::read(&with_header_checksum(bytes))?;
            packet.flaws.header_checksum = true;
            return Ok(packet);
        }
        let headers = parsed?;
        let wrong = Checksums::of(bytes, &headers).transport == TransportChecksum::Wrong;
        let packet = Self::of(bytes, &headers);
        Ok(Self { flaws: Flaws { checksum: wrong, ..packet.flaws }, ..packet })
    }

    fn of(bytes: &[u8], headers: &Headers) -> Self {
        let part = |offset, more| Part { identification: headers.identification, offset, more };
        let fragment = match headers.fragment {
            Fragment::Whole => None,
            Fragment::First => Some(part(0, true)),
            Fragment::Later { offset, last } => Some(part(offset, !last)),
        };
        Self {
            ttl: headers.ttl,
            dont_fragment: headers.dont_fragment,
            fragment,
            ..Self::new(headers.source, headers.destination, content(bytes, headers))
        }
    }
}

fn content(bytes: &[u8], headers: &Headers) -> Content {
    let start = usize::from(headers.header_length);
    let payload = bytes.get(start..usize::from(headers.total_length)).unwrap_or_default();
    let length = headers.total_length.saturating_sub(u16::from(headers.header_length));
    let data = Content::Data { protocol: headers.protocol, length };
    let (source_port, destination_port) = (headers.source_port, headers.destination_port);
    match headers.transport {
        Transport::Tcp(segment) => {
            let options = tcp_options(bytes, headers);
            Content::Tcp(Segment {
                source_port,
                destination_port,
                flags: segment.flags,
                sequence: segment.sequence,
                acknowledgement: segment.acknowledgement,
                window: segment.window,
                maximum_segment_size: options.maximum_segment_size,
                window_scale: options.window_scale,
                length: segment.payload_length,
            })
        }
        Transport::Udp => Content::Udp(Datagram {
            source_port,
            destination_port,
            checksum: payload.get(6..8) != Some(&[0, 0]),
            length: length.saturating_sub(8),
        }),
        Transport::IcmpRequest | Transport::IcmpReply => {
            echo(payload, length).map_or(data, Content::Echo)
        }
        Transport::IcmpError => {
            write_icmp_error(bytes, headers, payload).map_or(data, Content::Error)
        }
        Transport::IcmpOther | Transport::None => data,
    }
}

fn echo(message: &[u8], length: u16) -> Option<Echo> {
    let [kind @ (0 | 8), 0, _, _, rest @ ..] = message else { return None };
    let [a, b, c, d] = *rest.first_chunk()?;
    Some(Echo {
        reply: *kind == 0,
        identifier: u16::from_be_bytes([a, b]),
        sequence: u16::from_be_bytes([c, d]),
        length: length.saturating_sub(8),
    })
}

fn write_icmp_error(bytes: &[u8], headers: &Headers, message: &[u8]) -> Option<IcmpError> {
    let (fixed, quoted) = message.split_first_chunk::<8>()?;
    let problem = Problem::of((fixed[0], fixed[1]), u16::from_be_bytes([fixed[6], fixed[7]]))?;
    if let Ok(about) = Packet::read(quoted) {
        return Some(IcmpError { problem, about: Box::new(about), quoted: None });
    }
    let quote = Quote::parse(bytes, headers).ok()?;
    let behind = quote.headers.total_length.saturating_sub(u16::from(quote.headers.header_length));
    let about = Box::new(Packet::of(quoted, &quote.headers));
    Some(IcmpError { problem, about, quoted: Some(behind) })
}

fn with_header_checksum(bytes: &[u8]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    let length = usize::from(bytes.first().copied().unwrap_or_default() & 15) * 4;
    if let Some(header) = bytes.get_mut(..length) {
        let checksum = |header: &[u8]| !vnetem_packet::checksum::sum(header);
        if let Some(field) = header.get_mut(10..12) {
            field.fill(0);
        }
        let right = checksum(header).to_be_bytes();
        if let Some(field) = header.get_mut(10..12) {
            field.copy_from_slice(&right);
        }
    }
    bytes
}
