"""Log lines in the form of 2019."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import TextIO


def log(level: str, text: str, stream: TextIO | None = None) -> None:
    """Write a log line to the error output."""
    now = time.time()
    frame = sys._getframe(1)
    stamp = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(now)) + f",{int(now % 1 * 1000):03d}"
    where = f"{Path(frame.f_code.co_filename).name}:{frame.f_lineno}"
    print(f"{stamp}\t{level} {where} -- {text}", file=stream or sys.stderr, flush=True)
