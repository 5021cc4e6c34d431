//! The router: one thread that carries packets between all stations and the data plane.

mod carry;
mod simulated;
mod turn;

pub(super) use simulated::server;

use std::collections::VecDeque;
use std::io;
use std::os::fd::AsFd;
use std::sync::mpsc::Receiver;
use std::time::Instant;

use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags};
use nix::sys::timerfd::{ClockId, TimerFd, TimerFlags};
use vnetem::{DataPlane, Event, Time};
use vnetem_scenario::Model;
use vnetem_sim::world::FrontEnds;

use super::control::{Control, Request};
use super::offload::HEADER;
use super::os;
use super::seen::Sights;
use super::stations::Stations;
use super::tap::Tap;
use crate::LiveError;

/// Bytes of the longest packet with its header.
const LONGEST: usize = HEADER + 65_536;
/// What is readable, by the data of its event; stations have their own number.
const BELL: u64 = u64::MAX;
const ALARM: u64 = u64::MAX - 1;

/// Everything that a live network is made of, but for its sockets and commands.
pub(super) struct Router {
    pub(super) model: Model,
    pub(super) plane: DataPlane,
    pub(super) stations: Stations,
    pub(super) sights: Sights,
    pub(super) carried: Carried,
    front_ends: FrontEnds,
    /// Seed of everything that is simulated.
    seed: u64,
    /// Packets that were made here and enter at a station.
    pending: VecDeque<(usize, Vec<u8>)>,
    /// Flows that a change closed, since last asked for.
    closed: Vec<Event>,
    tap: Option<Tap>,
    /// Whether packets to unknown addresses of the internet vanish without an answer.
    silent: bool,
    say: Box<dyn FnMut(&super::seen::Sight)>,
    began: Instant,
    now: Time,
}

/// What the router has carried, beside what the data plane counts.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Carried {
    /// Packets read from devices; one that stands for many counts once.
    pub(super) read: u64,
    /// The packets that these stand for.
    pub(super) segments: u64,
    /// Packets of IPv6, which is not carried.
    pub(super) other: u64,
    /// Packets that left for where nobody is.
    pub(super) nowhere: u64,
    /// Packets that a host's kernel did not take.
    pub(super) refused: u64,
    /// Questions to the name server.
    pub(super) names: u64,
}

/// What a router is made of.
pub(super) struct Parts {
    pub(super) model: Model,
    pub(super) plane: DataPlane,
    pub(super) stations: Stations,
    pub(super) front_ends: FrontEnds,
    pub(super) tap: Option<Tap>,
    pub(super) silent: bool,
    pub(super) say: Box<dyn FnMut(&super::seen::Sight)>,
}

impl Router {
    pub(super) fn new(parts: Parts) -> Self {
        let Parts { model, plane, stations, front_ends, tap, silent, say } = parts;
        Self {
            seed: model.seed(),
            model,
            plane,
            stations,
            sights: Sights::default(),
            carried: Carried::default(),
            front_ends,
            pending: VecDeque::new(),
            closed: Vec::new(),
            tap,
            silent,
            say,
            began: Instant::now(),
            now: Time(0),
        }
    }

    /// Carries packets and answers requests until `other` says that it is over.
    pub(super) fn run(
        &mut self,
        control: &Control,
        mut other: impl FnMut(&mut Self, Request) -> bool,
    ) -> Result<(), LiveError> {
        self.turns(control, &mut other).map_err(LiveError::system("waiting for packets"))
    }

    fn turns(
        &mut self,
        control: &Control,
        other: &mut dyn FnMut(&mut Self, Request) -> bool,
    ) -> io::Result<()> {
        let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC).map_err(os)?;
        let readable = |data| EpollEvent::new(EpollFlags::EPOLLIN, data);
        let alarm = TimerFd::new(ClockId::CLOCK_MONOTONIC, TimerFlags::TFD_NONBLOCK);
        let alarm = alarm.map_err(os)?;
        epoll.add(control.bell.as_fd(), readable(BELL)).map_err(os)?;
        epoll.add(alarm.as_fd(), readable(ALARM)).map_err(os)?;
        for (at, station) in self.stations.all.iter().enumerate() {
            if let Some(device) = station.body.device() {
                epoll.add(device.as_fd(), readable(at as u64)).map_err(os)?;
            }
        }
        let mut events = [EpollEvent::empty(); 64];
        let mut buffer = vec![0; LONGEST];
        loop {
            let timeout = self.wake_at(&alarm)?;
            let ready = match epoll.wait(&mut events, timeout) {
                Err(nix::errno::Errno::EINTR) => 0,
                ready => ready.map_err(os)?,
            };
            self.tick();
            for event in events.iter().take(ready) {
                match event.data() {
                    BELL => {
                        let _ = control.bell.read();
                        if !answer_all(self, &control.requests, other) {
                            return Ok(());
                        }
                    }
                    ALARM => {
                        let _ = alarm.wait();
                    }
                    at => self.read_station(usize::try_from(at).unwrap_or(usize::MAX), &mut buffer),
                }
            }
            self.catch_up();
        }
    }

    /// The time since the network came up.
    pub(super) fn now(&self) -> Time {
        self.now
    }

    fn tick(&mut self) {
        self.now = Time(0) + self.began.elapsed();
    }
}

fn answer_all(
    router: &mut Router,
    requests: &Receiver<Request>,
    other: &mut dyn FnMut(&mut Router, Request) -> bool,
) -> bool {
    requests.try_iter().all(|request| other(router, request))
}
