"""Reads the rows of a damaged SQLite database off its pages, without SQLite.

SQLite finds a row by way of the pages above it, and gives all of them up when one is damaged. Rows lie in leaf pages,
each of which can be read by itself: what is whole is found here whatever became of the rest. Source of the formats:
https://www.sqlite.org/fileformat2.html, sections 1 (pages), 2.1 (records) and 4 (the write-ahead log).
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import BinaryIO, Final, NamedTuple, TypeAlias

Value: TypeAlias = int | float | bytes | None
Row: TypeAlias = tuple[int, tuple[Value, ...]]

PAGE_SIZE: Final = 2048  # of all databases of this library: the first page, which would say it, may be damaged
_LEAF: Final = 0x0D
_INTEGERS: Final = {1: 1, 2: 2, 3: 3, 4: 4, 5: 6, 6: 8}  # bytes, by serial type
_WAL_HEADER, _FRAME_HEADER = struct.Struct(">8I"), struct.Struct(">6I")
_WAL_MAGIC: Final = {0x377F0682: "<", 0x377F0683: ">"}  # and the order of bytes that its checksums are made in


class Page(NamedTuple):
    """Where a page's bytes are."""

    file: BinaryIO
    offset: int


class Pages:
    """The pages of the database at `path`, as its write-ahead log has changed them. Use it as a context.

    Nothing is written. What is not there, or is cut short, has fewer pages.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._pages: dict[int, Page] = {}  # those in the log, by number
        self._stack = ExitStack()

    def __enter__(self) -> Pages:
        self._main, length = self._open(self._path)
        log, log_length = self._open(self._path.with_name(f"{self._path.name}-wal"))
        head = self._read(self._main, 0, 100)
        reserved = head[20] if head.startswith(b"SQLite format 3\0") else 0  # some builds keep bytes for themselves
        self._usable = PAGE_SIZE - reserved
        self._last = -(-length // PAGE_SIZE)
        if log is not None and log_length:
            self._pages = self._committed(log)
            self._last = max(self._last, *self._pages, 0)
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def rows(self) -> Iterator[Row]:
        """Yield the rows of all leaf pages of tables that can be read, by row id and with a record's values.

        They come in the order of the pages' first rows: those of a table in which rows are only added, in their order.
        The first value, which a table with an integer key leaves out, is None.
        """
        found = []
        for number in range(1, self._last + 1):
            rows = self._leaf(self._page(number), first=True)
            found += [(seq, number) for seq, _ in rows]
        for _, number in sorted(found):
            yield from self._leaf(self._page(number))

    # -- files

    def _open(self, path: Path) -> tuple[BinaryIO | None, int]:
        try:
            file = self._stack.enter_context(path.open("rb"))
        except FileNotFoundError:
            return None, 0
        return file, path.stat().st_size

    @staticmethod
    def _read(file: BinaryIO | None, offset: int, length: int) -> bytes:
        """Return so many bytes; zeros in the place of those that are not there or that the disk can't read."""
        found = b""
        if file is not None:
            try:
                file.seek(offset)
                found = file.read(length)
            except OSError:
                pass  # a bad sector
        return found.ljust(length, b"\0")

    def _page(self, number: int) -> bytes:
        place = self._pages.get(number)
        if place is not None:
            return self._read(*place, PAGE_SIZE)
        return self._read(self._main, (number - 1) * PAGE_SIZE, PAGE_SIZE)

    def _committed(self, log: BinaryIO) -> dict[int, Page]:
        """Return the last versions of pages in the log, up to the last commit before anything in it is damaged.

        What comes after that may be of a transaction that was taken back, so that it says what never happened.
        """
        head = self._read(log, 0, _WAL_HEADER.size)
        magic, _, size, _, *salts, first, second = _WAL_HEADER.unpack(head)
        order = _WAL_MAGIC.get(magic, "<")
        sums = _sums(head[:24], order, (0, 0))
        if magic not in _WAL_MAGIC or sums != (first, second):
            return {}
        committed: dict[int, Page] = {}
        pending: dict[int, Page] = {}
        offset = _WAL_HEADER.size
        while size == PAGE_SIZE:
            head = self._read(log, offset, _FRAME_HEADER.size)
            number, length, *salt, first, second = _FRAME_HEADER.unpack(head)
            if salt != salts or not number:
                break
            offset += len(head)
            sums = _sums(head[:8] + self._read(log, offset, size), order, sums)
            if sums != (first, second):
                break
            pending[number] = Page(log, offset)
            offset += size
            if length:  # the end of a transaction
                committed |= pending
                pending.clear()
        return committed

    # -- pages

    def _leaf(self, page: bytes, *, first: bool = False) -> Iterator[Row]:
        """Yield the rows of a leaf page of a table, or only its first one; none of another page."""
        if page[0] != _LEAF:
            return
        count = int.from_bytes(page[3:5], "big")
        for at in range(8, 8 + 2 * min(count, (self._usable - 8) // 2), 2):
            try:
                row = self._cell(page, int.from_bytes(page[at : at + 2], "big"))
            except (IndexError, ValueError):
                continue
            yield row
            if first:
                return

    def _cell(self, page: bytes, at: int) -> Row:
        length, at = _varint(page, at)
        seq, at = _varint(page, at)
        usable = self._usable
        if length <= usable - 35:
            return seq, _record(page[at : at + length])
        least = (usable - 12) * 32 // 255 - 23
        local = least + (length - least) % (usable - 4)
        local = least if local > usable - 35 else local
        pieces, rest = [page[at : at + local]], length - local
        following = int.from_bytes(page[at + local : at + local + 4], "big")
        while rest > 0:
            if not 0 < following <= self._last or rest > self._last * usable:
                raise ValueError("the chain of the row's pages is broken")
            overflow = self._page(following)
            pieces.append(overflow[4 : min(usable, 4 + rest)])
            rest -= usable - 4
            following = int.from_bytes(overflow[:4], "big")
        return seq, _record(b"".join(pieces))


def _record(payload: bytes) -> tuple[Value, ...]:
    """Return the values of a record."""
    end, at = _varint(payload, 0)
    place, values = end, []
    while at < end:
        serial, at = _varint(payload, at)
        value, place = _value(serial, payload, place)
        values.append(value)
    if at != end or place != len(payload):
        raise ValueError("the record has another length than it says")
    return tuple(values)


def _value(serial: int, payload: bytes, at: int) -> tuple[Value, int]:
    if serial == 0:
        return None, at
    if serial in (8, 9):
        return serial - 8, at
    if serial in _INTEGERS or serial == 7:
        length = _INTEGERS.get(serial, 8)
        piece = payload[at : at + length]
        if len(piece) < length:
            raise ValueError("the record is cut short")
        value = struct.unpack(">d", piece)[0] if serial == 7 else int.from_bytes(piece, "big", signed=True)
        return value, at + length
    if serial < 12:
        raise ValueError("there is no such type of a value")
    length = (serial - 12) // 2
    return payload[at : at + length], at + length


def _varint(data: bytes, at: int) -> tuple[int, int]:
    """Return a number of one to nine bytes, and where it ends."""
    value = 0
    for place in range(at, at + 8):
        byte = data[place]
        value = value << 7 | byte & 0x7F
        if byte < 0x80:
            return value, place + 1
    return value << 8 | data[at + 8], at + 9


def _sums(data: bytes, order: str, sums: tuple[int, int]) -> tuple[int, int]:
    """Return the checksums of a log, gone on with `data`."""
    first, second = sums
    words = iter(struct.unpack(f"{order}{len(data) // 4}I", data))
    for one, other in zip(words, words, strict=True):
        first = first + one + second & 0xFFFFFFFF
        second = second + other + first & 0xFFFFFFFF
    return first, second
