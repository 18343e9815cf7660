"""Plays rounds and reports: ``python -m tests.faults --rounds 60 --seed 0``."""

from __future__ import annotations

import argparse
import os
import platform
import shutil
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import date
from itertools import count, islice
from pathlib import Path

from tests.faults.plan import SCHEDULERS, Plan, draw
from tests.faults.report import describe, summarise
from tests.faults.round import Outcome, References, play


def main(arguments: list[str]) -> int:
    """Play the rounds that were asked for; return 1 if something was wrong."""
    parser = argparse.ArgumentParser("python -m tests.faults", description=__doc__)
    parser.add_argument("--rounds", type=int, default=60, help="how many")
    parser.add_argument("--seed", type=int, default=0, help="of the first round; each next one has the next number")
    parser.add_argument("--only", choices=list(SCHEDULERS), help="rounds with this scheduler")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="so many rounds at a time")
    parser.add_argument("--keep", type=Path, help="a new folder for the rounds, none of which is deleted")
    given = parser.parse_args(arguments)
    place = given.keep or Path(tempfile.mkdtemp(prefix="tunesmith-faults-"))
    outcomes: list[Outcome] = []
    with ThreadPoolExecutor(given.jobs) as pool:
        try:
            for outcome in play_all(pool, plans(given), place):
                outcomes.append(outcome)
                if outcome.failed:
                    print(describe(outcome, place / str(outcome.plan.seed)), flush=True)
                elif not given.keep:
                    shutil.rmtree(place / str(outcome.plan.seed))
        except KeyboardInterrupt:
            print("Interrupted: this is the report of what was played.\n")
            pool.shutdown(cancel_futures=True)
    print(f"`python -m tests.faults {' '.join(arguments)}`, {date.today()}, Python {platform.python_version()}:\n")
    print(summarise(outcomes))
    failed = any(outcome.failed for outcome in outcomes)
    if not failed and not given.keep:
        shutil.rmtree(place)
    return int(failed)


def play_all(pool: ThreadPoolExecutor, plans: Iterator[Plan], place: Path) -> Iterator[Outcome]:
    """Play rounds below `place` and yield them in turn."""
    references = References(place)
    return pool.map(lambda plan: play(plan, place / str(plan.seed), references), plans)


def plans(given: argparse.Namespace) -> Iterator[Plan]:
    """Yield the rounds that were asked for."""
    drawn = map(draw, count(given.seed))
    wanted = (plan for plan in drawn if given.only in (None, plan.settings.scheduler))
    return islice(wanted, given.rounds)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
