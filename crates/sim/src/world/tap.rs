//! Every packet at every place, for captures.

use vnetem::{AccessVerdict, Disposition, Edge, SourceMode, Time, Transmit, Verdict};

use super::World;

/// Takes packets as they pass.
pub type Tap<'a> = dyn FnMut(&Tapped<'_>) + Send + 'a;

/// One copy of a packet at one place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tapped<'a> {
    /// When.
    pub time: Time,
    /// Where: `in:PLACE`, `out:PLACE` or `drop`.
    pub place: &'a str,
    /// Whether it leaves the data plane there.
    pub leaves: bool,
    /// The same for all copies of one packet.
    pub id: u64,
    /// The packet, without bytes behind its end.
    pub packet: &'a [u8],
    /// `vnetem verdict=... reason=...`.
    pub comment: &'a str,
}

impl World<'_> {
    pub(super) fn show(
        &mut self,
        id: u64,
        edge: Edge,
        came: &[u8],
        went: &[u8],
        verdict: &Verdict,
    ) {
        let (out, comment) = match verdict.disposition {
            Disposition::Forward(forward) => {
                let reason = match (forward.access(), forward.source()) {
                    (AccessVerdict::Refused(refusal), _) => refusal.name(),
                    (_, SourceMode::Preserved) => "source-preserved",
                    (_, SourceMode::Translated(_)) => "source-translated",
                };
                (
                    Some(forward.edge(self.data_plane.snapshot())),
                    format!("vnetem verdict=forward reason={reason}"),
                )
            }
            Disposition::Deny(reason) => (None, format!("vnetem verdict=deny reason={reason}")),
            Disposition::Drop(reason) => (None, format!("vnetem verdict=drop reason={reason}")),
        };
        let entered = self.interface("in", edge);
        let left = out.map_or_else(|| "drop".to_owned(), |to| self.interface("out", to));
        let time = self.now;
        let Some(tap) = &mut self.tap else { return };
        tap(&Tapped { time, place: &entered, leaves: false, id, packet: came, comment: &comment });
        let leaves = out.is_some();
        tap(&Tapped { time, place: &left, leaves, id, packet: went, comment: &comment });
    }

    pub(super) fn show_made(&mut self, id: u64, transmit: &Transmit) {
        if self.tap.is_none() {
            return;
        }
        let place = self.interface("out", transmit.to);
        let tcp = transmit.packet.get(9) == Some(&vnetem_packet::Protocol::TCP.0);
        let what = if tcp { "reset" } else { "icmp-error" };
        let comment = format!("vnetem verdict=made reason={what}");
        let time = self.now;
        let Some(tap) = &mut self.tap else { return };
        let packet = &transmit.packet;
        tap(&Tapped { time, place: &place, leaves: true, id, packet, comment: &comment });
    }

    /// `in:alpha/web/vm`, `out:service/storage/alpha/web`, `in:internet`.
    fn interface(&self, side: &str, edge: Edge) -> String {
        let snapshot = self.data_plane.snapshot();
        match edge {
            Edge::Internet => format!("{side}:internet"),
            Edge::Subnet(id) => format!("{side}:{}", snapshot.subnet_name(id)),
            Edge::Nic(_) | Edge::Site(_) | Edge::PrivateEndpoint(_) => {
                let station = self.stations.iter().find(|station| station.edge == edge);
                match (station, edge) {
                    (Some(station), Edge::Nic(_)) => format!("{side}:nic/{}", station.name),
                    _ => format!("{side}:{}", snapshot.describe(edge).replace(' ', "/")),
                }
            }
            Edge::SameRegion { .. } | Edge::Platform(_) => {
                format!("{side}:{}", snapshot.describe(edge).replace(' ', "/"))
            }
            Edge::Service { service, identity } => {
                let service = snapshot.service_name(service);
                match identity {
                    None => format!("{side}:service/{service}"),
                    Some(identity) => {
                        format!(
                            "{side}:service/{service}/{}",
                            snapshot.subnet_name(identity.subnet)
                        )
                    }
                }
            }
        }
    }
}
