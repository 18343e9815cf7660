"""Trials side by side must not each compute with all CPUs, though what computes was imported before the fork."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from threadpoolctl import threadpool_info

import tunesmith as tune
from tests.conftest import Run


def count(config: dict[str, Any]) -> dict[str, Any]:
    np.ones((64, 64)) @ np.ones((64, 64))
    return {"loss": max(pool["num_threads"] for pool in threadpool_info())}


@pytest.mark.parametrize("cpus", [1, 2])
def test_numeric_libraries_use_as_many_threads_as_a_trial_has_cpus(
    run: Run, monkeypatch: pytest.MonkeyPatch, cpus: int
) -> None:
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        monkeypatch.delenv(name, raising=False)
    results = run(count, {}, resources_per_trial={"cpu": cpus}, executor=tune.LocalExecutor(cpus=4))
    assert results[0].last_result["loss"] == min(cpus, tune.LocalExecutor()._total.cpu)


def test_what_the_user_has_set_stays(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    monkeypatch.setenv("OPENBLAS_NUM_THREADS", "2")
    assert run(count, {}, executor=tune.LocalExecutor(cpus=4))[0].last_result["loss"] == 2
