"""Writes the pages that are made from the code. `python docs/generate.py` writes, `--check` fails if one is old."""

from __future__ import annotations

import sys
from pathlib import Path

from tunesmith.core.moves import MOVES
from tunesmith.trial import Status

PAGE = Path(__file__).parent / "state-machine.md"

INTRODUCTION = """\
# The life of a trial

This page is made from `tunesmith.core.moves.MOVES`, the only authority on what may happen to a trial:
`python docs/generate.py` writes it, and a test fails when it is old.

A trial moves when an **event** is folded into its state. An event that has no row in the state that it meets is
refused: nothing changes, and the error tells the trial's story. Where a row names several targets, the fold in
`tunesmith.core.experiment` picks one by the rule in the comments beside the table.

Three states are *under way*: STARTING, PAUSING and STOPPING. A command is not a fact. When the core has said stop, the
trial is STOPPING until its worker answers; a report that was sent before the stop arrived is recorded, and is not
judged. Users see STARTING, PAUSING and STOPPING as RUNNING.

Messages that are late or doubled never get here: what comes from an incarnation that has been given up, or repeats an
iteration, is recognised as stale and dropped before it is written down.
"""


def diagram() -> str:
    arrows: dict[tuple[Status, Status], list[str]] = {}
    for event, row in MOVES.items():
        for source, targets in row.items():
            for target in targets:
                if source is not target:
                    arrows.setdefault((source, target), []).append(event.__name__)
    lines = ["stateDiagram-v2", "    [*] --> PENDING: Suggested"]
    for (source, target), names in sorted(arrows.items(), key=lambda item: (_rank(item[0][0]), _rank(item[0][1]))):
        lines.append(f"    {source.value} --> {target.value}: {', '.join(names)}")
    lines += [f"    {status.value} --> [*]" for status in Status if status.is_final]
    return "```mermaid\n" + "\n".join(lines) + "\n```\n"


def table() -> str:
    states = list(Status)
    lines = ["| event | " + " | ".join(s.value for s in states) + " |", "|---|" + "---|" * len(states)]
    for event, row in MOVES.items():
        cells = [" or ".join(t.value for t in row[s]) if s in row else "" for s in states]
        lines.append(f"| `{event.__name__}` | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def events() -> str:
    lines = ["| event | what it says |", "|---|---|"]
    for event in MOVES:
        said = " ".join((event.__doc__ or "").split("\n\n")[0].split())
        lines.append(f"| `{event.__name__}` | {said} |")
    return "\n".join(lines) + "\n"


def _rank(status: Status) -> int:
    return list(Status).index(status)


def page() -> str:
    return "\n".join([
        INTRODUCTION, "## The diagram\n", diagram(), "## The table\n", "Empty cells are refused; "
        "only a user's wish, between two sessions, leads out of `TERMINATED` and `ERROR`.\n", table(),
        "## The events\n", events(),
    ])  # fmt: skip


if __name__ == "__main__":
    if "--check" in sys.argv:
        sys.exit(0 if PAGE.read_text() == page() else f"{PAGE} is old: run python docs/generate.py")
    PAGE.write_text(page())
