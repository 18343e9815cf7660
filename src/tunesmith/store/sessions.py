"""Who carries an experiment on that is kept elsewhere: a record a session, beside the copy of the database.

A kernel's lock ends at its machine. So each driver writes, under a name that nobody else will ever use, that it is
there, and looks whether others are. One that finds a later session than its own has been given up for dead: it must
neither write nor delete anything there any more.
"""

from __future__ import annotations

import os
import re
import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

import msgspec

from tunesmith.errors import ExperimentBusyError, StorageError
from tunesmith.remote.files import Files

_FOLDER: Final = "sessions"
_NAME: Final = re.compile(r"(\d{6,})-([0-9a-f]+)\.json")
_REMEMBERED: Final = 10  # sessions whose records stay
_PATIENCE_S: Final = 30.0  # beyond three intervals: clocks differ, and servers are slow


class Session(msgspec.Struct):
    """A driver's own account of itself. `silent_after` is when others may take it for dead, by the clock of `host`.

    `machine` tells processes apart that have the same number: it is empty where that can't be known. `events` is how
    many the copy has that this session made last.
    """

    number: int
    token: str
    host: str
    process: int
    machine: str
    born: str
    opened_at: float
    heard_at: float
    silent_after: float
    events: int = 0
    closed: bool = False

    @property
    def name(self) -> str:
        """The name of its record."""
        return f"{_FOLDER}/{self.number:06d}-{self.token}.json"

    def __str__(self) -> str:
        since = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(self.opened_at))
        return f"process {self.process} on {self.host} since {since} (session {self.number})"


class Sessions:
    """The sessions of the experiment below `files`. `ours` is None before `open`."""

    def __init__(self, files: Files, *, now: Callable[[], float] = time.time) -> None:
        self._files = files
        self._now = now
        self.ours: Session | None = None

    def open(self, every_s: float) -> None:
        """Begin a session, if no other one goes on.

        Raises:
            ExperimentBusyError: another driver is running the experiment, or may be.
            StorageError: the server is away.
        """
        others = self._others()
        last = others[-1] if others else None
        if last is not None and (wait := self._must_wait(last)):
            raise ExperimentBusyError(f"The experiment at {self._files.storage.shown} is being run by {last}. {wait}")
        now = self._now()
        machine, born = this_process()
        number = 1 + (last.number if last else 0)
        ours = Session(number, os.urandom(6).hex(), socket.gethostname(), os.getpid(), machine, born, now, now, now)
        self.ours = ours
        self.beat(every_s)
        rival = self.later()  # one of two that begin at the same time sees the other, or both do
        if rival is not None:
            self._files.delete(ours.name)
            self.ours = None
            raise ExperimentBusyError(
                f"The experiment at {self._files.storage.shown} was begun at the same time by {rival}. Try again later."
            )
        for name in self._files.names(_FOLDER):
            match = _NAME.fullmatch(name)
            if match is not None and int(match.group(1)) <= number - _REMEMBERED:
                self._files.delete(f"{_FOLDER}/{name}")

    def beat(self, every_s: float, events: int | None = None, *, closed: bool = False) -> None:
        """Say that the session goes on, or that it is over; the next word comes in `every_s` seconds.

        Raises:
            StorageError: the server is away.
        """
        if self.ours is not None:
            ours, now = self.ours, self._now()
            ours.heard_at, ours.silent_after, ours.closed = now, now + 3 * every_s + _PATIENCE_S, closed
            ours.events = ours.events if events is None else events
            self._files.write(ours.name, msgspec.json.encode(ours))

    def later(self) -> Session | None:
        """Return the session that has come after ours, or at the same time, if there is one."""
        ours = self.ours
        if ours is None:
            return None
        return next((s for s in self._others() if s.number >= ours.number), None)

    def withdraw(self) -> None:
        """Leave no trace of a session in which nothing was recorded."""
        if self.ours is not None:
            self._files.delete(self.ours.name)
            self.ours = None

    def last(self) -> Session | None:
        """Return the latest of the other sessions."""
        others = self._others()
        return others[-1] if others else None

    def _others(self) -> list[Session]:
        found = []
        for name in self._files.names(_FOLDER):
            match = _NAME.fullmatch(name)
            if match is None or (self.ours is not None and match.group(2) == self.ours.token):
                continue
            found.append((int(match.group(1)), name))
        highest = max(found, default=(0, ""))[0]
        sessions = [self._read(name) for number, name in sorted(found) if number == highest]
        return [session for session in sessions if session is not None]

    def _read(self, name: str) -> Session | None:
        data = self._files.read(f"{_FOLDER}/{name}")
        try:
            return None if data is None else msgspec.json.decode(data, type=Session)
        except msgspec.DecodeError as error:
            raise StorageError(f"{self._files.storage.shown}/{_FOLDER}/{name} can't be understood: {error}") from error

    def _must_wait(self, last: Session) -> str:
        """Return what is to be waited for before another session may begin; nothing if the last one is over."""
        machine, _ = this_process()
        if last.closed:
            return ""
        if machine and machine == last.machine:
            alive = born(last.process) == last.born
            return "Wait for it, end it, or choose another name=." if alive else ""
        left = last.silent_after - self._now()
        if left <= 0:
            return ""
        return (
            f"It was last heard of {self._now() - last.heard_at:.0f} s ago. If its machine is gone, try again in "
            f"{left:.0f} s; else end it, or choose another name=."
        )


def this_process() -> tuple[str, str]:
    """Return what tells this machine, and the processes that it sees, from others, and when this process was born."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        space = os.readlink("/proc/self/ns/pid")  # noqa: PTH115 - no path, but a text of the kernel's
    except OSError:
        return "", ""
    return f"{boot} {space}", born(os.getpid())


def born(process: int) -> str:
    """Return when a process of this machine was started, in the kernel's own count; empty when there is none."""
    try:
        stat = Path(f"/proc/{process}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
    return stat.rpartition(")")[2].split()[19]  # field 22 of proc_pid_stat(5), behind the name, which may have spaces
