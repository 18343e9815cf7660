"""Why no trial is the best."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from math import inf

from tunesmith.errors import ArgumentError, TunesmithError, nearest
from tunesmith.objective import Objective
from tunesmith.results.trial import Trial


def counts(trials: Sequence[Trial]) -> str:
    """Return how many trials are where, in words."""
    found = Counter(trial.status for trial in trials)
    return f"{len(trials)} trials: " + (", ".join(f"{n} {status}" for status, n in found.items()) or "none")


def nothing_best(trials: Sequence[Trial], objective: Objective) -> TunesmithError:
    """Return the error that says why no trial is the best by `objective`."""
    names = {name for trial in trials if trial._record.last for name in trial._record.last.metrics}
    if names and objective.metric not in names:
        return ArgumentError(
            f"No trial has reported {objective.metric!r}; reported were: {', '.join(sorted(names))}."
            f"{nearest(objective.metric, names)}"
        )
    if objective.constraints and (nearest_miss := _nearest_miss(trials, objective)):
        return TunesmithError(nearest_miss)
    text = f"No trial has a finite {objective.metric!r}. {counts(trials)}."
    failed = [trial for trial in trials if trial.status == "ERROR"]
    if failed and failed[0].error:
        text += f" The first failure, of trial {failed[0].number}: {failed[0].error} (see {failed[0].path}/error.txt)"
    return TunesmithError(text)


def _nearest_miss(trials: Sequence[Trial], objective: Objective) -> str:
    """Say that no trial is within the constraints, and which one breaks them least."""
    merits = {trial.number: objective.merit(trial._standing_result()) for trial in trials if trial.confirms is None}
    known = {number: merit for number, merit in merits.items() if merit.violation < inf}
    if not known:
        return ""
    number = min(known, key=lambda number: (known[number].violation, number))
    result = trials[number].last_result or {}
    values = ", ".join(f"{bound.metric} {result.get(bound.metric)}" for bound in objective.constraints)
    return (
        f"No trial is within the constraints {objective.limits}: the nearest is trial {number}, with {values}."
        f" {counts(trials)}. Relax constraints=, or search on with a larger num_samples= and resume=True."
    )
