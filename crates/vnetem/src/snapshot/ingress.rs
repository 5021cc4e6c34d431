//! Ingress entries: what most packets need to know of their edges, in one place for each, so that
//! neither kind nor number costs a branch.

use core::net::Ipv4Addr;
use std::sync::Arc;

use super::ranges::unreserved;
use crate::ServiceId;
use crate::edge::{EdgeId, MAX_SERVICES};
use crate::snapshot::{PlaceView, SubnetView};

/// The ingress entry of a subnet, the internet, or a service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct IngressEntry {
    /// Its edge; of a service the one that is reached by public addresses.
    edge: EdgeId,
    /// Accepts sources in `first..=first + more`; `except` inverts the range. A source that is not
    /// accepted is checked again on the slow path.
    first: u32,
    more: u32,
    except: bool,
}

/// The ingress entries of a configuration, in the order of [`EdgeId::ingress`]. Pages of them are
/// shared with other configurations.
#[derive(Clone, Debug)]
pub(crate) struct IngressTable {
    pages: Arc<[Arc<Page>]>,
    /// The page of places that do not exist.
    shut: Arc<Page>,
}

type Page = [IngressEntry; PAGE];

/// A commit that changes an entry copies its page and the list of pages.
const PAGE: usize = 512;

impl IngressTable {
    /// Returns the ingress entry of an edge, if it has one.
    #[inline(always)]
    pub(crate) fn at(&self, edge: EdgeId) -> Option<&IngressEntry> {
        let (index, edge) = edge.ingress();
        self.entry(index).filter(|ingress| ingress.edge == edge)
    }

    #[inline(always)]
    fn entry(&self, at: usize) -> Option<&IngressEntry> {
        self.pages.get(at / PAGE)?.get(at % PAGE)
    }

    /// Sets an entry, and copies its page if that changes it. A page without entries is shared.
    fn put(&mut self, at: usize, entry: IngressEntry) {
        if self.entry(at).unwrap_or(&IngressEntry::SHUT) == &entry {
            return;
        }
        let (page, place) = (at / PAGE, at % PAGE);
        if self.pages.len() <= page {
            let more = page + 1 - self.pages.len();
            let more = core::iter::repeat_n(Arc::clone(&self.shut), more);
            self.pages = self.pages.iter().cloned().chain(more).collect();
        }
        let Some(page) = Arc::make_mut(&mut self.pages).get_mut(page) else { return };
        if let Some(old) = Arc::make_mut(page).get_mut(place) {
            *old = entry;
        }
        if entry == IngressEntry::SHUT && **page == *self.shut {
            *page = Arc::clone(&self.shut);
        }
    }

    /// Sets the ingress entry of a place. Only a subnet has one.
    pub(crate) fn set(&mut self, number: u32, place: Option<&PlaceView>) {
        let entry = match place {
            Some(PlaceView::Subnet(subnet)) => IngressEntry::of(subnet),
            Some(PlaceView::Site(_)) | None => IngressEntry::SHUT,
        };
        self.put(MAX_SERVICES.saturating_add(number as usize), entry);
    }

    /// Sets the ingress entry of the internet. It refuses the network's own addresses as sources.
    pub(crate) fn set_internet(&mut self, ours: Option<(Ipv4Addr, Ipv4Addr)>) {
        let ingress = IngressEntry::new(EdgeId::INTERNET);
        let entry = match ours {
            Some((first, last)) => ingress.with(first.to_bits(), last.to_bits(), true),
            None => ingress.with(0, u32::MAX, false),
        };
        self.put(EdgeId::INTERNET.ingress().0, entry);
    }
}

/// Has entries for the services only, which are always the same.
impl Default for IngressTable {
    fn default() -> Self {
        let ingress = |service| IngressEntry::new(EdgeId::public(service)).with(0, u32::MAX, false);
        let shut = Arc::new([IngressEntry::SHUT; PAGE]);
        let mut table = Self { pages: Arc::from([]), shut };
        for number in (0..).take(MAX_SERVICES) {
            table.put(usize::from(number), ingress(ServiceId(number)));
        }
        table
    }
}

impl IngressEntry {
    /// The entry of an unused place.
    const SHUT: Self = Self::new(EdgeId::INTERNET);

    /// Makes an entry that accepts no source.
    const fn new(edge: EdgeId) -> Self {
        Self { edge, first: 0, more: u32::MAX, except: true }
    }

    const fn with(self, first: u32, last: u32, except: bool) -> Self {
        Self { first, more: last.wrapping_sub(first), except, ..self }
    }

    fn of(subnet: &SubnetView) -> Self {
        let ingress = Self::new(EdgeId::subnet(subnet.id));
        let (first, last) = unreserved(subnet.prefix);
        // A declared interface has an edge of its own, and so has a private endpoint.
        match subnet.has_nics || subnet.has_private {
            false => ingress.with(first.to_bits(), last.to_bits(), false),
            true => ingress,
        }
    }

    /// Returns whether a source is certainly allowed.
    #[inline(always)]
    pub(crate) const fn lets_in(&self, source: Ipv4Addr) -> bool {
        (source.to_bits().wrapping_sub(self.first) <= self.more) != self.except
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use vnetem_packet::SubnetId;

    #[test]
    fn edge_has_its_own_entry() {
        let mut ingress_table = IngressTable::default();
        ingress_table.set_internet(Some(([20, 0, 0, 1].into(), [20, 0, 0, 9].into())));
        for number in [0, 2, 3, u32::MAX] {
            let subnet = EdgeId::subnet(SubnetId(number));
            assert!(ingress_table.at(subnet).is_none(), "subnet {number} is not there");
        }
        let internet = ingress_table.at(EdgeId::INTERNET).unwrap();
        for (last, is_in) in [(0, true), (1, false), (9, false), (10, true)] {
            assert_eq!(internet.lets_in([20, 0, 0, last].into()), is_in, "{last}");
        }
        for number in (0..).take(MAX_SERVICES) {
            let service = ServiceId(number);
            let ingress = ingress_table.at(EdgeId::public(service)).unwrap();
            assert_eq!(ingress.edge, EdgeId::public(service));
            assert!(ingress.lets_in([1, 2, 3, 4].into()));
            assert_eq!(ingress_table.at(EdgeId::endpoint(service, SubnetId(2))), Some(ingress));
            assert!(ingress_table.at(EdgeId::same_region(service, SubnetId(2))).is_none());
        }
        for other in [EdgeId::NOWHERE, EdgeId::HAIRPIN, EdgeId::platform(SubnetId(0))] {
            assert!(ingress_table.at(other).is_none(), "{other:?}");
        }
    }
}
