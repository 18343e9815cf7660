"""What must hold after every event, as code that the tests run and a doubting user may run too."""

from __future__ import annotations

from collections import Counter

from tunesmith.core.controller import Controller
from tunesmith.trial import Status


def violations(controller: Controller) -> list[str]:  # noqa: C901, PLR0912 - a check an invariant
    """Return a sentence for each invariant that does not hold; an empty list when all is well."""
    experiment = controller.experiment
    places = controller._places
    granted, pending, paused = places.granted, places.pending, places.paused
    found = []
    for trial in experiment.trials:
        number, status = trial.number, trial.status
        if (status.is_live and not trial.parked) != (number in granted):
            found.append(f"trial {number} is {status.value}, resources granted: {number in granted}")
        if (status is Status.PENDING) != (number in pending):
            found.append(f"trial {number} is {status.value}, waits for its turn: {number in pending}")
        if (status is Status.PAUSED) != (number in paused):
            found.append(f"trial {number} is {status.value}, counted as paused: {number in paused}")
        if trial.parked != (number in places.parked) or (
            trial.parked and status not in (Status.PAUSED, Status.STOPPING)
        ):
            found.append(
                f"trial {number} is {status.value}, parked: {trial.parked}, on the list: {number in places.parked}"
            )
        if (trial.held or trial.saving) and not status.is_live:
            found.append(
                f"trial {number} is {status.value} and waits for an answer of its worker, or its worker for one"
            )
        if trial.checkpoint is not None and trial.checkpoint.iteration > trial.iteration:
            found.append(f"trial {number} is at iteration {trial.iteration}, before its checkpoint {trial.checkpoint}")
        if trial.last is not None and trial.last.iteration > trial.iteration:
            found.append(f"trial {number} is at iteration {trial.iteration} and keeps a later report")
    if not places.resting.keys() <= set(pending):
        found.append(f"trials rest before they are tried again and do not wait: {sorted(places.resting)}")
    if len(pending) != len(set(pending)):
        found.append(f"a trial waits twice: {list(pending)}")
    counts = Counter(trial.status for trial in experiment.trials)
    if any(counts[status] != experiment.counts[status] for status in Status):
        found.append(f"the counts by state are wrong: {experiment.counts} instead of {counts}")
    used, total = places.pool.used(), places.pool.total
    cpus = sum(allocation.resources.cpu for allocation in granted.values())
    if abs(used.cpu - cpus) > 1e-6 or used.cpu > total.cpu + 1e-6:
        found.append(f"{used.cpu:g} CPUs are booked, {cpus:g} granted, {total.cpu:g} exist")
    limit = controller.limits.max_concurrent
    if limit is not None and len(granted) > limit:
        found.append(f"{len(granted)} trials run, {limit} are allowed")
    return found
