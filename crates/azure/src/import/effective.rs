//! Effective routes of a network interface, as Azure shows them.

use core::net::IpAddr;

use ipnet::{IpNet, Ipv4Net};

use super::extract::net;
use super::value::Value;
use super::{ImportProblem, recognise};

/// A route that Azure says a network interface has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShownRoute {
    /// `Default`, `User`, `VirtualNetworkGateway` or `Unknown`.
    pub source: String,
    /// Whether it is in use; an `Invalid` one is overridden.
    pub active: bool,
    /// Its IPv4 prefixes; an endpoint has all of its service in one route.
    pub prefixes: Vec<Ipv4Net>,
    /// `VnetLocal`, `VNetPeering`, `VirtualNetworkServiceEndpoint`, ...
    pub next_hop: String,
    /// The addresses of the next hop.
    pub addresses: Vec<IpAddr>,
    /// Whether routes that gateways learn are kept away from the interface.
    pub bgp_disabled: bool,
}

/// Reads the routes, in their order.
pub(crate) fn read(value: &Value) -> Result<Vec<ShownRoute>, ImportProblem> {
    let mut routes = Vec::new();
    for (place, item) in recognise::list(value).unwrap_or_default().iter().enumerate() {
        let word = |name: &str| item.get(name).as_text().unwrap_or_default().to_owned();
        let mut prefixes = Vec::new();
        for (index, prefix) in item.get("addressPrefix").items().iter().enumerate() {
            match prefix.as_text().and_then(net) {
                Some(IpNet::V4(prefix)) => prefixes.push(prefix),
                Some(IpNet::V6(_)) => {}
                None => {
                    let path = format!("value[{place}].addressPrefix[{index}]");
                    let what = format!("{prefix} is not an address range");
                    return Err(ImportProblem::Value { path, what });
                }
            }
        }
        let next_hop = word("nextHopType");
        if next_hop.is_empty() {
            let path = format!("value[{place}].nextHopType");
            return Err(ImportProblem::Value {
                path,
                what: "the type of the next hop is missing".into(),
            });
        }
        let addresses = item.get("nextHopIpAddress").items().iter();
        let addresses = addresses.filter_map(Value::as_text).filter_map(|text| text.parse().ok());
        routes.push(ShownRoute {
            source: word("source"),
            active: !word("state").eq_ignore_ascii_case("Invalid"),
            prefixes,
            next_hop,
            addresses: addresses.collect(),
            bgp_disabled: item.get("disableBgpRoutePropagation").as_bool().unwrap_or(false),
        });
    }
    Ok(routes)
}
