"""A worker's way to its driver."""

from __future__ import annotations

import os

from tunesmith import events as e
from tunesmith.worker.process import PipeChannel


def test_a_report_to_a_driver_that_is_gone_ends_the_worker_and_raises_nothing_into_the_users_code() -> None:
    up_reader, up = os.pipe()
    down, down_writer = os.pipe()
    os.close(up_reader)
    pid = os.fork()
    if pid == 0:
        code = 7
        try:
            PipeChannel(up, down, 0).exchange(e.Reported(0, 1, 1, {"loss": 0.5}, 0.0, 1.0, 1.0, 1.0, 1))
        except BaseException:  # noqa: BLE001 - whatever the user's code would see
            code = 8
        finally:
            os._exit(code)
    _, status = os.waitpid(pid, 0)
    for fd in (up, down, down_writer):
        os.close(fd)
    assert os.waitstatus_to_exitcode(status) == 1
