"""What is printed: status blocks and results, as in 2019."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

from tunesmith import events as e
from tunesmith.callbacks.protocol import Callback
from tunesmith.compat.ray.cluster import node_memory
from tunesmith.compat.ray.log import log
from tunesmith.compat.ray.resources import number
from tunesmith.compat.ray.result import pretty_print
from tunesmith.compat.ray.roster import Listener
from tunesmith.core.experiment import Experiment
from tunesmith.resources import Resources
from tunesmith.trial import Status

_STATUS_EVERY_S: Final = 5.0
_RESULT_EVERY_S: Final = 5.0
_TRIALS_SHOWN: Final = 20
_TRIALS_SHOWN_AT_END: Final = 99999
_GB: Final = 1e9


class Console(Callback, Listener):
    """Prints the status every five seconds at most, and results.

    Args:
        trials: the trials, a list that grows.
        logdir: the folder of the experiment, to be shown.
        whole: all that trials may use.
        verbose: 0 prints nothing but what the scheduler logs, 1 the status, 2 results too.
        clock: seconds of a monotonic clock.
    """

    def __init__(
        self,
        trials: Sequence[Any],
        logdir: str,
        whole: Resources,
        verbose: int,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._trials = trials
        self._whole = whole
        self._logdir = logdir
        self._verbose = verbose
        self._clock = clock
        self._last_status = -_STATUS_EVERY_S
        self._last_result: dict[int, float] = {}
        self._exploiting: set[int] = set()  # who goes on from another trial's state, in the same process if it can
        self._begun = False

    # -- when

    def on_start(self, path: Path, experiment: Experiment, total: int | None) -> None:
        """Show the first status."""
        self.show_status(_TRIALS_SHOWN_AT_END)

    def on_events(self, events: Sequence[e.Event]) -> None:
        """Tell what the scheduler logs and who ends; show the status when it is time."""
        for event in events:
            if isinstance(event, e.Cloned):
                self._exploiting.add(event.trial)
                for line in event.reason.splitlines():
                    log("INFO", line)
            elif isinstance(event, e.Paused) and event.trial in self._exploiting:
                self._exploiting.discard(event.trial)
            elif isinstance(event, (e.Stopped, e.Completed)) or (isinstance(event, e.Paused) and not event.parked):
                log(
                    "INFO",
                    f"Destroying actor for trial {self._trials[event.trial]}. If your trainable is slow to initialize, "
                    "consider setting reuse_actors=True to reduce actor creation overheads.",
                )
        if not self._begun:
            self._begun = any(isinstance(event, e.Placed) for event in events)
            if self._begun:
                self.show_status(_TRIALS_SHOWN)
        self.on_idle()

    def on_idle(self) -> None:
        """Show the status when it is time."""
        if self._begun and self._clock() - self._last_status > _STATUS_EVERY_S:
            self.show_status(_TRIALS_SHOWN)

    def on_end(self) -> None:
        """Show the last status."""
        self.show_status(_TRIALS_SHOWN_AT_END)

    def on_trial_result(self, trial: Any, result: dict[str, Any]) -> None:
        """Show a result, unless one of the trial was shown just now; the last one always."""
        now = self._clock()
        shown = self._last_result.get(trial.number)
        if self._verbose > 1 and (result["done"] or shown is None or now - shown > _RESULT_EVERY_S):
            self._last_result[trial.number] = now
            block = "\n".join("  " + line for line in pretty_print(result).split("\n"))
            print(f"Result for {trial}:\n{block}", flush=True)

    def on_trial_failure(self, trial: Any, text: str) -> None:
        """Tell of a failure."""
        log("ERROR", f"Error processing event. Trial {trial} has failed: {text}")

    def show_status(self, most: int) -> None:
        """Show how things are."""
        if self._verbose:
            self._last_status = self._clock()
            print("\n".join(self._status(most)), end="\n\n", flush=True)

    # -- what

    def _status(self, most: int) -> list[str]:
        lines = ["== Status ==", self.describe(), self._resources()]
        memory = node_memory()
        if memory is not None:
            used, whole = memory
            low = " ***LOW MEMORY***" if used / whole > 0.9 else ""
            lines.append(f"Memory usage on this node: {used / _GB:.1f}/{whole / _GB:.1f} GB{low}")
        if not self._trials:
            return lines
        lines.append(f"Result logdir: {self._logdir}")
        by_status: dict[str, list[Any]] = {}
        for trial in self._trials:
            by_status.setdefault(trial.status, []).append(trial)
        counts = {status: len(trials) for status, trials in by_status.items()}
        lines.append(f"Number of trials: {len(self._trials)} ({counts})")
        room = _share(most, counts)
        for status in sorted(by_status):
            trials = sorted(by_status[status], key=lambda trial: _natural(trial.experiment_tag))
            lines.append(f"{status} trials:")
            lines += _shortened([f" - {trial}:\t{trial.progress_string()}" for trial in trials], room[status])
        return lines

    def _resources(self) -> str:
        whole = self._whole
        running = [trial.resources for trial in self._trials if trial.status == Status.RUNNING.value]
        cpu = sum(resources.cpu_total() for resources in running)
        gpu = sum(resources.gpu_total() for resources in running)
        return f"Resources requested: {number(cpu)}/{number(whole.cpu)} CPUs, {number(gpu)}/{number(whole.gpu)} GPUs"


def _share(most: int, counts: dict[str, int]) -> dict[str, int]:
    """Return how many trials of each state are shown: the lines that small states leave go to the large ones."""
    room: dict[str, int] = {}
    left, waiting = most, sorted(counts, key=counts.__getitem__)
    while waiting:
        status = waiting.pop(0)
        room[status] = min(counts[status], left // (len(waiting) + 1))
        left -= room[status]
    return room


def _shortened(lines: list[str], most: int) -> list[str]:
    if len(lines) <= most:
        return lines
    half = most // 2
    return [*lines[:half], f"  ... {len(lines) - 2 * half} not shown", *lines[len(lines) - half :]]


def _natural(text: str) -> list[tuple[int, Any]]:
    return [(0, int(part)) if part.isdigit() else (1, part) for part in re.split(r"(\d+)", text)]
