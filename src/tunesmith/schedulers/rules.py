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
    median_waits: bool = True  # whether no trial is judged until another one has completed

    # -- HyperBand
    hyperband_of_theory: bool = True  # brackets and milestones of the paper, or five, whose milestones grow by steps
    hyperband_most_trials_first: bool = False  # the paper's order of the brackets, or that with the fewest trials first
    hyperband_counts_members: bool = True  # one in so many of the trials goes on, or of those that there is room for
    hyperband_first_bracket_first: bool = True  # which bracket's trials start first, or those of the least complete
    hyperband_waits_at_end: bool = False  # whether trials wait at max_t, too, until all of their bracket are there
    hyperband_ties_to_first: bool = True  # which of two equal trials wins: the one made first, or the one made last

    # -- population based training
    pbt_truncates: bool = False  # whether a whole number loses the decimals of a product, or is rounded and moves by 1
    pbt_tells_as_logged: bool = False  # whether the reason of a clone is what Ray Tune logs, [explore] and [exploit]


RULES_TODAY: Final = Rules()
RULES_2019: Final = Rules(
    # -- ASHA
    asha_counts_itself=False,
    asha_exact=False,
    asha_counts_each_rung=False,
    # -- median
    median_of_completed=True,
    median_waits=False,
    # -- HyperBand
    hyperband_of_theory=False,
    hyperband_counts_members=False,
    hyperband_first_bracket_first=False,
    hyperband_waits_at_end=True,
    hyperband_ties_to_first=False,
    # -- population based training
    pbt_truncates=True,
    pbt_tells_as_logged=True,
)
