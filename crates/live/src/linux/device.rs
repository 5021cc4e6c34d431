//! The TUN device of a host.

use std::io::{self, ErrorKind};
use std::os::fd::{AsFd, BorrowedFd};

use tun_rs::{DeviceBuilder, SyncDevice};

use super::offload::HEADER;

/// The far end of a host's interface. Neither reading nor writing waits.
pub(super) struct Device {
    device: SyncDevice,
    /// Whether a [`HEADER`] stands before each packet.
    offload: bool,
}

impl Device {
    /// Makes a device in the network namespace of this thread, switched off.
    pub(super) fn open(name: &str, offload: bool) -> io::Result<Self> {
        let builder = DeviceBuilder::new().name(name).offload(offload).enable(false);
        Self::build(builder, offload)
    }

    /// Takes the far end of a device that somebody else configures.
    pub(super) fn attach(name: &str, offload: bool) -> io::Result<Self> {
        let builder = DeviceBuilder::new().name(name).offload(offload).inherit_enable_state();
        Self::build(builder, offload)
    }

    fn build(builder: DeviceBuilder, offload: bool) -> io::Result<Self> {
        let device = builder.build_sync()?;
        device.set_nonblocking(true)?;
        Ok(Self { device, offload })
    }

    /// Whether packets longer than the interface's limit may be written.
    pub(super) fn has_offload(&self) -> bool {
        self.offload
    }

    /// Reads a packet behind its header of [`HEADER`] bytes, zero where the device has none; the
    /// length of both. `None` when there is no more.
    pub(super) fn receive(&self, buffer: &mut [u8]) -> io::Result<Option<usize>> {
        let skip = if self.offload { 0 } else { HEADER };
        let (header, into) = buffer.split_at_mut_checked(skip).ok_or(ErrorKind::InvalidInput)?;
        match self.device.recv(into) {
            Ok(length) => {
                header.fill(0);
                Ok(Some(length + skip))
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Hands a packet with its header to the host's kernel, which has done all that it does with it
    /// on return.
    pub(super) fn send(&self, bytes: &[u8]) -> io::Result<()> {
        let skip = if self.offload { 0 } else { HEADER };
        self.device.send(bytes.get(skip..).unwrap_or_default()).map(drop)
    }
}

impl AsFd for Device {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.device.as_fd()
    }
}
