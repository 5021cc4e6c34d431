//! What many tests begin with.

use vnetem::{Network, ServiceId, SubnetId, VnetId};

use crate::packets::net;

/// A network with one subnet, and a service.
pub(crate) struct World {
    pub(crate) network: Network,
    pub(crate) alpha: VnetId,
    pub(crate) web: SubnetId,
    pub(crate) storage: ServiceId,
}

pub(crate) fn world() -> World {
    let mut network = Network::new();
    let storage = network.add_service("storage", &[net("52.239.0.0/16")]).unwrap();
    let alpha = network.add_vnet("alpha", &[net("10.0.0.0/16")]).unwrap();
    let web = network.add_subnet(alpha, "web", net("10.0.0.0/24")).unwrap();
    World { network, alpha, web, storage }
}
