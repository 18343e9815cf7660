"""Builds the parts of a run from a plan, opens the experiment's folder, and runs the driver."""

from __future__ import annotations

import os
import pickle
import socket
import sys
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, nullcontext
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from tunesmith import codec, naming, paths
from tunesmith import commands as c
from tunesmith import events as e
from tunesmith.asking import Asker
from tunesmith.callbacks.pbt_policies import PolicyFiles
from tunesmith.callbacks.protocol import Callback
from tunesmith.callbacks.tracebacks import TracebackFiles
from tunesmith.checkpoints.folder import CheckpointFolder, Standing
from tunesmith.clock import SteadyClock, uptime
from tunesmith.core.controller import Controller
from tunesmith.core.experiment import Experiment, TrialRecord
from tunesmith.core.limits import Limits
from tunesmith.core.moves import MOVES
from tunesmith.core.reopening import reopenings
from tunesmith.definition import definition, read_created, redefined
from tunesmith.driver import Driver
from tunesmith.errors import ArgumentError, ResourceError, SearchError, SpaceError
from tunesmith.evolution import refit
from tunesmith.executors.protocol import Executor
from tunesmith.interrupts import Interrupts
from tunesmith.objective import Objective
from tunesmith.placing import Place, find_place, open_mirror, removed_if_empty
from tunesmith.resources import Pool, Resources
from tunesmith.results import Reading, Results
from tunesmith.retrying import FailurePolicy
from tunesmith.schedulers.fifo import FIFOScheduler
from tunesmith.schedulers.pbt import PopulationBasedTraining
from tunesmith.schedulers.protocol import Scheduler
from tunesmith.schedulers.resource_changing import ResourceChangingScheduler
from tunesmith.searchers.confirming import Confirm
from tunesmith.searchers.protocol import Searcher, Suggestion
from tunesmith.space import Space
from tunesmith.stoppers.protocol import Stopper
from tunesmith.store.database import DATABASE, Durability, is_begun
from tunesmith.store.lock import ExperimentLock
from tunesmith.store.reading import EventReader
from tunesmith.store.sqlite import EventStore
from tunesmith.trial import CheckpointRef
from tunesmith.version import __version__
from tunesmith.virtual import GroupedStore, PromptAsker, VirtualTime, moment
from tunesmith.warming import WarmStart, read_past, teach
from tunesmith.worker.by_value import dumps
from tunesmith.worker.job import Job

if TYPE_CHECKING:  # where no URL is used they are not imported
    from tunesmith.remote.storage import RemoteStorage
    from tunesmith.store.mirror import Mirror

_IDLE_S = 0.2  # how often the callbacks get a moment when nothing arrives


class Plan(msgspec.Struct):
    """A run as the user described it, checked. The fields are the arguments of `tunesmith.run`."""

    trainable: Callable[..., Any]
    trainable_name: str
    parameters: dict[str, Any]
    space: Space
    objective: Objective | None
    num_samples: int
    searcher: Searcher
    scheduler: Scheduler
    stopper: Stopper | None
    resources: Resources | Callable[[dict[str, Any]], Resources]
    name: str | None
    storage: str | os.PathLike[str] | RemoteStorage | None
    resume: bool | str
    durability: Durability
    executor: Executor
    reuse_workers: bool
    limits: Limits
    policy: FailurePolicy
    checkpoint_freq: int
    checkpoint_at_end: bool
    callbacks: list[Callback]
    trial_name_creator: Callable[[naming.TrialInfo], str] | None
    trial_dirname_creator: Callable[[naming.TrialInfo], str] | None
    seed: int | None
    verbose: int
    accept_changes: frozenset[str] = frozenset()
    warm_start: WarmStart | None = None
    shared_folder: bool | None = None
    confirm: tuple[int, int] = (0, 0)  # how many of the best, and how many times each


def execute(plan: Plan) -> Results:
    """Run the plan to its end, or to the user's wish to leave, and return the results."""
    place = find_place(plan.storage, plan.name, plan.trainable_name, plan.resume, shared=plan.shared_folder)
    folder = place.folder
    with ExitStack() as stack:
        stack.enter_context(removed_if_empty(folder))
        stack.enter_context(ExperimentLock(folder, place.shared))
        mirror = open_mirror(place)
        stack.enter_context(mirror or nullcontext())
        now = definition(plan.trainable, plan.space, plan.scheduler, plan.searcher)
        begun = _read_created(folder)
        created = begun or _new(plan, folder, now)
        change = redefined(created, now, plan.objective, plan.accept_changes) if begun else None
        plan.space.check_constants()
        if plan.confirm[0] or (begun and _has_confirmations(folder)):
            plan.searcher = Confirm(plan.searcher, *plan.confirm)
        plan.searcher.setup(plan.space, plan.objective, created.seed, plan.num_samples)
        if "warm_start" in created.settings:
            teach(plan.searcher, created.settings["warm_start"])
        plan.scheduler.setup(plan.objective, created.seed)
        resources = _open_executor(plan, place, created, stack)
        path = folder / DATABASE
        open_store = EventStore.open if path.exists() else EventStore.create
        store = stack.enter_context(open_store(path, plan.durability, is_shared=bool(place.shared)))
        reading, interrupts = _drive(plan, place, created, store, resources, mirror=mirror, change=change)
    configure = partial(_configure, plan.space)
    results = Results.from_store(folder, configure=configure, reading=reading, remote=place.remote)
    if not results.trials and results.stop_reason and interrupts.reason is None:
        raise SearchError(f"No trial was made: {results.stop_reason}")
    if interrupts.status is not None:
        raise SystemExit(interrupts.status)
    return results


def _drive(
    plan: Plan,
    place: Place,
    created: e.Created,
    store: EventStore,
    resources: Resources,
    *,
    mirror: Mirror | None,
    change: e.Redefined | None,
) -> tuple[Reading, Interrupts]:
    """Fold what is recorded, then run the driver; whatever happens, close the session."""
    folder = place.folder
    total = plan.searcher.total()
    controller = Controller(
        objective=plan.objective,
        scheduler=plan.scheduler,
        stopper=plan.stopper,
        configure=partial(_configure, plan.space),
        record=_record,
        # Confirmations are beside those that the search may have, of which the searcher keeps count itself.
        limits=msgspec.structs.replace(
            plan.limits, max_trials=None if isinstance(plan.searcher, Confirm) else total, **place.grace
        ),
        eager=plan.searcher.eager,
        resources=plan.resources if isinstance(plan.resources, Resources) else None,
    )
    virtual = plan.executor if isinstance(plan.executor, VirtualTime) else None
    asker = (PromptAsker if virtual else Asker)(plan.searcher, _Namer(plan, created, folder), plan.executor.wake)
    session, standing, reading = 1, Standing(), Reading(controller.experiment)
    for event, orders in store.fold(partial(controller.replay, starting=False)):
        session += type(event) is e.SessionOpened
        standing.see(event)
        reading.see(event)
        for order in orders:
            if isinstance(order, (c.Tell, c.Remind)):
                asker.tell(order)
        if virtual:
            virtual.set_clock(moment(event))
    opening: list[e.Event] = [created]
    if controller.experiment.created is not None:
        opening = []
        wished = _before_the_session(plan, controller.experiment, change)
        _check_room(controller.experiment, wished, resources)
        store.append(wished)  # whoever reads what was before the session, reads this, too
        for event in wished:
            controller.replay(event)
            reading.see(event)
    discard = _open_checkpoints(folder, mirror, controller.experiment, standing)
    clock = _clock(plan)
    callbacks = [_Reader(reading), *_callbacks(plan, controller, str(place))]
    with Interrupts(plan.executor.wake) as interrupts, GroupedStore(store) if virtual else nullcontext(store) as kept:
        driver = Driver(
            controller,
            kept,
            plan.executor,
            asker,
            callbacks,
            clock=clock,
            idle_s=None if virtual else _IDLE_S,
            interrupted=interrupts.read if mirror is None else lambda: mirror.lost or interrupts.read(),
            discard=discard,
        )
        opened = e.SessionOpened(session, os.getpid(), socket.gethostname(), clock(), resources, plan.policy)
        with _describing(plan.callbacks, controller.describe):
            try:
                driver.run([*opening, opened], folder, total, past=store)
            finally:
                interrupts.hold()
                asker.close()
                driver.close()
    return reading, interrupts


def _open_checkpoints(
    folder: Path, mirror: Mirror | None, experiment: Experiment, standing: Standing
) -> Callable[[CheckpointRef], None]:
    """Delete what a death has left of checkpoints; return what deletes one."""
    checkpoints = CheckpointFolder(folder)
    folders = [trial.folder for trial in experiment.trials]
    checkpoints.sweep(folders, standing)
    if mirror is None:
        return checkpoints.discard
    from tunesmith.checkpoints import remote

    if folders:  # before any worker, or the mirror, writes there
        mirror.later(partial(remote.sweep, paths=remote.leftovers(mirror.files, folders, standing)))
    mirror.start()
    return lambda checkpoint: mirror.later(partial(remote.discard, checkpoint=checkpoint))


class _Reader(Callback):
    """Keeps up with the run, so that its record need not be read again for the results."""

    def __init__(self, reading: Reading) -> None:
        self._see = reading.see

    def on_events(self, events: Sequence[e.Event]) -> None:
        for event in events:
            self._see(event)


@contextmanager
def _describing(callbacks: list[Callback], describe: Callable[[], str]) -> Iterator[None]:
    """Let the user's callbacks describe what is going on, for as long as it is: then nothing must keep the core."""
    for callback in callbacks:
        callback.describe = describe
    try:
        yield
    finally:
        for callback in callbacks:
            vars(callback).pop("describe", None)


def _before_the_session(plan: Plan, experiment: Experiment, change: e.Redefined | None) -> list[e.Event]:
    """Return what the user has changed, and wished for, since the session before: facts that precede the next one."""
    reopened, left = reopenings(experiment, plan.resume, plan.scheduler, plan.stopper)
    if left:
        warnings.warn(
            f"{len(left)} trials could go on beyond their limit of before, but have no checkpoint to go on from, and"
            f" stay as they are: {', '.join(map(str, left[:10]))}{' ...' if len(left) > 10 else ''}. A class saves at"
            " its end with checkpoint_at_end=True; a function reports its checkpoints.",
            stacklevel=4,
        )
    space = plan.space.describe()
    again = {event.trial for event in reopened}
    refitted = [
        _refitted(plan, experiment, trial)
        for trial in experiment.trials
        if (trial.status in MOVES[e.Refitted] or trial.number in again) and trial.space != space
    ]
    return [*([] if change is None else [change]), *reopened, *refitted]


def _check_room(experiment: Experiment, before: list[e.Event], total: Resources) -> None:
    """Refuse a machine that is too small for a trial that is to go on: better no session than one that ends it."""
    again = {event.trial for event in before if isinstance(event, e.Reopened)}
    for trial in experiment.trials:
        if trial.resources is not None and (trial.number in again or not trial.status.is_final):
            try:
                Pool(total).check(trial.resources)
            except ResourceError as error:
                raise ResourceError(f"Trial {trial.number} waits and can't go on here: {error}") from error


def _refitted(plan: Plan, experiment: Experiment, trial: TrialRecord) -> e.Refitted:
    """Return the values with which a trial of an earlier search space goes on in this one."""
    values = {path: codec.from_plain(value, pickle.loads) for path, value in trial.values.items()}
    seed = experiment.created.seed if experiment.created else 0
    fitted = _record(refit(plan.space, trial.space, values, seed, trial.number))
    drawn = sorted(path for path in fitted if path not in trial.values)
    reason = f"goes on in the changed search space{', with values drawn for ' if drawn else ''}{', '.join(drawn)}"
    return e.Refitted(trial.number, fitted, reason)


def _clock(plan: Plan) -> Callable[[], float]:
    return plan.executor.clock if isinstance(plan.executor, VirtualTime) else SteadyClock(time.time, uptime)


def _callbacks(plan: Plan, controller: Controller, place: str) -> list[Callback]:
    console: list[Callback] = []
    if plan.verbose:
        from tunesmith.console import Console

        describe = None if isinstance(plan.scheduler, FIFOScheduler) else controller.describe
        console = [Console(plan.objective, plan.verbose, sys.stdout, time.time, describe=describe, place=place)]
    base = plan.scheduler.base_scheduler if isinstance(plan.scheduler, ResourceChangingScheduler) else plan.scheduler
    policies = [PolicyFiles()] if isinstance(base, PopulationBasedTraining) and base.log_config else []
    return [TracebackFiles(), *policies, *plan.callbacks, *console]


class _Namer:
    """Turns a number and values into the event that makes a trial."""

    def __init__(self, plan: Plan, created: e.Created, folder: Path) -> None:
        self._plan = plan
        self._prefix = created.experiment_id[:5]
        self._path = folder
        self._folders: set[str] = set()  # those that a user's function has named
        wanted = plan.trial_name_creator, plan.trial_dirname_creator
        self._needs_config = any(wanted) or not isinstance(plan.resources, Resources)

    def __call__(self, number: int, made: Suggestion) -> e.Suggested:
        plan, values = self._plan, made.values
        trial_id = f"{self._prefix}_{number:05d}"
        tag = naming.tag(number, values)
        name = f"{plan.trainable_name}_{tag}"
        folder, resources, recorded = "", None, _record(values)
        if self._needs_config:
            config = _configure(plan.space, recorded, {})
            info = naming.TrialInfo(number, trial_id, plan.trainable_name, tag, config)
            name = _named(plan.trial_name_creator, "trial_name_creator", info) or name
            folder = self._free(_named(plan.trial_dirname_creator, "trial_dirname_creator", info))
            resources = None if isinstance(plan.resources, Resources) else plan.resources(config)
        folder = folder or naming.folder(number, name)
        origin = made.memo, made.repeats, made.confirms, made.why
        return e.Suggested(number, trial_id, name, folder, recorded, resources, *origin)

    def _free(self, folder: str) -> str:
        """Return the name of a folder if it can be one and no other trial has it."""
        if set(folder) & {"/", "\0"} or folder in (".", ".."):
            raise ArgumentError(f"trial_dirname_creator must return the name of a folder, not a path: {folder!r}.")
        if folder and (folder in self._folders or (self._path / folder).exists()):
            raise ArgumentError(
                f"trial_dirname_creator must return another name for each trial, but {folder!r} is taken. "
                "Put the trial's number or its id into it."
            )
        self._folders.add(folder)
        return folder


def _named(creator: Callable[[naming.TrialInfo], str] | None, argument: str, info: naming.TrialInfo) -> str:
    """Return what a user's function makes of a trial; nothing without such a function."""
    if creator is None:
        return ""
    name = creator(info)
    if not isinstance(name, str) or not name:
        raise ArgumentError(f"{argument} must return a name, a text; it returned {name!r}.")
    return name


def _configure(space: Space, values: Mapping[str, Any], overrides: Mapping[str, Any]) -> dict[str, Any]:
    """Build a trial's configuration from what is recorded of it.

    It has all of the trial's values, those too that the space has no variable for any more. Of a trial that has ended
    in another space than this one, as far as that is possible.
    """
    own = {path: codec.from_plain(value, pickle.loads) for path, value in values.items()}
    try:
        config = space.build(own)
    except (SpaceError, IndexError):  # it has ended in a space of before
        config = {}
        space.put_others(config, own)
    for path, value in overrides.items():
        paths.try_put(config, path, codec.from_plain(value, pickle.loads))
    return config


def _record(values: Mapping[str, Any]) -> dict[str, Any]:
    """Turn values into what is recorded of them."""
    return {path: codec.to_plain(value, dumps) for path, value in values.items()}


def _open_executor(plan: Plan, place: Place, created: e.Created, stack: ExitStack) -> Resources:
    """Start the executor and check that a trial fits into what it has."""
    job = Job(
        trainable=plan.trainable,
        parameters=plan.parameters,
        path=str(place.folder),
        experiment_id=created.experiment_id,
        experiment_name=place.folder.name,
        metric=plan.objective.metric if plan.objective else None,
        seed=created.seed,
        checkpoint_freq=plan.checkpoint_freq,
        checkpoint_at_end=plan.checkpoint_at_end,
        threads=max(1, int(plan.resources.cpu)) if isinstance(plan.resources, Resources) else None,
        remote=place.remote,
    )
    total = plan.executor.open(job, plan.reuse_workers)
    stack.callback(plan.executor.close)  # not before: an executor that refuses may be serving another run
    if isinstance(plan.resources, Resources):
        Pool(total).check(plan.resources)
    return total


def _read_created(folder: Path) -> e.Created | None:
    """Return what the experiment is; None if it is new."""
    path = folder / DATABASE
    if not is_begun(path):
        return None
    with EventReader.open_to_read(path) as store:
        return read_created(store)


def _has_confirmations(folder: Path) -> bool:
    """Whether an experiment has any: they are not to be shown to its searcher, though none are wished any more."""
    with EventReader.open_to_read(folder / DATABASE) as store:
        return any(
            event.confirms is not None for _, event in store.read_kind(e.Suggested) if isinstance(event, e.Suggested)
        )


def _new(plan: Plan, folder: Path, now: dict[str, Any]) -> e.Created:
    objective = plan.objective
    composite = objective is not None and bool(objective.others or objective.constraints)
    goals = objective.settings() if objective is not None and composite else {}
    past = {"warm_start": read_past(plan.warm_start, plan.space, objective)} if plan.warm_start else {}
    return e.Created(
        experiment_id=os.urandom(16).hex(),
        name=folder.name,
        seed=int.from_bytes(os.urandom(4), "big") if plan.seed is None else plan.seed,
        metric=objective.metric if objective else None,
        mode=objective.mode if objective else None,
        at=_clock(plan)(),
        version=__version__,
        settings={
            "trainable": plan.trainable_name,
            "num_samples": plan.num_samples,
            "max_failures": plan.policy.max_failures,
            **now,
            **goals,
            **past,
        },
    )
