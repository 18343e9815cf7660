"""What the driver expects of a searcher."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, Protocol, runtime_checkable

import msgspec

from tunesmith.objective import Objective
from tunesmith.space import Space


class Observation(msgspec.Struct, frozen=True):
    """What an older experiment has found: `values`, by path, of a part of the variables, and the metric's `value`.

    Where there are several metrics or constraints, `metrics` has what was reported of all of them.
    """

    values: dict[str, Any]
    value: float
    metrics: dict[str, float] = {}


class Past(msgspec.Struct, frozen=True):
    """What an older experiment has found that lies in this one's space, best first; `best` of it are to be tried."""

    observations: tuple[Observation, ...]
    best: int


class Suggestion(msgspec.Struct, frozen=True):
    """Values for a trial, by path, and what the searcher wants to be reminded of with them: plain JSON values.

    `repeats` is the number of the first trial of the same configuration, if this one is there for the spread of its
    results. `confirms` is the number of the trial that this one runs again when the search is over: no scheduler judges
    it, and it is trained for as long as that one was. `why` tells the user how the searcher came to it.
    """

    values: Mapping[str, Any]
    memo: Any = None
    repeats: int | None = None
    confirms: int | None = None
    why: str = ""


# Why a searcher has nothing more to suggest that does not say it.
ALL_TRIED: Final = "every configuration of the search space has been tried"
# The last answer of a searcher that has nothing to suggest now, but will when one more trial has ended.
LATER: Final = Suggestion({})


class Searcher(Protocol):
    """Suggests configurations.

    One that can be started warm has a method ``learn(past: Past)`` as well, which is called once, after `setup`.

    `eager` says that suggestions do not depend on results and cost next to nothing: they may be asked for ahead and
    within the loop. Others are asked beside the loop, and only when a trial could start.
    """

    eager: bool

    def setup(self, space: Space, objective: Objective | None, seed: int, num_samples: int) -> None:
        """Take the problem; called once, before anything else. `num_samples` is -1 for no limit.

        Raises:
            ArgumentError: the searcher can't search this space.
        """
        ...

    def total(self) -> int | None:
        """How many trials there will be at most; None when nobody knows."""
        ...

    def ask(self, first: int, count: int) -> Sequence[Mapping[str, Any] | Suggestion]:
        """Suggest values for trials number `first` to ``first + count - 1``: one mapping of path to value for each.

        Fewer than `count` means that there is nothing more to suggest, ever; unless the last one is `LATER`: then it is
        asked again when one more trial has ended. A searcher's `ending`, if it has one, says why there is no more.

        Must be a pure function of the setup, of what was told, and of `first`: the same question after a crash gets the
        same answer.
        """
        ...

    def tell(self, trial: int, metrics: Mapping[str, Any] | None, final: bool, failed: bool) -> None:
        """Learn a trial's result (`final` False) or its end. Called in the order of the events, also in a replay."""
        ...


@runtime_checkable
class Reminded(Protocol):
    """A searcher that is reminded of what it has suggested: not eager, and with state of its own."""

    def remind(self, trial: int, values: Mapping[str, Any], memo: Any) -> None:
        """Learn that a suggestion is a fact: trial number `trial` is made of `values`, and `memo` came with them.

        An object among the values is the text of its repr, as nothing is unpickled for it; it may be suggested again as
        it is. Called before anything is told
        of the trial, in the order of the events, also in a replay.
        """
        ...


@runtime_checkable
class Warned(Protocol):
    """A searcher to which a trial that a scheduler has ended early is not the same as one that has ended by itself."""

    def curtail(self, trial: int) -> None:
        """Learn that the end of a trial, which is told next, is not its own: it would have gone on."""
        ...
