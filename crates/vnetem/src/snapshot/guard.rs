//! Security groups, compiled for the places that they guard.

use core::fmt;
use std::sync::Arc;

use vnetem_authz::{CompiledGroup, RuleDirection};
use vnetem_packet::SubnetId;

use super::Snapshot;
use crate::NicId;
use crate::shared::Map;

/// Number of a security group, never reused within one control plane.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SecurityGroupId(pub u32);

/// Compiled security groups, by the place that they guard.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Guards {
    pub(crate) names: Map<SecurityGroupId, Arc<str>>,
    pub(crate) subnets: Map<SubnetId, Guard>,
    pub(crate) nics: Map<NicId, Guard>,
}

/// A group with its names resolved as one subnet sees them. Equal ones are shared.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Guard {
    pub(crate) group: SecurityGroupId,
    pub(crate) rules: Arc<CompiledGroup>,
}

impl Snapshot {
    /// Returns the name of a security group, or its number if it was removed.
    #[must_use]
    pub fn security_group_name(&self, id: SecurityGroupId) -> String {
        self.guards.names.get(&id).map_or_else(|| id.to_string(), |name| name.to_string())
    }

    /// Returns the name of a rule in a group that guards something.
    pub(crate) fn security_rule_name(
        &self,
        group: SecurityGroupId,
        direction: RuleDirection,
        priority: u16,
    ) -> Option<&str> {
        let guards = self.guards.subnets.values().chain(self.guards.nics.values());
        let guard = guards.into_iter().find(|guard| guard.group == group)?;
        guard.rules.rule_name(direction, priority)
    }
}

impl fmt::Display for SecurityGroupId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "nsg#{}", self.0)
    }
}
