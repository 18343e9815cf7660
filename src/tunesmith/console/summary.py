"""The last words: what won, what failed and where to look."""

from __future__ import annotations

from pathlib import Path

from tunesmith.console.tally import Tally
from tunesmith.console.words import configuration, counted, duration, number

_FAILURES_SHOWN = 3


def summary(tally: Tally, now: float) -> list[tuple[str, str]]:
    """Return the summary as pairs of a short title and a text."""
    lines: list[tuple[str, str]] = []
    experiment, objective = tally.experiment, tally.objective
    if tally.best is not None and objective is not None:
        trial = experiment.trials[tally.best.trial]
        value = number(tally.value_of(tally.best), 6)
        lines.append(("Best", f"{objective.metric} {value}, trial {trial.number}, iteration {tally.best.iteration}"))
        if trial.values:
            lines.append(("", configuration(trial.values)))
    elif objective is not None:
        lines.append(("Best", f"no trial has reported a finite {objective.metric}"))
    counts = ", ".join(f"{count:,} {name}" for name, count in tally.counts())
    lines.append(("Trials", f"{counts or 'none'}, in {duration(now - tally.began)}"))
    lines += _failures(tally)
    if experiment.search_failure is not None:
        lines.append(("Search", f"the searcher failed: {experiment.search_failure.message}"))
    if experiment.stop is not None:
        lines.append(("Ended", experiment.stop.reason))
    lines.append(("Folder", str(tally.path)))
    left = any(name in ("waiting", "paused", "running") for name, _ in tally.counts())
    if left and experiment.stop is not None:
        lines.append(("Go on", f'the same call with name="{tally.path.name}", resume=True'))
    return lines


def _failures(tally: Tally) -> list[tuple[str, str]]:
    lines: list[tuple[str, str]] = []
    for message, count in tally.failures.most_common(_FAILURES_SHOWN):
        first = tally.first_failed[message]
        where = Path(tally.experiment.trials[first].folder) / "error.txt"
        times = "" if count == 1 else f"{count:,} times, first in "
        lines.append(("Failed" if not lines else "", f"{times}trial {first}: {message}"))
        lines.append(("", f"traceback in {where}"))
    others = len(tally.failures) - _FAILURES_SHOWN
    if others > 0:
        lines.append(("", f"and {counted(others, 'other message')}"))
    return lines
