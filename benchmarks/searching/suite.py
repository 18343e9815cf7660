"""All tasks, by class."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain
from pathlib import Path

from searching import ladders, numeric, special, tables, trees
from searching.problems import Task

QUICK = {
    "f1, d=2", "f8, d=5", "f15, d=5", "f21, d=5", "f10, d=10", "f24, d=20",
    "f1 with whole numbers, d=10", "f21 with whole numbers, d=5",
    "f8 with categories, d=6", "f15 with categories, d=10",
    "lcbench 167168", "rbv2_rpart 1489", "HPOBench car", "HPOLib naval_propulsion", "NASBench201 cifar100",
    "tree of 3 functions", "tree of 4 functions, shared variables", "nested tree", "optional parts",
    "scikit-learn on breast_cancer",
    "f8 with noise, d=5", "f10 with 2 constraints, d=5", "two objectives, spheres, d=5", "two objectives, gaps, d=6",
    "MF-Hartmann 3, good", "MF-Hartmann 6, bad", "lcbench 167168, by epochs", "lcbench 189906, by epochs",
}  # fmt: skip
PARALLEL = QUICK | {
    "f21, d=10", "f10, d=20", "f21 with whole numbers, d=10", "f8 with categories, d=10",
    "f15 with noise, d=5", "two objectives, convex, d=6",
    "MF-Hartmann 3, terrible", "MF-Hartmann 6, good", "lcbench 168910, by epochs",
}  # fmt: skip
"""The tasks for 8 and 64 workers."""


def suite(folder: Path = tables.DATA) -> Iterator[Task]:
    """Every task that can be had here; a word about what can't."""
    yield from chain(numeric.continuous(), numeric.mixed(), trees.trees(), special.special())
    has_surrogates = tables.has_surrogates(folder)
    yield from tables.tables(folder, has_surrogates=has_surrogates)
    yield from ladders.ladders(folder, has_surrogates=has_surrogates)
