"""Puts what was measured into Markdown."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from typing import TypeAlias

from rows import PEERS, Row

Samples: TypeAlias = dict[str, list[float]]  # "limit", "ours" and the peers: a figure a round, NaN where it failed

TITLES = ("what", "the limit", "measured", "ratio to limit", "reach asked", "peer", "ratio to peer")
HEAD = f"| {' | '.join(TITLES)} |\n|{'---|' * len(TITLES)}"


def number(value: float, unit: str) -> str:
    if value != value:
        return "failed"
    text = f"{value:,.0f}" if value >= 1000 else f"{value:.3g}"
    return f"{text}{unit}" if unit == "/s" else f"{text} {unit}"


def median_ratio(above: Sequence[float], below: Sequence[float]) -> float:
    """The median of the rounds' ratios: what disturbs a round falls on both sides of it."""
    return statistics.median(a / b for a, b in zip(above, below, strict=False))


def line(row: Row, taken: Samples, missing: Mapping[str, str]) -> tuple[str, list[str]]:
    """The row's line of the table, and its shortfalls in words."""
    ratio = median_ratio(taken["ours"], taken["limit"])
    short = []
    shown = f"{ratio:.0%}" if row.is_rate else f"{ratio:.2f} x"
    asked = f"at least {row.reach:.0%}" if row.is_rate else f"at most {row.reach:g} x"
    if not (ratio >= row.reach if row.is_rate else ratio <= row.reach):
        short.append(f"{row.what}: {shown} of the limit ({row.limit_name}), {asked} was asked")
        shown += " **short**"
    figures, ratios = [], []
    for name, peer in row.peers.items():
        if name not in taken:
            figures.append(f"{PEERS[name]}: {missing[name]}")
            ratios.append("-")
            continue
        values = taken[name]
        times = median_ratio(taken["ours"], values) if row.is_rate else median_ratio(values, taken["ours"])
        figures.append(f"{PEERS[name]} {number(statistics.median(values), row.unit)}")
        ratios.append(f"{times:.3g} x")
        if peer.asked is not None:
            ratios[-1] += f", {peer.asked:g} x asked"
            if not times >= peer.asked:
                ratios[-1] += " **short**"
                short.append(f"{row.what}: {times:.3g} times better than {PEERS[name]}, {peer.asked:g} was asked")
    limit = f"{number(statistics.median(taken['limit']), row.unit)} ({row.limit_name})"
    measured = number(statistics.median(taken["ours"]), row.unit)
    cells = [row.what, limit, measured, shown, asked, "<br>".join(figures) or "-", "<br>".join(ratios) or "-"]
    return f"| {' | '.join(cells)} |", short


def page(
    rows: Sequence[Row], taken: Mapping[str, Samples], missing: Mapping[str, str], asides: Mapping[str, Sequence[float]]
) -> str:
    """The table, and below it what is short of its reach and what the machine did besides."""
    lines, short = [HEAD], []
    for row in rows:
        text, shortfalls = line(row, taken[row.what], missing)
        lines.append(text)
        short += shortfalls
    lines += ["", "Short of the reach:" if short else "Nothing is short of the reach."]
    lines += ["", *(f"- {text}" for text in short)] if short else []
    if asides:
        lines += ["", "The same machine in the same run, for comparison:", ""]
        lines += [f"- {what}: {number(statistics.median(values), '/s')}" for what, values in asides.items()]
    return "\n".join(lines)
