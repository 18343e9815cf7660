"""What holds for every logger that keeps a file in each trial's folder; CSV and JSON show it."""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.callbacks.stories import Story
from tunesmith import CSVLogger, JSONLogger
from tunesmith import events as e
from tunesmith.callbacks.trial_files import TrialFiles
from tunesmith.trial import CheckpointRef

Make = Callable[..., TrialFiles]


def json_rows(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "result.json").read_text().splitlines()]


def csv_rows(folder: Path) -> list[dict[str, str]]:
    with (folder / "progress.csv").open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file, strict=True))


READERS: dict[Make, tuple[str, Callable[[Path], list[dict[str, Any]]]]] = {
    CSVLogger: ("progress.csv", csv_rows),
    JSONLogger: ("result.json", json_rows),
}
every_logger = pytest.mark.parametrize("make", READERS)


def losses(make: Make, folder: Path) -> list[float]:
    return [float(row["loss"]) for row in READERS[make][1](folder)]


def content(make: Make, folder: Path) -> bytes:
    return (folder / READERS[make][0]).read_bytes()


@every_logger
def test_reports_are_written_together_when_it_is_time(tmp_path: Path, make: Make) -> None:
    now = [0.0]
    story = Story(tmp_path, make(flush_s=1.0, clock=lambda: now[0]))
    story.begin(0)
    story.report(0, 0.5, 0.4)
    assert not (tmp_path / "f0" / READERS[make][0]).exists()
    now[0] = 1.0
    story.report(0, 0.3, first=3)
    assert losses(make, tmp_path / "f0") == [0.5, 0.4, 0.3]
    story.report(0, 0.2, first=4)
    assert losses(make, tmp_path / "f0")[-1] == 0.3
    story.readers[0].on_idle()
    assert losses(make, tmp_path / "f0")[-1] == 0.2
    story.report(0, 0.1, first=5)
    story.complete(0)
    story.readers[0].on_end()
    assert losses(make, tmp_path / "f0")[-1] == 0.1


@every_logger
def test_reports_that_do_not_stand_are_taken_out(tmp_path: Path, make: Make) -> None:
    story = Story(tmp_path, make(flush_s=0))
    story.begin(0)
    story.report(0, 0.5, 0.4, 0.3, 0.2)
    story.fail(0)
    story.begin(0, CheckpointRef("c", 2))
    assert losses(make, tmp_path / "f0") == [0.5, 0.4]
    story.report(0, 0.33, first=3)
    story.fail(0)
    story.begin(0)
    story.report(0, 0.9)
    assert losses(make, tmp_path / "f0") == [0.9]


@every_logger
def test_what_a_clone_reported_before_it_was_one_stands(tmp_path: Path, make: Make) -> None:
    story = Story(tmp_path, make(flush_s=1e9))
    story.begin(0)
    story.begin(1)
    story.report(0, 0.5, 0.4, 0.3)
    story.tell(e.Cloned(0, 1, CheckpointRef("c", 1), {"x": 0.7}, {}, "train_0@", "why"))
    story.tell(e.Paused(0, 1))
    story.begin(0, CheckpointRef("c", 1))
    story.report(0, 0.2, 0.1, first=2)
    story.fail(0)
    story.begin(0, CheckpointRef("c", 2))
    story.report(0, 0.05, first=3)
    story.complete(0)
    story.readers[0].on_end()
    rows = READERS[make][1](tmp_path / "f0")
    assert losses(make, tmp_path / "f0") == [0.5, 0.4, 0.3, 0.2, 0.05]
    assert [row["trial_name"] for row in rows] == ["train_0"] * 3 + ["train_0@"] * 2
    assert [float(row["config/x"] if make is CSVLogger else row["config"]["x"]) for row in rows] == [0.5] * 3 + [
        0.7
    ] * 2


@every_logger
def test_after_a_crash_files_are_what_they_would_have_been(tmp_path: Path, make: Make) -> None:
    told, killed = tmp_path / "told", tmp_path / "killed"
    for place in (told, killed):
        story = Story(place, make(flush_s=0))
        for number in range(4):
            story.begin(number)
            story.report(number, 0.5, 0.4)
        story.complete(3)
        rest = [*story.reports(0, 0.3, 0.2, first=3), *story.reports(1, 0.1, first=3), e.Completed(1, 1)]
        if place is told:
            story.tell(*rest)
        else:  # trial 0: reports are missing; 1: ended without a word; 2: a torn line; 3: all is well
            story.write(*rest)
            torn = content(make, place / "f2")[:-7]
            (place / "f2" / READERS[make][0]).write_bytes(torn)
            untouched = (place / "f3" / READERS[make][0]).stat()
            story.resume(make(flush_s=0))
            assert (place / "f3" / READERS[make][0]).stat() == untouched
    for number in range(4):
        assert content(make, killed / f"f{number}") == content(make, told / f"f{number}")


@every_logger
def test_a_resumed_run_goes_on_in_the_same_files(tmp_path: Path, make: Make) -> None:
    story = Story(tmp_path, make(flush_s=0))
    for number in range(2):
        story.begin(number)
        story.report(number, 0.5, 0.4, 0.3)
    story.resume(make(flush_s=0))
    story.begin(0, CheckpointRef("c", 1))
    story.report(0, 0.2, first=2)
    story.begin(1)
    story.report(1, 0.9, extra=1)
    assert losses(make, tmp_path / "f0") == [0.5, 0.2]
    assert losses(make, tmp_path / "f1") == [0.9]


@every_logger
def test_a_logger_that_comes_later_writes_what_it_has_missed(tmp_path: Path, make: Make) -> None:
    for name, readers in (("with", [make(flush_s=0)]), ("without", [])):
        story = Story(tmp_path / name, *readers)
        story.begin(0)
        story.report(0, 0.5, 0.4, 0.3)
        story.fail(0)
        story.begin(0, CheckpointRef("c", 2))
        *_, last = story.reports(0, 0.25, 0.2, first=3)
        story.report(0, 0.25, first=3)
        story.tell(last, e.Judged(0, "stop", "enough", 4))
        story.tell(e.Stopped(0, 2))
    story.resume(make(flush_s=0))
    assert content(make, tmp_path / "with" / "f0") == content(make, tmp_path / "without" / "f0")
    assert losses(make, tmp_path / "without" / "f0") == [0.5, 0.4, 0.25, 0.2]
    assert [str(row["done"]).lower() for row in READERS[make][1](tmp_path / "with" / "f0")] == ["false"] * 3 + ["true"]


def test_no_file_stays_open(tmp_path: Path) -> None:
    story = Story(tmp_path, CSVLogger(flush_s=0), JSONLogger(flush_s=0))
    before = len(list(Path("/proc/self/fd").iterdir()))
    for number in range(50):
        story.begin(number)
        story.report(number, 0.5)
    assert len(list(Path("/proc/self/fd").iterdir())) == before


def test_a_metric_that_comes_up_later_gets_its_column_then(tmp_path: Path) -> None:
    story = Story(tmp_path, CSVLogger(flush_s=0))
    story.begin(0)
    story.report(0, 0.5)
    story.report(0, 0.4, first=2, valid={"loss": 1, "accuracy": 0.5})
    story.report(0, 0.3, first=3, note='a "quoted", text\nof two lines')
    rows = csv_rows(tmp_path / "f0")
    header = list(rows[0])
    assert header.index("loss") < header.index("valid/loss") < header.index("note") < header.index("date")
    assert header[-1] == "config/x"
    assert [row["valid/loss"] for row in rows] == ["", "1", ""]
    assert [row["note"] for row in rows] == ["", "", 'a "quoted", text\nof two lines']
    assert [row["config/x"] for row in rows] == ["0.5"] * 3
    story.fail(0)
    story.begin(0, CheckpointRef("c", 3))
    story.report(0, 0.2, first=4)
    assert [row["loss"] for row in csv_rows(tmp_path / "f0")] == ["0.5", "0.4", "0.3", "0.2"]
    story.resume(CSVLogger(flush_s=0))
    story.begin(0, CheckpointRef("c", 4))
    story.report(0, 0.1, first=5, another=1)
    assert [row["another"] for row in csv_rows(tmp_path / "f0")] == ["", "", "", "", "1"]


def test_pandas_and_json_read_what_is_not_finite(tmp_path: Path) -> None:
    import pandas as pd

    story = Story(tmp_path, CSVLogger(flush_s=0), JSONLogger(flush_s=0))
    story.begin(0)
    story.report(0, 0.5, math.nan, math.inf, -math.inf)
    read = [row["loss"] for row in json_rows(tmp_path / "f0")]
    for found in (
        read,
        pd.read_csv(tmp_path / "f0" / "progress.csv")["loss"].tolist(),
    ):
        assert str(found) == "[0.5, nan, inf, -inf]"
    assert "NaN" in (tmp_path / "f0" / "result.json").read_text()


def test_a_result_on_a_line_is_what_results_show(tmp_path: Path) -> None:
    story = Story(tmp_path, JSONLogger(flush_s=0), x="Float()", net={"sizes": {"$tuple": [8, 8]}})
    story.begin(0)
    story.report(0, 0.5, done=1, pid="mine", nested={"a": [1, None]}, timesteps_total=7)
    (row,) = json_rows(tmp_path / "f0")
    config = {"x": 0.5, "net": {"sizes": [8, 8]}}
    assert row == {
        "loss": 0.5, "done": True, "nested": {"a": [1, None]}, "timesteps_total": 7, "episodes_total": None,
        "training_iteration": 1, "time_this_iter_s": 0.5, "time_total_s": 0.5, "time_since_restore": 0.5,
        "iterations_since_restore": 1, "timestamp": 1000000001, "date": row["date"], "pid": 101, "hostname": "host",
        "node_ip": "ip", "trial_id": "id0", "trial_name": "train_0", "experiment_id": "id", "config": config,
    }  # fmt: skip
    assert json.loads((tmp_path / "f0" / "params.json").read_text()) == config


def sorted_json(value: Any) -> str:
    return json.dumps(value, sort_keys=True)


NAMES = st.sampled_from(["loss", "a", "b/c", "pid", "done", "date", "config", "timesteps_total", "time_total_s", "ü"])
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats()
    | st.text('aü",[{}\\\n\r null', max_size=5),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from("xyz"), inner, max_size=2),
    max_leaves=4,
)


@given(st.lists(st.dictionaries(NAMES, VALUES, max_size=4), min_size=1, max_size=6))
def test_the_quick_way_to_a_line_leads_where_the_slow_one_does(
    tmp_path_factory: pytest.TempPathFactory, metrics: list[dict[str, Any]]
) -> None:
    path = tmp_path_factory.mktemp("quick")
    slowly = path / "slowly"
    story = Story(path, CSVLogger(flush_s=0), JSONLogger(flush_s=0))
    story.begin(0)
    other = Story(slowly, CSVLogger(flush_s=0))
    other.begin(0)
    together = Story(path / "together", CSVLogger(clock=lambda: -1.0), JSONLogger(clock=lambda: -1.0))
    together.begin(0)
    for t, given_metrics in enumerate(metrics, 1):
        (report,) = story.reports(0, 0.5, first=t)
        report = msgspec.structs.replace(report, metrics=given_metrics, timestamp=1e9 + t / 3)
        story.tell(report)
        together.tell(report)
        (trial,) = other.readers[0]._trials.values()  # type: ignore[attr-defined]
        if trial.page:
            trial.page.forget()  # so that no row is made in the quick way
        other.tell(report)
        (trial,) = story.readers[1]._trials.values()  # type: ignore[attr-defined]
        assert sorted_json(json_rows(path / "f0")[-1]) == sorted_json(trial.result(report))
    assert csv_rows(path / "f0") == csv_rows(slowly / "f0")
    assert len(csv_rows(path / "f0")) == len(metrics)
    assert not (path / "together" / "f0" / "result.json").exists()
    for reader in together.readers:
        reader.on_idle()
    assert csv_rows(path / "together" / "f0") == csv_rows(path / "f0")
    assert (path / "together" / "f0" / "result.json").read_bytes() == (path / "f0" / "result.json").read_bytes()
