//! What a script may do at its time.

use std::sync::{Arc, Mutex};

use tokio::task::{JoinHandle, LocalSet};
use vnetem::{Event, Network};

use super::handle::HostHandle;
use super::{Main, Outcome, Shared};
use crate::world::{Changed, LinkState};
use crate::{LinkSettings, World};

/// The network and its hosts at one moment.
pub struct Control<'a> {
    pub(super) shared: &'a mut Shared,
    pub(super) all: &'a Arc<Mutex<Shared>>,
    pub(super) mains: &'a mut Vec<Main>,
    pub(super) set: &'a LocalSet,
    /// Code of hosts that have crashed; it ends in its own time.
    pub(super) reaped: &'a mut Vec<JoinHandle<Outcome>>,
    pub(super) changed: Changed,
    /// The first host that was asked for and is not there.
    pub(super) fault: Option<String>,
}

impl Control<'_> {
    /// Edits the network and applies the change at once.
    pub fn edit<R>(&mut self, edit: impl FnOnce(&mut Network) -> R) -> R {
        let result = edit(&mut self.shared.network);
        let snapshot = self.shared.network.commit();
        self.changed = self.shared.world.apply(snapshot);
        result
    }

    /// Flows that the last edit closed.
    #[must_use]
    pub fn closed(&self) -> &[Event] {
        &self.changed.closed
    }

    /// Powers a host off: its code ends, nobody is told, and what is on the way to it is lost. A
    /// client counts as finished then.
    pub fn crash(&mut self, name: &str) {
        let Some(id) = self.find(name) else { return };
        self.shared.switch_off(id);
        let Some(main) = self.mains.get_mut(id) else { return };
        main.done = true;
        if let Some(handle) = main.handle.take() {
            handle.abort();
            self.reaped.push(handle);
        }
    }

    /// Powers a host on again, or off and on: its code starts anew.
    pub fn restart(&mut self, name: &str) {
        self.crash(name);
        let Some(id) = self.find(name) else { return };
        self.shared.switch_on(id);
        let incarnation = self.shared.incarnation(id);
        let host = HostHandle::new(Arc::clone(self.all), id, incarnation);
        if let Some(main) = self.mains.get_mut(id) {
            main.start(host, self.set);
        }
    }

    /// Holds all packets from and to a host until [`release`](Self::release).
    pub fn hold(&mut self, name: &str) {
        self.set_passage(name, LinkState::Held);
    }

    /// Lets packets pass again, first those that were held.
    pub fn release(&mut self, name: &str) {
        self.set_passage(name, LinkState::Passing);
    }

    /// Loses all packets from and to a host until [`release`](Self::release).
    pub fn cut(&mut self, name: &str) {
        self.set_passage(name, LinkState::Cut);
    }

    /// Changes what both links of a host do.
    pub fn set_links(&mut self, name: &str, settings: LinkSettings) {
        if let Some(station) = self.find(name).and_then(|id| self.shared.station(id)) {
            self.shared.world.change_links(station, settings);
        }
    }

    /// Lets a name mean an address from now on.
    pub fn name(&mut self, name: &str, address: core::net::Ipv4Addr) {
        self.shared.set_name(name, address);
    }

    /// Looks at the world: the data plane and its counters, appliances, access logs.
    #[must_use]
    pub fn world(&self) -> &World<'static> {
        &self.shared.world
    }

    fn set_passage(&mut self, name: &str, passage: LinkState) {
        if let Some(station) = self.find(name).and_then(|id| self.shared.station(id)) {
            self.shared.world.set_passage(station, passage);
        }
    }

    fn find(&mut self, name: &str) -> Option<usize> {
        let found = self.shared.machine(name);
        if found.is_none() {
            self.fault.get_or_insert_with(|| format!("there is no host of the name {name}"));
        }
        found
    }
}

impl core::fmt::Debug for Control<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Control").field("now", &self.shared.world.now()).finish_non_exhaustive()
    }
}
