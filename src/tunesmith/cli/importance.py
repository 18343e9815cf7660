"""Show how much each hyperparameter matters in an experiment.

It needs NumPy: pip install "tunesmith[search]". --marginal NAME shows how the metric depends on one of them.
"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from typing import Any, Final

from tunesmith.console.words import clean, number
from tunesmith.results import load

HELP: Final = "show how much each hyperparameter matters"
_BAR: Final = 40


def add_arguments(parser: ArgumentParser) -> None:
    """Declare what the command takes."""
    parser.add_argument("folder", help="the experiment's folder or URL, <storage_path>/<name>")
    parser.add_argument("--metric", help="the experiment's own by default")
    parser.add_argument("--mode", choices=("min", "max"))
    parser.add_argument("--top", type=float, default=0.2, help="the share of the trials that are the best; 0.2")
    parser.add_argument("--marginal", metavar="NAME", help="a hyperparameter, such as lr or model/width")


def run(given: Namespace) -> int:
    """Print the shares, or the curve of one hyperparameter."""
    results = load(given.folder)
    if given.marginal is not None:
        found = results.marginal(given.marginal, given.metric, given.mode, top=given.top)
        _print_table((found.path, given.metric or results.metric or "", "spread", "best", "trials"), _rows(found))
        return 0
    shares = results.importance(given.metric, given.mode, top=given.top)
    width = max(map(len, shares), default=0)
    for path, share in shares.items():
        print(f"{clean(path):<{width}}  {share:4.0%}  {'#' * round(share * _BAR)}".rstrip())
    if not any(shares.values()):
        print("Nothing tells the best trials from the rest.")
    return 0


def _rows(found: Any) -> list[tuple[str, ...]]:
    step = max(len(found.values) // 20, 1) if all(isinstance(value, float) for value in found.values) else 1
    return [
        (clean(number(value, 4)), number(mean, 5), number(spread, 3), f"{share:.0%}", f"{count:.0f}")
        for value, mean, spread, share, count in list(zip(*found[1:], strict=True))[step // 2 :: step]
    ]


def _print_table(head: tuple[str, ...], rows: list[tuple[str, ...]]) -> None:
    widths = [max(map(len, cells)) for cells in zip(head, *rows, strict=True)]
    for row in (head, *rows):
        print("  ".join(map(str.rjust, row, widths)))
