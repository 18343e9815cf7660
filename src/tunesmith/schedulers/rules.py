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
    asha_counts_itself: bool = True  # whether the cutoff takes the trial's own value in

    # -- HyperBand

    # -- population based training


RULES_TODAY: Final = Rules()
RULES_2019: Final = Rules(
    # -- ASHA
    asha_counts_itself=False,
    # -- HyperBand
    # -- population based training
)
