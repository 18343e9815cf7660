from __future__ import annotations

from collections.abc import Callable
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
