//! Subnets that a change deletes and makes anew.

use std::collections::HashMap;

use vnetem::{Network, SubnetId, VnetId, control::Subnet};

use crate::side::Origin;

/// Subnets that a change makes anew, by the ones whose place they take.
pub(crate) struct Moved(HashMap<SubnetId, SubnetId>);

impl Moved {
    pub(crate) fn new(before: &Network, after: &Network) -> Self {
        let gone: Vec<_> = before.subnets().filter(|(id, _)| after.subnet(*id).is_err()).collect();
        if gone.is_empty() {
            return Self(HashMap::new());
        }
        let heirs: HashMap<(VnetId, &str), SubnetId> =
            after.subnets().map(|(id, new)| ((new.vnet, new.name.as_str()), id)).collect();
        let heir = |old: &Subnet| {
            let vnet = after.vnet_named(&before.vnet(old.vnet).ok()?.name)?;
            heirs.get(&(vnet, old.name.as_str())).copied()
        };
        Self(gone.into_iter().filter_map(|(id, old)| Some((id, heir(old)?))).collect())
    }

    /// Where the packets of an origin enter the other network.
    pub(crate) fn origin(&self, origin: Origin) -> Origin {
        match origin {
            Origin::Subnet(id) => Origin::Subnet(self.0.get(&id).copied().unwrap_or(id)),
            Origin::Internet => Origin::Internet,
        }
    }
}
