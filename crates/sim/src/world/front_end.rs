//! What stands at a service: who is served there, and who may come in.

use core::net::Ipv4Addr;
use std::collections::{BTreeMap, BTreeSet};

use vnetem::{Edge, Identity, ResourceId, ServiceId, Snapshot, authz::Arrival};

use crate::{Answer, App, Call, Refusal};

/// A resource that answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Served {
    /// The resource, whose rules are asked.
    pub resource: ResourceId,
    /// Its service.
    pub service: ServiceId,
    /// The address at which it answers.
    pub address: Ipv4Addr,
    /// What it speaks.
    pub app: App,
}

/// All resources that answer, by name: what the front ends of services say to calls.
#[derive(Debug, Default)]
pub struct FrontEnds {
    served: BTreeMap<String, Served>,
}

impl FrontEnds {
    /// Lets a resource answer.
    pub fn serve(&mut self, name: &str, served: Served) {
        self.served.insert(name.to_owned(), served);
    }

    /// Returns whether somebody answers at an edge: at a service, or at a private endpoint.
    #[must_use]
    pub fn are_at(&self, snapshot: &Snapshot, edge: Edge) -> bool {
        self.served.values().any(|served| match edge {
            Edge::Service { service, .. } | Edge::SameRegion { service, .. } => {
                served.service == service
            }
            Edge::PrivateEndpoint(id) => snapshot.resource_behind(id) == Some(served.resource),
            _ => false,
        })
    }

    /// Returns the ports at which front ends listen.
    #[must_use]
    pub fn ports(&self) -> BTreeSet<(u16, App)> {
        self.served.values().map(|served| (served.app.port(), served.app)).collect()
    }

    /// Returns what a front end says to a call: the name in the call says which resource is meant,
    /// its rules say whether it may come in.
    #[must_use]
    pub fn answer(&self, snapshot: &Snapshot, edge: Edge, call: &Call) -> Answer {
        let client = *call.client.ip();
        let (identity, arrival) = match edge {
            Edge::Service { identity: Some(identity), .. } => {
                let identity = Identity { address: client, ..identity };
                let name = snapshot.subnet_name(identity.subnet);
                (format!("{client} of {name}"), Arrival::Tunnel(identity))
            }
            Edge::SameRegion { .. } => {
                (format!("{client} of no subnet"), Arrival::PrivateSameRegion(client))
            }
            Edge::PrivateEndpoint(_) => {
                (client.to_string(), Arrival::PrivateEndpoint { approved: true })
            }
            _ => (client.to_string(), Arrival::Public(client)),
        };
        let served = self.served.get(label(&call.host));
        // L-05: behind a private endpoint there is one resource, whatever name is asked for.
        let served = served.filter(|served| match edge {
            Edge::PrivateEndpoint(id) => snapshot.resource_behind(id) == Some(served.resource),
            _ => snapshot.resources_at(*call.server.ip()).contains(&served.resource),
        });
        let judged = served.and_then(|served| {
            let access = snapshot.judge(served.resource, arrival)?;
            let refused = |refusal| snapshot.answer(served.resource, refusal, arrival);
            Some(access.refusal().and_then(refused))
        });
        match judged {
            Some(None) => Answer::allow(identity),
            Some(Some(answer)) => Answer::refuse(identity, answer.into()),
            None => Answer::refuse(identity, not_found()),
        }
    }
}

/// The name of a resource in the name of its host, `stdata` in `stdata.blob.core.windows.net`.
pub(super) fn label(host: &str) -> &str {
    host.split('.').next().unwrap_or(host)
}

fn not_found() -> Refusal {
    Refusal {
        status: 404,
        code: "ResourceNotFound".to_owned(),
        message: "The specified resource does not exist.".to_owned(),
    }
}
