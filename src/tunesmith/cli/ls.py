"""List the trials of an experiment, with their last results.

The columns fit the terminal. --columns and --result-columns choose others, config/... among them; -o writes all of them
to a CSV file.
"""

from __future__ import annotations

import shutil
import sys
from argparse import ArgumentParser, Namespace
from pathlib import Path
from typing import Final

from tunesmith.cli import table
from tunesmith.cli.reading import read, row
from tunesmith.objective import objective_of
from tunesmith.store.fetching import opened

HELP: Final = "list the trials of an experiment"
_WHO: Final = ("trial_name", "trial_id", "status", "last_update_time")
_RESULTS: Final = ("training_iteration", "mean_accuracy", "mean_loss", "episode_reward_mean", "time_total_s")


def add_arguments(parser: ArgumentParser) -> None:
    """Declare what the command takes."""
    parser.add_argument("folder", help="the experiment's folder or URL, <storage_path>/<name>")
    add_table_arguments(parser)
    parser.add_argument("--result-columns", metavar="NAMES", help="results to show, separated by commas")


def add_table_arguments(parser: ArgumentParser) -> None:
    """Declare what all commands take that print a table."""
    parser.add_argument("--sort", metavar="NAMES", help="columns to sort by, separated by commas")
    parser.add_argument("--desc", action="store_true", help="the largest first")
    parser.add_argument("--filter", metavar="CONDITION", help="such as 'mean_loss < 0.5'; also <= == != >= >")
    parser.add_argument("--columns", metavar="NAMES", help="columns to show, separated by commas")
    parser.add_argument("--limit", type=int, metavar="N", help="so many rows at most")
    parser.add_argument("-o", "--output", type=Path, metavar="FILE", help="write a .csv file, too")


def run(given: Namespace) -> int:
    """Print the table."""
    with opened(given.folder) as folder:
        created, experiment = read(folder)
    rows = [row(created, trial) for trial in experiment.trials]
    objective = objective_of(created.metric, created.mode, created.settings)
    bounds = objective.constraints if objective else ()
    results = [*(objective.metrics if objective else ()), *(bound.metric for bound in bounds)]
    default = list(dict.fromkeys([*_WHO, *results, *_RESULTS]))
    show_rows(rows, default, given, extra=given.result_columns)
    return 0


def show_rows(rows: list[table.Row], default: list[str], given: Namespace, extra: str | None = None) -> None:
    """Print rows as the arguments say."""
    if not rows:
        print("Nothing is there yet.")
        return
    known = list(dict.fromkeys([*table.columns_of(rows), *default]))
    columns = table.pick(given.columns, known, [name for name in default if not extra or name in _WHO])
    columns += [name for name in table.pick(extra, known, ()) if name not in columns]
    rows = table.filtered(rows, given.filter)
    rows = table.sorted_by(rows, given.sort, descending=given.desc)
    if given.limit is not None:
        rows = rows[: given.limit]
    table.show(rows, columns, shutil.get_terminal_size().columns, sys.stdout)
    if given.output is not None:
        table.write_csv(rows, given.output)
        print(f"Output saved at: {given.output}")
