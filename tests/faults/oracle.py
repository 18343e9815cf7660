"""Says what is wrong with the record of an experiment that was killed and resumed: nothing may be."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from math import isclose
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

import tunesmith as tune
from tests.faults.experiment import NAME, checkpoints
from tests.faults.plan import SPACE, Settings
from tests.faults.trainables import Journal, Line, State, follow, loss
from tunesmith import commands as c
from tunesmith import events as e
from tunesmith.core.controller import Controller
from tunesmith.core.invariants import violations
from tunesmith.core.limits import Limits
from tunesmith.core.retention import Keep
from tunesmith.errors import StorageError
from tunesmith.objective import Objective
from tunesmith.resources import Resources
from tunesmith.searchers.variants import VariantSearcher
from tunesmith.space import Space
from tunesmith.store.database import DATABASE
from tunesmith.store.reading import EventReader
from tunesmith.trial import CheckpointRef
from tunesmith.worker.checkpoint import CheckpointShelf

Log = Sequence[e.Event]
MEASURED = frozenset({"timestamp", "time_this_iter_s", "time_total_s", "time_since_restore"})


class Found(msgspec.Struct):
    """What a check has looked at, and the sentences that say what is wrong."""

    acknowledged: int = 0
    reports: int = 0
    redone: int = 0
    decisions: int = 0
    resumes: int = 0
    checkpoints: int = 0
    left_over: int = 0
    wrong: list[str] = []


def examine(place: Path, settings: Settings, log: Log, kills: int) -> Found:
    """Check a finished experiment. `kills` is how many workers may have been lost to faults."""
    found = Found(reports=sum(isinstance(event, e.Reported) for event in log))
    journal = Journal(str(place / "journal")).read()
    wrong = found.wrong
    wrong += check_acknowledged(journal, log, found)
    wrong += check_work(log, found)
    wrong += check_losses(log, kills)
    wrong += check_trials(settings, log)
    wrong += check_decisions(settings, log, found)
    wrong += check_history(place, settings, log)
    wrong += check_checkpoints(place, settings, log, found)
    wrong += check_copy(place, settings, log)
    return found


# -- what was acknowledged


def check_acknowledged(journal: Sequence[Line], log: Log, found: Found) -> Iterator[str]:
    """Every report that has returned is recorded with its value, and nothing is that no worker has reported."""
    pids: dict[tuple[int, int], int] = {}
    recorded: Counter[tuple[int, int, int, int]] = Counter()
    for event in log:
        if isinstance(event, e.Started):
            pids[event.trial, event.incarnation] = event.pid
        elif isinstance(event, e.Reported):
            pid = pids[event.trial, event.incarnation]
            recorded[event.trial, pid, event.iteration, event.metrics["chain"]] += 1
    begun = Counter(line[1:] for line in journal if line.what == "before")
    returned = Counter(line[1:] for line in journal if line.what == "after")
    found.acknowledged = returned.total()
    for line, times in returned.items():
        if recorded[line] < times:
            yield f"trial {line[0]} (process {line[1]}) was told that its report {line[2]} is safe; it is not recorded"
    for line, times in recorded.items():
        if begun[line] < times:
            yield f"report {line[2]} of trial {line[0]} is recorded {times} and was made {begun[line]} times"
    for line in journal:
        if line.what == "torn":
            yield f"trial {line.trial} was given a checkpoint that is not whole"


# -- what was done


class Progress(NamedTuple):
    """Where a trial's present worker is: its state, the seconds it has behind it, and the step that it began after."""

    state: State = State()
    total_s: float = 0.0
    begun: int = 0


def check_work(log: Log, found: Found) -> Iterator[str]:
    """Each report is the one that must follow from where its worker began: no step lost, doubled or with other values.

    A trial begins anew from the state in the checkpoint that it was placed with, and goes on in memory when it was
    parked.
    """
    configs: dict[int, dict[str, Any]] = {}
    workers: dict[int, Progress] = {}
    saved: dict[str, Progress] = {}  # by the checkpoint's path
    done: dict[int, int] = {}  # how far the trial has ever been with its configuration
    for event in log:
        if isinstance(event, e.Suggested):
            configs[event.trial] = event.values
        elif isinstance(event, (e.Cloned, e.Changed)):
            values = event.values if isinstance(event, e.Cloned) else configs[event.trial]
            configs[event.trial] = {**values, **(event.overrides or {})}
            done[event.trial] = 0
        elif isinstance(event, e.Placed) and not event.parked:
            workers[event.trial] = Progress() if event.checkpoint is None else saved[event.checkpoint.path]
        elif isinstance(event, e.Reported):
            before = workers[event.trial]
            yield from _check_step(event, before, configs[event.trial])
            step = before.state.step + 1
            workers[event.trial] = Progress(State(step, event.metrics["chain"]), event.time_total_s, before.begun)
            found.redone += step <= done.get(event.trial, 0)
            done[event.trial] = max(step, done.get(event.trial, 0))
        reference = made(event)
        if reference is not None and reference.path not in saved:  # a pause names the last one, which may be known
            state, total_s, _ = workers[event.trial]  # type: ignore[attr-defined]  # a checkpoint is a trial's
            saved[reference.path] = Progress(state, total_s, state.step)
            if state.step != reference.iteration or not isclose(total_s, reference.time_total_s):
                yield f"the checkpoint {reference.path} is {reference}, its trial was at {state} after {total_s} s"


def _check_step(report: e.Reported, before: Progress, config: dict[str, Any]) -> Iterator[str]:
    step, name = before.state.step + 1, f"report {report.iteration} of trial {report.trial}"
    expected = {"loss": loss(config, step), "chain": follow(before.state.chain, config, step)}
    if report.iteration != step:
        yield f"{name} comes where {step} is next"
    elif report.metrics != {**report.metrics, **expected}:
        yield f"{name} has other values than its configuration and past give"
    if report.iterations_since_restore != step - before.begun:
        yield f"{name} is said to be number {report.iterations_since_restore} of a worker that began at {before.begun}"
    if not isclose(report.time_total_s, before.total_s + report.time_this_iter_s, abs_tol=1e-6):
        yield f"{name} took {report.time_this_iter_s} s after {before.total_s} s, {report.time_total_s} s in all"


def made(event: e.Event) -> CheckpointRef | None:
    """Return the checkpoint that a worker tells of in `event`, if it does."""
    return None if isinstance(event, (e.Placed, e.Cloned)) else getattr(event, "checkpoint", None)


def check_losses(log: Log, kills: int) -> Iterator[str]:
    """Nothing fails by itself, and no worker is lost but by a fault."""
    for event in log:
        if isinstance(event, e.Failed):
            yield f"trial {event.trial} failed: {event.failure.message} {event.failure.traceback}"
    lost = [event for event in log if isinstance(event, e.Lost) and event.failure.kind != "parked"]
    if len(lost) > kills:
        yield f"{len(lost)} workers were lost, {kills} at most were killed: {lost[-1].failure.message}"


def check_trials(settings: Settings, log: Log) -> Iterator[str]:
    """There are as many trials as were asked for, each once, with the configurations that the seed gives."""
    suggested = [event for event in log if isinstance(event, e.Suggested)]
    searcher = VariantSearcher()
    searcher.setup(Space(SPACE), Objective("loss", "min"), settings.seed, settings.trials)
    expected = searcher.ask(0, settings.trials)
    if [event.trial for event in suggested] != list(range(settings.trials)):
        yield f"the trials are {[event.trial for event in suggested]}, {settings.trials} were asked for"
    elif [event.values for event in suggested] != expected:
        yield "the configurations are not those that the seed gives"


# -- what was decided


def check_decisions(settings: Settings, log: Log, found: Found) -> Iterator[str]:
    """Whoever is fed with the record decides as it was decided, and a resumed driver knows what the one before knew.

    The record is causes, each followed by the decisions that it led to. A twin of the controller is given the causes
    and has to give the decisions; at each resume a second one, which only replays, takes its place.
    """
    twin = make_controller(settings)
    expected: list[e.Event] = []
    for at, event in enumerate(log):
        if expected:
            found.decisions += 1
            if (wanted := expected.pop(0)) != event:
                yield f"event {at + 1} is {event!r}, and the twin decides {wanted!r}"
                return
            continue
        if isinstance(event, e.SessionOpened) and at > 1:
            found.resumes += 1
            replayed = _replay(settings, log[:at])
            if state(replayed) != state(twin):
                yield f"before event {at + 1} a replay leads to another state:\n{state(replayed)}\n{state(twin)}"
            twin = replayed
        orders = twin.step(event)
        expected = [order.event for order in orders if isinstance(order, c.Record)]
        yield from (f"after event {at + 1}: {sentence}" for sentence in violations(twin))
    if expected:
        yield f"the record ends before the decisions {expected!r}"
    if state(_replay(settings, log)) != state(twin):
        yield "a replay of the whole record leads to another state than the run"
    yield from (
        f"trial {trial.number} is {trial.status.value} at the end: {trial.reason} {trial.failure}"
        for trial in twin.experiment.trials
        if trial.status.value != "TERMINATED"
    )


def make_controller(settings: Settings) -> Controller:
    """Return a controller as the experiment's own is made."""
    objective, arguments = Objective("loss", "min"), settings.arguments()
    scheduler = arguments["scheduler"]
    scheduler.setup(objective, settings.seed)
    limits = Limits(
        max_trials=settings.trials,
        max_concurrent=settings.workers,
        keep_checkpoints=Keep(settings.keep),
    )
    return Controller(
        objective=objective,
        scheduler=scheduler,
        limits=limits,
        configure=lambda values, overrides: {**values, **overrides},
        resources=Resources(),
    )


def _replay(settings: Settings, log: Log) -> Controller:
    controller = make_controller(settings)
    for event in log:
        controller.replay(event)
    return controller


def state(controller: Controller) -> list[Any]:
    """Return all that can be seen of a controller's state."""
    experiment = controller.experiment
    trials = [{name: getattr(trial, name) for name in trial.__slots__} for trial in experiment.trials]
    return [*trials, experiment.counts, experiment.stop, experiment.closed, controller.describe()]


# -- what is left


def check_history(place: Path, settings: Settings, log: Log) -> Iterator[str]:
    """Readers see each iteration of each trial once; what a clone reported before it became one stands as well."""
    results = tune.load(place / NAME)
    cloned = {event.trial for event in log if isinstance(event, e.Cloned)}
    for trial in results:
        iterations = [result["training_iteration"] for result in trial.history]
        last = iterations[-1] if iterations else 0
        if trial.number not in cloned and iterations != list(range(1, last + 1)):
            yield f"the history of trial {trial.number} has the iterations {iterations}"
        if not trial.reason and last != settings.length:
            yield f"trial {trial.number} came to its own end after {last} iterations instead of {settings.length}"


def check_checkpoints(place: Path, settings: Settings, log: Log, found: Found) -> Iterator[str]:
    """What the record names and nobody has deleted is there, whole, and holds the state of its iteration."""
    controller, named, home = make_controller(settings), {}, checkpoints(settings, place)
    deleted: set[str] = set()
    for event in log:
        reference = made(event)
        if reference is not None:
            named[reference.path] = reference
        deleted.update(o.checkpoint.path for o in controller.replay(event) if isinstance(o, c.Discard))
    found.checkpoints = len(named.keys() - deleted)
    for path, reference in named.items():
        if path in deleted:
            continue
        try:
            folder = Path(CheckpointShelf(str(home), "", 0).find(reference).path)
        except StorageError as error:
            yield f"a checkpoint that is needed: {error}"
            continue
        held = State.load(folder)
        if held is None or held.step != reference.iteration:
            yield f"the checkpoint {path} of iteration {reference.iteration} holds {held}"
    kept = named.keys() - deleted
    there = (folder for folder in home.glob("*/checkpoint_*") if folder.is_dir())
    found.left_over = sum(str(folder.relative_to(home)) not in kept for folder in there)


def check_copy(place: Path, settings: Settings, log: Log) -> Iterator[str]:
    """What is elsewhere is the record, all of it, and no session is open any more."""
    if settings.place != "elsewhere":
        return
    home = checkpoints(settings, place)
    with EventReader.open_to_read(home / DATABASE) as store:
        if list(store) != log:
            yield f"the copy has {len(list(store))} events, and is not the record of {len(log)}"
    last = max((home / "sessions").iterdir())
    if b'"closed":true' not in last.read_bytes():
        yield f"the session {last.name} is not closed"


# -- against a run that nothing happened to


def outcome(place: Path) -> list[Any]:
    """Return what a run came to, without what is measured by clocks."""
    results = tune.load(place / NAME)
    return [
        (
            trial.number,
            trial.status,
            trial.reason,
            trial.name,
            trial.config,
            [(r["training_iteration"], r["loss"], r["chain"], tuple(r["config"].items())) for r in trial.history],
        )
        for trial in results
    ]


def differences(this: list[Any], other: list[Any]) -> Iterator[str]:
    """Say where a run came to something else than the one that was left alone."""
    for mine, reference in zip(this, other, strict=False):
        if mine != reference:
            yield f"trial {mine[0]} differs from the run that was left alone:\n  {mine}\n  {reference}"
