from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.executors.talk import KINDS, Talk


@pytest.fixture(params=KINDS)
def talk(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Talk]:
    executor, keep = KINDS[request.param]()
    yield Talk(executor, keep, tmp_path)
    executor.close(1.0)
