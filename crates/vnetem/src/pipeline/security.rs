//! Security groups, for packets that open a flow (U-08): the sender's before any translation, the
//! receiver's once the path is known. Replies and later packets belong to the flow and need no rule
//! (P-11, P-28).

use vnetem_authz::{Action, Decider, RuleDirection};
use vnetem_packet::FiveTuple;

use super::Pipeline;
use super::trace::{Note, Step};
use crate::DenyReason;
use crate::edge::{EdgeId, Place};
use crate::snapshot::guard::Guard;

impl Pipeline<'_> {
    /// Asks the groups of the interface and of its subnet, in this order, to let a packet out
    /// (P-10, P-31).
    pub(crate) fn may_leave(
        &self,
        from: EdgeId,
        tuple: &FiveTuple,
        note: &mut impl Note,
    ) -> Result<(), DenyReason> {
        let [subnet, nic] = self.guards(from);
        judge([nic, subnet], RuleDirection::Outbound, tuple, note)
    }

    /// Asks the groups of a host's subnet and of its interface, in this order, to let a packet in
    /// (P-10, P-31). Security groups of an appliance see transit packets before translation, so
    /// transit to the internet needs a rule there.
    pub(crate) fn may_arrive(
        &self,
        to: EdgeId,
        tuple: &FiveTuple,
        note: &mut impl Note,
    ) -> Result<(), DenyReason> {
        judge(self.guards(to), RuleDirection::Inbound, tuple, note)
    }

    /// Returns the groups of a host's subnet and of its interface.
    fn guards(&self, host: EdgeId) -> [Option<&Guard>; 2] {
        let guards = &self.snapshot.guards;
        match host.place() {
            Place::Subnet(id) => [guards.subnets.get(&id), None],
            Place::Nic(id) => {
                let subnet = self.snapshot.nic(id).and_then(|nic| guards.subnets.get(&nic.subnet));
                [subnet, guards.nics.get(&id)]
            }
            // L-04.
            Place::Private(id) => {
                let endpoint = self.snapshot.private.get(&id).filter(|endpoint| endpoint.guarded);
                [endpoint.and_then(|endpoint| guards.subnets.get(&endpoint.subnet)), None]
            }
            _ => [None, None],
        }
    }
}

/// Asks groups one after the other. All must allow; the first that denies decides (P-31).
fn judge(
    guards: [Option<&Guard>; 2],
    direction: RuleDirection,
    tuple: &FiveTuple,
    note: &mut impl Note,
) -> Result<(), DenyReason> {
    for guard in guards.into_iter().flatten() {
        let ruling = guard.rules.judge(direction, tuple);
        note.step(|| Step::Security {
            group: guard.group,
            direction,
            action: ruling.action,
            rule: match ruling.by {
                Decider::Rule { priority, .. } => Some(priority),
                Decider::Platform => None,
            },
        });
        if ruling.action == Action::Deny {
            return Err(DenyReason::SecurityGroup(direction));
        }
    }
    Ok(())
}
