"""What goes to a file or a pipe, line by line."""

from __future__ import annotations

import io
import subprocess
import sys
from pathlib import Path

import pytest

from tests.console.stage import PATH, Stage
from tunesmith import events as e
from tunesmith.console.console import Console, _is_terminal
from tunesmith.events import StopRequested
from tunesmith.objective import parse_objective
from tunesmith.store.sqlite import EventStore
from tunesmith.trial import CheckpointRef, Failure

ROOT = Path(__file__).parents[2]


def test_a_run_from_its_first_line_to_its_summary() -> None:
    stage = Stage(total=3)
    assert stage.said() == [f"Tuning digits: 3 trials, in {PATH}"]
    stage.trial(0, 0.5, lr=0.1)
    stage.wait(4.9)
    assert stage.said() == []
    stage.wait(0.2)
    assert stage.said() == ["[5.1 s] 1/3 trials ended, about 10 s left; best loss 0.5 (trial 0: lr=0.1)"]
    stage.begin(1, lr=0.25)
    stage.report(1, loss=0.75)
    stage.wait(5.0)
    assert stage.said() == ["[10 s] 1/3 trials ended, 1 running, about 20 s left; best loss 0.5 (trial 0)"]
    stage.fail(1, "ValueError: no\nsecond line")
    stage.trial(2, 0.123456789, lr=0.0123456789)
    stage.end()
    assert stage.said() == [
        "Best:    loss 0.123457, trial 2, iteration 1",
        "         lr=0.012346",
        "Trials:  2 done, 1 failed, in 10 s",
        "Failed:  trial 1: ValueError: no",
        f"         traceback in {PATH}/00001_train/error.txt",
        f"Folder:  {PATH}",
    ]


def test_lines_become_rarer() -> None:
    stage = Stage(total=None)
    assert stage.said() == [f"Tuning digits: trials without end, in {PATH}"]
    for _ in range(3600 * 10):
        stage.wait(1.0)
    lines = stage.said()
    assert 280 < len(lines) < 310  # one in two minutes
    assert lines[-1].startswith("[9 h 5")


@pytest.mark.parametrize("is_terminal", [False, True])
def test_nothing_at_all_is_printed_when_verbose_is_0(is_terminal: bool) -> None:
    stage = Stage(verbose=0, size=(80, 24) if is_terminal else None)
    stage.trial(0, 0.5)
    stage.begin(1)
    stage.fail(1, "boom")
    stage.wait(100.0)
    stage.end()
    assert stage.text() == ""


def test_nothing_is_printed_for_a_run_that_never_began() -> None:
    stage = Stage(start=False)
    stage.end()
    assert stage.text() == ""


def test_the_end_is_told_once() -> None:
    stage = Stage()
    stage.end()
    stage.said()
    stage.end()
    assert stage.said() == []


def test_at_verbose_2_each_trial_has_its_say() -> None:
    stage = Stage(verbose=2, max_failures=1)
    stage.said()
    stage.begin(0)
    stage.report(0, loss=0.5, acc=0.9)
    stage.report(0, loss=0.25, acc=0.9)  # within seconds of the last line
    stage.now += 5
    stage.report(0, loss=0.125, acc=0.95)
    stage.play(e.Judged(0, "stop", "loss 0.125 is good enough", 3))
    stage.play(e.Stopped(0, 1))
    stage.begin(1)
    stage.fail(1, "ValueError: no")
    stage.begin(1)
    stage.fail(1, "ValueError: no")
    stage.begin(2)
    stage.complete(2)
    lines = [line for line in stage.said() if line.startswith("trial")]
    assert lines == [
        "trial 0: iteration 1: loss=0.5, acc=0.9",
        "trial 0: iteration 3: loss=0.125, acc=0.95",
        "trial 0: stop: loss 0.125 is good enough",
        "trial 1: failed, will be tried again: ValueError: no",
        "trial 1: failed: ValueError: no",
        "trial 2: ended by itself after 0 iterations",
    ]


def test_what_was_not_finite_never_wins() -> None:
    stage = Stage(total=2)
    stage.trial(0, float("nan"))
    stage.trial(1, float("-inf"))
    stage.wait(6)
    assert stage.said()[-1] == "[6.0 s] 2/2 trials ended"
    stage.end()
    assert stage.said()[0] == "Best:    no trial has reported a finite loss (the last one is -inf)"


def test_a_metric_that_no_trial_reports() -> None:
    stage = Stage(total=1)
    stage.begin(0)
    stage.report(0, acc="text")
    stage.report(0, loss="text")
    stage.play(e.Judged(0, "fail", "The metric 'loss' must be a number.", 2))
    stage.play(e.Stopped(0, 1))
    stage.end()
    lines = stage.said()
    assert "Best:    no trial has reported a finite loss" in lines
    assert "Failed:  trial 0: The metric 'loss' must be a number." in lines


def test_without_a_metric_nothing_is_best() -> None:
    stage = Stage(objective=None, total=1)
    stage.trial(0, 0.5)
    stage.wait(6)
    stage.end()
    assert not any("est" in line.split("igits")[-1] for line in stage.said())


def test_of_equal_values_the_first_trial_wins_as_in_the_results() -> None:
    stage = Stage(total=3)
    for number in (0, 1, 2):
        stage.begin(number)
    for number in (2, 1):
        stage.report(number, loss=0.5)
    stage.end()
    assert "Best:    loss 0.5, trial 1, iteration 1" in stage.said()


def test_a_report_that_was_rolled_back_is_best_no_more() -> None:
    stage = Stage(max_failures=-1)
    stage.begin(0)
    stage.report(0, loss=0.5, checkpoint=True)
    stage.report(0, loss=0.1)
    stage.fail(0, "boom")
    stage.begin(0, CheckpointRef("c1", 1))
    stage.end()
    assert "Best:    loss 0.5, trial 0, iteration 1" in stage.said()

    stage = Stage(max_failures=-1)
    stage.begin(0)
    stage.report(0, loss=0.1)
    stage.fail(0, "boom")
    stage.begin(0)
    stage.end()
    assert "Best:    no trial has reported a finite loss" in stage.said()


def test_failures_are_grouped_and_the_commonest_come_first() -> None:
    stage = Stage(total=12)
    for number, message in enumerate(["rare", *["often"] * 5, "b", "c", "d", "\x1b[2Jwipe\x07\nmore"]):
        stage.begin(number)
        stage.fail(number, message)
    stage.end()
    lines = stage.said()
    start = lines.index("Failed:  5 times, first in trial 1: often")
    assert lines[start + 1] == f"         traceback in {PATH}/00001_train/error.txt"
    assert lines[start + 6] == "         and 3 other messages, in the trials' own error.txt"
    assert not any("\x1b" in line or "\x07" in line for line in lines)


def test_failures_that_were_mended_are_called_retried() -> None:
    stage = Stage(max_failures=3)
    stage.begin(0)
    stage.fail(0, "the GPU fell off the bus")
    stage.begin(0)
    stage.report(0, loss=0.5)
    stage.complete(0)
    stage.end()
    assert "Retried: trial 0: the GPU fell off the bus" in stage.said()


def test_an_end_that_was_ordered_is_no_failure() -> None:
    stage = Stage()
    stage.begin(0)
    stage.report(0, loss=0.5)
    stage.play(e.Judged(0, "stop", "enough", 1))
    stage.play(e.Lost(0, 1, Failure("killed", "killed by signal 9")))
    stage.end()
    assert not any("killed" in line for line in stage.said())


def test_endlessly_different_messages_take_no_endless_memory() -> None:
    stage = Stage(total=None)
    for number in range(300):
        stage.begin(number)
        stage.fail(number, f"{number} " + "x" * 1000)
    assert len(stage.console._tally.failures) == 101
    assert sum(stage.console._tally.failures.values()) == 300
    assert max(map(len, stage.console._tally.failures)) == 300


def test_an_interrupt_says_what_it_waits_for_and_the_summary_how_to_go_on() -> None:
    stage = Stage(total=5)
    stage.trial(0, 0.5)
    stage.begin(1)
    stage.begin(2)
    stage.said()
    stage.play(StopRequested("Ctrl-C", stage.now, resumable=True))
    stage.play(e.Reported(1, 1, 1, {"loss": 0.4}, 0.0, 1.0, 1.0, 1.0, 1))
    assert stage.said() == [
        "Ctrl-C: saving 2 trials at the next report. Ctrl-C again leaves at once; what was reported is safe"
    ]
    stage.play(e.Judged(1, "pause", "the run ends"), e.Judged(2, "pause", "the run ends"))
    stage.play(e.Paused(1, 1), e.Paused(2, 1))
    stage.end()
    assert stage.said() == [
        "Best:    loss 0.4, trial 1, iteration 1",
        "Trials:  2 waiting, 2 paused, 1 done, in 0.0 s",
        "Ended:   Ctrl-C",
        f"Folder:  {PATH}",
        'Go on:   the same call with name="digits", resume=True',
    ]


def test_a_searcher_that_has_nothing_more_leaves_nobody_waiting() -> None:
    stage = Stage(total=100)
    stage.trial(0, 0.5)
    stage.play(e.Exhausted("The grid has 1 point."))
    stage.wait(6)
    assert stage.said()[-1].startswith("[6.0 s] 1/1 trials ended;")
    stage.end()
    lines = stage.said()
    assert "Trials:  1 done, in 6.0 s" in lines
    assert "Search:  The grid has 1 point." in lines
    assert not any(line.startswith("Go on") for line in lines)


def test_a_searcher_that_failed_is_named() -> None:
    stage = Stage(total=100)
    stage.trial(0, 0.5)
    stage.play(e.SearchFailed(Failure("error", "KeyError: 'x'")))
    stage.end()
    assert "Search:  the searcher failed: KeyError: 'x'" in stage.said()


def test_a_resumed_run_knows_the_best_of_before(tmp_path: Path) -> None:
    first = Stage(path=tmp_path)
    events: list[e.Event] = []
    play = first.play

    def recorded(*more: e.Event) -> None:
        events.extend(more)
        play(*more)

    first.play = recorded  # type: ignore[method-assign]
    first.begin(0)
    for loss in (0.5, 0.1, 0.9):
        first.report(0, loss=loss)
    first.complete(0)
    first.begin(1)
    first.fail(1, "boom")
    with EventStore.create(tmp_path / "experiment.db") as store:
        store.append(events)

    second = Stage(path=tmp_path, total=3, start=False)
    for event in events:
        second.experiment.apply(event)
    second.start()
    assert second.said() == [f"Tuning {tmp_path.name}: 3 trials, 2 of them ended before, in {tmp_path}"]
    second.now += 2
    second.trial(2, 0.7)
    second.end()
    lines = second.said()
    assert "Best:    loss 0.1, trial 0, iteration 2" in lines
    assert "Failed:  trial 1: boom" in lines


def test_a_history_that_cannot_be_read_is_done_without(tmp_path: Path) -> None:
    stage = Stage(path=tmp_path / "nowhere", start=False)
    stage.experiment.apply(e.Suggested(0, "t", "n", "f", {}))
    stage.start()
    assert len(stage.said()) == 1


def test_the_estimate_is_of_this_session() -> None:
    stage = Stage(total=4)
    stage.trial(0, 0.5)
    stage.trial(1, 0.5)
    stage.start()
    assert stage.console._tally.remaining_s(stage.now + 10) is None
    stage.trial(2, 0.5)
    assert stage.console._tally.remaining_s(stage.now + 10) == pytest.approx(10.0)


class Encoded(io.StringIO):
    def __init__(self, encoding: str, *, tty: bool = False) -> None:
        super().__init__()
        self._encoding, self._tty = encoding, tty

    @property
    def encoding(self) -> str:  # type: ignore[override]
        return self._encoding

    def isatty(self) -> bool:
        return self._tty

    def write(self, text: str) -> int:
        return super().write(text.encode(self._encoding).decode(self._encoding))


def test_a_stream_that_knows_only_ascii_gets_question_marks() -> None:
    stage = Stage(Encoded("ascii"))
    stage.trial(0, 0.5, **{"学习率": "大"})
    stage.end()
    assert "         ???=?" in stage.said()


@pytest.mark.parametrize(
    ("term", "encoding", "tty", "live"),
    [
        ("xterm", "utf-8", True, True),
        ("xterm", "UTF8", True, True),
        ("dumb", "utf-8", True, False),
        ("xterm", "latin-1", True, False),
        ("xterm", "utf-8", False, False),
    ],
)
def test_the_live_table_is_for_terminals_that_can_draw_it(
    monkeypatch: pytest.MonkeyPatch, term: str, encoding: str, tty: bool, live: bool
) -> None:
    monkeypatch.setenv("TERM", term)
    assert _is_terminal(Encoded(encoding, tty=tty)) is live


def test_rich_is_not_imported_where_nothing_is_drawn() -> None:
    program = (
        "import sys, io; from tests.console.stage import Stage; s = Stage(); s.trial(0, 0.5); s.wait(9); s.end();"
        "assert 'rich' not in sys.modules and 'Best' in s.text()"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_a_console_says_its_words_only_to_its_stream(capsys: pytest.CaptureFixture[str]) -> None:
    stage = Stage()
    stage.trial(0, 0.5)
    stage.end()
    assert isinstance(stage.console, Console)
    assert capsys.readouterr() == ("", "")


def test_with_several_metrics_the_front_is_told_and_what_breaks_a_constraint() -> None:
    objective = parse_objective(["loss", "ms"], ["min", "min"], {"mb": "<= 10"})
    stage = Stage(objective=objective, total=5)
    for number, (loss, ms, mb) in enumerate([(0.1, 9, 5), (0.2, 3, 5), (0.3, 4, 5), (0.01, 1, 50)]):
        stage.begin(number, x=number)
        stage.report(number, loss=9.0, ms=0, mb=0)
        stage.report(number, loss=loss, ms=ms, mb=mb)
        stage.complete(number)
    stage.begin(4)
    stage.report(4, loss=0.0, ms=0, mb=0)
    stage.fail(4, "boom")
    stage.wait(6)
    assert stage.said()[-1] == "[6.0 s] 5/5 trials ended, 1 failed; 2 trials in the front"
    stage.end()
    assert stage.said()[:4] == [
        "Front:   2 trials, none better than another in all of loss and ms",
        "         trial 0: loss 0.1, ms 9  x=0",
        "         trial 1: loss 0.2, ms 3  x=1",
        "Limits:  1 trial not within mb <= 10",
    ]


def test_with_constraints_that_nobody_keeps_nothing_is_best() -> None:
    stage = Stage(objective=parse_objective("loss", "min", {"mb": "<= 10"}), total=2)
    for number in range(2):
        stage.begin(number)
        stage.report(number, loss=number, mb=11)
        stage.complete(number)
    stage.end()
    assert stage.said()[1:3] == [
        "Best:    no trial has a finite loss within mb <= 10",
        "Limits:  2 trials not within mb <= 10",
    ]
