"""Points within the processes of an experiment at which one is killed: counted, so that a round can be repeated.

The product knows nothing of them. They hang on calls that are there anyway: SQLite's trace of statements, Python's
audit events of file operations, the calls that write and clear the store's tail, and the two borders of the driver's
round, the commit and the orders. The tail goes into the database every few reports here, not every few thousands.

| point             | the instant                                                                           |
|-------------------|---------------------------------------------------------------------------------------|
| statement         | before an SQL statement of the driver, those that make the database among them          |
| commit            | before a batch of events is committed: the tail's write, or a COMMIT                    |
| torn              | when half of a batch has been written to the tail                                      |
| moved             | when the tail is in the database, and before it is cleared                             |
| committed         | after a commit, before any order that follows from it                                  |
| half obeyed       | when only the first of several orders has been sent (with one: none)                   |
| obeyed            | when all orders of a round have been sent, before old checkpoints are deleted          |
| replay            | while a resumed driver folds the record                                                |
| driver file       | before an operation on a file in the experiment's folder, by the driver                |
| checkpoint file   | before an operation on a file of a checkpoint, by a worker                             |
| rename, renamed   | before, and right after, a worker gives a checkpoint its name                          |
"""

from __future__ import annotations

import os
import signal
import sqlite3
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec

IN_DRIVER = ("statement", "commit", "torn", "moved", "committed", "half obeyed", "obeyed", "replay", "driver file")
IN_WORKER = ("rename", "renamed", "checkpoint file")
OUTSIDE = ("reports", "time")
VARIABLE = "TUNESMITH_TESTS_FAULT"
SABOTAGE = "TUNESMITH_TESTS_SABOTAGE"  # set: commit each batch only with the next one. For the harness's own tests
TAIL_BYTES = 4000
_FILE_EVENTS = frozenset(
    {"open", "sqlite3.connect", "os.mkdir", "os.rename", "os.remove", "os.rmdir", "os.truncate", "shutil.rmtree"}
)


class Fault(msgspec.Struct, frozen=True):
    """Whom to kill, and when: at the `count`-th time that `point` is reached, or after so many milliseconds.

    The points within a process are described above; ``reports`` and ``time`` are watched from outside. `who` is the
    ``driver``, a ``worker``, the ``zygote``, ``both`` (the driver, and the worker that has reached the point) or
    ``all`` (every process of the experiment).
    """

    who: str
    point: str
    count: int

    @property
    def repeatable(self) -> bool:
        """Whether it strikes at the same instant each time, as far as one worker's steps are the same each time."""
        return self.point not in OUTSIDE

    def __str__(self) -> str:
        when = f"{self.count} ms after the start" if self.point == "time" else f"{self.point} number {self.count}"
        return f"{self.who} at {when}"


class Armed(msgspec.Struct, frozen=True):
    """A fault as the processes of an experiment are told of it, by an environment variable.

    `fired` is a file that the first process to strike makes: a fault strikes once. `driver` is a file with the process
    id of the driver, `experiment` the folder of the experiment.
    """

    fault: Fault
    fired: str
    driver: str
    experiment: str

    def strike(self) -> None:
        """Kill whom the fault is for, from within a process that has reached its point."""
        try:
            os.close(os.open(self.fired, os.O_CREAT | os.O_EXCL | os.O_WRONLY))
        except FileExistsError:
            return
        who, me = self.fault.who, os.getpid()
        driver = int(Path(self.driver).read_text())
        if who in ("driver", "both"):
            os.kill(driver, signal.SIGKILL)
        if who in ("worker", "both") and me != driver:
            os.kill(me, signal.SIGKILL)


def install_in_driver() -> None:
    """Arm this process, which is about to be a driver."""
    if os.environ.get(SABOTAGE):
        _commit_late()
    _move_often()
    armed = _armed()
    if armed is not None:
        Path(armed.driver).write_text(str(os.getpid()))
        if armed.fault.point in IN_DRIVER:
            _DRIVER_POINTS[armed.fault.point](_Counter(armed))


def install_in_worker() -> None:
    """Arm this process, which is the zygote, and so its workers. Each of them counts for itself."""
    armed = _armed()
    if armed is not None and armed.fault.point in IN_WORKER and not _is_driver(armed):
        _watch_checkpoints(_Counter(armed))


def _armed() -> Armed | None:
    text = os.environ.get(VARIABLE)
    return msgspec.json.decode(text, type=Armed) if text else None


def _is_driver(armed: Armed) -> bool:
    return Path(armed.driver).read_text() == str(os.getpid())


class _Counter:
    """Strikes at the count of the fault."""

    def __init__(self, armed: Armed) -> None:
        self.armed = armed
        self._left = armed.fault.count

    def __call__(self) -> None:
        self._left -= 1
        if self._left == 0:
            self.armed.strike()

    def is_next(self) -> bool:
        return self._left == 1


# -- in the driver


def _move_often() -> None:
    from tunesmith.store import sqlite

    sqlite._TAIL_BYTES = TAIL_BYTES  # type: ignore[misc]


def _write_tail(reached: _Counter, *, half: bool = False) -> None:
    """Reach the point before each write to the tail, or in the middle of it."""
    from tunesmith.store import tail

    def write(fd: int, text: bytes) -> int:
        if half and reached.is_next():
            os.write(fd, text[: len(text) // 2])
        reached()
        return os.write(fd, text)

    tail.os = SimpleNamespace(**(vars(os) | {"write": write}))  # type: ignore[attr-defined]


def _clear_tail(reached: _Counter) -> None:
    from tunesmith.store.tail import Tail

    for name in ("clear", "remove"):
        _before(Tail, name, reached)


def _before(cls: Any, name: str, reached: _Counter) -> None:
    original = getattr(cls, name)

    def call(self: Any) -> None:
        reached()
        original(self)

    setattr(cls, name, call)


def _commit(reached: _Counter) -> None:
    _write_tail(reached)
    _trace(lambda statement: statement == "COMMIT")(reached)


def _trace(wanted: Callable[[str], bool]) -> Callable[[_Counter], None]:
    def install(reached: _Counter) -> None:
        connect = sqlite3.connect

        def connect_traced(*args: Any, **named: Any) -> sqlite3.Connection:
            connection = connect(*args, **named)
            connection.set_trace_callback(lambda statement: reached() if wanted(statement) else None)
            return connection

        sqlite3.connect = connect_traced  # type: ignore[assignment]

    return install


def _after(owner: Callable[[], Any], name: str) -> Callable[[_Counter], None]:
    """Reach the point each time a method returns."""

    def install(reached: _Counter) -> None:
        cls = owner()
        original = getattr(cls, name)

        def call(self: Any, *args: Any, **named: Any) -> Any:
            result = original(self, *args, **named)
            reached()
            return result

        setattr(cls, name, call)

    return install


def _half_obeyed(reached: _Counter) -> None:
    executor = _executor()
    original = executor.obey

    def obey(self: Any, commands: Any) -> None:
        if not commands:
            return original(self, commands)
        if reached.is_next() and len(commands) > 1:
            original(self, commands[:1])
        reached()
        return original(self, commands)

    executor.obey = obey


def _commit_late() -> None:
    store = _store()
    original, late = store.append, []

    def append(self: Any, events: Any) -> None:
        original(self, tuple(late))
        late[:] = events

    store.append = append


def _store() -> Any:
    from tunesmith.store.sqlite import EventStore

    return EventStore


def _executor() -> Any:
    from tunesmith.executors.local import LocalExecutor

    return LocalExecutor


def _controller() -> Any:
    from tunesmith.core.controller import Controller

    return Controller


def _watch_folder(reached: _Counter) -> None:
    def hook(event: str, args: tuple[Any, ...]) -> None:
        if event in _FILE_EVENTS and any(_is_below(arg, reached.armed.experiment) for arg in args[:2]):
            reached()

    sys.addaudithook(hook)


def _is_below(path: object, folder: str) -> bool:
    return isinstance(path, (str, os.PathLike)) and os.fspath(path).startswith(folder)


_DRIVER_POINTS: dict[str, Callable[[_Counter], None]] = {
    "statement": _trace(lambda statement: True),
    "commit": _commit,
    "torn": partial(_write_tail, half=True),
    "moved": _clear_tail,
    "committed": _after(_store, "append"),
    "half obeyed": _half_obeyed,
    "obeyed": _after(_executor, "obey"),
    "replay": _after(_controller, "replay"),
    "driver file": _watch_folder,
}


# -- in a worker


def _watch_checkpoints(reached: _Counter) -> None:
    point = reached.armed.fault.point
    renamed = False

    def hook(event: str, args: tuple[Any, ...]) -> None:
        nonlocal renamed
        if event not in _FILE_EVENTS:
            return
        names = any(isinstance(arg, (str, os.PathLike)) and "checkpoint_" in os.fspath(arg) for arg in args[:2])
        if point == "renamed" and renamed:  # the first operation after it, whatever it is
            renamed = False
            reached()
        elif event == "os.rename" and names:
            renamed = True
            if point == "rename":
                reached()
        if point == "checkpoint file" and names:
            reached()

    sys.addaudithook(hook)
