//! Edits of endpoint policies, and of the ids by which they know resources.

use std::collections::BTreeSet;
use std::sync::Arc;

use vnetem_authz::{EndpointPolicies, EndpointPolicy, PolicyError};
use vnetem_nat::RevalidationKey;
use vnetem_packet::{SubnetId, VnetId};

use super::services::region_key;
use super::{Network, Placement, Subnet};
use crate::edge::revalidation_key;
use crate::shared::Map;
use crate::snapshot::Attached;
use crate::{EditError, EndpointPolicyId, ResourceId, ServiceId, Snapshot};

/// Endpoint policies, and the endpoints to which they are attached.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Policies {
    policies: Map<EndpointPolicyId, Owned>,
    attached: Map<(SubnetId, ServiceId), Arc<BTreeSet<EndpointPolicyId>>>,
    next: u32,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Owned {
    policy: Arc<EndpointPolicy>,
    subscription: String,
}

#[cfg(test)]
impl Policies {
    /// Lists the endpoints that have policies.
    pub(super) fn endpoints(&self) -> impl Iterator<Item = (SubnetId, ServiceId)> {
        self.attached.keys().copied()
    }
}

/// Edits of endpoint policies.
impl Network {
    /// Makes an endpoint policy in a subscription. It restricts nothing until it is attached.
    ///
    /// # Errors
    ///
    /// The name is taken, or the subscription has its 500 policies (P-07).
    pub fn add_endpoint_policy(
        &mut self,
        subscription: &str,
        policy: EndpointPolicy,
    ) -> Result<EndpointPolicyId, EditError> {
        let others = &self.policies.policies;
        if others.values().any(|other| other.policy.name.eq_ignore_ascii_case(&policy.name)) {
            return Err(EditError::NameTaken { kind: "endpoint policy", name: policy.name });
        }
        let limit = EndpointPolicy::PER_SUBSCRIPTION;
        if others.values().filter(|other| other.subscription == subscription).count() >= limit {
            return Err(EditError::Limit { what: "endpoint policies of a subscription", limit });
        }
        let id = EndpointPolicyId(self.policies.next);
        self.policies.next += 1;
        let (policy, subscription) = (Arc::new(policy), subscription.to_owned());
        self.policies.policies.insert(id, Owned { policy, subscription });
        Ok(id)
    }

    /// Removes an endpoint policy.
    ///
    /// # Errors
    ///
    /// It does not exist, or is attached.
    pub fn remove_endpoint_policy(&mut self, id: EndpointPolicyId) -> Result<(), EditError> {
        let name = format!("endpoint policy {}", self.endpoint_policy(id)?.name);
        let mut attached = self.policies.attached.iter();
        if let Some(((subnet, _), _)) = attached.find(|(_, policies)| policies.contains(&id)) {
            let by = format!("subnet {}", self.subnet(*subnet)?.name);
            return Err(EditError::InUse { name, by });
        }
        self.policies.policies.remove(&id);
        Ok(())
    }

    /// Attaches a policy to a subnet's endpoint for a service. The subnet may then call over it
    /// only what one of its policies names (S-45, P-02), in any region (E-11). Live flows are
    /// revalidated.
    ///
    /// # Errors
    ///
    /// - One does not exist, or the subnet has no such endpoint.
    /// - The service takes no policies (P-33).
    /// - The policy is in another region than the network, or there are 100 policies already
    ///   (P-07).
    pub fn attach_policy(
        &mut self,
        subnet: SubnetId,
        service: ServiceId,
        id: EndpointPolicyId,
    ) -> Result<(), EditError> {
        let asked = self.service(service)?;
        let place = self.subnet(subnet)?;
        let policy = self.endpoint_policy(id)?;
        let (policy_name, service_name) = (policy.name.clone(), asked.name.clone());
        if !asked.takes_policies {
            return Err(EditError::NoPolicies { policy: policy_name, service: service_name });
        }
        if !place.endpoints.contains_key(&service) {
            return Err(EditError::PolicyNeedsEndpoint {
                policy: policy_name,
                service: service_name,
                subnet: format!("subnet {}", place.name),
            });
        }
        // The region of a network without a placement is unknown, so no policy can contradict it.
        let region = match self.vnet(place.vnet)?.placement.region.as_str() {
            "" => policy.region.clone(),
            region => in_spelling_of(&policy.region, region),
        };
        let key = (subnet, service);
        let mut standing = self.attached_policies(key);
        if self.policies.attached.get(&key).is_some_and(|attached| attached.contains(&id)) {
            return Ok(());
        }
        standing
            .attach(Arc::clone(policy), &region, true)
            .map_err(|why| not_attached(place, why))?;
        let mut attached = self.policies.attached.get(&key).cloned().unwrap_or_default();
        Arc::make_mut(&mut attached).insert(id);
        self.policies.attached.insert(key, attached);
        self.invalidate_policies(key);
        Ok(())
    }

    /// Detaches a policy. Where it is not attached, nothing changes (INV-edits-idempotent).
    ///
    /// # Errors
    ///
    /// One does not exist.
    pub fn detach_policy(
        &mut self,
        subnet: SubnetId,
        service: ServiceId,
        id: EndpointPolicyId,
    ) -> Result<(), EditError> {
        self.service(service)?;
        self.subnet(subnet)?;
        self.endpoint_policy(id)?;
        let key = (subnet, service);
        if let Some(attached) = self.policies.attached.get_mut(&key) {
            attached.remove(&id);
            let is_empty = attached.is_empty();
            if is_empty {
                self.policies.attached.remove(&key);
            }
            self.invalidate_policies(key);
        }
        Ok(())
    }

    /// Sets the id by which policies know a resource: the path of a storage account, or of an
    /// account that an Azure service keeps for itself, such as `/services/Azure/Batch/stpool7`
    /// (P-03, P-04). No policy can name a resource without an id.
    ///
    /// # Errors
    ///
    /// It does not exist.
    pub fn set_resource_path(&mut self, id: ResourceId, path: &str) -> Result<(), EditError> {
        self.resource(id)?;
        if let Some(resource) = self.resources.get_mut(&id) {
            resource.path = path.to_owned();
        }
        self.dirty.resources.add(id);
        Ok(())
    }

    /// Returns the endpoint policy with a name.
    #[must_use]
    pub fn endpoint_policy_named(&self, name: &str) -> Option<EndpointPolicyId> {
        let mut policies = self.policies.policies.iter();
        policies.find(|(_, owned)| owned.policy.name == name).map(|(&id, _)| id)
    }

    /// Returns the policies that are attached to a subnet's endpoint for a service, by number.
    pub fn policies_of(
        &self,
        subnet: SubnetId,
        service: ServiceId,
    ) -> impl Iterator<Item = &EndpointPolicy> {
        let attached = self.policies.attached.get(&(subnet, service));
        let attached = attached.into_iter().flat_map(|ids| ids.iter());
        attached.filter_map(|id| self.endpoint_policy(*id).ok().map(AsRef::as_ref))
    }

    /// Checks that policies are in the region of the networks whose subnets they are attached to
    /// (P-07).
    pub(super) fn check_policy_regions(
        &self,
        vnet: VnetId,
        placement: &Placement,
    ) -> Result<(), EditError> {
        for (&(subnet, service), policies) in &self.policies.attached {
            let subnet = self.subnet(subnet)?;
            if subnet.vnet != vnet || placement.region.is_empty() {
                continue;
            }
            for id in policies.iter() {
                let policy = Arc::clone(self.endpoint_policy(*id)?);
                let endpoint = subnet.endpoints.contains_key(&service);
                let region = in_spelling_of(&policy.region, &placement.region);
                EndpointPolicies::default()
                    .attach(policy, &region, endpoint)
                    .map_err(|why| not_attached(subnet, why))?;
            }
        }
        Ok(())
    }

    /// Checks that an endpoint has no policies, before it is removed (INV-used-object-kept).
    pub(super) fn check_no_policies(
        &self,
        subnet: SubnetId,
        service: ServiceId,
    ) -> Result<(), EditError> {
        let Some(id) = self.policies.attached.get(&(subnet, service)).and_then(|ids| ids.first())
        else {
            return Ok(());
        };
        let name = format!("the endpoint of subnet {}", self.subnet(subnet)?.name);
        let by = format!("endpoint policy {}", self.endpoint_policy(*id)?.name);
        Err(EditError::InUse { name, by })
    }

    /// Returns a policy that is attached to some endpoint of a service.
    pub(super) fn policy_on(&self, service: ServiceId) -> Option<String> {
        let mut attached = self.policies.attached.iter();
        let (_, policies) = attached.find(|((_, of), _)| *of == service)?;
        let policy = self.endpoint_policy(*policies.first()?).ok()?;
        Some(format!("endpoint policy {}", policy.name))
    }

    pub(super) fn forget_subnet_policies(&mut self, subnet: SubnetId) {
        let of_subnet = (subnet, ServiceId(0))..=(subnet, ServiceId(u8::MAX));
        let gone = self.policies.attached.range(of_subnet).map(|(key, _)| *key);
        for key in gone.collect::<Vec<_>>() {
            self.policies.attached.remove(&key);
            self.dirty.policed.add(key);
        }
    }

    /// Returns whether an endpoint has policies, which makes its scope worldwide (E-11).
    pub(super) fn has_policies(&self, subnet: SubnetId, service: ServiceId) -> bool {
        self.policies.attached.contains_key(&(subnet, service))
    }

    /// Compiles the attached policies. Flows of endpoints whose policies have changed are
    /// revalidated.
    pub(super) fn compile_policies(
        &self,
        old: &Snapshot,
        invalidated: &mut BTreeSet<RevalidationKey>,
    ) -> Attached {
        let mut policies = old.policies.clone();
        for &key in self.dirty.policed.keys() {
            invalidated.insert(revalidation_key(key.0.0, Some(key.1)));
            let has_some = self.policies.attached.contains_key(&key);
            policies.set(key, has_some.then(|| self.attached_policies(key)));
        }
        policies
    }

    fn attached_policies(&self, key: (SubnetId, ServiceId)) -> EndpointPolicies {
        let attached = self.policies.attached.get(&key).into_iter().flat_map(|ids| ids.iter());
        let policies = attached.filter_map(|id| self.policies.policies.get(id));
        policies.map(|owned| Arc::clone(&owned.policy)).collect()
    }

    fn endpoint_policy(&self, id: EndpointPolicyId) -> Result<&Arc<EndpointPolicy>, EditError> {
        let unknown = || EditError::Unknown { kind: "endpoint policy", name: id.to_string() };
        self.policies.policies.get(&id).map(|owned| &owned.policy).ok_or_else(unknown)
    }

    fn invalidate_policies(&mut self, key: (SubnetId, ServiceId)) {
        self.dirty.policed.add(key);
        self.dirty.places.add(key.0.0);
    }
}

/// Returns a region as the policy spells it, if it is the policy's.
fn in_spelling_of(policy: &str, region: &str) -> String {
    let is_one = region_key(policy) == region_key(region);
    if is_one { policy } else { region }.to_owned()
}

fn not_attached(subnet: &Subnet, why: PolicyError) -> EditError {
    EditError::EndpointPolicy { subnet: format!("subnet {}", subnet.name), why }
}
