"""What several tests use: a small network, its packets, the files of the project."""

from pathlib import Path

import pytest
from scapy.layers.inet import IP, TCP
from scapy.packet import Packet

import vnetem

ROOT = Path(__file__).parents[2]
STORAGE = "Microsoft.Storage"

pytest_plugins = ["pytester"]


@pytest.fixture
def network() -> vnetem.Network:
    """A subnet behind a NAT gateway, and an account of a service."""
    network = vnetem.Network()
    network.add_service(STORAGE, "52.239.0.0/16")
    network.add_vnet("alpha", "10.0.0.0/16")
    network.add_subnet("alpha", "web", "10.0.0.0/24")
    network.set_outbound("web", "nat-gateway", "20.1.1.1")
    network.add_resource(STORAGE, "logs", "52.239.1.9", ip_rules="20.1.1.1")
    return network


@pytest.fixture
def plane(network: vnetem.Network) -> vnetem.DataPlane:
    """A data plane of the network, with a seed."""
    return vnetem.DataPlane(network, seed=1)


@pytest.fixture
def syn() -> Packet:
    """A packet that opens a connection to the account."""
    return IP(src="10.0.0.4", dst="52.239.1.9") / TCP(sport=50001, dport=443, flags="S")


@pytest.fixture
def demo() -> Path:
    """The folder with the plan and the flow log that the command brings along."""
    return ROOT / "crates" / "cli" / "demo"
