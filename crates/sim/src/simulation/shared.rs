//! What the clock and the sockets share: the world, the network, the hosts.

use core::net::Ipv4Addr;
use std::collections::BTreeMap;
use std::io::{self, ErrorKind};

use tokio::task::AbortHandle;
use vnetem::{Network, Time, VnetId};

use super::place::Spot;
use super::{Place, TcpSettings};
use crate::World;
use crate::engine::{Patience, Stack, StackSettings};
use crate::world::StationId;

/// All that is behind the lock.
pub(crate) struct Shared {
    pub(crate) world: World<'static>,
    pub(crate) network: Network,
    pub(super) machines: Vec<Machine>,
    pub(super) names: BTreeMap<String, Ipv4Addr>,
    pub(super) tcp: TcpSettings,
    /// Hosts one of whose sockets was dropped by a panic, and when.
    pub(super) panics: Vec<(usize, Time)>,
}

/// A host that runs async code.
pub(super) struct Machine {
    pub(super) name: String,
    station: StationId,
    spot: Spot,
    tcp: TcpSettings,
    /// How often it was switched on; sockets of an earlier time are dead.
    pub(super) incarnation: u32,
    /// What it has spawned.
    pub(super) tasks: Vec<AbortHandle>,
}

impl Shared {
    pub(super) fn new(world: World<'static>, network: Network) -> Self {
        Self {
            world,
            network,
            machines: Vec::new(),
            names: BTreeMap::new(),
            tcp: TcpSettings::default(),
            panics: Vec::new(),
        }
    }

    pub(super) fn set_tcp(&mut self, settings: TcpSettings) {
        self.tcp = settings;
    }

    pub(super) fn set_name(&mut self, name: &str, address: Ipv4Addr) {
        self.names.insert(name.to_owned(), address);
    }

    /// Puts up a host and switches it on.
    pub(super) fn add(&mut self, name: &str, place: Place) -> Result<usize, String> {
        if self.machine(name).is_some() {
            return Err(format!("there are two hosts of the name {name}"));
        }
        let spot = place.find(&self.network).map_err(|why| format!("{name}: {why}"))?;
        let station = self.world.add_stack(name, spot.edge, spot.address, spot.front);
        let (name, tcp, tasks) = (name.to_owned(), self.tcp.clone(), Vec::new());
        self.names.insert(name.clone(), spot.address);
        self.machines.push(Machine { name, station, spot, tcp, incarnation: 0, tasks });
        let id = self.machines.len() - 1;
        self.switch_on(id);
        Ok(id)
    }

    pub(super) fn machine(&self, name: &str) -> Option<usize> {
        self.machines.iter().position(|machine| machine.name == name)
    }

    pub(super) fn station(&self, id: usize) -> Option<StationId> {
        self.machines.get(id).map(|machine| machine.station)
    }

    pub(super) fn switch_on(&mut self, id: usize) {
        let Some(machine) = self.machines.get(id) else { return };
        let seed = self.world.seed_of(machine.station, machine.incarnation);
        self.world.switch_on(machine.station, machine.settings(seed));
    }

    /// Power off: no FIN, no reset.
    pub(super) fn switch_off(&mut self, id: usize) {
        let Some(machine) = self.machines.get_mut(id) else { return };
        machine.incarnation += 1;
        machine.tasks.drain(..).for_each(|task| task.abort());
        self.world.switch_off(machine.station);
    }

    pub(super) fn incarnation(&self, id: usize) -> u32 {
        self.machines.get(id).map_or(0, |machine| machine.incarnation)
    }

    /// A host and its open connections, for a report.
    pub(super) fn waiting(&self, id: usize) -> String {
        let Some(machine) = self.machines.get(id) else { return String::new() };
        let open = self.world.connections_of(machine.station);
        match open.as_slice() {
            [] => machine.name.clone(),
            open => format!("{} ({})", machine.name, open.join(", ")),
        }
    }

    /// Whether sockets of that incarnation still live.
    pub(crate) fn is_live(&self, id: usize, incarnation: u32) -> bool {
        self.machines.get(id).is_some_and(|machine| machine.incarnation == incarnation)
    }

    pub(crate) fn name(&self, id: usize) -> &str {
        self.machines.get(id).map_or("", |machine| machine.name.as_str())
    }

    pub(crate) fn address(&self, id: usize) -> Ipv4Addr {
        self.machines.get(id).map_or(Ipv4Addr::UNSPECIFIED, |machine| machine.spot.address)
    }

    /// The stack of a host that is on.
    pub(crate) fn stack(&mut self, id: usize) -> Option<&mut Stack> {
        let station = self.station(id)?;
        self.world.stack(station)
    }

    /// Schedules a host for now, since it may have something to send.
    pub(crate) fn schedule_now(&mut self, id: usize) {
        if let Some(station) = self.station(id) {
            self.world.schedule_now(station);
        }
    }

    /// Notes that a task of a host panicked.
    pub(crate) fn note_panic(&mut self, id: usize) {
        self.panics.push((id, self.world.now()));
    }

    /// What a name means to a host: a resource by the names of its virtual network, or another
    /// host.
    ///
    /// # Errors
    ///
    /// `NotFound` if the name means nothing there.
    pub(crate) fn resolve(&self, id: usize, name: &str) -> io::Result<Ipv4Addr> {
        if let Ok(address) = name.parse() {
            return Ok(address);
        }
        if name == "localhost" {
            return Ok(Ipv4Addr::LOCALHOST);
        }
        let label = name.split('.').next().unwrap_or(name);
        let found = match self.network.resource_named(label) {
            Some(resource) => self.network.resolve(resource, self.vnet(id)).ok().flatten(),
            None => self.names.get(name).copied(),
        };
        found.ok_or_else(|| {
            let text = format!("no such name for {}: {name}", self.name(id));
            io::Error::new(ErrorKind::NotFound, text)
        })
    }

    fn vnet(&self, id: usize) -> Option<VnetId> {
        self.machines.get(id)?.spot.vnet
    }
}

impl Machine {
    fn settings(&self, seed: u64) -> StackSettings {
        let TcpSettings { window, mtu, connect_timeout, retransmit_timeout, ports } = &self.tcp;
        StackSettings {
            address: self.spot.address,
            edge: self.spot.edge,
            any_address: self.spot.any_address,
            seed,
            maximum_transmission_unit: *mtu,
            window: *window,
            keep_alive: None,
            user_timeout: None,
            patience: Patience { connect: *connect_timeout, give_up: *retransmit_timeout },
            nagle: true,
            congestion_control: smoltcp::socket::tcp::CongestionControl::Cubic,
            ephemeral: (*ports.start(), *ports.end()),
            serve_limit: usize::MAX,
            heeds_icmp: true,
        }
    }
}
