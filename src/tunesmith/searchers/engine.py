"""What a model of the search space has to offer, so that it can search."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import msgspec

from tunesmith.objective import Objective
from tunesmith.searchers.arrays import Array, Generator
from tunesmith.searchers.encoding import Encoding
from tunesmith.searchers.known import Known


class Proposal(msgspec.Struct, frozen=True):
    """Rows to try, shape (k, dimensions), the best first, of which the first one that is new is taken.

    `memo`, of plain JSON values, is what the engine wants to find in `Known.memo` from now on, also after a resume;
    None leaves it as it is. `memos`, one for each row, are for an engine that has to know what became of which row:
    that of the row that is taken stands for `memo`. `why` says in a few words how the proposal came about, where that
    is not always the same.
    """

    rows: Array
    memo: Any = None
    why: str = ""
    memos: Sequence[Any] = ()


class Engine(Protocol):
    """Proposes rows of an encoding from what is known.

    It may keep what it has computed, as long as the answers do not depend on that: the same `known`, number and seed
    must give the same proposal in another process. What is to be kept from one proposal to the next goes into a memo.
    """

    name: str

    def check(self, encoding: Encoding, objective: Objective) -> None:
        """Raise SpaceError or ArgumentError if it can't search this space or with this objective."""
        ...

    def initial(self, known: Known) -> int:
        """Return how many trials are to cover the space evenly, before the first proposal."""
        ...

    def propose(self, known: Known, number: int, rng: Generator) -> Proposal:
        """Propose rows for trial `number`. `rng` is the trial's own; nothing else may be random."""
        ...


def usual_initial(known: Known) -> int:
    """Return a number of first trials that suits most models: one more than dimensions, 5 to 16, a fifth at most.

    Twice that where no variable has an order, as a model has less to go by there.
    """
    columns = known.encoding.columns
    usual = min(max(5, len(columns) + 1), 16)
    if columns and all(column.is_category for column in columns):
        usual *= 2
    return usual if known.num_samples is None else max(2, min(usual, known.num_samples // 5))
