//! Runs what hosts do over real TCP, and reports what is seen of it.

use core::net::{Ipv4Addr, SocketAddrV4};

use vnetem::{AccessVerdict, Disposition, Edge, Time, VnetId};
use vnetem_packet::TcpFlags;

use super::error::Problem;
use super::runner::{PATIENCE, Runner, Target};
use super::step::Act;
use crate::report::{Probe, ProbeCall, Refused};
use vnetem_sim::world::StationId;
use vnetem_sim::{App, Connection, ConnectionId, Status, http, sql};

/// A call that goes on while other steps are played.
#[derive(Clone, Debug)]
pub(super) struct Background {
    station: StationId,
    connection: ConnectionId,
    app: App,
}

/// A call, and what a report about it needs.
struct Pending {
    from: String,
    target: Target,
    station: StationId,
    /// Whether the name resolves for the caller.
    named: bool,
    connection: Option<ConnectionId>,
    started: Time,
}

/// The answer to a caller for which a name does not resolve.
const NO_NAME: &str = "no such name";

/// Bytes of the answer that a probe asks for.
const PROBE_BYTES: u32 = 16;

impl Runner<'_> {
    pub(super) fn perform(&mut self, host: &str, act: &Act) -> Result<Vec<String>, Problem> {
        let station = self.host_named(host)?;
        match act {
            Act::Get { target, path } => {
                let target = self.target_named(target)?;
                let call = self.call(host, station, &target, path);
                self.wait_for(core::slice::from_ref(&call));
                let seen = self.seen(&call);
                self.note_refusal(&seen, &call);
                let mut line = in_words(&seen, self.bytes_of(&call));
                if let Some(choice) = self.choice_behind_call(&seen, station, &target) {
                    line = format!("{line}   {choice}");
                }
                Ok(vec![line])
            }
            Act::Download { target, path, name } => {
                let target = self.target_named(target)?;
                let call = self.call(host, station, &target, path);
                Ok(self.in_background(name, call, target.app))
            }
            Act::Query { target, query, name } => {
                let target = self.target_named(target)?;
                let call = self.call(host, station, &target, query);
                Ok(self.in_background(name, call, target.app))
            }
            Act::Resolve { target } => {
                let target = self.target_named(target)?;
                Ok(vec![match self.resolve(station, &target) {
                    Some(remote) => format!("{} is {}", target.host, remote.ip()),
                    None => format!("{}: {NO_NAME}", target.host),
                }])
            }
            Act::Ping { address } => Ok(self.ping(station, *address)),
            Act::Datagram { remote } => Ok(self.datagram(station, *remote)),
        }
    }

    /// Reports the state of a download or query.
    pub(super) fn status(&mut self, name: &str) -> Result<Vec<String>, Problem> {
        let Some(background) = self.background.get(name) else {
            let known: Vec<&str> = self.background.keys().map(String::as_str).collect();
            let expected = format!("the name of a download or query ({})", known.join(", "));
            return Err(Problem::Expected { found: format!("\"{name}\""), expected });
        };
        let Some(connection) = self.world.connection(background.station, background.connection)
        else {
            return Ok(vec!["it was never made".into()]);
        };
        let answer = answer_of(background.app, connection);
        let answer = if answer.is_empty() { String::new() } else { format!("{answer}  ") };
        let far = match self.far_end(background) {
            Some(far) => format!("   far end {far}"),
            None => String::new(),
        };
        Ok(vec![format!(
            "{}  {answer}{} bytes received{far}",
            connection.status, connection.received
        )])
    }

    /// Lets every caller call every target, all at once.
    pub(super) fn probe(&mut self, label: &str) -> Vec<String> {
        let at = self.world.now();
        let mut calls = Vec::new();
        for (from, station) in self.clients.clone() {
            let on_internet = self.is_on_internet(station);
            for target in self.targets.clone() {
                // Two hosts on the internet reach each other without the data plane.
                if !(on_internet && target.on_internet) {
                    let path = format!("/probe?bytes={PROBE_BYTES}");
                    calls.push(self.call(&from, station, &target, &path));
                }
            }
        }
        self.wait_for(&calls);
        let mut seen = Vec::new();
        for call in &calls {
            let one = self.seen(call);
            self.note_refusal(&one, call);
            seen.push(one);
        }
        let widths = [
            column(&seen, |call| &call.from),
            column(&seen, |call| &call.to),
            column(&seen, |call| &call.answer),
        ];
        let [from, to, answer] = widths;
        let lines = seen.iter().zip(&calls).map(|(one, call)| {
            let mut rest = rest_in_words(one);
            if let Some(choice) = self.choice_behind_call(one, call.station, &call.target) {
                rest = format!("{rest}   {choice}");
            }
            format!("{:<from$}  {:<to$}  {:<answer$}  {rest}", one.from, one.to, one.answer)
                .trim_end()
                .to_owned()
        });
        let lines = lines.collect();
        self.report.probes.push(Probe { at, label: label.to_owned(), calls: seen });
        lines
    }

    /// Returns the choice of the model on which a call depends that was seen. A call to a private
    /// endpoint depends on none.
    fn choice_behind_call(
        &self,
        seen: &ProbeCall,
        station: StationId,
        target: &Target,
    ) -> Option<&'static str> {
        let to_service = seen.path.iter().any(|hop| hop.starts_with("service"));
        to_service.then(|| self.choice_behind(station, target.remote)).flatten()
    }

    /// Returns the choice of the model on which a host's call depends, if there is one.
    fn choice_behind(&self, station: StationId, remote: SocketAddrV4) -> Option<&'static str> {
        let edge @ Edge::Nic(id) = self.world.edge(station)? else { return None };
        let source = SocketAddrV4::new(self.topology.network.nic(id).ok()?.address, 1);
        let question = vnetem_packet_text::Packet::tcp(source, remote, TcpFlags::SYN).build();
        let trace = self.world.data_plane().trace(self.world.now(), edge, &question);
        super::outcome::choice_behind(&trace)
    }

    fn call(&mut self, from: &str, station: StationId, target: &Target, path: &str) -> Pending {
        let started = self.world.now();
        let request = match target.app {
            App::Http => http::Request::get(&target.host, path).write(),
            App::Sql => sql::conversation(&target.host, path),
        };
        let remote = self.resolve(station, target);
        let connection = remote.and_then(|remote| self.world.call(station, remote, request).ok());
        // A web server closes by itself; a SQL server waits for its client to do so.
        if target.app == App::Sql
            && let (Some(host), Some(connection)) = (self.world.host(station), connection)
        {
            host.close(connection);
        }
        let named = remote.is_some();
        let (from, target) = (from.to_owned(), target.clone());
        Pending { from, target, station, named, connection, started }
    }

    /// Resolves a target for a host; nothing if the name does not exist there.
    ///
    /// - A resource has the address that the caller's network says (S-08, S-50, L-10).
    /// - A serving host has its own address inside its network, the peered ones and the sites
    ///   connected to it. Elsewhere it has the public address of its interface, if it has one.
    fn resolve(&self, station: StationId, target: &Target) -> Option<SocketAddrV4> {
        let network = &self.topology.network;
        let vnet = match self.world.edge(station) {
            Some(Edge::Nic(id)) => {
                let subnet = network.nic(id).and_then(|nic| network.subnet(nic.subnet));
                subnet.ok().map(|subnet| subnet.vnet)
            }
            _ => None,
        };
        let own = *target.remote.ip();
        let address = match network.resource_named(&target.name) {
            Some(resource) => network.resolve(resource, vnet).unwrap_or(Some(own))?,
            None => self.public_address(station, vnet, target).unwrap_or(own),
        };
        Some(SocketAddrV4::new(address, target.remote.port()))
    }

    /// Returns the public address of a serving host, for callers that cannot reach its own.
    fn public_address(
        &self,
        station: StationId,
        vnet: Option<VnetId>,
        target: &Target,
    ) -> Option<Ipv4Addr> {
        let network = &self.topology.network;
        let nic = network.nic(self.topology.nic(&target.name).ok()?).ok()?;
        let home = network.subnet(nic.subnet).ok()?.vnet;
        let home_view = network.vnet(home).ok()?;
        let reaches = match (vnet, self.world.edge(station)) {
            (Some(vnet), _) => vnet == home || home_view.peers.contains(&vnet),
            (None, Some(Edge::Site(site))) => home_view.gateways.contains_key(&site),
            _ => false,
        };
        nic.public.filter(|_| !reaches)
    }

    fn wait_for(&mut self, calls: &[Pending]) {
        let end = self.world.now() + PATIENCE;
        let open = |world: &vnetem_sim::World<'_>, call: &Pending| {
            let connection = call.connection.and_then(|id| world.connection(call.station, id));
            connection.is_some_and(|connection| !connection.status.is_over())
        };
        self.world.run_while(end, |world| calls.iter().any(|call| open(world, call)));
        let now = self.world.now();
        for call in calls {
            if open(&self.world, call)
                && let (Some(host), Some(id)) = (self.world.host(call.station), call.connection)
            {
                host.abort(now, id);
            }
        }
    }

    /// Reports what was seen of a call, at both ends.
    fn seen(&self, call: &Pending) -> ProbeCall {
        let connection = call.connection.and_then(|id| self.world.connection(call.station, id));
        let journey = call.connection.and_then(|id| self.world.journey(call.station, id));
        let answer = match connection {
            None if !call.named => NO_NAME.to_owned(),
            None => "no port".to_owned(),
            Some(connection) => match (answer_of(call.target.app, connection), connection.status) {
                (answer, _) if !answer.is_empty() => answer,
                (_, Status::TimedOut | Status::Aborted) => "no answer".to_owned(),
                (_, status) => status.to_string(),
            },
        };
        let hops = journey.map_or(&[][..], |journey| &journey.hops);
        let appliances = hops.iter().filter(|edge| matches!(edge, Edge::Nic(_)));
        let by_endpoint =
            hops.iter().any(|edge| matches!(edge, Edge::Service { identity: Some(_), .. }));
        let mut reason = journey.and_then(|journey| match journey.verdict.disposition {
            Disposition::Forward(forward) => match forward.access() {
                AccessVerdict::Refused(refusal) => Some(refusal.to_string()),
                AccessVerdict::Unjudged | AccessVerdict::Allowed => None,
            },
            Disposition::Deny(reason) => Some(reason.to_string()),
            Disposition::Drop(reason) => Some(reason.to_string()),
        });
        let reached = answer.starts_with('2') || answer == "login";
        if reached {
            reason = None;
        }
        let source = journey
            .filter(|journey| journey.verdict.forwarded_to().is_some())
            .map(|journey| journey.source);
        let log = self.world.access_log(&call.target.name);
        let seen = log
            .into_iter()
            .rev()
            .find(|access| Some(access.call.client) == source && access.call.time >= call.started);
        ProbeCall {
            from: call.from.clone(),
            to: call.target.name.clone(),
            answer,
            reached,
            path: hops.iter().map(|&edge| self.topology.place(edge)).collect(),
            appliances: appliances.map(|&edge| self.topology.place(edge)).collect(),
            by_endpoint,
            source: source.map(|source| *source.ip()),
            seen_as: seen.map(|access| access.identity.clone()),
            reason,
        }
    }

    fn note_refusal(&mut self, seen: &ProbeCall, call: &Pending) {
        let Some(reason) = &seen.reason else { return };
        let known = |refused: &Refused| {
            refused.from == seen.from && refused.to == seen.to && refused.reason == *reason
        };
        if self.report.refusals.iter().any(known) {
            return;
        }
        let journey = call.connection.and_then(|id| self.world.journey(call.station, id));
        let trace = journey.map(|journey| journey.trace.to_string()).unwrap_or_default();
        self.report.refusals.push(Refused {
            at: call.started,
            from: seen.from.clone(),
            to: seen.to.clone(),
            answer: seen.answer.clone(),
            reason: reason.clone(),
            trace,
        });
    }

    fn in_background(&mut self, name: &str, call: Pending, app: App) -> Vec<String> {
        let Some(connection) = call.connection else {
            return vec![if call.named { "no port".into() } else { NO_NAME.into() }];
        };
        let station = call.station;
        self.background.insert(name.to_owned(), Background { station, connection, app });
        match self.world.connection(station, connection) {
            Some(made) => vec![format!("{} > {}", made.local, made.remote)],
            None => Vec::new(),
        }
    }

    /// Returns the state of a background call as the other end sees it.
    fn far_end(&self, background: &Background) -> Option<Status> {
        let journey = self.world.journey(background.station, background.connection)?;
        let near = self.world.connection(background.station, background.connection)?;
        self.world
            .server_side(near.remote, journey.source, *journey.hops.last()?)
            .map(|far| far.status)
    }

    fn ping(&mut self, station: StationId, address: Ipv4Addr) -> Vec<String> {
        const IDENTIFIER: u16 = 7;
        let before = self
            .world
            .host(station)
            .map(|host| host.pings(IDENTIFIER).received)
            .unwrap_or_default();
        if let Some(host) = self.world.host(station) {
            host.ping(address, IDENTIFIER, 1);
        }
        let came = self.wait_for_message(|world| {
            world.host_at(station).is_some_and(|host| host.pings(IDENTIFIER).received > before)
        });
        vec![if came { "reply".into() } else { "no reply".into() }]
    }

    fn datagram(&mut self, station: StationId, remote: SocketAddrV4) -> Vec<String> {
        const PORT: u16 = 40_000;
        let before =
            self.world.host(station).map(|host| host.datagrams(PORT).received).unwrap_or_default();
        if let Some(host) = self.world.host(station) {
            host.send_datagram(PORT, remote, b"vnetem");
        }
        let came = self.wait_for_message(|world| {
            world.host_at(station).is_some_and(|host| host.datagrams(PORT).received > before)
        });
        vec![if came { "answered".into() } else { "no answer".into() }]
    }

    fn wait_for_message(&mut self, mut came: impl FnMut(&vnetem_sim::World<'_>) -> bool) -> bool {
        let end = self.world.now() + PATIENCE;
        let mut done = false;
        self.world.run_while(end, |world| {
            done = came(world);
            !done
        });
        done
    }

    fn bytes_of(&self, call: &Pending) -> Option<u64> {
        let connection = self.world.connection(call.station, call.connection?)?;
        match call.target.app {
            App::Http => http::Response::parse(&connection.head).ok()??.content_length,
            App::Sql => None,
        }
    }

    fn is_on_internet(&self, station: StationId) -> bool {
        self.world.edge(station) == Some(Edge::Internet)
    }

    fn host_named(&mut self, name: &str) -> Result<StationId, Problem> {
        let found = self.world.station(name).filter(|id| self.world.host(*id).is_some());
        found.ok_or_else(|| {
            let known: Vec<&str> = self.clients.iter().map(|(name, _)| name.as_str()).collect();
            super::no_host(name, &known)
        })
    }

    fn target_named(&self, name: &str) -> Result<Target, Problem> {
        let found = self.targets.iter().find(|target| target.name == name);
        found.cloned().ok_or_else(|| {
            let known: Vec<&str> = self.targets.iter().map(|target| target.name.as_str()).collect();
            let expected = format!("somebody who serves ({})", known.join(", "));
            Problem::Expected { found: format!("\"{name}\""), expected }
        })
    }
}

/// Returns what the caller was told, or nothing if there is no answer yet.
fn answer_of(app: App, connection: &Connection) -> String {
    match app {
        App::Http => match http::Response::parse(&connection.head) {
            Ok(Some(response)) => match response.xml_code() {
                Some(code) => format!("{} {code}", response.status),
                None => response.status.to_string(),
            },
            _ => String::new(),
        },
        App::Sql => match sql::Outcome::of(&connection.head) {
            sql::Outcome::LoggedIn => "login".to_owned(),
            sql::Outcome::Refused { number, .. } => format!("error {number}"),
            _ => String::new(),
        },
    }
}

fn in_words(seen: &ProbeCall, bytes: Option<u64>) -> String {
    let bytes = match bytes {
        Some(bytes) if seen.reached => format!("  {bytes} bytes"),
        _ => String::new(),
    };
    format!("{}{bytes}  {}", seen.answer, rest_in_words(seen)).trim_end().to_owned()
}

fn rest_in_words(seen: &ProbeCall) -> String {
    let mut parts = Vec::new();
    match (&seen.seen_as, seen.source) {
        (Some(identity), _) => parts.push(format!("seen as {identity}")),
        (None, Some(source)) => parts.push(format!("as {source}")),
        (None, None) => {}
    }
    if !seen.path.is_empty() {
        parts.push(format!("by {}", seen.path.join(" > ")));
    }
    if let Some(reason) = &seen.reason {
        parts.push(reason.clone());
    }
    parts.join("   ")
}

fn column<'a>(calls: &'a [ProbeCall], field: impl Fn(&'a ProbeCall) -> &'a String) -> usize {
    calls.iter().map(|call| field(call).len()).max().unwrap_or(0)
}
