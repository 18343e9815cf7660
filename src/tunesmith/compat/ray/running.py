"""``tune.run`` and ``tune.run_experiments``."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, TypeAlias

from tunesmith.compat.ray.errors import TuneError
from tunesmith.compat.ray.experiment import MAX_FAILURES, Experiment, convert_to_experiment_list
from tunesmith.compat.ray.log import log
from tunesmith.compat.ray.session import Options, Session
from tunesmith.compat.ray.trial import Trial

Resume: TypeAlias = bool | Literal["prompt"]


def run(  # noqa: PLR0917 - the order of 2019
    run_or_experiment: Any,
    name: str | None = None,
    stop: Mapping[str, float] | None = None,
    config: Mapping[str, Any] | None = None,
    resources_per_trial: Mapping[str, Any] | None = None,
    num_samples: int = 1,
    local_dir: str | None = None,
    upload_dir: str | None = None,
    trial_name_creator: Callable[[Any], str] | None = None,
    loggers: Sequence[Any] | None = None,
    sync_function: Any = None,
    checkpoint_freq: int = 0,
    checkpoint_at_end: bool = False,
    export_formats: Sequence[str] | None = None,
    max_failures: int = MAX_FAILURES,
    restore: str | None = None,
    search_alg: Any = None,
    scheduler: Any = None,
    with_server: bool = False,
    server_port: int = 4321,
    verbose: int = 2,
    resume: Resume = False,
    queue_trials: bool = False,
    reuse_actors: bool = False,
    trial_executor: Any = None,
    raise_on_failed_trial: bool = True,
    *,
    env: Any = None,
    keep_checkpoints_num: int | None = None,
    checkpoint_score_attr: str | None = None,
) -> list[Trial]:
    """Run an experiment and return its trials.

    The arguments are those of Ray Tune 0.6.5, in its order; `env` goes into the configuration. `reuse_actors` changes
    nothing: whenever a trial goes on from another's state, its object is kept if `reset_config` returns True.

    Raises:
        TuneError: the experiment can't be started, or trials of it did not complete.
    """
    experiment = run_or_experiment
    if isinstance(experiment, Experiment):
        if name is not None or stop is not None or config is not None:
            log("DEBUG", "Ignoring some parameters passed into tune.run: the Experiment has its own.")
    else:
        if env is not None:
            config = {**(config or {}), "env": env}
        experiment = Experiment(
            name,  # type: ignore[arg-type]  # None: the trainable's
            experiment,
            stop,
            config,
            resources_per_trial,
            num_samples,
            local_dir,
            upload_dir,
            trial_name_creator,
            loggers,
            sync_function,
            checkpoint_freq,
            checkpoint_at_end,
            export_formats,
            max_failures,
            restore,
            keep_checkpoints_num=keep_checkpoints_num,
            checkpoint_score_attr=checkpoint_score_attr,
        )
    options = Options(
        search_alg=search_alg,
        scheduler=scheduler,
        with_server=with_server,
        server_port=server_port,
        verbose=int(verbose),
        resume=resume,
        queue_trials=queue_trials,
    )
    if trial_executor is not None:
        raise TuneError(
            "trial_executor= replaces the part of Ray that starts trials, which is not here. "
            "Leave it out; in a script for Tunesmith an executor is given to tunesmith.run(executor=...)."
        )
    trials = Session(experiment, options).run()
    incomplete = [trial for trial in trials if trial.status != Trial.TERMINATED]
    if incomplete and raise_on_failed_trial:
        raise TuneError("Trials did not complete", incomplete)
    if incomplete:
        log("ERROR", f"Trials did not complete: {incomplete}")
    return trials


def run_experiments(  # noqa: PLR0917 - as above
    experiments: Any,
    search_alg: Any = None,
    scheduler: Any = None,
    with_server: bool = False,
    server_port: int = 4321,
    verbose: int = 2,
    resume: Resume = False,
    queue_trials: bool = False,
    reuse_actors: bool = False,
    trial_executor: Any = None,
    raise_on_failed_trial: bool = True,
) -> list[Trial]:
    """Run experiments one after another and return the trials of all. They are given as `run` or as dicts by name.

    Raises:
        TuneError: as `run`.
    """
    trials: list[Trial] = []
    for experiment in convert_to_experiment_list(experiments):
        trials += run(
            experiment,
            search_alg=search_alg,
            scheduler=scheduler,
            with_server=with_server,
            server_port=server_port,
            verbose=verbose,
            resume=resume,
            queue_trials=queue_trials,
            reuse_actors=reuse_actors,
            trial_executor=trial_executor,
            raise_on_failed_trial=raise_on_failed_trial,
        )
    return trials
