"""What came of an experiment, read from its folder: finished, or running at this moment."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from math import inf, nan
from pathlib import Path
from statistics import fmean, stdev
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from tunesmith import codec
from tunesmith import events as e
from tunesmith.core.experiment import Experiment, TrialRecord
from tunesmith.core.story import Story
from tunesmith.errors import ArgumentError, MetricError, MissingPackageError, TrialError, TunesmithError, nearest
from tunesmith.objective import Objective, objective_of
from tunesmith.pareto import Merit, best_first, hypervolume, ranks, worst
from tunesmith.paths import CHOSEN
from tunesmith.readable import readable_config
from tunesmith.result import DECISIONS, Decided, Origin, complete
from tunesmith.store.sqlite import DATABASE, EventStore
from tunesmith.trial import Status

if TYPE_CHECKING:
    import pandas as pd

    from tunesmith.searchers.marginals import Marginal
    from tunesmith.worker.checkpoint import Checkpoint

_MARKS = ("repeats", "confirms")  # columns where any trial has one
_LEAST_TRIALS = 10  # to tell what matters
Configure = Callable[[Mapping[str, Any], Mapping[str, Any]], dict[str, Any]]


def load(path: str | Path) -> Results:
    """Open an experiment's folder, of a finished or a running one, to read it. Nothing is written or unpickled.

    Values of a configuration that are no plain data are shown by their repr.

    Raises:
        StorageError: there is no experiment, or it can't be read.

    Example:
        >>> results = load("~/tunesmith/train_2026-11-24_10-00-00_a1b2")  # doctest: +SKIP
    """
    return Results.from_store(Path(path).expanduser())


def importance(
    source: str | Path | Results, metric: str | None = None, mode: str | None = None, *, top: float = 0.2
) -> dict[str, float]:
    """Return how much each hyperparameter matters in an experiment, from its folder or its results.

    See `Results.importance` for the arguments, and what is raised.

    Example:
        >>> tune.importance("~/tunesmith/train_2026-11-24_10-00-00_a1b2")  # doctest: +SKIP
        {'lr': 0.81, 'layers': 0.19, 'dropout': 0.0}
    """
    return (source if isinstance(source, Results) else load(source)).importance(metric, mode, top=top)


class _Told(NamedTuple):
    """A report, the start of the worker that sent it, and the configuration of that moment."""

    report: e.Reported
    started: e.Started | None
    config: dict[str, Any]


class Trial:
    """One trial. Attributes are as of the moment when the results were read."""

    def __init__(self, results: Results, record: TrialRecord) -> None:
        self._results = results
        self._record = record
        self._history: list[dict[str, Any]] | None = None

    @property
    def number(self) -> int:
        """The trial's number, from 0, in the order of suggestion."""
        return self._record.number

    @property
    def trial_id(self) -> str:
        """The trial's id, unique among experiments."""
        return self._record.trial_id

    @property
    def name(self) -> str:
        """The trial's name."""
        return self._record.name

    @property
    def config(self) -> dict[str, Any]:
        """The configuration."""
        return self._results._configure(self._record.space, self._record.values, self._record.overrides)

    @property
    def status(self) -> str:
        """PENDING, RUNNING, PAUSED, TERMINATED or ERROR."""
        return self._record.status.public

    @property
    def reason(self) -> str:
        """Why the trial was stopped or paused, as a sentence; empty when it ended by itself."""
        return self._record.reason

    @property
    def confirms(self) -> int | None:
        """The number of the trial that this one runs again, as `confirm=` wished; None for any other trial."""
        return self._record.confirms

    @property
    def repeats(self) -> int | None:
        """The number of the first trial of the same configuration, for the others that a `Repeater` made."""
        return self._record.repeats

    @property
    def decisions(self) -> list[Decided]:
        """What was decided about the trial, in order, and why."""
        with EventStore.open_to_read(self._results.path / DATABASE) as store:
            return [Decided.of(event) for _, event in store.read_trial(self.number) if isinstance(event, DECISIONS)]

    @property
    def failures(self) -> int:
        """How many failures were charged to the trial."""
        return self._record.failures

    @property
    def path(self) -> Path:
        """The trial's folder."""
        return self._results.path / self._record.folder

    @property
    def error(self) -> TrialError | None:
        """What made the trial fail, with the worker's traceback as `traceback`; None unless it is in ERROR."""
        failure = self._record.failure
        if failure is None or self._record.status is not Status.ERROR:
            return None
        return TrialError(failure.message, traceback=failure.traceback, kind=failure.kind)

    @property
    def last_result(self) -> dict[str, Any] | None:
        """The last result that stands, complete; None when there is none."""
        last = self._record.last
        if last is None:  # rolled back to a checkpoint and nothing new yet
            return self.history[-1] if self._record.iteration else None
        return self._complete(_Told(last, self._record.started, self.config), last=True)

    @property
    def history(self) -> list[dict[str, Any]]:
        """All results that stand, complete, in order. An iteration that was done twice is there once."""
        if self._history is None:
            told = self._results._told(self.number)
            self._history = [self._complete(each, last=each is told[-1]) for each in told]
        return self._history

    @property
    def checkpoint(self) -> Checkpoint | None:
        """The last checkpoint, or None where there is none, or none any more."""
        from tunesmith.worker.checkpoint import Checkpoint

        ref = self._record.checkpoint
        path = None if ref is None else self._results.path / ref.path
        return Checkpoint(path) if path is not None and path.is_dir() else None

    @property
    def is_feasible(self) -> bool:
        """Whether the last result is finite in all metrics of the run and keeps all of its constraints.

        A trial that failed is not; without an objective, one that has a result is.
        """
        objective, result = self._results._objective, self._standing_result()
        return result is not None and (objective is None or objective.merit(result).is_feasible)

    def _standing_result(self) -> dict[str, Any] | None:
        """Return the last result of a trial that has not failed, as it was reported or complete."""
        if self._record.status is Status.ERROR:
            return None
        last = self._record.last
        return self.last_result if last is None else last.result()

    def best_result(self, metric: str | None = None, mode: str | None = None) -> dict[str, Any] | None:
        """Return the trial's best result, by the run's objective or another one; None if no value is finite."""
        objective = self._results._one(metric, mode)
        best, found = -inf, None
        for result in self.history:
            score = _score(objective, result)
            if score > best:
                best, found = score, result
        return found

    def dataframe(self) -> pd.DataFrame:
        """Return the history as a pandas frame, a row a result."""
        return _pandas().DataFrame([{k: v for k, v in r.items() if k != "config"} for r in self.history])

    def _complete(self, told: _Told, *, last: bool) -> dict[str, Any]:
        record = self._record
        origin = Origin(record.trial_id, record.name, self._results.experiment_id, told.config)
        date = time.strftime("%Y-%m-%d_%H-%M-%S", time.localtime(told.report.timestamp))
        return complete(told.report, told.started, origin, date=date, done=last and record.status.is_final)

    def __repr__(self) -> str:
        return f"<Trial {self.number} {self.name} {self.status} {self._record.iteration} iterations>"


class Repeated(NamedTuple):
    """A trial and others of the same configuration.

    `value` is the trial's own; `values` are those of `trials`, which for a `Repeater` begin with it, without those that
    failed or were not finite. `mean` is theirs, NaN where there is none, and `sd` their standard deviation, NaN for
    fewer than two: the spread of one run, not the error of the mean.
    """

    trial: Trial
    value: float
    trials: list[Trial]
    values: list[float]
    mean: float
    sd: float

    @classmethod
    def of(cls, trial: Trial, trials: list[Trial], scores: Mapping[int, float], objective: Objective) -> Repeated:
        """Return what came of it; `scores` are by number, ``-inf`` for nothing."""
        sign = 1 if objective.mode == "max" else -1
        found = [sign * scores[each.number] for each in trials if scores[each.number] > -inf]
        mean = fmean(found) if found else nan
        sd = stdev(found) if len(found) > 1 else nan
        return cls(trial, sign * scores[trial.number], trials, found, mean, sd)


class Results:
    """What came of an experiment: its trials, and the best of them by its objective.

    A sequence of `Trial`. The best value is taken over all results of all trials; values that are not finite never win.
    """

    def __init__(self, path: Path, configure: Configure | None = None) -> None:
        self.path = path
        self._given_configure = configure
        self.refresh()

    @classmethod
    def from_store(cls, path: Path, *, configure: Configure | None = None) -> Results:
        """Read the experiment in the folder `path`; `configure` builds real configurations from recorded values."""
        return cls(path.absolute(), configure)

    def refresh(self) -> Results:
        """Read the experiment again and return it."""
        self._experiment = experiment = Experiment()
        self._best: dict[int, e.Reported] = {}
        self._scores: dict[int, float] = {}
        objective: Objective | None = None
        changed = False
        with EventStore.open_to_read(self.path / DATABASE) as store:
            for event, _ in store.fold(experiment.apply):
                if isinstance(event, (e.Created, e.Redefined)) and event.metric is not None:
                    settings = experiment.created.settings if experiment.created else {}
                    objective = objective_of(event.metric, event.mode, settings)
                changed = changed or isinstance(event, e.Redefined)
                self._follow_best(objective, event)
        created = experiment.created
        if created is None:
            raise TunesmithError(f"The experiment at {self.path} has not begun yet. Look again in a moment.")
        self._objective = objective
        if changed:  # it may be another result that is best by another objective
            self._best.clear()
            for record in experiment.trials:
                for told in self._told(record.number):
                    self._follow_best(objective, told.report)
        self.experiment_id, self.name = created.experiment_id, self.path.name
        self.trials = [Trial(self, record) for record in experiment.trials]
        return self

    def _configure(
        self, space: dict[str, Any], values: Mapping[str, Any], overrides: Mapping[str, Any]
    ) -> dict[str, Any]:
        """Return a configuration: a real one if that is possible, and it belongs to the search space of now."""
        if self._given_configure is not None and space == self._experiment.space:
            return self._given_configure(values, overrides)
        return readable_config(space, values, overrides)

    def _follow_best(self, objective: Objective | None, event: e.Event) -> None:
        if objective is None:
            return
        if type(event) is e.Reported:
            if objective.metric in event.metrics and not objective.others:
                score = _score(objective, event.metrics)
                if event.trial not in self._best or score > self._scores[event.trial]:
                    self._best[event.trial], self._scores[event.trial] = event, score
        elif type(event) is e.Placed and not event.parked and event.trial in self._best:
            kept = event.checkpoint.iteration if event.checkpoint else 0
            if self._best[event.trial].iteration > kept:  # rolled back: look for it again, later, in the history
                del self._best[event.trial]
                for told in self._told(event.trial, upto=event.incarnation):
                    self._follow_best(objective, told.report)

    def _told(self, trial: int, upto: int | None = None) -> list[_Told]:
        """Return the reports of a trial that stand, those before its incarnation `upto` if that is given."""
        told: list[_Told] = []
        started: e.Started | None = None
        config: dict[str, Any] = {}
        story: Story | None = None
        with EventStore.open_to_read(self.path / DATABASE) as store:
            for _, event in store.read_trial(trial):
                changed = False
                if type(event) is e.Started:
                    started = event
                elif story is None:  # the first event is the suggestion
                    story, changed = Story(event), True  # type: ignore[arg-type]  # by the line above
                elif type(event) is e.Reported:
                    story.count(event)
                    told.append(_Told(event, started, config))
                else:
                    changed = story.apply(event)  # type: ignore[arg-type]  # those of one trial
                    del told[story.results :]
                    if type(event) is e.Placed and event.incarnation == upto:
                        break
                if changed and story is not None:
                    space = self._experiment.trials[trial].space
                    config = self._configure(space, story.trial.values, story.trial.overrides)
        return told

    @property
    def metric(self) -> str | None:
        """The metric of the run; the first one of several."""
        return self._objective.metric if self._objective else None

    @property
    def mode(self) -> Literal["min", "max"] | None:
        """The direction of the run, for its first metric."""
        return self._objective.mode if self._objective else None

    @property
    def errors(self) -> list[Trial]:
        """The trials that failed."""
        return [trial for trial in self.trials if trial.status == "ERROR"]

    @property
    def stop_reason(self) -> str:
        """Why the run as a whole was ended early, as a sentence; empty when it came to its own end."""
        stop, search = self._experiment.stop, self._experiment.search_failure
        return stop.reason if stop else search.message if search else ""

    @property
    def best_trial(self) -> Trial:
        """The trial with the best result that keeps all constraints. Raises as `get_best_trial`."""
        return self.get_best_trial()

    @property
    def best_config(self) -> dict[str, Any]:
        """The configuration that gave the best result. Raises as `get_best_trial`."""
        trial = self.best_trial
        return self.best_result["config"] if trial._record.overrides else trial.config  # else it never changed

    @property
    def best_result(self) -> dict[str, Any]:
        """The best result of all, complete. Raises as `get_best_trial`."""
        trial = self.best_trial
        best = self._best[trial.number]
        told = self._told(trial.number)
        key = best.incarnation, best.iteration
        found = next(each for each in told if (each.report.incarnation, each.report.iteration) == key)
        return trial._complete(found, last=found is told[-1])

    def get_best_trial(
        self, metric: str | None = None, mode: str | None = None, scope: Literal["best", "last"] = "best"
    ) -> Trial:
        """Return the trial with the best value, of its whole history or, with `scope` "last", of its last result.

        Results that break one of the run's constraints don't count, nor do confirmations.

        Raises:
            ArgumentError: the run has no objective and none is given, or several metrics and none of them is named, or
                no trial has reported such a metric.
            TunesmithError: no trial has reported a finite value within the constraints; the message says what happened
                instead.
        """
        objective = self._one(metric, mode)
        scores: list[tuple[float, int]] = []
        for trial in self._searched:
            score = self._score_of(trial, objective, scope)
            if score > -inf:
                scores.append((score, -trial.number))
        if not scores:
            raise self._nothing_best(objective)
        return self.trials[-max(scores)[1]]

    @property
    def pareto_front(self) -> list[Trial]:
        """The trials that no other is better than in all metrics at once, by number.

        A trial counts with its last result. Those that failed or break a constraint are left out. With one metric these
        are the best trials of those last results.

        Raises:
            ArgumentError: the run has no objective.
        """
        merits = self._merits()
        found = zip(self._searched, merits, ranks(merits), strict=True)
        return [trial for trial, merit, rank in found if rank == 0 and merit.is_feasible]

    def hypervolume(self, reference: Mapping[str, float] | Sequence[float] | None = None) -> float:
        """Return the volume of what the front dominates down to `reference`, in the product of the metrics' units.

        Args:
            reference: the worst values that count, by metric or in the order of the run's metrics. By default they are
                the worst of all trials within the constraints, and a tenth of their range beyond: give your own to
                compare runs.

        Returns:
            0 where no trial is better than the reference in all metrics. Exact for any number of metrics.

        Raises:
            ArgumentError: the run has no objective, or the reference does not name its metrics.
        """
        objective = self._objective_or(None, None)
        points = [merit.scores for merit in self._merits() if merit.is_feasible]
        if reference is None:
            return hypervolume(points, worst(points)) if points else 0.0
        values = [reference.get(name) for name in objective.metrics] if isinstance(reference, Mapping) else reference
        if len(values) != len(objective.metrics) or not all(isinstance(value, (int, float)) for value in values):
            raise ArgumentError(
                f"reference needs a number for each metric of {', '.join(objective.metrics)}; got {reference!r}."
            )
        scores = [goal.score_of(float(v)) for goal, v in zip(objective.goals, values, strict=True)]  # type: ignore[arg-type]  # by the check above
        return hypervolume(points, tuple(scores))

    def _merits(self) -> list[Merit]:
        objective = self._objective_or(None, None)
        return [objective.merit(trial._standing_result()) for trial in self._searched]

    @property
    def _searched(self) -> list[Trial]:
        """The trials of the search, without confirmations of them."""
        return [trial for trial in self.trials if trial.confirms is None]

    @property
    def confirmed(self) -> list[Repeated]:
        """The trials that `confirm=` has run again, with what came of that, the best mean first.

        Raises as `get_confirmed`.
        """
        return self.get_confirmed()

    def get_confirmed(self, metric: str | None = None, mode: str | None = None) -> list[Repeated]:
        """Return the trials that `confirm=` has run again, the best mean first, by the run's metric or another one.

        Raises:
            ArgumentError: the run has no objective and none is given, or several metrics and none of them is named.
        """
        return self._repeated(metric, mode, lambda trial: trial.confirms)

    @property
    def repeated(self) -> list[Repeated]:
        """The configurations of a `Repeater`, with what came of them, the best mean first.

        Raises as `get_repeated`.
        """
        return self.get_repeated()

    def get_repeated(self, metric: str | None = None, mode: str | None = None) -> list[Repeated]:
        """Return the configurations that were tried several times, the best mean first. Raises as `get_confirmed`."""
        firsts = {trial.repeats for trial in self.trials} - {None}
        return self._repeated(metric, mode, lambda trial: trial.number if trial.number in firsts else trial.repeats)

    def _repeated(self, metric: str | None, mode: str | None, first: Callable[[Trial], int | None]) -> list[Repeated]:
        objective = self._one(metric, mode)
        several = self._objective is not None and bool(self._objective.others)
        groups: dict[int, list[Trial]] = {}
        for trial in self.trials:
            number = first(trial)
            if number is not None:
                groups.setdefault(number, []).append(trial)
        bare = Objective(objective.metric, objective.mode)  # what breaks a constraint is a value all the same
        values = {
            trial.number: self._score_of(trial, bare, "last" if several else "best")
            for number, trials in groups.items()
            for trial in (self.trials[number], *trials)
        }
        found = [Repeated.of(self.trials[number], trials, values, bare) for number, trials in groups.items()]
        return sorted(found, key=lambda each: -bare.score_of(each.mean))

    def importance(self, metric: str | None = None, mode: str | None = None, *, top: float = 0.2) -> dict[str, float]:
        """Return by path how much of what tells the best trials from the rest each hyperparameter has: shares of 1.

        The largest first; all are 0 where nothing tells them apart. A hyperparameter that is active in some
        configurations only is judged among these. With several metrics the best are those of the first fronts, unless
        one is named. Needs NumPy: ``pip install "tunesmith[search]"``. It takes trials for what they are: those that a
        scheduler has stopped count with the values that they had by then.

        Args:
            metric: the run's own by default.
            mode: ``"min"`` or ``"max"``.
            top: the share of the trials that are the best ones, above 0 and below 1; five at least.

        Raises:
            ArgumentError: there is no objective, or there are less than 10 trials with results.
            MissingPackageError: NumPy is not installed.

        Source: see `tunesmith.searchers.marginals.importances`.
        """
        from tunesmith.searchers.marginals import importances

        order, values, _ = self._ranked(metric, mode, top)
        return importances(self._experiment.space, values, order, top)

    def marginal(self, path: str, metric: str | None = None, mode: str | None = None, *, top: float = 0.2) -> Marginal:
        """Return how the metric depends on the hyperparameter at `path`, such as ``"lr"`` or ``"model/width"``.

        At each of its values: the mean and the spread of the metric over the trials nearby, and the share of these that
        are among the best. The arguments are those of `importance`. Raises as that, and with several metrics if none is
        named, or if no trial has such a hyperparameter.
        """
        from tunesmith.searchers.marginals import marginal

        objective = self._one(metric, mode)
        order, values, trials = self._ranked(metric, mode, top)
        scores = [self._score_of(trial, objective, "best") for trial in trials]
        sign = 1 if objective.mode == "max" else -1
        known = [sign * score if score > -inf else None for score in scores]
        found = marginal(self._experiment.space, values, order, top, path, known)
        if found is None:
            paths = sorted({name.removesuffix(CHOSEN) for each in values for name in each})
            raise ArgumentError(f"No trial has a hyperparameter {path!r}.{nearest(path, paths)} There are: {paths}.")
        return found

    def _ranked(
        self, metric: str | None, mode: str | None, top: float
    ) -> tuple[list[int], list[dict[str, Any]], list[Trial]]:
        """Return the searched trials that have a result or have failed, their values, and their order, best first."""
        objective = self._objective_or(metric, mode)
        if not 0 < top < 1:
            raise ArgumentError(f"top must be a share between 0 and 1, got {top!r}.")
        trials = [trial for trial in self._searched if trial._record.last is not None or trial.error is not None]
        if len(trials) < _LEAST_TRIALS:
            raise ArgumentError(f"{len(trials)} trials have a result; {_LEAST_TRIALS} at least can tell what matters.")
        if objective.others:
            merits = [objective.merit(trial._standing_result()) for trial in trials]
        else:
            scores = [self._score_of(trial, objective, "best") for trial in trials]
            merits = [Merit(0.0 if score > -inf else inf, (score,)) for score in scores]
        records = [trial._record for trial in trials]
        values = [{p: codec.from_plain(v) for p, v in {**r.values, **r.overrides}.items()} for r in records]
        return best_first(merits), values, trials

    def score_of(self, trial: Trial, objective: Objective) -> float:
        """Return how good the best result of a trial is by `objective`: larger is better, ``-inf`` if it has none."""
        return self._score_of(trial, objective, "best")

    def _score_of(self, trial: Trial, objective: Objective, scope: str) -> float:
        if scope not in ("best", "last"):
            raise ArgumentError(f"scope must be 'best' or 'last', got {scope!r}.")
        if scope == "last":
            last = trial.last_result
            return -inf if last is None else _score(objective, last)
        if objective == self._objective:
            best = self._best.get(trial.number)
            return -inf if best is None else _score(objective, best.metrics)
        return max((_score(objective, result) for result in trial.history), default=-inf)

    def _objective_or(self, metric: str | None, mode: str | None) -> Objective:
        own = self._objective
        if metric is None and mode is None and own is not None:
            return own
        metric = metric or self.metric
        modes = {goal.metric: goal.mode for goal in own.goals} if own is not None else {}
        mode = mode or modes.get(metric or "", self.mode)
        if metric is None or mode is None:
            raise ArgumentError("The run had no objective. Say metric= and mode= here, or to run().")
        return Objective(metric, mode, constraints=own.constraints if own is not None else ())  # type: ignore[arg-type]  # validated when made

    def _one(self, metric: str | None, mode: str | None) -> Objective:
        """Return what to compare by: one metric."""
        objective = self._objective_or(metric, mode)
        if objective.others:
            raise ArgumentError(
                f"The run has several metrics, {', '.join(objective.metrics)}, and no trial need be the best in all."
                " results.pareto_front has those that no other is better than in all at once;"
                f" results.get_best_trial({objective.metrics[-1]!r}) has the best by one."
            )
        return objective

    def _nothing_best(self, objective: Objective) -> TunesmithError:
        names = {name for trial in self.trials if trial._record.last for name in trial._record.last.metrics}
        if names and objective.metric not in names:
            return ArgumentError(
                f"No trial has reported {objective.metric!r}; reported were: {', '.join(sorted(names))}."
                f"{nearest(objective.metric, names)}"
            )
        if objective.constraints and (nearest_miss := self._nearest_miss(objective)):
            return TunesmithError(nearest_miss)
        text = f"No trial has a finite {objective.metric!r}. {self._counts()}."
        failed = self.errors
        if failed and failed[0].error:
            text += (
                f" The first failure, of trial {failed[0].number}: {failed[0].error} (see {failed[0].path}/error.txt)"
            )
        return TunesmithError(text)

    def _nearest_miss(self, objective: Objective) -> str:
        """Say that no trial is within the constraints, and which one breaks them least."""
        merits = {trial.number: objective.merit(trial._standing_result()) for trial in self._searched}
        known = {number: merit for number, merit in merits.items() if merit.violation < inf}
        if not known:
            return ""
        number = min(known, key=lambda number: (known[number].violation, number))
        result = self.trials[number].last_result or {}
        values = ", ".join(f"{bound.metric} {result.get(bound.metric)}" for bound in objective.constraints)
        return (
            f"No trial is within the constraints {objective.limits}: the nearest is trial {number}, with {values}."
            f" {self._counts()}. Relax constraints=, or search on with a larger num_samples= and resume=True."
        )

    def _counts(self) -> str:
        counts = Counter(trial.status for trial in self.trials)
        return f"{len(self.trials)} trials: " + (", ".join(f"{n} {status}" for status, n in counts.items()) or "none")

    def dataframe(self) -> pd.DataFrame:
        """Return a pandas frame: a row a trial, with its last result and its configuration as ``config/...`` columns.

        Where there are constraints, ``feasible`` says whether the last result keeps them; where there are several
        metrics, ``front`` is 0 for the trials of the front, 1 for those that only these are better than, and so on.

        Raises:
            MissingPackageError: pandas is not installed.
        """
        rows = []
        objective = self._objective
        fronts: dict[int, int] = {}
        if objective and objective.others:
            fronts = {t.number: rank for t, rank in zip(self._searched, ranks(self._merits()), strict=True)}
        marks = {name for trial in self.trials for name in _MARKS if getattr(trial, name) is not None}
        for trial in self.trials:
            last = dict(trial.last_result or {})
            last.pop("config", None)
            head = {"trial": trial.number, "trial_id": trial.trial_id, "trial_name": trial.name, "status": trial.status}
            if objective and objective.constraints:
                head["feasible"] = trial.is_feasible
            if fronts:
                head["front"] = fronts.get(trial.number)
            head |= {name: getattr(trial, name) for name in _MARKS if name in marks}
            config = {f"config/{path}": value for path, value in _flat(trial.config)}
            rows.append(head | {k: v for k, v in last.items() if k not in head} | config)
        return _pandas().DataFrame(rows)

    def __len__(self) -> int:
        return len(self.trials)

    def __iter__(self) -> Iterator[Trial]:
        return iter(self.trials)

    def __getitem__(self, number: int) -> Trial:
        return self.trials[number]

    def __repr__(self) -> str:
        text = f"<Results {self.name}: {self._counts()}"
        if self._objective and self._objective.others:
            return f"{text}; {len(self.pareto_front)} in the front>"
        if self._objective and self._best:
            try:
                best = self.best_trial
            except TunesmithError:
                return f"{text}>"
            value = self._best[best.number].metrics[self._objective.metric]
            text += f"; best {self.metric} {value:.6g} by trial {best.number}"
        return f"{text}>"


def _score(objective: Objective, result: Mapping[str, Any]) -> float:
    """Return the score of a result, the worst one when it has no such number."""
    try:
        return objective.score(result)
    except MetricError:
        return -inf


def _flat(config: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(config, dict) and config:
        for key, value in config.items():
            yield from _flat(value, f"{path}/{key}" if path else str(key))
    else:
        yield path, config


def _pandas() -> Any:
    try:
        import pandas as pd
    except ImportError as error:
        raise MissingPackageError('A dataframe needs pandas: pip install "tunesmith[dataframe]"') from error
    return pd
