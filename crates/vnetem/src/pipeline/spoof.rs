//! Spoofed sources: those that the receiver knows to be elsewhere.

use core::net::Ipv4Addr;

use super::Pipeline;
use super::origin::Entry;
use crate::edge::{EdgeId, Place};

impl Pipeline<'_> {
    /// Returns whether a packet without a flow has a source that its receiver knows to be
    /// elsewhere: from the public side one that is inside, from a site one of the receiver's own
    /// network or of a peered one (INV-spoofed-source-dropped). No security group may take it for a
    /// neighbour's.
    #[inline(always)] // what a subnet sends is no question
    pub(crate) fn is_spoofed(&self, entry: Entry<'_>, to: EdgeId, source: Ipv4Addr) -> bool {
        let receiver = || self.snapshot.vnet_at(to);
        match entry.code.place() {
            // What turned round has been translated by us.
            Place::Internet | Place::Public(_) if entry.code != EdgeId::HAIRPIN => {
                receiver().is_some_and(|vnet| self.snapshot.is_inside(vnet, source))
            }
            Place::Site(_) => receiver().is_some_and(|vnet| self.snapshot.is_at_home(vnet, source)),
            _ => false,
        }
    }
}
