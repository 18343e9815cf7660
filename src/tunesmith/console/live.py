"""The live table, drawn with rich. Imported only when there is a terminal to draw on."""

from __future__ import annotations

from typing import TextIO

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from tunesmith.console.summary import summary
from tunesmith.console.tally import Tally
from tunesmith.console.words import configuration, duration, number, parameter
from tunesmith.core.experiment import TrialRecord
from tunesmith.naming import short_key
from tunesmith.trial import Status

_COLOURS = {"running": "cyan", "waiting": "dim", "paused": "yellow", "done": "green", "failed": "red"}
_WORDS = {
    Status.PENDING: ("waiting", "dim"),
    Status.STARTING: ("starting", "cyan"),
    Status.RUNNING: ("running", "cyan"),
    Status.PAUSING: ("pausing", "yellow"),
    Status.PAUSED: ("paused", "yellow"),
    Status.STOPPING: ("stopping", "cyan"),
    Status.TERMINATED: ("done", "green"),
    Status.ERROR: ("failed", "red"),
}
_HEAD = 4  # lines above the table's rows: title, best, blank, header
_CELL = 14  # characters of a hyperparameter's value
_FINAL_ROWS = 5


class LiveTable:
    """Draws a tally on a terminal, never taller than it."""

    def __init__(self, tally: Tally, stream: TextIO, size: tuple[int, int] | None = None) -> None:
        self._tally = tally
        width, height = size or (None, None)
        self._console = Console(file=stream, force_terminal=True, width=width, height=height, highlight=False)
        self._live = Live(console=self._console, auto_refresh=False, transient=True)
        self._live.start()

    def print(self, text: str) -> None:
        """Print a line above the table."""
        self._console.print(Text(text))

    def show(self, now: float) -> None:
        """Draw the present state."""
        rows = max(self._console.height - _HEAD - 3, 1)
        self._live.update(self._screen(now, rows), refresh=True)

    def finish(self, now: float) -> None:
        """Replace the table by the best few trials and the summary."""
        self._live.update(Text(""), refresh=True)
        self._live.stop()
        if self._tally.experiment.trials:
            self._console.print(self._table(_FINAL_ROWS))
        grid = Table.grid(padding=(0, 2))
        grid.add_column(style="bold", no_wrap=True)
        grid.add_column(overflow="fold")
        for title, text in summary(self._tally, now):
            grid.add_row(title, Text(text, style="red" if title == "Failed" else ""))
        self._console.print(grid)

    def _screen(self, now: float, rows: int) -> RenderableType:
        parts: list[RenderableType] = [self._bar(now), self._best()]
        failure = self._tally.last_failure
        if failure is not None:
            parts.append(
                Text(f"Failed  trial {failure[0]}: {failure[1]}", style="red", no_wrap=True, overflow="ellipsis")
            )
            rows -= 1
        return Group(*parts, Text(""), self._table(rows))

    def _bar(self, now: float) -> RenderableType:
        tally = self._tally
        counts = Text("  ").join(Text(f"{count:,} {name}", style=_COLOURS[name]) for name, count in tally.counts())
        left = tally.remaining_s(now)
        clock = duration(now - tally.began)
        if left is not None:
            clock += f", about {duration(left)} left"
        grid = Table.grid(padding=(0, 2))
        grid.add_column(no_wrap=True)
        if tally.total is None:
            grid.add_row(counts, Text(clock, style="dim"))
            return grid
        width = max(min(self._console.width - 60, 30), 8)
        done = Text(f"{tally.finished:,}/{tally.total:,}", style="bold")
        grid.add_row(ProgressBar(tally.total, tally.finished, width=width), done, counts, Text(clock, style="dim"))
        return grid

    def _best(self) -> Text:
        tally = self._tally
        if tally.objective is None:
            return Text("Trials by number; no metric was named", style="dim")
        if tally.best is None:
            return Text(f"Best    no {tally.objective.metric} yet", style="dim")
        trial = tally.experiment.trials[tally.best.trial]
        value = number(tally.value_of(tally.best), 6)
        text = Text.assemble(("Best    ", "bold"), f"{tally.objective.metric} ", (value, "bold green"))
        text.append(f"  trial {trial.number}  {configuration(trial.values)}")
        text.no_wrap, text.overflow = True, "ellipsis"
        return text

    def _table(self, limit: int) -> Table:
        tally = self._tally
        trials = tally.rows(limit)
        paths = self._columns(trials)
        table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="bold dim")
        table.add_column("trial", justify="right", no_wrap=True)
        table.add_column("state", min_width=8, no_wrap=True)
        if tally.objective is not None:
            table.add_column(tally.objective.metric, justify="right", min_width=8, no_wrap=True)
        table.add_column("iter", justify="right", no_wrap=True)
        table.add_column("time", justify="right", min_width=6, no_wrap=True)
        for path in paths:
            table.add_column(short_key(path), justify="right", no_wrap=True, overflow="ellipsis", max_width=_CELL)
        for trial in trials:
            table.add_row(*self._row(trial, paths))
        return table

    def _row(self, trial: TrialRecord, paths: list[str]) -> list[Text]:
        tally = self._tally
        word, style = _WORDS[trial.status]
        is_best = tally.best is not None and tally.best.trial == trial.number
        cells = [Text(str(trial.number), style="bold green" if is_best else ""), Text(word, style=style)]
        if tally.objective is not None:
            value = tally.score(trial.number)
            text = "" if value is None else number(value)
            cells.append(Text(text, style="bold green" if is_best else ""))
        cells.append(Text(str(trial.iteration)))
        cells.append(Text(duration(trial.time_total_s) if trial.iteration else "", style="dim"))
        cells += [Text(parameter(path, trial.values[path]) if path in trial.values else "") for path in paths]
        return cells

    def _columns(self, trials: list[TrialRecord]) -> list[str]:
        """Return the hyperparameters that there is room for."""
        seen: dict[str, int] = {}
        for trial in trials:
            for path, value in trial.values.items():
                width = max(len(parameter(path, value)), len(short_key(path)))
                seen[path] = max(seen.get(path, 0), min(width, _CELL))
        metric = 0 if self._tally.objective is None else max(len(self._tally.objective.metric), 8) + 2
        room = self._console.width - (7 + 10 + 6 + 12) - metric
        paths = []
        for path in sorted(seen):
            room -= seen[path] + 2
            if room < 0:
                break
            paths.append(path)
        return paths
