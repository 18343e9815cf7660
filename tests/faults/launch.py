"""Starts an experiment, kills it from outside if that is its fault, and finds the processes that belong to it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from random import Random

import msgspec

from tests.faults.experiment import NAME
from tests.faults.points import OUTSIDE, VARIABLE, Armed, Fault
from tests.faults.trainables import Journal

ROOT = Path(__file__).parents[2]
MARK = "TUNESMITH_TESTS_LAUNCH"
PATIENCE_S = 60.0  # after which a start hangs
_PAUSE_S = 0.001


class Launch:
    """One start of the experiment in `place`, the `number`-th. `fault` None: it is left alone."""

    def __init__(self, place: Path, number: int, fault: Fault | None, random: Random) -> None:
        self.fault = fault
        self.fired = False
        self.hung = False
        self.gone_s: float | None = None  # how long its other processes outlived the driver
        self._place, self._random = place, random
        self._mark = f"{place}:{number}"
        self._token = place / f"fired-{number}"
        self._errors = place / f"stderr-{number}"

    def run(self) -> None:
        """Start it, let its fault happen, and return when the driver is gone."""
        environ = {**os.environ, MARK: self._mark}
        environ["PYTHONPATH"] = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
        fault = self.fault
        if fault is not None and fault.point not in OUTSIDE:
            armed = Armed(fault, str(self._token), str(self._place / "driver.pid"), str(self._place / NAME))
            environ[VARIABLE] = msgspec.json.encode(armed).decode()
        before = Journal(str(self._place / "journal")).reports()
        begun = time.monotonic()
        with self._errors.open("wb") as errors:
            command = [sys.executable, "-m", "tests.faults.experiment", str(self._place)]
            self._driver = subprocess.Popen(command, stdout=errors, stderr=errors, env=environ, cwd=ROOT)
            if fault is not None and fault.point in OUTSIDE:
                self._strike_from_outside(fault, begun, before)
            try:
                self._driver.wait(PATIENCE_S)
            except subprocess.TimeoutExpired:
                self.hung = True
                self._driver.kill()
                self._driver.wait()
        self.ended = time.monotonic()
        self.fired = self.fired or self._token.exists()

    @property
    def code(self) -> int:
        """The driver's exit code, negative for a signal."""
        return self._driver.returncode

    @property
    def errors(self) -> str:
        """What it printed."""
        return self._errors.read_text(errors="replace")

    def _strike_from_outside(self, fault: Fault, begun: float, before: int) -> None:
        journal = Journal(str(self._place / "journal"))

        def is_due() -> bool:
            if fault.point == "time":
                return time.monotonic() - begun >= fault.count / 1000
            return journal.reports() - before >= fault.count

        if not self._wait(is_due):
            return
        while not (victims := self._victims(fault.who)):
            if not self._wait(lambda: True):
                return  # it ended before there was any
            time.sleep(_PAUSE_S)
        for pid in victims:
            self.fired = _kill(pid) or self.fired

    def _wait(self, condition: Callable[[], bool]) -> bool:
        until = time.monotonic() + PATIENCE_S
        while self._driver.poll() is None and time.monotonic() < until:
            if condition():
                return True
            time.sleep(_PAUSE_S)
        return False

    def _victims(self, who: str) -> list[int]:
        driver = self._driver.pid
        if who == "driver":
            return [driver]
        parents = processes(self._mark)
        if who == "all":
            return [driver, *parents]
        zygotes = [pid for pid, parent in parents.items() if parent == driver]
        if who == "zygote":
            return zygotes
        workers = [pid for pid, parent in parents.items() if parent in zygotes]
        return [self._random.choice(workers)] if workers else []

    def await_end(self, patience_s: float = 10.0) -> list[int]:
        """Wait until nothing of it is left; return what is left all the same, which is killed then."""
        while left := list(processes(self._mark)):
            if time.monotonic() - self.ended > patience_s:
                for pid in left:
                    _kill(pid)
                return left
            time.sleep(_PAUSE_S)
        self.gone_s = self.gone_s or time.monotonic() - self.ended
        return []


def processes(mark: str) -> dict[int, int]:
    """Return the processes that carry a mark in their environment, and the parent of each. Zombies are gone."""
    wanted, found = f"{MARK}={mark}\0".encode(), {}
    for entry in os.scandir("/proc"):
        if entry.name.isdigit():
            try:
                if wanted in Path(entry.path, "environ").read_bytes():
                    state, parent = Path(entry.path, "stat").read_text().rpartition(")")[2].split()[:2]
                    if state not in "ZX":
                        found[int(entry.name)] = int(parent)
            except (OSError, ValueError):  # it has ended meanwhile, or is another user's
                continue
    return found


def _kill(pid: int) -> bool:
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return False
    return True
