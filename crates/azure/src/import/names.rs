//! Names by which people tell elements apart.

use std::collections::BTreeMap;

use super::{Id, Inventory, Link};

/// Names of the elements of an inventory, unique among elements of one kind.
///
/// Two networks of one name are told apart by resource group, or by the address in Terraform.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Names {
    by_id: BTreeMap<Id, String>,
}

impl Names {
    pub(crate) fn new(inventory: &Inventory) -> Self {
        let mut names = Self::default();
        names.add(inventory.vnets.iter().map(|one| (&one.id, one.name.as_str(), &one.place.path)));
        // A network that no file has still gives its name to its subnets.
        for subnet in &inventory.subnets {
            if let Some(vnet) = subnet.vnet.id() {
                names.by_id.entry(vnet.clone()).or_insert_with(|| last(vnet));
            }
        }
        let subnets: Vec<_> = inventory
            .subnets
            .iter()
            .map(|subnet| {
                let vnet = subnet.vnet.id().map_or_else(String::new, |vnet| names.of(vnet));
                (&subnet.id, format!("{vnet}/{}", subnet.name), &subnet.place.path)
            })
            .collect();
        names.add(subnets.iter().map(|(id, name, path)| (*id, name.as_str(), *path)));
        macro_rules! add {
            ($($field:ident),*) => {$(
                names.add(inventory.$field.iter().map(|one| (&one.id, one.name.as_str(), &one.place.path)));
            )*};
        }
        add!(route_tables, security_groups, nics, public_ips, public_ip_prefixes, nat_gateways);
        add!(load_balancers, gateways, firewalls, private_endpoints, private_zones);
        add!(endpoint_policies);
        // An account and a vault may have one name: the kind tells them apart before the group
        // does.
        let mut by_name: BTreeMap<&str, usize> = BTreeMap::new();
        let mut by_kind: BTreeMap<(&str, super::ResourceKind), usize> = BTreeMap::new();
        for one in &inventory.resources {
            *by_name.entry(one.name.as_str()).or_default() += 1;
            *by_kind.entry((one.name.as_str(), one.kind)).or_default() += 1;
        }
        let kinds: Vec<_> = inventory
            .resources
            .iter()
            .map(|one| {
                let shared = by_name.get(one.name.as_str()) != Some(&1);
                let only = by_kind.get(&(one.name.as_str(), one.kind)) == Some(&1);
                let name = match (shared, only) {
                    (true, true) => format!("{}/{}", one.kind.name(), one.name),
                    _ => one.name.clone(),
                };
                (&one.id, name, &one.place.path)
            })
            .collect();
        names.add(kinds.iter().map(|(id, name, path)| (*id, name.as_str(), *path)));
        names
    }

    /// Returns the name of an element; of one that no file has, the last words of its id.
    #[must_use]
    pub fn of(&self, id: &Id) -> String {
        self.by_id.get(id).cloned().unwrap_or_else(|| last(id))
    }

    /// Returns the name of what a link leads to; none if it leads nowhere, `?` if its target is
    /// unknown.
    #[must_use]
    pub fn linked(&self, link: &Link) -> Option<String> {
        match link {
            Link::None => None,
            Link::To(id) => Some(self.of(id)),
            Link::Unresolved => Some("?".to_owned()),
        }
    }

    fn add<'a>(&mut self, elements: impl Iterator<Item = (&'a Id, &'a str, &'a String)> + Clone) {
        let mut count: BTreeMap<&str, usize> = BTreeMap::new();
        for (_, name, _) in elements.clone() {
            *count.entry(name).or_default() += 1;
        }
        let mut grouped: BTreeMap<String, usize> = BTreeMap::new();
        let group =
            |id: &Id, name: &str| id.part("resourceGroups").map(|group| format!("{group}/{name}"));
        for (id, name, _) in elements.clone() {
            *grouped.entry(group(id, name).unwrap_or_default()).or_default() += 1;
        }
        for (id, name, path) in elements {
            let alone = count.get(name) == Some(&1);
            let by_group = group(id, name).filter(|text| grouped.get(text) == Some(&1));
            let unique = match (alone, by_group) {
                (true, _) => name.to_owned(),
                (false, Some(text)) => text,
                (false, None) if id.as_str().starts_with("terraform:") => path.clone(),
                (false, None) => id.as_str().to_owned(),
            };
            self.by_id.insert(id.clone(), unique);
        }
    }
}

/// The name of an element that no file has: `vnet/subnet` for a subnet, else the last word.
fn last(id: &Id) -> String {
    if id.kind() == "microsoft.network/virtualnetworks/subnets"
        && let Some(parent) = id.parent()
    {
        return format!("{}/{}", parent.name(), id.name());
    }
    id.name().to_owned()
}
