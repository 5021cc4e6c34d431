//! Says why a capture could not be read or written.

use std::io;

use pcap_file::pcap::PcapParseError;
use pcap_file::pcapng::{PcapNgParseError, PcapNgWriteError};

/// Why a capture could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum CaptureError {
    /// The first bytes are not those of a capture.
    #[error("neither a pcap nor a pcapng file: it begins with {0:02x?}")]
    NotACapture(Vec<u8>),
    /// The file ends in the middle of a packet or a block.
    #[error("the capture ends in the middle of a packet")]
    Truncated,
    /// The file breaks the rules of its format.
    #[error("the capture is malformed: {0}")]
    Malformed(String),
    /// A name, comment, time or packet that the format cannot hold.
    #[error("the capture cannot hold it: {0}")]
    Unwritable(String),
    /// The file could not be read or written.
    #[error(transparent)]
    Io(#[from] io::Error),
}

impl From<PcapParseError> for CaptureError {
    fn from(error: PcapParseError) -> Self {
        match error {
            PcapParseError::IncompleteBuffer(..) => Self::Truncated,
            PcapParseError::Validation(error) => Self::Malformed(error.to_string()),
        }
    }
}

impl From<PcapNgParseError> for CaptureError {
    fn from(error: PcapNgParseError) -> Self {
        match error {
            PcapNgParseError::IncompleteBuffer(..) => Self::Truncated,
            other => Self::Malformed(chain(&other)),
        }
    }
}

impl From<PcapNgWriteError> for CaptureError {
    fn from(error: PcapNgWriteError) -> Self {
        match error {
            PcapNgWriteError::Io(error) => Self::Io(error),
            other => Self::Unwritable(chain(&other)),
        }
    }
}

/// Returns the texts of an error and of its causes, outermost first.
fn chain(error: &dyn std::error::Error) -> String {
    let mut words = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        words = format!("{words}: {error}");
        cause = error.source();
    }
    words
}
