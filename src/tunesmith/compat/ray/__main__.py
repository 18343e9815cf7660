"""``python -m tunesmith.compat.ray [--fit-resources] SCRIPT [ARGS...]`` runs a script that was written for Ray Tune."""

from __future__ import annotations

import argparse
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType, TracebackType

from tunesmith.compat.ray.cluster import CLUSTER
from tunesmith.compat.ray.finder import install

_FULL_WIDTH = "　" + "".join(map(chr, range(0xFF01, 0xFF5F)))  # written by an input method: no part of Python


def main(argv: Sequence[str] | None = None) -> int:
    """Run a script and return its exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m tunesmith.compat.ray",
        description="Runs a script that was written for Ray Tune of 2019, without Ray.",
    )
    arguments(parser)
    return run(parser.parse_args(argv))


def arguments(parser: argparse.ArgumentParser) -> None:
    """Describe the arguments."""
    parser.add_argument(
        "--fit-resources",
        action="store_true",
        help="give trials that ask for more CPUs or GPUs than there are what there is, with a warning",
    )
    parser.add_argument("script", metavar="SCRIPT", help="the script")
    parser.add_argument("args", metavar="ARGS", nargs=argparse.REMAINDER, help="arguments of the script")


def run(given: argparse.Namespace) -> int:
    """Run the script that was given, as if Python had been started with it."""
    path = Path(given.script)
    try:
        source = path.read_bytes()
    except OSError as error:
        print(f"{given.script} can't be read: {error.strerror}.", file=sys.stderr)
        return 2
    try:
        code = compile(source, str(path), "exec", dont_inherit=True)
    except SyntaxError as error:
        traceback.print_exception(SyntaxError, error, None)
        if (hint := _hint(error)) is not None:
            print(hint, file=sys.stderr)
        return 1
    CLUSTER.fits = given.fit_resources
    install()
    module = ModuleType("__main__")
    module.__file__ = str(path)
    module.__builtins__ = __builtins__  # type: ignore[attr-defined]  # as Python's own main module has it
    sys.modules["__main__"] = module
    sys.argv[:] = [str(path), *given.args]
    sys.path[0] = str(path.absolute().parent)
    try:
        exec(code, vars(module))
    except SystemExit:
        raise
    except BaseException as error:  # noqa: BLE001 - told as Python tells it, from the script's first frame on
        _tell(error, str(path))
        return 130 if isinstance(error, KeyboardInterrupt) else 1
    return 0


def _hint(error: SyntaxError) -> str | None:
    """Say which character a printed script has in the place of one that Python knows."""
    found = sorted({char for char in error.text or "" if char in _FULL_WIDTH})
    if not found:
        return None
    codes = ", ".join(f"{char!r} (U+{ord(char):04X})" for char in found)
    return f"Line {error.lineno} has {codes}, which only look like characters of Python. Write the plain ones instead."


def _tell(error: BaseException, path: str) -> None:
    own: TracebackType | None = error.__traceback__
    while own is not None and own.tb_frame.f_code.co_filename != path:
        own = own.tb_next
    sys.stdout.flush()
    traceback.print_exception(type(error), error, own or error.__traceback__)


if __name__ == "__main__":
    sys.exit(main())
