"""What the console knows: folded from the events at a constant cost each, whatever the number of trials."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Iterable
from math import inf
from pathlib import Path
from typing import Any

from tunesmith import events as e
from tunesmith.console.words import cropped, first_line
from tunesmith.core.experiment import Experiment, TrialRecord
from tunesmith.objective import Objective
from tunesmith.pareto import Merit, standings
from tunesmith.trial import Status

_LEADERS = 200  # more rows than any screen has
_MESSAGES = 100  # different messages of failures that are told apart
_MESSAGE_LENGTH = 300
_TERMINATED, _ERROR = Status.TERMINATED, Status.ERROR  # looking an enumeration's members up costs more than the rest


class _Best:
    """A trial's best report, and the one to go back to when the trial is rolled back to its last checkpoint.

    Where there are several metrics it is the last report, and its score a merit.
    """

    __slots__ = ("report", "score", "stood")

    def __init__(self, score: Any, report: e.Reported) -> None:
        self.score = score
        self.report = report
        self.stood: tuple[Any, e.Reported] | None = None


class Tally:
    """Who leads, who runs, what failed.

    Of the trials that have ended only the best are kept, so that memory does not grow with their number.
    """

    def __init__(self, objective: Objective | None) -> None:
        self.objective = objective
        self.experiment = Experiment()
        self.path = Path()
        self.place = ""  # where the experiment is, in words
        self.began = 0.0
        self.failures: Counter[str] = Counter()
        self.first_failed: dict[str, int] = {}
        self.last_failure: tuple[int, str] | None = None
        self.describe: Callable[[], str] = str  # what the scheduler says it is doing; empty when that is no news
        self._total: int | None = None
        self._bests: dict[int, _Best] = {}
        self._capacity = 2 * _LEADERS
        self._live: dict[int, None] = {}
        self._ended: deque[int] = deque(maxlen=_LEADERS)
        self._floor = -inf
        self._finished_before = 0
        self._metric = "" if objective is None else objective.metric
        self._several = objective is not None and bool(objective.others)
        self._limited = objective is not None and bool(objective.constraints)
        self._standings: dict[int, tuple[int, float]] = {}  # with several metrics, of those in _bests; empty if unknown
        self.confirmed: dict[int, dict[int, float]] = {}  # by trial: the best scores of those that run it again
        self.broken: set[int] = set()  # the trials whose last report breaks a constraint

    def start(
        self, path: Path, experiment: Experiment, total: int | None, now: float, history: Iterable[e.Event] = ()
    ) -> None:
        """Begin, or go on after `history`; `total` is the number of trials if it is known, `now` in seconds."""
        self.path, self.experiment, self._total, self.began = path, experiment, total, now
        self.add(history)
        self.last_failure = None
        self._finished_before = self.finished

    def add(self, events: Iterable[e.Event]) -> None:
        """Fold events that the experiment has folded already."""
        for event in events:
            handler = _HANDLERS.get(type(event))
            if handler is not None:
                handler(self, event)

    def _reported(self, report: e.Reported) -> None:
        if self.objective is None:
            return
        value = report.metrics.get(self._metric)
        if type(value) is not float and not isinstance(value, (int, float)):
            return
        confirms = self.experiment.trials[report.trial].confirms
        if confirms is not None:
            found = self.confirmed.setdefault(confirms, {})
            found[report.trial] = max(found.get(report.trial, -inf), self.objective.score_of(value))
            return
        score = (
            self._score(self.objective, report) if self._several or self._limited else self.objective.score_of(value)
        )
        known = self._bests.get(report.trial)
        if known is None:
            if score == -inf:
                return
            if len(self._bests) >= self._capacity:
                self._prune()
            known = self._bests[report.trial] = _Best(score, report)
        elif self._several or score > known.score:
            known.score, known.report = score, report
        if report.checkpoint is not None:
            known.stood = known.score, known.report

    def _score(self, objective: Objective, report: e.Reported) -> Any:
        self._standings.clear()
        if self._limited:
            (self.broken.discard if objective.keeps(report.metrics) else self.broken.add)(report.trial)
        return objective.merit(report.metrics) if self._several else objective.score_or_worst(report.metrics)

    def _prune(self) -> None:
        leaders = self._by_score()[:_LEADERS]
        kept = dict.fromkeys([*leaders, *(n for n in self._live if n in self._bests)])
        if not self._several:
            self._floor = self._bests[leaders[-1]].score
        self._bests = {n: self._bests[n] for n in kept}
        self._capacity = 2 * max(len(kept), _LEADERS)

    def _placed(self, event: e.Placed) -> None:
        self._live[event.trial] = None
        best = self._bests.get(event.trial)
        kept = event.checkpoint.iteration if event.checkpoint else 0
        if best is None or event.parked or best.report.iteration <= kept:
            return
        if best.stood is not None and best.stood[1].iteration <= kept:
            best.score, best.report = best.stood
        else:
            del self._bests[event.trial]
        self._standings.clear()

    def _left(self, event: e.Completed | e.Stopped | e.Paused | e.Damaged | e.Failed | e.Lost) -> None:
        number = event.trial
        self._live.pop(number, None)
        status = self.experiment.trials[number].status
        if status is _TERMINATED or status is _ERROR:
            self._ended.append(number)
            self._standings.clear()
            best = self._bests.get(number)
            if best is not None and not self._several and best.score < self._floor:
                del self._bests[number]
        if isinstance(event, (e.Failed, e.Lost)):
            self._failed(number, event.failure.message)

    def _judged(self, event: e.Judged) -> None:
        if self.experiment.trials[event.trial].status.is_final and event.trial not in self._live:
            self._ended.append(event.trial)  # it was waiting or paused
        if event.action == "fail":
            self._failed(event.trial, event.reason)

    def _failed(self, trial: int, message: str) -> None:
        if self.experiment.trials[trial].status is _TERMINATED:
            return  # it was told to stop and its end was expected
        line = cropped(first_line(message), _MESSAGE_LENGTH)
        self.last_failure = trial, line
        if line not in self.failures and len(self.failures) >= _MESSAGES:
            line = "other messages"
        self.failures[line] += 1
        self.first_failed.setdefault(line, trial)

    @property
    def finished(self) -> int:
        """How many trials have ended."""
        counts = self.experiment.counts
        return counts[Status.TERMINATED] + counts[Status.ERROR]

    @property
    def total(self) -> int | None:
        """How many trials there will be, if that is known."""
        if self.experiment.exhausted is not None or self.experiment.search_failure is not None:
            return len(self.experiment.trials)
        return self._total

    @property
    def best(self) -> e.Reported | None:
        """The best report of all that stand; of equal ones that of the first trial. None with several metrics."""
        if not self._bests or self._several:
            return None
        return self._bests[min(self._bests, key=self._order)].report

    @property
    def front(self) -> list[int]:
        """With several metrics, the trials that break no constraint and are dominated by none, by number."""
        found = self._compared() if self._several else {}
        return sorted(n for n, (rank, _) in found.items() if rank == 0 and self._merit(n).is_feasible)

    def value(self, trial: TrialRecord, metric: str | None = None) -> Any:
        """Return the value of a metric, by default the first, of a trial's best report, or of its last if none is."""
        if self.objective is None:
            return None
        best = self._bests.get(trial.number)
        report = best.report if best is not None else trial.last
        return None if report is None else report.metrics.get(metric or self.objective.metric)

    def rows(self, limit: int) -> list[TrialRecord]:
        """Return the trials to show: best first, with room for some that run and do not lead yet."""
        trials = self.experiment.trials
        leaders = self._by_score()
        live = [n for n in self._live if n < len(trials) and trials[n].status.is_live]
        leading = set(leaders[:limit])
        others = sorted((n for n in live if n not in leading), key=self._order)
        room = min(len(others), max(limit - len(leaders), min(max(2, limit // 4), limit // 2)))
        scored = sorted(
            {*leaders[: max(limit - room, 0)], *(n for n in others[:room] if n in self._bests)}, key=self._order
        )
        blank = [n for n in others[:room] if n not in self._bests]
        shown = [*scored, *blank]
        if len(shown) < limit:
            seen = set(shown)
            shown += [n for n in reversed(self._ended) if n not in seen]
        return [trials[n] for n in dict.fromkeys(shown[:limit])]

    def _by_score(self) -> list[int]:
        return sorted(self._bests, key=self._order)

    def _compared(self) -> dict[int, tuple[int, float]]:
        if not self._standings:
            found = standings([self._merit(number) for number in self._bests])
            self._standings = dict(zip(self._bests, found, strict=True))
        return self._standings

    def _merit(self, trial: int) -> Merit:
        merit: Merit = self._bests[trial].score
        return Merit(inf, merit.scores) if self.experiment.trials[trial].status is _ERROR else merit

    def _order(self, trial: int) -> tuple[Any, int]:
        best = self._bests.get(trial)
        if self._several:
            return ((inf, 0.0) if best is None else self._compared()[trial], trial)
        return (inf if best is None else -best.score, trial)

    def counts(self) -> list[tuple[str, int]]:
        """Return the numbers of trials by state, in the order of life, in a reader's words."""
        counts = self.experiment.counts
        running = sum(counts[status] for status in Status if status.is_live)
        waiting = counts[Status.PENDING]
        if self.total is not None:
            waiting = max(self.total - self.finished - running - counts[Status.PAUSED], waiting)
        named = [
            ("running", running),
            ("waiting", waiting),
            ("paused", counts[Status.PAUSED]),
            ("done", counts[Status.TERMINATED]),
            ("failed", counts[Status.ERROR]),
        ]
        return [(name, count) for name, count in named if count]

    def remaining_s(self, now: float) -> float | None:
        """Estimate the seconds that are left, or None while that would be a guess."""
        done = self.finished - self._finished_before
        if self.total is None or done < 1 or self.finished >= self.total or self.experiment.stop is not None:
            return None
        return (now - self.began) / done * (self.total - self.finished)


# Functions, not bound methods: an object that refers to itself would hold the whole experiment until a collection.
_HANDLERS: dict[type[e.Event], Callable[[Tally, Any], None]] = {
    e.Reported: Tally._reported,
    e.Placed: Tally._placed,
    e.Judged: Tally._judged,
    e.Completed: Tally._left,
    e.Stopped: Tally._left,
    e.Paused: Tally._left,
    e.Damaged: Tally._left,
    e.Failed: Tally._left,
    e.Lost: Tally._left,
}
