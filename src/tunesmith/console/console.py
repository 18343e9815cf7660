"""The callback that shows a run: a live table on a terminal, plain lines elsewhere."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from tunesmith import events as e
from tunesmith.callbacks.protocol import Callback
from tunesmith.console.summary import TITLE, ending, summary
from tunesmith.console.tally import Tally
from tunesmith.console.words import clean, configuration, counted, duration, first_line, number
from tunesmith.core.experiment import Experiment, TrialRecord
from tunesmith.errors import TunesmithError
from tunesmith.objective import Objective
from tunesmith.store.database import DATABASE
from tunesmith.store.reading import EventReader
from tunesmith.trial import Status

if TYPE_CHECKING:
    from tunesmith.console.live import LiveTable

_REFRESH_S = 0.25
_LONGEST_REFRESH_S = 2.0
_SHARE = 0.01  # of the run's time that drawing may take on a slow terminal
_FIRST_LINE_S = 5.0
_LONGEST_PAUSE_S = 120.0
_TRIAL_PAUSE_S = 5.0
_AFTERWARDS = {Status.TERMINATED: "its end after it was stopped", Status.PENDING: "failed, will be tried again"}


class Console(Callback):
    """Shows a run on `stream`.

    `verbose` 1 is a live table, or on no terminal a line now and then, and a summary; 2 also says what became of
    each trial and why. `clock` gives seconds since the epoch, `describe` what the scheduler is doing, in a few lines.
    `place` says where the experiment is, if that is not only in its folder. `size` fixes columns and lines, for tests.
    """

    def __init__(
        self,
        objective: Objective | None,
        verbose: int,
        stream: TextIO,
        clock: Callable[[], float],
        *,
        describe: Callable[[], str] | None = None,
        place: str = "",
        is_terminal: bool | None = None,
        size: tuple[int, int] | None = None,
    ) -> None:
        self._tally = Tally(objective)
        self._tally.describe = describe or self._tally.describe
        self._place = place
        self._verbose = verbose
        self._stream = stream
        self._clock = clock
        self._is_terminal = _is_terminal(stream) if is_terminal is None else is_terminal
        self._size = size
        self._live: LiveTable | None = None
        self._started = False
        self._next = 0.0
        self._pause = _FIRST_LINE_S
        self._unsaid: list[str] = []
        self._said: dict[int, float] = {}
        self._said_ending = self._said_loss = self._said_damage = False
        self._shown_best: e.Reported | None = None

    def on_start(self, path: Path, experiment: Experiment, total: int | None) -> None:
        """Open the table, or say what begins."""
        if not self._verbose:
            return
        now = self._clock()
        self._tally.place = self._place or str(path)
        self._tally.start(path, experiment, total, now, _history(path) if experiment.trials else ())
        self._started = True
        self._next = now + (_REFRESH_S if self._is_terminal else _FIRST_LINE_S)
        if not self._is_terminal:
            trials = counted(total, "trial") if total is not None else "trials without end"
            before = f", {self._tally.finished:,} of them ended before" if self._tally.finished else ""
            self._print([f"Tuning {path.name}: {trials}{before}, in {self._tally.place}"])

    def on_events(self, events: Sequence[e.Event]) -> None:
        """Fold, and show what is due."""
        if not self._verbose:
            return
        self._tally.add(events)
        if self._tally.experiment.stop is not None and not self._said_ending:
            self._ending()
        for event in events:
            if isinstance(event, (e.Paused, e.Released)):
                self._tell_of_loss(event)
            elif isinstance(event, e.QuotaExceeded):
                self._tell_of_quota(event)
            elif isinstance(event, e.Damaged) and self._verbose == 1 and not self._said_damage:
                self._said_damage = True
                self._unsaid.append(
                    f"trial {event.trial} {clean(self._damage(event))} (what else is damaged is not said here, but is "
                    "in trial.decisions)."
                )
            if self._verbose > 1:
                self._tell(event)
        self._refresh()

    def on_idle(self) -> None:
        """Show what is due."""
        if self._verbose:
            self._refresh()

    def on_end(self) -> None:
        """Close the table and print the summary."""
        if not self._started:
            return
        self._started = False
        if self._is_terminal:
            self._draw(lambda table: self._flush(table).finish(self._clock()))
            return
        lines = summary(self._tally, self._clock())
        self._print([*self._unsaid, *(f"{title + ':' if title else '':<{TITLE + 1}}{text}" for title, text in lines)])

    def _ending(self) -> None:
        """Say at once what the run waits for."""
        self._said_ending = True
        if self._is_terminal:
            self._next = 0.0
        elif text := ending(self._tally):
            self._print([text])

    def _refresh(self) -> None:
        now = self._clock()
        if self._is_terminal:
            if now >= self._next:
                self._draw(lambda table: self._show(table, now))
            return
        lines, self._unsaid = self._unsaid, []
        if now >= self._next:
            self._next = now + self._pause
            self._pause = min(self._pause * 1.5, _LONGEST_PAUSE_S)
            lines.append(self._progress(now))
        if lines:
            self._print(lines)

    def _draw(self, draw: Callable[[LiveTable], None]) -> None:
        """Draw with the table; should that fail, leave the terminal and sys.stdout as they were."""
        if self._live is None:
            from tunesmith.console.live import LiveTable

            self._live = LiveTable(self._tally, self._stream, self._size)
        try:
            draw(self._live)
        except BaseException:
            self._live.abandon()
            self._started = False
            raise

    def _show(self, table: LiveTable, now: float) -> None:
        before = self._clock()
        self._flush(table).show(now)
        after = self._clock()
        self._next = after + min(max(_REFRESH_S, (after - before) / _SHARE), _LONGEST_REFRESH_S)

    def _flush(self, table: LiveTable) -> LiveTable:
        if self._unsaid:
            table.print(self._unsaid)
            self._unsaid = []
        return table

    def _progress(self, now: float) -> str:
        tally, best, objective = self._tally, self._tally.best, self._tally.objective
        total = f"/{tally.total:,}" if tally.total is not None else ""
        text = f"[{duration(now - tally.began)}] {tally.finished:,}{total} trials ended"
        text += "".join(f", {count:,} {name}" for name, count in tally.counts() if name in ("running", "failed"))
        left = tally.remaining_s(now)
        if left is not None:
            text += f", about {duration(left)} left"
        if best is not None and objective is not None:
            trial = tally.experiment.trials[best.trial]
            text += f"; best {clean(objective.metric)} {number(best.metrics[objective.metric], 6)} (trial {best.trial}"
            if best is not self._shown_best and trial.values:
                text += f": {configuration(trial.values)}"
            self._shown_best = best
            text += ")"
        elif tally.front:
            text += f"; {counted(len(tally.front), 'trial')} in the front"
        return text

    def _tell_of_loss(self, event: e.Paused | e.Released) -> None:
        """Say, once, that a paused trial could not keep its state."""
        experiment = self._tally.experiment
        trial = experiment.trials[event.trial]
        if self._said_loss or experiment.stop is not None:
            return
        if trial.status is not Status.PAUSED or trial.parked or trial.given_up:
            return
        kept = event.checkpoint.iteration if event.checkpoint else 0
        last = trial.last.iteration if trial.last else trial.iteration
        if kept >= max(last, trial.iteration):
            return
        self._said_loss = True
        again = f"from its checkpoint at iteration {kept}" if kept else "from the beginning"
        self._unsaid.append(
            f"trial {trial.number} was paused at iteration {last} and could not keep its state: it will start again "
            f"{again} (others may too; this is said once). Report checkpoints, or let more paused trials stay in "
            "memory: executor=tune.LocalExecutor(park=...)."
        )

    def _tell_of_quota(self, event: e.QuotaExceeded) -> None:
        self._unsaid.append(
            f"The checkpoints that trials may still need have {event.size:,} bytes, more than checkpoint_quota_bytes="
            f"{event.quota:,}. They stay; all others are deleted."
        )

    def _damage(self, event: e.Damaged) -> str:
        """Say from where a trial goes on whose checkpoint is damaged."""
        trial = self._tally.experiment.trials[event.trial]
        before = trial.checkpoint
        from_where = f"its checkpoint at iteration {before.iteration}" if before is not None else "the beginning"
        return f"goes back to {from_where}: {event.reason}"

    def _tell(self, event: e.Event) -> None:
        """Say what became of a trial; of reports one in a while."""
        if not isinstance(event, e.TrialEvent):
            return
        trial = self._tally.experiment.trials[event.trial]
        text = self._story(event, trial)
        if text:
            self._unsaid.append(f"trial {trial.number}: {clean(text)}")
        if trial.status.is_final:
            self._said.pop(trial.number, None)

    def _story(self, event: e.TrialEvent, trial: TrialRecord) -> str:
        match event:
            case e.Judged():
                return f"{event.action}: {event.reason}"
            case e.Cloned():
                return f"goes on from trial {event.donor}: {event.reason}"
            case e.Changed():
                return f"goes on changed: {event.reason}"
            case e.Damaged():
                return self._damage(event)
            case e.Completed():
                return f"ended by itself after {counted(trial.iteration, 'iteration')}"
            case e.Failed() | e.Lost():
                return f"{_AFTERWARDS.get(trial.status, 'failed')}: {first_line(event.failure.message)}"
            case e.Reported() if not self._is_terminal:
                now = self._clock()
                if now - self._said.get(trial.number, -_TRIAL_PAUSE_S) >= _TRIAL_PAUSE_S:
                    self._said[trial.number] = now
                    shown = ", ".join(f"{name}={number(value)}" for name, value in event.metrics.items())
                    return f"iteration {event.iteration}: {shown}"
        return ""

    def _print(self, lines: Sequence[str]) -> None:
        text = "\n".join(lines)
        encoding = getattr(self._stream, "encoding", None) or "utf-8"
        print(text.encode(encoding, "replace").decode(encoding), file=self._stream, flush=True)


def _history(path: Path) -> Iterator[e.Event]:
    """Yield what earlier sessions recorded: the experiment itself remembers no report but the last of each trial."""
    try:
        with EventReader.open_to_read(path / DATABASE) as store:
            for _, event in store.read():
                yield event
    except TunesmithError:
        return  # the run itself says what is wrong with its store


def _is_terminal(stream: TextIO) -> bool:
    if os.environ.get("TERM", "") in ("dumb", "unknown") or "ipykernel" in sys.modules:
        return False
    encoding = (getattr(stream, "encoding", None) or "").lower().replace("-", "")
    return stream.isatty() and encoding == "utf8"
