"""The examples run as a newcomer runs them, on real training. (The quickstart takes half a minute and has its own.)"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parent.parent / "examples"


def run(home: Path, *command: str) -> str:
    environ = {**os.environ, "HOME": str(home)}
    script = [sys.executable, str(EXAMPLES / command[0]), *command[1:]]
    done = subprocess.run(script, env=environ, cwd=home, capture_output=True, text=True, timeout=110, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_asha_stops_most_trials_and_finds_a_good_network(tmp_path: Path) -> None:
    said = run(tmp_path, "async_hyperband.py")
    match = re.search(r"([\d,]+) epochs were trained; without stopping it would have been 8,100", said)
    assert match
    assert int(match[1].replace(",", "")) < 3000
    assert "stopped at rung 1:" in said
    assert float(re.search(r"reads ([\d.]+)% of the test images", said)[1]) > 90  # type: ignore[index]


@pytest.mark.parametrize(("rules", "brackets"), [((), 3), (("2019",), 3)])
def test_hyperband_halves_its_brackets(tmp_path: Path, rules: tuple[str, ...], brackets: int) -> None:
    said = run(tmp_path, "hyperband.py", *rules)
    assert f"total_brackets={brackets}" in said
    assert "stopped at milestone" in said
    assert "checkpoint_000100" in said


def test_a_population_of_networks_clones_its_best(tmp_path: Path) -> None:
    said = run(tmp_path, "pbt.py")
    assert int(re.search(r"(\d+) perturbs", said)[1]) > 0  # type: ignore[index]
    assert float(re.search(r"reads ([\d.]+)% of the test images", said)[1]) > 90  # type: ignore[index]
