//! A service whose front ends stand behind a service tunnel and know of a caller only what its
//! bytes say.

use bytes::Bytes;
use vnetem::{
    Edge, Headers, Identity, ServiceId,
    tunnel::{TunnelDrop, TunnelPort, TunnelSettings},
};
use vnetem_packet::tunnel::{Encapsulated, Encapsulation, Tag, Tunnel, Underlay};

/// A tunnel with both of its ends: the data plane's port, and the peer that speaks for the front
/// ends.
#[derive(Debug)]
pub(super) struct Wire {
    service: ServiceId,
    settings: TunnelSettings,
    port: TunnelPort,
    /// The last packet of the tunnel, as the peer read it.
    last: Option<(Encapsulated, usize)>,
}

impl Wire {
    pub(super) fn new(service: ServiceId, settings: TunnelSettings) -> Self {
        Self { service, settings, port: TunnelPort::new(service, settings), last: None }
    }

    /// Wraps a packet for the peer; returns the edge that the bytes alone show, and the packet.
    pub(super) fn forth(&mut self, to: Edge, packet: &[u8]) -> Result<(Edge, Bytes), TunnelDrop> {
        let mut wire = room_for(packet);
        let length = self.port.encapsulate(to, packet, &mut wire)?;
        wire.truncate(length);
        let received = Encapsulated::parse(&wire).map_err(TunnelDrop::Undecodable)?;
        let [caller, called] = received.embedded();
        let tag = self.settings.layout.decode(received.source);
        let identity = tag.identity(caller).ok_or(TunnelDrop::OtherTunnel)?;
        let mut plain = vec![0; wire.len()];
        let length = received
            .decapsulate(&wire, [caller, called], &mut plain)
            .map_err(TunnelDrop::Untranslatable)?;
        plain.truncate(length);
        self.last = Some((received, wire.len()));
        Ok((self.edge(identity), plain.into()))
    }

    /// What the data plane finds when the peer sends a packet back to a caller.
    pub(super) fn back(
        &mut self,
        to: Identity,
        packet: &[u8],
    ) -> Result<(Edge, Bytes), TunnelDrop> {
        let headers = Headers::parse(packet).map_err(TunnelDrop::Malformed)?;
        let TunnelSettings { layout, region, destination, underlay, fragments } = self.settings;
        let tag = Tag::of(Tag::SERVICE_TUNNEL, region, to);
        let back = Tunnel {
            source: destination,
            destination: layout.encode(tag).map_err(TunnelDrop::Identity)?,
            underlay: Underlay {
                source: headers.source,
                destination: Some(underlay.source),
                source_mac: underlay.destination_mac,
                destination_mac: underlay.source_mac,
                ..underlay
            },
            fragments,
        };
        let mut wire = room_for(packet);
        let length =
            back.encapsulate(packet, &headers, &mut wire).map_err(TunnelDrop::Untranslatable)?;
        wire.truncate(length);
        let mut plain = vec![0; wire.len()];
        let (edge, length) = self.port.decapsulate(&wire, &mut plain)?;
        plain.truncate(length);
        Ok((edge, plain.into()))
    }

    /// What the last packet to the peer looked like, and what went through so far.
    pub(super) fn lines(&self) -> Vec<String> {
        let counters = self.port.counters();
        let mut lines = Vec::new();
        if let Some((received, length)) = &self.last {
            let Underlay { source, destination, encapsulation, key, .. } = received.underlay;
            let outer = destination.map_or(String::new(), |destination| destination.to_string());
            let name = match encapsulation {
                Encapsulation::Nvgre => "nvgre",
                Encapsulation::Vxlan => "vxlan",
            };
            lines.push(format!("{source} > {outer}  {name} {}  {length} bytes", key.number()));
            lines.push(format!("  {} > {}", received.source, received.destination));
        }
        lines.push(format!(
            "wrapped {} unwrapped {} dropped {}",
            counters.encapsulated.packets,
            counters.decapsulated.packets,
            counters.dropped()
        ));
        lines
    }

    fn edge(&self, identity: Identity) -> Edge {
        Edge::Service { service: self.service, identity: Some(identity) }
    }
}

fn room_for(packet: &[u8]) -> Vec<u8> {
    vec![0; packet.len() + Tunnel::MAXIMUM_OVERHEAD]
}
