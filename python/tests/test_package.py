"""What ships in the package: types, docstrings, names."""

import inspect
import re
import subprocess
import sys
from importlib.metadata import distribution
from pathlib import Path

import pytest

import vnetem

PACKAGE = Path(vnetem.__file__).parent


def test_types_ship_with_package():
    assert (PACKAGE / "py.typed").exists() and (PACKAGE / "_core.pyi").exists()
    assert distribution("vnetem").version == "0.1.0"
    scripts = distribution("vnetem").entry_points
    assert [entry.value for entry in scripts] == ["vnetem.pytest_plugin"]


def test_stubs_agree_with_module():
    pytest.importorskip("mypy")
    command = [sys.executable, "-m", "mypy.stubtest", "vnetem._core", "--ignore-disjoint-bases"]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stdout


def test_types_of_a_program_are_checked(tmp_path):
    pytest.importorskip("mypy")
    program = (
        "import vnetem\n"
        "network = vnetem.load('plan.json')\n"
        "verdict = vnetem.DataPlane(network, seed=1).process('web', b'', 1.5)\n"
        "reveal_type(verdict.packet)\n"
        "network.add_vnet(5, '10.0.0.0/16')\n"
    )
    (tmp_path / "program.py").write_text(program)
    command = [sys.executable, "-m", "mypy", "--strict", "program.py"]
    run = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert re.search(r'Revealed type is ".*bytes.*None', run.stdout), run.stdout
    assert 'has incompatible type "int"; expected "str"' in run.stdout
    assert "Found 1 error" in run.stdout


def public(thing):
    """Yields what a class or module has for users."""
    for name, member in vars(thing).items():
        if not name.startswith("_"):
            yield name, member


def test_everything_has_a_docstring():
    assert vnetem.__doc__
    for name in vnetem.__all__:
        member = getattr(vnetem, name)
        assert inspect.getdoc(member), name
        if inspect.isclass(member) and not issubclass(member, Exception):
            for inner, method in public(member):
                assert inspect.getdoc(method), f"{name}.{inner}"


def test_docstrings_equal_stubs():
    """The stub is what editors show, so it says the same as the module."""
    stub = " ".join((PACKAGE / "_core.pyi").read_text(encoding="utf-8").split())
    for name, method in public(vnetem.Network):
        first = inspect.getdoc(method).split(".")[0]
        assert " ".join(first.split()) in stub, name


def test_errors_are_value_errors():
    for kind in (
        vnetem.ApplyError,
        vnetem.ArgumentError,
        vnetem.EditError,
        vnetem.FilesError,
    ):
        assert issubclass(kind, vnetem.Error) and issubclass(kind, ValueError)
