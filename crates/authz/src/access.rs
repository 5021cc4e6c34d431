//! How a request arrives at a service, and the answer of its network rules.

use core::fmt;
use core::net::Ipv4Addr;

use ipnet::Ipv4Net;
use vnetem_packet::{Identity, SubnetId};

/// How a request reached the service. The service knows this even when it refuses (F-19).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Arrival {
    /// Over a service endpoint, with the caller's identity (S-04).
    Tunnel(Identity),
    /// From the internet, from a public source address (S-14).
    Public(Ipv4Addr),
    /// Over the same-region path, with a private source and without a subnet's identity (C-03,
    /// F-09).
    PrivateSameRegion(Ipv4Addr),
    /// Through a private endpoint of the resource.
    PrivateEndpoint {
        /// Whether the connection is approved. Pending, rejected and disconnected ones carry
        /// nothing (L-07).
        approved: bool,
    },
    /// From an instance of another cloud resource, which has its own identity (F-11).
    Instance(ResourceInstance),
}

/// An opaque number for a resource instance or a group of trusted services, which a rule may name
/// (F-11).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ResourceInstance(pub u64);

/// The answer of a rule set, and its reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[must_use]
pub enum Access {
    /// The network rules admit the request.
    Allowed(Grant),
    /// The network rules refuse the request.
    Refused(Refusal),
}

/// Why a request was allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Grant {
    /// It came through an approved private endpoint, to which rules do not apply (F-13).
    PrivateEndpoint,
    /// A rule names the calling resource instance (F-11).
    TrustedInstance,
    /// The default action is to allow (F-01).
    DefaultAllow,
    /// A rule in force names the caller's subnet (F-03).
    SubnetRule(SubnetId),
    /// This IP rule contains the caller's address. Of nested rules it is the widest.
    IpRule(Ipv4Net),
    /// The ordered rule of this number allows the request (F-20).
    OrderedRule(u32),
    /// The default action is to deny, but does not count before there is a rule (F-21).
    NoRuleYet,
}

/// Why a request was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Refusal {
    /// The private endpoint is not approved (L-07).
    PrivateEndpointNotApproved,
    /// Public network access is disabled, which overrides default action and rules (F-12).
    PublicAccessDisabled,
    /// No rule names the caller's subnet (F-02, F-03).
    SubnetNotListed,
    /// A rule names the caller's subnet but is not in force: provisioning, deprovisioning, failed,
    /// or its subnet is deleted (E-18, U-20).
    RuleNotInForce,
    /// A private source without identity satisfies neither a VNet rule nor an IP rule (C-03, F-07).
    PrivateWithoutIdentity,
    /// No IP rule contains the caller's public address (F-02).
    AddressNotListed,
    /// No rule names the calling resource instance.
    InstanceNotListed,
    /// An ordered rule denies the request (F-20).
    DeniedByRule,
    /// The endpoint policies of the caller's subnet do not list the resource (P-02, P-06, U-06).
    NotInEndpointPolicy,
}

/// How the emulated network treats a packet whose request the service refuses.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum DenyMode {
    /// Delivers it with the refusal, so that the service can answer as the real one does (F-16,
    /// P-32, S-47).
    #[default]
    Deliver,
    /// Answers it with a TCP reset.
    Reset,
    /// Drops it without an answer.
    Drop,
}

/// The outcome of a request after its credential has been checked too.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[must_use]
pub enum Admission {
    /// The service serves it.
    Admitted(Grant),
    /// The network rules refuse it. Its credential was not checked (F-22, F-23).
    RefusedByNetwork(Refusal),
    /// The network rules allow it, but its key, token or signature is invalid (F-14).
    RefusedByCredential,
}

impl Arrival {
    /// Gives the address by which the service knows the caller; behind an endpoint it is private
    /// (S-15, F-26). `None` if there is none.
    #[must_use]
    pub const fn address(self) -> Option<Ipv4Addr> {
        match self {
            Self::Tunnel(identity) => Some(identity.address),
            Self::Public(address) | Self::PrivateSameRegion(address) => Some(address),
            Self::PrivateEndpoint { .. } | Self::Instance(_) => None,
        }
    }

    /// Names the refusal of a request that arrived this way and that no rule allows (F-19).
    pub(crate) const fn not_listed(self) -> Refusal {
        match self {
            Self::Tunnel(_) => Refusal::SubnetNotListed,
            Self::Public(_) => Refusal::AddressNotListed,
            Self::PrivateSameRegion(_) => Refusal::PrivateWithoutIdentity,
            Self::PrivateEndpoint { .. } => Refusal::PrivateEndpointNotApproved,
            Self::Instance(_) => Refusal::InstanceNotListed,
        }
    }
}

impl Access {
    /// Says whether the request is allowed.
    #[must_use]
    pub const fn is_allowed(self) -> bool {
        matches!(self, Self::Allowed(_))
    }

    /// Gives the refusal, if it is one.
    #[must_use]
    pub const fn refusal(self) -> Option<Refusal> {
        match self {
            Self::Allowed(_) => None,
            Self::Refused(refusal) => Some(refusal),
        }
    }

    /// Combines the network rules with the credential. A request needs both, and the network rules
    /// come first (F-14, F-22, F-23).
    ///
    /// `credential` is called only if the network rules allow. A signature bound to an address
    /// returns false for every other one. So it narrows what the rules allow and never widens it.
    pub fn admit(self, credential: impl FnOnce() -> bool) -> Admission {
        match self {
            Self::Refused(refusal) => Admission::RefusedByNetwork(refusal),
            Self::Allowed(grant) if credential() => Admission::Admitted(grant),
            Self::Allowed(_) => Admission::RefusedByCredential,
        }
    }
}

impl Grant {
    /// Gives the stable kebab-case name, without the rule.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::PrivateEndpoint => "private-endpoint",
            Self::TrustedInstance => "trusted-instance",
            Self::DefaultAllow => "default-allow",
            Self::SubnetRule(_) => "subnet-rule",
            Self::IpRule(_) => "ip-rule",
            Self::OrderedRule(_) => "ordered-rule",
            Self::NoRuleYet => "no-rule-yet",
        }
    }
}

impl Refusal {
    /// Every refusal in the order of `refusal as usize`, for counters and lists.
    pub const ALL: [Self; 9] = [
        Self::PrivateEndpointNotApproved,
        Self::PublicAccessDisabled,
        Self::SubnetNotListed,
        Self::RuleNotInForce,
        Self::PrivateWithoutIdentity,
        Self::AddressNotListed,
        Self::InstanceNotListed,
        Self::DeniedByRule,
        Self::NotInEndpointPolicy,
    ];

    /// Gives the stable kebab-case name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::PrivateEndpointNotApproved => "private-endpoint-not-approved",
            Self::PublicAccessDisabled => "public-access-disabled",
            Self::SubnetNotListed => "subnet-not-listed",
            Self::RuleNotInForce => "rule-not-in-force",
            Self::PrivateWithoutIdentity => "private-without-identity",
            Self::AddressNotListed => "address-not-listed",
            Self::InstanceNotListed => "instance-not-listed",
            Self::DeniedByRule => "denied-by-rule",
            Self::NotInEndpointPolicy => "not-in-endpoint-policy",
        }
    }
}

impl fmt::Display for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Allowed(grant) => write!(f, "allow {grant}"),
            Self::Refused(refusal) => write!(f, "refuse {refusal}"),
        }
    }
}

impl fmt::Display for Grant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())?;
        match self {
            Self::SubnetRule(subnet) => write!(f, " {subnet}"),
            Self::IpRule(rule) => write!(f, " {rule}"),
            Self::OrderedRule(number) => write!(f, " {number}"),
            Self::PrivateEndpoint
            | Self::TrustedInstance
            | Self::DefaultAllow
            | Self::NoRuleYet => Ok(()),
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn refusals_have_own_index_and_name() {
        let names: BTreeSet<_> = Refusal::ALL.iter().map(|refusal| refusal.name()).collect();
        assert_eq!(names.len(), Refusal::ALL.len());
        for (index, refusal) in Refusal::ALL.into_iter().enumerate() {
            assert_eq!(refusal as usize, index);
        }
    }

    /// The names are those of scenario files.
    #[test]
    fn answers_read_as_scenarios_write_them() {
        let rule = "20.1.1.1/32".parse().unwrap();
        assert_eq!(Access::Allowed(Grant::IpRule(rule)).to_string(), "allow ip-rule 20.1.1.1/32");
        assert_eq!(
            Access::Refused(Refusal::SubnetNotListed).to_string(),
            "refuse subnet-not-listed"
        );
        assert_eq!(Grant::SubnetRule(SubnetId(3)).to_string(), "subnet-rule subnet#3");
    }
}
