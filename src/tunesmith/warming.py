"""Starts an experiment warm: with what an older one has found."""

from __future__ import annotations

import os
from math import inf
from pathlib import Path
from typing import Any

import msgspec

from tunesmith import codec
from tunesmith.errors import ArgumentError
from tunesmith.evolution import fitting
from tunesmith.objective import Objective
from tunesmith.pareto import Merit, best_first
from tunesmith.results import Results, Trial, load
from tunesmith.searchers.protocol import Observation, Past, Searcher
from tunesmith.space import Space


class WarmStart(msgspec.Struct, frozen=True):
    """The experiment to learn from: its folder, URL or `Results`; the `best` of its configurations are tried first.

    >>> WarmStart("~/tunesmith/first", best=3).best
    3
    """

    source: str | Path | Results
    best: int = 5

    def __post_init__(self) -> None:
        if not isinstance(self.source, (str, os.PathLike, Results)):
            raise ArgumentError(f"warm_start needs an experiment's folder or its Results, got {self.source!r}.")
        if isinstance(self.best, bool) or not isinstance(self.best, int) or self.best < 0:
            raise ArgumentError(f"WarmStart(best=) must be a whole number, 0 or more; got {self.best!r}.")


def as_warm_start(given: Any) -> WarmStart | None:
    """Return what a user passes as ``warm_start=``: a folder, `Results`, or a `WarmStart`."""
    return given if given is None or isinstance(given, WarmStart) else WarmStart(given)


def read_past(warm_start: WarmStart, space: Space, objective: Objective | None) -> dict[str, Any]:
    """Return, in plain values to be recorded, the observations of the older experiment that lie in `space`.

    Each trial counts with its best value by `objective`; where there are several metrics or constraints, with its last
    result. Nothing is unpickled: objects in a configuration are left
    open. A configuration is left out when one of its values is outside of the space.

    Raises:
        ArgumentError: there is no objective to tell what is good.
        StorageError: there is no such experiment.
    """
    if objective is None:
        raise ArgumentError("warm_start= needs to know what is good: give metric= and mode= to run().")
    source = warm_start.source
    results = source.refresh() if isinstance(source, Results) else load(source)
    composite = bool(objective.others or objective.constraints)
    found: list[tuple[Merit, dict[str, Any], dict[str, float]]] = []
    for trial in results:
        if trial.confirms is not None:
            continue
        metrics = _last_metrics(trial, objective) if composite else {}
        merit = objective.merit(metrics) if composite else Merit(0.0, (results.score_of(trial, objective),))
        record = trial._record
        values = {path: codec.from_plain(value) for path, value in {**record.values, **record.overrides}.items()}
        inside = fitting(space, record.space, values) if merit.scores[0] > -inf and merit.violation < inf else None
        if inside is not None:
            found.append((merit, inside, metrics))
    return {
        "from": results.name,
        "best": warm_start.best,
        "observations": [
            _observation(objective, *found[index]) for index in best_first([merit for merit, _, _ in found])
        ],
    }


def _last_metrics(trial: Trial, objective: Objective) -> dict[str, float]:
    """Return what a trial has reported last of all that is to be optimised and must hold; nothing if it failed."""
    names = {*objective.metrics, *(bound.metric for bound in objective.constraints)}
    result = (trial.last_result or {}) if trial.status != "ERROR" else {}
    return {name: float(result[name]) for name in sorted(names) if isinstance(result.get(name), (int, float))}


def _observation(objective: Objective, merit: Merit, values: dict[str, Any], metrics: dict[str, float]) -> Any:
    value = merit.scores[0] if objective.mode == "max" else -merit.scores[0]
    found = {"values": codec.to_plain(values), "value": value}
    return found | {"metrics": metrics} if metrics else found


def teach(searcher: Searcher, past: dict[str, Any]) -> None:
    """Give a searcher what `read_past` has recorded.

    Raises:
        ArgumentError: it can't learn from an older experiment.
    """
    learn = getattr(searcher, "learn", None)
    if learn is None:
        raise ArgumentError(f"{type(searcher).__name__} has no learn() and can't be started warm. Drop warm_start=.")
    observations = tuple(_learnt(each) for each in past["observations"])
    learn(Past(observations, past["best"]))


def _learnt(each: dict[str, Any]) -> Observation:
    return Observation(codec.from_plain(each["values"]), each["value"], each.get("metrics", {}))
