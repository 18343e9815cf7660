"""What a callback may see of a run."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from tunesmith.core.experiment import Experiment
from tunesmith.events import Event


class Callback:
    """A reader of the run's events. Subclass it and override what you need; every method does nothing by default.

    Callbacks run in the driver, after the replies to the workers, so a slow one never holds a report up. One that
    raises is reported once, is switched off, and never ends the run. None of them can change the run.

    `describe`, from `on_start` to `on_end`, returns what the scheduler says that it is doing: a line, or several.
    """

    describe: Callable[[], str] = staticmethod(str)

    def on_start(self, path: Path, experiment: Experiment, total: int | None) -> None:
        """Take note that the run begins or goes on.

        `path` is the experiment's folder, `total` the number of trials if it is known.
        """

    def on_resume(self, past: Iterable[Event]) -> None:
        """Read what happened before, if the run is not a new one; called once, after `on_start`.

        `past` reads the record from its beginning whenever it is iterated over; who does not want it pays nothing.
        """

    def on_events(self, events: Sequence[Event]) -> None:
        """Read events that were committed, several at a time; the experiment has folded them already."""

    def on_idle(self) -> None:
        """Use a quiet moment, a few times a second at most, to refresh a display."""

    def on_end(self) -> None:
        """Take note that the run has ended, well or not."""
