"""The last words: what won, what failed, where to look and how to go on."""

from __future__ import annotations

from math import inf, isfinite
from statistics import fmean, stdev
from typing import Any

from tunesmith.console.tally import Tally
from tunesmith.console.words import clean, configuration, counted, cropped, duration, number
from tunesmith.objective import Objective
from tunesmith.trial import Status

TITLE = 8  # columns of a line's title
_FAILURES_SHOWN = 3
_FRONT_SHOWN = 5
_LONGEST_CONFIGURATION = 1000


def summary(tally: Tally, now: float) -> list[tuple[str, str]]:
    """Return the summary as pairs of a short title and a text."""
    experiment = tally.experiment
    lines = _best(tally)
    counts = tally.counts()
    text = ", ".join(f"{count:,} {name}" for name, count in counts)
    lines.append(("Trials", f"{text or 'none'}, in {duration(now - tally.began)}"))
    said = tally.describe().splitlines()
    if said:
        lines.append(("Policy", clean(said[0])))
    lines += _failures(tally)
    if experiment.search_failure is not None:
        lines.append(("Search", f"the searcher failed: {clean(experiment.search_failure.message)}"))
    elif experiment.exhausted is not None and experiment.exhausted.reason:
        lines.append(("Search", clean(experiment.exhausted.reason)))
    if experiment.stop is not None:
        lines.append(("Ended", clean(experiment.stop.reason)))
    lines.append(("Folder", tally.place))
    if any(name in ("waiting", "paused", "running") for name, _ in counts):
        lines.append(("Go on", f'the same call with name="{tally.path.name}", resume=True'))
    return lines


def best_line(tally: Tally) -> tuple[str, str]:
    """Return the best value so far, empty while there is none, and what else is to be said of it."""
    best, objective = tally.best, tally.objective
    if objective is None:
        return "", "no metric was named, so no trial is better than another"
    if tally.front:
        return "", f"{counted(len(tally.front), 'trial')} in the front: {_ranges(tally, objective)}"
    if best is None:
        within = f" within {clean(objective.limits)}" if objective.constraints else ""
        return "", f"no {clean(' and '.join(objective.metrics))}{within} yet"
    trial = tally.experiment.trials[best.trial]
    return number(best.metrics[objective.metric], 6), f"trial {trial.number}  {configuration(trial.values)}"


def ending(tally: Tally) -> str:
    """Return what a run is waiting for that is to end; empty when it is not."""
    stop = tally.experiment.stop
    running = dict(tally.counts()).get("running", 0)
    if stop is None or not running:
        return ""
    what = "saving" if stop.resumable else "stopping"
    again = ". Ctrl-C again leaves at once; what was reported is safe" if stop.resumable else ""
    return f"{clean(stop.reason)}: {what} {counted(running, 'trial')} at the next report{again}"


def _best(tally: Tally) -> list[tuple[str, str]]:
    objective, best = tally.objective, tally.best
    if objective is None:
        return []
    broken: list[tuple[str, str]] = []
    if tally.broken:
        broken = [("Limits", f"{counted(len(tally.broken), 'trial')} not within {clean(objective.limits)}")]
    metric = clean(objective.metric)
    if objective.others:
        return [*_front(tally, objective), *broken]
    if best is None and broken:
        return [("Best", f"no trial has a finite {metric} within {clean(objective.limits)}"), *broken]
    if best is None:
        values = [tally.value(trial) for trial in tally.rows(1)]
        said = f" (the last one is {number(values[0])})" if values and _is_not_finite(values[0]) else ""
        return [("Best", f"no trial has reported a finite {metric}{said}")]
    trial = tally.experiment.trials[best.trial]
    value = number(best.metrics[objective.metric], 6)
    lines = [("Best", f"{metric} {value}, trial {trial.number}, iteration {best.iteration}")]
    if trial.values:
        lines.append(("", cropped(configuration(trial.values), _LONGEST_CONFIGURATION)))
    return [*lines, *_confirmed(tally, objective), *broken]


def _confirmed(tally: Tally, objective: Objective) -> list[tuple[str, str]]:
    """Return what came of it when the best were run again, those with the best means first."""
    told: list[tuple[float, str]] = []
    for trial, scores in tally.confirmed.items():
        found = [score for score in scores.values() if isfinite(score)]
        first = number(tally.value(tally.experiment.trials[trial]), 5)
        if not found:
            told.append((-inf, f"trial {trial}: {first} at first, and none of {counted(len(scores), 'repeat')} finite"))
            continue
        mean = fmean(found)
        spread = f" ± {number(stdev(found), 2)}" if len(found) > 1 else ""
        value = number(mean if objective.mode == "max" else -mean, 5)
        told.append((mean, f"trial {trial}: {first} at first, {value}{spread} in {counted(len(found), 'repeat')}"))
    told.sort(key=lambda each: -each[0])
    return [("Again" if i == 0 else "", text) for i, (_, text) in enumerate(told)]


def _front(tally: Tally, objective: Objective) -> list[tuple[str, str]]:
    front, metrics = tally.front, clean(" and ".join(objective.metrics))
    if not front:
        within = f" within {clean(objective.limits)}" if objective.constraints else ""
        return [("Front", f"no trial has reported finite values of {metrics}{within}")]
    lines = [("Front", f"{counted(len(front), 'trial')}, none better than another in all of {metrics}")]
    for number_ in front[:_FRONT_SHOWN]:
        trial = tally.experiment.trials[number_]
        values = ", ".join(f"{clean(name)} {number(tally.value(trial, name), 5)}" for name in objective.metrics)
        lines.append(("", cropped(f"trial {number_}: {values}  {configuration(trial.values)}", _LONGEST_CONFIGURATION)))
    if len(front) > _FRONT_SHOWN:
        lines.append(("", f"and {counted(len(front) - _FRONT_SHOWN, 'more trial')}; all are in results.pareto_front"))
    return lines


def _ranges(tally: Tally, objective: Objective) -> str:
    """Return from where to where the values of the front go."""
    trials = [tally.experiment.trials[each] for each in tally.front]
    parts = []
    for name in objective.metrics:
        values = [tally.value(trial, name) for trial in trials]
        parts.append(f"{clean(name)} {number(min(values), 4)} to {number(max(values), 4)}")
    return ", ".join(parts)


def _is_not_finite(value: Any) -> bool:
    return isinstance(value, float) and not isfinite(value)


def _failures(tally: Tally) -> list[tuple[str, str]]:
    lines: list[tuple[str, str]] = []
    title = "Failed" if tally.experiment.counts[Status.ERROR] else "Retried"
    for message, count in tally.failures.most_common(_FAILURES_SHOWN):
        first = tally.first_failed[message]
        where = tally.path / tally.experiment.trials[first].folder / "error.txt"
        times = "" if count == 1 else f"{count:,} times, first in "
        lines.append(("" if lines else title, f"{times}trial {first}: {message}"))
        lines.append(("", f"traceback in {where}"))
    others = len(tally.failures) - _FAILURES_SHOWN
    if others > 0:
        lines.append(("", f"and {counted(others, 'other message')}, in the trials' own error.txt"))
    return lines
