from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.executors.talk import KINDS, RAY_KINDS, Talk


@pytest.fixture(params=[*KINDS, *(pytest.param(kind, marks=pytest.mark.heavy) for kind in RAY_KINDS)])
def talk(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Talk]:
    if request.param in RAY_KINDS:
        request.getfixturevalue("started_ray")
    executor, keep = {**KINDS, **RAY_KINDS}[request.param]()
    yield Talk(executor, keep, tmp_path)
    executor.close(1.0)


@pytest.fixture(params=[*KINDS])
def parking(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Talk]:
    """An executor that keeps paused trials in memory; Ray's does not, as a process there holds what it reserved."""
    executor, keep = KINDS[request.param]()
    yield Talk(executor, keep, tmp_path)
    executor.close(1.0)


@pytest.fixture(scope="session")
def started_ray() -> Iterator[None]:
    """A Ray of this process's own, with four CPUs and two GPUs that are not there."""
    ray = pytest.importorskip("ray")
    ray.init(
        "local", num_cpus=4, num_gpus=2, include_dashboard=False, log_to_driver=False, object_store_memory=200_000_000
    )
    try:
        yield
    finally:
        ray.shutdown()
