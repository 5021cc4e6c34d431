//! Finds the rule by which the kernel chose a port.

use core::net::Ipv4Addr;
use std::collections::{BTreeMap, BTreeSet};

use crate::conversation::{Key, key};
use crate::packet::{ICMP, source_port};

/// Why the kernel gave a flow its port (T-02, T-05).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PortRule {
    /// The socket already has the port, towards another remote.
    Siblings,
    /// The socket's own port is preserved.
    Own,
    /// The own port is in use towards this remote, so it is another one of its class: 1 to 511, 600
    /// to 1023, or above.
    OtherOfClass,
    /// None of these rules.
    Unexplained,
}

/// The ports that were given, and the rules.
#[derive(Clone, Debug, Default)]
pub struct Ports {
    given: BTreeMap<Key, u16>,
    of_socket: BTreeMap<(u8, (Ipv4Addr, u16)), BTreeSet<u16>>,
    taken: BTreeMap<(u8, u16, (Ipv4Addr, u16)), Key>,
    rules: BTreeMap<PortRule, u64>,
}

impl Ports {
    /// Records a packet from the internal side that came out.
    pub fn see(&mut self, sent: &[u8], arrived: &[u8]) {
        let key = key(sent);
        let (protocol, internal, remote) = key;
        let port = source_port(arrived);
        if self.given.get(&key) == Some(&port) {
            return;
        }
        let own = internal.1;
        let siblings = self.of_socket.entry((protocol, internal)).or_default();
        let rule = if siblings.contains(&port) {
            PortRule::Siblings
        } else if port == own {
            PortRule::Own
        } else if self.taken.contains_key(&(protocol, own, remote))
            && class(protocol, port) == class(protocol, own)
        {
            PortRule::OtherOfClass
        } else {
            PortRule::Unexplained
        };
        siblings.insert(port);
        let before = self.given.insert(key, port).map(|before| (protocol, before, remote));
        // Unless another socket has it by now.
        if let Some(before) = before.filter(|before| self.taken.get(before) == Some(&key)) {
            self.taken.remove(&before);
        }
        self.taken.insert((protocol, port, remote), key);
        *self.rules.entry(rule).or_default() += 1;
    }

    /// Returns how often each rule applied.
    #[must_use]
    pub fn rules(&self) -> &BTreeMap<PortRule, u64> {
        &self.rules
    }
}

/// Returns the class of a port. Identifiers of ICMP queries have one class.
fn class(protocol: u8, port: u16) -> u8 {
    match port {
        _ if protocol == ICMP => 0,
        0..512 => 1,
        512..1024 => 2,
        _ => 3,
    }
}
