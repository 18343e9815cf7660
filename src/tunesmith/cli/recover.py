"""Recover what is whole of a damaged experiment.

The record is kept up to the first event that can't be read. The damaged files are moved into a folder of their own in
the experiment's and are never written. Nothing is changed if nothing is damaged, or while a driver runs the experiment.
"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from pathlib import Path
from typing import Final

from tunesmith.errors import ArgumentError
from tunesmith.store import recovery

HELP: Final = "recover what is whole of a damaged experiment"


def add_arguments(parser: ArgumentParser) -> None:
    """Declare what the command takes."""
    parser.add_argument("folder", type=Path, help="the experiment's folder, <storage_path>/<name>")


def run(given: Namespace) -> int:
    """Recover, and print what was recovered, what was dropped, and how to go on."""
    if "://" in str(given.folder) or ":/" in str(given.folder):
        raise ArgumentError(
            "A database is recovered on a disk: copy the experiment's folder here, recover it, and copy experiment.db "
            "back; or recover the folder below ~/tunesmith/remote on the machine that ran it."
        )
    print(recovery.recover(given.folder.expanduser()))
    return 0
