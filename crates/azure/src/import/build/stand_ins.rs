//! Addresses that stand for those that no file says.

use core::net::Ipv4Addr;
use std::collections::{BTreeMap, BTreeSet};

/// Addresses that stand for others; one and the same for one and the same thing.
#[derive(Clone, Debug, Default)]
pub(super) struct StandIns {
    by_what: BTreeMap<String, Ipv4Addr>,
    by_address: BTreeMap<Ipv4Addr, String>,
    kept_free: BTreeSet<Ipv4Addr>,
    next: BTreeMap<&'static str, u32>,
}

/// Ranges for documents, which nobody has (RFC 5737).
const PUBLIC: [[u8; 3]; 3] = [[192, 0, 2], [198, 51, 100], [203, 0, 113]];

impl StandIns {
    /// Keeps addresses from standing for others.
    pub(super) fn keep_free(&mut self, addresses: BTreeSet<Ipv4Addr>) {
        self.kept_free = addresses;
    }

    pub(super) fn what(&self, address: Ipv4Addr) -> Option<&str> {
        self.by_address.get(&address).map(String::as_str)
    }

    /// A public address for something.
    pub(super) fn public(&mut self, what: &str) -> Option<Ipv4Addr> {
        self.one("public", what, |number| {
            let [a, b, c] = *PUBLIC.get(usize::try_from(number / 254).ok()?)?;
            Some(Ipv4Addr::new(a, b, c, u8::try_from(number % 254 + 1).ok()?))
        })
    }

    /// A private address for an appliance: from the end of the range that carriers share (RFC
    /// 6598).
    pub(super) fn private(&mut self, what: &str) -> Option<Ipv4Addr> {
        self.one("private", what, |number| {
            (number < 60_000).then(|| Ipv4Addr::from(0x647f_0001 + number))
        })
    }

    /// An address of a service for a resource.
    pub(super) fn of_service(&mut self, what: &str, ranges: &[ipnet::Ipv4Net]) -> Option<Ipv4Addr> {
        if let Some(address) = self.held(what) {
            return Some(address);
        }
        let wide = ranges.iter().filter(|range| range.prefix_len() <= 29);
        let free = wide.chain(ranges).find_map(|range| {
            let mut hosts = range.hosts().skip(3).take(1_000);
            hosts.find(|host| !self.by_address.contains_key(host) && !self.kept_free.contains(host))
        })?;
        self.take(what, free);
        Some(free)
    }

    /// The address that stands for something already. Files spell ids in any case.
    fn held(&self, what: &str) -> Option<Ipv4Addr> {
        self.by_what.get(&what.to_ascii_lowercase()).copied()
    }

    fn one(
        &mut self,
        kind: &'static str,
        what: &str,
        number: impl Fn(u32) -> Option<Ipv4Addr>,
    ) -> Option<Ipv4Addr> {
        if let Some(address) = self.held(what) {
            return Some(address);
        }
        loop {
            let next = self.next.entry(kind).or_default();
            let address = number(*next)?;
            *next += 1;
            if !self.kept_free.contains(&address) {
                self.take(what, address);
                return Some(address);
            }
        }
    }

    fn take(&mut self, what: &str, address: Ipv4Addr) {
        self.by_what.insert(what.to_ascii_lowercase(), address);
        self.by_address.insert(address, what.to_owned());
    }
}
