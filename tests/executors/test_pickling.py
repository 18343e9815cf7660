"""What goes to a worker by its name, and what goes as it is."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cloudpickle
import pytest

from tests.conftest import Run

FUNCTION = """
import sys

def train(config):
    return {"loss": 0.0, "imported": "trainables_of_a_test.inner" in sys.modules}
"""


@pytest.fixture
def train(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A function in a module of a package that workers can import."""
    package = tmp_path / "trainables_of_a_test"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "inner.py").write_text(FUNCTION)
    monkeypatch.syspath_prepend(str(tmp_path))
    yield importlib.import_module("trainables_of_a_test.inner").train
    for name in ("trainables_of_a_test.inner", "trainables_of_a_test"):
        del sys.modules[name]


def imported(run: Run, train: Any) -> Any:
    result = run(train, {})[0].last_result
    assert result is not None
    return result["imported"]


def test_workers_import_the_module_that_a_function_is_from(run: Run, train: Any) -> None:
    assert imported(run, train) is True


def test_a_package_that_cloudpickle_is_told_to_send_by_value_is_not_imported(run: Run, train: Any) -> None:
    package = sys.modules["trainables_of_a_test"]
    cloudpickle.register_pickle_by_value(package)
    try:
        assert imported(run, train) is False
    finally:
        cloudpickle.unregister_pickle_by_value(package)
