"""What a change does to traffic."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from . import _core

if TYPE_CHECKING:
    from ._core import Network
    from .types import Flows

__all__ = ["WhatIf", "what_if"]


class WhatIf:
    """The answer of ``what_if``. ``str(answer)`` is the report for people."""

    def __init__(self, json_text: str, text: str, html: str) -> None:
        """Keeps the three forms of one report."""
        self._text = text
        self._html = html
        self.report: dict[str, Any] = json.loads(json_text)
        """The whole report, as ``vnetem what-if -o json`` prints it (schema ``vnetem/1``)."""

    @property
    def different(self) -> bool:
        """Whether anything of the traffic fares differently."""
        return bool(self.report["different"])

    @property
    def changes(self) -> list[dict[str, Any]]:
        """What the change is: a ``dict`` for each thing that it does."""
        return list(self.report["changes"])

    @property
    def groups(self) -> list[dict[str, Any]]:
        """Flows that behave alike, those that change first, as flat rows for a table.

        ``destination``, ``before`` and ``after`` of the report are spread over keys such as
        ``destination_service``, ``before_source`` and ``after_access``.
        """
        return [_flat(group) for group in self.report["groups"]]

    @property
    def steps(self) -> list[str]:
        """What to do, in order."""
        return list(self.report["steps"])

    @property
    def findings(self) -> list[dict[str, Any]]:
        """What else the change does, each with a code that never changes."""
        return list(self.report["findings"])

    def html(self) -> str:
        """Returns the report as one page of HTML, which needs no other file."""
        return self._html

    def __str__(self) -> str:
        return self._text

    def __repr__(self) -> str:
        groups = self.report["groups"]
        different = sum(1 for group in groups if group["different"])
        return f"<WhatIf: {different} of {len(groups)} groups of flows change>"


def what_if(before: Network, after: Network, flows: Flows | None = None) -> WhatIf:
    """Tries traffic on a network before and after a change, by the data plane that forwards.

    ``after`` is an edited ``before.copy()``, or both come from ``load_change``. ``flows`` is one of
    these, or an iterable of them:

    - a path of a flow log, of a capture (``.pcap``, ``.pcapng``) or of a folder of flow logs;
    - an open flow, ``("tcp", "10.0.0.4", 50001, "20.60.0.4", 443)``;
    - a packet, whose flow is open.

    Without ``flows`` every subnet tries everything that the network knows.

    Raises ``ApplyError`` if ``after`` is no successor of ``before``, ``FilesError`` if a file
    cannot be read, and ``ArgumentError`` for what is no flow.
    """
    return WhatIf(*_core.what_if(before, after, flows))


def _flat(group: dict[str, Any]) -> dict[str, Any]:
    row: dict[str, Any] = {}
    for name, value in group.items():
        if isinstance(value, dict):
            row.update({f"{name}_{key}": inner for key, inner in value.items()})
        else:
            row[name] = value
    return row
