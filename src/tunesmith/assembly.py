"""Builds the parts of a run from a plan, opens the experiment's folder, and runs the driver."""

from __future__ import annotations

import os
import pickle
import signal
import socket
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, nullcontext, suppress
from functools import partial
from pathlib import Path
from typing import Any

import msgspec

from tunesmith import codec, naming, paths
from tunesmith import commands as c
from tunesmith import events as e
from tunesmith.asking import Asker
from tunesmith.callbacks.pbt_policies import PolicyFiles
from tunesmith.callbacks.protocol import Callback
from tunesmith.callbacks.tracebacks import TracebackFiles
from tunesmith.checkpoints.folder import CheckpointFolder
from tunesmith.core.controller import Controller, Limits
from tunesmith.driver import Driver
from tunesmith.errors import ArgumentError, ExperimentExistsError, SearchError, StorageError
from tunesmith.executors.protocol import Executor
from tunesmith.interrupts import Interrupts
from tunesmith.objective import Objective
from tunesmith.resources import Pool, Resources
from tunesmith.results import Results
from tunesmith.schedulers.fifo import FIFOScheduler
from tunesmith.schedulers.pbt import PopulationBasedTraining
from tunesmith.schedulers.protocol import Scheduler
from tunesmith.schedulers.resource_changing import ResourceChangingScheduler
from tunesmith.searchers.protocol import Searcher
from tunesmith.space import Space
from tunesmith.stoppers.protocol import Stopper
from tunesmith.store.lock import ExperimentLock
from tunesmith.store.sqlite import EventStore
from tunesmith.version import __version__
from tunesmith.virtual import GroupedStore, PromptAsker, VirtualTime, moment
from tunesmith.worker.by_value import dumps
from tunesmith.worker.job import Job

DATABASE = "experiment.db"
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
    storage: str | os.PathLike[str] | None
    resume: bool | str
    executor: Executor
    reuse_workers: bool
    limits: Limits
    checkpoint_freq: int
    checkpoint_at_end: bool
    callbacks: list[Callback]
    trial_name_creator: Callable[[naming.TrialInfo], str] | None
    trial_dirname_creator: Callable[[naming.TrialInfo], str] | None
    seed: int | None
    verbose: int


def execute(plan: Plan) -> Results:
    """Run the plan to its end, or to the user's wish to leave, and return the results."""
    folder = _open_folder(plan)
    with ExitStack() as stack:
        stack.enter_context(_removed_if_empty(folder))
        stack.enter_context(ExperimentLock(folder))
        begun = _read_created(folder)
        created = begun or _new(plan, folder)
        _check_unchanged(plan, created)
        plan.space.check_constants()
        plan.searcher.setup(plan.space, plan.objective, created.seed, plan.num_samples)
        plan.scheduler.setup(plan.objective, created.seed)
        resources = _open_executor(plan, folder, created, stack)
        path = folder / DATABASE
        store = stack.enter_context(EventStore.open(path) if path.exists() else EventStore.create(path))
        interrupts = _drive(plan, folder, created, store, resources)
    results = Results.from_store(folder, configure=partial(_configure, plan.space))
    if not results.trials and results.stop_reason and interrupts.reason is None:
        raise SearchError(f"No trial was made: {results.stop_reason}")
    if interrupts.signal == signal.SIGTERM:
        raise SystemExit(128 + signal.SIGTERM)
    return results


def _drive(
    plan: Plan,
    folder: Path,
    created: e.Created,
    store: EventStore,
    resources: Resources,
) -> Interrupts:
    """Fold what is recorded, then run the driver; whatever happens, close the session."""
    total = plan.searcher.total()
    controller = Controller(
        objective=plan.objective,
        scheduler=plan.scheduler,
        stopper=plan.stopper,
        configure=partial(_configure, plan.space),
        record=_record,
        limits=msgspec.structs.replace(plan.limits, max_trials=total),
        eager=plan.searcher.eager,
        resources=plan.resources if isinstance(plan.resources, Resources) else None,
    )
    virtual = plan.executor if isinstance(plan.executor, VirtualTime) else None
    asker = (PromptAsker if virtual else Asker)(plan.searcher, _Namer(plan, created, folder), plan.executor.wake)
    session = 1
    for _, event in store.read():
        session += isinstance(event, e.SessionOpened)
        for order in controller.replay(event):
            if isinstance(order, (c.Tell, c.Remind)):
                asker.tell(order)
        if virtual:
            virtual.set_clock(moment(event))
    clock = _clock(plan)
    callbacks = _callbacks(plan, controller)
    with Interrupts(plan.executor.wake) as interrupts, GroupedStore(store) if virtual else nullcontext(store) as kept:
        driver = Driver(
            controller,
            kept,
            plan.executor,
            asker,
            callbacks,
            clock=clock,
            idle_s=None if virtual else _IDLE_S,
            interrupted=interrupts.read,
            discard=CheckpointFolder(folder).discard,
        )
        opened = e.SessionOpened(session, os.getpid(), socket.gethostname(), clock(), resources)
        try:
            driver.run([opened] if controller.experiment.created else [created, opened], folder, total)
        finally:
            asker.close()
            driver.close()
    return interrupts


def _clock(plan: Plan) -> Callable[[], float]:
    return plan.executor.clock if isinstance(plan.executor, VirtualTime) else time.time


@contextmanager
def _removed_if_empty(folder: Path) -> Iterator[None]:
    """Leave no trace of an experiment that never began."""
    try:
        yield
    finally:
        if not (folder / DATABASE).exists():
            for name in ("driver.lock", "workers.log"):
                (folder / name).unlink(missing_ok=True)
            with suppress(OSError):
                folder.rmdir()


def _callbacks(plan: Plan, controller: Controller) -> list[Callback]:
    console: list[Callback] = []
    if plan.verbose:
        from tunesmith.console import Console

        describe = None if isinstance(plan.scheduler, FIFOScheduler) else controller.describe
        console = [Console(plan.objective, plan.verbose, sys.stdout, time.time, describe=describe)]
    for callback in plan.callbacks:
        callback.describe = controller.describe
    base = plan.scheduler.base_scheduler if isinstance(plan.scheduler, ResourceChangingScheduler) else plan.scheduler
    policies = [PolicyFiles()] if isinstance(base, PopulationBasedTraining) else []
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

    def __call__(self, number: int, values: Mapping[str, Any], memo: Any) -> e.Suggested:
        plan = self._plan
        trial_id = f"{self._prefix}_{number:05d}"
        tag = naming.tag(number, values)
        name = f"{plan.trainable_name}_{tag}"
        folder, resources = "", None
        if self._needs_config:
            config = plan.space.build(values)
            info = naming.TrialInfo(number, trial_id, plan.trainable_name, tag, config)
            name = _named(plan.trial_name_creator, "trial_name_creator", info) or name
            folder = self._free(_named(plan.trial_dirname_creator, "trial_dirname_creator", info))
            resources = None if isinstance(plan.resources, Resources) else plan.resources(config)
        folder = folder or naming.folder(number, name)
        return e.Suggested(number, trial_id, name, folder, _record(values), resources, memo)

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
    """Build a trial's configuration from what is recorded of it."""
    config = space.build({path: codec.from_plain(value, pickle.loads) for path, value in values.items()})
    for path, value in overrides.items():
        paths.put(config, path, codec.from_plain(value, pickle.loads))
    return config


def _record(values: Mapping[str, Any]) -> dict[str, Any]:
    """Turn values into what is recorded of them."""
    return {path: codec.to_plain(value, dumps) for path, value in values.items()}


def _open_executor(plan: Plan, folder: Path, created: e.Created, stack: ExitStack) -> Resources:
    """Start the executor and check that a trial fits into what it has."""
    job = Job(
        trainable=plan.trainable,
        parameters=plan.parameters,
        path=str(folder),
        experiment_id=created.experiment_id,
        experiment_name=folder.name,
        metric=plan.objective.metric if plan.objective else None,
        checkpoint_freq=plan.checkpoint_freq,
        checkpoint_at_end=plan.checkpoint_at_end,
        threads=max(1, int(plan.resources.cpu)) if isinstance(plan.resources, Resources) else None,
    )
    total = plan.executor.open(job, plan.reuse_workers)
    stack.callback(plan.executor.close)  # not before: an executor that refuses may be serving another run
    if isinstance(plan.resources, Resources):
        Pool(total).check(plan.resources)
    return total


def _open_folder(plan: Plan) -> Path:
    """Return the experiment's folder, made if need be."""
    storage = Path(plan.storage or "~/tunesmith").expanduser().absolute()
    stamp = f"{time.strftime('%Y-%m-%d_%H-%M-%S')}_{os.urandom(2).hex()}"
    folder = storage / (plan.name or f"{naming.slug(plan.trainable_name)}_{stamp}")
    exists = (folder / DATABASE).exists()
    if plan.resume is True and not exists:
        hint = "" if plan.name else " Say which one with name=."
        raise StorageError(
            f"There is nothing to resume: no experiment at {folder}.{hint} resume='auto' would start one."
        )
    if exists and plan.resume is False:
        raise ExperimentExistsError(
            f"The experiment {folder.name!r} exists already at {folder}. "
            "Pass resume=True to go on with it, or choose another name=."
        )
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StorageError(
            f"The folder {folder} can't be made: {error}. Choose another place with storage_path=."
        ) from error
    if not os.access(folder, os.W_OK | os.X_OK):
        raise StorageError(f"The folder {folder} can't be written. Choose another place with storage_path=.")
    return folder


def _read_created(folder: Path) -> e.Created | None:
    """Return how the experiment began; None if it is new."""
    path = folder / DATABASE
    if not path.exists():
        return None
    with EventStore.open(path) as store:
        return next((event for _, event in store.read() if isinstance(event, e.Created)), None)


def _check_unchanged(plan: Plan, created: e.Created) -> None:
    """Refuse to go on with another search space than the experiment began with."""
    before = created.settings.get("fingerprint")
    if before is not None and before != plan.space.fingerprint():
        raise ArgumentError(
            f"The experiment {created.name!r} was begun with another search space, {created.settings['space']!r}; "
            f"this one is {plan.space.describe()!r}. "
            "Resume it with the same config=, or start a new one with another name=."
        )


def _new(plan: Plan, folder: Path) -> e.Created:
    objective = plan.objective
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
            "max_failures": plan.limits.max_failures,
            "space": plan.space.describe(),
            "fingerprint": plan.space.fingerprint(),
        },
    )
