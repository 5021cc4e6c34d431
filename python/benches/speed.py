"""Measures packets per call and per batch, beside Rust and beside a forwarding loop of scapy.

Needs the package and scapy installed, and the Rust side built:

    cargo build --release --example baseline
    python benches/speed.py

All sides take the same 1,024 packets of as many UDP flows, one after the other in each round, on
one core. Each goes twice, and the second time counts: the other sides have used the caches.
Figures are medians of the rounds, in nanoseconds a packet. Best with nothing else running.
"""

from __future__ import annotations

import gc
import os
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from scapy.layers.inet import IP, UDP

import vnetem

PACKETS = 1024
ROUNDS = int(os.environ.get("ROUNDS", "300"))
BASELINE = Path(__file__).parents[1] / "target" / "release" / "examples" / "baseline"


def make_packets() -> list[bytes]:
    """Returns one packet of each flow, 64 bytes long."""
    return [
        bytes(
            IP(src=f"10.0.{4 + number // 250}.{4 + number % 250}", dst="203.0.113.80")
            / UDP(sport=4000, dport=53)
            / bytes(36)
        )
        for number in range(PACKETS)
    ]


def make_plane() -> vnetem.DataPlane:
    """Returns the data plane that `examples/baseline.rs` has too."""
    network = vnetem.Network()
    network.add_vnet("alpha", "10.0.0.0/16")
    network.add_subnet("alpha", "web", "10.0.0.0/20")
    network.set_outbound("web", "nat-gateway", "20.1.1.1")
    return vnetem.DataPlane(network, seed=1)


def scapy_forwarder(packets: list[bytes]) -> Callable[[], None]:
    """Returns a NAT as one writes it with scapy: parse, look up, rewrite, build."""
    table = {}
    for number, packet in enumerate(packets):
        parsed = IP(packet)
        table[parsed.src, parsed[UDP].sport] = ("20.1.1.1", 1024 + number)

    def forward() -> None:
        for data in packets[:32]:
            packet = IP(data)
            datagram = packet[UDP]
            packet.src, datagram.sport = table[packet.src, datagram.sport]
            packet.ttl -= 1
            del packet.chksum, datagram.chksum
            bytes(packet)

    return forward


def main() -> None:
    """Prints a table."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    packets = make_packets()
    buffer = b"".join(packets)
    plane = make_plane()
    edge_name = "alpha/web"
    network = vnetem.Network()
    network.add_vnet("alpha", "10.0.0.0/16")
    network.add_subnet("alpha", "web", "10.0.0.0/20")
    edge = network.edge(edge_name)
    scapy = scapy_forwarder(packets)

    def calls() -> None:
        process = plane.process
        for packet in packets:
            process(edge, packet, 0.0)

    def named() -> None:
        process = plane.process
        for packet in packets:
            process(edge_name, packet)

    def bare() -> None:
        for packet in packets:
            len(packet)

    verdicts = []
    sides: dict[str, tuple[Callable[[], object], int]] = {
        "process_batch, one buffer": (lambda: plane.process_batch(edge, buffer, 0.0), PACKETS),
        "process_batch, a list": (lambda: plane.process_batch(edge, packets, 0.0), PACKETS),
        "process, edge kept": (calls, PACKETS),
        "process, edge by name": (named, PACKETS),
        "an empty loop that calls len": (bare, PACKETS),
        "a NAT written with scapy": (scapy, 32),
    }
    taken: dict[str, list[float]] = {name: [] for name in ["Rust, process_batch", *sides]}
    with tempfile.NamedTemporaryFile() as file:
        file.write(buffer)
        file.flush()
        with subprocess.Popen(
            [BASELINE, file.name], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        ) as rust:
            assert rust.stdin and rust.stdout
            gc.disable()
            for _ in range(ROUNDS):
                rust.stdin.write("\n")
                rust.stdin.flush()
                nanoseconds, forwarded = map(int, rust.stdout.readline().split())
                assert forwarded == PACKETS, forwarded
                taken["Rust, process_batch"].append(nanoseconds / PACKETS)
                for name, (side, count) in sides.items():
                    side()
                    begun = time.perf_counter_ns()
                    verdicts.append(side())
                    taken[name].append((time.perf_counter_ns() - begun) / count)
                for answer in verdicts:
                    if isinstance(answer, vnetem.Verdicts):
                        assert answer.counts() == {"forward": PACKETS}
                verdicts.clear()
            rust.stdin.close()
    rust_median = statistics.median(taken["Rust, process_batch"])
    print(f"{'side':34} {'median':>9} {'least':>9}  times Rust")
    for name, rounds in taken.items():
        median = statistics.median(rounds)
        print(f"{name:34} {median:9.1f} {min(rounds):9.1f}  {median / rust_median:10.2f}")


if __name__ == "__main__":
    main()
