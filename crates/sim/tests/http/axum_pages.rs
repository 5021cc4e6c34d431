//! axum on a listener of an emulated host.

use axum::Router;
use axum::extract::ConnectInfo;
use axum::routing::get;
use vnetem::authz::Arrival;
use vnetem_sim::net::Caller;
use vnetem_sim::{BoxError, Outcome, Sim, TcpListener};

use crate::azure::Azure;
use crate::web;

async fn server() -> Outcome {
    let page = |ConnectInfo(caller): ConnectInfo<Caller>| async move {
        let tunnel = matches!(caller.arrival, Some(Arrival::Tunnel(_)));
        format!("{} by an endpoint: {tunnel}", caller.address.ip())
    };
    let app = Router::new().route("/", get(page));
    let listener = TcpListener::bind("0.0.0.0:80").await?;
    axum::serve(listener, app.into_make_service_with_connect_info::<Caller>()).await?;
    Ok(())
}

/// S-04: a handler learns who calls, and by what path.
#[test]
fn axum_handler_learns_its_caller() -> Result<(), BoxError> {
    let mut azure = Azure::new()?;
    let (vm, account) = (azure.vm(4), azure.account());
    azure.network.enable_endpoint(azure.web, azure.storage, vnetem::control::Scope::Worldwide)?;
    let mut sim = Sim::new(azure.network, 1);
    sim.host("stdata", account, server);
    sim.client("vm-a", vm, async {
        let page = web::get(&web::client()?, "http://stdata/").await?;
        assert_eq!(page, (200, "10.0.0.4 by an endpoint: true".to_owned()));
        Ok(())
    });
    Ok(sim.run()?)
}
