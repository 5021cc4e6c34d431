//! Uses a scenario file as the network of async code.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::sync::Arc;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use vnetem_azure::ServiceTags;
use vnetem_scenario::{Options, Scenario};
use vnetem_sim::{BoxError, Outcome, Place, Sim, TcpListener, TcpStream};

async fn whoami() -> Outcome {
    let listener = TcpListener::bind("0.0.0.0:80").await?;
    loop {
        let (mut stream, caller) = listener.accept().await?;
        stream.write_all(caller.ip().to_string().as_bytes()).await?;
    }
}

async fn seen_as() -> Result<String, BoxError> {
    let mut seen = String::new();
    TcpStream::connect("stdata:80").await?.read_to_string(&mut seen).await?;
    Ok(seen)
}

/// The two equal networks of the demo scenario: net-b has the endpoint, and net-a does not.
#[test]
fn scenario_file_becomes_a_simulation() -> Result<(), BoxError> {
    let tags = Arc::new(ServiceTags::embedded());
    let options = Options { seed: None, tags, tap: None };
    let network = Scenario::demo()?.play_until(None, options)?.into_network();
    let place = |name| Place::named(&network, name).unwrap();
    let places = [place("vm-a"), place("vm-b"), place("stdata")];
    let [vm_a, vm_b, stdata] = places;
    let mut sim = Sim::new(network, 1);
    sim.host("stdata", stdata, whoami);
    sim.client("vm-a", vm_a, async {
        assert_eq!(seen_as().await?, "20.31.0.10");
        Ok(())
    });
    sim.client("vm-b", vm_b, async {
        assert_eq!(seen_as().await?, "10.0.0.4");
        Ok(())
    });
    Ok(sim.run()?)
}
