"""Runs the examples of the guide, and compares what they print."""

import re
import shutil
import subprocess
import sys

import pytest
from conftest import ROOT

GUIDE = (ROOT / "docs" / "guide" / "python.md").read_text(encoding="utf-8")
EXAMPLES = re.findall(r"```python\n(.*?)```\n(?:\nIt prints:\n\n```text\n(.*?)```)?", GUIDE, re.S)


def test_guide_has_three_examples():
    assert len(EXAMPLES) == 3


@pytest.mark.parametrize("number", range(3))
def test_example_of_guide_runs(number, tmp_path, demo):
    code, printed = EXAMPLES[number]
    for file in demo.iterdir():
        shutil.copy(file, tmp_path)
    is_test = "def test_" in code
    path = tmp_path / ("test_example.py" if is_test else "example.py")
    path.write_text(code, encoding="utf-8")
    command = ["-m", "pytest", "-q", path.name] if is_test else [path.name]
    run = subprocess.run(
        [sys.executable, *command], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stdout + run.stderr
    if is_test:
        assert re.search(r"[1-9] passed", run.stdout), run.stdout
    else:
        assert run.stdout == printed
