"""What a terminal shows, as lines of styled text that fit it. Knows no terminal library."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from tunesmith.console.summary import TITLE, best_line, ending
from tunesmith.console.tally import Tally
from tunesmith.console.words import clean, column, counted, duration, labels, parameter, short_duration
from tunesmith.core.experiment import TrialRecord
from tunesmith.paths import CHOSEN
from tunesmith.trial import Status

Part = tuple[str, str]  # a text and its style
Line = list[Part]

COLOURS = {"running": "cyan", "waiting": "", "paused": "magenta", "done": "green", "failed": "red"}
_WORDS = {
    Status.PENDING: ("waiting", ""),
    Status.STARTING: ("starting", "cyan"),
    Status.RUNNING: ("running", "cyan"),
    Status.PAUSING: ("pausing", "magenta"),
    Status.PAUSED: ("paused", "magenta"),
    Status.STOPPING: ("stopping", "cyan"),
    Status.TERMINATED: ("done", "green"),
    Status.ERROR: ("failed", "red"),
}
_GAP = 2
_LONGEST_METRIC = 20
_LONGEST_NAME = 14
_LONGEST_VALUE = 12
_LONGEST_BAR = 40
_SHORTEST_BAR = 6
_LONGEST_STORY = 7  # lines of what the scheduler says
_LEAST_ROWS = 3  # below this many the blank line and the footer make room


class _Column:
    """Cells with their styles under a header."""

    def __init__(self, header: str, cells: list[Part], *, right: bool = True, least: int = 0) -> None:
        self.header = header
        self.cells = cells
        self.right = right
        self.least = least
        self.width = 0


class Screen:
    """Lays a tally out in lines. `measure` returns how many columns of a terminal a text takes.

    A column never becomes narrower from one picture to the next, so that the table does not jump.
    """

    def __init__(self, tally: Tally, measure: Callable[[str], int]) -> None:
        self._tally = tally
        self._measure = measure
        self._widths: dict[str, int] = {}
        self._paths: set[str] = set()

    def lines(self, now: float, width: int, height: int) -> list[Line]:
        """Return the whole picture, at most `height` lines of at most `width` columns."""
        head = [self._bar(now, width), self._counts(), self._best(), *self._scheduler()]
        failure = self._tally.last_failure
        if failure is not None:
            head.append([("Failed".ljust(TITLE), "bold red"), (f"trial {failure[0]}: {failure[1]}", "red")])
        waiting = ending(self._tally)
        if waiting:
            head.append([("Ending".ljust(TITLE), "bold magenta"), (waiting, "magenta")])
        lines = [self.cropped(line, width) for line in head]
        room = height - len(lines)
        if room - 3 >= _LEAST_ROWS:
            lines += [[], *self.table(room - 3, width)]
        elif room > 1:
            lines += self.table(room - 1, width)[:room]
        return lines[:height]

    def table(self, limit: int, width: int) -> list[Line]:
        """Return a header, at most `limit` trials and, if anything is left out, a line that says what."""
        trials = self._tally.rows(limit)
        if not trials:
            return []
        columns = self._fixed(trials)
        room = width - sum(each.width + _GAP for each in columns) + _GAP
        crowded = room < 0
        while room < 0 and len(columns) > 1:
            room += columns.pop().width + _GAP
        self._paths.update(*(trial.values for trial in trials))
        hidden = len(self._paths)
        for path, name in labels(sorted(self._paths)).items():
            each = self._parameter(path, name, trials)
            if crowded or room < each.width + _GAP:
                break
            columns.append(each)
            room -= each.width + _GAP
            hidden -= 1
        rows = [[(each.header, "bold") for each in columns], *zip(*(each.cells for each in columns), strict=True)]
        lines = [self.cropped(self._row(row, columns), width) for row in rows]
        footer = self._footer(len(self._tally.experiment.trials) - len(trials), hidden)
        if footer:
            lines.append(self.cropped([(footer, "dim")], width))
        return lines

    def cropped(self, line: Line, width: int) -> Line:
        """Return a line that ends in an ellipsis where it was too long."""
        room, parts = width, []
        for text, style in line:
            size = self._measure(text)
            if size > room:
                parts.append((self._fit(text, room, right=False), style))
                break
            parts.append((text, style))
            room -= size
        return parts

    # -- the head

    def _bar(self, now: float, width: int) -> Line:
        tally = self._tally
        clock = duration(now - tally.began)
        left = tally.remaining_s(now)
        if left is not None:
            clock += f", about {duration(left)} left"
        if tally.total is None:
            return [("Tuning".ljust(TITLE), "bold"), (f"{tally.finished:,} ended", "bold"), (f"  {clock}", "")]
        done = f"{tally.finished:,}/{tally.total:,}"
        line: Line = [("Tuning".ljust(TITLE), "bold")]
        room = min(width - TITLE - len(done) - len(clock) - 4, _LONGEST_BAR)
        if room >= _SHORTEST_BAR:
            full = room * tally.finished // max(tally.total, 1)
            style = "green" if tally.finished >= tally.total else "cyan"
            line += [("━" * full, style), ("─" * (room - full), "dim"), ("  ", "")]
        return [*line, (done, "bold"), (f"  {clock}", "")]

    def _counts(self) -> Line:
        line: Line = [("Trials".ljust(TITLE), "bold")]
        for name, count in self._tally.counts():
            line += [(f"{count:,} {name}", COLOURS[name]), ("  ", "")]
        return line

    def _best(self) -> Line:
        value, text = best_line(self._tally)
        line: Line = [("Best".ljust(TITLE), "bold")]
        if not value or self._tally.objective is None:
            return [*line, (text, "dim")]
        return [*line, (f"{clean(self._tally.objective.metric)} ", ""), (value, "bold green"), (f"  {text}", "")]

    def _scheduler(self) -> list[Line]:
        said = [clean(line) for line in self._tally.describe().splitlines()[:_LONGEST_STORY]]
        titles = ["Policy", *[""] * len(said)]
        return [[(title.ljust(TITLE), "bold"), (line, "dim")] for title, line in zip(titles, said, strict=False)]

    # -- the table

    def _fixed(self, trials: list[TrialRecord]) -> list[_Column]:
        """Return the columns that every table has, those that can be missed last."""
        tally, best = self._tally, self._tally.best
        leading = set(tally.front) if best is None else {best.trial}
        styles = ["bold green" if trial.number in leading else "" for trial in trials]
        columns = [
            _Column("trial", [(str(t.number), style) for t, style in zip(trials, styles, strict=True)]),
            _Column("state", [_WORDS[trial.status] for trial in trials], right=False, least=8),
        ]
        if tally.objective is not None:
            limited = (bound.metric for bound in tally.objective.constraints)
            for metric in dict.fromkeys([*tally.objective.metrics, *limited]):
                values = column([tally.value(trial, metric) for trial in trials])
                name = self._middle(clean(metric), _LONGEST_METRIC)
                columns.append(_Column(name, list(zip(values, styles, strict=True)), least=8))
        columns.append(_Column("iter", [(str(trial.iteration) if trial.iteration else "", "") for trial in trials]))
        times = [short_duration(trial.time_total_s) if trial.iteration else "" for trial in trials]
        columns.append(_Column("time", [(text, "dim") for text in times], least=6))
        for each in columns:
            self._set_width(each)
        return columns

    def _parameter(self, path: str, name: str, trials: list[TrialRecord]) -> _Column:
        values: list[Any] = [trial.values.get(path) for trial in trials]
        numeric = all(value is None or type(value) in (int, float) for value in values)
        if numeric and not path.endswith(CHOSEN):
            texts = column(values, 4)
        else:
            texts = [parameter(path, trial.values[path], 4) if path in trial.values else "" for trial in trials]
        each = _Column(self._middle(name, _LONGEST_NAME), [(text, "") for text in texts], right=numeric)
        self._set_width(each, path, _LONGEST_VALUE)
        return each

    def _set_width(self, each: _Column, key: str = "", longest: int = 24) -> None:
        """Give a column the width of its cells, but not more than `longest`, and no less than it had."""
        key = key or f" {each.header}"
        wanted = min(max((self._measure(text) for text, _ in each.cells), default=0), longest)
        each.width = max(wanted, self._measure(each.header), each.least, self._widths.get(key, 0))
        self._widths[key] = each.width

    def _row(self, cells: Sequence[Part], columns: list[_Column]) -> Line:
        line: Line = []
        for (text, style), each in zip(cells, columns, strict=True):
            if line:
                line.append((" " * _GAP, ""))
            line.append((self._fit(text, each.width, right=each.right), style))
        return line

    def _footer(self, trials: int, parameters: int) -> str:
        parts = [counted(trials, "more trial")] if trials > 0 else []
        parts += [counted(parameters, "more parameter")] if parameters > 0 else []
        return ", ".join(parts)

    # -- texts

    def _fit(self, text: str, width: int, *, right: bool) -> str:
        """Return `text` filled up with spaces or cut to exactly `width` columns."""
        size = self._measure(text)
        if size > width:
            while text and self._measure(text) > width - 1:
                text = text[: min(len(text) - 1, max(width, 1) * 2)]
            text = f"{text}…" if width > 0 else ""
            size = self._measure(text)
        space = " " * (width - size)
        return space + text if right else text + space

    def _middle(self, text: str, width: int) -> str:
        """Return `text`, or its beginning and its end: names often differ in their last characters."""
        if self._measure(text) <= width:
            return text
        half = (width - 1) // 2
        head, tail = text[:half], text[-half:]
        while self._measure(head) > half:
            head = head[:-1]
        while self._measure(tail) > half:
            tail = tail[1:]
        return f"{head}…{tail}"
