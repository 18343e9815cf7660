"""What a released version wrote is opened, read, resumed and recovered by every later one."""

from __future__ import annotations

import json
import runpy
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

import tunesmith as tune
from tunesmith.store.database import SCHEMA_VERSION
from tunesmith.store.pages import PAGE_SIZE
from tunesmith.store.reading import EventReader
from tunesmith.store.recovery import recover

RELEASED = Path(__file__).parent / "released"
KEPT = sorted(path.parent for path in RELEASED.glob("*/*/experiment.db"))
MAKE = runpy.run_path(str(RELEASED / "make.py"))


def schema(folder: Path) -> int:
    with closing(sqlite3.connect(f"file:{folder / 'experiment.db'}?mode=ro&immutable=1", uri=True)) as db:
        return int(db.execute("SELECT value FROM meta").fetchone()[0])


def events(folder: Path) -> list[tuple[int, Any]]:
    with EventReader.open_to_read(folder / "experiment.db") as store:
        return list(store.read())


@pytest.fixture(params=KEPT, ids=lambda path: f"{path.parent.name}-{path.name}")
def kept(request: pytest.FixtureRequest) -> Path:
    return request.param


@pytest.fixture
def copy(kept: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(kept, tmp_path / kept.name))


def expected(kept: Path) -> dict[str, Any]:
    return json.loads((kept / "expected.json").read_text())


def test_there_is_one_of_each_schema_and_of_the_present_one() -> None:
    assert {schema(path) for path in KEPT} == set(range(1, SCHEMA_VERSION + 1))


def test_it_tells_what_it_told_the_version_that_wrote_it(kept: Path) -> None:
    before = {file.name: file.read_bytes() for file in kept.iterdir()}
    assert json.loads(json.dumps(MAKE["told"](tune.load(kept)))) == expected(kept)
    assert {file.name: file.read_bytes() for file in kept.iterdir()} == before


def test_it_is_resumed_with_its_own_scheduler_and_grows(kept: Path, copy: Path) -> None:
    samples = MAKE["EXPERIMENTS"][kept.name][1]
    same = MAKE["run"](copy.parent, kept.name, samples)
    assert json.loads(json.dumps(MAKE["told"](same))) == expected(kept)
    more = MAKE["run"](copy.parent, kept.name, samples + 2)
    assert [trial.config["speed"] for trial in more][:samples] == [trial.config["speed"] for trial in same]
    assert {trial.status for trial in more} <= {"TERMINATED", "ERROR"}
    assert len(more) == samples + 2
    assert schema(copy) == SCHEMA_VERSION
    before = events(kept)
    assert events(copy)[: len(before)] == before


def test_it_is_recovered_when_it_is_cut_short(kept: Path, copy: Path) -> None:
    path = copy / "experiment.db"
    path.write_bytes(path.read_bytes()[: -3 * PAGE_SIZE])
    with pytest.raises(tune.ExperimentDamagedError):
        tune.load(copy)
    found = recover(copy)
    assert found.events > 10
    assert events(copy) == events(kept)[: found.events]
    samples = MAKE["EXPERIMENTS"][kept.name][1]
    assert len(MAKE["run"](copy.parent, kept.name, samples)) == samples
