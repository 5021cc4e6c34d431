//! Ingress entries: what most packets need to know of their edges, in one place for each, so that
//! neither kind nor number costs a branch.

use core::hint::black_box;
use core::net::Ipv4Addr;
use std::sync::Arc;

use vnetem_nat::Zone;
use vnetem_packet::SubnetId;

use super::ranges::unreserved;
use crate::edge::{EdgeCode, MAX_SERVICES};
use crate::snapshot::{PlaceView, SubnetView};
use crate::{Edge, ServiceId};

/// The ingress entry of a subnet, the internet, or a service that is reached by public addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct IngressEntry {
    /// Its edge.
    pub(crate) code: EdgeCode,
    /// The zone in which its packets are looked up.
    pub(crate) zone: Zone,
    /// Its edge, as the public API names it.
    pub(crate) edge: Edge,
    /// Accepts sources in `first..=first + more`; `except` inverts the range. A source that is not
    /// accepted is checked again on the slow path.
    first: u32,
    more: u32,
    except: bool,
}

/// The ingress entries of a configuration, in the order of [`EdgeCode::ingress`]. Pages of them are
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
    /// Returns the ingress entry for packets from an edge, if it has one. The parts of the edge are
    /// read first and then chosen from, because the processor would guess a branch wrong: packets
    /// come from both ends in any order.
    #[inline(always)]
    pub(crate) fn at(&self, edge: &Edge) -> Option<&IngressEntry> {
        // The copies hide from the compiler that they are the same, so that it cannot merge the
        // questions into one branch.
        let [subnet, service] = [black_box(*edge), black_box(*edge)];
        let subnet = match subnet {
            // There is no subnet 0: place 0 is the internet.
            Edge::Subnet(SubnetId(number)) => {
                (number.wrapping_sub(1) as usize).saturating_add(MAX_SERVICES + 1)
            }
            _ => usize::MAX,
        };
        let service = match service {
            Edge::Service { service, identity: None } => usize::from(service.0),
            _ => usize::MAX,
        };
        let service = if service < MAX_SERVICES { service } else { usize::MAX };
        let internet = match edge {
            Edge::Internet => EdgeCode::INTERNET.ingress(),
            _ => usize::MAX,
        };
        self.entry(subnet.min(service).min(internet))
    }

    /// Returns the ingress entry of an edge, if it has one.
    #[inline(always)]
    pub(crate) fn get(&self, code: EdgeCode) -> Option<&IngressEntry> {
        self.entry(code.ingress()).filter(|ingress| ingress.code == code)
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
        let ingress = IngressEntry::new(EdgeCode::INTERNET, Edge::Internet);
        let entry = match ours {
            Some((first, last)) => ingress.with(first.to_bits(), last.to_bits(), true),
            None => ingress.with(0, u32::MAX, false),
        };
        self.put(EdgeCode::INTERNET.ingress(), entry);
    }
}

/// Has entries for the services only, which are always the same.
impl Default for IngressTable {
    fn default() -> Self {
        let ingress = |service| {
            let edge = Edge::Service { service, identity: None };
            IngressEntry::new(EdgeCode::public(service), edge).with(0, u32::MAX, false)
        };
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
    const SHUT: Self = Self::new(EdgeCode::INTERNET, Edge::Internet);

    /// Makes an entry that accepts no source.
    const fn new(code: EdgeCode, edge: Edge) -> Self {
        Self { code, zone: code.zone(), edge, first: 0, more: u32::MAX, except: true }
    }

    const fn with(self, first: u32, last: u32, except: bool) -> Self {
        Self { first, more: last.wrapping_sub(first), except, ..self }
    }

    fn of(subnet: &SubnetView) -> Self {
        let ingress = Self::new(EdgeCode::subnet(subnet.id), Edge::Subnet(subnet.id));
        let (first, last) = unreserved(subnet.prefix);
        // A declared interface has an edge of its own.
        match subnet.has_nics {
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

    #[test]
    fn ingress_entry_is_found_by_code() {
        let mut ingress_table = IngressTable::default();
        ingress_table.set_internet(Some(([20, 0, 0, 1].into(), [20, 0, 0, 9].into())));
        let subnet = EdgeCode::subnet(SubnetId(2));
        assert!(ingress_table.get(subnet).is_none(), "of a place that is not there");
        assert!(
            !ingress_table.at(&Edge::Subnet(SubnetId(2))).unwrap().lets_in([10, 0, 0, 1].into())
        );
        for beyond in [0, u32::MAX] {
            assert!(ingress_table.at(&Edge::Subnet(SubnetId(beyond))).is_none(), "{beyond}");
        }
        for beyond in 31..=u8::MAX {
            let edge = Edge::Service { service: ServiceId(beyond), identity: None };
            assert!(ingress_table.at(&edge).is_none(), "{beyond}");
        }
        let internet = ingress_table.at(&Edge::Internet).unwrap();
        assert_eq!(ingress_table.get(EdgeCode::INTERNET), Some(internet));
        assert_eq!((internet.edge, internet.zone), (Edge::Internet, Zone::PUBLIC));
        for (last, is_in) in [(0, true), (1, false), (9, false), (10, true)] {
            assert_eq!(internet.lets_in([20, 0, 0, last].into()), is_in, "{last}");
        }
        for number in (0..).take(MAX_SERVICES) {
            let edge = Edge::Service { service: ServiceId(number), identity: None };
            let ingress = ingress_table.at(&edge).unwrap();
            assert_eq!((ingress.edge, ingress.zone), (edge, Zone::PUBLIC));
            assert!(ingress.lets_in([1, 2, 3, 4].into()));
            assert_eq!(ingress_table.get(EdgeCode::public(ServiceId(number))), Some(ingress));
            let beyond = EdgeCode::endpoint(ServiceId(number), SubnetId(2));
            assert!(ingress_table.get(beyond).is_none());
        }
        assert!(ingress_table.get(EdgeCode::NOWHERE).is_none());
    }
}
