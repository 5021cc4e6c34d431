//! Changes that take time: endpoints reach hosts one after the other, and rules come into force
//! after a delay.

use core::time::Duration;
use std::collections::BTreeMap;

use vnetem_authz::Firewall;
use vnetem_nat::Time;
use vnetem_packet::SubnetId;

use crate::snapshot::stage::{STAGES, mix};
use crate::{EditError, Endpoint, MissingEndpoint, Network, ResourceId, ServiceId};

/// Makes edits of a [`Network`] as slowly as the platform does.
///
/// While an endpoint is being enabled or disabled, access may succeed or fail from one moment to
/// the next (S-28). Each host gets the change, route and identity together, after a time of its
/// own, drawn from the seed (U-13). New rules of a resource come into force after a delay; until
/// then the old ones decide (S-29). With delays of zero every change is immediate.
///
/// Like the data plane it reads no clock. [`poll_timeout`](Self::poll_timeout) says when to call
/// [`handle_timeout`](Self::handle_timeout). Commit the network and apply the snapshot afterwards,
/// as after any edit.
///
/// ```
/// use core::time::Duration;
/// use vnetem::control::{Endpoint, Rollout, Scope};
/// use vnetem::{Network, Time};
///
/// let mut network = Network::new();
/// let storage = network.add_service("Microsoft.Storage", &["52.239.0.0/16".parse()?])?;
/// let vnet = network.add_vnet("alpha", &["10.0.0.0/16".parse()?])?;
/// let web = network.add_subnet(vnet, "web", "10.0.0.0/24".parse()?)?;
/// let mut rollout = Rollout::new(7, Duration::from_secs(15 * 60), Duration::from_secs(5 * 60))?;
/// let endpoint = Endpoint {
///     name: "Microsoft.Storage".into(),
///     scope: Scope::Worldwide,
///     network_identifier: None,
/// };
/// rollout.set_endpoint(Time(0), &mut network, web, storage, Some(endpoint))?;
/// while let Some(due) = rollout.poll_timeout() {
///     rollout.handle_timeout(due, &mut network);
///     // data_plane.apply(due, network.commit());
/// }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct Rollout {
    seed: u64,
    endpoints: Duration,
    rules: Duration,
    /// The number of changes begun, so that each draws new delays.
    begun: u64,
    pending: BTreeMap<(Time, u64, u8), Step>,
}

#[derive(Clone, Debug)]
enum Step {
    /// An endpoint reaches this many stages of hosts.
    Reach(SubnetId, ServiceId, u8),
    /// The rules of a resource come into force.
    Rules(ResourceId, Box<Firewall>),
}

impl Rollout {
    /// The longest delay of a change: a week.
    pub const LONGEST: Duration = Duration::from_secs(7 * 24 * 60 * 60);

    /// Draws delays from the seed. Endpoints reach the last host after `endpoints` (up to about 15
    /// minutes, S-28), and rules come into force within `rules` (a few minutes, S-29).
    ///
    /// # Errors
    ///
    /// [`EditError::Limit`] if one of them is longer than [`Rollout::LONGEST`].
    pub fn new(seed: u64, endpoints: Duration, rules: Duration) -> Result<Self, EditError> {
        for (time, what) in [
            (endpoints, "seconds until an endpoint reaches the last host"),
            (rules, "seconds until rules come into force"),
        ] {
            if time > Self::LONGEST {
                let limit = usize::try_from(Self::LONGEST.as_secs()).unwrap_or(usize::MAX);
                return Err(EditError::Limit { what, limit });
            }
        }
        Ok(Self { seed, endpoints, rules, begun: 0, pending: BTreeMap::new() })
    }

    /// Enables or replaces an endpoint, or disables it with `None`. An earlier change of the same
    /// endpoint that is still under way is first completed on every host.
    ///
    /// # Errors
    ///
    /// As for [`Network::set_endpoint`] and [`Network::disable_endpoint`]. The network is then as
    /// it was.
    pub fn set_endpoint(
        &mut self,
        now: Time,
        network: &mut Network,
        subnet: SubnetId,
        service: ServiceId,
        endpoint: Option<Endpoint>,
    ) -> Result<(), EditError> {
        let before = network.subnet(subnet)?.endpoints.get(&service).cloned();
        let unchanged = before == endpoint;
        match endpoint {
            Some(endpoint) => network.set_endpoint(subnet, service, endpoint)?,
            None => network.disable_endpoint(subnet, service)?,
        }
        if unchanged || self.endpoints.is_zero() {
            return Ok(());
        }
        self.pending.retain(
            |_, step| !matches!(step, Step::Reach(of, to, _) if (*of, *to) == (subnet, service)),
        );
        let draw = self.draw();
        network.hold_back(subnet, service, before, draw)?;
        for stage in 1..=STAGES {
            let due = now + self.endpoints * u32::from(stage) / u32::from(STAGES);
            let step = Step::Reach(subnet, service, stage);
            self.pending.insert((due, self.begun, stage), step);
        }
        Ok(())
    }

    /// Replaces all rules of a resource, after a delay drawn from the seed.
    ///
    /// # Errors
    ///
    /// As for [`Network::set_rules`]. Nothing is then pending.
    pub fn set_rules(
        &mut self,
        now: Time,
        network: &mut Network,
        resource: ResourceId,
        rules: impl Into<Firewall>,
    ) -> Result<(), EditError> {
        self.set_rules_with(now, network, resource, rules, MissingEndpoint::Refuse)
    }

    /// Replaces the rules as [`Rollout::set_rules`] does, and says what to do with new ones for
    /// subnets without the endpoint (E-14).
    ///
    /// # Errors
    ///
    /// As for [`Network::set_rules_with`]. Nothing is then pending.
    pub fn set_rules_with(
        &mut self,
        now: Time,
        network: &mut Network,
        resource: ResourceId,
        rules: impl Into<Firewall>,
        missing: MissingEndpoint,
    ) -> Result<(), EditError> {
        let rules = rules.into();
        if self.rules.is_zero() {
            return network.set_rules_with(resource, rules, missing);
        }
        // An edit that would be refused later is refused now.
        network.clone().set_rules_with(resource, rules.clone(), missing)?;
        let draw = u128::from(self.draw());
        let nanoseconds = self.rules.as_nanos().saturating_mul(draw) >> 64;
        let delay = Duration::from_nanos(u64::try_from(nanoseconds).unwrap_or(u64::MAX));
        // The later change wins, whatever delays were drawn.
        self.pending.retain(|_, step| !matches!(step, Step::Rules(of, _) if *of == resource));
        self.pending.insert((now + delay, self.begun, 0), Step::Rules(resource, Box::new(rules)));
        Ok(())
    }

    /// Returns when [`handle_timeout`](Self::handle_timeout) has something to do.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Time> {
        self.pending.keys().next().map(|(due, ..)| *due)
    }

    /// Makes the edits whose time has come, and skips what was removed meanwhile. Returns whether
    /// there were any, so that a commit is due.
    pub fn handle_timeout(&mut self, now: Time, network: &mut Network) -> bool {
        let mut edited = false;
        while let Some(entry) = self.pending.first_entry().filter(|entry| entry.key().0 <= now) {
            let done = match entry.remove() {
                Step::Reach(subnet, service, stages) => network.reach(subnet, service, stages),
                Step::Rules(resource, rules) => network.set_accepted_rules(resource, *rules),
            };
            edited |= done.is_ok();
        }
        edited
    }

    fn draw(&mut self) -> u64 {
        self.begun = self.begun.wrapping_add(1);
        mix(self.seed ^ mix(self.begun))
    }
}
