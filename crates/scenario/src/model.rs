//! The network and the members of a scenario without a simulation, for programs that carry real
//! packets.

use core::net::Ipv4Addr;
use core::time::Duration;
use std::sync::Arc;

use bytes::Bytes;
use vnetem::{
    Edge, Event, Generation, Network, NicId, ResourceId, Settings, SubnetId, Time, Transmit,
    control::Rollout,
};
use vnetem_azure::ServiceTags;

use super::declarations::{Declaration, Home, HostSpec, Serves};
use super::edit::Edit;
use super::error::{Problem, ScenarioError};
use super::outcome;
use super::step::Place;
use super::topology::Topology;
use super::words::Words;
use super::{Scenario, runner};
use vnetem_sim::LinkSettings;

/// The network that a scenario declares, and the meaning of its words: edits, places, packets,
/// names.
///
/// ```
/// use std::sync::Arc;
/// use vnetem_azure::ServiceTags;
/// use vnetem_scenario::Scenario;
/// use vnetem_scenario::Model;
///
/// let text = "vnet a 10.0.0.0/16\nsubnet web 10.0.0.0/24 in a\nservice storage 52.239.0.0/16\n";
/// let scenario = Scenario::parse("net.scn", text)?;
/// let mut model = Model::new(&scenario, Arc::new(ServiceTags::embedded()))?;
/// model.change(vnetem::Time(0), "enable storage on web")?;
/// assert_eq!(model.commit().generation().0, 1);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct Model {
    pub(super) topology: Topology,
    pub(super) settings: Settings,
    pub(super) seed: u64,
}

/// A host, appliance or resource of a scenario, with its edge.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// Its name in the scenario.
    pub name: String,
    /// Its address.
    pub address: Ipv4Addr,
    /// The edge by which its packets enter.
    pub edge: Edge,
    /// What it does.
    pub role: Role,
    /// The settings of its link in the file, if there are any.
    pub link: Option<LinkSettings>,
    /// The line of the file that declares it, from 1.
    pub line: usize,
}

/// The role of a member.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Role {
    /// A host, which calls others or serves.
    Host {
        /// Whether it forwards packets for others.
        forwards: bool,
        /// What answers its calls.
        serves: Option<Serves>,
    },
    /// A simulated appliance.
    Appliance {
        /// Whether it translates sources to its own address.
        translates: bool,
    },
    /// A resource of a service, which answers.
    Resource {
        /// The resource.
        id: ResourceId,
        /// What answers its calls.
        by: Serves,
    },
}

impl Model {
    /// Declares everything at the top of a scenario.
    ///
    /// # Errors
    ///
    /// The first line that the model refuses.
    pub fn new(scenario: &Scenario, tags: Arc<ServiceTags>) -> Result<Self, ScenarioError> {
        let mut settings = Settings::replayable(0);
        settings.flows.capacity = 4096;
        settings.flows.held = 4096;
        settings.flows.revalidation_keys = 4096;
        let mut model = Self { topology: Topology::new(tags), settings, seed: 1 };
        let mut rules_for_subnets = Vec::new();
        let at = |line, done: Result<(), String>| {
            done.map_err(|why| Problem::Refused(why).at(&scenario.file, line))
        };
        // Any line may name a region, also above the line that declares it.
        for (line, declaration) in &scenario.declarations {
            if let Declaration::Edit(edit @ Edit::OwnRegions(_)) = declaration {
                at(*line, model.topology.change(core::slice::from_ref(edit)))?;
            }
        }
        for (line, declaration) in &scenario.declarations {
            let done = match declaration {
                Declaration::Edit(edit) => {
                    let (edit, later) = edit.without_subnet_rules();
                    rules_for_subnets.extend(later.into_iter().map(|rule| (*line, rule)));
                    model.topology.change(edit.as_slice())
                }
                other => model.declare(other),
            };
            at(*line, done)?;
        }
        for (line, rule) in rules_for_subnets {
            at(line, model.topology.change(core::slice::from_ref(&rule)))?;
        }
        Ok(model)
    }

    fn declare(&mut self, declaration: &Declaration) -> Result<(), String> {
        match declaration {
            Declaration::Edit(edit) => self.topology.change(core::slice::from_ref(edit)),
            Declaration::Host(HostSpec {
                name,
                address,
                forwards,
                home: Home::Subnet(subnet),
                ..
            }) => self.topology.change(&[nic(name, *address, subnet, *forwards)]),
            Declaration::Appliance { name, address, subnet, .. } => {
                self.topology.change(&[nic(name, *address, subnet, true)])
            }
            Declaration::Host(_) | Declaration::Serve { .. } | Declaration::Link { .. } => Ok(()),
            Declaration::Wire { service, .. } => self.topology.service(service).map(drop),
            Declaration::Seed(number) => {
                self.seed = *number;
                Ok(())
            }
            Declaration::Flows(number) => {
                self.settings.flows.capacity = *number;
                within(*number)
            }
            Declaration::Propagation(time) => Rollout::new(self.seed, *time, Duration::ZERO)
                .map(|rollout| self.topology.rollout = rollout)
                .map_err(|error| error.to_string()),
            Declaration::CloseMode(closing) => {
                self.settings.closing = *closing;
                Ok(())
            }
        }
    }

    /// Lists the members of a scenario, in the order of the file.
    ///
    /// # Errors
    ///
    /// The first one that cannot be where the file puts it.
    pub fn members(&self, scenario: &Scenario) -> Result<Vec<Member>, ScenarioError> {
        let members = scenario.declarations.iter().filter_map(|(line, declaration)| {
            let member = self.member(*line, declaration, scenario).transpose()?;
            Some(member.map_err(|why| Problem::Refused(why).at(&scenario.file, *line)))
        });
        members.collect()
    }

    fn member(
        &self,
        line: usize,
        declaration: &Declaration,
        scenario: &Scenario,
    ) -> Result<Option<Member>, String> {
        let (name, address, edge, role) = match declaration {
            Declaration::Host(host) => {
                let edge = self.topology.home(host)?;
                let role = Role::Host { forwards: host.forwards, serves: host.serves.clone() };
                (&host.name, host.address, edge, role)
            }
            Declaration::Appliance { name, address, translates, .. } => {
                let edge = Edge::Nic(self.topology.nic(name)?);
                (name, *address, edge, Role::Appliance { translates: *translates })
            }
            Declaration::Serve { resource, by } => {
                let id = self.topology.resource(resource)?;
                let found =
                    self.topology.network.resource(id).map_err(|error| error.to_string())?;
                let edge = Edge::Service { service: found.service, identity: None };
                (resource, found.address, edge, Role::Resource { id, by: by.clone() })
            }
            _ => return Ok(None),
        };
        let link = scenario.link(name);
        Ok(Some(Member { name: name.clone(), address, edge, role, link, line }))
    }

    /// Makes edits as scenarios write them, `edit ; edit`: all are made, or none.
    /// [`commit`](Self::commit) then compiles them. Returns whether they only change how names
    /// resolve, which no packet notices.
    ///
    /// # Errors
    ///
    /// Words that are not an edit, or an edit that the model refuses.
    pub fn change(&mut self, now: Time, words: &str) -> Result<bool, Problem> {
        let mut words = Words::new(words);
        let expected = "a change such as \"enable Microsoft.Storage on web\"";
        let edits = Edit::parse_all(&mut words)?.ok_or_else(|| words.wrong(expected))?;
        words.end()?;
        self.topology.now = now;
        self.topology.change(&edits).map_err(Problem::Refused)?;
        Ok(edits.iter().any(Edit::is_of_names))
    }

    /// Compiles the network as it is now.
    pub fn commit(&mut self) -> Arc<vnetem::Snapshot> {
        self.topology.network.commit()
    }

    /// Returns when an endpoint reaches further hosts, if a change is pending.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Time> {
        self.topology.rollout.poll_timeout()
    }

    /// Lets endpoints reach the hosts that they reach by now. Returns whether any did, so that a
    /// commit is due.
    pub fn handle_timeout(&mut self, now: Time) -> bool {
        self.topology.rollout.handle_timeout(now, &mut self.topology.network)
    }

    /// Returns the network.
    #[must_use]
    pub fn network(&self) -> &Network {
        &self.topology.network
    }

    /// Returns the limits and modes that the scenario asks for. The keys are those of seed 0.
    #[must_use]
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Returns the seed of the scenario.
    #[must_use]
    pub fn seed(&self) -> u64 {
        self.seed
    }

    /// Returns an edge as scenarios write it.
    #[must_use]
    pub fn place(&self, edge: Edge) -> String {
        self.topology.place(edge)
    }

    /// Finds the subnet with a name such as `web` or `alpha/web`.
    ///
    /// # Errors
    ///
    /// There is none, or there are several.
    pub fn subnet(&self, name: &str) -> Result<SubnetId, Problem> {
        self.topology.subnet(name).map_err(Problem::Refused)
    }

    /// Finds the interface with a name.
    ///
    /// # Errors
    ///
    /// There is none.
    pub fn nic(&self, name: &str) -> Result<NicId, Problem> {
        self.topology.nic(name).map_err(Problem::Refused)
    }

    /// Lists the rules of a resource, line by line.
    ///
    /// # Errors
    ///
    /// There is no such resource.
    pub fn rules(&self, resource: &str) -> Result<Vec<String>, Problem> {
        self.topology.rules(resource).map_err(Problem::Refused)
    }

    /// Reads a place and a packet as a step has them, `web 10.0.0.4:50001 > 52.239.1.9:443 tcp S`.
    ///
    /// # Errors
    ///
    /// A place or a packet that cannot be read.
    pub fn packet(&self, words: &str) -> Result<(Edge, Bytes), Problem> {
        let mut words = Words::new(words);
        let place = Place::parse(&mut words)?;
        let packet = runner::parse(words.rest())?;
        let edge = self.topology.edge(&place, packet.destination).map_err(Problem::Refused)?;
        Ok((edge, packet.build()))
    }

    /// Returns the edge by which the packets of a place enter.
    ///
    /// # Errors
    ///
    /// A place that cannot be read.
    pub fn edge(&self, place: &str) -> Result<Edge, Problem> {
        let mut words = Words::new(place);
        let place = Place::parse(&mut words)?;
        words.end()?;
        self.topology.edge(&place, Ipv4Addr::UNSPECIFIED).map_err(Problem::Refused)
    }

    /// Writes the lines of a change: the generation, what it closed, and the packets that it made.
    #[must_use]
    pub fn outcome(
        &self,
        before: Generation,
        after: Generation,
        closed: &[Event],
        made: &[Transmit],
    ) -> Vec<String> {
        outcome::change(&self.topology, (before, after), closed, made)
    }

    /// Returns the suffix of the names of a service's resources, `blob.core.windows.net`.
    #[must_use]
    pub fn domain(&self, resource: ResourceId) -> Option<String> {
        let found = self.topology.network.resource(resource).ok()?;
        Some(self.topology.domain(found))
    }
}

fn nic(name: &str, address: Ipv4Addr, subnet: &str, forwarding: bool) -> Edit {
    Edit::Nic { name: name.to_owned(), address, subnet: subnet.to_owned(), forwarding }
}

/// The most flows of a scenario, which take 3 GiB.
const MOST_FLOWS: u32 = 1 << 24;

fn within(flows: u32) -> Result<(), String> {
    match flows <= MOST_FLOWS {
        true => Ok(()),
        false => Err(format!("there can be at most {MOST_FLOWS} flows")),
    }
}
