"""Packet-level data-plane emulator of cloud VNet service endpoints.

``Network`` is the control plane: edits by name. ``DataPlane`` takes raw IPv4 packets and says what
becomes of them. ``load`` reads networks from files, and ``what_if`` says what a change does to
traffic. Times are in seconds since an origin of your choice. Errors are ``vnetem.Error``, which is
a ``ValueError``.
"""

from ._core import (
    ApplyError,
    ArgumentError,
    DataPlane,
    Edge,
    EditError,
    Error,
    Event,
    FilesError,
    Network,
    SecurityRule,
    Trace,
    TraceStep,
    Transmit,
    Verdict,
    Verdicts,
    load,
    load_change,
)
from .cloud import Cloud
from .report import WhatIf, what_if

__all__ = [
    "ApplyError",
    "ArgumentError",
    "Cloud",
    "DataPlane",
    "Edge",
    "EditError",
    "Error",
    "Event",
    "FilesError",
    "Network",
    "SecurityRule",
    "Trace",
    "TraceStep",
    "Transmit",
    "Verdict",
    "Verdicts",
    "WhatIf",
    "load",
    "load_change",
    "what_if",
]
