"""Open a note beside an experiment or a trial in your editor: that of $EDITOR, else vim."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from argparse import ArgumentParser, Namespace
from pathlib import Path
from typing import Final

from tunesmith.errors import ArgumentError, StorageError

HELP: Final = "write a note beside an experiment or a trial"


def add_arguments(parser: ArgumentParser) -> None:
    """Declare what the command takes."""
    parser.add_argument("folder", type=Path, help="the folder of an experiment or of a trial")
    parser.add_argument("--filename", default="note.txt", help="the note's name; note.txt by default")


def run(given: Namespace) -> int:
    """Run the editor and return its exit status."""
    folder = given.folder.expanduser()
    if not folder.is_dir():
        raise StorageError(f"There is no folder {folder}.")
    if Path(given.filename).name != given.filename:
        raise ArgumentError(f"--filename must be a name without a folder, got {given.filename!r}.")
    path = folder / given.filename
    existed = path.exists()
    editor = shlex.split(os.environ.get("EDITOR") or "vim")
    try:
        done = subprocess.run([*editor, str(path)], check=False)
    except OSError as error:
        print(f"The editor {editor[0]} does not run: {error.strerror}. Set EDITOR to one that does.", file=sys.stderr)
        return 1
    if path.exists():
        print(f"{'Updated' if existed else 'Added'} the note {path}")
    return done.returncode
