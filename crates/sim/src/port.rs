//! A wire of whole packets: two queues in memory that smoltcp takes for a device.

use std::collections::VecDeque;

use bytes::Bytes;
use smoltcp::phy::{Device, DeviceCapabilities, Medium, RxToken, TxToken};
use smoltcp::time::Instant;

/// A [`Device`] of smoltcp in memory: packets that are put into `received` arrive at the interface,
/// and those that it sends are found in `sent`. Between the two is the place for a data plane.
#[derive(Clone, Debug)]
pub struct Port {
    /// Packets that the interface has still to take, oldest first.
    pub received: VecDeque<Bytes>,
    /// Packets that the interface has sent, oldest first.
    pub sent: VecDeque<Bytes>,
    maximum_transmission_unit: usize,
}

impl Port {
    /// Makes a port for packets of at most so many bytes, IPv4 headers included.
    #[must_use]
    pub fn new(maximum_transmission_unit: u16) -> Self {
        let maximum_transmission_unit = usize::from(maximum_transmission_unit);
        Self { received: VecDeque::new(), sent: VecDeque::new(), maximum_transmission_unit }
    }
}

impl Device for Port {
    type RxToken<'a> = Received;
    type TxToken<'a> = Sending<'a>;

    fn receive(&mut self, _: Instant) -> Option<(Received, Sending<'_>)> {
        let packet = self.received.pop_front()?;
        Some((Received(packet), Sending(&mut self.sent)))
    }

    fn transmit(&mut self, _: Instant) -> Option<Sending<'_>> {
        Some(Sending(&mut self.sent))
    }

    fn capabilities(&self) -> DeviceCapabilities {
        let mut capabilities = DeviceCapabilities::default();
        capabilities.medium = Medium::Ip;
        capabilities.max_transmission_unit = self.maximum_transmission_unit;
        capabilities
    }
}

/// A packet that arrives.
#[derive(Debug)]
pub struct Received(Bytes);

impl RxToken for Received {
    fn consume<R, F: FnOnce(&[u8]) -> R>(self, take: F) -> R {
        take(&self.0)
    }
}

/// Room for a packet that leaves.
#[derive(Debug)]
pub struct Sending<'a>(&'a mut VecDeque<Bytes>);

impl TxToken for Sending<'_> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, length: usize, write: F) -> R {
        let mut packet = vec![0; length];
        let result = write(&mut packet);
        self.0.push_back(packet.into());
        result
    }
}
