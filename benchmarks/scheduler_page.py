"""The tables and the picture of benchmarks/schedulers.md."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from scoring import MOMENTS, Results, Score, area, band, mean, share
from tasks import Array

BASELINE = "FIFO, random search"
RIVALS = {
    "ASHA, stopping": ("Syne Tune ASHA, stopping", "Optuna successive halving"),
    "ASHA, promotion": ("Syne Tune ASHA, promotion",),
    "HyperBand": ("Syne Tune HyperBand", "Optuna Hyperband"),
    "PASHA": ("Syne Tune PASHA",),
    "median stopping": ("Optuna median",),
}
COLOURS = dict(
    zip([BASELINE, *RIVALS], ("#000000", "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00"), strict=True)
)
CONFIGURATION, MODEL = 0, 1  # rows of the regrets
WIDTHS = {"-": 1.8, "--": 1.1, ":": 1.3}
STYLES = ("--", ":")  # of the first and the second rival


class Panel(NamedTuple):
    """The runs of a family of tasks with some workers: regrets by task, seed, what is scored, and moment."""

    family: str
    workers: int
    curves: dict[str, Array]

    def pairs(self) -> Iterator[tuple[str, str]]:
        """Ours and the peers' versions of it, of those that were measured."""
        for ours, rivals in RIVALS.items():
            yield from ((ours, rival) for rival in rivals if ours in self.curves and rival in self.curves)


def panels(results: Results) -> Iterator[Panel]:
    places = dict.fromkeys((key.family, key.workers) for key in results)
    for family, workers in sorted(places, key=lambda place: (place[1], list(places).index(place))):
        curves: dict[str, list[Array]] = {}
        for key, values in results.items():
            if (key.family, key.workers) == (family, workers):
                curves.setdefault(key.scheduler, []).append(values)
        yield Panel(family, workers, {name: np.stack(tasks) for name, tasks in curves.items()})


def shown(score: Score, form: str = ".3f") -> str:
    return f"{score.value:{form}} ({score.low:{form}} to {score.high:{form}})"


def grid(titles: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    return "\n".join([f"| {' | '.join(cells)} |" for cells in (titles, ["---"] * len(titles), *lines)])


def tables(results: Results) -> str:
    """What each scheduler reaches, ours against the peers' versions, and what stands out."""
    every = list(panels(results))
    reached, pairs, losses = [], [], []
    for panel in every:
        reached += [standing(panel, name) for name in panel.curves]
        for ours, rival in panel.pairs():
            line, verdict = duel(panel, ours, rival)
            pairs.append(line)
            if verdict == "loses":
                losses.append(f"- {ours} to {rival} on {panel.family} with {panel.workers} workers")
    return "\n\n".join(
        [
            *map(headline, (panel for panel in every if panel.family == "LCBench")),
            "\n".join(["Ours loses:", "", *losses] if losses else ["None of ours loses to a peer's version of it."]),
            grid(("tasks", "workers", "scheduler", "anytime", "at the end", "time", "time, trained", "seeds"), reached),
            grid(
                ("tasks", "workers", "ours", "peer", "anytime difference", "difference at the end", "seeds", ""), pairs
            ),
        ]
    )


def standing(panel: Panel, name: str) -> list[str]:
    """A scheduler's line: its regrets, and in which share of the time it gets to the final one of random search."""
    curves, baseline = paired(panel, name, BASELINE)
    scores = mean(area(curves[:, :, CONFIGURATION])), mean(curves[:, :, CONFIGURATION, -1])
    shares = [share(curves[:, :, what], baseline[:, :, what]) for what in (CONFIGURATION, MODEL)]
    cells = [*(shown(score, ".3f") for score in scores), *(shown(score, ".2f") for score in shares)]
    return [panel.family, str(panel.workers), name, *cells, str(curves.shape[1])]


def duel(panel: Panel, ours: str, rival: str) -> tuple[list[str], str]:
    """A line that compares two schedulers, and who wins by the interval of the anytime difference."""
    left, right = paired(panel, ours, rival)
    difference = (left - right)[:, :, CONFIGURATION]
    scores = mean(area(difference), over_tasks=True), mean(difference[:, :, -1], over_tasks=True)
    verdict = judged(scores[0])
    cells = [*(shown(score, "+.3f") for score in scores), str(left.shape[1]), verdict]
    return [panel.family, str(panel.workers), ours, rival, *cells], verdict


def paired(panel: Panel, one: str, other: str) -> tuple[Array, Array]:
    """The regrets of two schedulers under the seeds that both were run with."""
    curves = panel.curves[one], panel.curves[other]
    seeds = min(regrets.shape[1] for regrets in curves)
    return curves[0][:, :seeds], curves[1][:, :seeds]


def headline(panel: Panel) -> str:
    """In which share of the time ASHA gets to where random search ends."""
    found = []
    for name in ("ASHA, stopping", "ASHA, promotion"):
        if name in panel.curves:
            curves, baseline = paired(panel, name, BASELINE)
            score = share(curves[:, :, CONFIGURATION], baseline[:, :, CONFIGURATION])
            found.append(f"{name} {shown(score, '.2f')} of the time")
    return (
        f"On LCBench with {panel.workers} workers, what random search has at the end is reached by {', '.join(found)}."
    )


def judged(difference: Score) -> str:
    """What an interval says about a difference of regrets."""
    if difference.low > 0:
        return "loses"
    return "wins" if difference.high < 0 else "as good"


def picture(results: Results, path: Path) -> None:
    """Regret over time: a row of panels for each number of workers, a column for each family."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot

    mpl.rcParams.update({"font.size": 9, "svg.hashsalt": "", "axes.spines.top": False, "axes.spines.right": False})
    every = list(panels(results))
    rows = len({panel.workers for panel in every})
    columns = len(every) // rows
    size = (3.6 * columns, 2.8 * rows + 1.0)
    figure, axes = pyplot.subplots(rows, columns, figsize=size, sharex=True, sharey="col", squeeze=False)
    for axis, panel in zip(axes.flat, every, strict=True):
        draw(axis, panel)
        axis.set_title(f"{panel.family}, {panel.workers} workers", fontsize=9.5, loc="left")
    for axis in axes[:, 0]:
        axis.set_ylabel("regret")
    for axis in axes[-1]:
        axis.set_xlabel("share of the time")
    figure.tight_layout(rect=(0, 0.75 / size[1], 1, 1))
    figure.legend(*legend(), loc="lower center", ncols=len(COLOURS), frameon=False, columnspacing=1.5)
    figure.savefig(path, metadata={"Date": None})
    pyplot.close(figure)


def legend() -> tuple[list[Any], list[str]]:
    """A column for each of ours, with the peers that have a version of it below."""
    from matplotlib.lines import Line2D

    lines, labels = [], []
    for ours, colour in COLOURS.items():
        rivals = RIVALS.get(ours, ())
        peers = [" ".join(rival.split()[: 1 + rival.startswith("Syne")]) for rival in rivals]
        lines += [
            Line2D([], [], color=colour, linestyle=style, linewidth=WIDTHS[style])
            for style in ("-", *STYLES)[: 1 + len(peers)]
        ]
        lines += [Line2D([], [], linestyle="none")] * (len(STYLES) - len(peers))
        labels += [ours, *peers, *[""] * (len(STYLES) - len(peers))]
    return lines, labels


def draw(axis: Any, panel: Panel) -> None:
    """The curves of a panel: ours with their intervals, the peers' versions in the same colour, broken."""
    for ours, colour in COLOURS.items():
        for name, style in zip((ours, *RIVALS.get(ours, ())), ("-", *STYLES), strict=False):
            if name in panel.curves:
                middle, low, high = band(panel.curves[name][:, :, CONFIGURATION])
                axis.plot(MOMENTS, middle, style, color=colour, linewidth=WIDTHS[style])
                if style == "-":
                    axis.fill_between(MOMENTS, low, high, color=colour, alpha=0.12, linewidth=0)
    axis.set_xscale("log")
    axis.set_xlim(MOMENTS[0], 1)
    axis.set_xticks([0.01, 0.03, 0.1, 0.3, 1], ["1 %", "3 %", "10 %", "30 %", "100 %"])
    axis.minorticks_off()
    axis.set_ylim(bottom=0)
    axis.grid(alpha=0.25, linewidth=0.5)
