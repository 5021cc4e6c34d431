//! The way of a packet: from a station into the data plane, and on to the next station.

use std::net::Ipv4Addr;

use vnetem::packet::{IcmpError, IcmpErrorKind};
use vnetem::{Disposition, Edge, Event, EventKind, Headers, Protocol, Verdict};

use super::Router;
use crate::linux::names;
use crate::linux::namespaces::NAME_SERVER;
use crate::linux::offload::{HEADER, Offload, PLAIN};
use crate::linux::stations::{Body, Place, destination};

/// Packets that are read from one device before the others have their turn.
const TURN: usize = 64;

impl Router {
    /// Reads what a host has sent, up to one turn.
    pub(super) fn read_station(&mut self, at: usize, buffer: &mut [u8]) {
        for _ in 0..TURN {
            let Some(station) = self.stations.all.get_mut(at) else { return };
            let Some(device) = station.body.device() else { return };
            // A device that fails has no more packets; its host is gone or broken.
            let Ok(Some(length)) = device.receive(buffer) else { return };
            let Some(bytes) = buffer.get_mut(..length) else { return };
            let Some((header, packet)) = bytes.split_first_chunk_mut::<HEADER>() else { return };
            let offload = Offload::read(header);
            self.carried.read += 1;
            self.carried.segments += offload.count(packet.len());
            match &mut station.link {
                None => self.enter(at, bytes),
                Some(link) => {
                    let (now, up) = (self.now, &mut link.up);
                    offload.split(packet, |part| {
                        up.send(now, bytes::Bytes::copy_from_slice(part));
                    });
                }
            }
        }
    }

    /// A packet of a station, behind its header, enters the data plane.
    pub(super) fn enter(&mut self, at: usize, bytes: &mut [u8]) {
        let Some((header, packet)) = bytes.split_first_chunk_mut::<HEADER>() else { return };
        if let Some(headers) = self.stations.all.get_mut(at).and_then(|it| it.headers.as_mut()) {
            headers.toward_client(packet, Offload::read(header).is_begun());
        }
        let Some(to) = destination(packet) else {
            self.carried.other += 1;
            return;
        };
        let Some(edge) = self.stations.entry(at, self.now, packet, &self.plane) else { return };
        // Who is in no virtual network has the name server, too.
        if to == NAME_SERVER && !matches!(edge, Edge::Nic(_)) {
            return self.answer_name(edge, at, packet.to_vec());
        }
        self.process(Some(at), edge, bytes);
    }

    /// The data plane decides about a packet, which goes where it says.
    pub(super) fn process(&mut self, from: Option<usize>, edge: Edge, bytes: &mut [u8]) {
        let Some(packet) = bytes.get_mut(HEADER..) else { return };
        let came = self.tap.is_some().then(|| packet.to_vec());
        let verdict = self.plane.process(self.now, edge, packet);
        if let (Some(came), Some(tap)) = (came, &mut self.tap) {
            let to = verdict.edge(self.plane.snapshot());
            tap.show(self.now, &self.model, (edge, to), (&came, packet), &verdict);
        }
        while let Some(event) = self.plane.poll_event() {
            self.note(from, &event, Some(&verdict));
        }
        match verdict.disposition {
            Disposition::Forward(forward) => {
                let to = forward.edge(self.plane.snapshot());
                self.deliver(to, bytes);
            }
            Disposition::Deny(_) | Disposition::Drop(_) => self.note_lost(from, bytes, &verdict),
        }
    }

    /// Hands a packet that has left the data plane to who is there.
    pub(super) fn deliver(&mut self, to: Edge, bytes: &mut [u8]) {
        let Some(packet) = bytes.get(HEADER..) else { return };
        let Some(address) = destination(packet) else { return };
        if let Edge::Platform(subnet) = to {
            return self.answer_platform(subnet, packet.to_vec());
        }
        let found = self.stations.find(to, address, self.plane.snapshot());
        let found = found.or_else(|| self.add_server(to));
        let Some(at) = found else { return self.undelivered(to, packet.to_vec()) };
        self.stations.announce(at, to, packet, self.plane.snapshot());
        let Some((header, packet)) = bytes.split_first_chunk_mut::<HEADER>() else { return };
        let offload = Offload::read(header);
        match self.stations.all.get_mut(at).map(|station| &mut station.link) {
            Some(Some(link)) => {
                let (now, down) = (self.now, &mut link.down);
                offload.split(packet, |part| {
                    down.send(now, bytes::Bytes::copy_from_slice(part));
                });
            }
            _ => self.hand_over(at, bytes),
        }
    }

    /// Gives a packet to a station.
    pub(super) fn hand_over(&mut self, at: usize, bytes: &mut [u8]) {
        let Some((header, packet)) = bytes.split_first_chunk_mut::<HEADER>() else { return };
        let offload = Offload::read(header);
        let Some(station) = self.stations.all.get_mut(at) else { return };
        if let (Some(headers), Body::Real(device, _)) = (&mut station.headers, &station.body)
            && let Some(first) = headers.toward_server(packet, offload.is_begun())
            && device.send(&[&PLAIN, &first[..]].concat()).is_err()
        {
            self.carried.refused += 1;
        }
        match &mut station.body {
            Body::Real(device, _) | Body::Attached(device) if device.has_offload() => {
                offload.begin_checksum(packet);
                if device.send(bytes).is_err() {
                    self.carried.refused += 1;
                }
            }
            Body::Real(device, _) | Body::Attached(device) => {
                let refused = &mut self.carried.refused;
                offload.split(packet, |part| {
                    if device.send(&[&PLAIN, part].concat()).is_err() {
                        *refused += 1;
                    }
                });
            }
            Body::Server(server) => {
                offload.split(packet, |part| {
                    server.receive(bytes::Bytes::copy_from_slice(part));
                });
            }
            Body::Appliance(appliance) => {
                let (now, pending) = (self.now, &mut self.pending);
                offload.split(packet, |part| {
                    let part = bytes::Bytes::copy_from_slice(part);
                    if let Some(sent) = appliance.forward(now, part) {
                        pending.push_back((at, sent.to_vec()));
                    }
                });
            }
        }
    }

    /// A packet of our own making enters at an edge.
    pub(super) fn inject(&mut self, edge: Edge, packet: &[u8]) {
        let mut bytes = [&PLAIN, packet].concat();
        self.process(None, edge, &mut bytes);
    }

    /// Nobody is there. On the internet a router says so, unless it is to be silent.
    fn undelivered(&mut self, to: Edge, packet: Vec<u8>) {
        self.carried.nowhere += 1;
        let Ok(headers) = Headers::parse(&packet) else { return };
        if to != Edge::Internet || self.silent || !IcmpError::may_answer(&headers) {
            return;
        }
        let error = IcmpError { kind: IcmpErrorKind::HostUnreachable, source: BORDER };
        let mut buffer = [0; IcmpError::MAXIMUM_LENGTH];
        let length = error.write(&packet, &headers, &mut buffer);
        self.inject(to, buffer.get(..length).unwrap_or_default());
    }

    /// A question of a virtual network to the platform; only names are answered.
    fn answer_platform(&mut self, subnet: vnetem::SubnetId, packet: Vec<u8>) {
        let asks = Edge::Subnet(subnet);
        let resolve = |name: &str| names::resolve(&self.model, &self.stations, asks, name);
        let Some(answer) = names::answer(&packet, resolve) else {
            self.carried.nowhere += 1;
            return;
        };
        self.carried.names += 1;
        self.inject(Edge::Platform(subnet), &answer);
    }

    fn answer_name(&mut self, asks: Edge, at: usize, packet: Vec<u8>) {
        let resolve = |name: &str| names::resolve(&self.model, &self.stations, asks, name);
        let Some(answer) = names::answer(&packet, resolve) else { return };
        self.carried.names += 1;
        self.hand_over(at, &mut [&PLAIN, &answer[..]].concat());
    }

    /// Takes note of what happened to a flow.
    pub(super) fn note(&mut self, from: Option<usize>, event: &Event, verdict: Option<&Verdict>) {
        if let EventKind::Closed(_) = event.kind {
            self.closed.push(*event);
        }
        let (EventKind::Opened, Some(verdict)) = (event.kind, verdict) else { return };
        let (Disposition::Forward(forward), Some(from)) = (verdict.disposition, from) else {
            return;
        };
        let asks_names = *event.tuple.destination.ip() == NAME_SERVER;
        let Some(station) = self.stations.all.get(from).filter(|_| !asks_names) else { return };
        let snapshot = self.plane.snapshot();
        let sight = self.sights.opened(&station.name, event, &forward, &self.model, snapshot);
        sight.into_iter().for_each(&mut self.say);
    }

    /// Says of a packet that would have opened a flow that it goes nowhere.
    fn note_lost(&mut self, from: Option<usize>, bytes: &[u8], verdict: &Verdict) {
        let packet = bytes.get(HEADER..).unwrap_or_default();
        let (Some(from), Ok(headers)) = (from, Headers::parse(packet)) else { return };
        let Some(station) = self.stations.all.get(from) else { return };
        let opens = headers.protocol != Protocol::TCP || crate::linux::stations::opens(packet);
        if !opens || !matches!(station.place, Place::At(_)) {
            return;
        }
        let tuple = headers.tuple();
        if let Some(sight) = self.sights.lost(self.now, &station.name, &tuple, verdict) {
            (self.say)(sight);
        }
    }
}

/// Who says that an address of the internet is nobody's (TEST-NET-1 of RFC 5737).
const BORDER: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);
