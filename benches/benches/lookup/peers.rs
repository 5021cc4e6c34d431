//! The other crates on the full table, with compared answers.

use std::net::Ipv4Addr;

use ip_network_table_deps_treebitmap::IpLookupTable;
use ipnet::Ipv4Net;
use ipnetx::prefix::IpPrefix;
use iptrie::Ipv4Prefix;
use iptrie::map::{LCTrieMap, RTrieMap};
use poptrie::Poptrie;
use prefix_trie::PrefixMap;
use routemap::RouteMap;

use super::full::{Pass, batches_of, both, chained};
use super::tables::Routes;

pub(crate) struct Peers {
    pub(crate) trie: PrefixMap<Ipv4Net, u32>,
    bits: IpLookupTable<Ipv4Addr, u32>,
    poptrie: Poptrie<(u32, u8), u32>,
    map: RouteMap<Ipv4Addr, u32>,
    compressed: LCTrieMap<Ipv4Prefix, u32>,
}

impl Peers {
    pub(crate) fn new(routes: &Routes) -> Self {
        let (mut bits, mut map) = (IpLookupTable::new(), RouteMap::new());
        let mut compressed = RTrieMap::with_root(0);
        for (prefix, value) in routes {
            let (address, length) = (prefix.addr(), prefix.prefix_len());
            bits.insert(address, length.into(), *value);
            map.insert(IpPrefix::new(address, length).unwrap(), *value);
            compressed.insert(Ipv4Prefix::new(address, length).unwrap(), *value);
        }
        Self {
            trie: routes.iter().copied().collect(),
            bits,
            poptrie: routes
                .iter()
                .map(|(prefix, value)| ((prefix.addr().to_bits(), prefix.prefix_len()), *value))
                .collect(),
            map,
            compressed: compressed.compress(),
        }
    }

    /// # Errors
    ///
    /// The name of a crate that says something else.
    pub(crate) fn compare(&self, address: u32, found: u32) -> Result<(), &'static str> {
        let said = [
            ("prefix-trie", self.in_trie(address)),
            ("treebitmap", self.in_bits(address)),
            ("poptrie", self.in_poptrie(address)),
            ("routemap", self.in_map(address)),
            ("iptrie", self.in_compressed(address)),
        ];
        said.into_iter().find(|(_, said)| *said != found).map_or(Ok(()), |(peer, _)| Err(peer))
    }

    pub(crate) fn passes(&self) -> Vec<(&'static str, Pass<'_>)> {
        vec![
            ("prefix-trie single", Box::new(|queries| batches_of(queries, |a| self.in_trie(a)))),
            (
                "prefix-trie single, prefix and value",
                Box::new(|queries| {
                    batches_of(queries, |a| {
                        let host = Ipv4Net::new(Ipv4Addr::from_bits(a), 32).unwrap();
                        self.trie.get_lpm(&host).map_or(0, |(prefix, value)| both(prefix, *value))
                    })
                }),
            ),
            ("prefix-trie latency", Box::new(|queries| chained(queries, |a| self.in_trie(a)))),
            ("treebitmap single", Box::new(|queries| batches_of(queries, |a| self.in_bits(a)))),
            (
                "poptrie (Rust) single",
                Box::new(|queries| batches_of(queries, |a| self.in_poptrie(a))),
            ),
            (
                "poptrie (Rust) latency",
                Box::new(|queries| chained(queries, |a| self.in_poptrie(a))),
            ),
            ("routemap single", Box::new(|queries| batches_of(queries, |a| self.in_map(a)))),
            (
                "iptrie LC single",
                Box::new(|queries| batches_of(queries, |a| self.in_compressed(a))),
            ),
        ]
    }

    #[inline(always)]
    fn in_trie(&self, address: u32) -> u32 {
        let host = Ipv4Net::new(Ipv4Addr::from_bits(address), 32).unwrap();
        self.trie.get_lpm(&host).map_or(0, |(_, value)| *value)
    }

    #[inline(always)]
    fn in_bits(&self, address: u32) -> u32 {
        let found = self.bits.longest_match(Ipv4Addr::from_bits(address));
        found.map_or(0, |(_, _, value)| *value)
    }

    #[inline(always)]
    fn in_poptrie(&self, address: u32) -> u32 {
        self.poptrie.lookup(address).map_or(0, |value| *value)
    }

    #[inline(always)]
    fn in_map(&self, address: u32) -> u32 {
        self.map.longest_match(Ipv4Addr::from_bits(address)).map_or(0, |value| *value)
    }

    #[inline(always)]
    fn in_compressed(&self, address: u32) -> u32 {
        *self.compressed.lookup(&Ipv4Addr::from_bits(address)).1
    }
}
