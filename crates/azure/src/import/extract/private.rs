//! Private endpoints and private DNS zones.

use std::collections::BTreeMap;

use super::Extract;
use crate::import::batch::Record;
use crate::import::value::Value;
use crate::import::{Inventory, Link, PrivateEndpoint, PrivateZone};

impl Extract<'_> {
    pub(super) fn private_endpoint(&mut self, record: &Record, inventory: &mut Inventory) {
        let fields = &record.fields;
        let list = fields.get("privateLinkServiceConnections");
        let manual = fields.get("manualPrivateLinkServiceConnections");
        let connection = list.items().first().or_else(|| manual.items().first());
        let connection = connection.cloned().unwrap_or_default();
        let mut addresses = Vec::new();
        for item in fields.get("ipConfigurations").items() {
            let value = item.get("privateIPAddress");
            addresses.extend(self.address(record, "ipConfigurations.privateIPAddress", value));
        }
        for item in fields.get("customDnsConfigs").items() {
            for value in item.get("ipAddresses").items() {
                let address = self.address(record, "customDnsConfigs.ipAddresses", value);
                addresses.extend(address.filter(|address| !addresses.contains(address)));
            }
        }
        let state = connection.get("privateLinkServiceConnectionState").get("status");
        let groups = connection.get("groupIds").items().iter();
        let state = match state.as_text() {
            Some(state) => state.to_owned(),
            None if list.items().is_empty() && !manual.items().is_empty() => "Pending".to_owned(),
            None => String::new(),
        };
        inventory.private_endpoints.push(PrivateEndpoint {
            id: record.id.clone(),
            name: record.name.clone(),
            subnet: self.link(record, "subnet.id", fields.get("subnet")),
            target: self.link(
                record,
                "privateLinkServiceConnections.privateLinkServiceId",
                connection.get("privateLinkServiceId"),
            ),
            groups: groups.filter_map(Value::as_text).map(str::to_owned).collect(),
            state,
            addresses,
            zones: Vec::new(),
            place: record.place.clone(),
        });
    }

    pub(super) fn private_zone(&mut self, record: &Record, inventory: &mut Inventory) {
        let mut vnets = Vec::new();
        for part in self.parts_of(record, "virtualNetworkLinks") {
            let vnet = part.fields.get("virtualNetwork");
            vnets.push(self.link(part, "virtualNetwork.id", vnet));
        }
        let mut addresses = BTreeMap::new();
        for part in self.parts_of(record, "A") {
            let mut found = Vec::new();
            for item in part.fields.first(&["aRecords", "ARecords"]).items() {
                found.extend(self.address(part, "aRecords.ipv4Address", item.get("ipv4Address")));
            }
            addresses.insert(part.name.clone(), found);
        }
        inventory.private_zones.push(PrivateZone {
            id: record.id.clone(),
            name: record.name.clone(),
            vnets,
            addresses,
            place: record.place.clone(),
        });
    }

    /// Joins private endpoints and the zones that their groups name.
    pub(super) fn private_parts(&mut self, inventory: &mut Inventory) {
        for endpoint in &mut inventory.private_endpoints {
            let Some(record) = self.records.by_id.get(&endpoint.id) else { continue };
            for part in self.parts_of(record, "privateDnsZoneGroups") {
                for item in part.fields.get("privateDnsZoneConfigs").items() {
                    let zone = item.get("privateDnsZoneId");
                    let link = self.link(part, "privateDnsZoneConfigs.privateDnsZoneId", zone);
                    if link != Link::None && !endpoint.zones.contains(&link) {
                        endpoint.zones.push(link);
                    }
                }
            }
        }
    }
}
