//! What one network does with one flow, in a form that two networks can be compared by.

use core::net::Ipv4Addr;
use std::collections::HashMap;

use vnetem::{ResourceId, SubnetId, control::NextHopType};

/// What a network does with a flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Seen {
    pub(crate) disposition: Delivery,
    pub(crate) next_hop: Option<NextHopType>,
    /// The appliance of the next hop, where its address is known.
    pub(crate) appliance: Option<Ipv4Addr>,
    pub(crate) source: Source,
    pub(crate) access: AccessSeen,
    pub(crate) reason: Option<&'static str>,
    /// What each account says that may be meant; a place among [`Shared::answers`].
    pub(crate) accounts: Option<u32>,
}

/// What becomes of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Delivery {
    Forward,
    Deny,
    Drop,
}

/// What the far side sees as the source of a flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Source {
    /// The packet does not arrive.
    None,
    /// The address that the sender has.
    Private,
    /// The private address of an appliance in the way.
    Appliance(Ipv4Addr),
    /// A public address; a place among [`Shared::pools`].
    Public(u32),
    /// A public address that is in no file.
    PublicUnknown,
    /// Whatever the appliance or site makes of it, which is in no file.
    Unknown,
}

/// Whether a resource lets a flow in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum AccessSeen {
    /// Nobody was asked: the destination has no rules that are known.
    NotAsked,
    Allow,
    Deny,
    /// It hangs on an address that is in no file, or on the account that is meant.
    Unknown,
}

/// What one account says to a flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Answer {
    pub(crate) resource: ResourceId,
    pub(crate) access: AccessSeen,
    pub(crate) reason: Option<&'static str>,
    /// What would let the flow in.
    pub(crate) need: Option<Need>,
}

/// What a resource would have to list to let a flow in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Need {
    Subnet(SubnetId),
    Address(Ipv4Addr),
    /// No rule helps; the reason says why.
    Other(&'static str),
}

/// Lists that both sides number alike.
#[derive(Debug, Default)]
pub(crate) struct Shared {
    pub(crate) pools: Vec<Vec<Ipv4Addr>>,
    pool_numbers: HashMap<Vec<Ipv4Addr>, u32>,
    pub(crate) answers: Vec<Vec<Answer>>,
    answer_numbers: HashMap<Vec<Answer>, u32>,
}

impl Shared {
    /// The number of the public addresses of one outbound method.
    pub(crate) fn pool(&mut self, addresses: &[Ipv4Addr]) -> u32 {
        number(&mut self.pools, &mut self.pool_numbers, addresses)
    }

    /// The number of what accounts say.
    pub(crate) fn answer(&mut self, answers: &[Answer]) -> u32 {
        number(&mut self.answers, &mut self.answer_numbers, answers)
    }

    pub(crate) fn answers_of(&self, seen: &Seen) -> &[Answer] {
        let number = seen.accounts.and_then(|number| usize::try_from(number).ok());
        number.and_then(|number| self.answers.get(number)).map_or(&[], Vec::as_slice)
    }
}

fn number<T: Clone + Eq + core::hash::Hash>(
    lists: &mut Vec<Vec<T>>,
    numbers: &mut HashMap<Vec<T>, u32>,
    list: &[T],
) -> u32 {
    if let Some(number) = numbers.get(list) {
        return *number;
    }
    let number = u32::try_from(lists.len()).unwrap_or(u32::MAX);
    lists.push(list.to_vec());
    numbers.insert(list.to_vec(), number);
    number
}

impl Delivery {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Forward => "forward",
            Self::Deny => "deny",
            Self::Drop => "drop",
        }
    }
}

impl AccessSeen {
    pub(crate) fn name(self) -> Option<&'static str> {
        match self {
            Self::NotAsked => None,
            Self::Allow => Some("allow"),
            Self::Deny => Some("deny"),
            Self::Unknown => Some("unknown"),
        }
    }
}
