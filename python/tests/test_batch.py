"""Many packets in one call."""

import threading
import time

import pytest
from scapy.layers.inet import IP, TCP

import vnetem


@pytest.fixture
def packets():
    """Packets of 40 hosts, one of which has a foreign source."""
    made = [
        IP(src=f"10.0.0.{host}", dst="52.239.1.9") / TCP(sport=50001, dport=443, flags="S")
        for host in range(4, 44)
    ]
    made[3].src = "10.9.0.4"
    return [bytes(packet) for packet in made]


def test_batch_equals_single_calls(network, packets):
    one, many = (vnetem.DataPlane(network, seed=1) for _ in range(2))
    verdicts = many.process_batch("web", packets)
    singles = [one.process("web", packet) for packet in packets]
    assert len(verdicts) == 40
    assert [repr(verdict) for verdict in verdicts] == [repr(verdict) for verdict in singles]
    assert [verdict.packet for verdict in verdicts] == [verdict.packet for verdict in singles]
    assert verdicts.packets == [verdict.packet for verdict in singles]
    assert verdicts.packets[3] is None
    assert many.counters() == one.counters()


def test_buffer_equals_list(network, packets):
    listed = vnetem.DataPlane(network, seed=1).process_batch("web", packets)
    buffer = b"".join(packets)
    for kind in (bytes, bytearray, memoryview):
        plane = vnetem.DataPlane(network, seed=1)
        verdicts = plane.process_batch("web", kind(buffer))
        assert verdicts.packets == listed.packets
        assert verdicts.data == listed.data and len(verdicts.data) == len(buffer)
    # A packet that is not forwarded is as it came.
    assert verdicts.data[120:160] == packets[3]


def test_batch_takes_scapy_and_iterators(network, packets):
    verdicts = vnetem.DataPlane(network, seed=1).process_batch(
        "web", (IP(packet) for packet in packets), 3.5
    )
    assert verdicts.counts() == {"forward": 39, "spoofed-source": 1}
    assert repr(verdicts) == "<Verdicts: 39 of 40 packets forwarded>"


def test_each_packet_may_have_its_edge(plane, packets):
    edges = ["web", "internet", "web"]
    verdicts = plane.process_batch(edges, packets[:3])
    assert [verdict.reason for verdict in verdicts] == [None, "spoofed-source", None]
    with pytest.raises(vnetem.ArgumentError, match="2 edges for 3 packets"):
        plane.process_batch(edges[:2], packets[:3])


def test_verdicts_are_a_sequence(plane, packets):
    verdicts = plane.process_batch("web", packets)
    assert repr(verdicts[-1]) == repr(verdicts[39])
    for beyond in (40, -41):
        with pytest.raises(IndexError, match=f"no verdict {beyond} of 40"):
            verdicts[beyond]
    empty = plane.process_batch("web", [])
    assert len(empty) == 0 and empty.packets == [] and empty.data == b"" and empty.counts() == {}


def test_torn_buffer_changes_nothing(plane, packets):
    torn = b"".join(packets)[:-1]
    with pytest.raises(vnetem.ArgumentError, match="packet 39 at byte 1560 says that it has 40"):
        plane.process_batch("web", torn)
    with pytest.raises(vnetem.ArgumentError, match="packet 0 at byte 0 says that it has 0 bytes"):
        plane.process_batch("web", bytes(64))
    with pytest.raises(TypeError, match="expected a packet"):
        plane.process_batch("web", [packets[0], 5])
    assert plane.counters()["received"] == 0


def test_other_threads_run_meanwhile(plane, packets):
    buffer = packets[0] * 200_000
    span = []

    def work():
        begun = time.perf_counter()
        plane.process_batch("web", buffer)
        span.append((begun, time.perf_counter()))

    for _ in range(20):
        span.clear()
        worker = threading.Thread(target=work)
        worker.start()
        turns = []
        while worker.is_alive():
            turns.append(time.perf_counter())
        ((begun, ended),) = span
        # The packets are copied first, which nobody can watch.
        middle = begun + (ended - begun) / 2
        if any(middle < turn < ended - (ended - begun) / 10 for turn in turns):
            return
    raise AssertionError("no turn of this thread during twenty batches")
