//! A data plane that is set up like the kernel.

use core::net::Ipv4Addr;
use core::time::Duration;

use vnetem::{
    DataPlane, Disposition, Edge, Identity, Network, ServiceId, Settings, SubnetId, Time, Verdict,
    control::{Outbound, Scope},
};
use vnetem_nat::{HoldDown, PoolRules, Side, Timers};

use crate::packet::{Emitted, double, word};
use crate::{Failure, place};

/// A data plane with one subnet behind a plain pool of one address.
#[derive(Debug)]
pub struct Ours {
    network: Network,
    plane: DataPlane,
    subnet: SubnetId,
    /// A service at the remote hosts, if the comparison has one.
    service: Option<ServiceId>,
    now: Time,
}

/// Far longer than any run.
const NEVER: Duration = Duration::from_secs(2_000_000);

impl Ours {
    /// Makes one for random packets: windows are not checked, and flows never end by time, but at
    /// once when a connection is over.
    ///
    /// # Errors
    ///
    /// None in practice; the types allow for one.
    pub fn liberal() -> Result<Self, Failure> {
        let mut settings = Settings::replayable(0);
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

    /// Makes one as [`liberal`](Self::liberal) does, with a service at the remote hosts, for which
    /// an endpoint can be enabled.
    ///
    /// # Errors
    ///
    /// None in practice; the types allow for one.
    pub fn with_service() -> Result<Self, Failure> {
        let mut ours = Self::liberal()?;
        ours.service = Some(ours.network.add_service("service", &["52.239.1.0/24".parse()?])?);
        ours.apply();
        Ok(ours)
    }

    /// Enables or disables the endpoint.
    ///
    /// # Errors
    ///
    /// There is no service.
    pub fn switch(&mut self, on: bool) -> Result<(), Failure> {
        let service = self.service.ok_or("there is no service")?;
        match on {
            true => self.network.enable_endpoint(self.subnet, service, Scope::Worldwide)?,
            false => self.network.disable_endpoint(self.subnet, service)?,
        }
        self.apply();
        Ok(())
    }

    fn apply(&mut self) {
        self.plane.apply(self.now, self.network.commit());
        while self.plane.poll_transmit(self.now).is_some() {}
    }

    /// Makes one for states: windows are checked, and the timers are Linux's.
    ///
    /// # Errors
    ///
    /// None in practice; the types allow for one.
    pub fn strict() -> Result<Self, Failure> {
        let mut settings = Settings::replayable(0);
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
        Ok(Self { network, plane, subnet, service: None, now: Time(0) })
    }

    /// Sends a packet from a side. A flow that it opens gets this port. Returns the verdict and
    /// what comes out on both sides.
    pub fn send(
        &mut self,
        from: Side,
        packet: &[u8],
        port: Option<u16>,
    ) -> (Verdict, Vec<Emitted>) {
        self.now += Duration::from_micros(1);
        self.plane.suggest_port(port);
        let edge = match from {
            Side::Internal => Edge::Subnet(self.subnet),
            Side::External => self.external(packet),
        };
        let mut bytes = packet.to_vec();
        let verdict = self.plane.process(self.now, edge, &mut bytes);
        let mut emitted = Vec::new();
        if let Disposition::Forward(forward) = verdict.disposition {
            bytes.truncate(word(&bytes, 2).into());
            emitted.push(Emitted { to: side(forward.edge(self.plane.snapshot())), bytes });
        }
        while let Some(made) = self.plane.poll_transmit(self.now) {
            emitted.push(Emitted { to: side(made.to), bytes: made.packet.to_vec() });
        }
        while self.plane.poll_event().is_some() {}
        (verdict, emitted)
    }

    /// Returns the edge by which a packet from the external side comes in: the subnet's endpoint if
    /// it is for a private address.
    fn external(&self, packet: &[u8]) -> Edge {
        let address = |at| Ipv4Addr::from_bits(double(packet, at));
        let (source, destination) = (address(12), address(16));
        let vnet = self.network.subnet(self.subnet).map(|subnet| subnet.vnet);
        match (self.service, vnet) {
            (Some(service), Ok(vnet)) if source.octets()[..3] == [52, 239, 1] => {
                let subnet = self.subnet;
                let identity = Identity { vnet, subnet, address: destination };
                let identity = destination.is_private().then_some(identity);
                Edge::Service { service, identity }
            }
            _ => Edge::Internet,
        }
    }

    /// Returns the data plane.
    #[must_use]
    pub fn plane(&self) -> &DataPlane {
        &self.plane
    }
}

fn side(edge: Edge) -> Side {
    if matches!(edge, Edge::Subnet(_) | Edge::Nic(_)) { Side::Internal } else { Side::External }
}
