"""``tunesmith COMMAND ...``: the table of sub-commands.

Each is a module with a line of `HELP`, a function `add_arguments` that declares what it takes, and a function `run`
that does it and returns the exit status. The module's docstring is what ``--help`` shows.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from types import ModuleType
from typing import Final

from tunesmith.cli import add_note, importance, ls, lsx, ray, recover
from tunesmith.errors import TunesmithError
from tunesmith.version import __version__

COMMANDS: Final[dict[str, ModuleType]] = {
    "ls": ls,
    "lsx": lsx,
    "importance": importance,
    "add-note": add_note,
    "recover": recover,
    "ray": ray,
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command that the arguments, by default those of the process, name; return the exit status."""
    given = _parser().parse_args(arguments)
    try:
        status: int = COMMANDS[given.command].run(given)
    except TunesmithError as error:
        print(f"tunesmith {given.command}: {error}", file=sys.stderr)
        return 1
    return status


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="tunesmith", description="Hyperparameter tuning for anything that trains.")
    parser.add_argument("--version", action="version", version=f"tunesmith {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, module in COMMANDS.items():
        command = commands.add_parser(
            name,
            help=module.HELP,
            description=module.__doc__,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        module.add_arguments(command)
    return parser
