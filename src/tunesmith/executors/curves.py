"""Learning curves: what a simulated trial reports, and how long each step takes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TypeAlias

import msgspec

from tunesmith.errors import ArgumentError

Step: TypeAlias = tuple[Mapping[str, Any] | float, float]
Curve: TypeAlias = Callable[[int], Step | None]
Model: TypeAlias = Callable[[dict[str, Any], int], Step | None]


class CurveTable:
    """A model that is a table: for each configuration, what each of its steps reports and how long it takes.

    A trial is over after the last row of its configuration; one whose configuration is not in the table fails.

    Args:
        curves: pairs of a configuration and its rows, each a pair of metrics and seconds.

    Raises:
        ArgumentError: two curves are given for the same configuration.

    >>> table = CurveTable([({"lr": 0.1}, [({"loss": 0.9}, 10.0), ({"loss": 0.7}, 10.0)])])
    >>> table({"lr": 0.1}, 2)
    ({'loss': 0.7}, 10.0)
    >>> table({"lr": 0.1}, 3) is None
    True
    """

    __name__ = "curves"  # what a run calls its trials by

    def __init__(self, curves: Iterable[tuple[Mapping[str, Any], Sequence[Step]]]) -> None:
        self._rows: dict[bytes, Sequence[Step]] = {}
        for config, rows in curves:
            key = _key(config)
            if key in self._rows:
                raise ArgumentError(f"The table has two curves for the configuration {dict(config)!r}. Leave one out.")
            self._rows[key] = rows

    def __call__(self, config: Mapping[str, Any], step: int) -> Step | None:
        """Return what the step reports and its seconds; None when the curve has come to its end.

        Raises:
            ArgumentError: the configuration is not in the table.
        """
        return self.curve(config)(step)

    def curve(self, config: Mapping[str, Any]) -> Curve:
        """Return the curve of one configuration: a function of the step. Raises as a call."""
        rows = self._rows.get(_key(config))
        if rows is None:
            raise ArgumentError(
                f"The table of {len(self._rows)} curves has none for the configuration {dict(config)!r}. "
                "Search over what is in the table, with tune.grid_search or tune.choice."
            )
        return lambda step: rows[step - 1] if step <= len(rows) else None


def _key(config: Mapping[str, Any]) -> bytes:
    return msgspec.json.encode(config, enc_hook=repr, order="sorted")
