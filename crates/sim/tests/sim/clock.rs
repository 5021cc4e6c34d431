//! Virtual time is exact, and costs nothing.

use tokio::time::{Instant, sleep, timeout};
use vnetem_sim::{BoxError, LinkSettings, TcpStream};

use crate::azure::{Azure, MILLISECOND, SECOND, ask};

#[test]
fn round_trip_is_the_links() -> Result<(), BoxError> {
    let azure = Azure::new();
    let vm = azure.vm(4);
    let way = core::time::Duration::from_micros(137);
    let place = vnetem_sim::Place::Resource(azure.stdata);
    let mut sim = vnetem_sim::Sim::new(azure.network, 1);
    sim.set_links(LinkSettings::clean(way));
    sim.host("stdata", place, || crate::azure::whoami(80));
    sim.client("vm", vm, async move {
        let start = Instant::now();
        let mut stream = TcpStream::connect("stdata:80").await?;
        assert_eq!(start.elapsed(), 4 * way);
        stream.set_nodelay(true)?;
        for _ in 0..100 {
            let start = Instant::now();
            ask(&mut stream).await?;
            assert_eq!(start.elapsed(), 4 * way);
        }
        Ok(())
    });
    Ok(sim.run()?)
}

#[test]
fn timers_keep_their_millisecond() -> Result<(), BoxError> {
    let azure = Azure::new();
    let vm = azure.vm(4);
    let mut sim = azure.sim();
    sim.client("vm", vm, async {
        let start = Instant::now();
        sleep(MILLISECOND).await;
        assert!((MILLISECOND..2 * MILLISECOND).contains(&start.elapsed()));
        TcpStream::connect("stdata:80").await?;
        assert!(timeout(50 * MILLISECOND, core::future::pending::<()>()).await.is_err());
        Ok(())
    });
    Ok(sim.run()?)
}

#[test]
fn ten_idle_days_pass_at_once() -> Result<(), BoxError> {
    let azure = Azure::new();
    let vm = azure.vm(4);
    let mut sim = azure.sim();
    sim.client("vm", vm, async {
        sleep(10 * 86_400 * SECOND).await;
        Ok(())
    });
    let real = std::time::Instant::now();
    sim.run()?;
    assert!(real.elapsed() < SECOND, "{:?}", real.elapsed());
    assert_eq!(sim.stats().time, 10 * 86_400 * SECOND);
    Ok(())
}

/// tokio puts off what a task does beyond 128 steps; no wake-up may be lost by it.
#[test]
fn hundreds_of_hosts_lose_nothing() -> Result<(), BoxError> {
    let azure = Azure::new();
    let web = azure.web;
    let mut sim = azure.sim();
    for at in 0..240_u16 {
        let last = u8::try_from(at % 240).unwrap() + 4;
        let address = [10, 0, 0, last].into();
        sim.client(&format!("vm-{at}"), vnetem_sim::Place::Subnet(web, address), async {
            let mut stream = TcpStream::connect("stdata:80").await?;
            for _ in 0..3 {
                assert_eq!(ask(&mut stream).await?, "20.1.1.1");
                sleep(100 * MILLISECOND).await;
            }
            Ok(())
        });
    }
    sim.run()?;
    assert!(sim.stats().time < SECOND, "{:?}", sim.stats());
    Ok(())
}
