//! Edits of route tables. A table belongs to one subnet.

use ipnet::Ipv4Net;
use vnetem_packet::{SubnetId, VnetId};

use super::compile_routes::Reserved;
use super::{Network, RouteTable, TagLevel, TagRoute, UserRoute, check};
use crate::{EditError, NextHop};

/// The most routes of one table, of both kinds together.
const MAX_ROUTES: usize = 400;

/// The most routes of one table whose prefix is a service tag.
const MAX_TAG_ROUTES: usize = 25;

/// Edits of routes.
impl Network {
    /// Sets a user-defined route of the subnet. It replaces the one with the same prefix, including
    /// its BGP override.
    ///
    /// # Errors
    ///
    /// - The subnet does not exist, or the prefix has host bits.
    /// - The next hop is a peering, no VPN gateway of the network, or an address that is not
    ///   private.
    /// - The table is full.
    pub fn set_route(
        &mut self,
        id: SubnetId,
        prefix: Ipv4Net,
        next_hop: NextHop,
    ) -> Result<(), EditError> {
        let subnet = self.subnet(id)?;
        check::canonical(prefix)?;
        self.check_next_hop(next_hop, subnet.vnet)?;
        check_room(&subnet.table, subnet.table.routes.contains_key(&prefix))?;
        self.edit_table(id, |table| {
            table.routes.insert(prefix, UserRoute { next_hop, overrides_bgp: false });
        });
        Ok(())
    }

    fn check_next_hop(&self, next_hop: NextHop, vnet: VnetId) -> Result<(), EditError> {
        let own = self.vnet(vnet)?;
        let peers = own.peers.iter().filter_map(|peer| self.vnet(*peer).ok());
        check::next_hop(next_hop, own, peers)
    }

    /// Removes a user-defined route. Without one, nothing changes (INV-edits-idempotent).
    ///
    /// # Errors
    ///
    /// The subnet does not exist.
    pub fn remove_route(&mut self, id: SubnetId, prefix: Ipv4Net) -> Result<(), EditError> {
        self.subnet(id)?;
        self.edit_table(id, |table| {
            table.routes.remove(&prefix);
        });
        Ok(())
    }

    /// Sets whether a user-defined route overrides the BGP routes inside its prefix, whatever their
    /// length.
    ///
    /// # Errors
    ///
    /// The subnet or the route does not exist.
    pub fn set_bgp_override(
        &mut self,
        id: SubnetId,
        prefix: Ipv4Net,
        on: bool,
    ) -> Result<(), EditError> {
        if !self.subnet(id)?.table.routes.contains_key(&prefix) {
            return Err(EditError::Unknown { kind: "route", name: prefix.to_string() });
        }
        self.edit_table(id, |table| {
            if let Some(route) = table.routes.get_mut(&prefix) {
                route.overrides_bgp = on;
            }
        });
        Ok(())
    }

    /// Sets a user-defined route for all prefixes of a service tag. It replaces the one for
    /// the same tag, which is how to update the tag's prefixes.
    ///
    /// # Errors
    ///
    /// - The subnet does not exist, or a prefix has host bits.
    /// - The next hop cannot be a user route's.
    /// - The table is full, or has 25 such routes already.
    pub fn set_tag_route(
        &mut self,
        id: SubnetId,
        tag: &str,
        level: TagLevel,
        prefixes: &[Ipv4Net],
        next_hop: NextHop,
    ) -> Result<(), EditError> {
        let subnet = self.subnet(id)?;
        prefixes.iter().try_for_each(|&prefix| check::canonical(prefix))?;
        self.check_next_hop(next_hop, subnet.vnet)?;
        let replaces = subnet.table.tags.contains_key(tag);
        check_room(&subnet.table, replaces)?;
        if !replaces && subnet.table.tags.len() >= MAX_TAG_ROUTES {
            let what = "routes of a table whose prefix is a service tag";
            return Err(EditError::Limit { what, limit: MAX_TAG_ROUTES });
        }
        let route = TagRoute { level, prefixes: prefixes.to_vec(), next_hop };
        self.edit_table(id, |table| {
            table.tags.insert(tag.into(), route);
        });
        Ok(())
    }

    /// Removes the route for a service tag. Without one, nothing changes (INV-edits-idempotent).
    ///
    /// # Errors
    ///
    /// The subnet does not exist.
    pub fn remove_tag_route(&mut self, id: SubnetId, tag: &str) -> Result<(), EditError> {
        self.subnet(id)?;
        self.edit_table(id, |table| {
            table.tags.remove(tag);
        });
        Ok(())
    }

    /// Sets whether the subnet's table takes the routes that gateways learn by BGP (the default).
    ///
    /// # Errors
    ///
    /// The subnet does not exist.
    pub fn set_bgp_propagation(&mut self, id: SubnetId, on: bool) -> Result<(), EditError> {
        self.subnet(id)?;
        self.edit_table(id, |table| table.bgp_propagation = on);
        Ok(())
    }

    /// Chooses the ranges for which every table has a system route to None. The default is the four
    /// of R-01. Route dumps of 2021 show two more, 25.33.80.0/20 and 25.41.3.0/25 (C-15).
    ///
    /// # Errors
    ///
    /// A range has host bits.
    pub fn set_reserved_ranges(&mut self, ranges: &[Ipv4Net]) -> Result<(), EditError> {
        ranges.iter().try_for_each(|&range| check::canonical(range))?;
        self.reserved = Reserved(ranges.to_vec());
        self.vnets.keys().for_each(|vnet| self.dirty.vnets.add(*vnet));
        Ok(())
    }

    fn edit_table(&mut self, id: SubnetId, edit: impl FnOnce(&mut RouteTable)) {
        if let Some(subnet) = self.subnets.get_mut(&id) {
            edit(&mut subnet.table);
        }
        self.dirty.places.add(id.0);
        self.dirty.tables.add(id.0);
    }
}

fn check_room(table: &RouteTable, replaces: bool) -> Result<(), EditError> {
    if !replaces && table.routes.len() + table.tags.len() >= MAX_ROUTES {
        return Err(EditError::Limit { what: "routes of one table", limit: MAX_ROUTES });
    }
    Ok(())
}
