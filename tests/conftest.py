from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cloudpickle
import pytest
from hypothesis import HealthCheck, settings

import tests
import tunesmith as tune

Run = Callable[..., tune.Results]

# Tests start some hundred programs, and each imports the library: it is compiled once, whatever the shell has set.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
# Small matrices gain nothing from threads, which wait for each other in busy loops: on a busy machine most of all.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
# Workers get the functions and classes of test modules themselves. By their names they would import those modules, and
# with them pytest and Hypothesis, hundreds of times. (Trainables of modules: tests/faults, the examples.)
cloudpickle.register_pickle_by_value(tests)

# What a change is judged by is the same in every run and on every machine, busy or not. New examples are looked for by
# hand: pytest --hypothesis-profile search
settings.register_profile("plain", derandomize=True, deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("search", deadline=None, suppress_health_check=[HealthCheck.too_slow], print_blob=True)
settings.load_profile("plain")


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """`tune.run` that minimises a loss over one number, in silence and below the test's own folder."""

    def call(trainable: Any, config: Any = None, **arguments: Any) -> tune.Results:
        defaults: dict[str, Any] = {
            "metric": "loss", "mode": "min", "verbose": 0, "storage_path": tmp_path, "seed": 1, "retry_pause_s": 0,
        }  # fmt: skip
        if config is None:
            config = {"x": tune.uniform(0, 1)}
        return tune.run(trainable, config, **(defaults | arguments))

    return call


@pytest.fixture
def small_disk(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Path]:
    """A file system of 4 MiB, or of the size that is the fixture's parameter, where this user may mount one."""
    place = tmp_path / "disk"
    place.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={getattr(request, 'param', '4m')}", "tmpfs", place],
        capture_output=True,
        text=True,
        check=False,
    )
    if mounted.returncode:
        pytest.skip(f"a small file system can't be mounted here: {mounted.stderr.strip()}")
    try:
        yield place
    finally:
        subprocess.run(["umount", "-l", place], check=True)
