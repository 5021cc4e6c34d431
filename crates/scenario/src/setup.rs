//! Makes the declared hosts, appliances and servers.

use core::net::{Ipv4Addr, Ipv6Addr, SocketAddrV4};

use vnetem::{Edge, Ipv4Net, tunnel::TunnelSettings};
use vnetem_packet::tunnel::{Encapsulation, Fragments, Key, Layout, Overlay, Underlay};

use super::Scenario;
use super::declarations::{DEFAULT_DELAY, Declaration, Home, HostSpec, Serves};
use super::error::{Problem, ScenarioError};
use super::runner::{Runner, Target};
use super::topology::Topology;
use vnetem_sim::world::Served;
use vnetem_sim::{Appliance, LinkSettings};

impl Runner<'_> {
    /// Makes hosts, appliances and servers.
    pub(super) fn setup(&mut self) -> Result<(), ScenarioError> {
        // Taken out, so that a step can borrow the runner mutably. Put back below.
        let scenario = core::mem::replace(&mut self.scenario, Scenario::nothing());
        let mut done = Ok(());
        for (line, declaration) in &scenario.declarations {
            done = self
                .set_up(declaration, &scenario)
                .map_err(|why| Problem::Refused(why).at(&scenario.file, *line));
            if done.is_err() {
                break;
            }
        }
        self.scenario = scenario;
        done
    }

    fn set_up(&mut self, declaration: &Declaration, scenario: &Scenario) -> Result<(), String> {
        match declaration {
            Declaration::Host(host) => {
                self.link_of(&host.name, scenario);
                let edge = self.topology.home(host)?;
                self.free_name(&host.name)?;
                let id = self.world.add_host(&host.name, edge, host.address);
                match &host.serves {
                    // Nothing listens: the command runs in a live network only.
                    Some(Serves::Command { .. }) => {}
                    Some(Serves::App(app)) => {
                        let (app, port) = (*app, app.port());
                        if let Some(server) = self.world.host(id) {
                            server.listen(port, app);
                            server.echo_datagrams(7);
                        }
                        self.targets.push(Target {
                            name: host.name.clone(),
                            remote: SocketAddrV4::new(host.address, port),
                            app,
                            host: host.name.clone(),
                            on_internet: edge == Edge::Internet,
                        });
                    }
                    None => self.clients.push((host.name.clone(), id)),
                }
            }
            Declaration::Appliance { name, address, translates, .. } => {
                self.link_of(name, scenario);
                self.free_name(name)?;
                let edge = Edge::Nic(self.topology.nic(name)?);
                let appliance = if *translates {
                    Appliance::translating(*address)
                } else {
                    Appliance::forwarding(*address)
                };
                self.world.add_appliance(name, edge, appliance);
            }
            Declaration::Serve { resource, by: Serves::Command { .. } } => {
                self.topology.resource(resource)?;
            }
            Declaration::Serve { resource, by: Serves::App(app) } => {
                self.link_of("", scenario);
                self.free_name(resource)?;
                let id = self.topology.resource(resource)?;
                let found =
                    self.topology.network.resource(id).map_err(|error| error.to_string())?;
                let (service, address) = (found.service, found.address);
                self.world.serve(resource, Served { resource: id, service, address, app: *app });
                let domain = self.topology.domain(found);
                self.targets.push(Target {
                    name: resource.clone(),
                    remote: SocketAddrV4::new(address, app.port()),
                    app: *app,
                    host: format!("{resource}.{domain}"),
                    on_internet: false,
                });
            }
            Declaration::Wire { service, encapsulation } => {
                let id = self.topology.service(service)?;
                self.world.set_wire(id, tunnel(*encapsulation));
            }
            _ => {}
        }
        self.link_of("", scenario);
        Ok(())
    }

    /// Sets the link of the next host: its own, or else the default one.
    fn link_of(&mut self, host: &str, scenario: &Scenario) {
        let clean = LinkSettings::clean(DEFAULT_DELAY);
        self.world.set_link(scenario.link(host).unwrap_or(clean));
    }

    fn free_name(&self, name: &str) -> Result<(), String> {
        let taken = self.world.station(name).is_some()
            || self.targets.iter().any(|target| target.name == name);
        if taken { Err(format!("there is a host or server {name} already")) } else { Ok(()) }
    }
}

impl Scenario {
    /// Returns the settings of a host's link: its own, or else the default ones.
    pub(super) fn link(&self, host: &str) -> Option<LinkSettings> {
        let links = self.declarations.iter().filter_map(|(_, declaration)| match declaration {
            Declaration::Link { host, settings } => Some((host.as_deref(), *settings)),
            _ => None,
        });
        let all: Vec<_> = links.collect();
        let own = all.iter().rfind(|(name, _)| *name == Some(host));
        let found = own.or_else(|| all.iter().rfind(|(name, _)| name.is_none()));
        found.map(|(_, settings)| *settings)
    }
}

impl Topology {
    /// Returns the edge by which the packets of a host enter.
    pub(super) fn home(&self, host: &HostSpec) -> Result<Edge, String> {
        let site = match &host.home {
            Home::Internet => return Ok(Edge::Internet),
            Home::Subnet(_) => return self.nic(&host.name).map(Edge::Nic),
            Home::Site(site) => site,
        };
        let id = self.site(site)?;
        let ranges = &self.network.site(id).map_err(|error| error.to_string())?.ranges;
        if !ranges.iter().any(|range: &Ipv4Net| range.contains(&host.address)) {
            return Err(format!("{} is in no range of site {site}", host.address));
        }
        Ok(Edge::Site(id))
    }
}

/// Returns tunnel settings as in the published examples: from 40.1.2.1, with key 100 (W-03, W-13).
fn tunnel(encapsulation: Encapsulation) -> TunnelSettings {
    TunnelSettings {
        layout: Layout::default(),
        region: 1,
        destination: Overlay::prefix(Ipv6Addr::new(0x2603, 0x10e1, 0x100, 2, 0, 0, 0, 0)),
        underlay: Underlay {
            source: Ipv4Addr::new(40, 1, 2, 1),
            destination: None,
            encapsulation,
            key: Key::SERVICE_TUNNEL,
            dscp: 0,
            source_mac: [2, 0, 0, 0, 0, 1],
            destination_mac: [2, 0, 0, 0, 0, 2],
        },
        fragments: Fragments::Carry,
    }
}
