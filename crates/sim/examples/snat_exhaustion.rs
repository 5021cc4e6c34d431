//! How many connections fit behind one public address, and what the next one meets.

#[path = "support/azure.rs"]
mod azure;

use core::cell::Cell;
use core::time::Duration;
use std::rc::Rc;

use tokio::time::{Instant, sleep};
use vnetem::Settings;
use vnetem_sim::{BoxError, Sim, TcpListener, TcpSettings, TcpStream};

use azure::Azure;

fn main() -> Result<(), BoxError> {
    let azure = Azure::new()?;
    let (vms, account) = ([azure.vm(4), azure.vm(5)], azure.account());
    let mut settings = Settings::replayable(1);
    settings.flows.capacity = 1 << 17;
    let mut sim = Sim::with_settings(azure.network, settings, 1);
    // One host alone has fewer ports than the gateway.
    sim.set_tcp(TcpSettings { window: 256, ports: 1024..=65_535, ..TcpSettings::default() });
    sim.host("stdata", account, || async {
        let listener = TcpListener::bind("0.0.0.0:80").await?;
        let mut all = Vec::new();
        loop {
            all.push(listener.accept().await?);
        }
    });
    let opened = Rc::new(Cell::new(0));
    for (vm, name) in vms.into_iter().zip(["vm-a", "vm-b"]) {
        let opened = Rc::clone(&opened);
        sim.client(name, vm, async move {
            let mut all = Vec::new();
            let error = loop {
                let asked = Instant::now();
                match TcpStream::connect("stdata:80").await {
                    Ok(stream) => all.push(stream),
                    Err(error) => break format!("{error} after {:?}", asked.elapsed()),
                }
            };
            opened.set(opened.get() + all.len());
            println!("{name} has {} connections; the next one: {error}", all.len());
            sleep(Duration::from_secs(600)).await;
            Ok(())
        });
    }
    sim.run()?;
    println!("together {}, of one public address to one remote", opened.get());
    Ok(())
}
