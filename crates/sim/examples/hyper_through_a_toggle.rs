//! An HTTP client with a pool, unchanged, while a service endpoint is switched on under it.

#[path = "support/azure.rs"]
mod azure;
#[path = "support/web.rs"]
mod web;

use core::time::Duration;

use tokio::time::{Instant, sleep};
use vnetem::control::Scope;
use vnetem_sim::{BoxError, Sim};

use azure::Azure;
use web::{client, get, io_kind, server};

const SECOND: Duration = Duration::from_secs(1);

fn main() -> Result<(), BoxError> {
    let azure = Azure::new()?;
    let (vm, account) = (azure.vm(4), azure.account());
    let (web, storage, stdata) = (azure.web, azure.storage, azure.stdata);
    let mut sim = Sim::new(azure.network, 1);
    sim.host("stdata", account, move || server(stdata));
    sim.client("vm-a", vm, async {
        let (start, client) = (Instant::now(), client()?);
        for page in ["/", "/slow", "/", "/long"] {
            let asked = start.elapsed();
            match get(&client, &format!("http://stdata{page}")).await {
                Ok((status, body)) => {
                    let seen: String = body.chars().take(12).collect();
                    println!("{asked:>9.3?} {page:<6} {status} {seen}");
                }
                Err(error) => {
                    let kind = io_kind(error.as_ref());
                    println!(
                        "{asked:>9.3?} {page:<6} {kind:?} after {:.3?}",
                        start.elapsed() - asked
                    );
                }
            }
            sleep(SECOND).await;
        }
        Ok(())
    });
    sim.at(5 * SECOND, move |now| {
        println!("          the endpoint is switched on");
        let done = now.edit(|net| net.enable_endpoint(web, storage, Scope::Worldwide));
        done.unwrap_or_else(|why| println!("refused: {why}"));
        println!("          {} flows are closed", now.closed().len());
    });
    sim.at(18 * SECOND, move |now| {
        println!("          the endpoint is switched off");
        let done = now.edit(|net| net.disable_endpoint(web, storage));
        done.unwrap_or_else(|why| println!("refused: {why}"));
    });
    Ok(sim.run()?)
}
