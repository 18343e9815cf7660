"""What a terminal shows, seen through a real pseudo terminal."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.console.stage import PATH, Stage, Terminal, everything, shown
from tunesmith import events as e

SIZES = [(80, 24), (120, 40), (60, 15), (200, 50), (40, 10), (30, 6), (20, 3), (5, 2), (1, 1)]
Open = Callable[..., tuple[Stage, Terminal]]


@pytest.fixture
def open_stage(monkeypatch: pytest.MonkeyPatch) -> Iterator[Open]:
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.delenv("NO_COLOR", raising=False)
    terminals: list[Terminal] = []
    before = sys.stdout, sys.stderr

    def call(size: tuple[int, int] = (80, 24), **arguments: Any) -> tuple[Stage, Terminal]:
        terminals.append(Terminal(*size))
        return Stage(terminals[-1].stream, size=size, **arguments), terminals[-1]

    yield call
    sys.stdout, sys.stderr = before
    for terminal in terminals:
        terminal.close()


def fill(stage: Stage, count: int = 60) -> None:
    """Play trials whose losses are shuffled, with wide, long and odd values; three go on running."""
    for number in range(count):
        values: dict[str, Any] = {
            "lr": 10.0 ** -(number % 7),
            "model/激活函数": "线性整流函数线性整流函数" if number % 3 else "🚀",
            "model/name": "a long name " * 5 + "\n\x1b[31m",
            **{f"parameter_{i}": 0.1 * i for i in range(12)},
        }
        stage.begin(number, **values)
        if number % 11 == 5:
            stage.fail(number, "ValueError: " + "very bad " * 50)
            continue
        stage.report(number, loss=float(number * 37 % 101) / 7 if number % 13 else float("nan"))
        if number < count - 3:
            stage.complete(number)


def table(lines: list[str]) -> list[str]:
    """Return the rows under the header."""
    start = next(i for i, line in enumerate(lines) if line.startswith("trial ") and "state" in line)
    rows = lines[start + 1 :]
    return rows[: next((i for i, row in enumerate(rows) if not re.match(r" *\d+  ", row)), len(rows))]


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("count", [0, 2, 60])
def test_the_picture_is_never_taller_or_wider_than_the_terminal(
    open_stage: Open, size: tuple[int, int], count: int
) -> None:
    stage, terminal = open_stage(size, total=60)
    fill(stage, count)
    for _ in range(5):
        stage.wait(3.0)
    lines = terminal.read()
    assert lines[0].startswith(
        "Tuning"[: max(size[0] - 2, 0)]
    )  # five pictures, one above the other, would scroll it away
    assert not terminal.screen.history.top
    assert len(lines) <= max(size[1] - 1, 1)
    assert all(not terminal.screen.buffer[y][size[0] - 1].data.strip() for y in range(size[1])) or size[0] == 1


@pytest.mark.parametrize("size", [(80, 24), (120, 40), (60, 15)])
def test_the_best_come_first_and_those_that_run_are_seen(open_stage: Open, size: tuple[int, int]) -> None:
    stage, terminal = open_stage(size, total=100)
    fill(stage)
    stage.wait(1.0)
    rows = table(terminal.read())
    losses = [float(row.split()[2]) for row in rows if row.split()[2] != "nan"]
    assert len(losses) >= 3
    assert losses == sorted(losses)
    assert losses[0] == pytest.approx(min(n * 37 % 101 / 7 for n in range(60) if n % 13 and n % 11 != 5), abs=1e-5)
    assert sum("running" in row for row in rows) >= 2


def test_numbers_stand_under_the_end_of_their_header_and_texts_under_its_beginning(open_stage: Open) -> None:
    stage, terminal = open_stage(total=3)
    stage.trial(0, 0.123456, lr=0.00012345, act="relu")
    stage.trial(1, 12.5, lr=3e-7, act="a name that is far too long")
    stage.trial(2, 5, lr=0.5, act="tanh")
    stage.wait(1.0)
    assert terminal.read() == [
        "Tuning  ━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━  3/3  1.0 s",
        "Trials  3 done",
        "Best    loss 0.123456  trial 0  act=relu, lr=0.00012345",
        "",
        "trial  state         loss  iter    time  act                  lr",
        "    0  done       0.12346     1   1.0 s  relu          0.0001234",
        "    2  done       5.00000     1   1.0 s  tanh          0.5000000",
        "    1  done      12.50000     1   1.0 s  a name that…      3e-07",
    ]


def test_what_does_not_fit_is_counted(open_stage: Open) -> None:
    stage, terminal = open_stage((60, 15), total=60)
    fill(stage)
    stage.wait(1.0)
    lines = terminal.read()
    trials, parameters = map(int, re.findall(r"(\d+) more", lines[-1]))
    assert trials == 60 - len(table(lines))
    assert 12 <= parameters <= 15


def test_names_that_are_cut_can_still_be_told_apart(open_stage: Open) -> None:
    stage, terminal = open_stage((120, 24))
    stage.trial(0, 0.5, a_very_long_prefix_one=1, a_very_long_prefix_two=2)
    stage.wait(1.0)
    header = next(line for line in terminal.read() if line.startswith("trial"))
    assert header.split()[-2:] == ["a_very…ix_one", "a_very…ix_two"]


def test_a_column_does_not_become_narrower(open_stage: Open) -> None:
    stage, terminal = open_stage()
    stage.trial(0, 0.5, act="a_long_one")
    stage.trial(1, 0.4, act="b", zeta=1)
    stage.wait(1.0)
    before = next(line for line in terminal.read() if line.startswith("trial"))
    for number in range(2, 40):
        stage.trial(number, 0.1, act="c", zeta=1)
    stage.wait(1.0)
    assert next(line for line in terminal.read() if line.startswith("trial")) == before


def test_wide_characters_keep_the_columns_straight(open_stage: Open) -> None:
    stage, terminal = open_stage(total=2)
    stage.trial(0, 0.5, **{"激活函数": "线性整流", "n": 1, "学习率": 7})
    stage.trial(1, 0.6, **{"激活函数": "🚀 go", "n": 1, "学习率": 7})
    stage.wait(1.0)
    terminal.read()
    screen = terminal.screen
    rows = [y for y in range(24) if "done" in screen.display[y] and "Trials" not in screen.display[y]]
    starts = [next(x for x in range(79, 0, -1) if screen.buffer[y][x].data.strip()) for y in rows]
    columns = [
        min(x for x in range(40, 80) if screen.buffer[y][x].data in "线🚀" and screen.buffer[y][x].data) for y in rows
    ]
    assert len(rows) == 2
    assert columns[0] == columns[1]
    assert starts[0] > starts[1]


def test_without_a_metric_those_that_run_come_first_and_then_the_last_to_end(open_stage: Open) -> None:
    stage, terminal = open_stage(objective=None, total=9)
    for number in range(4):
        stage.trial(number, 0.5)
    stage.begin(4)
    stage.wait(1.0)
    lines = terminal.read()
    assert lines[2] == "Best    no metric was named, so no trial is better than another"
    assert [row.split()[0] for row in table(lines)] == ["4", "3", "2", "1", "0"]


def test_trials_that_report_only_nan_are_shown_as_such(open_stage: Open) -> None:
    stage, terminal = open_stage(total=2)
    stage.trial(0, float("nan"))
    stage.begin(1)
    stage.fail(1, "boom")
    stage.wait(1.0)
    lines = terminal.read()
    assert lines[2] == "Best    no loss yet"
    assert lines[3] == "Failed  trial 1: boom"
    assert [row.split()[:3] for row in table(lines)] == [["1", "failed"], ["0", "done", "nan"]]


def test_the_summary_takes_the_place_of_the_table(open_stage: Open) -> None:
    stage, terminal = open_stage(total=60)
    fill(stage)
    stage.wait(1.0)
    terminal.read()
    for number in (57, 58, 59):
        stage.complete(number)
    stage.end()
    lines = terminal.read()
    titles = [line.split()[0] for line in lines if line and line[0].isupper()]
    assert titles == ["Best", "Trials", "Failed", "Folder"]
    assert len(table(lines)) == 5
    assert not any("Tuning" in line or "running" in line for line in everything(terminal.screen))
    assert f"traceback in {PATH}/00005_train/error.txt" in "".join(lines)
    assert not terminal.screen.cursor.hidden


def test_a_run_that_ends_before_it_was_drawn_still_has_its_summary(open_stage: Open) -> None:
    stage, terminal = open_stage()
    stage.end()
    assert [line.split()[0] for line in terminal.read()] == ["Best", "Trials", "Folder", "Go"]


def test_what_the_user_prints_comes_out_above_the_table(open_stage: Open) -> None:
    stage, terminal = open_stage()
    sys.stdout = terminal.stream
    stage.trial(0, 0.5)
    stage.wait(1.0)
    for number in range(40):
        print(f"line {number} of mine, [bold]as it is[/bold], {'long ' * 20}")
        stage.wait(1.0)
    lines = terminal.read()
    assert [line[:6] for line in lines][-6:] == ["Tuning", "Trials", "Best  ", "", "trial ", "    0 "]
    stage.end()
    assert sys.stdout is terminal.stream
    terminal.read()
    text = "".join(everything(terminal.screen))
    assert [int(n) for n in re.findall(r"line (\d+) of mine, \[bold\]as it is\[/bold\]", text)] == list(range(40))
    assert text.count("Tuning") == 0


def test_stderr_that_goes_to_a_file_stays_there(open_stage: Open, capsys: pytest.CaptureFixture[str]) -> None:
    stage, terminal = open_stage()
    stage.wait(1.0)
    print("a warning", file=sys.stderr)
    assert "a warning" in capsys.readouterr().err
    assert not any("a warning" in line for line in terminal.read())


def test_at_verbose_2_the_trials_are_told_above_the_table(open_stage: Open) -> None:
    stage, terminal = open_stage(verbose=2)
    for number in range(50):
        stage.trial(number, 0.5)
    stage.wait(1.0)
    stage.begin(50)
    stage.fail(50, "boom")
    stage.end()
    terminal.read()
    told = [line for line in everything(terminal.screen) if re.match(r"trial \d+:", line)]
    assert told == [*(f"trial {n}: ended by itself after 1 iteration" for n in range(50)), "trial 50: failed: boom"]


def test_an_interrupt_is_answered_at_once(open_stage: Open) -> None:
    stage, terminal = open_stage((120, 24), total=9)
    stage.begin(0)
    stage.wait(1.0)
    stage.play(e.StopRequested("Ctrl-C", stage.now, resumable=True))
    ending = "Ending  Ctrl-C: saving 1 trial at the next report. Ctrl-C again leaves at once; what was reported is safe"
    assert ending in terminal.read()


@pytest.mark.parametrize("bad", ["lines", "stream"])
def test_a_table_that_cannot_be_drawn_gives_the_terminal_back(
    open_stage: Open, monkeypatch: pytest.MonkeyPatch, bad: str
) -> None:
    stage, terminal = open_stage()
    sys.stdout = terminal.stream
    stage.wait(1.0)
    assert sys.stdout is not terminal.stream
    if bad == "lines":
        monkeypatch.setattr("tunesmith.console.screen.Screen.lines", lambda *_: 1 / 0)
    else:
        terminal.stream.close()
    with pytest.raises((ZeroDivisionError, ValueError)):
        stage.wait(1.0)
    assert sys.stdout is terminal.stream
    stage.end()


def test_colours_go_when_they_are_not_wanted(open_stage: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    def colours() -> set[str]:
        stage, terminal = open_stage()
        fill(stage)
        stage.wait(1.0)
        terminal.read()
        return {terminal.screen.buffer[y][x].fg for y in range(24) for x in range(80)}

    assert {"cyan", "green", "red", "default"} <= colours()
    monkeypatch.setenv("NO_COLOR", "1")
    assert colours() == {"default"}


def test_pictures_are_rare_and_know_nothing_of_most_trials(open_stage: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    from tunesmith.console import tally
    from tunesmith.core.experiment import TrialRecord

    drawn: list[int] = []
    touched = 0

    class Trials(list[TrialRecord]):
        """Counts what is read while a picture is made."""

        def __getitem__(self, index: Any) -> Any:
            nonlocal touched
            touched += 1
            return super().__getitem__(index)

        def __iter__(self) -> Iterator[TrialRecord]:
            raise AssertionError("all trials are gone through")

        __reversed__ = __iter__

    from tunesmith.console.screen import Screen

    lines = Screen.lines

    def counting(self: Screen, *args: Any) -> Any:
        nonlocal touched
        touched = 0
        picture = lines(self, *args)
        drawn.append(touched)
        return picture

    monkeypatch.setattr(Screen, "lines", counting)
    stage, terminal = open_stage(total=25_000)
    stage.experiment.trials = Trials()
    for number in range(25_000):
        stage.now += 0.0004
        stage.trial(number, float(number * 7919 % 100_003))
        if number % 250 == 0:
            terminal.read()
    assert 20 <= len(drawn) <= 41  # four in a second, of ten
    assert max(drawn) < 2 * 200 + 100
    assert len(stage.console._tally._bests) <= 2 * tally._LEADERS
    stage.end()
    assert "Best    loss 0, trial 0, iteration 1" in terminal.read()
    assert shown(terminal.screen)
