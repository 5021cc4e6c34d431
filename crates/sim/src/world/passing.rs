//! How packets pass through the data plane and on to who is there.

use super::*;

impl World<'_> {
    /// A packet enters the data plane: decided, shown to the tap, delivered.
    pub(super) fn enter(
        &mut self,
        from: Option<StationId>,
        edge: Edge,
        packet: Bytes,
        explain: bool,
    ) -> (Option<Trace>, Verdict, Bytes) {
        self.numbered += 1;
        let id = self.numbered;
        let (edge, packet) = self.unwrap_from_service(edge, packet);
        let opening = if self.records_history { opening(&packet) } else { None };
        let trace =
            (explain || opening.is_some()).then(|| self.data_plane.trace(self.now, edge, &packet));
        // What its sender may not show by a public edge.
        let own = match edge {
            Edge::Subnet(_) | Edge::Nic(_) | Edge::Site(_) => {
                Headers::parse(&packet).ok().map(|headers| headers.source)
            }
            _ => None,
        };
        let came = self.tap.is_some().then(|| packet.clone());
        let mut packet = BytesMut::from(packet);
        let verdict = self.data_plane.process(self.now, edge, &mut packet);
        let packet = packet.freeze();
        if let Some(came) = came {
            self.show(id, edge, &came, &packet, &verdict);
        }
        if let (Some(tuple), Some(trace)) = (opening, &trace) {
            if trace.verdict != verdict {
                self.faults.push(format!(
                    "INV-trace-equals-verdict: traced {:?}, decided {:?}",
                    trace.verdict, verdict
                ));
            }
            self.journeys.leg(from, tuple, trace, &verdict);
        }
        if let Disposition::Forward(forward) = verdict.disposition {
            let to = forward.edge(self.data_plane.snapshot());
            self.watch(to, &packet, own);
            let to = self.deliver(to, packet.clone());
            if let (Some(tuple), Some(to)) = (opening, to) {
                let arrived = Headers::parse(&packet).map_or(tuple, |headers| headers.tuple());
                self.journeys.arrived(from, tuple, to, arrived);
            }
        }
        self.drain();
        (trace, verdict, packet)
    }

    /// INV-private-source-stays-inside, INV-other-source-public: what leaves by a public edge has a
    /// public source, and not its sender's own, which may look like one.
    pub(super) fn watch(&mut self, to: Edge, packet: &[u8], own: Option<Ipv4Addr>) {
        if let (Edge::Internet | Edge::Service { identity: None, .. }, Ok(headers)) =
            (to, Headers::parse(packet))
            && (AddressClass::of(headers.source) != AddressClass::Public
                || own == Some(headers.source))
        {
            self.faults.push(format!(
                "INV-private-source-stays-inside: {headers} left to {}",
                self.data_plane.snapshot().describe(to)
            ));
        }
    }

    /// Takes what the data plane has made, and what it says of flows.
    pub(super) fn drain(&mut self) {
        while let Some(transmit) = self.data_plane.poll_transmit(self.now) {
            self.numbered += 1;
            self.show_made(self.numbered, &transmit);
            self.watch(transmit.to, &transmit.packet, None);
            self.deliver(transmit.to, transmit.packet.clone());
            self.made.push(transmit);
        }
        while let Some(event) = self.data_plane.poll_event() {
            if let EventKind::Closed(_) = event.kind {
                self.closed.push(event);
            }
        }
        if !self.records_history && !self.applying {
            self.made.clear();
            self.closed.clear();
        }
    }

    /// Hands a packet to the link of whoever is at an edge.
    pub(super) fn deliver(&mut self, to: Edge, packet: Bytes) -> Option<StationId> {
        let (to, packet) = self.wrap_for_service(to, packet)?;
        let Ok(headers) = Headers::parse(&packet) else { return None };
        let id = match (self.find(to, headers.destination), to) {
            (Some(id), _) => Some(id),
            (None, to) if self.front_ends.are_at(self.data_plane.snapshot(), to) => {
                Some(self.add_front_end(to))
            }
            _ => None,
        };
        match id.and_then(|id| self.stations.get_mut(id.0)) {
            Some(station) => station.send(self.now, Way::Down, to, packet),
            None => self.undelivered += 1,
        }
        if let Some(id) = id {
            self.schedule(id);
        }
        id
    }

    /// Notes that a packet is on its way to a station.
    pub(super) fn schedule(&mut self, id: StationId) {
        let now = self.now;
        let next = self.stations.get_mut(id.0).and_then(|station| station.next_event(now));
        self.agenda.set(id.0, next.map(|next| next.max(now)));
    }

    /// Who takes packets to `destination` that leave by `to`.
    fn find(&self, to: Edge, destination: Ipv4Addr) -> Option<StationId> {
        let front = Spot::front(to, destination);
        let spots = front.into_iter().chain([Spot::of(to, destination)]);
        let found = spots.filter_map(|spot| self.spots.get(&spot).copied()).next();
        found.or_else(|| {
            let Edge::PrivateEndpoint(id) = to else { return None };
            let snapshot = self.data_plane.snapshot();
            let resource = snapshot.resource_behind(id)?;
            self.fronts.iter().copied().find(|front| {
                let station = self.stations.get(front.0);
                station.is_some_and(|it| snapshot.resources_at(it.address).contains(&resource))
            })
        })
    }

    /// Carries a packet through the tunnel to its service, if that has one.
    pub(super) fn wrap_for_service(&mut self, to: Edge, packet: Bytes) -> Option<(Edge, Bytes)> {
        let Edge::Service { service, identity: Some(_) } = to else { return Some((to, packet)) };
        let Some(wire) = self.wires.get_mut(&service) else { return Some((to, packet)) };
        let taken = wire.forth(to, &packet);
        if taken.is_err() {
            self.undelivered += 1;
        }
        taken.ok()
    }

    /// Carries a packet through the tunnel from its service, if that has one.
    pub(super) fn unwrap_from_service(&mut self, edge: Edge, packet: Bytes) -> (Edge, Bytes) {
        let Edge::Service { service, identity: Some(identity) } = edge else {
            return (edge, packet);
        };
        let Some(wire) = self.wires.get_mut(&service) else { return (edge, packet) };
        match wire.back(identity, &packet) {
            Ok(unwrapped) => unwrapped,
            Err(reason) => {
                self.faults.push(format!("W-06: the peer's packet was lost: {reason}"));
                (edge, packet)
            }
        }
    }

    /// The front end of a service for one subnet's endpoint, for a private endpoint, or for all
    /// that is public: overlapping networks never meet in it (S-05).
    pub(super) fn add_front_end(&mut self, edge: Edge) -> StationId {
        let seed = self.next_seed();
        let settings = HostSettings { any_address: true, ..settings(Ipv4Addr::UNSPECIFIED, seed) };
        let mut host = Host::new(settings);
        self.front_ends.ports().into_iter().for_each(|(port, app)| host.listen(port, app));
        let name = self.data_plane.snapshot().describe(edge);
        self.add_station(&name, edge, Ipv4Addr::UNSPECIFIED, Body::Host(Box::new(host)))
    }
}

/// The tuple of a packet that opens a TCP connection.
pub(super) fn opening(packet: &[u8]) -> Option<FiveTuple> {
    let headers = Headers::parse(packet).ok()?;
    match headers.transport {
        vnetem_packet::Transport::Tcp(segment)
            if segment.flags.0 & 0x17 == vnetem_packet::TcpFlags::SYN.0 =>
        {
            Some(headers.tuple())
        }
        _ => None,
    }
}
