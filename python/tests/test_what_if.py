"""What a change does to traffic."""

import pandas
import pytest
from conftest import STORAGE
from scapy.layers.inet import IP, TCP, UDP
from scapy.utils import wrpcap

import vnetem


@pytest.fixture
def toggled(network):
    """The network with the endpoint enabled."""
    after = network.copy()
    after.enable_endpoint("web", STORAGE)
    return after


def test_toggle_refuses_and_names_rule(network, toggled):
    answer = vnetem.what_if(network, toggled)
    assert answer.different
    assert [change["kind"] for change in answer.changes] == ["endpoint-enabled"]
    group = next(group for group in answer.groups if group["destination_resource"] == "logs")
    assert (group["before_access"], group["after_access"]) == ("allow", "deny")
    assert group["after_reason"] == "subnet-not-listed" and group["subnet"] == "alpha/web"
    assert answer.steps[0] == "add virtual network rule alpha/web to logs"
    assert "subnet-not-listed" in str(answer) or "logs" in str(answer)
    assert answer.html().startswith("<!DOCTYPE html>")
    assert answer.report["schema"] == "vnetem/1"
    changed = sum(group["different"] for group in answer.groups)
    assert repr(answer) == f"<WhatIf: {changed} of {len(answer.groups)} groups of flows change>"
    assert isinstance(answer.findings, list)


def test_groups_make_a_table(network, toggled):
    flows = [
        ("tcp", "10.0.0.4", 50001, "52.239.1.9", 443),
        ("tcp", "10.0.0.5", 50001, "52.239.1.9", 443),
        (17, "10.0.0.4", 53, "1.1.1.1", 53),
    ]
    table = pandas.DataFrame(vnetem.what_if(network, toggled, flows).groups)
    assert table["flows"].sum() == 3
    logs = table[table.destination_resource == "logs"].iloc[0]
    assert (logs.flows, logs.closed, logs.before_source, logs.after_source_kind) == (
        2,
        2,
        "20.1.1.1",
        "private",
    )
    assert not table.map(lambda cell: isinstance(cell, dict)).any().any()


def test_flows_may_be_packets_and_captures(network, toggled, syn, tmp_path):
    other = IP(src="10.0.0.9", dst="52.239.1.9") / TCP(sport=7, dport=443, flags="S")
    wrpcap(str(tmp_path / "day.pcap"), [syn, other], linktype=101)
    for flows in (syn, [bytes(syn), other], tmp_path / "day.pcap", [str(tmp_path / "day.pcap")]):
        answer = vnetem.what_if(network, toggled, flows)
        (group,) = answer.groups
        assert group["destination_resource"] == "logs", flows
    assert group["flows"] == 2 and answer.report["traffic"]["sources"] != []


def test_flow_log_of_demo_is_read(demo):
    before, after = vnetem.load_change(demo / "plan.json", hosts=demo / "hosts")
    answer = vnetem.what_if(before, after, demo / "PT1H.json")
    assert answer.different and answer.report["traffic"]["tuples"] > 0
    folder = vnetem.what_if(before, after, [demo / "PT1H.json"])
    assert folder.groups == answer.groups


def test_nothing_changes_without_edit(network):
    answer = vnetem.what_if(network, network)
    assert not answer.different and answer.changes == []
    assert vnetem.what_if(network, network.copy()).groups == answer.groups


def test_strangers_are_not_compared(network, toggled):
    for before, after in [(network, vnetem.Network()), (toggled, network)]:
        with pytest.raises(vnetem.ApplyError, match="no successor"):
            vnetem.what_if(before, after)


@pytest.mark.parametrize(
    ("flows", "kind", "text"),
    [
        ([5], vnetem.ArgumentError, "expected a path, a packet or a flow"),
        ([("tcp", "10.0.0.4", 1)], vnetem.ArgumentError, "not tuple"),
        ([("sctp", "10.0.0.4", 1, "1.1.1.1", 2)], vnetem.ArgumentError, '"sctp" is no protocol'),
        ([("tcp", "10.0.0", 1, "1.1.1.1", 2)], vnetem.ArgumentError, "10.0.0 is no IPv4 address"),
        (b"\x45", vnetem.ArgumentError, "no packet of IPv4"),
        ("missing.json", vnetem.FilesError, "missing.json: No such file"),
    ],
)
def test_what_is_no_flow_is_named(network, toggled, flows, kind, text):
    with pytest.raises(kind, match=text):
        vnetem.what_if(network, toggled, flows)


def test_plan_is_no_flow_log(network, toggled, demo):
    with pytest.raises(vnetem.FilesError, match=r"plan\.json: "):
        vnetem.what_if(network, toggled, demo / "plan.json")


def test_udp_packet_is_a_flow(network, toggled):
    packet = IP(src="10.0.0.4", dst="1.1.1.1") / UDP(sport=1, dport=53)
    (group,) = vnetem.what_if(network, toggled, packet).groups
    assert (group["destination_kind"], group["destination_protocol"]) == ("internet", "udp")
