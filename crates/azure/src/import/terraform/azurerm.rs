//! Which converter takes which type of Terraform's.

use super::super::batch::Batch;
use super::links::Source;
use super::plan::Plan;
use super::{azapi, network, outbound, services};

/// Takes an instance into a batch; one that only links others is put aside.
pub(super) fn convert(plan: &Plan<'_>, place: usize, batch: &mut Batch, links: &mut Vec<usize>) {
    let Some(instance) = plan.instances.get(place) else { return };
    let source = Source { plan, instance };
    match instance.kind.as_str() {
        "azurerm_virtual_network" => network::vnet(&source, batch),
        "azurerm_subnet" => network::subnet(&source, batch),
        "azurerm_virtual_network_peering" => network::peering(&source, batch),
        "azurerm_route_table" => network::route_table(&source, batch),
        "azurerm_route" => network::route(&source, batch),
        "azurerm_network_security_group" => network::security_group(&source, batch),
        "azurerm_network_security_rule" => network::security_rule(&source, batch),
        "azurerm_network_interface" => network::nic(&source, batch),
        "azurerm_subnet_service_endpoint_storage_policy" => network::policy(&source, batch),
        "azurerm_public_ip" => outbound::public_ip(&source, batch),
        "azurerm_public_ip_prefix" => outbound::public_ip_prefix(&source, batch),
        "azurerm_nat_gateway" => outbound::nat_gateway(&source, batch),
        "azurerm_lb" => outbound::load_balancer(&source, batch),
        "azurerm_lb_backend_address_pool" => outbound::backend_pool(&source, batch),
        "azurerm_lb_rule" => links.push(place),
        "azurerm_virtual_network_gateway" => outbound::gateway(&source, batch),
        "azurerm_firewall" => outbound::firewall(&source, batch),
        "azurerm_private_endpoint" => outbound::private_endpoint(&source, batch),
        "azurerm_private_dns_zone" => outbound::private_zone(&source, batch),
        "azurerm_private_dns_zone_virtual_network_link" => outbound::zone_link(&source, batch),
        "azurerm_private_dns_a_record" => outbound::zone_address(&source, batch),
        "azurerm_storage_account" => services::storage(&source, batch),
        "azurerm_key_vault" => services::vault(&source, batch),
        "azurerm_cognitive_account" => services::ai(&source, batch),
        "azurerm_container_registry" => services::registry(&source, batch),
        "azurerm_cosmosdb_account" => services::cosmos(&source, batch),
        "azurerm_eventhub_namespace" => services::event_hubs(&source, batch),
        "azurerm_servicebus_namespace" => services::service_bus(&source, batch),
        "azurerm_servicebus_namespace_network_rule_set" => {
            services::service_bus_rules(&source, batch);
        }
        "azurerm_sql_server"
        | "azurerm_mssql_server"
        | "azurerm_postgresql_server"
        | "azurerm_mysql_server"
        | "azurerm_mariadb_server" => services::server(&source, batch),
        "azurerm_sql_firewall_rule"
        | "azurerm_mssql_firewall_rule"
        | "azurerm_postgresql_firewall_rule"
        | "azurerm_mysql_firewall_rule"
        | "azurerm_mariadb_firewall_rule" => services::firewall_rule(&source, batch),
        "azurerm_sql_virtual_network_rule"
        | "azurerm_mssql_virtual_network_rule"
        | "azurerm_postgresql_virtual_network_rule"
        | "azurerm_mysql_virtual_network_rule"
        | "azurerm_mariadb_virtual_network_rule" => services::subnet_rule(&source, batch),
        "azurerm_linux_web_app"
        | "azurerm_windows_web_app"
        | "azurerm_app_service"
        | "azurerm_linux_function_app"
        | "azurerm_windows_function_app"
        | "azurerm_function_app" => services::app(&source, batch),
        "azapi_resource" => azapi::resource(&source, batch),
        "azurerm_subnet_route_table_association"
        | "azurerm_subnet_nat_gateway_association"
        | "azurerm_subnet_network_security_group_association"
        | "azurerm_network_interface_security_group_association"
        | "azurerm_network_interface_backend_address_pool_association"
        | "azurerm_network_interface_application_security_group_association"
        | "azurerm_nat_gateway_public_ip_association"
        | "azurerm_nat_gateway_public_ip_prefix_association"
        | "azurerm_lb_outbound_rule"
        | "azurerm_storage_account_network_rules"
        | "azapi_update_resource" => links.push(place),
        other if !instance.data => batch.ignore(other),
        _ => {}
    }
}

/// Takes an instance that links others.
pub(super) fn link(plan: &Plan<'_>, place: usize, batch: &mut Batch) {
    let Some(instance) = plan.instances.get(place) else { return };
    let source = Source { plan, instance };
    match instance.kind.as_str() {
        "azurerm_subnet_route_table_association" => {
            network::associate(&source, batch, "route_table_id", "routeTable");
        }
        "azurerm_subnet_nat_gateway_association" => {
            network::associate(&source, batch, "nat_gateway_id", "natGateway");
        }
        "azurerm_subnet_network_security_group_association" => {
            network::associate(&source, batch, "network_security_group_id", "networkSecurityGroup");
        }
        "azurerm_network_interface_security_group_association" => {
            network::guard_nic(&source, batch);
        }
        "azurerm_network_interface_backend_address_pool_association" => {
            let pool = source.get("backend_address_pool_id");
            let field = "loadBalancerBackendAddressPools";
            network::add_to_nic(&source, batch, Some("ip_configuration_name"), field, &pool);
        }
        "azurerm_network_interface_application_security_group_association" => {
            let group = source.get("application_security_group_id");
            let field = "applicationSecurityGroups";
            network::add_to_nic(&source, batch, None, field, &group);
        }
        "azurerm_lb_rule" => outbound::balancing_rule(&source, batch),
        "azurerm_nat_gateway_public_ip_association" => {
            outbound::gateway_address(&source, batch, "public_ip_address_id", "publicIpAddresses");
        }
        "azurerm_nat_gateway_public_ip_prefix_association" => {
            outbound::gateway_address(&source, batch, "public_ip_prefix_id", "publicIpPrefixes");
        }
        "azurerm_lb_outbound_rule" => outbound::outbound_rule(&source, batch),
        "azurerm_storage_account_network_rules" => services::storage_rules(&source, batch),
        _ => azapi::update(&source, batch),
    }
}
