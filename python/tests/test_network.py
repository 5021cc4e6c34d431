"""Edits by name, and their errors."""

from ipaddress import IPv4Address, IPv4Network

import pytest
from conftest import STORAGE
from scapy.layers.inet import IP, TCP, UDP

import vnetem


def sends(network, edge, packet, seed=1):
    """Returns the verdict of a new data plane."""
    return vnetem.DataPlane(network, seed=seed, flows=64).process(edge, packet)


def test_names_and_ipaddress_are_taken():
    network = vnetem.Network()
    network.add_vnet("alpha", [IPv4Network("10.0.0.0/16"), "10.1.0.0/16"])
    network.add_subnet("alpha", "web", IPv4Network("10.0.0.0/24"))
    network.add_service("s", IPv4Network("52.239.0.0/16"))
    network.add_resource("s", "logs", IPv4Address("52.239.1.9"))
    assert network.vnets == ["alpha"] and network.subnets == ["alpha/web"]
    assert network.services == ["s"] and network.resources == ["logs"]
    assert network.prefix("web") == IPv4Network("10.0.0.0/24")
    assert network.resolve("logs") == IPv4Address("52.239.1.9")
    assert repr(network) == "<Network: 1 vnets, 1 subnets, 1 services, 1 resources>"


def test_same_subnet_name_needs_network(network):
    network.add_vnet("beta", "10.0.0.0/16")
    network.add_subnet("beta", "web", "10.0.0.0/24")
    with pytest.raises(vnetem.EditError, match="alpha/web, beta/web"):
        network.edge("web")
    assert network.edge("beta/web").name == "beta/web"


@pytest.mark.parametrize(
    ("edit", "text"),
    [
        (lambda n: n.add_vnet("alpha", "10.0.0.0/8"), "there is a vnet alpha already"),
        (lambda n: n.add_vnet("b", "10.0.0.1/8"), "did you mean 10.0.0.0/8"),
        (lambda n: n.add_vnet("b", []), "vnet b needs at least one range"),
        (lambda n: n.add_subnet("beta", "x", "10.0.1.0/24"), "there is no vnet beta"),
        (lambda n: n.add_subnet("alpha", "x", "10.0.0.0/25"), "overlaps 10.0.0.0/24"),
        (lambda n: n.enable_endpoint("db", STORAGE), "no subnet.* is named db; there is alpha/web"),
        (lambda n: n.enable_endpoint("web", "Sql"), "no service is named Sql"),
        (lambda n: n.add_nic("web", "a", "10.0.0.3"), "Azure reserves the first four"),
        (lambda n: n.set_route("web", "0.0.0.0/0", "nowhere"), "nowhere is no next hop"),
        (lambda n: n.set_outbound("web", "nat-gateway", "10.0.0.1"), "is not a public address"),
        (lambda n: n.remove_nic("fw"), "there is no nic fw"),
        (lambda n: n.set_rules("logs", ip_rules="10.0.0.1"), "10.0.0.1"),
        (lambda n: n.remove_vnet("alpha"), "is used by subnet web"),
        (lambda n: n.edge("nic fw"), "there is no nic fw"),
    ],
)
def test_refused_edit_raises_rust_text(network, edit, text):
    before = network.copy()
    with pytest.raises(vnetem.EditError, match=text) as error:
        edit(network)
    assert isinstance(error.value, vnetem.Error) and isinstance(error.value, ValueError)
    assert network == before, "a refused edit changes nothing"


@pytest.mark.parametrize(
    ("call", "kind", "text"),
    [
        (lambda n, p: n.add_vnet("b", "10.0.0"), vnetem.ArgumentError, "10.0.0 is no IPv4 prefix"),
        (lambda n, p: n.add_nic("web", "a", "::1"), vnetem.ArgumentError, "::1 is no IPv4 address"),
        (lambda n, p: n.add_nic("web", "a", 5), TypeError, "expected an IPv4 address .* not int"),
        (lambda n, p: n.set_outbound("web", "magic"), vnetem.ArgumentError, "no outbound method"),
        (lambda n, p: n.set_outbound("web", "default"), vnetem.ArgumentError, "one address"),
        (lambda n, p: n.add_service("Mine"), vnetem.ArgumentError, "Mine needs prefixes"),
        (lambda n, p: n.set_gateway_idle("web", 3), vnetem.ArgumentError, "expected 4 to 120"),
        (lambda n, p: p.process("web", b"", -1), vnetem.ArgumentError, "-1 is no time"),
        (lambda n, p: p.process("web", b"", float("nan")), vnetem.ArgumentError, "NaN is no time"),
        (lambda n, p: p.process("web", b"", 1e300), vnetem.ArgumentError, "is no time"),
        (lambda n, p: p.process("web", b"", "soon"), TypeError, "str"),
        (lambda n, p: p.process("web", "packet"), TypeError, "expected a packet.* not str"),
        (lambda n, p: p.process("web", 20), TypeError, "expected a packet.* not int"),
        (lambda n, p: p.process(5, b""), TypeError, "expected an Edge or its name, not int"),
        (lambda n, p: p.process("db", b""), vnetem.EditError, "is named db"),
    ],
)
def test_wrong_argument_is_named(network, plane, call, kind, text):
    before = network.copy()
    with pytest.raises(kind, match=text):
        call(network, plane)
    assert network == before and plane.counters()["received"] == 0


def test_other_network_is_not_applied(network, plane):
    other = network.copy()
    other.add_vnet("one", "10.1.0.0/16")
    network.add_vnet("two", "10.2.0.0/16")
    assert plane.apply(network)
    for stranger in (other, vnetem.Network()):
        with pytest.raises(vnetem.ApplyError, match="another one than that in force"):
            plane.apply(stranger)
    older = network.copy()
    network.remove_vnet("two")
    assert plane.apply(network)
    with pytest.raises(vnetem.ApplyError, match="older"):
        plane.apply(older)


def test_copies_are_compared_by_content(network):
    copy = network.copy()
    assert copy == network and network == network and network != 1
    copy.add_vnet("beta", "10.1.0.0/16")
    assert copy != network


def test_routes_lead_to_appliance_and_site(network):
    network.add_subnet("alpha", "dmz", "10.0.9.0/24")
    network.add_nic("dmz", "fw", "10.0.9.4")
    network.set_ip_forwarding("fw", True)
    network.add_site("hq", "192.168.0.0/16", nat="203.0.113.9")
    network.connect("alpha", "hq", "192.168.0.0/16")
    packet = IP(src="10.0.0.4", dst="1.1.1.1") / UDP(sport=1, dport=2)
    seen = {}
    for hop in (IPv4Address("10.0.9.4"), "site hq", "Internet", "None"):
        network.set_route("web", "0.0.0.0/0", hop)
        assert network.routes("web") == [("0.0.0.0/0", str(hop))]
        verdict = sends(network, "web", packet)
        seen[str(hop)] = str(verdict.to or verdict.reason)
    assert seen == {
        "10.0.9.4": "nic fw",
        "site hq": "site hq",
        "Internet": "internet",
        "None": "route-none",
    }
    network.set_bgp_override("web", "0.0.0.0/0", True)
    network.set_tag_route("web", "Mine", "service", "1.1.1.0/24", "Internet")
    assert sends(network, "web", packet).to == "internet"
    network.remove_tag_route("web", "Mine")
    network.remove_route("web", "0.0.0.0/0")
    assert network.routes("web") == []


def test_outbound_methods_choose_source(network):
    packet = IP(src="10.0.0.4", dst="1.1.1.1") / UDP(sport=1, dport=2)
    network.set_outbound("web", "pool", ["20.2.2.2"], ports=(5000, 5001))
    assert sends(network, "web", packet).translated[1] in (5000, 5001)
    network.set_outbound("web", "default", "20.3.3.3")
    assert str(sends(network, "web", packet).translated[0]) == "20.3.3.3"
    network.set_outbound("web", "private")
    assert sends(network, "web", packet).reason == "no-outbound"


def test_endpoint_needs_subnet_rule(network, syn):
    network.enable_endpoint("web", STORAGE, scope="*")
    assert network.endpoints("web") == [STORAGE]
    assert network.provisioning_state("web") == "Updating"
    assert sends(network, "web", syn).refusal == "subnet-not-listed"
    assert network.provisioning_state("web") == "Succeeded"
    network.set_rules("logs", subnet_rules="web")
    assert sends(network, "web", syn).access == "allowed"
    network.set_rules("logs", subnet_rules="web", public_access=False)
    assert sends(network, "web", syn).refusal == "public-access-disabled"
    network.set_deny_mode("drop")
    assert sends(network, "web", syn).reason == "public-access-disabled"
    network.disable_endpoint("web", STORAGE)
    assert network.endpoints("web") == []


def test_azure_service_brings_prefixes_and_regions():
    network = vnetem.Network()
    network.add_service(STORAGE)
    network.add_service("Microsoft.KeyVault")
    network.add_vnet("alpha", "10.0.0.0/16")
    network.place_vnet("alpha", region="westeurope")
    network.add_subnet("alpha", "web", "10.0.0.0/24")
    network.enable_endpoint("web", STORAGE)
    with pytest.raises(vnetem.EditError, match="SubnetsHaveNoServiceEndpointsConfigured"):
        network.add_resource("Microsoft.KeyVault", "kv", "20.61.103.228", subnet_rules="web")
    packet = IP(src="10.0.0.4", dst="20.60.26.10") / TCP(sport=1, dport=443, flags="S")
    route = vnetem.DataPlane(network, seed=1).trace("web", packet).steps[1]
    assert "Microsoft.Storage" in route.text


def test_kinds_of_services_have_their_rules(network):
    for place, service in enumerate(
        ["Sql", "AzureCosmosDB", "EventHub", "ServiceBus", "ContainerRegistry", "Web"]
    ):
        name = f"Microsoft.{service}"
        network.add_service(name, f"52.1.{place}.0/24")
        network.enable_endpoint("web", name)
        network.add_resource(name, service, f"52.1.{place}.9", subnet_rules=["web"])
        packet = IP(src="10.0.0.4", dst=f"52.1.{place}.9") / TCP(sport=1, dport=443, flags="S")
        assert sends(network, "web", packet).access == "allowed", name
        network.set_rules(service, default="deny")
        assert sends(network, "web", packet).access == "refused", name


def test_security_groups_filter(network):
    rules = [
        vnetem.SecurityRule(
            "ssh",
            100,
            "outbound",
            "deny",
            protocol="tcp",
            destinations="Mine",
            destination_ports=22,
        ),
        vnetem.SecurityRule("web", 110, "outbound", "allow", destination_ports=["80-90", 443]),
        vnetem.SecurityRule("rest", 120, "outbound", "deny", protocol="*"),
    ]
    assert repr(rules[0]) == "<SecurityRule 100 ssh outbound deny tcp * > Mine:22>"
    with pytest.raises(vnetem.EditError, match="Mine"):
        network.add_security_group("sg", rules)
    network.set_tag("Mine", "1.1.1.0/24")
    network.add_security_group("sg", rules)
    network.guard_subnet("web", "sg")

    def reason(port):
        packet = IP(src="10.0.0.4", dst="1.1.1.1") / TCP(sport=1, dport=port, flags="S")
        return sends(network, "web", packet).reason

    assert [reason(22), reason(85), reason(443)] == ["security-group-outbound", None, None]
    assert reason(91) == "security-group-outbound"
    network.set_security_rules("sg", [])
    assert reason(22) is None
    with pytest.raises(vnetem.EditError, match="is used by subnet web"):
        network.remove_security_group("sg")
    network.guard_subnet("web", None)
    network.remove_security_group("sg")


def test_endpoint_policy_restricts_accounts(network, syn):
    account = "/subscriptions/7/resourceGroups/g/providers/Microsoft.Storage/storageAccounts/logs"
    network.set_takes_policies(STORAGE, True)
    network.enable_endpoint("web", STORAGE)
    network.set_rules("logs", subnet_rules="web")
    network.add_endpoint_policy("only", "westeurope", [account, "/services/Azure"])
    network.attach_policy("web", STORAGE, "only")
    assert sends(network, "web", syn).refusal == "not-in-endpoint-policy"
    network.set_resource_path("logs", account)
    assert sends(network, "web", syn).access == "allowed"
    with pytest.raises(vnetem.EditError, match="is used by subnet web"):
        network.remove_endpoint_policy("only")
    network.detach_policy("web", STORAGE, "only")
    network.remove_endpoint_policy("only")


def test_private_endpoint_leads_to_resource(network):
    network.add_private_endpoint("web", "pe", "10.0.0.10", "logs")
    packet = IP(src="10.0.0.4", dst="10.0.0.10") / TCP(sport=1, dport=443, flags="S")
    assert sends(network, "web", packet).reason == "private-endpoint-unapproved"
    network.set_private_endpoint_state("pe", "approved")
    assert sends(network, "web", packet).to == "private-endpoint pe"
    assert network.resolve("logs", "alpha") == IPv4Address("10.0.0.10")
    network.add_vnet("beta", "10.1.0.0/16")
    network.link_zone(STORAGE, "beta")
    assert network.resolve("logs", "beta") is None
    network.link_zone(STORAGE, "beta", fallback=True)
    assert network.resolve("logs", "beta") == network.resolve("logs")
    network.unlink_zone(STORAGE, "beta")
    network.link_names("pe", "beta", True)
    assert network.resolve("logs", "beta") == IPv4Address("10.0.0.10")
    network.set_network_policies("web", routes=True, security_groups=True)
    network.set_private_endpoint_policy("alpha", "basic")
    network.remove_private_endpoint("pe")
    assert network.resolve("logs", "alpha") == network.resolve("logs")


def test_load_balancer_gives_ports(network):
    network.set_outbound("web", "private")
    network.add_nic("web", "vm", "10.0.0.4")
    network.add_load_balancer("alpha", "lb", ["20.4.4.4"])
    network.add_member("lb", "vm")
    network.set_outbound_rule("lb", ports=8, resets=True, idle_minutes=10)
    network.add_inbound_rule("lb", "20.4.4.4", 1024)
    packet = IP(src="10.0.0.4", dst="1.1.1.1") / UDP(sport=1, dport=2)
    address, port = sends(network, "nic vm", packet).translated
    assert str(address) == "20.4.4.4" and 1032 <= port <= 1039
    network.set_frontends("lb", "20.4.4.5")
    assert str(sends(network, "nic vm", packet).translated[0]) == "20.4.4.5"
    with pytest.raises(vnetem.EditError, match="multiple of 8"):
        network.set_outbound_rule("lb", ports=9)
    network.remove_member("lb", "vm")
    network.remove_load_balancer("lb")


def test_machines_and_peerings_come_and_go(network):
    network.add_vnet("beta", "10.1.0.0/16")
    network.add_subnet("beta", "db", "10.1.0.0/24")
    network.peer("alpha", "beta")
    network.add_nic("db", "sql", "10.1.0.4")
    packet = IP(src="10.0.0.4", dst="10.1.0.4") / UDP(sport=1, dport=2)
    assert sends(network, "web", packet).to == "nic sql"
    network.deallocate("sql")
    assert sends(network, "web", packet).reason == "no-such-host"
    network.start("sql")
    network.set_public_address("sql", "20.5.5.5")
    network.set_address_idle("sql", 5)
    out = IP(src="10.1.0.4", dst="1.1.1.1") / UDP(sport=1, dport=2)
    assert str(sends(network, "nic sql", out).translated[0]) == "20.5.5.5"
    network.set_public_address("sql", None)
    assert network.nics == ["sql"]
    network.remove_nic("sql")
    network.unpeer("alpha", "beta")
    assert sends(network, "web", packet).to != "beta/db"
    network.remove_subnet("db")
    network.remove_vnet("beta")
    assert network.vnets == ["alpha"]


def test_sites_and_their_circuits(network):
    network.add_site("hq", ["192.168.0.0/16"], ["203.0.113.9"])
    network.set_peering("hq", "microsoft", "203.0.113.77")
    packet = IP(src="192.168.0.4", dst="52.239.1.9") / TCP(sport=1, dport=443, flags="S")
    assert str(sends(network, "site hq", packet).translated[0]) == "203.0.113.77"
    network.set_peering("hq", None)
    assert str(sends(network, "site hq", packet).translated[0]) == "203.0.113.9"
    network.connect_express_route("alpha", "hq", "192.168.0.0/16")
    with pytest.raises(vnetem.EditError, match="is used by vnet alpha"):
        network.remove_site("hq")
    network.disconnect("alpha", "hq")
    network.remove_site("hq")
    assert network.sites == []
