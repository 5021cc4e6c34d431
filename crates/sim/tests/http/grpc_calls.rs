//! tonic: a channel reconnects a call, and a stream fails.

use core::time::Duration;

use tokio::time::sleep;
use tonic::Code;
use tonic::transport::Server;
use vnetem::control::Scope;
use vnetem_sim::net::Incoming;
use vnetem_sim::{BoxError, Outcome, Sim, TcpListener};

use crate::azure::Azure;
use crate::grpc::{Whoami, ask, channel, watch};

const SECOND: Duration = Duration::from_secs(1);

async fn server() -> Outcome {
    let incoming = Incoming::from(TcpListener::bind("0.0.0.0:50051").await?);
    Ok(Server::builder().add_service(Whoami).serve_with_incoming(incoming).await?)
}

fn toggled(main: impl Future<Output = Outcome> + 'static) -> Sim {
    let azure = Azure::new().unwrap();
    let (vm, account) = (azure.vm(4), azure.account());
    let (web, storage) = (azure.web, azure.storage);
    let mut sim = Sim::new(azure.network, 1);
    sim.host("stdata", account, server);
    sim.client("vm-a", vm, main);
    sim.at(5 * SECOND, move |now| {
        now.edit(|net| net.enable_endpoint(web, storage, Scope::Worldwide)).unwrap();
    });
    sim
}

#[test]
fn channel_reconnects_a_call() -> Result<(), BoxError> {
    let mut sim = toggled(async {
        let channel = channel("stdata").await?;
        assert_eq!(ask(&channel).await?, "20.1.1.1");
        sleep(10 * SECOND).await;
        assert_eq!(ask(&channel).await?, "10.0.0.4");
        Ok(())
    });
    Ok(sim.run()?)
}

#[test]
fn toggle_fails_a_stream() -> Result<(), BoxError> {
    let mut sim = toggled(async {
        let channel = channel("stdata").await?;
        let mut stream = watch(&channel).await?;
        for _ in 0..4 {
            assert_eq!(stream.message().await?.as_deref(), Some(&b"20.1.1.1"[..]));
        }
        let error = loop {
            match stream.message().await {
                Ok(message) => assert!(message.is_some()),
                Err(error) => break error,
            }
        };
        assert!(matches!(error.code(), Code::Unknown | Code::Unavailable), "{error:?}");
        Ok(())
    });
    Ok(sim.run()?)
}
