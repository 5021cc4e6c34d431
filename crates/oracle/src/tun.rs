//! TUN devices, which make a process the far end of an interface.

use smoltcp::phy::{Device, Medium, RxToken, TunTapInterface, TxToken};
use smoltcp::time::Instant;

use crate::Failure;

/// A TUN device without packet information. Reading never waits.
#[derive(Debug)]
pub struct Tun(TunTapInterface);

impl Tun {
    /// Makes a device in the namespace of this thread.
    ///
    /// # Errors
    ///
    /// The kernel has no TUN, or does not allow it.
    pub fn open(name: &str) -> Result<Self, Failure> {
        let device = TunTapInterface::new(name, Medium::Ip)
            .map_err(|error| format!("cannot make the TUN device {name}: {error}"))?;
        Ok(Self(device))
    }

    /// Hands a packet to the kernel as if it came in by this interface. The kernel has processed it
    /// completely on return.
    pub fn send(&mut self, packet: &[u8]) {
        if let Some(token) = self.0.transmit(Instant::ZERO) {
            token.consume(packet.len(), |buffer| buffer.copy_from_slice(packet));
        }
    }

    /// Returns the next IPv4 packet that the kernel sent by this interface, if there is one.
    pub fn receive(&mut self) -> Option<Vec<u8>> {
        loop {
            let (token, _) = self.0.receive(Instant::ZERO)?;
            let packet = token.consume(<[u8]>::to_vec);
            if packet.first().is_some_and(|first| first >> 4 == 4) {
                return Some(packet);
            }
        }
    }
}
