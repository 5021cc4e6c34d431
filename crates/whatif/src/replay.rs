//! Plays captures through a network, split into units that share nothing.
//!
//! [`Units`] says which unit a packet belongs to, and a [`Player`] plays the packets of one unit.
//! `vnetem replay` has all units in one process, `vnetem-dist` spreads them over workers. Packets
//! and counts are the same, since a unit never depends on another one.

mod count;
mod hosts;
mod player;
mod players;
mod units;

pub use count::ReplayCount;
pub use hosts::Hosts;
pub use player::{Happening, Played, Player};
pub use players::Players;
pub use units::{Finder, SPLIT_ABOVE, Unit, Units};
