"""Assembly: checks the arguments, builds the parts, and hands them to the driver."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any, Literal

from tunesmith import arguments as check
from tunesmith.assembly import Plan, execute
from tunesmith.callbacks.protocol import Callback
from tunesmith.core.controller import Limits
from tunesmith.executors.protocol import Executor
from tunesmith.naming import TrialInfo
from tunesmith.results import Results
from tunesmith.schedulers.fifo import FIFOScheduler
from tunesmith.schedulers.protocol import Scheduler
from tunesmith.searchers.protocol import Searcher
from tunesmith.searchers.variants import VariantSearcher
from tunesmith.space import Space
from tunesmith.stoppers.protocol import Stopper
from tunesmith.stoppers.rules import make_stopper
from tunesmith.worker.trainable_options import unwrap


def run(
    trainable: Callable[..., Any],
    config: Mapping[str, Any] | None = None,
    *,
    metric: str | None = None,
    mode: Literal["min", "max"] | None = None,
    num_samples: int = 1,
    search_alg: Searcher | None = None,
    scheduler: Scheduler | None = None,
    stop: Mapping[str, float] | Callable[[str, dict[str, Any]], Any] | Stopper | Sequence[Any] | None = None,
    resources_per_trial: Mapping[str, float] | None = None,
    name: str | None = None,
    storage_path: str | Path | None = None,
    resume: bool | Literal["auto"] = False,
    executor: Literal["local", "inline"] | Executor = "local",
    reuse_workers: bool = False,
    max_concurrent_trials: int | None = None,
    time_budget_s: float | timedelta | None = None,
    max_failures: int = 0,
    checkpoint_freq: int = 0,
    checkpoint_at_end: bool = False,
    keep_checkpoints_num: int | None = None,
    callbacks: Sequence[Callback] | None = None,
    trial_name_creator: Callable[[TrialInfo], str] | None = None,
    trial_dirname_creator: Callable[[TrialInfo], str] | None = None,
    seed: int | None = None,
    verbose: int = 1,
    **unknown: Any,
) -> Results:
    """Tune `trainable` over the search space `config` and return what came of it.

    Every trial runs in a worker of its own. All that workers report is on disk before they go on, in
    ``<storage_path>/<name>/experiment.db``. Ctrl-C once saves what runs and returns the results so far; the same call
    with ``resume=True`` goes on. A second Ctrl-C leaves at once, and the experiment is still whole.

    Args:
        trainable: a function of the configuration that calls `tunesmith.report`, yields or returns results, or a
            subclass of `tunesmith.Trainable`; or either from `with_parameters` or `with_resources`.
        config: the search space: nested dicts and lists with domains such as ``tune.uniform(0, 1)``; all else is
            passed on as it is. Each trial gets a deep copy of its own.
        metric: the name of the reported value to optimise. Needed for ``results.best_config``.
        mode: ``"min"`` or ``"max"``.
        num_samples: how many trials; with ``grid_search`` how many times the whole grid; -1 is no limit.
        search_alg: suggests configurations; random and grid search by default.
        scheduler: decides which trials go on; by default all of them do, first in, first out.
        stop: ends trials: thresholds such as ``{"training_iteration": 10}`` (any one reached from below), a function
            of ``(trial_id, result)``, a `Stopper`, or a list of these.
        resources_per_trial: such as ``{"cpu": 2, "gpu": 0.5, "licence": 1}``; one CPU by default.
        name: of the experiment and its folder; made from the trainable's name and the date by default.
        storage_path: the folder that experiments are in, ``~/tunesmith`` by default.
        resume: True goes on with the experiment `name`, ``"auto"`` does if there is one.
        executor: ``"local"`` runs trials in processes of this machine, ``"inline"`` one after another in this
            process, for a debugger; or an executor object, such as `tunesmith.SimulatedExecutor` for virtual time.
        reuse_workers: keep worker processes for the next trial instead of a fresh one for each.
        max_concurrent_trials: as many trials at once at most; by default what the resources allow.
        time_budget_s: seconds after which what runs is stopped and nothing more is started.
        max_failures: how many times a trial is tried again, from its last checkpoint; -1 for ever.
        checkpoint_freq: for class trainables, save every so many iterations; 0 never.
        checkpoint_at_end: for class trainables, save when the trial ends.
        keep_checkpoints_num: how many of the last checkpoints of each trial are kept; None keeps all.
        callbacks: instances of `tunesmith.Callback`, readers of the run.
        trial_name_creator: a function of a `TrialInfo` that returns the trial's name.
        trial_dirname_creator: a function of a `TrialInfo` that returns the name of the trial's folder, another one
            for each trial.
        seed: makes the suggestions the same in every run, in whatever order trials end; drawn by default.
        verbose: 0 prints nothing, 1 a live table and a summary, 2 also a line for what becomes of each trial.
        unknown: refused, with the nearest right name.

    Returns:
        The results; `Results.errors` has the trials that failed. A failing trial never ends the others.

    Raises:
        ArgumentError: an argument is wrong; nothing was started.
        ExperimentExistsError: there is an experiment of this name, and `resume` is False.
        ExperimentBusyError: another driver is running it.
        StorageError: the folder can't be written.
        NotPicklableError: the trainable can't be sent to a worker.
        ResourceError: a trial asks for more than there is.

    Example:
        >>> def train(config):
        ...     return {"loss": (config["x"] - 3) ** 2}
        >>> space = {"x": tune.uniform(0, 10)}
        >>> results = tune.run(train, space, metric="loss", mode="min", num_samples=20)  # doctest: +SKIP
        >>> results.best_config  # doctest: +SKIP
        {'x': 2.9517...}
    """
    check.refuse_unknown(unknown, run)
    plain, parameters, requested, trainable_name = unwrap(trainable)
    check.check_saving(plain, checkpoint_freq, checkpoint_at_end=checkpoint_at_end)
    plan = Plan(
        trainable=plain,
        trainable_name=trainable_name,
        parameters=parameters,
        space=Space({} if config is None else config),
        objective=check.check_objective(metric, mode),
        num_samples=check.check_count("num_samples", num_samples, least=1, infinite=True) or 1,
        searcher=check.check_plugin("search_alg", search_alg or VariantSearcher(), ("setup", "total", "ask", "tell")),
        scheduler=check.check_scheduler(scheduler or FIFOScheduler(), num_samples),
        stopper=make_stopper(stop),
        resources=check.check_resources(resources_per_trial, requested),
        name=check.check_name(name),
        storage=check.check_path("storage_path", storage_path),
        resume=check.check_one_of("resume", resume, (False, True, "auto")),
        executor=check.check_executor(executor),
        reuse_workers=bool(reuse_workers),
        limits=Limits(
            max_concurrent=check.check_count("max_concurrent_trials", max_concurrent_trials, least=1, none="no limit"),
            time_budget_s=check.check_seconds("time_budget_s", time_budget_s),
            max_failures=check.check_count("max_failures", max_failures, least=0, infinite=True) or 0,
            keep_checkpoints=check.check_count(
                "keep_checkpoints_num", keep_checkpoints_num, least=1, none="all of them"
            ),
        ),
        checkpoint_freq=check.check_count("checkpoint_freq", checkpoint_freq, least=0) or 0,
        checkpoint_at_end=bool(checkpoint_at_end),
        callbacks=check.check_callbacks(callbacks),
        trial_name_creator=check.check_function("trial_name_creator", trial_name_creator),
        trial_dirname_creator=check.check_function("trial_dirname_creator", trial_dirname_creator),
        seed=check.check_seed(seed),
        verbose=check.check_one_of("verbose", verbose, (0, 1, 2)),
    )
    return execute(plan)
