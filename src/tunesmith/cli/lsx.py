"""List the experiments in a folder, with how many of their trials are where."""

from __future__ import annotations

import sys
from argparse import ArgumentParser, Namespace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from tunesmith.cli.ls import add_table_arguments, show_rows
from tunesmith.cli.reading import moment, read
from tunesmith.errors import StorageError
from tunesmith.objective import objective_of
from tunesmith.store.fetching import experiments, opened

if TYPE_CHECKING:
    from tunesmith.remote.storage import RemoteStorage

HELP: Final = "list the experiments in a folder"
_COLUMNS: Final = [
    "name", "total_trials", "running_trials", "terminated_trials", "error_trials", "last_updated",
]  # fmt: skip


def add_arguments(parser: ArgumentParser) -> None:
    """Declare what the command takes."""
    parser.add_argument("folder", help="the folder or URL that the experiments are in, <storage_path>")
    add_table_arguments(parser)


def run(given: Namespace) -> int:
    """Print the table."""
    rows = []
    for place in experiments(given.folder):
        try:
            with opened(place) as folder:
                rows.append(_row(folder, place))
        except StorageError as error:  # one that can't be read must not hide the others
            print(error, file=sys.stderr)
    show_rows(rows, _COLUMNS, given)
    return 0


def _row(path: Path, place: Path | RemoteStorage) -> dict[str, Any]:
    created, experiment = read(path)
    counts = dict.fromkeys(("RUNNING", "TERMINATED", "ERROR"), 0)
    for trial in experiment.trials:
        status = trial.status.public
        counts[status] = counts.get(status, 0) + 1
    objective = objective_of(created.metric, created.mode, created.settings)
    last = max((trial.last.timestamp for trial in experiment.trials if trial.last is not None), default=created.at)
    return {
        "name": created.name,
        "total_trials": len(experiment.trials),
        "running_trials": counts["RUNNING"],
        "terminated_trials": counts["TERMINATED"],
        "error_trials": counts["ERROR"],
        "last_updated": moment(last),
        "metric": ", ".join(objective.metrics) if objective else None,
        "path": str(place) if isinstance(place, Path) else place.shown,
    }
