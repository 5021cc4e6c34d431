//! A data plane that is set up as the kernel is.

use core::time::Duration;

use vnetem::{DataPlane, Edge, Fate, Network, Outbound, Settings, SubnetId, Time, Verdict};
use vnetem_nat::{HoldDown, PoolRules, Side, Timers};

use crate::packet::{Emitted, word};
use crate::{Failure, place};

/// A data plane with one subnet behind a plain pool of one address.
#[derive(Debug)]
pub struct Ours {
    plane: DataPlane,
    subnet: SubnetId,
    now: Time,
}

/// Far longer than any run.
const NEVER: Duration = Duration::from_secs(2_000_000);

impl Ours {
    /// For random packets: windows are not judged, and flows never end by time, but at once when a connection is over.
    ///
    /// # Errors
    ///
    /// Never; by the types alone it might.
    pub fn liberal() -> Result<Self, Failure> {
        let mut settings = Settings::default();
        settings.flows.hold = HoldDown::NONE;
        settings.flows.timers = Timers {
            syn_sent: NEVER,
            syn_received: NEVER,
            established: NEVER,
            fin_wait: NEVER,
            close_wait: NEVER,
            last_ack: NEVER,
            time_wait: Duration::ZERO,
            close: Duration::ZERO,
            udp_one_way: NEVER,
            udp_two_way: NEVER,
            icmp: NEVER,
            other: NEVER,
            tombstone: NEVER,
        };
        Self::new(settings)
    }

    /// For states: windows are judged, and the timers are Linux's.
    ///
    /// # Errors
    ///
    /// Never; by the types alone it might.
    pub fn strict() -> Result<Self, Failure> {
        let mut settings = Settings::default();
        settings.flows.hold = HoldDown::NONE;
        settings.flows.timers = Timers::LINUX;
        settings.flows.strict_windows = true;
        Self::new(settings)
    }

    fn new(settings: Settings) -> Result<Self, Failure> {
        let mut network = Network::new();
        let vnet = network.add_vnet("oracle", &["10.0.0.0/16".parse()?])?;
        let subnet = network.add_subnet(vnet, "inside", "10.0.0.0/24".parse()?)?;
        let addresses = vec![place::EXTERNAL];
        network.set_outbound(
            subnet,
            Outbound::Pool {
                addresses,
                first_port: 1,
                last_port: u16::MAX,
                rules: PoolRules::AZURE,
            },
        )?;
        let plane = DataPlane::new(network.commit(), settings);
        Ok(Self { plane, subnet, now: Time(0) })
    }

    /// Sends a packet from a side; if it opens a flow, that gets this port. Gives the verdict and what comes out on both sides.
    pub fn send(
        &mut self,
        from: Side,
        packet: &[u8],
        port: Option<u16>,
    ) -> (Verdict, Vec<Emitted>) {
        self.now = self.now + Duration::from_micros(1);
        self.plane.suggest_port(port);
        let edge = match from {
            Side::Inside => Edge::Subnet(self.subnet),
            Side::Outside => Edge::Internet,
        };
        let mut bytes = packet.to_vec();
        let verdict = self.plane.process(self.now, edge, &mut bytes);
        let mut emitted = Vec::new();
        if let Fate::Forward(forward) = verdict.fate {
            bytes.truncate(word(&bytes, 2).into());
            emitted.push(Emitted { to: side(forward.to), bytes });
        }
        while let Some(made) = self.plane.poll_transmit(self.now) {
            emitted.push(Emitted { to: side(made.to), bytes: made.packet.to_vec() });
        }
        while self.plane.poll_event().is_some() {}
        (verdict, emitted)
    }

    /// The data plane itself.
    #[must_use]
    pub fn plane(&self) -> &DataPlane {
        &self.plane
    }
}

fn side(edge: Edge) -> Side {
    if matches!(edge, Edge::Internet) { Side::Outside } else { Side::Inside }
}
