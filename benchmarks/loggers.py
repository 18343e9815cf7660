"""What the loggers cost: reports a second with them and without, in turns, in processes of their own.

python benchmarks/loggers.py [--rounds 9]
"""

from __future__ import annotations

import argparse
import sys
from functools import partial
from statistics import median

from ours import reports  # type: ignore[import-not-found]  # beside this script, which is run as one
from rows import script

import tunesmith as tune

KINDS = {"csv": (tune.CSVLogger,), "json": (tune.JSONLogger,), "both": (tune.CSVLogger, tune.JSONLogger), "none": ()}
ASKED = 0.10


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=9)
    rounds = parser.parse_args().rounds
    print("| workers | loggers | reports/s without | with | slower by |\n|---|---|---|---|---|")
    for workers in (1, 2):
        for kind in ("csv", "json", "both"):
            measure = partial(script, "loggers.py", "--one", str(workers))
            pairs = []
            for turn in range(rounds):  # who goes first alternates
                names = ("none", kind) if turn % 2 else (kind, "none")
                found = {name: measure(name) for name in names}
                pairs.append((found["none"], found[kind]))
            without, with_them = (median(column) for column in zip(*pairs, strict=True))
            slower = median(1 - b / a for a, b in pairs)
            spread = sorted(1 - b / a for a, b in pairs)
            note = f" ({spread[0]:.0%} to {spread[-1]:.0%})" + (
                " **short**" if kind == "both" and slower > ASKED else ""
            )
            print(f"| {workers} | {kind} | {without:,.0f} | {with_them:,.0f} | {slower:.1%}{note} |", flush=True)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--one"]:
        _, _, count, name, _ = sys.argv
        print(reports(int(count), callbacks=[make() for make in KINDS[name]]))
    else:
        main()
