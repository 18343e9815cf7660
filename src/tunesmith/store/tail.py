"""The tail of a store: a file of lines with the last events, which have not been brought into the database yet.

A line is written by a single call of the kernel, for which SQLite needs ten. Its format is
described in docs/store.md.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final, NamedTuple, TypeAlias

from tunesmith.store.encoding import checksum
from tunesmith.worker.disk import sync_folder

Row: TypeAlias = tuple[int, str, int | None, bytes, int]  # one of the database: with an event's kind and trial
Numbered: TypeAlias = tuple[int, bytes, int]  # an event's place in the order, its text, and the sum of both
SUFFIX: Final = "-tail"
_BLANK: Final = 8  # so many zeros are what was never written, and not a damaged byte


def tail_path(database: Path) -> Path:
    """Return where the tail of a database is, if there is one."""
    return database.with_name(database.name + SUFFIX)


class Tail:
    """Appends to the file at `path`, which is there from the first append to `remove`. Only a driver has one.

    With `synced` an append waits for the disk.
    """

    def __init__(self, path: Path, *, synced: bool) -> None:
        self._path = path
        self._synced = synced
        self._fd = -1
        self.size = 0

    def append(self, events: Sequence[Row]) -> None:
        """Write the events as one batch: who reads it finds all of them or none.

        Raises:
            OSError: the disk is full or failed; nothing was written.
        """
        if len(events) == 1:  # the usual case
            seq, _, _, body, crc = events[0]
            text = b"0 %d %d %b\n" % (seq, crc, body)
        else:
            lefts = range(len(events) - 1, -1, -1)
            lines = zip(lefts, events, strict=True)
            text = b"".join(
                [b"%d %d %d %b\n" % (left, seq, crc ^ left, body) for left, (seq, _, _, body, crc) in lines]
            )
        if self._fd < 0:
            self._open()
        try:
            if os.write(self._fd, text) < len(text):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            if self._synced:
                os.fdatasync(self._fd)
        except OSError:
            with suppress(OSError):  # what is left of it is no whole batch, and so does not count
                os.ftruncate(self._fd, self.size)
            raise
        self.size += len(text)

    def _open(self) -> None:
        self._fd = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o644)
        self.size = os.fstat(self._fd).st_size
        if self._synced:
            sync_folder(self._path.parent)

    def clear(self) -> None:
        """Drop the events: all of them are in the database."""
        if self._fd >= 0:
            os.ftruncate(self._fd, 0)
            self.size = 0

    def remove(self) -> None:
        """Delete the file: all of its events are in the database."""
        self.close()
        self._path.unlink(missing_ok=True)

    def close(self) -> None:
        """Leave the file as it is."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


class Found(NamedTuple):
    """What a tail holds: the `whole` batches, and, if it is `damaged`, the events behind that which can be read."""

    whole: list[Numbered]
    damaged: bool = False
    later: Sequence[Numbered] = ()


def read_tail(path: Path) -> Found:
    """Return what is in the file, nothing if there is none.

    A batch at the end that was cut short, or blank in part, is what a death or a loss of power leaves, and no damage.
    """
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return Found([])
    whole: list[Numbered] = []
    batch: list[Numbered] = []
    wanted = -1  # how many of the batch are left, if one has begun
    at = 0
    while at < len(data):
        end = data.find(b"\n", at)
        end = len(data) if end < 0 else end
        found = _parse(data[at:end])
        last = batch or whole
        if found is None or (batch and found[0] != wanted) or (last and found[1][0] != last[-1][0] + 1):
            break
        left, event = found
        batch.append(event)
        wanted = left - 1
        if not left:
            whole += batch
            batch = []
        at = end + 1
    rest = data[at:]
    later = _all(rest)
    torn = not later and (b"\n" not in rest or bytes(_BLANK) in rest)
    return Found(whole, not torn, [] if torn else [*batch, *later])


def _all(data: bytes) -> list[Numbered]:
    return [found[1] for found in map(_parse, data.split(b"\n")) if found is not None]


def _parse(line: bytes) -> tuple[int, Numbered] | None:
    """Return an event, and how many of its batch come after it, if the line is what was written."""
    parts = line.split(b" ", 3)
    try:
        left, seq, mark = map(int, parts[:3])
        body = parts[3]
    except (ValueError, IndexError):
        return None
    crc = mark ^ left
    return (left, (seq, body, crc)) if crc == checksum(seq, body) else None
