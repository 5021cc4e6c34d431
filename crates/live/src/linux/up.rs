//! `vnetem live`: brings a network up, and keeps it up.

use std::collections::{BTreeSet, HashMap};
use std::ffi::OsString;
use std::io::Write;
use std::net::Ipv4Addr;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::Signal;
use nix::sys::signalfd::SignalFd;
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use serde_json::json;
use vnetem::{DataPlane, Edge, Settings};
use vnetem_azure::ServiceTags;
use vnetem_scenario::Scenario;
use vnetem_scenario::{Member, Model, Role, Serves};
use vnetem_sim::Appliance;
use vnetem_sim::world::{FrontEnds, Served};

use super::control::{Control, Mailbox, Request};
use super::device::Device;
use super::identity::IdentityHeaders;
use super::namespaces::{Spaces, Spec, enter};
use super::router::{Parts, Router, server};
use super::seen::Sight;
use super::spawn::{Running, Streams, start};
use super::stations::{Body, Place, Station, Stations};
use super::tap::Tap;
use super::wait::take_signals;
use crate::{Answer, LiveError};

/// How a network is brought up.
pub struct Options {
    /// Under which name `exec` and `ctl` find it.
    pub name: String,
    /// What it is.
    pub scenario: Scenario,
    /// The folder in which servers of the scenario are started: that of its file.
    pub folder: PathBuf,
    /// The list of service tags that the scenario's services take their prefixes from.
    pub tags: Arc<ServiceTags>,
    /// Whether packets of many segments are carried in one piece.
    pub offload: bool,
    /// Whether packets to unknown addresses of the internet vanish without an answer.
    pub silent: bool,
    /// How calls are printed.
    pub printing: Printing,
    /// Where every packet is written, as pcapng.
    pub capture: Option<Box<dyn Write + Send>>,
    /// Whether the end of standard input ends the network.
    pub until_stdin_ends: bool,
    /// Edges, as scenarios write places, and TUN devices of this network namespace whose far end is
    /// there. A device that is not there yet is made.
    pub attach: Vec<(String, String)>,
    /// A host and a command whose end ends the network.
    pub inside: Option<(String, Vec<OsString>)>,
}

/// How calls are printed, on standard output.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Printing {
    /// A line a call.
    #[default]
    Text,
    /// A JSON object a line.
    Json,
    /// The same lines as for people, on standard error, since standard output is another's.
    Aside,
}

/// The most flows that a network without `flows N` has room for.
const FLOWS: u32 = 65_536;
/// Ports from which hosts call that have an address alone.
const PORTS: (u16, u16) = (32_768, 60_999);

/// Brings a network up, carries its packets until it is to end, and gives the exit status: that of
/// the command inside, or 0. This process must have one thread.
///
/// # Errors
///
/// What is not allowed here, or what of the scenario cannot be.
pub fn up(options: Options) -> Result<u8, LiveError> {
    let began = Instant::now();
    let signals = take_signals().map_err(LiveError::system("signals"))?;
    // Before this process is in namespaces of its own, where they are not.
    let attached = options.attach.iter().map(|(_, interface)| {
        let opened = Device::attach(interface, options.offload && options.capture.is_none());
        opened.map_err(LiveError::system(format!("the TUN device {interface}")))
    });
    let attached: Vec<Device> = attached.collect::<Result<_, _>>()?;
    let users = enter().map_err(|obstacle| LiveError::Refused(obstacle.to_string()))?;
    let control = Control::listen(&options.name, users)?;
    let mut model = Model::new(&options.scenario, Arc::clone(&options.tags))?;
    let members = model.members(&options.scenario)?;
    let capture = options.capture.is_some();
    let Made { mut stations, front_ends, servers } =
        make(&members, &model, options.offload && !capture)?;
    for ((place, interface), device) in options.attach.iter().zip(attached) {
        let edge = model.edge(place).map_err(|problem| LiveError::Refused(problem.to_string()))?;
        stations.attach(interface, edge, device).map_err(LiveError::Refused)?;
    }
    let tap = options.capture.map(Tap::new).transpose();
    let tap = tap.map_err(|error| LiveError::Refused(error.to_string()))?;
    let plane = DataPlane::new(model.commit(), settings(&model)?);
    let (name, printing) = (options.name, options.printing);
    if let Some((host, _)) = &options.inside {
        // Before anybody reads that the network is up.
        stations.spaces(host).map_err(LiveError::Refused)?;
    }
    let mut running = Vec::new();
    for (host, command) in &servers {
        let spaces = stations.spaces(host).map_err(LiveError::Refused)?;
        let words = ["sh", "-c", command.as_str()].map(OsString::from);
        let started = start(&spaces, (host, &name), &words, Streams::Server, &options.folder);
        running.push((host.clone(), started.map_err(LiveError::system(host.as_str()))?));
    }
    announce(&name, &stations, began, printing);
    let inside = match options.inside {
        None => None,
        Some((host, words)) => {
            let spaces = stations.spaces(&host).map_err(LiveError::Refused)?;
            let started =
                start(&spaces, (&host, &name), &words, Streams::Inherited, Path::new("."));
            Some(started.map_err(LiveError::system(host.as_str()))?)
        }
    };
    let say = Box::new(move |sight: &Sight| print(sight, printing));
    let silent = options.silent;
    let mut router = Router::new(Parts { model, plane, stations, front_ends, tap, silent, say });
    router.readdress();
    let main = inside.as_ref().map(|inside| inside.child.id());
    watch(signals, control.mailbox(), main);
    if options.until_stdin_ends {
        let mailbox = control.mailbox();
        std::thread::spawn(move || {
            let _ = std::io::copy(&mut std::io::stdin(), &mut std::io::sink());
            mailbox.put(Request::Down(0))
        });
    }
    let mut status = 0;
    let done = router.run(&control, |router, request| match request {
        Request::Ask(words, reply) if words.trim() == "down" => {
            let _ = reply.send(Answer::lines(vec!["down".to_owned()]));
            false
        }
        Request::Ask(words, reply) => {
            let _ = reply.send(router.answer(&words));
            true
        }
        Request::Enter(host, reply) => {
            let _ = reply.send(router.stations.spaces(&host).map_err(Answer::refused));
            true
        }
        Request::Ended(pid, status) => {
            if let Some((host, _)) = running.iter().find(|(_, it)| it.child.id() == pid) {
                eprintln!("vnetem: the server of {host} ended with status {status}");
            }
            true
        }
        Request::Down(by) => {
            status = by;
            false
        }
    });
    running.into_iter().for_each(|(_, server)| server.end());
    inside.into_iter().for_each(Running::end);
    done.map(|()| status)
}

/// Settings of the scenario, with keys that nobody outside can know.
fn settings(model: &Model) -> Result<Settings, LiveError> {
    let mut entropy = [0; 16];
    getrandom::fill(&mut entropy)
        .map_err(|error| LiveError::Refused(format!("no entropy for keys: {error}")))?;
    let asked = model.settings();
    let mut settings = Settings::secret(entropy);
    settings.closing = asked.closing;
    settings.flows.capacity = asked.flows.capacity.max(FLOWS);
    settings.queue = 4096;
    settings.events = 4096;
    Ok(settings)
}

/// Everybody of a members, at their edges.
struct Made {
    stations: Stations,
    front_ends: FrontEnds,
    /// Hosts with a server of their own, and its command.
    servers: Vec<(String, String)>,
}

fn make(members: &[Member], model: &Model, offload: bool) -> Result<Made, LiveError> {
    let ports = port_ranges(members);
    let (mut stations, mut servers) = (Stations::default(), Vec::new());
    let mut front_ends = FrontEnds::default();
    for (at, member) in members.iter().enumerate() {
        let Member { name, address, edge, role, link, line } = member;
        let seed = model.seed().wrapping_mul(1000).wrapping_add(at as u64);
        let spec = Spec {
            address: *address,
            forwards: false,
            offload: offload && link.is_none(),
            ports: ports.get(name.as_str()).copied(),
        };
        let (mut place, mut headers) = (Place::At(*edge), false);
        let body = match role {
            Role::Host { serves: Some(Serves::App(app)), .. } => {
                let mut host = server(*address, false, seed);
                host.listen(app.port(), *app);
                host.echo_datagrams(ECHO);
                Body::Server(Box::new(host))
            }
            Role::Host { forwards, serves } => {
                if let Some(Serves::Command { line, header }) = serves {
                    servers.push((name.clone(), line.clone()));
                    headers = *header;
                }
                real(Spec { forwards: *forwards, ..spec })?
            }
            Role::Appliance { translates: true } => {
                Body::Appliance(Box::new(Appliance::translating(*address)))
            }
            Role::Appliance { translates: false } => {
                Body::Appliance(Box::new(Appliance::forwarding(*address)))
            }
            Role::Resource { id, by } => {
                let Edge::Service { service, .. } = *edge else { continue };
                match by {
                    Serves::App(app) => {
                        let served =
                            Served { resource: *id, service, address: *address, app: *app };
                        front_ends.serve(name, served);
                        continue;
                    }
                    Serves::Command { line, header } => {
                        servers.push((name.clone(), line.clone()));
                        headers = *header;
                        place = Place::Resource(service, *id);
                        real(spec)?
                    }
                }
            }
        };
        let link = Station::links(*link, seed);
        let (name, address) = (name.clone(), *address);
        let (headers, further) = (headers.then(IdentityHeaders::default), BTreeSet::new());
        let station = Station { name, address, place, body, link, further, headers };
        stations
            .add(station)
            .map_err(|why| LiveError::Refused(format!("line {line} of the scenario: {why}")))?;
    }
    Ok(Made { stations, front_ends, servers })
}

/// The port at which simulated hosts send datagrams back.
const ECHO: u16 = 7;

fn real(spec: Spec) -> Result<Body, LiveError> {
    let (spaces, device) = Spaces::make(&spec)?;
    Ok(Body::Real(device, Arc::new(spaces)))
}

/// Gives hosts with equal addresses ports that differ, so that a real server, which sees nothing of
/// their networks, can show their calls apart.
fn port_ranges(members: &[Member]) -> HashMap<&str, (u16, u16)> {
    let mut alike: HashMap<Ipv4Addr, Vec<&str>> = HashMap::new();
    for member in members.iter().filter(|member| matches!(member.role, Role::Host { .. })) {
        alike.entry(member.address).or_default().push(&member.name);
    }
    let mut ranges = HashMap::new();
    for names in alike.into_values().filter(|names| names.len() > 1) {
        let (first, last) = PORTS;
        let each = (last - first) / u16::try_from(names.len()).unwrap_or(u16::MAX);
        for (from, name) in (first..).step_by(usize::from(each.max(1))).zip(names) {
            ranges.insert(name, (from, from + each.saturating_sub(1)));
        }
    }
    ranges
}

/// Hands the end of children, and signals that ask for an end, to the router. With a command
/// inside, what a terminal sends is that command's business.
fn watch(signals: SignalFd, mailbox: Mailbox, main: Option<u32>) {
    std::thread::spawn(move || {
        loop {
            let mut readable = [PollFd::new(signals.as_fd(), PollFlags::POLLIN)];
            let _ = poll(&mut readable, PollTimeout::NONE);
            while let Ok(Some(signal)) = signals.read_signal() {
                let number = i32::try_from(signal.ssi_signo).unwrap_or(0);
                match Signal::try_from(number) {
                    Ok(Signal::SIGCHLD) => reap(&mailbox, main),
                    Ok(Signal::SIGINT | Signal::SIGQUIT) if main.is_some() => {}
                    _ => {
                        mailbox.put(Request::Down(
                            128_u8.saturating_add(u8::try_from(number).unwrap_or(0)),
                        ));
                    }
                }
            }
        }
    });
}

fn reap(mailbox: &Mailbox, main: Option<u32>) {
    while let Ok(ended) = waitpid(None, Some(WaitPidFlag::WNOHANG)) {
        let (pid, status) = match ended {
            WaitStatus::Exited(pid, code) => (pid, u8::try_from(code & 255).unwrap_or(1)),
            WaitStatus::Signaled(pid, signal, _) => {
                (pid, 128_u8.saturating_add(u8::try_from(signal as i32).unwrap_or(0)))
            }
            WaitStatus::StillAlive => return,
            _ => continue,
        };
        let pid = u32::try_from(pid.as_raw()).unwrap_or(0);
        let request = match main {
            Some(main) if main == pid => Request::Down(status),
            _ => Request::Ended(pid, status),
        };
        mailbox.put(request);
    }
}

/// Says that the network is up.
fn announce(name: &str, stations: &Stations, began: Instant, printing: Printing) {
    let hosts = stations.all.iter().filter(|station| matches!(station.body, Body::Real(..)));
    let hosts: Vec<&str> = hosts.map(|station| station.name.as_str()).collect();
    let took = began.elapsed();
    let first = hosts.first().copied().unwrap_or("HOST");
    let text = format!(
        "{name} is up after {took:.1?}: {}\n  vnetem exec --name {name} {first} -- COMMAND    \
         vnetem ctl --name {name} help",
        hosts.join(", ")
    );
    let value = json!({
        "schema": "vnetem/1",
        "event": "up",
        "name": name,
        "hosts": hosts,
        "seconds": took.as_secs_f64(),
    });
    write_line(&text, &value.to_string(), printing);
}

fn print(sight: &Sight, printing: Printing) {
    let mut value = sight.value();
    if let Some(object) = value.as_object_mut() {
        object.insert("event".to_owned(), "call".into());
    }
    write_line(&sight.line(), &value.to_string(), printing);
}

/// Writes a line. Whoever does not read on any more misses it, and the network goes on.
fn write_line(text: &str, json: &str, printing: Printing) {
    let _ = match printing {
        Printing::Text => writeln!(std::io::stdout(), "{text}"),
        Printing::Json => writeln!(std::io::stdout(), "{json}"),
        Printing::Aside => writeln!(std::io::stderr(), "{text}"),
    };
}
