"""A network and its data plane under one clock."""

from __future__ import annotations

from typing import TYPE_CHECKING

from . import _core

if TYPE_CHECKING:
    from ._core import Event, Trace, Transmit, Verdict
    from .types import EdgeLike, Packet

__all__ = ["Cloud"]


class Cloud:
    """A network and its data plane under one clock, for tests.

    Edit ``network`` at any time. ``send`` and ``trace`` see the edits that ``apply`` has put in
    force; the first of them puts those in force that were made before it.
    """

    def __init__(self, network: _core.Network | None = None, *, seed: int = 1) -> None:
        """Makes a cloud of a network, or an empty one. The same seed gives the same bytes."""
        self.network = _core.Network() if network is None else network
        """The control plane."""
        self.now = 0.0
        """The time in seconds, which ``wait`` moves."""
        self._seed = seed
        self._plane: _core.DataPlane | None = None

    @property
    def plane(self) -> _core.DataPlane:
        """The data plane, made at first use."""
        if self._plane is None:
            self._plane = _core.DataPlane(self.network, seed=self._seed)
        return self._plane

    def send(self, edge: EdgeLike, packet: Packet) -> Verdict:
        """Sends a packet into the cloud, and returns what becomes of it."""
        return self.plane.process(edge, packet, self.now)

    def reply(self, verdict: Verdict, packet: Packet) -> Verdict:
        """Sends an answer from where a forwarded packet arrived.

        Raises ``ArgumentError`` if that packet arrived nowhere.
        """
        if verdict.to is None:
            raise _core.ArgumentError(f"nobody can answer: {verdict!r}")
        return self.send(verdict.to, packet)

    def trace(self, edge: EdgeLike, packet: Packet) -> Trace:
        """Explains what would become of a packet. Nothing changes."""
        return self.plane.trace(edge, packet, self.now)

    def apply(self) -> list[Transmit]:
        """Puts the edits of the network in force, and returns the resets of what they close."""
        self.plane.apply(self.network, self.now)
        return self.plane.transmits(self.now)

    def wait(self, seconds: float) -> list[Transmit]:
        """Lets time pass, and returns what the data plane sent at the end of it."""
        if not seconds >= 0:
            raise _core.ArgumentError(f"cannot wait {seconds} seconds")
        self.now += seconds
        return self.plane.transmits(self.now)

    def events(self) -> list[Event]:
        """Returns what happened to flows since the last call."""
        return self.plane.events()

    def __repr__(self) -> str:
        return f"<Cloud at {self.now} s: {self.network!r}>"
