"""The tables and the picture of benchmarks/search.md."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from scheduler_page import grid, judged, shown
from scoring import Score
from tasks import Array

from searching import judging
from searching.cells import About, Logs
from searching.judging import Panel, anytime, final
from searching.ladders import FAMILY as FIDELITIES
from searching.loops import FIRST, horizon
from searching.peers import PEERS, RANDOM

DEFAULT, HALVED = "Optuna TPE", ("mixed", "conditional")  # whose regret is to be halved, and where
FEWEST = 3  # tasks, from which a verdict is given
NOWHERE = 0.05  # by so much nothing may be worse than random search


def tables(logs: Logs, about: About) -> str:
    """What each side reaches, ours against the peers, and in words what stands out."""
    every = list(judging.panels(logs))
    duels = [duel for panel in every for duel in fights(panel)]
    losses = [f"- {d.ours} to {d.peer}: {d.family}, {workers(d.workers)}" for d in duels if d.verdict == "loses"]
    parts = [grid(STANDING, [line for panel in every for line in standings(panel)])]
    if duels:
        parts = [
            grid(GATE, list(gates(every, duels))),
            "\n".join(["Ours loses:", "", *losses] if losses else ["None of ours loses to a peer in any class."]),
            *parts,
            grid(DUEL, [duel.line() for duel in duels]),
        ]
    versions = ", ".join(f"{name} {' and '.join(found)}" for name, found in about.versions.items())
    parts.append(f"Every side begins with {about.design}. Measured with {versions}.")
    return "\n\n".join(parts)


STANDING = (
    "tasks", "workers", "side", "anytime regret", "regret at the end", "random search takes", "worst against random",
    "ms a suggestion: median, 99 %", "tasks, seeds",
)  # fmt: skip


def standings(panel: Panel) -> Iterator[list[str]]:
    """A line for each side."""
    for side in sorted(panel.curves, key=lambda name: (name != RANDOM, name not in PEERS, name)):
        curves = {task: np.stack(list(seeds.values())) for task, seeds in panel.curves[side].items()}
        cpu = panel.cpu[side] * 1e3
        at_worst = worst(panel, side)
        yield [
            panel.family,
            str(panel.workers),
            side,
            shown(judging.mean([anytime(found) for found in curves.values()])),
            shown(judging.mean([final(found) for found in curves.values()])),
            effort(panel, side),
            f"{at_worst[0]:+.3f}" + f" **{at_worst[1]}**" * (at_worst[0] > NOWHERE) if at_worst else "-",
            "-" if panel.family == FIDELITIES else f"{np.median(cpu):.2g}, {np.percentile(cpu, 99):.2g}",
            f"{len(curves)}, {extent([len(found) for found in curves.values()])}",
        ]


def effort(panel: Panel, side: str) -> str:
    """How many times as many evaluations random search takes to the regret at the end: the median over tasks."""
    found, most = [], 0.0
    for task, seeds in panel.curves[side].items():
        if task in panel.draws and RANDOM in panel.curves:
            count = len(panel.draws[task]) // len(panel.curves[RANDOM][task])
            regret = float(np.mean([final(curve) for curve in seeds.values()]))
            found.append(judging.multiple(regret, panel.draws[task], count))
            most = max(most, judging.multiple(-1.0, panel.draws[task], count))
    middle = float(np.median(found)) if found else 0.0
    return f"{'over ' * (middle >= most)}{middle:.1f} x" if found else "-"


def worst(panel: Panel, side: str) -> tuple[float, str] | None:
    """By how much it is worse than random search on the task where it is worst, by the anytime regret, and which."""
    if side == RANDOM or RANDOM not in panel.curves:
        return None
    shared = panel.shared(side, RANDOM)
    return max(((float(np.mean(anytime(a) - anytime(b))), task) for task, (a, b) in shared.items()), default=None)


class Duel(NamedTuple):
    """What sets one of ours apart from a peer, on a class of tasks."""

    family: str
    workers: int
    ours: str
    peer: str
    anytime: Score  # the difference
    final: Score
    ratios: list[float]  # of the regrets at the end, by task
    p: float
    seeds: list[int]  # by task

    @property
    def verdict(self) -> str:
        return judged(self.anytime) if len(self.seeds) >= FEWEST else "too few tasks"

    def line(self) -> list[str]:
        cells = [self.family, str(self.workers), self.ours, self.peer, shown(self.anytime, "+.3f")]
        cells += [shown(self.final, "+.3f"), f"{np.median(self.ratios):.2f}", f"{self.p:.3g}"]
        return [*cells, f"{len(self.seeds)}, {extent(self.seeds)}", self.verdict]


DUEL = (
    "tasks", "workers", "ours", "peer", "anytime difference", "difference at the end", "ratio at the end", "p",
    "tasks, seeds", "",
)  # fmt: skip


def fights(panel: Panel) -> Iterator[Duel]:
    """Each of ours against each peer."""
    for ours in (side for side in panel.curves if side not in PEERS):
        shared = {peer: panel.shared(ours, peer) for peer in panel.curves if peer in PEERS}
        shared = {peer: found for peer, found in shared.items() if found}
        differences = {peer: [anytime(a) - anytime(b) for a, b in found.values()] for peer, found in shared.items()}
        adjusted = judging.holm([judging.p_value(found) for found in differences.values()])
        for (peer, found), p in zip(differences.items(), adjusted, strict=True):
            pairs = shared[peer].values()
            ends = judging.mean([final(a) - final(b) for a, b in pairs])
            ratios = [judging.ratio(final(a), final(b)) for a, b in pairs]
            seeds = [len(values) for values in found]
            yield Duel(panel.family, panel.workers, ours, peer, judging.mean(found), ends, ratios, p, seeds)


def extent(seeds: Sequence[int]) -> str:
    """From how few to how many."""
    return "-".join(map(str, dict.fromkeys((min(seeds), max(seeds)))))


def workers(count: int) -> str:
    return f"{count} worker" + "s" * (count > 1)


GATE = (
    "workers", "ours", "loses to a peer", f"better than {DEFAULT}", f"share of {DEFAULT}'s regret at the end",
    "worst against random",
)  # fmt: skip


def gates(every: Sequence[Panel], duels: Sequence[Duel]) -> Iterator[list[str]]:
    """What is asked for, of each of ours: nowhere worse, and better where it can be."""
    for count, ours in dict.fromkeys((duel.workers, duel.ours) for duel in duels):
        of_it = [duel for duel in duels if (duel.workers, duel.ours) == (count, ours)]
        panels = [panel for panel in every if panel.workers == count and ours in panel.curves]
        lost = dict.fromkeys(duel.family for duel in of_it if duel.verdict == "loses")
        rival = [duel for duel in of_it if duel.peer == DEFAULT]
        won = [duel.family for duel in rival if duel.verdict == "wins"]
        ratios = [ratio for duel in rival if duel.family in HALVED for ratio in duel.ratios]
        worsts = [found[0] for panel in panels if (found := worst(panel, ours))]
        yield [
            str(count),
            ours,
            f"in {len(lost)} of {len(panels)} classes, 0 asked",
            f"in {len(won)} of {len(rival)} classes, 4 of 6 asked" if rival else "-",
            f"{np.median(ratios):.2f} on {' and '.join(HALVED)} tasks, 0.5 asked" if ratios else "-",
            f"{max(worsts):+.3f}, {NOWHERE:+.2f} at most asked" if worsts else "-",
        ]


# -- the picture

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#8B4513", "#7F7F7F")


def picture(logs: Logs, path: Path) -> None:
    """Regret over time: a row of panels for each number of workers, a column for each class."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot

    mpl.rcParams.update({"font.size": 9, "svg.hashsalt": "", "axes.spines.top": False, "axes.spines.right": False})
    every = list(judging.panels(logs))
    families = list(dict.fromkeys(panel.family for panel in every))
    rows = sorted({panel.workers for panel in every})
    size = (3.4 * len(families), 2.7 * len(rows) + 0.8)
    figure, axes = pyplot.subplots(len(rows), len(families), figsize=size, squeeze=False)
    for axis in axes.flat:
        axis.set_visible(False)
    sides = sorted({side for panel in every for side in panel.curves}, key=lambda name: (name in PEERS, name))
    styles = {side: ("k", ":") if side == RANDOM else (COLOURS[i % 8], "--" if side in PEERS else "-")
              for i, side in enumerate(sides)}  # fmt: skip
    for panel in every:
        draw(axes[rows.index(panel.workers), families.index(panel.family)], panel, styles)
    for row in axes:
        row[0].set_ylabel("regret")
    handles = {}
    for axis in axes.flat:
        handles |= dict(zip(*reversed(axis.get_legend_handles_labels()), strict=True))
    figure.tight_layout(rect=(0, 0.6 / size[1], 1, 1))
    figure.legend(handles.values(), handles.keys(), loc="lower center", ncols=min(len(handles), 8), frameon=False)
    figure.savefig(path, metadata={"Date": None})
    pyplot.close(figure)


def draw(axis: Any, panel: Panel, styles: dict[str, tuple[str, str]]) -> None:
    """The mean curves of a panel: over seeds, then tasks; those of sides that have all tasks."""
    from matplotlib.ticker import LogLocator, NullLocator

    axis.set_visible(True)
    most = max(len(curves) for curves in panel.curves.values())
    share = np.linspace(0, 1, judging.STEPS)
    for side, curves in panel.curves.items():
        if len(curves) == most:
            middle: Array = np.mean([np.mean(list(seeds.values()), axis=0) for seeds in curves.values()], axis=0)
            colour, style = styles[side]
            axis.plot(share, middle, style, color=colour, label=side, linewidth=1.4)
    axis.set_yscale("log")
    axis.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axis.yaxis.set_major_formatter("{x:g}")
    axis.yaxis.set_minor_locator(NullLocator())
    axis.set_xticks([0, 1], span(panel))
    axis.set_xlim(0, 1)
    axis.grid(alpha=0.25, linewidth=0.5)
    axis.set_title(f"{panel.family}, {workers(panel.workers)}", fontsize=9, loc="left")


def span(panel: Panel) -> tuple[str, str]:
    """From where to where the time goes."""
    if panel.family == FIDELITIES:
        return "5 %", "all of the time"
    return (f"{FIRST}", "all evaluations") if panel.workers == 1 else ("1 s", f"{horizon(0, panel.workers):g} s")
