"""Assembly: checks the arguments, builds the parts, and hands them to the driver."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from tunesmith import arguments as check
from tunesmith.assembly import Plan, execute
from tunesmith.callbacks.protocol import Callback
from tunesmith.core.limits import Limits
from tunesmith.core.reopening import WISHES
from tunesmith.definition import CHANGEABLE
from tunesmith.executors.protocol import Executor
from tunesmith.naming import TrialInfo
from tunesmith.results import Results
from tunesmith.schedulers.fifo import FIFOScheduler
from tunesmith.schedulers.protocol import Scheduler
from tunesmith.searchers.protocol import Searcher
from tunesmith.space import Space
from tunesmith.stoppers.protocol import Stopper
from tunesmith.stoppers.rules import make_stopper
from tunesmith.warming import WarmStart, as_warm_start
from tunesmith.worker.trainable_options import unwrap

if TYPE_CHECKING:
    from tunesmith.remote.storage import RemoteStorage


def run(
    trainable: Callable[..., Any] | str,
    config: Mapping[str, Any] | None = None,
    *,
    metric: str | Sequence[str] | None = None,
    mode: Literal["min", "max"] | Sequence[Literal["min", "max"]] | None = None,
    constraints: Mapping[str, str] | None = None,
    num_samples: int = 1,
    search_alg: Searcher | str | None = None,
    scheduler: Scheduler | None = None,
    stop: Mapping[str, float] | Callable[[str, dict[str, Any]], Any] | Stopper | Sequence[Any] | None = None,
    resources_per_trial: Mapping[str, float] | None = None,
    name: str | None = None,
    storage_path: str | Path | RemoteStorage | None = None,
    storage_options: Mapping[str, Any] | None = None,
    shared_folder: bool | None = None,
    resume: bool | Literal["auto", "errored", "restart_errored", "extend"] = False,
    accept_changes: bool | Collection[str] = False,
    warm_start: str | Path | Results | WarmStart | None = None,
    confirm: int = 0,
    confirm_repeats: int = 3,
    durability: Literal["normal", "full"] = "normal",
    executor: Literal["local", "inline", "ray"] | Executor = "local",
    reuse_workers: bool = False,
    max_concurrent_trials: int | None = None,
    time_budget_s: float | timedelta | None = None,
    max_failures: int = 0,
    retry_on: type[BaseException] | str | Sequence[type[BaseException] | str] | None = None,
    retry_pause_s: float = 1.0,
    fail_fast: bool = False,
    trial_timeout_s: float | timedelta | None = None,
    heartbeat_timeout_s: float | timedelta | None = None,
    on_nan: Literal["worst", "fail", "stop"] = "worst",
    checkpoint_freq: int = 0,
    checkpoint_at_end: bool = False,
    keep_checkpoints_num: int | None = None,
    keep_best_checkpoints_num: int | None = None,
    checkpoint_score_attr: str | None = None,
    checkpoint_quota_bytes: int | None = None,
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
            subclass of `tunesmith.Trainable`; or either from `with_parameters` or `with_resources`. A name, such as
            ``"PPO"``, is an algorithm of RLlib's, of which the class and an ``AlgorithmConfig`` may be given, too.
        config: the search space: nested dicts and lists with domains such as ``tune.uniform(0, 1)``; all else is
            passed on as it is. Each trial gets a deep copy of its own.
        metric: the name of the reported value to optimise. Needed for ``results.best_config``. A list names several
            that are optimised at once: see ``results.pareto_front``.
        mode: ``"min"`` or ``"max"``; for several metrics one for all, or a list.
        constraints: what must hold of a result to be good: bounds of reported values, such as
            ``{"memory_mb": "<= 4000", "accuracy": ">= 0.9"}``.
        num_samples: how many trials; with ``grid_search`` how many times the whole grid; -1 is no limit.
        search_alg: suggests configurations, a searcher or the name of one, such as ``"sobol"``; random and grid search
            by default.
        scheduler: decides which trials go on; by default all of them do, first in, first out.
        stop: ends trials: thresholds such as ``{"training_iteration": 10}`` (any one reached from below), a function
            of ``(trial_id, result)``, a `Stopper`, or a list of these.
        resources_per_trial: such as ``{"cpu": 2, "gpu": 0.5, "licence": 1}``; by default what the trainable says, or
            one CPU.
        name: of the experiment and its folder; made from the trainable's name and the date by default.
        storage_path: the folder that experiments are in, ``~/tunesmith`` by default; or a URL such as
            ``"s3://bucket/runs"``, ``"gs://..."``, ``"sftp://user@host/runs"``, or a `RemoteStorage`: checkpoints go
            there, and the database is copied there now and then and at the end (docs/storage.md). The URL and the name
            are enough to resume on another machine.
        storage_options: for a URL: credentials and whatever else fsspec's file system for it takes. They are kept
            nowhere: give them again to resume.
        shared_folder: whether the folder is on a file system that other machines see, too (NFS, SMB, Lustre and the
            like), where SQLite must keep another kind of journal. None, the default, finds out on Linux.
        resume: True goes on with the experiment `name`, ``"auto"`` does if there is one. ``"errored"`` also tries the
            failed trials again, from their last checkpoints, ``"restart_errored"`` from the beginning. ``"extend"``
            also lets those go on, from their last checkpoints, that were stopped only by a limit of before: a
            scheduler's ``max_t``, a ``stop`` criterion, the time budget.
        accept_changes: go on although something has changed since: True, or the names of the arguments that may
            have, of ``"trainable", "config", "metric", "mode", "constraints", "scheduler", "search_alg"``. Trials that
            exist keep their values.
        warm_start: the folder, URL or `Results` of an older experiment, or a `WarmStart`: the best of its
            configurations that lie in this search space are the first ones tried. What was read is kept, so that a
            resumed run does not need that folder any more.
        confirm: when the search is over, run the best so many configurations again, each `confirm_repeats` times: the
            best of many noisy values is a lucky one, and ``results.confirmed`` has both numbers. The searcher and the
            scheduler do not see these trials; they are trained for as long as those that they confirm. A run that is
            ended before its search is over, by a time budget too, confirms nothing.
        confirm_repeats: how many times each.
        durability: ``"normal"``: what was reported survives the death of any process; ``"full"``: a loss of power,
            too, and every report waits for the disk.
        executor: ``"local"`` runs trials in processes of this machine, ``"inline"`` one after another in this
            process, for a debugger, ``"ray"`` in actors of a Ray that is started on this machine, or that this process
            is in already; or an executor object, such as `tunesmith.RayExecutor` for a cluster or
            `tunesmith.SimulatedExecutor` for virtual time.
        reuse_workers: keep worker processes for the next trial instead of a fresh one for each.
        max_concurrent_trials: as many trials at once at most; by default what the resources allow.
        time_budget_s: seconds after which what runs is stopped and nothing more is started.
        max_failures: how many failures of a trial are forgiven: it is tried again, from its last checkpoint; -1 for
            ever. Losing a worker to the machine (preempted, lost) does not count, unless it does so again and again.
        retry_on: which failures are tried again: types of exceptions, or their names, or kinds of failures such as
            ``"memory"``; by default all of them. Others fail the trial at once.
        retry_pause_s: seconds before a trial is tried again; doubled each time that it got no further, up to 300.
        fail_fast: end the run with the first trial that has failed for good; the others are saved, for `resume`.
        trial_timeout_s: seconds for which a trial may hold a worker, in all of its starts together. Then it is ended
            by force and has failed; what it reported stands.
        heartbeat_timeout_s: seconds after which a trial that runs and does not report is given up. Its worker is
            killed, and that counts as a failure. Longer than any step, the setup before the first one included.
        on_nan: what becomes of a trial that reports a metric that is not finite: with ``"worst"`` it goes on, and that
            value never wins; with ``"fail"`` it has failed, with ``"stop"`` it has ended, with its results so far.
        checkpoint_freq: for class trainables, save every so many iterations; 0 never.
        checkpoint_at_end: for class trainables, save when the trial ends.
        keep_checkpoints_num: how many of the last checkpoints of each trial are kept; None keeps all, or the last one
            when `keep_best_checkpoints_num` is given.
        keep_best_checkpoints_num: how many of the best checkpoints of each trial are kept, beside the last ones.
        checkpoint_score_attr: by what they are compared: ``"min-"`` or ``"max-"`` and the name of a reported value,
            such as ``"min-loss"``; the run's metric and mode by default.
        checkpoint_quota_bytes: how many bytes all checkpoints of the experiment may have: beyond it the oldest are
            deleted that no trial may need, whatever else is said of keeping, the last and the best ones at last.
        callbacks: instances of `tunesmith.Callback`, readers of the run.
        trial_name_creator: a function of a `TrialInfo` that returns the trial's name.
        trial_dirname_creator: a function of a `TrialInfo` that returns the name of the trial's folder, another one
            for each trial.
        seed: makes the suggestions the same in every run, in whatever order trials end, and the random numbers that
            trials draw from the global generators; drawn by default.
        verbose: 0 prints nothing, 1 a live table and a summary, 2 also a line for what becomes of each trial.
        unknown: refused, with the nearest right name.

    Returns:
        The results; `Results.errors` has the trials that failed. A failing trial never ends the others.

    Raises:
        ArgumentError: an argument is wrong, or what is resumed has changed; nothing was started.
        ExperimentExistsError: there is an experiment of this name, and `resume` is False.
        ExperimentBusyError: another driver is running it.
        StorageError: the folder can't be written, or the server does not answer, or refuses the credentials.
        MissingPackageError: a package for the URL is not installed; the message has its name.
        ExperimentDamagedError: what is to be resumed can't be read; the message has the command that recovers it.
        NotPicklableError: the trainable can't be sent to a worker.
        MissingPackageError: RLlib is to run it, or another extra is named, and is not installed.
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
    plain, parameters, requested, trainable_name = unwrap(check.check_trainable(trainable))
    check.check_config(plain, config)
    check.check_saving(plain, checkpoint_freq, checkpoint_at_end=checkpoint_at_end)
    objective = check.check_objective(metric, mode, constraints)
    plan = Plan(
        trainable=plain,
        trainable_name=trainable_name,
        parameters=parameters,
        space=Space({} if config is None else config),
        objective=objective,
        num_samples=check.check_count("num_samples", num_samples, least=1, infinite=True) or 1,
        searcher=check.check_searcher(search_alg),
        scheduler=check.check_scheduler(scheduler or FIFOScheduler(), num_samples),
        stopper=make_stopper(stop),
        resources=check.check_resources(resources_per_trial, requested, plain),
        name=check.check_name(name),
        storage=check.check_storage(storage_path, storage_options, executor),
        resume=check.check_one_of("resume", resume, (False, True, "auto", *WISHES)),
        durability=check.check_one_of("durability", durability, ("normal", "full")),
        executor=check.check_executor(executor),
        reuse_workers=bool(reuse_workers),
        limits=Limits(
            max_concurrent=check.check_count("max_concurrent_trials", max_concurrent_trials, least=1, none="no limit"),
            time_budget_s=check.check_seconds("time_budget_s", time_budget_s),
            trial_timeout_s=check.check_seconds("trial_timeout_s", trial_timeout_s),
            heartbeat_timeout_s=check.check_seconds("heartbeat_timeout_s", heartbeat_timeout_s),
            fail_fast=bool(fail_fast),
            on_nan=check.check_one_of("on_nan", on_nan, ("worst", "fail", "stop")),
            keep_checkpoints=check.check_keeping(
                keep_checkpoints_num,
                keep_best_checkpoints_num,
                checkpoint_score_attr,
                checkpoint_quota_bytes,
                objective,
            ),
        ),
        policy=check.check_policy(max_failures, retry_on, retry_pause_s),
        checkpoint_freq=check.check_count("checkpoint_freq", checkpoint_freq, least=0) or 0,
        checkpoint_at_end=bool(checkpoint_at_end),
        callbacks=check.check_callbacks(callbacks),
        trial_name_creator=check.check_function("trial_name_creator", trial_name_creator),
        trial_dirname_creator=check.check_function("trial_dirname_creator", trial_dirname_creator),
        seed=check.check_seed(seed),
        verbose=check.check_one_of("verbose", verbose, (0, 1, 2)),
        accept_changes=check.check_changes(accept_changes, CHANGEABLE),
        warm_start=as_warm_start(warm_start),
        shared_folder=check.check_one_of("shared_folder", shared_folder, (None, True, False)),
        confirm=check.check_confirm(confirm, confirm_repeats, objective, scheduler),
    )
    return execute(plan)
