//! A network of many virtual networks, on which the control plane is measured.

use core::net::Ipv4Addr;

use ipnet::Ipv4Net;
use vnetem::{
    DataPlane, EditError, Network, ServiceId, Settings, SubnetId, Time,
    control::{Outbound, Scope},
};

use crate::{LoadError, Timed};

/// Virtual networks with two subnets each. Every subnet has a NAT gateway of its own.
pub struct Estate {
    network: Network,
    plane: DataPlane,
    service: ServiceId,
    subnets: Vec<SubnetId>,
    /// The subnet whose endpoint is toggled next, and whether that turns it on.
    next: (usize, bool),
}

/// What [`Estate::new`] times.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EstatePart {
    /// All edits.
    Build,
    /// The commit of all that was built.
    FirstCommit,
}

/// The most virtual networks of an estate, which share the public addresses from 20.0.0.0 on.
pub const MAX_VNETS: u32 = 1 << 20;

impl Estate {
    /// Builds an estate, and times its parts. With `routes`, a site announces so many to the first
    /// network.
    ///
    /// # Errors
    ///
    /// The network refuses such a size.
    pub fn new(
        vnets: u32,
        routes: u32,
        timed: &mut dyn FnMut(EstatePart, &mut dyn FnMut()),
    ) -> Result<Self, LoadError> {
        let mut network = Network::new();
        let service = network.add_service("storage", &[net([52, 239, 0, 0], 16)])?;
        let mut built = Ok(Vec::new());
        timed(EstatePart::Build, &mut || {
            built = build(&mut network, vnets.clamp(1, MAX_VNETS), routes);
        });
        let subnets = built?;
        let mut snapshot = None;
        timed(EstatePart::FirstCommit, &mut || snapshot = Some(network.commit()));
        let plane = DataPlane::new(snapshot.unwrap_or_default(), Settings::replayable(1));
        Ok(Self { network, plane, service, subnets, next: (0, true) })
    }

    /// Returns the data plane that takes every change.
    #[must_use]
    pub fn plane(&self) -> &DataPlane {
        &self.plane
    }

    /// Toggles the endpoint of a subnet, another one each time, commits and applies. Times all of
    /// it.
    ///
    /// # Errors
    ///
    /// The network refuses the edit.
    pub fn toggle(&mut self, timed: Timed<'_>) -> Result<(), LoadError> {
        self.change(timed, false)
    }

    /// Toggles as [`toggle`](Self::toggle) does, by [`Network::edit`].
    ///
    /// # Errors
    ///
    /// The network refuses the edit.
    pub fn bulk_edit(&mut self, timed: Timed<'_>) -> Result<(), LoadError> {
        self.change(timed, true)
    }

    fn change(&mut self, timed: Timed<'_>, bulk: bool) -> Result<(), LoadError> {
        let (at, on) = self.next;
        let subnet = self.subnets.get(at).copied().unwrap_or(SubnetId(0));
        // The subnets of the first network are the ones with routes, and one of another is cold.
        self.next = match at {
            0 => (self.subnets.len().saturating_sub(1), on),
            _ => (0, !on),
        };
        let Self { network, plane, service, .. } = self;
        let toggle = |network: &mut Network| match on {
            true => network.enable_endpoint(subnet, *service, Scope::Worldwide),
            false => network.disable_endpoint(subnet, *service),
        };
        let mut done = Ok(());
        timed(&mut || {
            done = if bulk { network.edit(toggle) } else { toggle(network) };
            plane.apply(Time(1), network.commit());
        });
        Ok(done?)
    }
}

fn build(network: &mut Network, vnets: u32, routes: u32) -> Result<Vec<SubnetId>, EditError> {
    let mut subnets = Vec::new();
    for number in 0..vnets {
        let vnet = network.add_vnet(&format!("vnet-{number}"), &[net([10, 0, 0, 0], 16)])?;
        if number == 0 && routes > 0 {
            let site = network.add_site("site", &[net([192, 168, 0, 0], 16)], &[])?;
            // A /24 each, in 128.0.0.0/2, where nothing else is.
            let announced =
                (0..routes.min(1 << 22)).map(|n| net((0x8000_0000 | n << 8).to_be_bytes(), 24));
            network.connect(vnet, site, &announced.collect::<Vec<_>>())?;
        }
        for (part, name) in [(0_u8, "web"), (1, "db")] {
            let subnet = network.add_subnet(vnet, name, net([10, 0, part, 0], 24))?;
            let public = Ipv4Addr::from_bits(0x1400_0001 + number * 2 + u32::from(part));
            network.set_outbound(subnet, Outbound::NatGateway(vec![public]))?;
            subnets.push(subnet);
        }
    }
    Ok(subnets)
}

fn net(first: [u8; 4], length: u8) -> Ipv4Net {
    Ipv4Net::new(first.into(), length).unwrap_or_default()
}
