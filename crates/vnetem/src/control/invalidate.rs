//! Finds the revalidation keys that a change invalidates, by comparing the old snapshot with the
//! new one. Their flows are revalidated (INV-toggle-ends-exact-set, P-21).

use core::net::Ipv4Addr;
use std::collections::BTreeSet;

use ipnet::Ipv4Net;
use vnetem_nat::{Filtering, RevalidationKey};
use vnetem_packet::VnetId;

use super::Network;
use super::compile::Invalidation;
use crate::edge::revalidation_key;
use crate::snapshot::{PlaceView, ServiceMap, SubnetView};
use crate::{NicId, ServiceId, Snapshot};

impl Network {
    pub(super) fn invalidate_place(
        &self,
        number: u32,
        before: &PlaceView,
        after: Option<&PlaceView>,
        delivery: bool,
        invalidation: &mut Invalidation,
    ) {
        let mut answers = false;
        let all = match (before, after) {
            (PlaceView::Subnet(before), Some(PlaceView::Subnet(after))) => {
                for service in 0..self.services.len() {
                    let service = ServiceId(u8::try_from(service).unwrap_or(u8::MAX));
                    let endpoint = |view: &SubnetView| {
                        view.endpoints.iter().find(|endpoint| endpoint.service == service).cloned()
                    };
                    let rollout_state = |view: &SubnetView| {
                        view.rollout_states
                            .iter()
                            .find(|rollout_state| rollout_state.service == service)
                            .cloned()
                    };
                    if endpoint(before) != endpoint(after)
                        || rollout_state(before) != rollout_state(after)
                    {
                        invalidation.keys.insert(revalidation_key(number, Some(service)));
                        answers = true;
                    }
                }
                // The filter of a pool depends on its rules and ports (T-03).
                let [lets_in, lets_in_now] = [before, after].map(|view| {
                    let outbound = view.outbound.as_ref()?;
                    Some((outbound.rules.filtering, &outbound.pools))
                });
                let is_open = lets_in.is_some_and(|(it, _)| it != Filtering::AddressAndPort);
                // Whether a pool allows hairpin (T-33).
                let turns = |view: &SubnetView| {
                    view.outbound.as_ref().is_some_and(|outbound| outbound.rules.hairpin)
                };
                // A hairpin to the pool's own addresses has other rules than one elsewhere.
                let own = |view: &SubnetView| -> BTreeSet<Ipv4Addr> {
                    let pools = view.outbound.iter().flat_map(|outbound| &outbound.pools);
                    pools.flat_map(|pool| pool.addresses.iter().copied()).collect()
                };
                delivery
                    || turns(before) != turns(after)
                    || own(before) != own(after)
                    || is_open && lets_in != lets_in_now
                    || before.routes != after.routes
                    || !before.retained.iter().all(|address| after.retained.contains(address))
            }
            (PlaceView::Site(before), Some(PlaceView::Site(after))) => delivery || before != after,
            _ => true,
        };
        if all {
            self.invalidate_all_of(number, &mut invalidation.keys);
        }
        if let PlaceView::Subnet(subnet) = before
            && (all || answers)
        {
            invalidation.callers.insert(subnet.vnet);
        }
    }

    fn invalidate_all_of(&self, number: u32, invalidated: &mut BTreeSet<RevalidationKey>) {
        invalidated.insert(revalidation_key(number, None));
        invalidated.extend(self.services().map(|(id, _)| revalidation_key(number, Some(id))));
    }

    /// Invalidates the flows that sites and nearby appliances opened to a subnet: its routes also
    /// decide how it answers them.
    pub(super) fn invalidate_callers(
        &self,
        vnet: VnetId,
        invalidated: &mut BTreeSet<RevalidationKey>,
    ) {
        let Some(own) = self.vnets.get(&vnet) else { return };
        own.gateways.keys().for_each(|site| self.invalidate_all_of(site.0, invalidated));
        for near in own.peers.iter().chain([&vnet]) {
            let all = self.index.forwarders.range((*near, NicId(0))..=(*near, NicId(u32::MAX)));
            all.filter_map(|(&(_, id), ())| self.nics.get(&id))
                .for_each(|nic| self.invalidate_all_of(nic.subnet.0, invalidated));
        }
    }

    /// Invalidates the flows to a service whose prefixes changed, and flows to addresses that
    /// belonged to no service before (INV-prefix-change-exact, U-02).
    pub(super) fn invalidate_services(
        &self,
        old: &Snapshot,
        new: &Snapshot,
        invalidation: &mut Invalidation,
    ) {
        let asked = |id: &ServiceId| self.dirty.regions || self.dirty.services.contains_key(id);
        let changed = self.services().map(|(id, _)| id).filter(asked).filter(|&id| {
            let regions = |map: &ServiceMap| -> Vec<(Ipv4Net, Option<String>)> {
                map.prefixes_of(id)
                    .flat_map(|prefix| map.regions.covered(prefix))
                    .map(|(prefix, &region)| {
                        (prefix, map.region_names.get(usize::from(region)).cloned())
                    })
                    .collect()
            };
            let same_region = |map: &ServiceMap| map.same_region.get(&id).copied();
            same_region(&old.services) != same_region(&new.services)
                || !old.services.prefixes_of(id).eq(new.services.prefixes_of(id))
                || regions(&old.services) != regions(&new.services)
        });
        for service in changed {
            invalidation.everywhere.add(Some(service));
            invalidation.everywhere.add(None);
        }
    }
}
