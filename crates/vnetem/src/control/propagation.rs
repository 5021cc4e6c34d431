//! A change of an endpoint that has not reached every host yet (S-28, U-13).

use core::net::Ipv4Addr;

use vnetem_packet::SubnetId;

use super::{Endpoint, Network};
use crate::snapshot::stage::{STAGES, stage};
use crate::{EditError, ServiceId};

/// What hosts have that a change has not reached. Hosts follow one after the other, in stages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RolloutState {
    /// The endpoint before the change, if there was one.
    pub before: Option<Endpoint>,
    /// Decides the stage of each host.
    pub seed: u64,
    /// The number of stages that have the change.
    pub reached: u8,
}

impl RolloutState {
    /// Returns whether a change has reached a host of the subnet. The seed alone decides the order
    /// of hosts (U-13).
    #[must_use]
    pub fn has_reached(&self, subnet: SubnetId, host: Ipv4Addr) -> bool {
        stage(self.seed, subnet, host) < self.reached
    }
}

impl Network {
    /// Makes the hosts of a subnet keep the endpoint from `before` a change, until
    /// [`Network::reach`].
    pub(crate) fn hold_back(
        &mut self,
        id: SubnetId,
        service: ServiceId,
        before: Option<Endpoint>,
        seed: u64,
    ) -> Result<(), EditError> {
        self.subnet(id)?;
        if let Some(subnet) = self.subnets.get_mut(&id) {
            subnet.rollout_states.insert(service, RolloutState { before, seed, reached: 0 });
        }
        self.dirty.places.add(id.0);
        Ok(())
    }

    /// Lets a change reach the first stages of hosts.
    pub(crate) fn reach(
        &mut self,
        id: SubnetId,
        service: ServiceId,
        stages: u8,
    ) -> Result<(), EditError> {
        self.subnet(id)?;
        if let Some(subnet) = self.subnets.get_mut(&id) {
            if stages >= STAGES {
                subnet.rollout_states.remove(&service);
            } else if let Some(rollout_state) = subnet.rollout_states.get_mut(&service) {
                rollout_state.reached = stages;
            }
        }
        self.dirty.places.add(id.0);
        Ok(())
    }
}
