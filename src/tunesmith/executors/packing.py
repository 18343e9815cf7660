"""Turns a job and a trial's start into what is sent to the processes that run them."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from tunesmith.commands import Start
from tunesmith.errors import NotPicklableError
from tunesmith.executors.pickling import pack_config
from tunesmith.worker import wire
from tunesmith.worker.by_value import dumps
from tunesmith.worker.job import Job
from tunesmith.worker.process import THREAD_LIMITS

if TYPE_CHECKING:
    from tunesmith.remote.storage import RemoteStorage


def job_sheet(
    job: Job, start: str, size: int, spans: list[tuple[int, int]], *, reuse: bool, prepare: str = ""
) -> wire.JobSheet:
    """Return the plain half of a job; `size` and `spans` describe the other half, in its file.

    Raises:
        NotPicklableError: an option of the storage can't be sent to another process.
    """
    threads = {} if job.threads is None else {name: str(job.threads) for name in THREAD_LIMITS}
    return wire.JobSheet(
        job.path,
        job.experiment_id,
        job.experiment_name,
        job.checkpoint_freq,
        job.checkpoint_at_end,
        job.chdir,
        job.metric,
        job.seed,
        reuse,
        start,
        size,
        spans,
        {name: value for name, value in threads.items() if name not in os.environ},
        [name for name in THREAD_LIMITS if name in os.environ],
        prepare,
        b"" if job.remote is None else _pack_storage(job.remote),
    )


def _pack_storage(storage: RemoteStorage) -> bytes:
    try:
        return dumps(storage)
    except Exception as error:
        names = ", ".join(storage.options)
        raise NotPicklableError(
            f"The options of {storage.shown} ({names}) can't be sent to a worker process ({type(error).__name__}). Give"
            " texts and numbers, such as the name of a file with credentials."
        ) from error


def assignment(start: Start, visible: str) -> bytes:
    """Return a trial's start for its worker, which will see the GPUs `visible`.

    Raises:
        NotPicklableError: the configuration can't be sent to another process.
    """
    resources = start.allocation.resources
    return wire.encode(
        wire.Assignment(
            start.trial,
            start.incarnation,
            start.trial_id,
            start.name,
            start.folder,
            pack_config(start.config),
            visible,
            resources.cpu,
            resources.gpu,
            resources.named,
            start.checkpoint,
            start.iteration,
            start.time_total_s,
            start.attempt,
        )
    )
