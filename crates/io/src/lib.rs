//! Reads bare IPv4 packets from pcap and pcapng files, and writes pcapng files that show every
//! packet at every place with its verdict.
//!
//! [`CaptureReader`] removes the link layer. [`CaptureWriter`] writes one interface for each place,
//! and gives all copies of one packet the same packet id. In Wireshark `frame.packet_id == 7` then
//! shows the whole path of packet 7.
//!
//! ```
//! use vnetem_io::{CaptureReader, CaptureWriter, Direction, Record};
//!
//! fn main() -> Result<(), Box<dyn std::error::Error>> {
//!     let packet = [69, 0, 0, 20, 0, 0, 0, 0, 64, 6, 0, 0, 10, 0, 0, 4, 52, 239, 1, 9];
//!     let mut writer = CaptureWriter::new(Vec::new())?;
//!     let (direction, bytes) = (Direction::Inbound, &packet[..]);
//!     let record = Record { time: 1_500, packet_id: 7, direction, comment: "", bytes };
//!     writer.write("in:web/vm1", &record)?;
//!     let comment = "vnetem verdict=drop reason=no-route stage=route";
//!     writer.write("drop", &Record { comment, ..record })?;
//!
//!     let file = writer.finish()?;
//!     let mut reader = CaptureReader::new(file.as_slice())?;
//!     let first = reader.next().ok_or("an empty file")??;
//!     assert_eq!((first.time, first.id), (1_500, Some(7)));
//!     assert_eq!(first.bytes, packet);
//!     assert_eq!(reader.interface_name(first.interface), Some("in:web/vm1"));
//!     Ok(())
//! }
//! ```

mod error;
mod link;
mod reader;
mod records;
mod writer;

pub use error::CaptureError;
pub use link::Skip;
pub use reader::{CaptureReader, CapturedPacket, Skipped};
pub use writer::{CaptureWriter, Direction, Record};
