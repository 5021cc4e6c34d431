//! Steps that change nothing: they show routes, logs, flows and counters.

use vnetem::{
    DataPlane, DenyReason, DropReason, Ipv4Net,
    authz::Refusal,
    control::{EffectiveRoute, RouteRemark, RouteState, TiePolicy},
};

use super::error::Problem;
use super::runner::Runner;
use super::step::Show;
use crate::report::Routes;

impl Runner<'_> {
    pub(super) fn show(&mut self, show: &Show) -> Result<Vec<String>, Problem> {
        match show {
            Show::Routes { subnet, all } => {
                let routes = Routes { all: *all, ..self.routes(subnet)? };
                let lines = route_table(&routes.routes, *all);
                self.report.routes.push(routes);
                Ok(lines)
            }
            Show::Log { name, last } => self.log(name, last.unwrap_or(usize::MAX)),
            Show::Rules(resource) => self.topology.rules(resource).map_err(Problem::Refused),
            Show::Flows(name) => self.flows(name),
            Show::Wire(service) => {
                let id = self.topology.service(service).map_err(Problem::Refused)?;
                Ok(self.world.wire(id))
            }
            Show::Counters => Ok(counter_lines(self.world.data_plane())),
        }
    }

    /// Returns the present effective routes of a subnet.
    ///
    /// # Errors
    ///
    /// There is no such subnet.
    pub fn routes(&self, subnet: &str) -> Result<Routes, Problem> {
        let id = self.topology.subnet(subnet).map_err(Problem::Refused)?;
        let snapshot = self.world.data_plane().snapshot();
        Ok(Routes {
            at: self.world.now(),
            generation: snapshot.generation(),
            subnet: self.topology.full_name(id),
            all: false,
            routes: snapshot.effective_routes(id),
        })
    }

    fn log(&self, name: &str, last: usize) -> Result<Vec<String>, Problem> {
        if !self.targets.iter().any(|target| target.name == name) {
            let known: Vec<&str> = self.targets.iter().map(|target| target.name.as_str()).collect();
            let expected = format!("somebody who serves ({})", known.join(", "));
            return Err(Problem::Expected { found: format!("\"{name}\""), expected });
        }
        let log = self.world.access_log(name);
        let skipped = log.len().saturating_sub(last);
        let lines = log.into_iter().skip(skipped).map(|access| {
            let code = access.code.as_deref().map_or(String::new(), |code| format!(" {code}"));
            let (at, call) = (milliseconds(access.call.time), &access.call);
            format!("{at:>10}  {:<24}  {}  {}{code}", access.identity, call.target, access.status)
        });
        Ok(lines.collect())
    }

    fn flows(&self, name: &str) -> Result<Vec<String>, Problem> {
        let found = self.world.station(name).and_then(|id| self.world.appliance(id));
        let Some(appliance) = found else {
            let expected = "the name of an appliance".to_owned();
            return Err(Problem::Expected { found: format!("\"{name}\""), expected });
        };
        Ok(appliance.log().iter().map(ToString::to_string).collect())
    }
}

/// Writes what went in, what came out and why the rest did not: a line for each counter that is not
/// 0.
#[must_use]
pub fn counter_lines(plane: &DataPlane) -> Vec<String> {
    let counters = plane.counters();
    let mut lines = vec![format!(
        "in {} + made {} = out {} + sent {} + denied {} + dropped {} + queued {}",
        counters.received.packets,
        counters.generated.packets,
        counters.forwarded.packets,
        counters.transmitted.packets,
        counters.denied.packets,
        counters.dropped.packets,
        plane.queued().0
    )];
    let drops = DropReason::all().map(|reason| (reason.name(), counters.drops(reason)));
    lines.extend(
        drops.filter(|(_, count)| *count > 0).map(|(name, count)| format!("drop {name} {count}")),
    );
    let denies = DenyReason::all().map(|reason| ("deny", reason.name(), counters.denies(reason)));
    let marked = Refusal::ALL
        .into_iter()
        .map(|refusal| ("delivered, to be refused:", refusal.name(), counters.refusals(refusal)));
    let counted = denies.chain(marked).filter(|(.., count)| *count > 0);
    lines.extend(counted.map(|(what, name, count)| format!("{what} {name} {count}")));
    let flows = plane.flow_counters();
    lines.push(format!(
        "flows opened {} live {} closed and answering {}",
        flows.opened, flows.live, flows.tombstones
    ));
    lines
}

/// Writes effective routes in Azure's columns. The prefixes of an endpoint are counted, or listed
/// with `all`.
#[must_use]
pub fn route_table(routes: &[EffectiveRoute], all: bool) -> Vec<String> {
    let row = |[source, state, prefix, kind, next_hop, remark]: [&str; 6]| {
        format!("{source:<21}  {state:<7}  {prefix:<18}  {kind:<29}  {next_hop:<15}  {remark}")
            .trim_end()
            .to_owned()
    };
    let mut lines =
        vec![row(["Source", "State", "Address Prefix", "Next Hop Type", "Next Hop IP", "Service"])];
    for route in routes {
        let (state, why) = match route.state {
            RouteState::Active => ("Active", None),
            RouteState::Invalid(by) => ("Invalid", Some(format!("overridden by {by}"))),
            RouteState::OutOfScope => ("Invalid", None),
        };
        let service: Vec<String> =
            [route.service.clone(), why, route_remark(route)].into_iter().flatten().collect();
        let service = service.join(", ");
        let source = route.source.to_string();
        let next_hop = match route.next_hop {
            Some(vnetem::control::NextHop::VirtualAppliance(address)) => address.to_string(),
            _ => String::new(),
        };
        let kind = route.next_hop_type();
        let line = |prefix: &str| row([&source, state, prefix, kind, &next_hop, &service]);
        match route.prefixes.as_slice() {
            [prefix] => lines.push(line(&prefix.to_string())),
            several if !all => lines.push(line(&format!("{} prefixes", several.len()))),
            several => {
                lines.extend(several.iter().map(|prefix: &Ipv4Net| line(&prefix.to_string())))
            }
        }
    }
    lines
}

/// Returns what else affects an effective route, in words. Most have nothing.
#[must_use]
pub fn route_remark(route: &EffectiveRoute) -> Option<String> {
    if route.state == RouteState::OutOfScope {
        return Some("out of the endpoint's scope".to_owned());
    }
    Some(match (route.remark.as_ref()?, route.service.is_some()) {
        (RouteRemark::PrivateEndpoint(name), _) => {
            format!("carries nothing to private endpoint {name} (observed)")
        }
        (RouteRemark::Endpoint(name), _) => format!("TCP by {name}"),
        (RouteRemark::Tie(TiePolicy::Documented, name), _) => {
            format!("TCP by {name} (tie documented; observed: this route)")
        }
        (RouteRemark::Tie(TiePolicy::Observed, name), false) => {
            format!("before {name} (tie observed; documented: TCP by {name})")
        }
        (RouteRemark::Tie(TiePolicy::Observed, _), true) => {
            "tie observed (documented: the endpoint)".to_owned()
        }
    })
}

/// Writes a time in milliseconds, `12.004ms`.
pub(super) fn milliseconds(time: vnetem::Time) -> String {
    format!("{}.{:03}ms", time.0 / 1_000_000, time.0 / 1_000 % 1_000)
}
