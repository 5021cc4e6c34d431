"""Packets, changes, and what the data plane says of them."""

import threading
from datetime import timedelta
from ipaddress import IPv4Address

import pytest
from conftest import STORAGE
from scapy.layers.inet import ICMP, IP, TCP, UDP

import vnetem


def test_packet_leaves_translated(plane, syn):
    verdict = plane.process("web", syn)
    assert verdict.forwarded and verdict.disposition == "forward"
    assert verdict.to == "service Microsoft.Storage"
    address, port = verdict.translated
    assert address == IPv4Address("20.1.1.1")
    sent = IP(verdict.packet)
    assert (sent.src, sent[TCP].sport, sent.ttl) == ("20.1.1.1", port, 63)
    assert (verdict.access, verdict.refusal, verdict.reason) == ("allowed", None, None)
    assert (verdict.direction, verdict.generation) == ("original", 1)
    # Checksums are right: scapy computes the same ones.
    fresh = IP(verdict.packet)
    del fresh.chksum, fresh[TCP].chksum
    assert bytes(fresh) == verdict.packet


def test_answer_comes_back(plane, syn):
    there = plane.process("web", syn)
    sent = IP(there.packet)
    answer = IP(src=sent.dst, dst=sent.src) / TCP(
        sport=443, dport=sent[TCP].sport, flags="SA", seq=7, ack=1
    )
    back = plane.process(there.to, answer)
    assert (back.to, back.direction) == ("alpha/web", "reply")
    assert IP(back.packet).dst == "10.0.0.4"


def test_argument_stays_as_it_is(plane, syn):
    for packet in (bytes(syn), bytearray(bytes(syn)), memoryview(bytes(syn))):
        before = bytes(packet)
        assert plane.process("web", packet).packet != before
        assert bytes(packet) == before


def test_dropped_packet_has_reason(network, plane):
    spoofed = IP(src="10.9.0.4", dst="52.239.1.9") / UDP(sport=1, dport=2)
    verdict = plane.process("web", spoofed)
    assert not verdict.forwarded
    assert (verdict.disposition, verdict.reason) == ("drop", "spoofed-source")
    assert (verdict.to, verdict.packet, verdict.translated) == (None, None, None)
    assert repr(verdict) == "<Verdict drop: spoofed-source>"
    assert plane.process("web", b"").reason == "truncated"
    network.add_security_group(
        "closed", [vnetem.SecurityRule("no", 100, "outbound", "deny")]
    )
    network.guard_subnet("web", "closed")
    plane.apply(network)
    denied = plane.process("web", IP(src="10.0.0.5", dst="1.1.1.1") / ICMP())
    assert repr(denied) == "<Verdict deny: security-group-outbound>"


def test_verdict_reads_well(plane, syn):
    verdict = plane.process("web", syn)
    port = verdict.translated[1]
    text = f"<Verdict forward to service Microsoft.Storage, source 20.1.1.1:{port}>"
    assert repr(verdict) == text


def test_change_closes_and_resets(network, plane, syn):
    plane.process("web", syn, 0)
    network.enable_endpoint("web", STORAGE)
    assert plane.apply(network, 1.0)
    assert not plane.apply(network, 1.0), "the same configuration again"
    made = plane.transmits(1.0)
    assert [str(one.to) for one in made] == ["alpha/web", "service Microsoft.Storage"]
    assert all(IP(one.packet)[TCP].flags.R for one in made)
    after = plane.process("web", syn, 2.0)
    assert after.to == "service Microsoft.Storage as alpha/web"
    assert after.to.caller == IPv4Address("10.0.0.4")
    assert (after.access, after.refusal) == ("refused", "subnet-not-listed")
    assert after.generation == plane.generation == 2


def test_transmits_finish_large_change(network, syn):
    plane = vnetem.DataPlane(network, seed=1, queue=16)
    for port in range(3000):
        syn[TCP].sport = 1024 + port
        assert plane.process("web", syn, 5).forwarded
    network.enable_endpoint("web", STORAGE)
    plane.apply(network, 5)
    # Without a time the clock stands still, and all closing is done.
    assert len(plane.transmits()) == 6000


def test_events_tell_of_flows(network, plane, syn):
    plane.process("web", syn, timedelta(seconds=1.5))
    network.enable_endpoint("web", STORAGE)
    plane.apply(network, 2)
    plane.transmits(2)
    plane.transmits(100_000)
    opened, closed, ended = plane.events()
    assert (opened.kind, opened.at, opened.cause) == ("opened", 1.5, None)
    assert opened.source == (IPv4Address("10.0.0.4"), 50001)
    assert opened.destination == (IPv4Address("52.239.1.9"), 443)
    assert opened.external[0] == IPv4Address("20.1.1.1")
    assert (opened.protocol, opened.state) == ("tcp", "syn-sent")
    assert (closed.kind, closed.cause, closed.at) == ("closed", "source-switched", 2.0)
    assert repr(closed).startswith("<Event closed (source-switched) 10.0.0.4:50001 > 52.239.1.9")
    assert (ended.kind, ended.cause) == ("ended", "source-switched")
    assert plane.events() == []


def test_flows_idle_out(plane, syn):
    plane.process("web", syn, 0)
    assert plane.next_timeout > 0
    assert [flow["state"] for flow in plane.flows()] == ["syn-sent"]
    (flow,) = plane.flows()
    assert (flow["source"], flow["source_port"]) == (IPv4Address("10.0.0.4"), 50001)
    assert (flow["sent"], flow["sent_bytes"], flow["received"]) == (1, len(syn), 0)
    assert (flow["protocol"], flow["access"]) == ("tcp", "allowed")
    plane.transmits(100_000)
    assert plane.flows() == [] and plane.next_timeout is None


def test_trace_explains_and_changes_nothing(network, plane, syn):
    trace = plane.trace("web", syn)
    assert [step.kind for step in trace.steps] == ["flow", "route", "source", "access"]
    assert trace.steps[0].text == "miss" and not trace.steps[0].given
    assert "system 0.0.0.0/0 to Internet" in trace.steps[1].text
    first, *_, last = str(trace).splitlines()
    assert first.startswith("10.0.0.4:50001 > 52.239.1.9:443 tcp S")
    assert last.strip().startswith("verdict  forward to service Microsoft.Storage")
    assert repr(trace).endswith(str(trace))
    assert repr(trace.steps[0]) == "<TraceStep flow: miss>"
    assert plane.flows() == []
    verdict = plane.process("web", syn)
    assert trace.verdict.translated == verdict.translated
    given = [step for step in plane.trace("web", syn).steps if step.given]
    assert [step.kind for step in given] == ["route", "source", "access"]


def test_counters_conserve_packets(plane, syn):
    plane.process("web", syn)
    plane.process("internet", syn)
    counters = plane.counters()
    assert (counters["received"], counters["forwarded"], counters["dropped"]) == (2, 1, 1)
    assert counters["received_bytes"] == 2 * len(syn)
    assert counters["drops"] == {"spoofed-source": 1}
    assert counters["denies"] == {} and counters["events_lost"] == 0
    assert repr(plane) == "<DataPlane of generation 1 with 1 flows>"


def test_seed_repeats_and_none_does_not(network, syn):
    def ports(**keywords):
        plane = vnetem.DataPlane(network, flows=64, **keywords)
        sports = range(1024, 1056)
        packets = [IP(src="10.0.0.4", dst="52.239.1.9") / UDP(sport=p, dport=53) for p in sports]
        return [plane.process("web", packet).translated[1] for packet in packets]

    assert ports(seed=7) == ports(seed=7)
    assert ports(seed=7) != ports(seed=8)
    assert ports() != ports()


def test_edges_have_names(network, plane):
    network.add_nic("web", "fw", "10.0.0.9")
    network.add_site("hq", "192.168.0.0/16")
    network.add_private_endpoint("web", "pe", "10.0.0.10", "logs")
    kinds = {
        "alpha/web": "subnet",
        "internet": "internet",
        "nic fw": "nic",
        "site hq": "site",
        "service Microsoft.Storage": "service",
        "service Microsoft.Storage as alpha/web": "service",
        "service Microsoft.Storage in the region of alpha/web": "service",
        "platform of alpha/web": "platform",
        "private-endpoint pe": "private-endpoint",
    }
    for name, kind in kinds.items():
        edge = network.edge(name)
        assert (str(edge), edge.name, edge.kind, repr(edge)) == (name, name, kind, f"<Edge {name}>")
        assert edge == name and edge == network.edge(name) and edge != "other" and edge != 1
        assert len({edge, network.edge(name), name}) == 1
    assert network.edge("web") == network.edge("alpha/web")
    assert network.edge("internet") != network.edge("nic fw")


def test_threads_take_turns(network, syn):
    plane = vnetem.DataPlane(network, seed=1, flows=4096)
    packets = []
    for port in range(256):
        syn[TCP].sport = 1024 + port
        packets.append(bytes(syn))
    wrong = []

    def work():
        for _ in range(50):
            verdicts = plane.process_batch("web", packets)
            if verdicts.counts() != {"forward": 256}:
                wrong.append(verdicts.counts())
            plane.process("web", packets[0])

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
    assert plane.counters()["forwarded"] == 4 * 50 * 257


@pytest.mark.parametrize(
    ("keywords", "text"),
    [
        ({"flows": 1 << 31}, "there can be at most"),
        ({"public_mtu": 20}, "the MTU of public links must be at least 68"),
        ({"closing": "loud"}, '"loud" is no mode of closing: expected "both"'),
    ],
)
def test_settings_beyond_limits_are_refused(network, keywords, text):
    with pytest.raises(vnetem.Error, match=text):
        vnetem.DataPlane(network, **keywords)


def test_closing_modes_choose_who_hears(network, syn):
    heard = {}
    for mode in ("both", "initiator", "silent"):
        here = network.copy()
        plane = vnetem.DataPlane(here, seed=1, flows=16, closing=mode)
        plane.process("web", syn)
        here.enable_endpoint("web", STORAGE)
        plane.apply(here)
        heard[mode] = [str(made.to) for made in plane.transmits()]
    assert heard["both"] == ["alpha/web", "service Microsoft.Storage"]
    assert heard["initiator"] == ["alpha/web"] and heard["silent"] == []


def test_long_packet_is_answered(network):
    plane = vnetem.DataPlane(network, seed=1, public_mtu=100)
    packet = IP(src="10.0.0.4", dst="1.1.1.1", flags="DF") / UDP(sport=1, dport=2) / bytes(200)
    assert plane.process("web", packet).reason == "too-long"
    (made,) = plane.transmits()
    assert IP(made.packet)[ICMP].nexthopmtu == 100
    assert repr(made) == f"<Transmit {len(made.packet)} bytes to alpha/web>"
