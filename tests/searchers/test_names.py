"""Searchers by name, and the namespace that holds them."""

from __future__ import annotations

import subprocess
import sys

import pytest

import tunesmith as tune
from tunesmith.searchers.names import MODULES, NAMES, by_name


@pytest.mark.parametrize("name", sorted(MODULES))
def test_every_searcher_is_in_the_namespace_and_public(name: str) -> None:
    assert getattr(tune.searchers, name) is getattr(tune, name)
    assert name in dir(tune.searchers)


@pytest.mark.parametrize("name", NAMES)
def test_every_short_name_makes_a_searcher(name: str) -> None:
    assert type(by_name(name)).__name__ in MODULES


def test_what_is_not_there_is_refused_with_the_nearest() -> None:
    with pytest.raises(AttributeError, match="SobolSearch"):
        tune.searchers.SobolSerch  # noqa: B018
    with pytest.raises(tune.ArgumentError, match="cmaes"):
        by_name("cmae")


def test_the_namespace_itself_imports_no_numbers() -> None:
    code = "import sys, tunesmith; tunesmith.searchers.VariantSearcher; print('numpy' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
