"""Plays a round: starts, kills and resumes an experiment and has the oracle look at what is left."""

from __future__ import annotations

import shutil
import threading
import time
from pathlib import Path
from random import Random
from typing import Any

import msgspec

from tests.faults import oracle
from tests.faults.experiment import NAME
from tests.faults.launch import Launch
from tests.faults.plan import Fault, Plan, Settings
from tunesmith import events as e
from tunesmith.errors import StorageError
from tunesmith.store.sqlite import EventStore

DATABASE = "experiment.db"


class Outcome(msgspec.Struct):
    """A round that was played. `fired` are the faults that struck, `gone_s` the longest that a process was left."""

    plan: Plan
    found: oracle.Found
    fired: list[Fault]
    starts: int
    compared: bool  # with a run that was left alone
    gone_s: float
    took_s: float

    @property
    def failed(self) -> bool:
        return bool(self.found.wrong)


def play(plan: Plan, place: Path, references: References) -> Outcome:
    """Play a round in the new folder `place`."""
    begun = time.monotonic()
    random = Random(f"play {plan.seed}")
    place.mkdir(parents=True)
    (place / "settings.json").write_bytes(msgspec.json.encode(plan.settings))
    launches: list[Launch] = []
    wrong: list[str] = []
    log: list[e.Event] = []
    for number, fault in enumerate([*plan.faults, None], 1):
        launch = Launch(place, number, fault, random)
        launch.run()
        launches.append(launch)
        wrong += _complaints(number, launch)
        if not plan.at_once or fault is None:
            wrong += [f"start {number} left the processes {left} behind" for left in [launch.await_end()] if left]
        now = read(place, wrong)
        if now[: len(log)] != log:
            wrong.append(f"what was recorded before start {number} is not the beginning of what is recorded after it")
        log = now
        if launch.hung:
            break
    wrong += [f"the processes {left} were left behind" for left in (each.await_end() for each in launches) if left]
    compared = plan.settings.workers == 1
    if wrong and not log:
        found = oracle.Found()
    else:
        kills = sum(plan.settings.workers for each in launches if each.fired and each.fault.who in ("worker", "zygote"))
        found = oracle.examine(place, plan.settings, log, kills)
        if compared:
            found.wrong += oracle.differences(oracle.outcome(place), references.of(plan.settings))
    found.wrong[:0] = wrong
    gone_s = max((launch.gone_s or 0.0 for launch in launches), default=0.0) if not plan.at_once else 0.0
    fired = [launch.fault for launch in launches if launch.fired and launch.fault is not None]
    return Outcome(plan, found, fired, len(launches), compared, gone_s, time.monotonic() - begun)


def _complaints(number: int, launch: Launch) -> list[str]:
    if launch.hung:
        return [f"start {number} does not come to an end: {launch.errors[-3000:]}"]
    killed = launch.fired and launch.fault is not None and launch.fault.who in ("driver", "both", "all")
    if launch.code == 0 or (launch.code == -9 and killed):
        return []
    if launch.fired and launch.fault is not None and launch.fault.who == "zygote" and "has ended" in launch.errors:
        return []  # before it was ready: nothing but the end of the run is left, and the next start goes on
    return [f"start {number} ended with {launch.code}: {launch.errors[-3000:]}"]


def read(place: Path, wrong: list[str]) -> list[e.Event]:
    """Return what is recorded, read from a copy so that reading changes nothing."""
    if not (place / NAME / DATABASE).exists():
        return []
    copy = place / "copy"
    shutil.rmtree(copy, ignore_errors=True)
    copy.mkdir()
    for suffix in ("", "-wal", "-journal", "-tail"):
        source = place / NAME / f"{DATABASE}{suffix}"
        if source.exists():
            shutil.copy(source, copy / source.name)
    try:
        with EventStore.open(copy / DATABASE) as store:  # which brings the tail into the database
            return [event for _, event in store.read()]
    except StorageError as error:
        wrong.append(f"the database can't be read: {error}")
        return []


class References:
    """What experiments come to when they are left alone; each is run once, below `place`."""

    def __init__(self, place: Path) -> None:
        self._place = place
        self._lock = threading.Lock()
        self._locks: dict[Settings, threading.Lock] = {}
        self._known: dict[Settings, list[Any]] = {}

    def of(self, settings: Settings) -> list[Any]:
        """Return the outcome of an experiment; how its workers and checkpoints are kept makes no difference to it."""
        settings = msgspec.structs.replace(settings, durability="normal", reuse_workers=True, keep=None, park=32)
        settings = msgspec.structs.replace(settings, place="disk")
        if not settings.scheduler.startswith("pbt"):  # where trials go on from each other's checkpoints
            settings = msgspec.structs.replace(settings, every=3)
        with self._lock:
            lock = self._locks.setdefault(settings, threading.Lock())
        with lock:
            if settings not in self._known:
                self._known[settings] = self._run(settings, self._place / f"reference-{len(self._known)}-{id(lock)}")
            return self._known[settings]

    def _run(self, settings: Settings, place: Path) -> list[Any]:
        place.mkdir(parents=True)
        (place / "settings.json").write_bytes(msgspec.json.encode(settings))
        launch = Launch(place, 1, None, Random(0))
        launch.run()
        if launch.code != 0:
            raise RuntimeError(f"the experiment fails when it is left alone: {launch.errors}")
        found = oracle.outcome(place)
        shutil.rmtree(place)
        return found
