//! Security groups and the names in their rules.

use core::str::FromStr;

use pyo3::prelude::*;

use crate::api::{self as vnetem, Action, RuleDirection, SecurityGroup};
use crate::convert::{choose, many};
use crate::error::refused;
use crate::names;
use crate::network::Network;

type Any<'a, 'py> = &'a Bound<'py, PyAny>;

/// A rule of a security group.
///
/// ``priority`` is 100 to 4096; the lowest that matches decides. ``direction`` is ``inbound`` or
/// ``outbound``, seen from the machine, and ``action`` is ``allow`` or ``deny``. ``protocol`` is
/// ``tcp``, ``udp``, ``icmp``, ``esp``, ``ah`` or ``*``. ``sources`` and ``destinations`` are
/// addresses, prefixes, tags or ``*``, and ports are as ``443``, ``"80-90"`` or ``*``; each is one
/// or several.
#[pyclass(frozen, module = "vnetem")]
pub(crate) struct SecurityRule(vnetem::SecurityRule);

#[pymethods]
impl SecurityRule {
    #[new]
    #[pyo3(signature = (
        name, priority, direction, action, *, protocol = "*", sources = None, source_ports = None,
        destinations = None, destination_ports = None,
    ))]
    #[allow(clippy::too_many_arguments, reason = "Python has names for them")]
    fn new(
        name: &str,
        priority: u16,
        direction: &str,
        action: &str,
        protocol: &str,
        sources: Option<Any<'_, '_>>,
        source_ports: Option<Any<'_, '_>>,
        destinations: Option<Any<'_, '_>>,
        destination_ports: Option<Any<'_, '_>>,
    ) -> PyResult<Self> {
        let directions =
            [("inbound", RuleDirection::Inbound), ("outbound", RuleDirection::Outbound)];
        let actions = [("allow", Action::Allow), ("deny", Action::Deny)];
        Ok(Self(vnetem::SecurityRule {
            name: name.to_owned(),
            priority,
            direction: choose("direction", direction, &directions)?,
            action: choose("action", action, &actions)?,
            protocol: protocol.parse().map_err(refused)?,
            sources: read(sources)?,
            source_ports: read(source_ports)?,
            destinations: read(destinations)?,
            destination_ports: read(destination_ports)?,
        }))
    }

    fn __repr__(&self) -> String {
        format!("<SecurityRule {}>", self.0)
    }
}

/// Reads one part of a rule, or several; none is all.
fn read<T: FromStr<Err: core::fmt::Display>>(value: Option<Any<'_, '_>>) -> PyResult<Vec<T>> {
    let parse = |text: &str| text.parse().map_err(refused);
    match value {
        None => Ok(vec![parse("*")?]),
        Some(value) => match value.extract::<u16>() {
            Ok(port) => Ok(vec![parse(&port.to_string())?]),
            Err(_) => many(value, |item| item.str()?.to_cow()?.parse().map_err(refused)),
        },
    }
}

fn group(rules: Any<'_, '_>) -> PyResult<SecurityGroup> {
    let mut group = SecurityGroup::default();
    for rule in rules.try_iter()? {
        let rule = rule?;
        let rule = rule.cast_exact::<SecurityRule>()?;
        group.add_rule(rule.get().0.clone()).map_err(refused)?;
    }
    Ok(group)
}

#[pymethods]
impl Network {
    /// Makes a security group of ``SecurityRule``. It guards nothing until ``guard_subnet`` or
    /// ``guard_nic``.
    fn add_security_group(&mut self, name: &str, rules: Any<'_, '_>) -> PyResult<()> {
        self.network.add_security_group(name, group(rules)?).map_err(refused).map(drop)
    }

    /// Replaces all rules of a security group. Live flows go on.
    fn set_security_rules(&mut self, name: &str, rules: Any<'_, '_>) -> PyResult<()> {
        let id = names::group(&self.network, name)?;
        self.network.set_security_rules(id, group(rules)?).map_err(refused)
    }

    /// Removes a security group that guards nothing.
    fn remove_security_group(&mut self, name: &str) -> PyResult<()> {
        let id = names::group(&self.network, name)?;
        self.network.remove_security_group(id).map_err(refused)
    }

    /// Lets a security group guard a subnet, or none with ``None``.
    #[pyo3(signature = (subnet, group))]
    fn guard_subnet(&mut self, subnet: &str, group: Option<&str>) -> PyResult<()> {
        let id = names::subnet(&self.network, subnet)?;
        let group = group.map(|name| names::group(&self.network, name)).transpose()?;
        self.network.guard_subnet(id, group).map_err(refused)
    }

    /// Lets a security group guard an interface besides that of its subnet, or none with ``None``.
    #[pyo3(signature = (nic, group))]
    fn guard_nic(&mut self, nic: &str, group: Option<&str>) -> PyResult<()> {
        let id = names::nic(&self.network, nic)?;
        let group = group.map(|name| names::group(&self.network, name)).transpose()?;
        self.network.guard_nic(id, group).map_err(refused)
    }

    /// Defines a name in security rules: a service tag, or an application security group.
    #[pyo3(signature = (name, prefixes))]
    fn set_tag(&mut self, name: &str, prefixes: Any<'_, '_>) -> PyResult<()> {
        let ranges = crate::convert::prefixes(prefixes)?;
        self.network.set_tag(name, &ranges).map_err(refused)
    }
}
