"""Explains how a worker's process came to its end."""

from __future__ import annotations

import os
import signal
from pathlib import Path

from tunesmith.trial import Failure
from tunesmith.worker.wire import Ended

_CRASHES = (signal.SIGSEGV, signal.SIGBUS, signal.SIGABRT, signal.SIGFPE, signal.SIGILL)
_TAIL = 4000


def explain(ended: Ended, *, memory_was_short: bool, overdue: Failure | None, stderr: Path) -> Failure:  # noqa: D417 - told in prose
    """Return why a worker went without a last word.

    Args:
        memory_was_short: the kernel has killed for memory, and no other death is known that this explains.
        overdue: why the worker was killed by this library, if it was.
        stderr: where its errors went; its end is kept where it tells something.
    """
    if ended.pid == 0:
        return Failure("start", f"No process could be started: {os.strerror(ended.status)}.")
    if overdue is not None:
        return overdue
    if os.WIFEXITED(ended.status):
        code = os.WEXITSTATUS(ended.status)
        return Failure(
            "exit",
            f"The worker's process ended with exit code {code} while the trial was running, as by os._exit({code}). "
            "Return from the trainable to end a trial.",
            tail(stderr),
        )
    number = os.WTERMSIG(ended.status)
    name = _name(number)
    if number == signal.SIGTERM:
        return Failure(
            "preempted", f"The worker's process was told to leave ({name}), as by a machine that is taken back."
        )
    if number != signal.SIGKILL:
        what = "crashed" if number in _CRASHES else "was killed"
        return Failure("killed", f"The worker's process {what} ({name}).", tail(stderr) if number in _CRASHES else "")
    peak = f"Its memory had reached {_size(ended.peak)}."
    if memory_was_short:
        return Failure(
            "memory",
            f"The worker's process was killed by the kernel because memory ran out. {peak} "
            "Run fewer trials at a time with max_concurrent_trials=, or use less memory in each.",
        )
    return Failure(
        "killed",
        f"The worker's process was killed by {name}, which the kernel's out-of-memory killer also uses. {peak}",
    )


def _name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def _size(kib: int) -> str:
    return f"{kib / 2**20:.1f} GiB" if kib >= 2**20 else f"{kib / 2**10:.0f} MiB"


def tail(path: Path) -> str:
    """Return the last 4,000 bytes of a text file; nothing if it can't be read."""
    try:
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - _TAIL))
            return file.read().decode("utf-8", "replace").strip()
    except OSError:
        return ""
