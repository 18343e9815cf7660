"""Keeps a copy of an experiment elsewhere: its database, and the small files that a person wants to see."""

from __future__ import annotations

import stat
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from threading import Event, Lock, Thread
from typing import Final

from tunesmith.core.experiment import Experiment
from tunesmith.errors import ExperimentDamagedError, StorageError, TunesmithError
from tunesmith.remote.files import Files
from tunesmith.remote.storage import RemoteStorage
from tunesmith.store.database import DATABASE, is_begun
from tunesmith.store.reading import EventReader
from tunesmith.store.sessions import Sessions
from tunesmith.store.snapshot import beside, relation, snapshot, take_over

_COPY: Final = f".{DATABASE}.copy"  # the snapshot, while it is on its way
_THEIRS: Final = f".{DATABASE}.theirs"  # the copy, while it is compared
_KEPT: Final = frozenset({"driver.lock", DATABASE})  # what is not among the small files
_FILE_BYTES: Final = 16 << 20  # larger files are the user's, and stay
_RETRY_S: Final = 30.0  # the copy is made again anyway
_SHARE: Final = 20  # copying takes at most one part in so many of the time
_RESTLESS: Final = 10  # intervals after which a file is copied that never rests
_SLOW: Final = 1e6  # bytes a second that are sent at least, for others to know how long to wait
_FIRST_S: Final = 0.5
_HANDS: Final = 4  # files that are copied at once


class Mirror:
    """Copies the experiment in `folder` to `storage`, its place elsewhere, in a thread of its own. Use it as a context.

    `open` settles which of the two is to be gone on with, `start` begins to copy, and leaving the context copies what
    is left.

    Args:
        tell: says a line to the user.

    `files` are those elsewhere, for who needs them before the run; then they belong to the thread.
    """

    def __init__(self, storage: RemoteStorage, folder: Path, tell: Callable[[str], None]) -> None:
        self._storage = storage
        self._folder = folder
        self._tell = tell
        self.files = Files(storage, retry_s=min(storage.retry_s, _RETRY_S))
        self._sessions = Sessions(self.files)
        self._database = folder / DATABASE
        self._thread: Thread | None = None
        self._leaving = Event()
        self._lock = Lock()
        self._after: list[Callable[[Files], None]] = []  # what waits for the next copy
        self._state: object = None  # of the database's files, as they were copied last
        self._copied: dict[str, tuple[int, int]] = {}  # small files: their times and sizes when they were copied
        self._sent_at: dict[str, int] = {}
        self._there: dict[str, int] | None = None  # the bytes of what was there before this session, once it is known
        self._since = time.time_ns()
        self._resumed = False
        self._trouble = ""
        self._took_s = 0.0
        self.lost: str | None = None  # why nothing may be written there any more

    # -- before the run

    def open(self) -> None:
        """Begin a session, and bring the database here if what is elsewhere has more.

        Raises:
            ExperimentBusyError: another driver is running the experiment.
            StorageError: the two have gone different ways, or the server is away.
        """
        self._sessions.open(self._storage.copy_every_s)
        try:
            self._reconcile()
        except BaseException:
            with suppress(TunesmithError):
                self._sessions.withdraw()
            raise

    def _reconcile(self) -> None:
        theirs = self._folder / _THEIRS
        try:
            try:
                self.files.download(DATABASE, theirs)
            except FileNotFoundError:
                return
            self._resumed = True
            self._check(theirs)
            if not is_begun(self._database):
                self._bring_files(theirs)
                take_over(theirs, self._database)
                return
            how = relation(self._database, theirs)
            if how == "behind":
                take_over(theirs, self._database)
            elif how == "apart":
                last = self._sessions.last()
                who = f" by {last}" if last is not None else ""
                raise StorageError(
                    f"The experiment at {self._storage.shown} was carried on{who}, and the one in {self._folder} has "
                    "reports that were not copied before. Nothing was changed. To go on with the former, move the "
                    f"folder {self._folder} away and make the same call; to go on with the latter by itself, move it "
                    "to another place and give that as storage_path= (its checkpoints stay where they are)."
                )
        finally:
            for file in (theirs, *beside(theirs)):
                file.unlink(missing_ok=True)

    def _check(self, theirs: Path) -> None:
        """Refuse a copy that can't be read; it is not for this machine to mend it."""
        try:
            with EventReader.open_to_read(theirs) as store:
                store.check()
        except ExperimentDamagedError as error:
            raise StorageError(
                f"The copy at {self._storage.shown} can't be read ({error.__cause__ or error}). Resume on the machine "
                "that made it, after deleting the copy; or bring it here and recover it (see docs/storage.md)."
            ) from error

    def _bring_files(self, database: Path) -> None:
        """Fetch the small files of the trials that go on: what they print is put behind what they have printed."""
        experiment = Experiment()
        with EventReader.open_to_read(database) as store:
            for _, event in store.read_last():
                experiment.apply(event)
        folders = {trial.folder for trial in experiment.trials if not trial.status.is_final}
        due = []
        for name, size in self.files.sizes().items():
            folder, _, file = name.rpartition("/")
            if folder in folders and _is_small(file, size):
                due.append(name)
                (self._folder / folder).mkdir(exist_ok=True)

        def fetch(files: Files, name: str) -> None:
            with suppress(FileNotFoundError):
                files.download(name, self._folder / name)
                self._copied[name] = _mark(self._folder / name)

        self._by_many_hands(fetch, due)

    # -- during the run

    def start(self) -> None:
        """Begin to copy, in a thread of its own."""
        self._thread = Thread(target=self._work, name="tunesmith-mirror", daemon=True)
        self._thread.start()

    def __enter__(self) -> Mirror:
        return self

    def later(self, task: Callable[[Files], None]) -> None:
        """Do something there after the next copy, which has all that was recorded before this call.

        What is deleted must not be what the copy still needs: whoever resumes from it would miss it.
        """
        with self._lock:
            self._after.append(task)

    def _work(self) -> None:
        pause = _FIRST_S
        while not self._leaving.wait(pause) and self.lost is None:
            pause = self._pause_s()
            self._bring_up_to_date()

    def _attempt(self, act: Callable[[], None]) -> str:
        """Do something there; return why it failed. Nothing may end this thread: there would be no copy any more."""
        try:
            act()
        except TunesmithError as error:
            return str(error)
        except Exception as error:  # noqa: BLE001 - as above
            return f"{type(error).__name__}: {self._storage.clean(str(error))}"
        return self.lost or ""

    def _bring_up_to_date(self) -> None:
        """Copy; say once when that fails, and once when it works again."""
        trouble = self._attempt(self._copy)
        if not trouble and self._storage.copy_files:
            trouble = self._attempt(self._copy_files)
        if trouble and not self._trouble and self.lost is None:
            self._tell(f"{self._storage.shown} is behind: {trouble} It will be tried again; the run goes on.")
        elif self._trouble and not trouble:
            self._tell(f"{self._storage.shown} is up to date again.")
        self._trouble = trouble

    def _copy(self) -> None:
        """Copy the database if it has changed, and do what waited for that."""
        begun = time.monotonic()
        rival = self._sessions.later()
        if rival is not None:
            self.lost = (
                f"the experiment at {self._storage.shown} is carried on by {rival}, which took this run for dead. What "
                f"was not copied there is in {self._folder}"
            )
            return
        with self._lock:
            tasks = list(self._after)
        state = self._look()
        events = None
        if state != self._state:
            copy = self._folder / _COPY
            try:
                events = snapshot(self._database, copy)
                if events:
                    self._sessions.beat(self._pause_s() + copy.stat().st_size / _SLOW)
                    self.files.replace(copy, DATABASE)
            finally:
                copy.unlink(missing_ok=True)
            self._state = state if events else None
        if self._state is not None:
            for task in tasks:
                task(self.files)
            with self._lock:
                del self._after[: len(tasks)]
        self._took_s = time.monotonic() - begun
        self._sessions.beat(self._pause_s(), events)

    def _pause_s(self) -> float:
        return max(self._storage.copy_every_s, _SHARE * self._took_s)

    def _look(self) -> object:
        """Return what changes whenever something is recorded."""
        found = []
        for path in (self._database, *beside(self._database)):
            with suppress(OSError):
                status = path.stat()
                found.append((path.name, status.st_size, status.st_mtime_ns))
        return found

    # -- small files

    def _copy_files(self, *, all_of_them: bool = False) -> None:
        """Copy the small files that have changed and are at rest, or all that have changed."""
        now, every = time.time_ns(), int(self._storage.copy_every_s * 1e9)

        def is_due(name: str, mark: tuple[int, int]) -> bool:
            rests = mark[0] <= now - every
            waited = self._sent_at.get(name, self._since) <= now - _RESTLESS * every
            return (all_of_them or rests or waited) and not self._has(name, mark)

        due = {name: mark for name, mark in self._small_files() if is_due(name, mark)}

        def send(files: Files, name: str) -> None:
            if all_of_them or not self._leaving.is_set():
                with suppress(FileNotFoundError):  # it is gone meanwhile
                    files.replace(self._folder / name, name)
                self._copied[name], self._sent_at[name] = due[name], time.time_ns()

        self._by_many_hands(send, list(due))

    def _has(self, name: str, mark: tuple[int, int]) -> bool:
        """Whether a file is there as it is here; one of an earlier session is, if it is there with this length."""
        if name in self._copied or mark[0] >= self._since:
            return self._copied.get(name) == mark
        if self._there is None:
            self._there = self.files.sizes() if self._resumed else {}
        return self._there.get(name) == mark[1]

    def _by_many_hands(self, act: Callable[[Files, str], None], names: list[str]) -> None:
        """Do something with each of the files, some at a time, over a connection each."""
        if not names:
            return
        hands = [Files(self._storage, retry_s=_RETRY_S) for _ in range(min(_HANDS, len(names)))]

        def work(hand: int) -> None:
            try:
                for name in names[hand :: len(hands)]:
                    act(hands[hand], name)
            finally:
                hands[hand].close()

        with ThreadPoolExecutor(len(hands), "tunesmith-mirror") as pool:
            list(pool.map(work, range(len(hands))))

    def _small_files(self) -> Iterator[tuple[str, tuple[int, int]]]:
        """Yield the files of the experiment's folder and of the trials' folders."""
        for entry in sorted(self._folder.iterdir()):
            inner = sorted(entry.iterdir()) if entry.is_dir() and not entry.name.startswith(".") else [entry]
            for path in inner:
                with suppress(OSError):
                    status = path.lstat()
                    if stat.S_ISREG(status.st_mode) and _is_small(path.name, status.st_size):
                        yield path.relative_to(self._folder).as_posix(), (status.st_mtime_ns, status.st_size)

    # -- after the run

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        """Copy what is left and close the session; what can't be copied is said, and is here.

        Whoever leaves by force, with a second Ctrl-C, waits for nothing.
        """
        self._leaving.set()
        try:
            if kind is not None and issubclass(kind, KeyboardInterrupt):
                raise KeyboardInterrupt
            if self._thread is not None:
                self._thread.join()
            self._finish()
        except KeyboardInterrupt:
            self._tell(self._shortage("Ctrl-C"))
        finally:
            self.files.close()

    def _finish(self) -> None:
        if not is_begun(self._database):  # nothing was recorded
            with suppress(TunesmithError):
                self._sessions.withdraw()
            return
        steps = (self._copy, self._copy_files_at_end, self._close)
        why = self.lost or next((trouble for step in steps if (trouble := self._attempt(step))), "")
        if why:
            self._tell(self._shortage(why))

    def _close(self) -> None:
        self._sessions.beat(self._storage.copy_every_s, closed=True)

    def _copy_files_at_end(self) -> None:
        if self._storage.copy_files:
            self._copy_files(all_of_them=True)

    def _shortage(self, why: str) -> str:
        hint = f" All of it is in {self._folder}: the same call with resume=True, on this machine, brings it there."
        return f"{self._storage.shown} does not have all of this run ({why}).{'' if self.lost else hint}"


def _is_small(name: str, size: int) -> bool:
    return not name.startswith((".", DATABASE)) and name not in _KEPT and 0 < size <= _FILE_BYTES


def _mark(path: Path) -> tuple[int, int]:
    status = path.stat()
    return status.st_mtime_ns, status.st_size
