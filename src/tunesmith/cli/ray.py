"""Run a script that was written for Ray Tune of 2019, without Ray: tunesmith ray SCRIPT [ARGS...]."""

from __future__ import annotations

import sys
from argparse import REMAINDER, ArgumentParser, Namespace
from importlib import import_module
from typing import Final

HELP: Final = "run a script that was written for Ray Tune of 2019"
_LAYER: Final = "tunesmith.compat.ray.__main__"  # by its name: the layer is a leaf, and may be gone


def add_arguments(parser: ArgumentParser) -> None:
    """Declare what the command takes."""
    parser.add_argument("--fit-resources", action="store_true", help="cap what trials ask for to what there is")
    parser.add_argument("script", metavar="SCRIPT", help="the script")
    parser.add_argument("args", metavar="ARGS", nargs=REMAINDER, help="arguments of the script")


def run(given: Namespace) -> int:
    """Run the script and return its exit status."""
    try:
        layer = import_module(_LAYER)
    except ModuleNotFoundError as error:
        print(f"This installation has no layer for Ray's scripts: {error}.", file=sys.stderr)
        return 2
    status: int = layer.run(given)
    return status
