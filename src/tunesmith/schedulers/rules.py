"""In what the schedulers of different years differ."""

from __future__ import annotations

from typing import Final

import msgspec


class Rules(msgspec.Struct, frozen=True, kw_only=True):
    """Details of the schedulers' rules. The defaults are the better ones; `RULES_2019` are those of Ray Tune 0.6.5.

    A scheduler takes them as ``rules=``:

    >>> RULES_2019.asha_counts_itself
    False
    """

    # -- ASHA
    asha_counts_itself: bool = True  # whether the cutoff takes the trial's own value in, once there are enough
    asha_exact: bool = True  # whether 1 to 243 by 3 has 6 rungs; a rounded logarithm loses the last. Percentiles, too
    asha_counts_each_rung: bool = True  # whether a report that jumps over rungs counts for all of them at once

    # -- median
    median_of_completed: bool = False  # whether trials are compared with those only that have completed

    # -- HyperBand

    # -- population based training


RULES_TODAY: Final = Rules()
RULES_2019: Final = Rules(
    # -- ASHA
    asha_counts_itself=False,
    asha_exact=False,
    asha_counts_each_rung=False,
    # -- median
    median_of_completed=True,
    # -- HyperBand
    # -- population based training
)
