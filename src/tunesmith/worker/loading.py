"""Turns the file that the driver sent back into the job: the user's modules are imported here."""

from __future__ import annotations

import mmap
import pickle
import sys
from collections.abc import Sequence
from importlib import import_module
from typing import Any, TypeAlias

from tunesmith.worker.job import Job
from tunesmith.worker.randomness import load_generators
from tunesmith.worker.wire import JobSheet

Buffer: TypeAlias = Any  # bytes, a memoryview, or whatever else has its content in one piece


def load_job(sheet: JobSheet, fd: int) -> Job:
    """Return the job in the file `fd`.

    Large buffers are mapped, not read: forked workers share their pages, and writing to one changes the writer's own
    copy alone.
    """
    size = sheet.spans[-1][0] + sheet.spans[-1][1] if sheet.spans else sheet.size
    mapped = memoryview(mmap.mmap(fd, max(size, 1), access=mmap.ACCESS_COPY))
    return unpack_job(sheet, mapped[: sheet.size], [mapped[at : at + length] for at, length in sheet.spans])


def unpack_job(sheet: JobSheet, data: Buffer, buffers: Sequence[Buffer]) -> Job:
    """Return the job whose pickle is `data`, with the buffers that were left out of it."""
    if sheet.prepare:
        import_module(sheet.prepare)
    trainable, parameters = pickle.loads(data, buffers=buffers)
    _expose(trainable)
    load_generators()
    remote = None
    if sheet.remote:
        from tunesmith.remote.files import import_packages

        remote = pickle.loads(sheet.remote)
        import_packages(remote)  # once, before workers are forked
    return Job(
        trainable,
        parameters,
        sheet.path,
        sheet.experiment_id,
        sheet.experiment_name,
        sheet.checkpoint_freq,
        sheet.checkpoint_at_end,
        sheet.chdir,
        sheet.metric,
        seed=sheet.seed,
        remote=remote,
    )


def _expose(trainable: Any) -> None:
    """Put what came by value from the user's script back under its name in ``__main__``.

    Without it, the user's own pickling (``torch.save`` of a model, say) would not find the classes of the script.
    """
    main = vars(sys.modules["__main__"])
    while (inner := getattr(trainable, "__wrapped__", None)) is not None:  # as functools.wraps leaves it
        trainable = inner
    found: dict[str, Any] = {}
    for item in (trainable, *(vars(trainable).values() if isinstance(trainable, type) else ())):
        if getattr(item, "__module__", None) == "__main__":
            found.update(getattr(item, "__globals__", {}))
            found.setdefault(getattr(item, "__name__", ""), item)
    for name, value in found.items():
        if name.isidentifier() and not name.startswith("__"):
            main.setdefault(name, value)
