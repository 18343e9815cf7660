"""What if: a recorded experiment once more, under another scheduler."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal, NamedTuple

import msgspec

from tunesmith import arguments as check
from tunesmith import codec
from tunesmith.assembly import Plan, execute
from tunesmith.commands import Start
from tunesmith.console.words import counted, duration, number
from tunesmith.core.limits import Limits
from tunesmith.errors import ArgumentError, TrialError
from tunesmith.executors.curves import Curve, Step
from tunesmith.executors.simulated import SimulatedExecutor
from tunesmith.objective import Objective, objective_of
from tunesmith.readable import readable_config
from tunesmith.recording import Effort, RecordedTrial, Recording
from tunesmith.resources import Resources
from tunesmith.results import Results
from tunesmith.retrying import FailurePolicy
from tunesmith.schedulers.protocol import Scheduler
from tunesmith.space import Space
from tunesmith.stoppers.protocol import Stopper
from tunesmith.stoppers.rules import make_stopper
from tunesmith.store.fetching import opened

_SHOWN = 8  # trials that the text names


class Unknown(NamedTuple):
    """A trial that would have gone on after `iteration`, the last one that the record knows of."""

    trial: int
    iteration: int


class Replayed(msgspec.Struct, frozen=True):
    """What came of a replay. As text it is a short table of what would have been saved and lost.

    `name` is that of the recorded experiment. `recorded` and `replayed` are what the two took and found, both on the
    same number of `workers`; `results` are those of the replay, an experiment like any other. `unknown` are the trials
    for which the record is too short: they ended in the replay where the record does, but the scheduler would have let
    them go on.
    """

    name: str
    results: Results
    scheduler: str
    workers: int
    objective: Objective | None
    recorded: Effort
    replayed: Effort
    unknown: list[Unknown]

    def __str__(self) -> str:
        before, after = self.recorded, self.replayed
        rows = [
            ("", "recorded", self.scheduler, ""),
            _row("time", before.time_s, after.time_s, duration),
            _row("training", before.training_s, after.training_s, duration),
            _row("reports", before.reports, after.reports, "{:,}".format),
        ]
        if self.objective is not None and not self.objective.others:
            rows.append((f"best {self.objective.metric}", _best(before), _best(after), self._loss()))
        widths = [max(len(row[column]) for row in rows) for column in range(4)]
        trials = f"{counted(len(self.results), 'trial')} of {self.name} on {counted(self.workers, 'worker')}"
        table = ["  ".join(map(str.ljust, row, widths)).rstrip() for row in rows]
        return "\n".join([f"Replayed {trials}:", *table, self._shortness()])

    def __repr__(self) -> str:
        return f"<Replayed {self.name}: {self.scheduler}, {self.replayed.reports} reports>"

    def _loss(self) -> str:
        before, after = self.recorded.best, self.replayed.best
        if before is None or after is None:
            return ""
        return "the same" if before == after else f"{number(abs(after - before))} lost"

    def _shortness(self) -> str:
        if not self.unknown:
            return "The record is long enough for every decision."
        named = [f"{trial} after iteration {iteration}" for trial, iteration in self.unknown[:_SHOWN]]
        rest = len(self.unknown) - len(named)
        return (
            f"The record is too short for {counted(len(self.unknown), 'trial')}, which {self.scheduler} would have let "
            f"go on: {', '.join(named)}{f' and {rest:,} more' if rest else ''}."
        )


def replay(
    path: str | Path,
    scheduler: Scheduler,
    *,
    metric: str | None = None,
    mode: Literal["min", "max"] | None = None,
    stop: Mapping[str, float] | Callable[[str, dict[str, Any]], Any] | Stopper | Sequence[Any] | None = None,
    workers: int | None = None,
    seed: int | None = None,
    name: str | None = None,
    storage_path: str | Path | None = None,
    verbose: int = 0,
) -> Replayed:
    """Run the experiment in the folder `path` once more under another scheduler, from its learning curves.

    The same configurations come in the same order and report what they reported, in virtual time: each step takes the
    seconds that it took. Nothing is trained, and nothing that is recorded is changed or unpickled.

    Args:
        path: the folder, or the URL, of a finished or a running experiment. One that ran every trial to its end knows
            most.
        scheduler: decides in the replay.
        metric: what to decide by; the experiment's own by default.
        mode: ``"min"`` or ``"max"``.
        stop: ends trials, as for `tunesmith.run`. Say it again here if the experiment had it: a trial that was stopped
            might else have gone on, for all that is known.
        workers: how many trials run at once; by default as many as did so at most in the record.
        seed: what the scheduler draws from; the experiment's own by default.
        name: of the replay and its folder, made from the experiment's name by default.
        storage_path: the folder to keep the replay in. By default it is a temporary one, which is deleted when the
            results are not used any more.
        verbose: as for `tunesmith.run`.

    Returns:
        What would have been saved and lost, and for which trials the record is too short to know.

    Raises:
        ArgumentError: an argument is wrong, or the record has trials that went on from another one's state or with
            another configuration, so that no curve belongs to one configuration.
        StorageError: there is no experiment, or it can't be read.

    Example:
        >>> print(tune.replay("~/tunesmith/digits", tune.ASHAScheduler(max_t=27)))  # doctest: +SKIP
    """
    with opened(path) as folder:
        recording = _read(folder)
    created = recording.created
    objective = check.check_objective(metric, mode) or objective_of(created.metric, created.mode, created.settings)
    workers = check.check_count("workers", workers, least=1, none="those of the record") or max(recording.workers, 1)
    executor = _Curves(recording.trials, workers)
    with ExitStack() as stack:
        storage = check.check_storage(storage_path, None, "inline")
        plan = Plan(
            trainable=_trained,
            trainable_name=created.settings.get("trainable", "trial"),
            parameters={},
            space=_RecordedSpace(created.settings.get("space", {})),
            objective=objective,
            num_samples=len(recording.trials),
            searcher=_RecordedOrder(recording.trials),
            scheduler=check.check_plugin("scheduler", scheduler, ("setup", "apply", "judge", "review", "choose")),
            stopper=make_stopper(stop),
            resources=Resources(),
            name=check.check_name(name) or f"{created.name}_{type(scheduler).__name__}",
            storage=storage or stack.enter_context(TemporaryDirectory(prefix="tunesmith-replay-")),
            resume=False,
            durability="normal",
            executor=executor,
            reuse_workers=False,
            limits=Limits(),
            policy=FailurePolicy(),
            checkpoint_freq=0,
            checkpoint_at_end=False,
            callbacks=[],
            trial_name_creator=None,
            trial_dirname_creator=None,
            seed=created.seed if check.check_seed(seed) is None else seed,
            verbose=check.check_one_of("verbose", verbose, (0, 1, 2)),
        )
        results = execute(plan)
        weakref.finalize(results, stack.pop_all().close)
    found = Recording.read(results.path).effort(objective, workers)
    return Replayed(
        name=created.name,
        results=results,
        scheduler=type(scheduler).__name__,
        workers=workers,
        objective=objective,
        recorded=recording.effort(objective, workers),
        replayed=msgspec.structs.replace(found, time_s=executor.clock()),
        unknown=sorted(executor.unknown),
    )


def _read(folder: Path) -> Recording:
    """Read a record of which every curve belongs to one configuration."""
    recording = Recording.read(folder)
    if recording.mixed is not None:
        raise ArgumentError(
            f"The experiment at {folder} can't be replayed: trial {recording.mixed} changed its configuration while it "
            "ran, so that its learning curve does not tell how any one configuration learns. Replay an experiment "
            "whose scheduler only stops or pauses trials."
        )
    return recording


class _Curves(SimulatedExecutor):
    """Trials that report what is recorded of them. `unknown` are those that were let go on after that."""

    def __init__(self, trials: Sequence[RecordedTrial], workers: int) -> None:
        super().__init__(workers=workers)
        self._trials = trials
        self._configs: dict[int, dict[str, Any]] = {}
        self.unknown: set[Unknown] = set()

    def curve(self, start: Start) -> Curve:
        """Return the recorded curve, or an empty one when the trial has another configuration by now."""
        trial = self._trials[start.trial]
        same = self._configs.setdefault(start.trial, start.config) == start.config
        known = trial.curve if same else trial.curve[:0]

        def at(step: int) -> Step | None:
            if step <= len(known):
                return known[step - 1].metrics, known[step - 1].time_this_iter_s
            if same and trial.failure is not None:
                raise TrialError(trial.failure.message)
            if not (same and trial.whole):
                self.unknown.add(Unknown(start.trial, step - 1))
            return None

        return at


class _RecordedSpace(Space):
    """The space of a record, of which only its description is known."""

    def __init__(self, description: dict[str, Any]) -> None:
        super().__init__({})
        self._description = description

    def describe(self) -> dict[str, Any]:
        return self._description

    def build(self, values: Mapping[str, Any]) -> dict[str, Any]:
        return readable_config(self._description, values)


class _RecordedOrder:
    """Suggests what is recorded, in that order."""

    eager = True

    def __init__(self, trials: Sequence[RecordedTrial]) -> None:
        self._trials = trials

    def setup(self, space: Space, objective: Objective | None, seed: int, num_samples: int) -> None:
        """Need nothing."""

    def total(self) -> int:
        return len(self._trials)

    def ask(self, first: int, count: int) -> list[dict[str, Any]]:
        return [codec.from_plain(trial.values) for trial in self._trials[first : first + count]]

    def tell(self, trial: int, metrics: Mapping[str, Any] | None, final: bool, failed: bool) -> None:
        """Learn nothing."""


def _trained(config: dict[str, Any], step: int) -> None:
    """Stand in for the trainable, which a replay does not have."""


def _row(what: str, before: float, after: float, shown: Callable[[Any], str]) -> tuple[str, str, str, str]:
    share = (before - after) / before if before else 0.0
    change = f"{abs(share):.0%} {'saved' if share >= 0 else 'more'}"
    return what, shown(before), shown(after), change


def _best(effort: Effort) -> str:
    return "none" if effort.best is None else f"{number(effort.best)} (trial {effort.best_trial})"
