"""A worker in a fresh interpreter, for trials that can't be forked."""

from __future__ import annotations

import faulthandler
import os
import signal
from functools import cache
from typing import NoReturn

from tunesmith.worker import wire
from tunesmith.worker.kernel import Kernel
from tunesmith.worker.loading import load_job
from tunesmith.worker.process import Host, PipeChannel, Worker, quiet_start
from tunesmith.worker.zygote import FIRST, JOB_FILE, UP

_DOWN = 3


def main() -> NoReturn:
    """Be the worker that the zygote has spawned."""
    os.setsid()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    kernel = Kernel()
    kernel.become_worker()
    faulthandler.enable()
    for fd in (_DOWN, UP, JOB_FILE):
        os.set_inheritable(fd, False)
    with open(FIRST, "rb") as file:  # noqa: PTH123 - a descriptor
        order = wire.decode_spawn_order(file.read())
    quiet_start()
    worker = Worker(order.sheet, Host(), cache(lambda: load_job(order.sheet, JOB_FILE)))
    worker.run(PipeChannel(UP, _DOWN, order.slot), wire.decode_assignment(order.assignment))
