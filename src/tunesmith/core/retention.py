"""Which checkpoints may be deleted."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from heapq import heapify, heappop, heappush, heappushpop
from math import inf
from typing import Final, NamedTuple, TypeAlias

import msgspec

from tunesmith import events as e
from tunesmith.core.experiment import TrialRecord
from tunesmith.errors import MetricError
from tunesmith.objective import Objective
from tunesmith.trial import CheckpointRef

Ranked: TypeAlias = tuple[float, int, str]  # the score, how many checkpoints were written before, the path


class Keep(msgspec.Struct, frozen=True):
    """What is kept: of each trial its last `last` checkpoints and the `best` ones by `score`; None is no limit.

    `quota` is how many bytes all checkpoints of the experiment may have. With `best` alone the last one is kept, too.
    """

    last: int | None = None
    best: int | None = None
    score: Objective | None = None
    quota: int | None = None

    @property
    def newest(self) -> int | None:
        """How many of the last ones are kept."""
        return 1 if self.last is None and self.best is not None else self.last


class _Entry:
    """A checkpoint that is there, and how many reasons there are to keep it.

    `rules` counts the lists of the last and the best that it is in, `needs` the trials that may go on from it, `shows`
    the ended trials whose last one it is. `best`: it is among the best. `age` grows with every checkpoint.
    """

    __slots__ = ("age", "best", "needs", "owner", "reference", "rules", "shows")

    def __init__(self, reference: CheckpointRef, owner: int, age: int) -> None:
        self.reference, self.owner, self.age = reference, owner, age
        self.rules = self.needs = self.shows = 0
        self.best = False

    @property
    def rank(self) -> int:
        """What the quota takes first: 0 what was superseded, 1 the best ones and the last ones of ended trials."""
        return 1 if self.best or self.shows else 0


class _Hold(NamedTuple):
    """What a trial holds: the paths, those of them that are entries, and whether it has ended."""

    ended: bool = False
    paths: tuple[str, ...] = ()
    entries: tuple[_Entry, ...] = ()


_NOTHING: Final = _Hold()


class Retention:
    """The fold of the checkpoints that are there. `review` says which of them are to go.

    A checkpoint that a trial has made by itself, or by the user's settings, stays as long as a rule of `keep` wants
    it; one that the run has asked a trial for only while it is the trial's last. Beyond that, what a trial that has
    not ended goes on from is never given up, be it its own or another one's, nor what a clone would go back to.

    Args:
        trials: the records of all trials, which have folded an event before `apply` is given it.
    """

    def __init__(self, trials: Sequence[TrialRecord], keep: Keep | None = None) -> None:
        self.keep = keep = keep or Keep()
        self._trials = trials
        self._tracks_all = keep.newest is not None or keep.quota is not None
        self._entries: dict[str, _Entry] = {}
        self._held: dict[int, _Hold] = {}
        self._last: dict[int, deque[str]] = {}
        self._best: dict[int, list[Ranked]] = {}  # heaps with the worst on top
        self._due: dict[str, _Entry] = {}  # what nothing holds
        self._size = self._age = 0
        self._quota: float = inf if keep.quota is None else keep.quota
        self._candidates: list[tuple[int, int, str]] = []  # (rank, age, path): a heap of what no trial needs

    # -- the fold

    def apply(self, event: e.Event) -> None:
        """Fold an event; O(log n), but for a new session, which is O(n)."""
        kind = type(event)
        if kind is e.Reported:
            if event.checkpoint is not None:  # type: ignore[attr-defined]  # narrowed by the line above
                self._written(event)  # type: ignore[arg-type]  # as above
        elif isinstance(event, e.TrialEvent) and kind is not e.Damaged:
            if event.trial in self._held or getattr(event, "checkpoint", None) is not None:  # seldom in most runs
                self._written(event)
        elif isinstance(event, e.Discarded):
            self._remove(event.checkpoint.path)
            self._follow(self._trials[event.owner])
        elif isinstance(event, e.Damaged):
            owner = self._remove(event.checkpoint.path)
            self._follow(self._trials[event.trial])
            if owner is not None:
                self._follow(self._trials[owner])
        elif kind is e.SessionOpened:
            for trial in self._trials:
                self._follow(trial)

    def _written(self, event: e.TrialEvent) -> None:
        """Take in the checkpoint that came with an event, if it is a new one, and what the trial holds now."""
        checkpoint: CheckpointRef | None = getattr(event, "checkpoint", None)
        trial = self._trials[event.trial]
        entry = None
        if checkpoint is not None and not isinstance(event, (e.Placed, e.Cloned, e.Reopened)):
            entry = self._add(event, checkpoint)
        self._follow(trial)
        if entry is not None:
            self._settle(entry)

    def _add(self, event: e.TrialEvent, checkpoint: CheckpointRef) -> _Entry | None:
        demanded = isinstance(event, (e.Saved, e.Paused, e.Released))  # the run has asked for it, not the user
        path, number = checkpoint.path, event.trial
        known = path in self._entries or path in self._held.get(number, _NOTHING).paths
        if known or not (demanded or self._tracks_all):
            return None
        entry = self._entries[path] = _Entry(checkpoint, number, self._age)
        self._age += 1
        self._size += checkpoint.size
        if not demanded:
            self._obey_rules(entry, self._trials[number].last)
        return entry

    def _obey_rules(self, entry: _Entry, report: e.Reported | None) -> None:
        """Put a checkpoint among the last and the best of its trial, from where it may displace another one."""
        keep, path = self.keep, entry.reference.path
        entry.rules += 1
        if keep.newest is not None:
            last = self._last.setdefault(entry.owner, deque())
            last.append(path)
            if len(last) > keep.newest:
                self._unlist(last.popleft())
        if keep.best is None or keep.score is None:
            return
        score = -inf
        if report is not None and report.iteration == entry.reference.iteration:
            with suppress(MetricError):  # a report without this metric
                score = keep.score.score(report.metrics)
        best, ranked = self._best.setdefault(entry.owner, []), (score, entry.age, path)
        entry.rules += 1
        entry.best = True
        if len(best) < keep.best:
            heappush(best, ranked)
        else:
            self._unlist(heappushpop(best, ranked)[2], best=True)

    def _unlist(self, path: str, *, best: bool = False) -> None:
        entry = self._entries[path]
        entry.rules -= 1
        entry.best = entry.best and not best
        self._settle(entry)

    def _follow(self, trial: TrialRecord) -> None:
        """Hold what the trial may go on from, and let go of what it does not any more."""
        number, ended = trial.number, trial.status.is_final
        paths = trial.needs()[:1] if ended else trial.needs()
        before = self._held.get(number, _NOTHING)
        if before.paths == paths and (before.ended == ended or not paths):
            return
        # What is no entry is gone, or nothing would ever discard it.
        entries = tuple(self._entries[path] for path in paths if path in self._entries)
        self._held[number] = _Hold(ended, paths, entries)
        for entry in entries:
            self._hold(entry, 1, ended=ended)
        for entry in before.entries:
            self._hold(entry, -1, ended=before.ended)

    def _hold(self, entry: _Entry, by: int, *, ended: bool) -> None:
        if ended:
            entry.shows += by
        else:
            entry.needs += by
        self._settle(entry)

    def _settle(self, entry: _Entry) -> None:
        """Note whether anything holds a checkpoint, and whether a trial needs it."""
        path = entry.reference.path
        if self._entries.get(path) is not entry:
            return
        if entry.rules or entry.needs or entry.shows:
            self._due.pop(path, None)
            if self._quota < inf and not entry.needs:
                self._offer(entry)
        else:
            self._due[path] = entry

    def _offer(self, entry: _Entry) -> None:
        heappush(self._candidates, (entry.rank, entry.age, entry.reference.path))
        if len(self._candidates) > 4 * len(self._entries) + 64:  # most are of the past
            self._candidates = [item for item in set(self._candidates) if self._is_candidate(item)]
            heapify(self._candidates)

    def _is_candidate(self, item: tuple[int, int, str]) -> bool:
        entry = self._entries.get(item[2])
        return entry is not None and not entry.needs and (entry.rank, entry.age) == item[:2]

    def _remove(self, path: str) -> int | None:
        """Strike a checkpoint that is gone off the lists; return whose it was, if that is known."""
        entry = self._entries.pop(path, None)
        if entry is None:
            return None
        self._due.pop(path, None)
        self._size -= entry.reference.size
        last, best = self._last.get(entry.owner), self._best.get(entry.owner)
        if last is not None and path in last:
            last.remove(path)
        if entry.best and best is not None:
            best.remove(next(ranked for ranked in best if ranked[2] == path))
            heapify(best)
        return entry.owner

    # -- the question

    def review(self) -> list[e.Discarded]:
        """Return which checkpoints are to go: what nothing holds, then, oldest first, what is beyond the quota.

        Each of them must come back by `apply`.
        """
        going = dict(self._due)
        excess = self._size - self._quota - sum(entry.reference.size for entry in going.values())
        candidates = self._candidates
        while excess > 0 and candidates:
            item = heappop(candidates)
            if self._is_candidate(item) and item[2] not in going:
                entry = going[item[2]] = self._entries[item[2]]
                excess -= entry.reference.size
        return [e.Discarded(entry.owner, entry.reference) for entry in going.values()]

    @property
    def size(self) -> int:
        """The bytes of all checkpoints, if there is a quota."""
        return self._size

    @property
    def is_full(self) -> bool:
        """Whether they are more than the quota."""
        return self._size > self._quota

    @property
    def is_idle(self) -> bool:
        """Whether there is nothing to `review`."""
        return not self._due and self._size <= self._quota
