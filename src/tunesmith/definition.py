"""What an experiment is, compared with what its user wants it to go on as."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from typing import Any

from tunesmith import events as e
from tunesmith.core.experiment import Experiment
from tunesmith.errors import ArgumentError
from tunesmith.evolution import space_changes
from tunesmith.objective import Objective, objective_of
from tunesmith.space import Space
from tunesmith.store.reading import EventReader
from tunesmith.worker.fingerprint import code_fingerprint, compiler, qualified_name

CHANGEABLE = (
    "trainable",
    "config",
    "metric",
    "mode",
    "constraints",
    "scheduler",
    "search_alg",
)  # names of run's arguments


def definition(trainable: Callable[..., Any], space: Space, scheduler: object, searcher: object) -> dict[str, Any]:
    """Return what is recorded of an experiment to recognise it by; plain values."""
    return {
        "qualname": qualified_name(trainable),
        "code": code_fingerprint(trainable),
        "compiler": compiler(),
        "space": space.describe(),
        "fingerprint": space.fingerprint(),
        "scheduler": type(scheduler).__name__,
        "search_alg": getattr(searcher, "title", type(searcher).__name__),
    }


def read_created(store: EventReader) -> e.Created | None:
    """Return how the experiment began, with all changes since that its user has accepted; None if it has not begun."""
    experiment = Experiment()
    for kind in (e.Created, e.Redefined):
        for _, event in store.read_kind(kind):
            experiment.apply(event)
    return experiment.created


def redefined(
    created: e.Created, now: dict[str, Any], objective: Objective | None, accepted: Collection[str]
) -> e.Redefined | None:
    """Return the fact that the experiment goes on as something else, None when it is the same.

    Raises:
        ArgumentError: something has changed that is not among the `accepted`, names of run's arguments.
    """
    before = objective_of(created.metric, created.mode, created.settings)
    changes = _changes(created, now)
    for name, was, wanted in _objectives(before, objective):
        if was != wanted:
            changes[name] = [f"{name} changed from {was!r} to {wanted!r}"]
    refused = [name for name in changes if name not in accepted]
    if refused:
        raise ArgumentError(_refusal(created.name, {name: changes[name] for name in refused}))
    same = all(created.settings.get(name, value) == value for name, value in now.items())
    if not changes and (same or now["compiler"] == created.settings.get("compiler")):
        return None
    metric, mode = (objective.metric, objective.mode) if objective else (None, None)
    settings = now
    if any(each is not None and (each.others or each.constraints) for each in (before, objective)):
        settings = now | (objective.settings() if objective else {"others": [], "constraints": []})
    return e.Redefined(settings, metric, mode, [line for lines in changes.values() for line in lines])


def _objectives(before: Objective | None, now: Objective | None) -> Iterator[tuple[str, Any, Any]]:
    """Yield by the name of run's argument what the objective was and is."""
    was, wanted = (_arguments(each) for each in (before, now))
    for name in ("metric", "mode", "constraints"):
        yield name, was.get(name), wanted.get(name)


def _arguments(objective: Objective | None) -> dict[str, Any]:
    if objective is None:
        return {}
    limits = {bound.metric: f"{bound.relation} {bound.bound:g}" for bound in objective.constraints}
    modes = [goal.mode for goal in objective.goals]
    if not objective.others:
        return {"metric": objective.metric, "mode": objective.mode, "constraints": limits or None}
    return {"metric": list(objective.metrics), "mode": modes, "constraints": limits or None}


def _changes(created: e.Created, now: dict[str, Any]) -> dict[str, list[str]]:
    """Return by the name of run's argument what has changed. What was not recorded is not known to have changed."""
    before = {**now, **created.settings}
    found: dict[str, list[str]] = {}
    if before["qualname"] != now["qualname"]:
        found["trainable"] = [f"the trainable was {before['qualname']}, and is {now['qualname']}"]
    elif before["code"] != now["code"] and before["compiler"] == now["compiler"]:
        found["trainable"] = [f"the code of {now['qualname']} has changed (what it calls is not compared)"]
    if before["fingerprint"] != now["fingerprint"]:
        found["config"] = space_changes(before["space"], now["space"])
    for name in ("scheduler", "search_alg"):
        if before[name] != now[name]:
            found[name] = [f"the {name} was {before[name]}, and is {now[name]}"]
    return found


def _refusal(name: str, changes: dict[str, list[str]]) -> str:
    lines = "\n".join(f"  {argument}=: {line}" for argument, lines in changes.items() for line in lines)
    names = list(changes)
    return (
        f"The experiment {name!r} was begun as something else:\n{lines}\n"
        f"If you mean it, go on with accept_changes={names!r}: trials that exist keep their values. Otherwise resume"
        " it as it was, or start a new one with another name=."
    )
