//! What a script does to the network and its hosts.

use std::io::ErrorKind;

use tokio::time::{Instant, sleep, sleep_until};
use vnetem::control::Scope;
use vnetem_sim::{BoxError, SimError, TcpStream};

use crate::azure::{Azure, MILLISECOND, SECOND, ask};

/// S-17: the toggle closes what was open, and new connections show the private source.
#[test]
fn toggle_resets_open_connection() -> Result<(), BoxError> {
    let azure = Azure::new();
    let (vm, web, storage) = (azure.vm(4), azure.web, azure.storage);
    let mut sim = azure.sim();
    sim.client("vm", vm, async {
        let mut stream = TcpStream::connect("stdata:80").await?;
        assert_eq!(ask(&mut stream).await?, "20.1.1.1");
        sleep(10 * SECOND).await;
        assert_eq!(ask(&mut stream).await.unwrap_err().kind(), ErrorKind::ConnectionReset);
        let mut stream = TcpStream::connect("stdata.blob.core.windows.net:80").await?;
        assert_eq!(ask(&mut stream).await?, "10.0.0.4");
        Ok(())
    });
    sim.at(5 * SECOND, move |now| {
        now.edit(|net| net.enable_endpoint(web, storage, Scope::Worldwide)).unwrap();
        assert_eq!(now.closed().len(), 1);
    });
    Ok(sim.run()?)
}

#[test]
fn crashed_host_resets_after_return() -> Result<(), BoxError> {
    let azure = Azure::new();
    let vm = azure.vm(4);
    let mut sim = azure.sim();
    sim.client("vm", vm, async {
        let mut stream = TcpStream::connect("stdata:80").await?;
        ask(&mut stream).await?;
        sleep(2 * SECOND).await;
        let asked = Instant::now();
        assert_eq!(ask(&mut stream).await.unwrap_err().kind(), ErrorKind::ConnectionReset);
        assert!(asked.elapsed() > 7 * SECOND, "{:?}", asked.elapsed());
        ask(&mut TcpStream::connect("stdata:80").await?).await?;
        Ok(())
    });
    sim.at(SECOND, |now| now.crash("stdata"));
    sim.at(10 * SECOND, |now| now.restart("stdata"));
    Ok(sim.run()?)
}

#[test]
fn held_packets_go_on() -> Result<(), BoxError> {
    let azure = Azure::new();
    let vm = azure.vm(4);
    let mut sim = azure.sim();
    sim.client("vm", vm, async {
        let start = Instant::now();
        let mut stream = TcpStream::connect("stdata:80").await?;
        sleep_until(start + 2 * SECOND).await;
        ask(&mut stream).await?;
        assert!(start.elapsed() > 9 * SECOND, "{:?}", start.elapsed());
        assert!(start.elapsed() < 10 * SECOND, "{:?}", start.elapsed());
        Ok(())
    });
    sim.at(SECOND, |now| now.hold("stdata"));
    sim.at(9 * SECOND, |now| now.release("stdata"));
    Ok(sim.run()?)
}

/// Linux gives up after fifteen retransmissions, 924 s.
#[test]
fn cut_link_times_out() -> Result<(), BoxError> {
    let azure = Azure::new();
    let vm = azure.vm(4);
    let mut sim = azure.sim();
    sim.client("vm", vm, async {
        let mut stream = TcpStream::connect("stdata:80").await?;
        sleep(2 * SECOND).await;
        let asked = Instant::now();
        // A writer that goes on writing is given up no later.
        let (mut reader, writer) = stream.split();
        let writing = async {
            loop {
                sleep(SECOND).await;
                if writer.try_write(b"?").is_err() {
                    core::future::pending::<()>().await;
                }
            }
        };
        let reading = tokio::io::AsyncReadExt::read_u8(&mut reader);
        let error = tokio::select! { biased; read = reading => read.unwrap_err(), () = writing => panic!() };
        assert_eq!(error.kind(), ErrorKind::TimedOut);
        let waited = asked.elapsed();
        assert!((924 * SECOND..930 * SECOND).contains(&waited), "{waited:?}");
        Ok(())
    });
    sim.at(SECOND, |now| now.cut("stdata"));
    Ok(sim.run()?)
}

#[test]
fn links_change_on_the_way() -> Result<(), BoxError> {
    let azure = Azure::new();
    let vm = azure.vm(4);
    let mut sim = azure.sim();
    sim.client("vm", vm, async {
        let mut stream = TcpStream::connect("stdata:80").await?;
        sleep(2 * SECOND).await;
        let asked = Instant::now();
        ask(&mut stream).await?;
        assert_eq!(asked.elapsed(), 202 * MILLISECOND);
        Ok(())
    });
    let slow = vnetem_sim::LinkSettings::clean(100 * MILLISECOND);
    sim.at(SECOND, move |now| now.set_links("vm", slow));
    Ok(sim.run()?)
}

#[test]
fn unknown_host_is_named() {
    let azure = Azure::new();
    let vm = azure.vm(4);
    let mut sim = azure.sim();
    sim.client("vm", vm, core::future::pending());
    sim.at(SECOND, |now| now.crash("stdta"));
    let error = sim.run().unwrap_err();
    assert!(matches!(&error, SimError::Setup(text) if text.contains("stdta")), "{error}");
}
