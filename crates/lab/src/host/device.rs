//! The wire of a host: two queues in memory.

use std::collections::VecDeque;

use bytes::Bytes;
use smoltcp::phy::{Device, DeviceCapabilities, Medium, RxToken, TxToken};
use smoltcp::time::Instant;

#[derive(Debug)]
pub(super) struct Wire {
    pub(super) received: VecDeque<Bytes>,
    pub(super) sent: VecDeque<Bytes>,
    maximum_transmission_unit: usize,
}

impl Wire {
    pub(super) fn new(maximum_transmission_unit: u16) -> Self {
        let maximum_transmission_unit = usize::from(maximum_transmission_unit);
        Self { received: VecDeque::new(), sent: VecDeque::new(), maximum_transmission_unit }
    }
}

impl Device for Wire {
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

pub(super) struct Received(Bytes);

impl RxToken for Received {
    fn consume<R, F: FnOnce(&[u8]) -> R>(self, take: F) -> R {
        take(&self.0)
    }
}

pub(super) struct Sending<'a>(&'a mut VecDeque<Bytes>);

impl TxToken for Sending<'_> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, length: usize, write: F) -> R {
        let mut packet = vec![0; length];
        let result = write(&mut packet);
        self.0.push_back(packet.into());
        result
    }
}
