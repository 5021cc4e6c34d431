//! All units of a network in one process.

use std::collections::BTreeMap;
use std::sync::Arc;

use vnetem::{Snapshot, Time};

use super::{Happening, Player, ReplayCount, Unit, Units};

/// The players of all units, each made when its first packet comes.
#[derive(Debug)]
pub struct Players<'a> {
    units: &'a Units,
    snapshot: Arc<Snapshot>,
    flows: u32,
    players: BTreeMap<Unit, Player>,
}

impl<'a> Players<'a> {
    /// Makes room for players that together have up to `flows` live flows.
    #[must_use]
    pub fn new(units: &'a Units, snapshot: Arc<Snapshot>, flows: u32) -> Self {
        Self { units, snapshot, flows, players: BTreeMap::new() }
    }

    /// Returns the player of a unit.
    pub fn player(&mut self, unit: Unit) -> &mut Player {
        self.players.entry(unit).or_insert_with(|| {
            let hosts = Arc::clone(self.units.hosts());
            let settings = self.units.settings(unit, self.flows);
            Player::new(hosts, Arc::clone(&self.snapshot), settings)
        })
    }

    /// Applies a change in every unit.
    ///
    /// # Errors
    ///
    /// `see` failed.
    pub fn apply<E>(
        &mut self,
        at: Time,
        snapshot: &Arc<Snapshot>,
        mut see: impl FnMut(Happening<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        self.snapshot = Arc::clone(snapshot);
        let mut players = self.players.values_mut();
        players.try_for_each(|player| player.apply(at, Arc::clone(snapshot), &mut see))
    }

    /// Returns what became of all packets.
    #[must_use]
    pub fn counts(&self) -> ReplayCount {
        let mut counts = ReplayCount::default();
        for player in self.players.values() {
            counts.add(player.counts());
        }
        counts
    }
}
