//! Packets that pass through a host.

use core::net::Ipv4Addr;
use core::task::Waker;
use std::collections::VecDeque;
use std::io::{self, ErrorKind};

use bytes::Bytes;

use super::Stack;

/// Packets that wait to be taken; one more is lost.
const QUEUE: usize = 4096;

/// Whoever takes the packets that are not for the host's own sockets.
#[derive(Debug)]
pub(crate) struct Transit {
    pub(crate) queue: VecDeque<Bytes>,
    pub(crate) readers: Vec<Waker>,
    /// Whether packets to the host's own address are taken, too.
    all: bool,
}

impl Stack {
    /// Lets somebody take packets.
    ///
    /// # Errors
    ///
    /// `AddrInUse` if somebody does already.
    pub(crate) fn open_transit(&mut self, all: bool) -> io::Result<()> {
        if self.transit.is_some() {
            return Err(ErrorKind::AddrInUse.into());
        }
        self.transit = Some(Transit { queue: VecDeque::new(), readers: Vec::new(), all });
        Ok(())
    }

    pub(crate) fn transit(&mut self) -> Option<&mut Transit> {
        self.transit.as_mut()
    }

    pub(crate) fn close_transit(&mut self) {
        self.transit = None;
    }

    /// Sends a packet as it is.
    pub(crate) fn send_packet(&mut self, packet: Bytes) {
        self.sent.push_back((self.settings.edge, packet));
    }

    /// Gives a packet to whoever takes packets; gives it back if that is nobody.
    pub(super) fn hand_to_transit(&mut self, to: Ipv4Addr, packet: Bytes) -> Option<Bytes> {
        let own = to == self.settings.address;
        let Some(transit) = self.transit.as_mut().filter(|it| it.all || !own) else {
            return Some(packet);
        };
        if transit.queue.len() < QUEUE {
            transit.queue.push_back(packet);
        }
        self.wakes.append(&mut transit.readers);
        None
    }
}
