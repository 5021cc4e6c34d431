//! hyper 1, its client with a pool and its server.

use core::time::Duration;
use std::io::ErrorKind;

use tokio::time::{Instant, sleep};
use vnetem::{
    CloseMode, Settings,
    authz::{DefaultAction, RuleLimits, RuleSet},
    control::Scope,
};
use vnetem_sim::{BoxError, Outcome, Sim, SimError, check_deterministic};

use crate::azure::Azure;
use crate::web::{client, get, io_kind, server};

const SECOND: Duration = Duration::from_secs(1);
const PAGE: &str = "http://stdata.blob.core.windows.net/";
const SLOW: &str = "http://stdata/slow";
const LONG: &str = "http://stdata/long";

/// A web server at the account, and a client in the subnet; the endpoint comes after five seconds.
fn toggled(settings: Settings, main: impl Future<Output = Outcome> + 'static) -> Sim {
    let azure = Azure::new().unwrap();
    let (vm, account) = (azure.vm(4), azure.account());
    let (web, storage, stdata) = (azure.web, azure.storage, azure.stdata);
    let mut sim = Sim::with_settings(azure.network, settings, 1);
    sim.host("stdata", account, move || server(stdata));
    sim.client("vm-a", vm, main);
    sim.at(5 * SECOND, move |now| {
        now.edit(|net| net.enable_endpoint(web, storage, Scope::Worldwide)).unwrap();
    });
    sim
}

async fn pooled() -> Outcome {
    let client = client()?;
    assert_eq!(get(&client, PAGE).await?, (200, "20.1.1.1".to_owned()));
    sleep(10 * SECOND).await;
    assert_eq!(get(&client, PAGE).await?, (200, "10.0.0.4".to_owned()));
    Ok(())
}

/// S-17: the pool drops the connection that was reset, and opens another one.
#[test]
fn pool_survives_a_toggle() -> Result<(), BoxError> {
    Ok(toggled(Settings::replayable(1), pooled()).run()?)
}

#[test]
fn toggle_resets_a_waiting_request() -> Result<(), BoxError> {
    let mut sim = toggled(Settings::replayable(1), async {
        let start = Instant::now();
        let error = get(&client()?, SLOW).await.unwrap_err();
        assert_eq!(io_kind(error.as_ref()), Some(ErrorKind::ConnectionReset));
        assert!(start.elapsed() < 6 * SECOND, "{:?}", start.elapsed());
        Ok(())
    });
    Ok(sim.run()?)
}

#[test]
fn toggle_breaks_a_body() -> Result<(), BoxError> {
    let mut sim = toggled(Settings::replayable(1), async {
        let client = client()?;
        let response = client.get(LONG.parse()?).await?;
        assert_eq!(response.status(), 200);
        let body = http_body_util::BodyExt::collect(response.into_body()).await;
        assert_eq!(io_kind(&body.unwrap_err()), Some(ErrorKind::ConnectionReset));
        Ok(())
    });
    Ok(sim.run()?)
}

/// A silent closing shows as a hang, and the run says who waits.
#[test]
fn silent_toggle_hangs_a_request() {
    let mut settings = Settings::replayable(1);
    settings.closing = CloseMode::Silent;
    let mut sim = toggled(settings, async {
        get(&client()?, SLOW).await?;
        Ok(())
    });
    let error = sim.run().unwrap_err();
    let SimError::Stuck { waiting, .. } = &error else { panic!("{error}") };
    assert_eq!(waiting.len(), 1);
    assert!(waiting[0].starts_with("vm-a (10.0.0.4:32768 > 52.239.1.9:80 reads"), "{error}");
}

#[test]
fn rules_answer_403() -> Result<(), BoxError> {
    let mut azure = Azure::new()?;
    let (vm, account, stdata) = (azure.vm(4), azure.account(), azure.stdata);
    azure.network.set_rules(stdata, RuleSet::new(RuleLimits::STORAGE, DefaultAction::Deny))?;
    let mut sim = Sim::new(azure.network, 1);
    sim.host("stdata", account, move || server(stdata));
    sim.client("vm-a", vm, async {
        assert_eq!(get(&client()?, PAGE).await?, (403, "Forbidden".to_owned()));
        Ok(())
    });
    Ok(sim.run()?)
}

/// N-16: a pooled connection that was idle for 250 s behind a gateway is reset by its next request.
#[test]
fn idle_pool_meets_a_reset() -> Result<(), BoxError> {
    let azure = Azure::new()?;
    let (vm, account, stdata) = (azure.vm(4), azure.account(), azure.stdata);
    let mut sim = Sim::new(azure.network, 1);
    sim.host("stdata", account, move || server(stdata));
    sim.client("vm-a", vm, async {
        let mut builder =
            hyper_util::client::legacy::Client::builder(vnetem_sim::net::Executor::new()?);
        builder.pool_idle_timeout(None).retry_canceled_requests(false);
        let client = builder.build(vnetem_sim::net::Connector::new()?);
        get(&client, PAGE).await?;
        sleep(250 * SECOND).await;
        let error = get(&client, PAGE).await.unwrap_err();
        assert_eq!(io_kind(error.as_ref()), Some(ErrorKind::ConnectionReset), "{error:?}");
        Ok(())
    });
    Ok(sim.run()?)
}

#[test]
fn cut_link_fails_a_request() -> Result<(), BoxError> {
    let azure = Azure::new()?;
    let (vm, account, stdata) = (azure.vm(4), azure.account(), azure.stdata);
    let mut sim = Sim::new(azure.network, 1);
    sim.host("stdata", account, move || server(stdata));
    sim.client("vm-a", vm, async {
        let client = client()?;
        get(&client, PAGE).await?;
        sleep(2 * SECOND).await;
        let error = get(&client, PAGE).await.unwrap_err();
        assert_eq!(io_kind(error.as_ref()), Some(ErrorKind::TimedOut), "{error:?}");
        Ok(())
    });
    sim.at(SECOND, |now| now.cut("stdata"));
    Ok(sim.run()?)
}

#[test]
fn restarted_server_resets_a_request() -> Result<(), BoxError> {
    let azure = Azure::new()?;
    let (vm, account, stdata) = (azure.vm(4), azure.account(), azure.stdata);
    let mut sim = Sim::new(azure.network, 1);
    sim.host("stdata", account, move || server(stdata));
    sim.client("vm-a", vm, async {
        let client = client()?;
        get(&client, PAGE).await?;
        sleep(2 * SECOND).await;
        let error = get(&client, PAGE).await.unwrap_err();
        assert_eq!(io_kind(error.as_ref()), Some(ErrorKind::ConnectionReset), "{error:?}");
        assert_eq!(get(&client, PAGE).await?.0, 200);
        Ok(())
    });
    sim.at(SECOND, |now| now.crash("stdata"));
    sim.at(10 * SECOND, |now| now.restart("stdata"));
    Ok(sim.run()?)
}

#[test]
fn hyper_is_deterministic() -> Result<(), BoxError> {
    Ok(check_deterministic(|| toggled(Settings::replayable(1), pooled()))?)
}
