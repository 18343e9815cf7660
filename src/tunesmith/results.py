"""What came of an experiment, read from its folder: finished, or running at this moment."""

from __future__ import annotations

import time
from array import array
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from math import inf
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from tunesmith import events as e
from tunesmith.core.experiment import Experiment, TrialRecord
from tunesmith.core.story import Story
from tunesmith.errors import ArgumentError, MetricError, MissingPackageError, TrialError, TunesmithError, nearest
from tunesmith.objective import Objective
from tunesmith.readable import readable_config
from tunesmith.result import DECISIONS, Decided, Origin, complete
from tunesmith.store.sqlite import DATABASE, EventStore
from tunesmith.trial import Status

if TYPE_CHECKING:
    import pandas as pd

    from tunesmith.worker.checkpoint import Checkpoint

_SEARCHES = 3  # after so many it pays to know where each trial's events are

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
    def decisions(self) -> list[Decided]:
        """What was decided about the trial, in order, and why."""
        return [Decided.of(event) for event in self._results._events(self.number) if isinstance(event, DECISIONS)]

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

    def best_result(self, metric: str | None = None, mode: str | None = None) -> dict[str, Any] | None:
        """Return the trial's best result, by the run's objective or another one; None if no value is finite."""
        objective = self._results._objective_or(metric, mode)
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


class Reading:
    """The fold of an experiment for its results: its state, and the best report of each trial.

    Whoever folds the events anyway shares his `experiment`, and shows each event to `see` when that has folded it.
    """

    def __init__(self, experiment: Experiment) -> None:
        self.experiment = experiment
        self.objective: Objective | None = None
        self.best: list[e.Reported | None] = []  # by trial
        self.unsure: set[int] = set()  # the trials whose best has to be looked for in their histories
        self._scores = array("d")

    def see(self, event: e.Event) -> None:
        """Follow the best reports."""
        kind = type(event)
        if kind is e.Reported:
            self.compare(event)  # type: ignore[arg-type]  # narrowed by the line above
        elif kind is e.Suggested:
            self.best.append(None)
            self._scores.append(-inf)
        elif kind is e.Placed:
            self._placed(event)  # type: ignore[arg-type]  # as above
        elif isinstance(event, (e.Created, e.Redefined)):
            if event.metric is not None:
                self.objective = Objective(event.metric, event.mode)  # type: ignore[arg-type]  # was validated
            if isinstance(event, e.Redefined):  # it may be another result that is best by another objective
                self.unsure.update(range(len(self.experiment.trials)))

    def compare(self, report: e.Reported) -> None:
        """Compare a report with the best of its trial."""
        objective = self.objective
        if objective is None or objective.metric not in report.metrics:
            return
        score, trial = _score(objective, report.metrics), report.trial
        if score > self._scores[trial] or self.best[trial] is None:
            self.best[trial], self._scores[trial] = report, score

    def _placed(self, event: e.Placed) -> None:
        best = self.best[event.trial]
        if best is not None and not event.parked:
            kept = event.checkpoint.iteration if event.checkpoint else 0
            if best.iteration > kept:  # taken back
                self.unsure.add(event.trial)

    def settle(self, history: Callable[[int], Iterable[e.Reported]]) -> None:
        """Look for the best report of those trials that are `unsure`; `history` returns what stands of a trial."""
        for trial in sorted(self.unsure):
            self.best[trial], self._scores[trial] = None, -inf
            for report in history(trial):
                self.compare(report)
        self.unsure.clear()


class Results:
    """What came of an experiment: its trials, and the best of them by its objective.

    A sequence of `Trial`. The best value is taken over all results of all trials; values that are not finite never win.
    """

    def __init__(self, path: Path, configure: Configure | None = None, reading: Reading | None = None) -> None:
        self.path = path
        self._given_configure = configure
        if reading is None:
            self.refresh()
        else:
            self._take(reading)

    @classmethod
    def from_store(cls, path: Path, *, configure: Configure | None = None, reading: Reading | None = None) -> Results:
        """Read the experiment in the folder `path`, if that is not done yet: then `reading` is all that is recorded.

        `configure` builds real configurations from recorded values.
        """
        return cls(path.absolute(), configure, reading)

    def refresh(self) -> Results:
        """Read the experiment again and return it."""
        reading = Reading(Experiment())
        with EventStore.open_to_read(self.path / DATABASE) as store:
            for event, _ in store.fold(reading.experiment.apply):
                reading.see(event)
        return self._take(reading)

    def _take(self, reading: Reading) -> Results:
        self._experiment = experiment = reading.experiment
        created = experiment.created
        if created is None:
            raise TunesmithError(f"The experiment at {self.path} has not begun yet. Look again in a moment.")
        self._objective, self._best = reading.objective, reading.best
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

    def _events(self, trial: int) -> Iterator[e.Event]:
        """Yield the events of a trial. Who asks for many trials has the record searched once, and not for each."""
        self._asked += 1
        with EventStore.open_to_read(self.path / DATABASE) as store:
            if self._places is None and self._asked > _SEARCHES:
                self._places = store.places()
            places = None if self._places is None else self._places.get(trial, ())
            for _, event in store.read_trial(trial) if places is None else store.read_at(places):
                yield event

    def _told(self, trial: int) -> list[_Told]:
        """Return the reports of a trial that stand."""
        told: list[_Told] = []
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
                told.append(_Told(event, started, config))
            else:
                changed = story.apply(event)  # type: ignore[arg-type]  # those of one trial
                del told[story.results :]
            if changed and story is not None:
                space = self._experiment.trials[trial].space
                config = self._configure(space, story.trial.values, story.trial.overrides)
        return told

    @property
    def metric(self) -> str | None:
        """The metric of the run."""
        return self._objective.metric if self._objective else None

    @property
    def mode(self) -> Literal["min", "max"] | None:
        """The direction of the run."""
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
        """The trial with the best result. Raises as `get_best_trial`."""
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
            raise self._nothing_best(self._objective_or(None, None))
        return trial, best

    def get_best_trial(
        self, metric: str | None = None, mode: str | None = None, scope: Literal["best", "last"] = "best"
    ) -> Trial:
        """Return the trial with the best value, of its whole history or, with `scope` "last", of its last result.

        Raises:
            ArgumentError: the run has no objective and none is given, or no trial has reported such a metric.
            TunesmithError: no trial has reported a finite value; the message says what happened instead.
        """
        objective = self._objective_or(metric, mode)
        scores: list[tuple[float, int]] = []
        for trial in self.trials:
            score = self._score_of(trial, objective, scope)
            if score > -inf:
                scores.append((score, -trial.number))
        if not scores:
            raise self._nothing_best(objective)
        return self.trials[-max(scores)[1]]

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
            best = self._best[trial.number]
            return -inf if best is None else _score(objective, best.metrics)
        return max((_score(objective, result) for result in trial.history), default=-inf)

    def _objective_or(self, metric: str | None, mode: str | None) -> Objective:
        if metric is None and mode is None and self._objective is not None:
            return self._objective
        metric, mode = metric or self.metric, mode or self.mode
        if metric is None or mode is None:
            raise ArgumentError("The run had no objective. Say metric= and mode= here, or to run().")
        return Objective(metric, mode)  # type: ignore[arg-type]  # validated when made

    def _nothing_best(self, objective: Objective) -> TunesmithError:
        names = {name for trial in self.trials if trial._record.last for name in trial._record.last.metrics}
        if names and objective.metric not in names:
            return ArgumentError(
                f"No trial has reported {objective.metric!r}; reported were: {', '.join(sorted(names))}."
                f"{nearest(objective.metric, names)}"
            )
        text = f"No trial has a finite {objective.metric!r}. {self._counts()}."
        failed = self.errors
        if failed and failed[0].error:
            text += (
                f" The first failure, of trial {failed[0].number}: {failed[0].error} (see {failed[0].path}/error.txt)"
            )
        return TunesmithError(text)

    def _counts(self) -> str:
        counts = Counter(trial.status for trial in self.trials)
        return f"{len(self.trials)} trials: " + (", ".join(f"{n} {status}" for status, n in counts.items()) or "none")

    def dataframe(self) -> pd.DataFrame:
        """Return a pandas frame: a row a trial, with its last result and its configuration as ``config/...`` columns.

        Raises:
            MissingPackageError: pandas is not installed.
        """
        rows = []
        for trial in self.trials:
            last = dict(trial.last_result or {})
            last.pop("config", None)
            head = {"trial": trial.number, "trial_id": trial.trial_id, "trial_name": trial.name, "status": trial.status}
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
        if self._objective and any(self._best):
            try:
                trial, best = self._leader()
            except TunesmithError:
                return f"{text}>"
            text += f"; best {self.metric} {best.metrics[self._objective.metric]:.6g} by trial {trial.number}"
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
