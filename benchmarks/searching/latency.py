"""What one suggestion costs, of ours and of peers in the same run: CPU seconds, with so many trials behind it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
from scheduler_page import grid

from searching.peers import Optuna
from searching.problems import Outcome
from searching.sides import Make, Ours, OwnMake, Problem, Side, own_point
from searching.spaces import Category, Config, Number, Space, draw

SPACES: dict[str, Space] = {
    "10 numbers": tuple(Number(f"x{i}", 0.0, 1.0) for i in range(10)),
    "7 numbers, 3 categories": (
        *(Number(f"x{i}", 0.0, 1.0) for i in range(7)),
        *(Category(f"c{i}", ("a", "b", "c", "d")) for i in range(3)),
    ),
}
BEHIND = (100, 500, 1000, 10_000)
MODERATE = 500  # with more trials behind it, a GP of a peer is not asked
ASKS, SECONDS = 30, 20.0  # so many suggestions, or fewer if they take longer
PENDING = 1000
BUDGET = 100_000  # evaluations that a side is told there will be


class Row(NamedTuple):
    """The CPU milliseconds of each suggestion."""

    space: str
    behind: int
    pending: int
    side: str
    cost: list[float]


def value(config: Config) -> float:
    """A sphere, whose categories cost something too."""
    return sum((v - 0.3) ** 2 if isinstance(v, float) else 0.1 * "abcd".index(v) for v in config.values())


def outcome(config: Config) -> Outcome:
    return Outcome((value(config),), (value(config),))


def taught(side: Side, space: Space, behind: int, pending: int) -> None:
    """Let a side know trials without having it suggest them."""
    rng = np.random.default_rng(0)
    configs = [draw(space, rng) for _ in range(behind + pending)]
    if isinstance(side, Ours):
        for number, config in enumerate(configs):
            side.remind(number, own_point(space, config))
            if number < behind:
                side.tell(number, outcome(config))
    elif isinstance(side, Optuna):
        side.teach([(config, value(config) if i < behind else None) for i, config in enumerate(configs)])


def cost(make: Make, space: Space, behind: int, pending: int) -> list[float]:
    """The CPU milliseconds of suggestions, one after another; each trial's end is told before the next."""
    side = make(Problem(space, 1, 0, BUDGET, 0, []))
    taught(side, space, behind, pending)
    found: list[float] = []
    begun = time.monotonic()
    while len(found) < ASKS and time.monotonic() - begun < SECONDS:
        number = behind + pending + len(found)
        start = time.process_time()
        config = side.ask(number)
        found.append(1e3 * (time.process_time() - start))
        side.tell(number, outcome(config))
    return found


def measured(makes: dict[str, Make], say: Callable[[str], Any]) -> Iterator[Row]:
    """All of it, a size after another, so that both sides of a ratio are from the same minute."""
    for name, space in SPACES.items():
        for behind in BEHIND:
            for side, make in makes.items():
                is_ours = isinstance(make, OwnMake)
                if (not is_ours and not side.startswith("Optuna")) or (side == "Optuna GP" and behind > MODERATE):
                    continue
                say(f"{name}, {behind} trials, {side}")
                yield Row(name, behind, 0, side, cost(make, space, behind, 0))
                if is_ours and behind == PENDING:
                    yield Row(name, behind, PENDING, side, cost(make, space, behind, PENDING))


def table(rows: Sequence[Row]) -> str:
    """A line for each, with the ratio to Optuna's sampler of the same kind or of the kind that there is."""
    lines = []
    for row in rows:
        peers = [r for r in rows if r[:3] == row[:3] and r.side.startswith("Optuna") and r.side != row.side]
        times = [
            f"{np.median(peer.cost) / np.median(row.cost):.3g} x less than {peer.side}"
            for peer in peers
            if not row.side.startswith("Optuna")
        ]
        pending = f", {row.pending:,} pending" * (row.pending > 0)
        cells = [row.space, f"{row.behind:,}{pending}", row.side, f"{np.median(row.cost):.3g}"]
        lines.append([*cells, f"{np.percentile(row.cost, 99):.3g}", "<br>".join(times) or "-"])
    return grid(("space", "trials", "side", "CPU ms, median", "99 %", ""), lines)
