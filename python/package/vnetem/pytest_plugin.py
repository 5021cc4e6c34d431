"""The pytest fixture ``cloud``, which pytest finds by itself."""

from __future__ import annotations

import pytest

from .cloud import Cloud

__all__ = ["cloud"]


def pytest_configure(config: pytest.Config) -> None:
    """Registers the marker ``vnetem``."""
    config.addinivalue_line(
        "markers",
        "vnetem(*files, seed=1, **load): files for the fixture 'cloud', as vnetem.load takes them",
    )


@pytest.fixture
def cloud(request: pytest.FixtureRequest) -> Cloud:
    """Gives each test an emulated cloud of its own: a network, its data plane and a clock.

    It is empty, unless the test has a marker ``@pytest.mark.vnetem("plan.json", seed=7)``. Paths
    are relative to the file of the test. Other keywords of the marker are those of ``vnetem.load``.
    """
    from ._core import load

    marker = request.node.get_closest_marker("vnetem")
    if marker is None:
        return Cloud()
    keywords = dict(marker.kwargs)
    seed = keywords.pop("seed", 1)
    if not marker.args:
        return Cloud(seed=seed)
    folder = request.path.parent
    return Cloud(load(*(folder / path for path in marker.args), **keywords), seed=seed)
