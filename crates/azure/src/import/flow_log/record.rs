//! One record of a flow log: what one interface did in one minute.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::tuple::Line;
use crate::import::value::Value;

/// What a record says of itself.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct RecordHead {
    /// When it was written, as the log has it.
    pub time: String,
    /// The MAC address of the interface, without separators; empty in logs of security groups that
    /// do not name it.
    pub mac: String,
    /// The network, subnet or interface that is logged, or the security group.
    pub target: String,
}

#[derive(Deserialize, Default)]
#[serde(default)]
pub(super) struct Record {
    time: Option<String>,
    #[serde(rename = "macAddress")]
    mac: Option<String>,
    #[serde(rename = "systemId")]
    system: Option<String>,
    #[serde(rename = "flowLogGUID")]
    guid: Option<String>,
    #[serde(rename = "targetResourceID")]
    target: Option<String>,
    #[serde(rename = "resourceId")]
    resource: Option<String>,
    category: Option<String>,
    #[serde(rename = "flowRecords")]
    network: Option<NetworkFlows>,
    #[serde(rename = "properties")]
    group: Option<GroupFlows>,
    /// A published sample has records inside a record.
    records: Option<Vec<Record>>,
    /// Log systems keep the record as text.
    #[serde(rename = "_raw")]
    raw: Option<String>,
    /// Splunk puts each row into an object.
    result: Option<Box<Record>>,
}

#[derive(Deserialize)]
struct NetworkFlows {
    flows: Vec<AclFlows>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct AclFlows {
    #[serde(rename = "flowGroups")]
    groups: Vec<Group>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Group {
    #[serde(rename = "flowTuples")]
    tuples: Vec<Line>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct GroupFlows {
    flows: Vec<RuleFlows>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct RuleFlows {
    flows: Vec<MacFlows>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct MacFlows {
    mac: Option<String>,
    #[serde(rename = "flowTuples")]
    tuples: Vec<Line>,
}

/// What a record turned out to hold.
#[derive(Default)]
pub(super) struct Found {
    /// Lines, each with the place of its head.
    pub(super) lines: Vec<(usize, Line)>,
    pub(super) heads: Vec<Head>,
    /// Records that are no flow logs, by category.
    pub(super) others: BTreeMap<String, usize>,
    pub(super) wrong: Option<String>,
}

/// A head, and what tells its record from others.
pub(super) struct Head {
    pub(super) head: RecordHead,
    pub(super) identity: String,
}

/// Records that may stand inside a record.
const MAX_DEPTH: usize = 8;

/// Reads the record that these bytes hold.
pub(super) fn read(json: &[u8], found: &mut Found, depth: usize) {
    match serde_json::from_slice::<Record>(json) {
        Ok(record) => take(record, found, depth),
        // Another log may have other things in fields of these names.
        Err(error) => match serde_json::from_slice::<Value>(json) {
            Ok(value) if is_flow(&value) => found.wrong = Some(error.to_string()),
            Ok(value) => other(value.at("category").as_text(), found),
            Err(error) => found.wrong = Some(error.to_string()),
        },
    }
}

fn is_flow(value: &Value) -> bool {
    !value.at("flowRecords").is_null() || value.at("properties").at("flows").as_list().is_some()
}

fn other(category: Option<&str>, found: &mut Found) {
    *found.others.entry(category.unwrap_or("without a category").to_owned()).or_default() += 1;
}

fn take(record: Record, found: &mut Found, depth: usize) {
    if depth > MAX_DEPTH {
        found.wrong = Some("records in records without end".to_owned());
        return;
    }
    let inner = record.raw.is_some() || record.records.is_some() || record.result.is_some();
    if let Some(raw) = record.raw {
        read(raw.as_bytes(), found, depth + 1);
    }
    for inner in record.records.into_iter().flatten() {
        take(inner, found, depth + 1);
    }
    if let Some(inner) = record.result {
        take(*inner, found, depth + 1);
    }
    let mac = record.mac.unwrap_or_default();
    let target = record.target.or(record.resource).unwrap_or_default();
    let time = record.time.unwrap_or_default();
    let identity = [record.system, record.guid].into_iter().flatten().collect::<String>();
    let mut head = |mac: String| {
        let head = RecordHead { time: time.clone(), mac, target: target.clone() };
        found.heads.push(Head { head, identity: identity.clone() });
        found.heads.len() - 1
    };
    match (record.network, record.group) {
        (Some(network), _) => {
            let place = head(mac);
            for group in network.flows.into_iter().flat_map(|flows| flows.groups) {
                found.lines.extend(group.tuples.into_iter().map(|line| (place, line)));
            }
        }
        (None, Some(group)) if !group.flows.is_empty() || mac.is_empty() && !inner => {
            if group.flows.is_empty() {
                return other(record.category.as_deref(), found);
            }
            let mut by_mac: BTreeMap<String, usize> = BTreeMap::new();
            for flows in group.flows.into_iter().flat_map(|rule| rule.flows) {
                let own = flows.mac.unwrap_or_else(|| mac.clone());
                let place = match by_mac.get(&own) {
                    Some(&place) => place,
                    None => {
                        let place = head(own.clone());
                        by_mac.insert(own, place);
                        place
                    }
                };
                found.lines.extend(flows.tuples.into_iter().map(|line| (place, line)));
            }
        }
        _ if inner => {}
        _ => other(record.category.as_deref(), found),
    }
}
