"""Puts the picture on a terminal, with rich. Imported only when there is a terminal to draw on."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from contextlib import suppress
from textwrap import wrap
from typing import TextIO

from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, RenderResult
from rich.control import Control
from rich.live import Live
from rich.segment import ControlType, Segment
from rich.style import Style
from rich.text import Text

from tunesmith.console.screen import Line, Screen
from tunesmith.console.summary import TITLE, summary
from tunesmith.console.tally import Tally

_FINAL_ROWS = 5
_STYLES = {
    name: Style.parse(name)
    for name in ("bold", "dim", "bold green", "bold red", "bold magenta", "cyan", "magenta", "green", "red")
}


class LiveTable:
    """Draws a tally on a terminal, never taller or wider than it.

    What the user's code prints meanwhile comes out above the table.
    """

    def __init__(self, tally: Tally, stream: TextIO, size: tuple[int, int] | None = None) -> None:
        self._tally = tally
        self._screen = Screen(tally, _measure)
        width, height = size or (None, None)
        self._console = Console(file=stream, force_terminal=True, width=width, height=height, highlight=False)
        self._live = Live(
            console=self._console,
            auto_refresh=False,
            transient=True,
            vertical_overflow="crop",
            redirect_stderr=_is_terminal(sys.stderr),  # what goes to a file shall go on doing so
        )
        self._drawn: list[int] = []
        self._live.start()

    def print(self, lines: Iterable[str]) -> None:
        """Print lines above the table."""
        self._console.print(Text("\n".join(lines)), soft_wrap=True)

    def show(self, now: float) -> None:
        """Draw the present state."""
        width, height = self._console.size
        width, height = max(width - 1, 1), max(height - 1, 1)  # a terminal scrolls at its last line and column
        self._close_gap(width + 1)
        lines = self._screen.lines(now, width, height)
        self._drawn = [sum(_measure(text) for text, _ in line) for line in lines]
        self._live.update(_Picture(lines), refresh=True)

    def finish(self, now: float) -> None:
        """Replace the table by the best few trials and the summary."""
        self._live.update("", refresh=True)
        self._live.stop()
        table = self._screen.table(_FINAL_ROWS, max(self._console.width - 1, 1))
        if table:
            self._console.print(_Picture([*table, [], []]))
        for title, text in summary(self._tally, now):
            style = "red" if title == "Failed" else ""
            for index, part in enumerate(self._wrapped(text)):
                line = Text.assemble((f"{'' if index else title:<{TITLE}}", "bold"), (part, style))
                self._console.print(line, soft_wrap=True)

    def abandon(self) -> None:
        """Give the terminal back after a failure, whatever still works."""
        with suppress(Exception):
            self._live.stop()

    def _wrapped(self, text: str) -> list[str]:
        if str(self._tally.path) in text:
            return [text]  # the terminal wraps a path, so that it can be copied whole
        room = max(self._console.width - TITLE - 1, 20)
        return wrap(text, room, break_long_words=False, break_on_hyphens=False)

    def _close_gap(self, width: int) -> None:
        """Erase the lines that a terminal which has become narrower made by wrapping the last picture."""
        extra = sum((size - 1) // width for size in self._drawn if size > width)
        if extra:
            up = ((ControlType.CURSOR_UP, 1), (ControlType.ERASE_IN_LINE, 2))
            self._console.control(Control((ControlType.ERASE_IN_LINE, 2), *(up * extra)))


class _Picture:
    """Lines as rich wants them; much cheaper than its tables, which are measured anew each time."""

    def __init__(self, lines: Sequence[Line]) -> None:
        self._lines = lines

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        for index, line in enumerate(self._lines):
            if index:
                yield Segment.line()
            plain = ""
            for text, style in line:
                if not style:
                    plain += text
                    continue
                if plain:
                    yield Segment(plain)
                    plain = ""
                yield Segment(text, _STYLES[style])
            if plain:
                yield Segment(plain)


def _measure(text: str) -> int:
    return len(text) if text.isascii() else cell_len(text)


def _is_terminal(stream: TextIO | None) -> bool:
    return stream is not None and stream.isatty()
