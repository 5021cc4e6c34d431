//! Reads IPv4 packets from a capture.

use std::borrow::Cow;
use std::io::{Chain, Cursor, Read};

use pcap_file::Endianness;
use pcap_file::pcap::{PcapParser, PcapTsResolution};
use pcap_file::pcapng::blocks::enhanced_packet::EnhancedPacketOption;
use pcap_file::pcapng::blocks::interface_description::InterfaceDescriptionOption;
use pcap_file::pcapng::blocks::opt_common::CommonOption;
use pcap_file::pcapng::{Block, PcapNgParser, PcapNgState, RawBlock};

use crate::CaptureError;
use crate::link::{Skip, ipv4_packet};
use crate::records::{Length, Records};
use crate::writer::PACKET_ID;

/// Reads the IPv4 packets of a pcap or pcapng file, in the order of the file.
///
/// Frames without one are counted and skipped. After an error there are no further packets.
pub struct CaptureReader<R: Read> {
    format: Format<R>,
    skipped: Skipped,
    failed: bool,
}

/// An IPv4 packet of a capture.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CapturedPacket {
    /// Nanoseconds since 1970; 0 where the file has none. Times after the year 2554 count as that.
    pub time: u64,
    /// The interface that captured it: a number in the file's list of interfaces, 0 in a pcap file.
    pub interface: u32,
    /// The number that all copies of the packet share (`epb_packetid`), where the file has one.
    pub id: Option<u64>,
    /// The packet from its IPv4 header on, as far as it was captured, without the padding of the
    /// link.
    pub bytes: Vec<u8>,
}

/// The number of frames without a packet, by reason.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Skipped([u64; Skip::ALL.len()]);

impl<R: Read> CaptureReader<R> {
    /// Reads the first bytes, which tell the format, and the file's header.
    ///
    /// # Errors
    ///
    /// The file is not a capture, or cannot be read.
    pub fn new(mut reader: R) -> Result<Self, CaptureError> {
        let mut magic = Vec::new();
        reader.by_ref().take(4).read_to_end(&mut magic)?;
        let whole = |magic: &[u8], reader| Cursor::new(magic.to_vec()).chain(reader);
        let format = match *magic.as_slice() {
            [0x0a, 0x0d, 0x0d, 0x0a] => Format::pcapng(Records::new(whole(&magic, reader)))?,
            [0xa1, 0xb2, 0xc3, 0xd4]
            | [0xa1, 0xb2, 0x3c, 0x4d]
            | [0xd4, 0xc3, 0xb2, 0xa1]
            | [0x4d, 0x3c, 0xb2, 0xa1] => Format::pcap(Records::new(whole(&magic, reader)))?,
            _ => return Err(CaptureError::NotACapture(magic)),
        };
        Ok(Self { format, skipped: Skipped::default(), failed: false })
    }

    /// Reads the next packet into one that may hold an older one, whose memory it uses. Returns
    /// nothing at the end of the file.
    ///
    /// The iterator makes a new packet each time, this none.
    ///
    /// # Errors
    ///
    /// The file is damaged or cannot be read.
    pub fn read(&mut self, packet: &mut CapturedPacket) -> Option<Result<(), CaptureError>> {
        while !self.failed {
            match self.format.next_packet(packet)? {
                Ok(Ok(())) => return Some(Ok(())),
                Ok(Err(reason)) => self.skipped.add(reason),
                Err(error) => {
                    self.failed = true;
                    return Some(Err(error));
                }
            }
        }
        None
    }

    /// Returns the frames that were skipped so far.
    #[must_use]
    pub fn skipped(&self) -> Skipped {
        self.skipped
    }

    /// Returns the name of an interface of the present section, where the file has one.
    #[must_use]
    pub fn interface_name(&self, interface: u32) -> Option<&str> {
        let Format::PcapNg { parser, .. } = &self.format else { return None };
        let block = parser.interfaces().get(usize::try_from(interface).ok()?)?;
        block.options.iter().find_map(|option| match option {
            InterfaceDescriptionOption::IfName(name) => Some(name.as_ref()),
            _ => None,
        })
    }
}

impl Skipped {
    /// Returns the frames that were skipped for this reason.
    #[must_use]
    pub fn count(&self, reason: Skip) -> u64 {
        self.0.get(reason as usize).copied().unwrap_or_default()
    }

    /// Returns the frames that were skipped for any reason.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.0.iter().sum()
    }

    fn add(&mut self, reason: Skip) {
        if let Some(count) = self.0.get_mut(reason as usize) {
            *count += 1;
        }
    }
}

impl<R: Read> Iterator for CaptureReader<R> {
    type Item = Result<CapturedPacket, CaptureError>;

    fn next(&mut self) -> Option<Self::Item> {
        let mut packet = CapturedPacket::default();
        self.read(&mut packet).map(|read| read.map(|()| packet))
    }
}

enum Format<R: Read> {
    Pcap { parser: PcapParser, records: Records<Whole<R>> },
    PcapNg { parser: PcapNgParser, records: Records<Whole<R>> },
}

/// The first bytes, which tell the format, and then the rest.
type Whole<R> = Chain<Cursor<Vec<u8>>, R>;

impl<R: Read> Format<R> {
    fn pcap(mut records: Records<Whole<R>>) -> Result<Self, CaptureError> {
        records.begin(FILE_HEADER)?;
        let (_, parser) = PcapParser::new(records.bytes())?;
        Ok(Self::Pcap { parser, records })
    }

    fn pcapng(mut records: Records<Whole<R>>) -> Result<Self, CaptureError> {
        // The first block is a section header, which has its own byte order.
        match read_block(&mut records, Endianness::Big)? {
            Some(Length::Kept) => {}
            Some(Length::TooLong) => return Err(too_long(records.bytes(), Endianness::Big)),
            None => return Err(CaptureError::Truncated),
        }
        let (_, parser) = PcapNgParser::new(records.bytes())?;
        Ok(Self::PcapNg { parser, records })
    }

    /// Reads the next frame's packet, or why it has none.
    fn next_packet(
        &mut self,
        packet: &mut CapturedPacket,
    ) -> Option<Result<Result<(), Skip>, CaptureError>> {
        match self {
            Self::Pcap { parser, records } => record(parser, records, packet).transpose(),
            Self::PcapNg { parser, records } => loop {
                match block(parser, records, packet) {
                    Ok(Some(Some(read))) => return Some(Ok(read)),
                    Ok(Some(None)) => {}
                    Ok(None) => return None,
                    Err(error) => return Some(Err(error)),
                }
            },
        }
    }
}

/// Reads the next record of a pcap file, or nothing at its end.
fn record<R: Read>(
    parser: &PcapParser,
    records: &mut Records<R>,
    packet: &mut CapturedPacket,
) -> Result<Option<Result<(), Skip>>, CaptureError> {
    if records.begin(RECORD_HEADER)? == 0 {
        return Ok(None);
    }
    let header = parser.header();
    let length = word(records.bytes(), 8, header.endianness).ok_or(CaptureError::Truncated)?;
    if word(records.bytes(), 12, header.endianness).is_none() {
        return Err(CaptureError::Truncated);
    }
    if records.finish(RECORD_HEADER + u64::from(length), 0)? == Length::TooLong {
        return Ok(Some(Err(Skip::TooLong)));
    }
    // Lengths and times that contradict the header are accepted: the frame's bytes count.
    let (_, frame) = parser.next_raw_packet(records.bytes())?;
    let unit = match header.ts_resolution {
        PcapTsResolution::MicroSecond => 1_000,
        PcapTsResolution::NanoSecond => 1,
    };
    let time = u64::from(frame.ts_sec) * 1_000_000_000 + u64::from(frame.ts_frac) * unit;
    Ok(Some(captured(packet, link_type(header.datalink), (time, 0), None, &frame.data)))
}

/// Reads the next block of a pcapng file. Returns nothing at its end, and an inner nothing for a
/// block without a packet.
fn block<R: Read>(
    parser: &mut PcapNgParser,
    records: &mut Records<R>,
    packet: &mut CapturedPacket,
) -> Result<Option<Option<Result<(), Skip>>>, CaptureError> {
    let order = parser.section().endianness;
    match read_block(records, order)? {
        None => Ok(None),
        Some(Length::Kept) => {
            let (_, block) = parser.next_raw_block(records.bytes())?;
            Ok(Some(packet_of_block(packet, block, parser.state())))
        }
        Some(Length::TooLong) => {
            let bytes = records.bytes();
            let kind = word(bytes, 0, order).unwrap_or_default();
            let order = section_order(bytes).unwrap_or(order);
            let length = word(bytes, 4, order);
            let repeated = word(bytes, bytes.len().saturating_sub(4), order);
            if length != repeated {
                let length = length.unwrap_or_default();
                let text = format!("a block of {length} bytes ends with another length");
                return Err(CaptureError::Malformed(text));
            }
            match kind {
                PACKET_BLOCK | SIMPLE_PACKET_BLOCK | ENHANCED_PACKET_BLOCK => {
                    Ok(Some(Some(Err(Skip::TooLong))))
                }
                // Without these blocks later packets cannot be read.
                SECTION_BLOCK | INTERFACE_BLOCK => Err(too_long(bytes, order)),
                _ => Ok(Some(None)),
            }
        }
    }
}

/// Reads the next block, or nothing at the end of the file.
fn read_block<R: Read>(
    records: &mut Records<R>,
    order: Endianness,
) -> Result<Option<Length>, CaptureError> {
    match records.begin(BLOCK_HEADER)? {
        0 => return Ok(None),
        12 => {}
        _ => return Err(CaptureError::Truncated),
    }
    let order = section_order(records.bytes()).unwrap_or(order);
    let length = word(records.bytes(), 4, order).unwrap_or_default();
    // The parser reports a length that no block can have.
    let strange = records.bytes().starts_with(&SECTION) && section_order(records.bytes()).is_none();
    let possible = length >= 12 && length.is_multiple_of(4) && !strange;
    let length = if possible { u64::from(length) } else { BLOCK_HEADER };
    records.finish(length, 4.min(length - BLOCK_HEADER)).map(Some)
}

/// Returns the byte order that a section header has by its magic number; nothing for another block.
fn section_order(bytes: &[u8]) -> Option<Endianness> {
    match bytes {
        [0x0a, 0x0d, 0x0d, 0x0a, _, _, _, _, 0x4d, 0x3c, 0x2b, 0x1a, ..] => {
            Some(Endianness::Little)
        }
        [0x0a, 0x0d, 0x0d, 0x0a, _, _, _, _, 0x1a, 0x2b, 0x3c, 0x4d, ..] => Some(Endianness::Big),
        _ => None,
    }
}

/// Makes the error that an essential block is too long to be kept.
fn too_long(block: &[u8], order: Endianness) -> CaptureError {
    let order = section_order(block).unwrap_or(order);
    let length = word(block, 4, order).unwrap_or_default();
    CaptureError::Malformed(format!("a block of {length} bytes describes a section or interface"))
}

fn word(bytes: &[u8], at: usize, order: Endianness) -> Option<u32> {
    let bytes = bytes.get(at..at.checked_add(4)?)?.try_into().ok()?;
    Some(match order {
        Endianness::Big => u32::from_be_bytes(bytes),
        Endianness::Little => u32::from_le_bytes(bytes),
    })
}

/// The beginning of a pcapng file.
const SECTION: [u8; 4] = [0x0a, 0x0d, 0x0d, 0x0a];
const FILE_HEADER: u64 = 24;
const RECORD_HEADER: u64 = 16;
/// Type and length of a block, and either the byte order of a section or its first word.
const BLOCK_HEADER: u64 = 12;

/// Returns the packet of a block, why it has none, or nothing if it is a block of another kind.
fn packet_of_block(
    packet: &mut CapturedPacket,
    block: RawBlock,
    state: &PcapNgState,
) -> Option<Result<(), Skip>> {
    if !matches!(block.type_, PACKET_BLOCK | SIMPLE_PACKET_BLOCK | ENHANCED_PACKET_BLOCK) {
        return None;
    }
    let Ok(block) = block.try_into_block(state) else { return Some(Err(Skip::MalformedBlock)) };
    let mut id = None;
    let (interface, time, data): (u32, _, Cow<[u8]>) = match block {
        Block::EnhancedPacket(block) => {
            id = packet_id(&block.options, state.section().endianness);
            (block.interface_id, block.timestamp.as_nanos(), block.data)
        }
        Block::Packet(block) => (block.interface_id.into(), block.timestamp.as_nanos(), block.data),
        Block::SimplePacket(block) => (0, 0, block.data),
        _ => return None,
    };
    let place = usize::try_from(interface).ok();
    let Some(described) = place.and_then(|place| state.interfaces().get(place)) else {
        return Some(Err(Skip::MalformedBlock));
    };
    let time = u64::try_from(time).unwrap_or(u64::MAX);
    Some(captured(packet, link_type(described.linktype), (time, interface), id, &data))
}

const SECTION_BLOCK: u32 = 0x0a0d_0d0a;
const INTERFACE_BLOCK: u32 = 1;
const PACKET_BLOCK: u32 = 2;
const SIMPLE_PACKET_BLOCK: u32 = 3;
const ENHANCED_PACKET_BLOCK: u32 = 6;

fn captured(
    packet: &mut CapturedPacket,
    link: u16,
    (time, interface): (u64, u32),
    id: Option<u64>,
    frame: &[u8],
) -> Result<(), Skip> {
    let bytes = ipv4_packet(link, frame)?;
    (packet.time, packet.interface, packet.id) = (time, interface, id);
    packet.bytes.clear();
    packet.bytes.extend_from_slice(bytes);
    Ok(())
}

/// Returns the option `epb_packetid`, which pcap-file does not name.
fn packet_id(options: &[EnhancedPacketOption], order: Endianness) -> Option<u64> {
    options.iter().find_map(|option| match option {
        EnhancedPacketOption::Common(CommonOption::Unknown(option)) if option.code == PACKET_ID => {
            let bytes = option.value.as_ref().try_into().ok()?;
            Some(match order {
                Endianness::Big => u64::from_be_bytes(bytes),
                Endianness::Little => u64::from_le_bytes(bytes),
            })
        }
        _ => None,
    })
}

/// Returns the link type without the flags for frame checksums, which pcap keeps in the upper half.
fn link_type(link: pcap_file::DataLink) -> u16 {
    let [_, _, high, low] = u32::from(link).to_be_bytes();
    u16::from_be_bytes([high, low])
}
