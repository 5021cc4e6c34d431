"""Types of arguments and results, for programs that are type-checked."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta
from ipaddress import IPv4Address, IPv4Interface, IPv4Network
from os import PathLike
from typing import SupportsBytes, SupportsFloat, Union

from ._core import Edge

Address = Union[str, IPv4Address]
Addresses = Union[Address, Iterable[Address]]
Prefix = Union[str, IPv4Network, IPv4Interface, IPv4Address]
Prefixes = Union[Prefix, Iterable[Prefix]]
Path = Union[str, "PathLike[str]"]
Paths = Union[Path, Iterable[Path]]
Seconds = Union[SupportsFloat, timedelta]
Packet = Union[bytes, bytearray, memoryview, SupportsBytes]
EdgeLike = Union[Edge, str]
Socket = tuple[IPv4Address, int]
FiveTuple = tuple[Union[str, int], Address, int, Address, int]
OneFlow = Union[Path, Packet, FiveTuple]
Flows = Union[OneFlow, Iterable[OneFlow]]
