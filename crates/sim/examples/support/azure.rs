//! A small network: one subnet behind a gateway at 20.1.1.1, and a storage account.

#![allow(dead_code, reason = "not every example needs all of it")]

use vnetem::{
    Network, ResourceId, ServiceId, SubnetId,
    authz::{DefaultAction, RuleLimits, RuleSet},
    control::Outbound,
};
use vnetem_sim::{BoxError, Place};

pub(crate) struct Azure {
    pub(crate) network: Network,
    pub(crate) web: SubnetId,
    pub(crate) storage: ServiceId,
    pub(crate) stdata: ResourceId,
}

impl Azure {
    pub(crate) fn new() -> Result<Self, BoxError> {
        let mut network = Network::new();
        let storage = network.add_service("Microsoft.Storage", &["52.239.0.0/16".parse()?])?;
        let alpha = network.add_vnet("alpha", &["10.0.0.0/16".parse()?])?;
        let web = network.add_subnet(alpha, "web", "10.0.0.0/24".parse()?)?;
        network.set_outbound(web, Outbound::NatGateway(vec!["20.1.1.1".parse()?]))?;
        let open = RuleSet::new(RuleLimits::STORAGE, DefaultAction::Allow);
        let stdata = network.add_resource(storage, "stdata", "52.239.1.9".parse()?, open)?;
        Ok(Self { network, web, storage, stdata })
    }

    /// A host of the subnet.
    pub(crate) fn vm(&self, last: u8) -> Place {
        Place::Subnet(self.web, [10, 0, 0, last].into())
    }

    /// Where the storage account answers.
    pub(crate) fn account(&self) -> Place {
        Place::Resource(self.stdata)
    }
}
