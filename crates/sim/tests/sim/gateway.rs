//! What code sees of a gateway: idle flows that end, ports that run out.

use std::io::ErrorKind;

use tokio::time::{Instant, sleep};
use vnetem::Settings;
use vnetem_sim::{BoxError, Place, Sim, TcpSettings, TcpStream};

use crate::azure::{Azure, SECOND, ask, whoami};

/// N-16: behind a NAT gateway a flow that was idle for too long is answered by a reset.
#[test]
fn idle_flow_is_reset() -> Result<(), BoxError> {
    let azure = Azure::new();
    let vm = azure.vm(4);
    let mut sim = azure.sim();
    sim.client("vm", vm, async {
        let mut stream = TcpStream::connect("stdata:80").await?;
        for _ in 0..3 {
            ask(&mut stream).await?;
            sleep(230 * SECOND).await;
        }
        ask(&mut stream).await?;
        sleep(250 * SECOND).await;
        let error = ask(&mut stream).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ConnectionReset);
        Ok(())
    });
    Ok(sim.run()?)
}

#[test]
fn keepalive_holds_the_flow() -> Result<(), BoxError> {
    let azure = Azure::new();
    let vm = azure.vm(4);
    let mut sim = azure.sim();
    sim.client("vm", vm, async {
        let mut stream = TcpStream::connect("stdata:80").await?;
        stream.set_keepalive(Some(60 * SECOND));
        sleep(3600 * SECOND).await;
        ask(&mut stream).await?;
        Ok(())
    });
    Ok(sim.run()?)
}

/// N-17: one address has 64,512 ports to one remote; the next connect meets silence.
#[test]
fn ports_run_out_exactly() -> Result<(), BoxError> {
    let azure = Azure::new();
    let (web, stdata) = (azure.web, azure.stdata);
    let mut settings = Settings::replayable(1);
    settings.flows.capacity = 1 << 17;
    let mut sim = Sim::with_settings(azure.network, settings, 1);
    sim.set_tcp(TcpSettings { window: 256, ports: 1024..=65_535, ..TcpSettings::default() });
    sim.host("stdata", Place::Resource(stdata), || whoami(80));
    let opened = std::rc::Rc::new(core::cell::Cell::new(0));
    for last in [4, 5] {
        let opened = std::rc::Rc::clone(&opened);
        sim.client(
            &format!("vm-{last}"),
            Place::Subnet(web, [10, 0, 0, last].into()),
            async move {
                let mut all = Vec::new();
                let start = Instant::now();
                let error = loop {
                    match TcpStream::connect("stdata:80").await {
                        Ok(stream) => all.push(stream),
                        Err(error) => break error,
                    }
                };
                opened.set(opened.get() + all.len());
                assert_eq!(error.kind(), ErrorKind::TimedOut);
                assert!(start.elapsed() > 127 * SECOND);
                sleep(300 * SECOND).await;
                Ok(())
            },
        );
    }
    sim.run()?;
    assert_eq!(opened.get(), 64_512);
    Ok(())
}
