//! No wake-up is lost, and nothing leaks.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use vnetem_sim::{BoxError, TcpStream};

use crate::azure::{Azure, ask};

#[test]
fn many_connections_leave_nothing() -> Result<(), BoxError> {
    let azure = Azure::new();
    let vm = azure.vm(4);
    let mut sim = azure.sim();
    sim.client("vm", vm, async {
        for _ in 0..2000 {
            let mut stream = TcpStream::connect("stdata:80").await?;
            ask(&mut stream).await?;
            stream.shutdown().await?;
            assert_eq!(stream.read(&mut [0]).await?, 0);
        }
        tokio::time::sleep(core::time::Duration::from_secs(60)).await;
        Ok(())
    });
    sim.run()?;
    assert_eq!(sim.world(|world| world.open_connections()), 0);
    Ok(())
}
