//! Whole packets, for appliances of one's own.

use core::future::poll_fn;
use core::task::Poll;
use std::io::{self, ErrorKind};

use bytes::Bytes;

use crate::engine::keep;
use crate::simulation::HostHandle;

/// All packets that reach a host and are for other addresses: what an appliance forwards.
///
/// Needs an interface that forwards. What is for the host's own address still goes to its sockets,
/// unless [`open_all`](Self::open_all) asks for it, too.
#[derive(Debug)]
pub struct Packets {
    host: HostHandle,
}

impl Packets {
    /// Takes the packets of the current host that are for other addresses.
    ///
    /// # Errors
    ///
    /// `AddrInUse` if somebody takes them already; the task belongs to no host.
    pub fn open() -> io::Result<Self> {
        Self::new(false)
    }

    /// Takes all packets of the current host, as an appliance needs that translates to its own
    /// address.
    ///
    /// # Errors
    ///
    /// As [`open`](Self::open).
    pub fn open_all() -> io::Result<Self> {
        Self::new(true)
    }

    fn new(all: bool) -> io::Result<Self> {
        let host = HostHandle::current()?;
        let mut shared = host.live().ok_or(ErrorKind::NetworkDown)?;
        shared.stack(host.id()).ok_or(ErrorKind::NetworkDown)?.open_transit(all)?;
        drop(shared);
        Ok(Self { host })
    }

    /// Takes the next packet.
    pub async fn receive(&self) -> Bytes {
        poll_fn(|cx| {
            let Some(mut shared) = self.host.live() else { return Poll::Pending };
            let stack = shared.stack(self.host.id());
            let Some(transit) = stack.and_then(|stack| stack.transit()) else {
                return Poll::Pending;
            };
            if let Some(packet) = transit.queue.pop_front() {
                return Poll::Ready(packet);
            }
            keep(&mut transit.readers, cx.waker());
            Poll::Pending
        })
        .await
    }

    /// Sends a packet as it is. Nothing is made right for it: neither its time to live nor its
    /// checksums.
    pub fn send(&self, packet: Bytes) {
        let Some(mut shared) = self.host.live() else { return };
        if let Some(stack) = shared.stack(self.host.id()) {
            stack.send_packet(packet);
        }
        shared.schedule_now(self.host.id());
    }
}

impl Drop for Packets {
    fn drop(&mut self) {
        let Some(mut shared) = self.host.live() else { return };
        if let Some(stack) = shared.stack(self.host.id()) {
            stack.close_transit();
        }
    }
}
