//! A tonic channel while a service endpoint is toggled: calls are retried on a new connection,
//! streams fail.

#[path = "support/azure.rs"]
mod azure;
#[path = "support/grpc.rs"]
mod grpc;

use core::time::Duration;

use tokio::time::{Instant, sleep};
use tonic::transport::Server;
use vnetem::control::Scope;
use vnetem_sim::net::Incoming;
use vnetem_sim::{BoxError, Outcome, Sim, TcpListener};

use azure::Azure;
use grpc::{Whoami, ask, channel, watch};

const SECOND: Duration = Duration::from_secs(1);

async fn server() -> Outcome {
    let incoming = Incoming::from(TcpListener::bind("0.0.0.0:50051").await?);
    Ok(Server::builder().add_service(Whoami).serve_with_incoming(incoming).await?)
}

fn main() -> Result<(), BoxError> {
    let azure = Azure::new()?;
    let (vm, account) = (azure.vm(4), azure.account());
    let (web, storage) = (azure.web, azure.storage);
    let mut sim = Sim::new(azure.network, 1);
    sim.host("stdata", account, server);
    sim.client("vm-a", vm, async {
        let start = Instant::now();
        let channel = channel("stdata").await?;
        let mut stream = watch(&channel).await?;
        println!("{:>9.3?} a call is seen as {}", start.elapsed(), ask(&channel).await?);
        loop {
            match stream.message().await {
                Ok(Some(_)) => println!("{:>9.3?} a message of the stream", start.elapsed()),
                Ok(None) => break,
                Err(status) => {
                    println!("{:>9.3?} the stream fails: {:?}", start.elapsed(), status.code());
                    break;
                }
            }
        }
        for attempt in 1.. {
            match ask(&channel).await {
                Ok(seen) => {
                    println!("{:>9.3?} attempt {attempt} is seen as {seen}", start.elapsed());
                    break;
                }
                Err(status) => println!("{:>9.3?} attempt {attempt}: {status}", start.elapsed()),
            }
            sleep(SECOND).await;
        }
        Ok(())
    });
    sim.at(3 * SECOND + SECOND / 2, move |now| {
        println!("          the endpoint is switched on");
        let done = now.edit(|net| net.enable_endpoint(web, storage, Scope::Worldwide));
        done.unwrap_or_else(|why| println!("refused: {why}"));
    });
    Ok(sim.run()?)
}
