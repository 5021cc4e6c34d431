//! Resources and their access rules.

use pyo3::prelude::*;

use super::places::placement;
use crate::api::{
    Action, Caller, DefaultAction, DenyMode, EventHubsVersion, Firewall, IpRule, MissingEndpoint,
    OrderedRule, OrderedRules, PublicAccess, RuleLimits, RuleSet, RuleState, ServiceId,
};
use crate::convert::{address, choose, many, words};
use crate::error::refused;
use crate::names;
use crate::network::Network;

type Any<'a, 'py> = &'a Bound<'py, PyAny>;

/// The access rules of a resource, as keywords.
struct Rules<'a, 'py> {
    default: Option<&'a str>,
    ip_rules: Option<Any<'a, 'py>>,
    subnet_rules: Option<Any<'a, 'py>>,
    public_access: bool,
}

#[pymethods]
impl Network {
    /// Makes a resource that answers at an address of its service.
    ///
    /// ``default`` is ``allow`` or ``deny``, without it ``deny`` if there are rules. ``ip_rules``
    /// are public addresses and prefixes. ``subnet_rules`` are names of subnets, which count for
    /// callers over an endpoint. ``ignore_missing_endpoint`` is the flag of Azure by that name.
    #[pyo3(signature = (
        service, name, address, *, default = None, ip_rules = None, subnet_rules = None,
        public_access = true, ignore_missing_endpoint = false,
    ))]
    #[allow(clippy::too_many_arguments, reason = "Python has names for them")]
    fn add_resource(
        &mut self,
        service: &str,
        name: &str,
        address: Any<'_, '_>,
        default: Option<&str>,
        ip_rules: Option<Any<'_, '_>>,
        subnet_rules: Option<Any<'_, '_>>,
        public_access: bool,
        ignore_missing_endpoint: bool,
    ) -> PyResult<()> {
        let service = names::service(&self.network, service)?;
        let at = crate::convert::address(address)?;
        let rules = Rules { default, ip_rules, subnet_rules, public_access };
        let rules = self.firewall(service, &rules)?;
        let missing = missing(ignore_missing_endpoint);
        self.network.add_resource_with(service, name, at, rules, missing).map_err(refused).map(drop)
    }

    /// Replaces all rules of a resource; see ``add_resource``.
    #[pyo3(signature = (
        resource, *, default = None, ip_rules = None, subnet_rules = None, public_access = true,
        ignore_missing_endpoint = false,
    ))]
    fn set_rules(
        &mut self,
        resource: &str,
        default: Option<&str>,
        ip_rules: Option<Any<'_, '_>>,
        subnet_rules: Option<Any<'_, '_>>,
        public_access: bool,
        ignore_missing_endpoint: bool,
    ) -> PyResult<()> {
        let id = names::resource(&self.network, resource)?;
        let service = self.network.resource(id).map_err(refused)?.service;
        let rules = Rules { default, ip_rules, subnet_rules, public_access };
        let rules = self.firewall(service, &rules)?;
        self.network.set_rules_with(id, rules, missing(ignore_missing_endpoint)).map_err(refused)
    }

    /// Sets the address of the read-only copy of a resource, or removes it with ``None``.
    #[pyo3(signature = (resource, at))]
    fn set_secondary(&mut self, resource: &str, at: Option<Any<'_, '_>>) -> PyResult<()> {
        let id = names::resource(&self.network, resource)?;
        let at = at.map(address).transpose()?;
        self.network.set_secondary(id, at).map_err(refused)
    }

    /// Says where a resource is placed. What is not given is unknown.
    #[pyo3(signature = (resource, region = "", subscription = "", tenant = ""))]
    fn place_resource(
        &mut self,
        resource: &str,
        region: &str,
        subscription: &str,
        tenant: &str,
    ) -> PyResult<()> {
        let id = names::resource(&self.network, resource)?;
        let placement = placement(region, subscription, tenant);
        self.network.place_resource(id, placement).map_err(refused)
    }

    /// Sets the id by which endpoint policies know a resource.
    fn set_resource_path(&mut self, resource: &str, path: &str) -> PyResult<()> {
        let id = names::resource(&self.network, resource)?;
        self.network.set_resource_path(id, path).map_err(refused)
    }

    /// Removes a resource to which no private endpoint leads.
    fn remove_resource(&mut self, resource: &str) -> PyResult<()> {
        let id = names::resource(&self.network, resource)?;
        self.network.remove_resource(id).map_err(refused)
    }

    /// Chooses what becomes of packets that a resource refuses: ``deliver`` them with the refusal,
    /// so that the service can answer, ``reset`` their connection, or ``drop`` them.
    fn set_deny_mode(&mut self, mode: &str) -> PyResult<()> {
        let modes =
            [("deliver", DenyMode::Deliver), ("reset", DenyMode::Reset), ("drop", DenyMode::Drop)];
        self.network.set_deny_mode(choose("mode", mode, &modes)?);
        Ok(())
    }
}

impl Network {
    /// Makes the rules of the kind that a service has.
    fn firewall(&self, service: ServiceId, rules: &Rules<'_, '_>) -> PyResult<Firewall> {
        let read = |value: Option<Any<'_, '_>>, kind: &str| match value {
            None => Ok(Vec::new()),
            Some(value) if kind == "subnet" => words(value),
            Some(value) => many(value, |rule| Ok(rule.str()?.to_string())),
        };
        let ip_rules = read(rules.ip_rules, "ip")?;
        let ip_rules = ip_rules.iter().map(|rule| rule.parse().map_err(refused));
        let ip_rules: Vec<IpRule> = ip_rules.collect::<PyResult<_>>()?;
        let subnets = read(rules.subnet_rules, "subnet")?;
        let subnets = subnets.iter().map(|name| names::subnet(&self.network, name));
        let subnets: Vec<_> = subnets.collect::<PyResult<_>>()?;
        let has_rules = !ip_rules.is_empty() || !subnets.is_empty();
        let actions = [("allow", DefaultAction::Allow), ("deny", DefaultAction::Deny)];
        let default = match rules.default {
            Some(word) => choose("default action", word, &actions)?,
            None if has_rules => DefaultAction::Deny,
            None => DefaultAction::Allow,
        };
        let access = match rules.public_access {
            true => PublicAccess::Enabled,
            false => PublicAccess::Disabled,
        };
        let set = |limits| {
            let mut set = RuleSet::new(limits, default);
            set.set_public_access(access);
            ip_rules.iter().try_for_each(|rule| set.add_ip_rule(*rule).map_err(refused))?;
            let mut subnets = subnets.iter();
            let state = RuleState::Succeeded;
            subnets.try_for_each(|id| set.set_vnet_rule(*id, state).map_err(refused))?;
            PyResult::Ok(set)
        };
        let name = &self.network.service(service).map_err(refused)?.name;
        Ok(match name.as_str() {
            "Microsoft.Storage" | "Microsoft.Storage.Global" => {
                Firewall::Storage(set(RuleLimits::STORAGE)?)
            }
            "Microsoft.Sql" => Firewall::Sql(set(RuleLimits::SQL)?),
            "Microsoft.AzureCosmosDB" => Firewall::CosmosDb(set(RuleLimits::COSMOS_DB)?),
            "Microsoft.KeyVault" => Firewall::KeyVault(set(RuleLimits::KEY_VAULT)?),
            "Microsoft.EventHub" => {
                Firewall::EventHubs(EventHubsVersion::DenyCounts, set(RuleLimits::EVENT_HUBS)?)
            }
            "Microsoft.ServiceBus" => Firewall::ServiceBus(set(RuleLimits::SERVICE_BUS)?),
            "Microsoft.ContainerRegistry" => {
                Firewall::ContainerRegistry(set(RuleLimits::UNSTATED)?)
            }
            "Microsoft.Web" => {
                let mut ordered = OrderedRules::new();
                ordered.set_public_access(access);
                ordered.set_unmatched(Some(match default {
                    DefaultAction::Allow => Action::Allow,
                    DefaultAction::Deny => Action::Deny,
                }));
                let addresses = ip_rules.iter().map(|rule| Caller::Addresses(rule.range()));
                let callers = addresses.chain(subnets.iter().map(|id| Caller::Subnet(*id)));
                for (number, caller) in (100..).zip(callers) {
                    let rule = OrderedRule { number, action: Action::Allow, caller };
                    ordered.add_rule(rule).map_err(refused)?;
                }
                Firewall::AppService(ordered)
            }
            _ => Firewall::Other(set(RuleLimits::UNSTATED)?),
        })
    }
}

fn missing(ignore: bool) -> MissingEndpoint {
    if ignore { MissingEndpoint::Ignore } else { MissingEndpoint::Refuse }
}
