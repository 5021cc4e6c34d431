//! A change of an endpoint that has not reached every host yet (S-28, U-13).

use core::net::Ipv4Addr;

use vnetem_packet::SubnetId;

use super::{Endpoint, Network};
use crate::snapshot::stage::{STAGES, stage};
use crate::{EditError, ServiceId};

/// What hosts still have that a change has not reached. They follow one after the other, in waves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RolloutState {
    /// What stood before the change: an endpoint, or none.
    pub before: Option<Endpoint>,
    /// Decides in which wave a host is.
    pub seed: u64,
    /// Waves that have the change.
    pub reached: u8,
}

impl RolloutState {
    /// Whether a host of the subnet has the change already, and not what stood before. Which host
    /// comes when follows from the seed alone (U-13).
    #[must_use]
    pub fn has_reached(&self, subnet: SubnetId, host: Ipv4Addr) -> bool {
        stage(self.seed, subnet, host) < self.reached
    }
}

impl Network {
    /// Makes the hosts of a subnet keep what stood `before` a change of an endpoint, until
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
        self.dirty.places.insert(id.0);
        Ok(())
    }

    /// Lets a change reach the first so many waves of hosts.
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
        self.dirty.places.insert(id.0);
        Ok(())
    }
}
