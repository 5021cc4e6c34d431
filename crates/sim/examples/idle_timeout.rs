//! For how long a connection may rest behind a gateway, and what keep-alive does about it.

#[path = "support/azure.rs"]
mod azure;

use core::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::{Instant, sleep};
use vnetem_sim::{BoxError, HostHandle, Outcome, Sim, TcpListener, TcpStream};

use azure::Azure;

async fn echo() -> Outcome {
    let listener = TcpListener::bind("0.0.0.0:7").await?;
    loop {
        let (mut stream, _) = listener.accept().await?;
        HostHandle::current()?.spawn(async move {
            while let Ok(byte) = stream.read_u8().await {
                if stream.write_u8(byte).await.is_err() {
                    break;
                }
            }
        });
    }
}

fn main() -> Result<(), BoxError> {
    let azure = Azure::new()?;
    let (vm, account) = (azure.vm(4), azure.account());
    let mut sim = Sim::new(azure.network, 1);
    sim.host("stdata", account, echo);
    sim.client("vm-a", vm, async {
        for (pause, keepalive) in [(230, None), (250, None), (250, Some(60))] {
            let mut stream = TcpStream::connect("stdata:7").await?;
            stream.set_keepalive(keepalive.map(Duration::from_secs));
            sleep(Duration::from_secs(pause)).await;
            let asked = Instant::now();
            let answer = async {
                stream.write_u8(1).await?;
                stream.read_u8().await
            };
            let outcome = match answer.await {
                Ok(_) => "an answer".to_owned(),
                Err(error) => error.to_string(),
            };
            println!(
                "{pause} s idle, keep-alive {keepalive:?}: {outcome} after {:?}",
                asked.elapsed()
            );
        }
        Ok(())
    });
    Ok(sim.run()?)
}
