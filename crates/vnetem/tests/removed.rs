//! What was removed takes no room any more. By a counting allocator, so alone in its process.

#![allow(clippy::unwrap_used, reason = "a test that cannot be set up must fail")]

use std::net::Ipv4Addr;

use vnetem::{
    DataPlane, EditError, Ipv4Net, Network, SecurityGroupId, ServiceId, Settings, Sharding,
    SubnetId, Time,
    authz::{DefaultAction, RuleLimits, RuleSet, RuleState},
    control::{Outbound, Scope},
};

#[global_allocator]
static ALLOCATOR: dhat::Alloc = dhat::Alloc;

/// More than the number of removed subnets, and of former owners of addresses, that are remembered.
const REMEMBERED: u32 = 17_000;

struct Churn {
    network: Network,
    plane: DataPlane,
    sharding: Sharding,
    service: ServiceId,
    group: SecurityGroupId,
    /// How many networks have come and gone.
    gone: u32,
}

fn net(text: &str) -> Ipv4Net {
    text.parse().unwrap()
}

impl Churn {
    fn new() -> Self {
        let mut network = Network::new();
        let service = network.add_service("storage", &[net("52.239.0.0/16")]).unwrap();
        let group = network.add_security_group("group", Default::default()).unwrap();
        let stays = network.add_vnet("stays", &[net("10.0.0.0/16")]).unwrap();
        network.add_subnet(stays, "web", net("10.0.0.0/24")).unwrap();
        let snapshot = network.commit();
        let plane = DataPlane::new(snapshot.clone(), Settings::replayable(0));
        let sharding = Sharding::new(&snapshot, 1);
        Self { network, plane, sharding, service, group, gone: 0 }
    }

    fn follow(&mut self) {
        let snapshot = self.network.commit();
        self.sharding.apply(&snapshot);
        self.plane.apply(Time(u64::from(self.gone)), snapshot);
    }

    /// Makes a network with a bit of everything, and removes it.
    fn turn(&mut self) -> Result<SubnetId, EditError> {
        let network = &mut self.network;
        let public = |third: u8| {
            let [_, _, high, low] = self.gone.to_be_bytes();
            Ipv4Addr::new(20, third, high, low)
        };
        let vnet = network.add_vnet("comes", &[net("10.1.0.0/16")])?;
        let subnet = network.add_subnet(vnet, "web", net("10.1.0.0/24"))?;
        network.set_outbound(subnet, Outbound::NatGateway(vec![public(1)]))?;
        network.enable_endpoint(subnet, self.service, Scope::Worldwide)?;
        network.guard_subnet(subnet, Some(self.group))?;
        let nic = network.add_nic(subnet, "nic", Ipv4Addr::new(10, 1, 0, 4))?;
        network.set_public_address(nic, Some(public(2)))?;
        let site = network.add_site("site", &[net("192.168.0.0/24")], &[])?;
        network.connect(vnet, site, &[])?;
        let mut rules = RuleSet::new(RuleLimits::STORAGE, DefaultAction::Deny);
        rules.set_vnet_rule(subnet, RuleState::Succeeded).unwrap();
        let address = Ipv4Addr::new(52, 239, 0, 9);
        let resource = network.add_resource(self.service, "account", address, rules)?;
        let at = Ipv4Addr::new(10, 1, 0, 5);
        let private = network.add_private_endpoint(subnet, "private", at, resource)?;
        self.follow();
        let network = &mut self.network;
        network.remove_private_endpoint(private)?;
        network.remove_nic(nic)?;
        network.disconnect(vnet, site)?;
        network.remove_site(site)?;
        network.remove_subnet(subnet)?;
        network.remove_resource(resource)?;
        network.remove_vnet(vnet)?;
        self.follow();
        self.gone += 1;
        Ok(subnet)
    }

    fn turns(&mut self, count: u32) -> usize {
        for _ in 0..count {
            self.turn().unwrap();
        }
        dhat::HeapStats::get().curr_bytes
    }
}

/// E-17: numbers are never used again. Still the memory of a network, of a data plane and of a
/// sharding does not grow with what was removed.
#[test]
fn removed_networks_leave_no_memory() {
    let _profiler = dhat::Profiler::builder().testing().build();
    let mut churn = Churn::new();
    let before = churn.turns(REMEMBERED);
    let after = churn.turns(3_000);
    assert!(after <= before + 4096, "{before} bytes, then {after}");
    // Each turn takes a number for its subnet and one for its site.
    assert_eq!(churn.turn().unwrap(), SubnetId(2 + 2 * (REMEMBERED + 3_000)));
}
