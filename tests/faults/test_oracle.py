"""The oracle is content with a record that is whole, and finds out one that is not."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from tests.faults import oracle
from tests.faults.experiment import NAME
from tests.faults.plan import Plan, Settings
from tests.faults.points import Fault
from tests.faults.round import References, play, read
from tests.faults.trainables import Journal
from tunesmith import events as e
from tunesmith.errors import IllegalMoveError
from tunesmith.trial import Failure

SETTINGS = Settings(
    scheduler="promotion", trainable="class", trials=4, length=9, workers=1, reuse_workers=True, every=1, keep=None,
    park=0, seed=1, durability="normal",
)  # fmt: skip
Log = list[e.Event]


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Log]:
    """A folder of an experiment that was killed once, and its record."""
    place = tmp_path_factory.mktemp("oracle")
    outcome = play(
        Plan(0, SETTINGS, (Fault("driver", "obeyed", 20),), at_once=False), place / "round", References(place)
    )
    assert outcome.found.wrong == []
    assert outcome.found.resumes == 1
    return place / "round", read(place / "round", [])


def nth(log: Log, kind: type[e.Event], number: int) -> int:
    return [at for at, event in enumerate(log) if type(event) is kind][number]


def altered(log: Log, kind: type[e.Event], number: int, **fields: object) -> Log:
    at = nth(log, kind, number)
    return [*log[:at], msgspec.structs.replace(log[at], **fields), *log[at + 1 :]]


def without(log: Log, kind: type[e.Event], number: int) -> Log:
    at = nth(log, kind, number)
    return [*log[:at], *log[at + 1 :]]


def doubled(log: Log, kind: type[e.Event], number: int) -> Log:
    at = nth(log, kind, number)
    return [*log[: at + 1], *log[at:]]


TAMPERED: dict[str, tuple[Callable[[Log], Log], str]] = {
    "a report is lost": (lambda log: without(log, e.Reported, 3), "is safe; it is not recorded"),
    "a report is there twice": (lambda log: doubled(log, e.Reported, 3), "comes where"),
    "a value is another": (lambda log: altered(log, e.Reported, 2, metrics={"loss": 0.1, "chain": 1}), "other values"),
    "a counter is wrong": (lambda log: altered(log, e.Reported, 2, iterations_since_restore=9), "is said to be number"),
    "a time is wrong": (lambda log: altered(log, e.Reported, 2, time_total_s=9.0), "9.0 s in all"),
    "a checkpoint is forgotten": (lambda log: altered(log, e.Placed, -1, checkpoint=None), "the twin decides"),
    "a decision is lost": (lambda log: without(log, e.Judged, 1), "the twin decides"),
    "a decision is another": (lambda log: altered(log, e.Judged, 1, reason="because"), "the twin decides"),
    "the last decisions are lost": (lambda log: log[: nth(log, e.Judged, -3)], "ends before the decisions"),
    "a trial is another": (
        lambda log: altered(log, e.Suggested, 1, values={"x": 0.5, "lr": 0.1}),
        "configurations are",
    ),
    "a trial is missing": (lambda log: without(log, e.Suggested, 3), "the trials are"),
    "a trial has failed": (
        lambda log: [*log, e.Failed(0, 1, Failure("error", "boom"))],
        "trial 0 failed: boom",
    ),
    "a worker is lost": (lambda log: [*log, e.Lost(0, 1, Failure("killed", "gone"))], "1 workers were lost, 0"),
}


def complaints(place: Path, log: Log) -> str:
    found = oracle.Found()
    checks = [
        lambda: oracle.check_acknowledged(Journal(str(place / "journal")).read(), log, found),
        lambda: oracle.check_work(log, found),
        lambda: oracle.check_losses(log, 0),
        lambda: oracle.check_trials(SETTINGS, log),
        lambda: oracle.check_decisions(SETTINGS, log, found),
    ]
    words: list[str] = []
    for check in checks:
        try:
            words += check()
        except (KeyError, IndexError, IllegalMoveError) as error:  # a record that can't even be followed
            words.append(repr(error))
    return "\n".join(words)


def test_a_whole_record_is_found_to_be_whole(played: tuple[Path, Log]) -> None:
    assert complaints(*played) == ""


@pytest.mark.parametrize("what", TAMPERED)
def test_a_record_that_is_not_whole_is_found_out(played: tuple[Path, Log], what: str) -> None:
    tamper, expected = TAMPERED[what]
    place, log = played
    assert expected in complaints(place, tamper(log))


def test_a_checkpoint_that_was_cut_off_is_found_out(played: tuple[Path, Log]) -> None:
    place, log = played
    found = oracle.Found()
    assert list(oracle.check_checkpoints(place, SETTINGS, log, found)) == []
    assert found.checkpoints > 4
    block = next((place / NAME).glob("*/checkpoint_000001/weights/block"))
    whole = block.read_bytes()
    try:
        block.write_bytes(whole[:100])
        assert len(list(oracle.check_checkpoints(place, SETTINGS, log, found))) == 1
    finally:
        block.write_bytes(whole)


def test_a_run_that_came_to_something_else_is_found_out(played: tuple[Path, Log]) -> None:
    place, _ = played
    mine = oracle.outcome(place)
    assert list(oracle.differences(mine, mine)) == []
    assert "trial 1 differs" in next(oracle.differences(mine, [mine[0], mine[0], *mine[2:]]))
