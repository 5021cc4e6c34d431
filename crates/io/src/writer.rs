//! Writes packets into a capture.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::io::Write;
use std::time::Duration;

use pcap_file::pcapng::PcapNgWriter;
use pcap_file::pcapng::blocks::enhanced_packet::{EnhancedPacketBlock, EnhancedPacketOption};
use pcap_file::pcapng::blocks::interface_description::{
    InterfaceDescriptionBlock, InterfaceDescriptionOption, InterfaceTsResolution,
};
use pcap_file::pcapng::blocks::opt_common::{CommonOption, UnknownOption};
use pcap_file::{DataLink, Endianness};

use crate::CaptureError;

/// Writes a pcapng file: one section, one interface for each place, bare IPv4 packets, nanoseconds.
///
/// The bytes depend on the calls only: there is no clock and no name of a host or a program. After
/// an error the file is of no use.
pub struct CaptureWriter<W: Write> {
    writer: PcapNgWriter<W>,
    /// Numbers of the places named so far.
    places: BTreeMap<String, u32>,
}

/// One copy of a packet at one place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Record<'a> {
    /// Nanoseconds since the capture's origin; Wireshark takes it for 1970.
    pub time: u64,
    /// The same number for all copies of one packet (`frame.packet_id`).
    pub packet_id: u64,
    /// The direction in which it passed the place.
    pub direction: Direction,
    /// One line about it (`frame.comment`); none if empty.
    pub comment: &'a str,
    /// The packet, from its IPv4 header on.
    pub bytes: &'a [u8],
}

/// The direction of a packet at a place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Direction {
    /// Into the emulated network.
    Inbound,
    /// Out of it.
    Outbound,
}

impl<W: Write> CaptureWriter<W> {
    /// Begins a file.
    ///
    /// # Errors
    ///
    /// It cannot be written.
    pub fn new(writer: W) -> Result<Self, CaptureError> {
        let writer = PcapNgWriter::with_endianness(writer, Endianness::Little)?;
        Ok(Self { writer, places: BTreeMap::new() })
    }

    /// Writes one copy of a packet at a place, such as `in:web/vm1`, `out:service/acct` or `drop`.
    ///
    /// A place is declared when it is first named, so the file lists places in the order of their
    /// first packets.
    ///
    /// # Errors
    ///
    /// The file cannot be written, or the name, the comment or the packet is too long for it.
    pub fn write(&mut self, place: &str, record: &Record<'_>) -> Result<(), CaptureError> {
        let interface_id = self.interface(place)?;
        let length = u32::try_from(record.bytes.len())
            .map_err(|_| CaptureError::Unwritable("a packet longer than 4 GiB".to_owned()))?;
        let packet_id = record.packet_id.to_le_bytes();
        let mut options = vec![
            EnhancedPacketOption::Flags(match record.direction {
                Direction::Inbound => 0b01,
                Direction::Outbound => 0b10,
            }),
            EnhancedPacketOption::Common(CommonOption::Unknown(UnknownOption::new(
                PACKET_ID, &packet_id,
            ))),
        ];
        if !record.comment.is_empty() {
            let comment = CommonOption::Comment(Cow::Borrowed(record.comment));
            options.push(EnhancedPacketOption::Common(comment));
        }
        self.writer.write_pcapng_block(EnhancedPacketBlock {
            interface_id,
            timestamp: Duration::from_nanos(record.time),
            original_len: length,
            data: Cow::Borrowed(record.bytes),
            options,
        })?;
        Ok(())
    }

    /// Returns the writer, such as to flush it between two packets.
    pub fn get_mut(&mut self) -> &mut W {
        self.writer.get_mut()
    }

    /// Ends the file and returns the writer.
    ///
    /// # Errors
    ///
    /// The last bytes cannot be written.
    pub fn finish(self) -> Result<W, CaptureError> {
        let mut writer = self.writer.into_inner();
        writer.flush()?;
        Ok(writer)
    }

    fn interface(&mut self, place: &str) -> Result<u32, CaptureError> {
        if let Some(&number) = self.places.get(place) {
            return Ok(number);
        }
        let number = u32::try_from(self.places.len())
            .map_err(|_| CaptureError::Unwritable("more than 4 billion places".to_owned()))?;
        self.writer.write_pcapng_block(InterfaceDescriptionBlock {
            linktype: DataLink::RAW,
            snaplen: 0,
            options: vec![
                InterfaceDescriptionOption::IfName(Cow::Borrowed(place)),
                InterfaceDescriptionOption::IfTsResol(InterfaceTsResolution::NANO),
            ],
        })?;
        self.places.insert(place.to_owned(), number);
        Ok(number)
    }
}

/// The option `epb_packetid`, which pcap-file does not name.
pub(crate) const PACKET_ID: u16 = 5;
