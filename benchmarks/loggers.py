"""What the loggers cost: runs with them and without, in turns, in one process.

python benchmarks/loggers.py [--rounds 15] [--reports 10000]
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from statistics import median

from ours import chatty, run  # type: ignore[import-not-found]  # beside this script, which is run as one

import tunesmith as tune

KINDS: dict[str, Sequence[Callable[[], tune.Callback]]] = {
    "CSV": (tune.CSVLogger,),
    "JSON": (tune.JSONLogger,),
    "both": (tune.CSVLogger, tune.JSONLogger),
}
ASKED = 0.10


def measure(workers: int, reports: int, make: Sequence[Callable[[], tune.Callback]]) -> tuple[float, float]:
    """Seconds that a report takes, and seconds of the driver's CPU in it, without the start and the end of a run."""
    seconds, cpu = [], []
    for count in (50, reports // workers):
        begun, used = time.perf_counter(), time.process_time()
        callbacks = [one() for one in make]
        run(chatty, {"reports": count}, workers, max_concurrent_trials=workers, callbacks=callbacks)
        seconds.append(time.perf_counter() - begun)
        cpu.append(time.process_time() - used)
    more = reports - 50 * workers
    return (seconds[1] - seconds[0]) / more, (cpu[1] - cpu[0]) / more


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--reports", type=int, default=10_000)
    arguments = parser.parse_args()
    sys.argv.append(tempfile.mkdtemp())  # where `run` puts its experiments
    print("| workers | loggers | reports/s | with them | slower by | driver's CPU, us a report | with them |")
    print("|---|---|---|---|---|---|---|")
    for workers in (1, 2):
        for name, make in KINDS.items():
            pairs = []
            for turn in range(arguments.rounds):
                order = ((), make) if turn % 2 else (make, ())  # who goes first alternates
                found = {which: measure(workers, arguments.reports, which) for which in order}
                pairs.append((found[()], found[make]))
            slower = median(1 - without[0] / with_them[0] for without, with_them in pairs)
            rates = [1 / median(pair[side][0] for pair in pairs) for side in (0, 1)]
            cpu = [1e6 * median(pair[side][1] for pair in pairs) for side in (0, 1)]
            short = " **short**" if name == "both" and slower > ASKED else ""
            print(
                f"| {workers} | {name} | {rates[0]:,.0f} | {rates[1]:,.0f} | {slower:.1%}{short} "
                f"| {cpu[0]:.1f} | {cpu[1]:.1f} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
