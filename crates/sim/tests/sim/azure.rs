//! The one network of these tests, and the server that says who calls.

use core::time::Duration;
use std::io;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use vnetem::{
    Network, ResourceId, ServiceId, SubnetId,
    authz::{DefaultAction, RuleLimits, RuleSet},
    control::Outbound,
};
use vnetem_sim::{HostHandle, Outcome, Place, Sim, TcpListener, TcpStream};

pub(crate) const SECOND: Duration = Duration::from_secs(1);
pub(crate) const MILLISECOND: Duration = Duration::from_millis(1);

/// A virtual network with a gateway at 20.1.1.1, and a storage account at 52.239.1.9.
pub(crate) struct Azure {
    pub(crate) network: Network,
    pub(crate) web: SubnetId,
    pub(crate) storage: ServiceId,
    pub(crate) stdata: ResourceId,
}

impl Azure {
    pub(crate) fn new() -> Self {
        let mut network = Network::new();
        let ranges = ["52.239.0.0/16".parse().unwrap()];
        let storage = network.add_service("Microsoft.Storage", &ranges).unwrap();
        let alpha = network.add_vnet("alpha", &["10.0.0.0/16".parse().unwrap()]).unwrap();
        let web = network.add_subnet(alpha, "web", "10.0.0.0/24".parse().unwrap()).unwrap();
        let gateway = Outbound::NatGateway(vec!["20.1.1.1".parse().unwrap()]);
        network.set_outbound(web, gateway).unwrap();
        let open = RuleSet::new(RuleLimits::STORAGE, DefaultAction::Allow);
        let address = "52.239.1.9".parse().unwrap();
        let stdata = network.add_resource(storage, "stdata", address, open).unwrap();
        Self { network, web, storage, stdata }
    }

    pub(crate) fn vm(&self, last: u8) -> Place {
        Place::Subnet(self.web, [10, 0, 0, last].into())
    }

    /// A simulation in which the account says who calls.
    pub(crate) fn sim(self) -> Sim {
        let place = Place::Resource(self.stdata);
        let mut sim = Sim::new(self.network, 1);
        sim.host("stdata", place, || whoami(80));
        sim
    }
}

/// Answers each byte with the address that it sees.
pub(crate) async fn whoami(port: u16) -> Outcome {
    let listener = TcpListener::bind(("0.0.0.0", port)).await?;
    loop {
        let (mut stream, peer) = listener.accept().await?;
        HostHandle::current()?.spawn(async move {
            let mut byte = [0];
            while let Ok(1) = stream.read(&mut byte).await {
                let line = format!("{}\n", peer.ip());
                if stream.write_all(line.as_bytes()).await.is_err() {
                    break;
                }
            }
        });
    }
}

/// Asks such a server.
pub(crate) async fn ask(stream: &mut TcpStream) -> io::Result<String> {
    stream.write_all(b"?").await?;
    let mut line = Vec::new();
    loop {
        match stream.read_u8().await? {
            b'\n' => return Ok(String::from_utf8_lossy(&line).into_owned()),
            byte => line.push(byte),
        }
    }
}
