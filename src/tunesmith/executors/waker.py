"""What makes a poll return that waits in another thread."""

from __future__ import annotations

import os


class Waker:
    """A pipe to oneself. Until it is opened, and when it is closed, `wake` does nothing.

    Attributes:
        reader: the descriptor that has something to read after a `wake`; -1 while there is none.
    """

    def __init__(self) -> None:
        self.reader = self._writer = -1

    def open(self) -> None:
        """Make the pipe."""
        self.reader, self._writer = os.pipe()
        for fd in (self.reader, self._writer):
            os.set_blocking(fd, False)

    def wake(self) -> None:
        """Give the reader something to read; from any thread."""
        try:
            os.write(self._writer, b"w")
        except OSError:  # enough are in the pipe, or it is closed
            pass

    def drain(self) -> None:
        """Read what is there, if anything is."""
        try:
            os.read(self.reader, 4096)
        except BlockingIOError:
            pass

    def close(self) -> None:
        """Give both ends back."""
        writer, self._writer = self._writer, -1  # a late `wake` must not write to what has the number next
        os.close(writer)
        os.close(self.reader)
        self.reader = -1
