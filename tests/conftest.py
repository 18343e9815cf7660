from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import tunesmith as tune

Run = Callable[..., tune.Results]


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """`tune.run` that minimises a loss over one number, in silence and below the test's own folder."""

    def call(trainable: Any, config: Any = None, **arguments: Any) -> tune.Results:
        defaults: dict[str, Any] = {"metric": "loss", "mode": "min", "verbose": 0, "storage_path": tmp_path, "seed": 1}
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
