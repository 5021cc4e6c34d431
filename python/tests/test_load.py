"""Networks from files."""

from pathlib import Path

import pytest
from conftest import ROOT
from scapy.layers.inet import IP, TCP

import vnetem


def test_plan_is_loaded_before_and_after(demo):
    hosts = demo / "hosts"
    after = vnetem.load(demo / "plan.json", hosts=hosts)
    before = vnetem.load(str(demo / "plan.json"), hosts=[hosts], before=True)
    assert after.subnets == before.subnets and "stdata" in after.resources
    assert before.endpoints(before.subnets[0]) != after.endpoints(after.subnets[0])
    assert all(isinstance(note, str) for note in after.notes)
    assert str(after.resolve("stdata")) == "20.60.26.10"
    named = vnetem.load(demo / "plan.json", addresses={"stdata": "20.60.26.11"})
    assert str(named.resolve("stdata")) == "20.60.26.11"


def test_scenario_is_loaded():
    network = vnetem.load(ROOT / "crates" / "scenario" / "scenarios" / "demo.scn")
    assert network.subnets[0] == "net-a/app" and "fw" in network.nics
    packet = IP(src="10.0.0.4", dst="20.60.26.10") / TCP(sport=1, dport=443, flags="S")
    assert vnetem.DataPlane(network, seed=1).process("nic vm-a", packet).forwarded


def test_folder_is_loaded(demo, tmp_path):
    (tmp_path / "plan.json").write_bytes((demo / "plan.json").read_bytes())
    (tmp_path / "notes.txt").write_text("none of ours")
    network = vnetem.load(tmp_path)
    assert "stdata" in network.resources
    assert any("notes.txt" in note for note in network.notes)


def test_change_is_loaded(demo):
    before, after = vnetem.load_change(demo / "plan.json", hosts=demo / "hosts")
    assert before != after and before.subnets == after.subnets
    plane = vnetem.DataPlane(before, seed=1)
    assert plane.apply(after), "the second follows the first"


def test_two_states_are_a_change(tmp_path):
    def vnet(endpoints):
        prefix = '"addressPrefix": "10.0.1.0/24"'
        subnet = f'{{"name": "web", {prefix}, "serviceEndpoints": {endpoints}}}'
        return (
            '{"id": "/subscriptions/s/resourceGroups/g/providers/Microsoft.Network/'
            'virtualNetworks/hub", "location": "westeurope", '
            f'"addressSpace": {{"addressPrefixes": ["10.0.0.0/16"]}}, "subnets": [{subnet}]}}'
        )

    (tmp_path / "before.json").write_text(vnet("[]"))
    (tmp_path / "after.json").write_text(vnet('[{"service": "Microsoft.KeyVault"}]'))
    before, after = vnetem.load_change(tmp_path / "before.json", after=tmp_path / "after.json")
    assert (before.endpoints("web"), after.endpoints("web")) == ([], ["Microsoft.KeyVault"])
    with pytest.raises(vnetem.FilesError, match="no change in it"):
        vnetem.load_change(tmp_path / "before.json")


@pytest.mark.parametrize("name", ["missing.json", "broken.json", "PT1H.json", "bad.scn"])
def test_unreadable_file_is_named(name, demo, tmp_path):
    (tmp_path / "broken.json").write_text("{")
    (tmp_path / "PT1H.json").write_bytes((demo / "PT1H.json").read_bytes())
    (tmp_path / "bad.scn").write_text("# Nothing.\nvnet\n")
    with pytest.raises(vnetem.FilesError, match=name):
        vnetem.load(tmp_path / name)


def test_scenario_stands_alone(demo):
    with pytest.raises(vnetem.ArgumentError, match=r"a\.scn: a scenario is a whole model"):
        vnetem.load(Path("a.scn"), demo / "plan.json")
    with pytest.raises(vnetem.ArgumentError, match="at least one path"):
        vnetem.load()
