"""What the console knows: folded from the events at a constant cost each, whatever the number of trials."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from math import inf
from pathlib import Path

from tunesmith import events as e
from tunesmith.core.experiment import Experiment, TrialRecord
from tunesmith.objective import Objective
from tunesmith.trial import Status

_LEADERS = 200  # more rows than any screen has


class Tally:
    """Best values, who leads, what failed.

    `total` is the number of trials if it is known. Times are seconds since the epoch.
    """

    def __init__(self, objective: Objective | None) -> None:
        self.objective = objective
        self.experiment = Experiment()
        self.path = Path()
        self.total: int | None = None
        self.began = 0.0
        self.best: e.Reported | None = None
        self.best_score = -inf
        self.failures: Counter[str] = Counter()
        self.first_failed: dict[str, int] = {}
        self.last_failure: tuple[int, str] | None = None
        self._leaders: dict[int, float] = {}
        self._floor = -inf
        self._finished_before = 0

    def start(self, path: Path, experiment: Experiment, total: int | None, now: float) -> None:
        """Begin, or go on with what an earlier session has done."""
        self.path, self.experiment, self.total, self.began = path, experiment, total, now
        for trial in experiment.trials:
            if trial.last is not None:
                self._reported(trial.last)
        self._finished_before = self.finished

    def add(self, events: Iterable[e.Event]) -> None:
        """Fold events that the experiment has folded already."""
        for event in events:
            kind = type(event)
            if kind is e.Reported:
                self._reported(event)  # type: ignore[arg-type]  # narrowed by the line above
            elif kind is e.Failed or kind is e.Lost:
                self._failed(event.trial, event.failure.message)  # type: ignore[attr-defined]  # as above
            elif kind is e.Judged and event.action == "fail":  # type: ignore[attr-defined]  # as above
                self._failed(event.trial, event.reason)  # type: ignore[attr-defined]  # as above

    def _reported(self, report: e.Reported) -> None:
        if self.objective is None:
            return
        value = report.metrics.get(self.objective.metric)
        if type(value) is not float and not isinstance(value, (int, float)):
            return
        score = self.objective.score_of(value)
        if score > self.best_score:
            self.best, self.best_score = report, score
        if score <= self._floor or score <= self._leaders.get(report.trial, -inf):
            return
        self._leaders[report.trial] = score
        if len(self._leaders) > 2 * _LEADERS:
            kept = sorted(self._leaders.items(), key=lambda item: -item[1])[:_LEADERS]
            self._leaders, self._floor = dict(kept), kept[-1][1]

    def _failed(self, trial: int, message: str) -> None:
        if self.experiment.trials[trial].status is Status.TERMINATED:
            return  # it was told to stop and its end was expected
        line = message.strip().splitlines()[0] if message.strip() else "no message"
        self.failures[line] += 1
        self.first_failed.setdefault(line, trial)
        self.last_failure = trial, line

    @property
    def finished(self) -> int:
        """How many trials have ended."""
        counts = self.experiment.counts
        return counts[Status.TERMINATED] + counts[Status.ERROR]

    def score(self, trial: int) -> float | None:
        """Return the best value of a leading trial."""
        score = self._leaders.get(trial)
        if score is None or self.objective is None:
            return None
        return score if self.objective.mode == "max" else -score

    def rows(self, limit: int) -> list[TrialRecord]:
        """Return the trials to show: the leaders, best first, with room for some that run and do not lead yet."""
        trials = self.experiment.trials
        leaders = sorted(self._leaders, key=lambda n: (-self._leaders[n], n))
        live = [t.number for t in self._live() if t.number not in set(leaders[:limit])]
        room = min(len(live), max(2, limit // 4)) if len(leaders) >= limit else len(live)
        numbers = leaders[: max(limit - room, 0)] + live[:room]
        if self.objective is None:
            numbers = (live + [t.number for t in reversed(trials) if t.number not in set(live)][:limit])[:limit]
        return [trials[n] for n in numbers[:limit]]

    def _live(self) -> Sequence[TrialRecord]:
        """Return trials that run, found from the newest backwards, where nearly all of them are."""
        counts = self.experiment.counts
        wanted = sum(counts[status] for status in Status if status.is_live)
        found: list[TrialRecord] = []
        for trial in reversed(self.experiment.trials):
            if len(found) >= min(wanted, 64):
                break
            if trial.status.is_live:
                found.append(trial)
        return found[::-1]

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
        if self.total is None or done < 1 or self.finished >= self.total:
            return None
        return (now - self.began) / done * (self.total - self.finished)

    def value_of(self, report: e.Reported) -> float:
        """Return the objective's value in a report."""
        assert self.objective is not None
        value: float = report.metrics[self.objective.metric]
        return value
