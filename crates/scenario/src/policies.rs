//! Words for endpoint policies, and for the ids by which they know resources.

use vnetem::{
    EndpointPolicyId,
    authz::{EndpointPolicy, PolicyDefinition, PolicyResource, PolicyService},
};

use super::edit::{Edit, name};
use super::error::Problem;
use super::topology::Topology;
use super::words::Words;

/// One edit of an endpoint policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum PolicyEdit {
    Policy { name: String, region: String, subscription: String, resources: Vec<String> },
    RemovePolicy(String),
    Attach { policy: String, subnet: String, service: String, on: bool },
    Path { resource: String, path: String },
}

const POLICY: &str = "the name of an endpoint policy";

pub(super) fn policy(words: &mut Words<'_>) -> Result<Edit, Problem> {
    let name = name(words, POLICY)?;
    let region = if words.accept("region") { words.region()? } else { String::new() };
    let subscription = if words.accept("subscription") {
        self::name(words, "a subscription")?
    } else {
        String::new()
    };
    let resources = if words.accept("allow") {
        words.list("ids or aliases with commas between them")?
    } else {
        Vec::new()
    };
    Ok(Edit::Policy(PolicyEdit::Policy { name, region, subscription, resources }))
}

pub(super) fn attach(words: &mut Words<'_>, on: bool) -> Result<Edit, Problem> {
    let policy = name(words, POLICY)?;
    words.expect(if on { "to" } else { "from" })?;
    let service = name(words, "the name of a service")?;
    words.expect("on")?;
    let subnet = name(words, "the name of a subnet")?;
    Ok(Edit::Policy(PolicyEdit::Attach { policy, subnet, service, on }))
}

pub(super) fn path(words: &mut Words<'_>) -> Result<Edit, Problem> {
    let resource = name(words, "the name of a resource")?;
    let path = name(words, "an id such as /subscriptions/7/resourceGroups/logs/providers/...")?;
    Ok(Edit::Policy(PolicyEdit::Path { resource, path }))
}

pub(super) fn remove(words: &mut Words<'_>) -> Result<Edit, Problem> {
    name(words, POLICY).map(|name| Edit::Policy(PolicyEdit::RemovePolicy(name)))
}

impl Topology {
    pub(super) fn apply_policy(
        &mut self,
        edit: &PolicyEdit,
    ) -> Result<(), Box<dyn core::error::Error>> {
        match edit {
            PolicyEdit::Policy { name, region, subscription, resources } => {
                let policy = EndpointPolicy {
                    name: name.clone(),
                    region: if region.is_empty() { String::new() } else { self.region(region)? },
                    definitions: definitions(resources)?,
                };
                self.network.add_endpoint_policy(subscription, policy)?;
            }
            PolicyEdit::RemovePolicy(name) => {
                self.network.remove_endpoint_policy(self.endpoint_policy(name)?)?;
            }
            PolicyEdit::Attach { policy, subnet, service, on } => {
                let id = self.endpoint_policy(policy)?;
                let (subnet, service) = (self.subnet(subnet)?, self.service(service)?);
                if *on {
                    self.network.attach_policy(subnet, service, id)?;
                } else {
                    self.network.detach_policy(subnet, service, id)?;
                }
            }
            PolicyEdit::Path { resource, path } => {
                self.network.set_resource_path(self.resource(resource)?, path)?;
            }
        }
        Ok(())
    }

    fn endpoint_policy(&self, name: &str) -> Result<EndpointPolicyId, String> {
        let found = self.network.endpoint_policy_named(name);
        found.ok_or_else(|| format!("there is no endpoint policy {name}"))
    }
}

/// Makes definitions from ids and aliases, one for each service (P-04).
fn definitions(resources: &[String]) -> Result<Vec<PolicyDefinition>, Box<dyn core::error::Error>> {
    let alias = |text: &&String| text.starts_with("/services");
    let ids: Result<Vec<PolicyResource>, _> =
        resources.iter().filter(|text| !alias(text)).map(|text| text.parse()).collect();
    let aliases: Result<Vec<PolicyResource>, _> =
        resources.iter().filter(alias).map(|text| text.parse()).collect();
    Ok(vec![
        PolicyDefinition::new(PolicyService::Storage, ids?)?,
        PolicyDefinition::new(PolicyService::Global, aliases?)?,
    ])
}
