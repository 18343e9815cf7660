"""Specs of 2019, resolved outside of a run."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping
from typing import Any

from tunesmith.compat.ray import naming
from tunesmith.compat.ray.markers import Marked


def generate_variants(
    unresolved_spec: Mapping[str, Any],
) -> Iterator[tuple[dict[tuple[Any, ...], Any], dict[str, Any]]]:
    """Yield the variables, by path, and the whole spec of each point of the grid, with the rest drawn.

    Raises:
        RecursiveDependencyError: functions depend on each other in a circle.
        ValueError: a function raised.
    """
    marked = Marked({"spec": dict(unresolved_spec)}, {}, whole=True)
    seed = random.SystemRandom().getrandbits(32)
    for number in range(marked.space.grid_size):
        spec = marked.space.build(marked.sample(seed, number))
        resolved = {}
        for variable in marked.space.variables:
            path, value = naming.at(spec, variable.path)
            resolved[path[2:]] = value
        yield resolved, spec["spec"]
