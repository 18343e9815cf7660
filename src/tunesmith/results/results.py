"""What came of an experiment, read from its folder: finished, or running at this moment."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from math import inf
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from tunesmith import codec
from tunesmith import events as e
from tunesmith.core.experiment import Experiment
from tunesmith.core.story import Story
from tunesmith.errors import ArgumentError, TunesmithError, nearest
from tunesmith.objective import Objective
from tunesmith.pareto import Merit, best_first, hypervolume, ranks, worst
from tunesmith.paths import CHOSEN
from tunesmith.readable import readable_config
from tunesmith.results.reading import Reading
from tunesmith.results.repeated import Repeated
from tunesmith.results.shortfall import counts, nothing_best
from tunesmith.results.trial import Told, Trial, import_pandas
from tunesmith.store.database import DATABASE
from tunesmith.store.fetching import as_storage, fetch_database
from tunesmith.store.reading import EventReader

if TYPE_CHECKING:
    import pandas as pd

    from tunesmith.remote.storage import RemoteStorage
    from tunesmith.searchers.marginals import Marginal

_SEARCHES = 3  # after so many it pays to know where each trial's events are
_LEAST_TRIALS = 10  # to tell what matters
_MARKS = ("repeats", "confirms")  # columns where any trial has one
Configure = Callable[[Mapping[str, Any], Mapping[str, Any]], dict[str, Any]]


def load(path: str | Path | RemoteStorage, storage_options: Mapping[str, Any] | None = None) -> Results:
    """Open an experiment's folder, of a finished or a running one, to read it. Nothing is written or unpickled.

    Values of a configuration that are no plain data are shown by their repr. A URL opens the copy that is there; with
    `storage_options` go credentials, as for `tunesmith.run`.

    Raises:
        MissingPackageError: a package for the URL is not installed.
        StorageError: there is no experiment, or it can't be read.

    Example:
        >>> results = load("~/tunesmith/train_2026-11-24_10-00-00_a1b2")  # doctest: +SKIP
    """
    remote = as_storage(path, storage_options)
    return Results.from_store(Path(path).expanduser()) if remote is None else Results.from_remote(remote)  # type: ignore[arg-type]  # a path, as it is no URL


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


class Results:
    """What came of an experiment: its trials, and the best of them by its objective.

    A sequence of `Trial`. The best value is taken over all results of all trials; values that are not finite never win.
    `path` is the experiment's folder on this machine.
    """

    _fetched = False  # whether `path` is a temporary folder with what is elsewhere
    _copy: EventReader | None = None

    def __init__(
        self,
        path: Path,
        configure: Configure | None = None,
        reading: Reading | None = None,
        remote: RemoteStorage | None = None,
    ) -> None:
        self.path = path
        self.remote = remote
        self._given_configure = configure
        if reading is None:
            self.refresh()
        else:
            self._take(reading)

    @classmethod
    def from_store(
        cls,
        path: Path,
        *,
        configure: Configure | None = None,
        reading: Reading | None = None,
        remote: RemoteStorage | None = None,
    ) -> Results:
        """Read the experiment in the folder `path`, if that is not done yet: then `reading` is all that is recorded.

        `configure` builds real configurations from recorded values; `remote` is where checkpoints are, if elsewhere.
        """
        return cls(path.absolute(), configure, reading, remote)

    @classmethod
    def from_remote(cls, remote: RemoteStorage) -> Results:
        """Read the experiment at `remote` as it was copied there last, into a temporary folder."""
        from tempfile import TemporaryDirectory
        from weakref import finalize

        temporary = TemporaryDirectory(prefix="tunesmith_")
        folder = Path(temporary.name, remote.url.rstrip("/").rpartition("/")[2])
        folder.mkdir()
        fetch_database(remote, folder)
        results = cls(folder, remote=remote)
        results._fetched = True
        finalize(results, temporary.cleanup)
        return results

    def refresh(self) -> Results:
        """Read the experiment again and return it."""
        if self._fetched and self.remote is not None:
            fetch_database(self.remote, self.path)
        reading = Reading(Experiment())
        with EventReader.open_to_read(self.path / DATABASE) as store:
            for event, _ in store.fold(reading.experiment.apply):
                reading.see(event)
        return self._take(reading)

    def _take(self, reading: Reading) -> Results:
        self._experiment = experiment = reading.experiment
        created = experiment.created
        if created is None:
            raise TunesmithError(f"The experiment at {self.path} has not begun yet. Look again in a moment.")
        self._objective, self._best = reading.objective, reading.best
        if self._copy is not None:
            self._copy.close()
            self._copy = None
        self._asked = 0  # how many times for the events of a trial
        self._places: dict[int, array[int]] | None = None
        reading.settle(lambda trial: (told.report for told in self._told(trial)))
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

    @contextmanager
    def _opened(self) -> Iterator[EventReader]:
        """Give the store. One that is a copy is kept for the next who asks: to make it takes time."""
        store = self._copy or EventReader.open_to_read(self.path / DATABASE)
        self._copy = store if store.is_copy else None
        try:
            yield store
        finally:
            if not store.is_copy:
                store.close()

    def _events(self, trial: int) -> Iterator[e.Event]:
        """Yield the events of a trial. Who asks for many trials has the record searched once, and not for each."""
        self._asked += 1
        with self._opened() as store:
            if self._places is None and self._asked > _SEARCHES:
                self._places = store.places()
            places = None if self._places is None else self._places.get(trial, ())
            for _, event in store.read_trial(trial) if places is None else store.read_at(places):
                yield event

    def _told(self, trial: int) -> list[Told]:
        """Return the reports of a trial that stand."""
        told: list[Told] = []
        started: e.Started | None = None
        config: dict[str, Any] = {}
        story: Story | None = None
        for event in self._events(trial):
            changed = False
            if type(event) is e.Started:
                started = event
            elif story is None:  # the first event is the suggestion
                story, changed = Story(event), True  # type: ignore[arg-type]  # by the line above
            elif type(event) is e.Reported:
                story.count(event)
                told.append(Told(event, started, config))
            else:
                changed = story.apply(event)  # type: ignore[arg-type]  # those of one trial
                del told[story.results :]
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
        trial, best = self._leader()
        told = self._told(trial.number)
        key = best.incarnation, best.iteration
        found = next(each for each in told if (each.report.incarnation, each.report.iteration) == key)
        return trial._complete(found, last=found is told[-1])

    def _leader(self) -> tuple[Trial, e.Reported]:
        """Return the best trial and its best report. Raises as `get_best_trial`."""
        trial = self.best_trial
        best = self._best[trial.number]
        if best is None:
            raise nothing_best(self.trials, self._objective_or(None, None))
        return trial, best

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
            raise nothing_best(self.trials, objective)
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
        names = objective.metrics
        values = [reference.get(name) for name in names] if isinstance(reference, Mapping) else [*_listed(reference)]
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
            return -inf if last is None else objective.score_or_worst(last)
        if objective == self._objective:
            best = self._best[trial.number]
            return -inf if best is None else objective.score_or_worst(best.metrics)
        return max((objective.score_or_worst(result) for result in trial.history), default=-inf)

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
        return import_pandas().DataFrame(rows)

    def __len__(self) -> int:
        return len(self.trials)

    def __iter__(self) -> Iterator[Trial]:
        return iter(self.trials)

    def __getitem__(self, number: int) -> Trial:
        return self.trials[number]

    def __repr__(self) -> str:
        text = f"<Results {self.name}: {counts(self.trials)}"
        if self._objective and self._objective.others:
            return f"{text}; {len(self.pareto_front)} in the front>"
        if self._objective and any(self._best):
            try:
                trial, best = self._leader()
            except TunesmithError:
                return f"{text}>"
            text += f"; best {self.metric} {best.metrics[self._objective.metric]:.6g} by trial {trial.number}"
        return f"{text}>"


def _listed(value: Any) -> Sequence[Any]:
    return value if isinstance(value, (list, tuple)) else ()


def _flat(config: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(config, dict) and config:
        for key, value in config.items():
            yield from _flat(value, f"{path}/{key}" if path else str(key))
    else:
        yield path, config
