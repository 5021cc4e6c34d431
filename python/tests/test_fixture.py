"""The fixture `cloud`, as pytest finds it in the installed package."""

import pytest
from conftest import STORAGE
from scapy.layers.inet import IP, TCP

import vnetem


def test_cloud_is_empty_and_has_clock(cloud):
    assert isinstance(cloud, vnetem.Cloud) and cloud.network.vnets == []
    assert cloud.now == 0 and cloud.wait(1.5) == [] and cloud.now == 1.5
    assert repr(cloud).startswith("<Cloud at 1.5 s: <Network: 0 vnets")
    with pytest.raises(vnetem.ArgumentError, match="cannot wait -1"):
        cloud.wait(-1)


def test_cloud_carries_a_toggle(network, syn):
    cloud = vnetem.Cloud(network, seed=1)
    there = cloud.send("web", syn)
    sent = IP(there.packet)
    answer = IP(src=sent.dst, dst=sent.src) / TCP(
        sport=443, dport=sent[TCP].sport, flags="SA", ack=1
    )
    assert cloud.reply(there, answer).to == "alpha/web"
    cloud.network.enable_endpoint("web", STORAGE)
    assert cloud.send("web", syn).generation == 1, "not applied yet"
    assert len(cloud.apply()) == 2
    assert "VirtualNetworkServiceEndpoint" in str(cloud.trace("web", syn))
    assert [event.kind for event in cloud.events()] == ["opened", "closed"]
    dropped = cloud.send("internet", syn)
    with pytest.raises(vnetem.ArgumentError, match="nobody can answer"):
        cloud.reply(dropped, answer)


def test_marker_loads_files(pytester, demo):
    for name in ("plan.json", "hosts"):
        (pytester.path / name).write_bytes((demo / name).read_bytes())
    pytester.makepyfile(
        """
        import pytest, vnetem

        @pytest.mark.vnetem("plan.json", seed=7, before=True)
        def test_before(cloud):
            assert "stdata" in cloud.network.resources

        @pytest.mark.vnetem(seed=9)
        def test_seed(cloud):
            assert cloud.network.vnets == []

        @pytest.mark.vnetem("missing.json")
        def test_missing(cloud):
            pass
        """
    )
    result = pytester.runpytest_subprocess("--strict-markers")
    result.assert_outcomes(passed=2, errors=1)
    result.stdout.fnmatch_lines(["*FilesError*missing.json*"])


def test_each_test_has_its_cloud(pytester):
    pytester.makepyfile(
        """
        import pytest

        @pytest.mark.parametrize("turn", [1, 2])
        def test_turn(cloud, turn):
            cloud.network.add_vnet("alpha", "10.0.0.0/16")
            cloud.wait(3)
            assert cloud.now == 3
        """
    )
    pytester.runpytest_subprocess().assert_outcomes(passed=2)
