"""Makes a whole store out of what is whole of a damaged one.

What is recovered is always a beginning of the record, up to the first event that can't be read or that contradicts
those before it. Such a beginning is a state that the experiment really was in, and all that came later is done again
from there, decided as it would have been. To drop events from the middle would give a record of what never happened: a
trial that was stopped for no reason, a scheduler that never saw what it decided by.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from itertools import count
from pathlib import Path
from typing import Final

import msgspec

from tunesmith.core.experiment import Experiment
from tunesmith.errors import ExperimentDamagedError, IllegalMoveError, StorageError
from tunesmith.events import Created, Event, Reported, TrialEvent
from tunesmith.store.database import BESIDE, DATABASE, is_begun, recovered_path
from tunesmith.store.encoding import checksum, decode, encode
from tunesmith.store.lock import ExperimentLock
from tunesmith.store.pages import Pages, Value
from tunesmith.store.reading import EventReader
from tunesmith.store.shared import shared_type
from tunesmith.store.sqlite import EventStore
from tunesmith.store.tail import read_tail, tail_path
from tunesmith.worker.disk import sync_folder

DROPPED: Final = "dropped.jsonl"
_BATCH = 1000
_SHOWN = 10  # trials that the text names


class Loss(msgspec.Struct, frozen=True):
    """What was dropped of a trial. `before` is the iteration that it had come to, `now` the one that is recorded.

    `now` is None for a trial that is not in the record any more.
    """

    trial: int
    reports: int
    before: int
    now: int | None


class Recovery(msgspec.Struct, frozen=True):
    """What was recovered of an experiment. As text it says so, and how to go on.

    `events`, `reports` and `trials` are in the record. `broken` is why it goes no further; empty when nothing was
    damaged and so nothing was changed. `dropped` is how many later events can still be read, `unreadable` how many are
    known to be missing, `losses` what the former mean, by trial. `kept` is the folder with the damaged files, and with
    the text of the dropped events if there are any. `missing` are the checkpoints that a trial would go on from and
    that are gone.
    """

    folder: Path
    events: int
    reports: int
    trials: int
    broken: str = ""
    dropped: int = 0
    unreadable: int = 0
    losses: list[Loss] = []
    missing: list[str] = []
    kept: Path | None = None

    def __str__(self) -> str:
        stock = f"{self.events:,} events, {self.trials:,} trials, {self.reports:,} reports"
        if not self.broken:
            return f"The experiment at {self.folder} is whole: {stock}. Nothing was changed."
        lines = [
            f"Recovered of the experiment at {self.folder}: {stock}.",
            f"Not more, because {self.broken}.",
            f"Dropped: {self.dropped:,} later events that can be read, {self.unreadable:,} that can't.",
            *map(_told, self.losses[:_SHOWN]),
        ]
        if len(self.losses) > _SHOWN:
            lines.append(f"  and {len(self.losses) - _SHOWN:,} more trials")
        lines += [
            f"The checkpoint {path} is gone, perhaps because a newer one had replaced it: its trial goes on from the"
            " one before, or begins again."
            for path in self.missing
        ]
        lines.append(f"The damaged files are in {self.kept}.")
        if self.dropped:
            lines.append(f"What can be read of the dropped events is there, too, in {DROPPED}: a line of JSON each.")
        lines.append(
            f'To go on from here, make the same call as before with name="{self.folder.name}", resume=True. '
            "What was dropped is done again."
        )
        return "\n".join(lines)


def _told(loss: Loss) -> str:
    if loss.now is None:
        return f"  trial {loss.trial}: is not in the record any more, nor are its {loss.reports:,} reports"
    if loss.before > loss.now:
        return f"  trial {loss.trial}: back from iteration {loss.before:,} to {loss.now:,}"
    return f"  trial {loss.trial}: {loss.reports:,} reports and what was decided after iteration {loss.now:,}"


def recover(folder: Path) -> Recovery:
    """Replace a damaged store by a whole one, with all that can be relied on. Change nothing if it is whole.

    The damaged files are moved into a folder beside it and are never written. Whoever interrupts this may call it
    again.

    Raises:
        ExperimentBusyError: a driver runs the experiment, or another recovery.
        StorageError: there is no experiment, nothing of it can be recovered, or the folder can't be written.

    Example:
        >>> print(recover(Path("~/tunesmith/digits").expanduser()))  # doctest: +SKIP
    """
    folder = folder.absolute()
    path = folder / DATABASE
    if not is_begun(path):
        raise StorageError(f"There is no experiment at {folder}: it has no {DATABASE}.")
    with ExperimentLock(folder, shared_type(folder)):
        whole = _whole(path)
        if whole is not None:
            return whole
        try:
            return _replace(path)
        except OSError as error:
            if isinstance(error, StorageError):
                raise
            raise StorageError(f"What was recovered can't be written into {folder}: {error}.") from error


def _whole(path: Path) -> Recovery | None:
    """Return what is in the store if all of it can be read, None if it is damaged."""
    salvage = Salvage()
    try:
        with EventReader.open_to_read(path) as store:
            store.check()
            whole = all(salvage.take(seq, event) for seq, event in store.read())
    except ExperimentDamagedError:
        return None
    return salvage.result(path.parent) if whole else None


def _replace(path: Path) -> Recovery:
    """Put what can be recovered in the place of the damaged files."""
    made, salvage = recovered_path(path), Salvage()
    if made.exists():  # an earlier recovery was interrupted, and all that is left to do is this
        with closing(EventReader.open_aside(made)) as store:
            for seq, event in store.read():
                salvage.take(seq, event)
        salvage.broken = "an earlier recovery got no further"
    else:
        _make(path, made, salvage)
    kept = next(place for i in count(1) if not (place := path.parent / f"damaged-{i}").exists())
    kept.mkdir()
    for name in (path.name, *(path.name + suffix for suffix in BESIDE), DROPPED):
        if (path.parent / name).exists():
            (path.parent / name).rename(kept / name)
    made.rename(path)
    sync_folder(path.parent)
    return salvage.result(path.parent, kept)


def _make(path: Path, made: Path, salvage: Salvage) -> None:
    """Write what can be recovered from `path` to `made`, which is there when it is complete."""
    aside, lost = made.with_name(f"{made.name}.part"), path.with_name(DROPPED)
    for old in (aside, *(aside.with_name(aside.name + suffix) for suffix in BESIDE), lost):
        old.unlink(missing_ok=True)
    with EventStore.create(aside, "full") as store, Pages(path) as pages, lost.open("wb") as text:
        batch: list[Event] = []
        for seq, event in _events(pages, path):
            if salvage.take(seq, event):
                batch.append(event)  # type: ignore[arg-type]  # None is never taken
            elif event is not None:
                text.write(b'{"seq":%d,"event":%s}\n' % (seq, encode(event)))
            if len(batch) == _BATCH:
                store.append(batch)
                batch = []
        store.append(batch)
        store.settle()
    if not salvage.dropped:
        lost.unlink()
    salvage.broken = salvage.broken or f"nothing after event {salvage.events:,} can be read"
    if not salvage.events:
        aside.unlink()
        rest = f"What can be read of it is in {lost}, a line of JSON an event. " if salvage.dropped else ""
        raise StorageError(
            f"Nothing of the experiment at {path.parent} can be recovered: {salvage.broken}, and without it nobody "
            f"knows how the experiment began. {rest}Nothing was changed. Begin it anew with another name=."
        )
    aside.rename(made)


def _events(pages: Pages, path: Path) -> Iterator[tuple[int, Event | None]]:
    """Yield the numbers of all events that there are traces of, in order, with those that can be relied on."""
    last = 0
    for seq, values in pages.rows():
        if seq > last and len(values) in (4, 5) and values[0] is None:
            last = seq
            yield seq, _event(seq, *values[1:])
    found = read_tail(tail_path(path))
    for seq, body, _ in [*found.whole, *found.later]:
        if seq > last:
            last = seq
            yield seq, _decoded(body)


def _event(seq: int, kind: Value, trial: Value, body: Value, crc: Value = None) -> Event | None:
    """Return the event if all that is known of it fits together."""
    if not isinstance(body, bytes) or (crc is not None and crc != checksum(seq, body)):
        return None
    event = _decoded(body)
    fits = kind == type(event).__name__.lower().encode() and trial == getattr(event, "trial", None)
    return event if fits else None


def _decoded(body: bytes) -> Event | None:
    try:
        return decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return None


class Salvage:
    """Tells the events that make a record from those that come after its break, and counts both."""

    def __init__(self) -> None:
        self.broken = ""
        self.events = self.reports = self.dropped = 0
        self._last = 0
        self._experiment = Experiment()
        self._lost: dict[int, tuple[int, int]] = {}  # reports and the highest iteration, by trial

    def take(self, seq: int, event: Event | None) -> bool:
        """Take the next event that was found, None if it can't be read; return whether it belongs to the record."""
        self._last = seq
        self.broken = self.broken or self._fold(seq, event)
        if not self.broken:
            self.events += 1
            self.reports += type(event) is Reported
            return True
        if event is not None:
            self.dropped += 1
            if isinstance(event, TrialEvent):
                reports, iteration = self._lost.get(event.trial, (0, 0))
                if isinstance(event, Reported):
                    reports, iteration = reports + 1, max(iteration, event.iteration)
                self._lost[event.trial] = reports, iteration
        return False

    def _fold(self, seq: int, event: Event | None) -> str:
        """Fold the event; return why it can't be, if so."""
        if seq != self.events + 1:
            return f"event {self.events + 1:,} is missing"
        if event is None:
            return f"event {seq:,} can't be read"
        if seq == 1 and not isinstance(event, Created):
            return "the first event is not the experiment's beginning"
        try:
            self._experiment.apply(event)
        except IllegalMoveError as error:
            return f"event {seq:,} contradicts those before it: {error}"
        return ""

    def result(self, folder: Path, kept: Path | None = None) -> Recovery:
        """Return what was found, of the experiment in `folder`."""
        trials = self._experiment.trials
        losses = []
        for trial, (reports, before) in sorted(self._lost.items()):
            now = trials[trial].iteration if trial < len(trials) else None
            losses.append(Loss(trial, reports, max(before, now or 0), now))
        needed = [t.checkpoint.path for t in trials if t.checkpoint is not None and not t.status.is_final]
        return Recovery(
            folder,
            self.events,
            self.reports,
            len(trials),
            self.broken,
            self.dropped,
            self._last - self.events - self.dropped,
            losses,
            [path for path in needed if not (folder / path).is_dir()] if kept else [],
            kept,
        )
