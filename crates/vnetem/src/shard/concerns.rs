//! Says whether a change of configuration concerns the shards at all. Most do not.

use std::sync::Arc;

use crate::PrivateEndpointId;
use crate::Snapshot;
use crate::shared::{Map, Numbered};
use crate::snapshot::{NicView, PlaceView, PrivateEndpointView, VnetView};

/// The parts of the last configuration that shards depend on.
#[derive(Debug, Default)]
pub(super) struct Concerns {
    vnets: Numbered<Arc<VnetView>>,
    places: Numbered<PlaceView>,
    nics: Numbered<Arc<NicView>>,
    private: Map<PrivateEndpointId, Arc<PrivateEndpointView>>,
}

impl Concerns {
    /// Takes a new configuration, and returns whether it concerns the shards. The work grows with
    /// what differs.
    pub(super) fn change(&mut self, snapshot: &Snapshot) -> bool {
        let change = differs(&self.vnets, &snapshot.vnets, is_same_vnet)
            || differs(&self.places, &snapshot.places, is_same_place)
            || differs(&self.nics, &snapshot.nics, is_same_nic)
            || !self.private.same(&snapshot.private);
        *self = Self {
            vnets: snapshot.vnets.clone(),
            places: snapshot.places.clone(),
            nics: snapshot.nics.clone(),
            private: snapshot.private.clone(),
        };
        change
    }
}

fn differs<T: Clone>(old: &Numbered<T>, new: &Numbered<T>, is_same: fn(&T, &T) -> bool) -> bool {
    old.differing(new).into_iter().any(|number| match (old.get(number), new.get(number)) {
        (Some(old), Some(new)) => !is_same(old, new),
        (None, None) => false,
        _ => true,
    })
}

fn is_same_vnet(old: &Arc<VnetView>, new: &Arc<VnetView>) -> bool {
    let parts = |view: &VnetView| (view.ranges.clone(), view.peers.clone(), view.sites.clone());
    Arc::ptr_eq(old, new) || parts(old) == parts(new)
}

fn is_same_place(old: &PlaceView, new: &PlaceView) -> bool {
    match (old, new) {
        (PlaceView::Subnet(old), PlaceView::Subnet(new)) => {
            Arc::ptr_eq(old, new)
                || (old.vnet, &old.retained, &old.outbound)
                    == (new.vnet, &new.retained, &new.outbound)
        }
        (PlaceView::Site(old), PlaceView::Site(new)) => {
            Arc::ptr_eq(old, new)
                || (&old.ranges, &old.outbound, &old.peering)
                    == (&new.ranges, &new.outbound, &new.peering)
        }
        _ => false,
    }
}

fn is_same_nic(old: &Arc<NicView>, new: &Arc<NicView>) -> bool {
    Arc::ptr_eq(old, new)
        || (old.subnet, old.address, &old.balanced, &old.instance, &old.kept)
            == (new.subnet, new.address, &new.balanced, &new.instance, &new.kept)
}
