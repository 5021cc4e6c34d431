//! Async code on emulated hosts, on virtual time.

mod check;
mod control;
mod driver;
mod error;
mod handle;
mod place;
mod recording;
mod shared;

use core::future::Future;
use core::ops::RangeInclusive;
use core::pin::Pin;
use core::time::Duration;
use std::cell::Cell;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::task::JoinHandle;
use vnetem::{Network, NicId, ResourceId, Settings, Time};

pub use check::check_deterministic;
pub use control::Control;
pub use error::{BoxError, Outcome, SimError};
pub use handle::{HostHandle, Scoped};
pub use place::Place;
pub(crate) use shared::Shared;

use crate::world::{Served, Tap};
use crate::{App, Appliance, LinkSettings, World};
use recording::Recording;

/// An emulated network with async code on its hosts, in one thread, on virtual time.
///
/// Names come from the network (`stdata`, `stdata.blob.core.windows.net`) and from the hosts. Time
/// passes only when no task can go on, and then at once. Same seed, same code: same packets at the
/// same times.
///
/// ```
/// use core::time::Duration;
/// use tokio::io::{AsyncReadExt, AsyncWriteExt};
/// use vnetem::{Network, control::Outbound};
/// use vnetem_sim::{BoxError, Place, Sim, TcpListener, TcpStream};
///
/// # fn main() -> Result<(), BoxError> {
/// let mut network = Network::new();
/// let vnet = network.add_vnet("alpha", &["10.0.0.0/16".parse()?])?;
/// let web = network.add_subnet(vnet, "web", "10.0.0.0/24".parse()?)?;
/// network.set_outbound(web, Outbound::NatGateway(vec!["20.1.1.1".parse()?]))?;
///
/// let mut sim = Sim::new(network, 1);
/// sim.host("time", Place::Internet([198, 51, 100, 20].into()), || async {
///     let listener = TcpListener::bind("0.0.0.0:37").await?;
///     loop {
///         let (mut stream, caller) = listener.accept().await?;
///         stream.write_all(caller.ip().to_string().as_bytes()).await?;
///     }
/// });
/// sim.client("vm-a", Place::Subnet(web, [10, 0, 0, 4].into()), async {
///     tokio::time::sleep(Duration::from_secs(86_400)).await;
///     let mut seen_as = String::new();
///     TcpStream::connect("time:37").await?.read_to_string(&mut seen_as).await?;
///     assert_eq!(seen_as, "20.1.1.1");
///     Ok(())
/// });
/// sim.run()?;
/// # Ok(())
/// # }
/// ```
pub struct Sim {
    shared: Arc<Mutex<Shared>>,
    mains: Vec<Main>,
    scripts: Vec<(Time, Option<Script>)>,
    limit: Duration,
    recording: Arc<Mutex<Recording>>,
    /// The first thing that was put together wrongly.
    fault: Option<String>,
    ran: bool,
}

/// How TCP behaves on a host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TcpSettings {
    /// Bytes that a connection buffers in each direction.
    pub window: u32,
    /// The longest packet that the host sends, in bytes.
    pub mtu: u16,
    /// How long a SYN waits for its answer (Linux: 127 s for six retransmissions); for ever
    /// without.
    pub connect_timeout: Option<Duration>,
    /// How long data waits for its acknowledgement (Linux: 924 s for fifteen retransmissions); for
    /// ever without.
    pub retransmit_timeout: Option<Duration>,
    /// Local ports of calls that do not name theirs.
    pub ports: RangeInclusive<u16>,
}

/// What a run amounted to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct SimStats {
    /// The time since the start.
    pub time: Duration,
    /// Packets that the data plane saw or made.
    pub packets: u64,
    /// Packets that left for a place where nobody is.
    pub undelivered: u64,
}

/// Makes the code of a host, once for each start.
type Software = Box<dyn Fn() -> Pin<Box<dyn Future<Output = Outcome>>>>;
type Script = Box<dyn FnOnce(&mut Control<'_>)>;

/// The code of one host.
struct Main {
    software: Software,
    handle: Option<JoinHandle<Outcome>>,
    /// Whether the run waits for its end.
    awaited: bool,
    done: bool,
}

impl Sim {
    /// Makes a simulation of a network with nobody in it.
    #[must_use]
    pub fn new(network: Network, seed: u64) -> Self {
        Self::with_settings(network, Settings::replayable(seed), seed)
    }

    /// Makes a simulation with settings of the data plane.
    #[must_use]
    pub fn with_settings(mut network: Network, settings: Settings, seed: u64) -> Self {
        let mut world = World::new(network.commit(), settings, seed);
        world.forget_history();
        let shared = Shared::new(world, network);
        Self {
            shared: Arc::new(Mutex::new(shared)),
            mains: Vec::new(),
            scripts: Vec::new(),
            limit: Duration::from_secs(366 * 86_400),
            recording: Arc::default(),
            fault: None,
            ran: false,
        }
    }

    /// Puts up a host that serves as long as the simulation lasts. Its code is run again when the
    /// host restarts.
    pub fn host<F>(&mut self, name: &str, place: Place, software: impl Fn() -> F + 'static)
    where
        F: Future<Output = Outcome> + 'static,
    {
        self.add(name, place, Box::new(move || Box::pin(software())), false);
    }

    /// Puts up a host whose code the run waits for. It is run once: after a crash it does not start
    /// again.
    pub fn client<F>(&mut self, name: &str, place: Place, main: F)
    where
        F: Future<Output = Outcome> + 'static,
    {
        let main = Cell::new(Some(main));
        let software = move || -> Pin<Box<dyn Future<Output = Outcome>>> {
            match main.take() {
                Some(main) => Box::pin(main),
                None => Box::pin(core::future::ready(Ok(()))),
            }
        };
        self.add(name, place, Box::new(software), true);
    }

    /// Does something to the network or its hosts at a time. At equal times the first that was
    /// given comes first.
    pub fn at(&mut self, time: Duration, script: impl FnOnce(&mut Control<'_>) + 'static) {
        self.scripts.push((Time(0) + time, Some(Box::new(script))));
    }

    /// Sets what links of hosts do that are added from now on (default: a delay of 1 ms each way).
    pub fn set_links(&mut self, settings: LinkSettings) {
        self.lock().world.set_link(settings);
    }

    /// Sets how TCP behaves on hosts that are added from now on.
    pub fn set_tcp(&mut self, settings: TcpSettings) {
        self.lock().set_tcp(settings);
    }

    /// Sets when a run that goes on is stuck (default: after a year).
    pub fn set_limit(&mut self, limit: Duration) {
        self.limit = limit;
    }

    /// Gives a further name to an address.
    pub fn name(&mut self, name: &str, address: core::net::Ipv4Addr) {
        self.lock().set_name(name, address);
    }

    /// Lets a resource answer by the ready-made front end: every path is a [`Blob`](crate::Blob),
    /// its rules say who may read it.
    pub fn serve(&mut self, resource: ResourceId, app: App) {
        let mut shared = self.lock();
        let served = shared.network.resource(resource).map(|it| Served {
            resource,
            service: it.service,
            address: it.address,
            app,
        });
        match served {
            Ok(served) => {
                let name = shared.world.data_plane().snapshot().resource_name(resource);
                shared.world.serve(&name, served);
            }
            Err(why) => {
                drop(shared);
                self.note_fault(why.to_string());
            }
        }
    }

    /// Puts the ready-made appliance behind an interface that forwards.
    pub fn appliance(&mut self, name: &str, nic: NicId, appliance: Appliance) {
        self.lock().world.add_appliance(name, vnetem::Edge::Nic(nic), appliance);
    }

    /// Shows every packet at every place.
    pub fn tap(&mut self, tap: Box<Tap<'static>>) {
        self.record().tap = Some(tap);
        self.listen_in();
    }

    /// Writes a capture of all packets.
    pub fn capture(&mut self) {
        self.record().start_capture();
        self.listen_in();
    }

    /// Takes the capture so far, a pcapng file; empty if none was asked for.
    #[must_use]
    pub fn take_capture(&mut self) -> Vec<u8> {
        self.record().take_capture()
    }

    /// Returns what the run has amounted to so far.
    #[must_use]
    pub fn stats(&self) -> SimStats {
        let shared = self.lock();
        let time = shared.world.now().since(Time(0));
        let (packets, undelivered) = (shared.world.packets(), shared.world.undelivered());
        SimStats { time, packets, undelivered }
    }

    /// Looks at the world: the data plane and its counters, appliances, access logs.
    pub fn world<R>(&self, look: impl FnOnce(&World<'static>) -> R) -> R {
        look(&self.lock().world)
    }

    /// Runs until all clients have finished.
    ///
    /// # Errors
    ///
    /// [`SimError`] if a client fails, anybody panics, or the clients can never finish.
    pub fn run(&mut self) -> Result<(), SimError> {
        if let Some(fault) = self.fault.take() {
            return Err(SimError::Setup(fault));
        }
        if core::mem::replace(&mut self.ran, true) {
            return Err(SimError::Setup("a simulation runs once".to_owned()));
        }
        driver::run(self)
    }

    fn add(&mut self, name: &str, place: Place, software: Software, awaited: bool) {
        let added = self.lock().add(name, place);
        match added {
            Ok(_) => self.mains.push(Main { software, handle: None, awaited, done: false }),
            Err(why) => self.note_fault(why),
        }
    }

    fn note_fault(&mut self, why: String) {
        self.fault.get_or_insert(why);
    }

    fn listen_in(&mut self) {
        let recording = Arc::clone(&self.recording);
        self.lock().world.tap(Box::new(move |tapped| {
            recording.lock().unwrap_or_else(PoisonError::into_inner).take(tapped);
        }));
    }

    fn record(&self) -> MutexGuard<'_, Recording> {
        self.recording.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lock(&self) -> MutexGuard<'_, Shared> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for TcpSettings {
    fn default() -> Self {
        Self {
            window: 131_072,
            mtu: 1500,
            connect_timeout: Some(Duration::from_secs(127)),
            retransmit_timeout: Some(Duration::from_secs(924)),
            ports: 32_768..=60_999,
        }
    }
}

impl core::fmt::Debug for Sim {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Sim").field("stats", &self.stats()).finish_non_exhaustive()
    }
}
