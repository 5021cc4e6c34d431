//! IPv4 packets out of a capture.

use std::borrow::Cow;
use std::io::{Chain, Cursor, Read};

use pcap_file::pcap::{PcapReader, PcapTsResolution};
use pcap_file::pcapng::blocks::interface_description::InterfaceDescriptionOption;
use pcap_file::pcapng::{Block, PcapNgReader, PcapNgState, RawBlock};

use crate::CaptureError;
use crate::link::{Skip, ipv4_packet};

/// Reads the IPv4 packets of a pcap or pcapng file, in the order of the file.
///
/// Frames that carry none are counted and passed over. After an error there are no further packets.
pub struct CaptureReader<R: Read> {
    format: Format<R>,
    skipped: Skipped,
    failed: bool,
}

/// An IPv4 packet of a capture.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CapturedPacket {
    /// Nanoseconds since 1970; 0 where the file has none. Later than the year 2554 counts as that.
    pub time: u64,
    /// Where it was captured: a number in the file's list of interfaces, 0 in a pcap file.
    pub interface: u32,
    /// The packet from its IPv4 header on, as far as it was captured, without the padding of the link.
    pub bytes: Vec<u8>,
}

/// How many frames gave no packet, by reason.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Skipped([u64; Skip::ALL.len()]);

impl<R: Read> CaptureReader<R> {
    /// Looks at the first bytes, which tell the format, and reads the file's header.
    ///
    /// # Errors
    ///
    /// If the file is no capture, or cannot be read.
    pub fn new(mut reader: R) -> Result<Self, CaptureError> {
        let mut magic = Vec::new();
        reader.by_ref().take(4).read_to_end(&mut magic)?;
        let whole = |magic: &[u8], reader| Cursor::new(magic.to_vec()).chain(reader);
        let format = match *magic.as_slice() {
            [0x0a, 0x0d, 0x0d, 0x0a] => Format::PcapNg(PcapNgReader::new(whole(&magic, reader))?),
            [0xa1, 0xb2, 0xc3, 0xd4]
            | [0xa1, 0xb2, 0x3c, 0x4d]
            | [0xd4, 0xc3, 0xb2, 0xa1]
            | [0x4d, 0x3c, 0xb2, 0xa1] => Format::Pcap(PcapReader::new(whole(&magic, reader))?),
            _ => return Err(CaptureError::NotACapture(magic)),
        };
        Ok(Self { format, skipped: Skipped::default(), failed: false })
    }

    /// Frames passed over so far.
    #[must_use]
    pub fn skipped(&self) -> Skipped {
        self.skipped
    }

    /// The name of an interface of the section that is being read, where the file has one.
    #[must_use]
    pub fn interface_name(&self, interface: u32) -> Option<&str> {
        let Format::PcapNg(reader) = &self.format else { return None };
        let block = reader.interfaces().get(usize::try_from(interface).ok()?)?;
        block.options.iter().find_map(|option| match option {
            InterfaceDescriptionOption::IfName(name) => Some(name.as_ref()),
            _ => None,
        })
    }
}

impl Skipped {
    /// Frames passed over for this reason.
    #[must_use]
    pub fn count(&self, reason: Skip) -> u64 {
        self.0.get(reason as usize).copied().unwrap_or_default()
    }

    /// Frames passed over for any reason.
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
        while !self.failed {
            match self.format.next_packet()? {
                Ok(Ok(packet)) => return Some(Ok(packet)),
                Ok(Err(reason)) => self.skipped.add(reason),
                Err(error) => {
                    self.failed = true;
                    return Some(Err(error));
                }
            }
        }
        None
    }
}

enum Format<R: Read> {
    Pcap(PcapReader<Whole<R>>),
    PcapNg(PcapNgReader<Whole<R>>),
}

/// The first bytes, which told the format, and then the rest.
type Whole<R> = Chain<Cursor<Vec<u8>>, R>;

impl<R: Read> Format<R> {
    /// The next frame's packet, or why it has none.
    fn next_packet(&mut self) -> Option<Result<Result<CapturedPacket, Skip>, CaptureError>> {
        match self {
            Self::Pcap(reader) => {
                let header = reader.header();
                // Lengths and times that contradict the header are passed on: the frame's bytes are what counts.
                let frame = match reader.next_raw_packet()? {
                    Ok(frame) => frame,
                    Err(error) => return Some(Err(error.into())),
                };
                let unit = match header.ts_resolution {
                    PcapTsResolution::MicroSecond => 1_000,
                    PcapTsResolution::NanoSecond => 1,
                };
                let time =
                    u64::from(frame.ts_sec) * 1_000_000_000 + u64::from(frame.ts_frac) * unit;
                Some(Ok(captured(link_type(header.datalink), time, 0, &frame.data)))
            }
            Self::PcapNg(reader) => loop {
                match reader.next_raw_block()? {
                    Ok((block, state)) => {
                        if let Some(packet) = packet_of_block(block, state) {
                            return Some(Ok(packet));
                        }
                    }
                    Err(error) => return Some(Err(error.into())),
                }
            },
        }
    }
}

/// The packet of a block, why it has none, or nothing if it is a block of another kind.
fn packet_of_block(block: RawBlock, state: &PcapNgState) -> Option<Result<CapturedPacket, Skip>> {
    if !matches!(block.type_, PACKET_BLOCK | SIMPLE_PACKET_BLOCK | ENHANCED_PACKET_BLOCK) {
        return None;
    }
    let Ok(block) = block.try_into_block(state) else { return Some(Err(Skip::MalformedBlock)) };
    let (interface, time, data): (u32, _, Cow<[u8]>) = match block {
        Block::EnhancedPacket(block) => {
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
    Some(captured(link_type(described.linktype), time, interface, &data))
}

const PACKET_BLOCK: u32 = 2;
const SIMPLE_PACKET_BLOCK: u32 = 3;
const ENHANCED_PACKET_BLOCK: u32 = 6;

fn captured(link: u16, time: u64, interface: u32, frame: &[u8]) -> Result<CapturedPacket, Skip> {
    Ok(CapturedPacket { time, interface, bytes: ipv4_packet(link, frame)?.to_vec() })
}

/// The number without the marks for checksums at the frame's end that pcap keeps in the upper half.
fn link_type(link: pcap_file::DataLink) -> u16 {
    let [_, _, high, low] = u32::from(link).to_be_bytes();
    u16::from_be_bytes([high, low])
}
