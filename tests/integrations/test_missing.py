"""What a searcher says when the library that it wraps is not installed."""

from __future__ import annotations

import sys
from collections.abc import Callable
from importlib.util import find_spec

import pytest

import tunesmith as tune
from tunesmith.integrations import sb3
from tunesmith.integrations.ax import AxSearch
from tunesmith.integrations.hyperopt import HyperOptSearch
from tunesmith.integrations.nevergrad import NevergradSearch
from tunesmith.integrations.optuna import OptunaSearch
from tunesmith.integrations.process_optimizer import ProcessOptimizerSearch


@pytest.mark.parametrize(("package", "search"), [
    ("ax", AxSearch), ("hyperopt", HyperOptSearch), ("nevergrad", NevergradSearch), ("optuna", OptunaSearch),
    ("ProcessOptimizer", ProcessOptimizerSearch),
])  # fmt: skip
def test_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch, package: str, search: Callable[[], object]) -> None:
    for name in [name for name in sys.modules if name == package or name.startswith(f"{package}.")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, package, None)
    extra = "process-optimizer" if package == "ProcessOptimizer" else package
    with pytest.raises(tune.MissingPackageError, match=rf"tunesmith\[{extra}\]"):
        search()


@pytest.mark.skipif(find_spec("stable_baselines3") is not None, reason="Stable-Baselines3 is installed")
@pytest.mark.parametrize("use", [lambda: sb3.trainable("PPO"), sb3.ReportCallback, lambda: sb3.restore(None)])
def test_stable_baselines3_is_named_by_its_extra(use: Callable[[], object]) -> None:
    with pytest.raises(tune.MissingPackageError, match=r"tunesmith\[sb3\]"):
        use()
