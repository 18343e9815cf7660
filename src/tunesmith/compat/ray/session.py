"""One run: an experiment of 2019 is translated and handed to Tunesmith."""

from __future__ import annotations

import copy
import os
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

import tunesmith
from tunesmith.callbacks.protocol import Callback
from tunesmith.compat.ray import naming
from tunesmith.compat.ray.adapter import wrap_class
from tunesmith.compat.ray.cluster import CLUSTER
from tunesmith.compat.ray.console import Console
from tunesmith.compat.ray.errors import TuneError
from tunesmith.compat.ray.experiment import DefaultFailures, Experiment
from tunesmith.compat.ray.files import StateFile, TrialPapers
from tunesmith.compat.ray.function import wrap_function
from tunesmith.compat.ray.log import log
from tunesmith.compat.ray.markers import ASIDE, RESOLVED, Marked, is_marked, split_off
from tunesmith.compat.ray.markers import function as literal
from tunesmith.compat.ray.own_scheduler import FIFOScheduler, OwnScheduler, TrialScheduler
from tunesmith.compat.ray.registry import get_trainable_cls
from tunesmith.compat.ray.resources import Resources, json_to_resources
from tunesmith.compat.ray.roster import Roster
from tunesmith.compat.ray.stopping import Criteria
from tunesmith.compat.ray.suggest import BasicVariantGenerator, Suggestions, Variants
from tunesmith.compat.ray.trainable import Trainable
from tunesmith.compat.ray.trial import Trial
from tunesmith.compat.ray.trial_logs import TrialLogs
from tunesmith.definition import read_created
from tunesmith.errors import ResourceError, SearchError
from tunesmith.resources import Pool
from tunesmith.resources import Resources as Request
from tunesmith.schedulers.protocol import Scheduler
from tunesmith.store.database import BESIDE, DATABASE
from tunesmith.store.lock import ExperimentLock
from tunesmith.store.reading import EventReader

if TYPE_CHECKING:
    from tunesmith.compat.ray.server import TuneServer


class Options(msgspec.Struct):
    """How an experiment is run: the arguments of ``tune.run`` that say nothing of the experiment itself."""

    search_alg: Any = None
    scheduler: Any = None
    with_server: bool = False
    server_port: int = 4321
    verbose: int = 2
    resume: bool | str = False
    queue_trials: bool = False


class Session:
    """A run of an experiment.

    Raises:
        TuneError: it can't be started.
    """

    def __init__(self, experiment: Experiment, options: Options) -> None:
        self._spec = spec = experiment.spec
        self._options = options
        self._path = Path(spec["local_dir"]).absolute() / experiment.name
        self._trainable = get_trainable_cls(spec["run"])
        self._is_class = isinstance(self._trainable, type)
        self._is_agent = self._is_class and not issubclass(self._trainable, Trainable)  # type: ignore[arg-type]  # a class
        marked = {name: spec[name] for name in RESOLVED if is_marked(spec[name])}
        config = {**spec["config"], ASIDE: marked} if marked else spec["config"]
        self._marked = Marked(config, {name: part for name, part in spec.items() if name != "config"})
        _refuse_marks(spec)
        if self._is_agent:
            _refuse_files_of_2019(spec)
        self._total = CLUSTER.total()
        self._seed = 0

    def run(self) -> list[Trial]:
        """Run it to its end, and then what a client has added meanwhile; return the trials."""
        if not self._options.with_server:
            return self._run_alone(None)
        from tunesmith.compat.ray.server import TuneServer

        with TuneServer(self._options.server_port) as server:
            trials = self._run_alone(server)
            while (added := server.next_added()) is not None:
                trials = trials + Session(added, self._options)._run_alone(server)
        return trials

    def _run_alone(self, server: TuneServer | None) -> list[Trial]:
        constant = self._resources_of({}) if self._is_constant() else None  # one that is too large is told of first
        resume = self._open()
        creator = self._spec["trial_name_creator"]
        roster = Roster(self._make_trial, creator.func if isinstance(creator, literal) else creator)
        console = Console(roster.trials, str(self._path), self._total, self._options.verbose)
        logs = TrialLogs(self._spec["loggers"], self._spec["upload_dir"], self._spec["sync_function"])
        roster.listeners += [console, TrialPapers(), logs]
        callbacks: list[Callback] = [roster, StateFile(roster.trials), *logs.curves(), console]
        wanted = _nobody if server is None else server.watch(roster.trials)
        stop = Criteria(lambda number: roster.find(number).stopping_criterion, wanted)
        results = self._execute(resume, constant, roster, callbacks, stop)
        if results.stop_reason == "Ctrl-C":
            log("WARNING", "Interrupted. The same call with resume=True goes on.")
            raise KeyboardInterrupt
        return roster.trials

    # -- the parts

    def _open(self) -> bool:
        """Say what is there already, choose whether to go on with it, and put it aside if not."""
        database = self._path / DATABASE
        resume = self._options.resume
        if not database.exists():
            log("INFO", f"Did not find checkpoint file in {self._path}.")
        elif resume == "prompt":
            resume = input(f"Found incomplete experiment at {self._path}. Would you like to resume it? [y/N] ")
            resume = resume.strip().lower() in ("y", "yes")
        elif not resume:
            log("INFO", "Tip: to resume incomplete experiments, pass resume='prompt' or resume=True to run()")
        if database.exists() and resume:
            log(
                "WARNING", f"Attempting to resume experiment from {self._path}. What has ended stays; the rest goes on."
            )
            self._seed = _seed_of(database)
            return True
        if database.exists():
            _put_aside(self._path)
        log("INFO", "Starting a new experiment.")
        self._seed = int.from_bytes(os.urandom(4), "big")
        return False

    def _execute(
        self, resume: bool, constant: Resources | None, roster: Roster, callbacks: list[Callback], stop: Criteria
    ) -> tunesmith.Results:
        spec, options = self._spec, self._options
        frequency, at_end = self._checkpoints()
        request = self._request_of if constant is None else _amounts(constant)
        try:
            return tunesmith.run(
                tunesmith.with_resources(self._wrapped(), request),
                self._marked.template,
                num_samples=spec["num_samples"],
                search_alg=self._searcher(),
                scheduler=_scheduler(options.scheduler, roster),
                stop=stop,
                name=self._path.name,
                storage_path=self._path.parent,
                resume=resume,
                accept_changes=resume,  # in 2019 nobody asked whether it was the same
                executor=self._executor(),
                max_concurrent_trials=_max_concurrent(options.search_alg),
                max_failures=self._max_failures(frequency),
                checkpoint_freq=frequency,
                checkpoint_at_end=at_end,
                **_keeping(spec["keep_checkpoints_num"], spec["checkpoint_score_attr"]),
                callbacks=callbacks,
                trial_name_creator=roster.name,
                trial_dirname_creator=roster.folder,
                seed=self._seed,
                verbose=0,
            )
        except SearchError as error:
            text = str(error).removeprefix("No trial was made: ")
            if "recursively depends" in text:
                from tunesmith.compat.ray.errors import RecursiveDependencyError

                raise RecursiveDependencyError(text) from error
            raise (ValueError if "Failed to evaluate" in text else TuneError)(text) from error

    def _wrapped(self) -> Callable[..., Any]:
        if self._is_agent:
            return self._trainable
        if self._is_class:
            return wrap_class(self._trainable, self._spec["restore"], self._spec["export_formats"])  # type: ignore[arg-type]  # a class
        return wrap_function(self._trainable)

    def _checkpoints(self) -> tuple[int, bool]:
        frequency, at_end = int(self._spec["checkpoint_freq"]), bool(self._spec["checkpoint_at_end"])
        if (frequency or at_end) and not self._is_class:
            log("WARNING", "A function can't be checkpointed: checkpoint_freq and checkpoint_at_end are for classes.")
            return 0, False
        return frequency, at_end

    def _max_failures(self, frequency: int) -> int:
        most = self._spec["max_failures"]
        if isinstance(most, DefaultFailures) and not frequency:
            return 0
        return int(most)

    def _searcher(self) -> Any:
        algorithm = self._options.search_alg
        if algorithm is None or isinstance(algorithm, BasicVariantGenerator):
            return Variants(self._marked, shuffle=getattr(algorithm, "shuffle", False))
        if callable(getattr(algorithm, "searcher", None)):  # one of Tunesmith's, by its name of 2019
            return algorithm.searcher()
        if callable(getattr(algorithm, "_suggest", None)):
            return Suggestions(algorithm, self._marked)
        raise TuneError(f"search_alg must be a SuggestionAlgorithm, with a method _suggest, got {algorithm!r}.")

    def _executor(self) -> tunesmith.LocalExecutor:
        total = self._total
        prepare = "" if self._is_agent else "tunesmith.compat.ray.installed"  # RLlib's own workers need the real Ray
        return tunesmith.LocalExecutor(total.cpu, int(total.gpu), total.named, prepare=prepare)

    # -- resources

    def _resources_of(self, config: dict[str, Any]) -> Resources:
        """Return what a trial asks for, capped if that is wanted."""
        config, resolved = split_off(config)
        asked = json_to_resources(resolved.get("resources_per_trial", self._spec["resources_per_trial"]))
        if asked is None and self._is_class:
            asked = json_to_resources(self._trainable.default_resource_request(config))  # type: ignore[attr-defined]  # a class
        resources = asked or Resources()
        try:
            Pool(self._total).check(resources.request())
        except ResourceError as error:
            return self._too_large(resources, error)
        return resources

    def _too_large(self, resources: Resources, error: ResourceError) -> Resources:
        asked, total = resources.request(), self._total
        if CLUSTER.fits:
            capped = _capped(resources, total)
            log(
                "WARNING",
                f"A trial asks for {resources.summary_string()}, and there are {_shown(total)}: "
                f"it gets {capped.summary_string()}, as --fit-resources says.",
            )
            if not is_marked(self._spec["resources_per_trial"]):
                self._spec["resources_per_trial"] = capped  # so that it is said once
            return capped
        if self._options.queue_trials:
            log("WARNING", f"A trial asks for more than there is, {_shown(total)}: queue_trials=True lets one run.")
            named = {**total.named, **{n: max(a, total.named.get(n, 0)) for n, a in asked.named.items()}}
            self._total = Request(max(asked.cpu, total.cpu), max(asked.gpu, total.gpu), named)
            return resources
        raise TuneError(
            f"Insufficient cluster resources to launch trial: trial requested {resources.summary_string()} but the "
            f"cluster has only {_shown(total)}. Pass `queue_trials=True` in ray.tune.run() or on the command line to "
            "queue trials until the cluster scales up. To let trials run with what there is, start the script with "
            f"--fit-resources: python -m tunesmith.compat.ray --fit-resources SCRIPT.{self._resource_help()}"
        ) from error

    def _resource_help(self) -> str:
        """Return what the trainable's author says of how to ask for less."""
        text = self._trainable.resource_help(self._spec["config"]) if self._is_class else ""  # type: ignore[attr-defined]  # a class
        return f" {text}" if text else ""

    def _request_of(self, config: dict[str, Any]) -> dict[str, float]:
        return _amounts(self._resources_of(config))

    def _is_constant(self) -> bool:
        """Whether all trials ask for the same."""
        asks = getattr(self._trainable, "default_resource_request", None)
        own = asks is not None and asks.__func__ is not Trainable.default_resource_request.__func__  # type: ignore[attr-defined]  # class methods
        asked = self._spec["resources_per_trial"]
        return not own if asked is None else not is_marked(asked)

    def _make_trial(self, number: int, config: dict[str, Any]) -> Trial:
        return Trial(
            number,
            self._spec["run"],
            seed=self._seed,
            config=config,
            experiment_tag=self._tag(number, config),
            experiment_dir=str(self._path),
            spec={**self._spec, **split_off(config)[1]},
            resources=self._resources_of(config),
            space=self._marked.space,
        )

    def _tag(self, number: int, config: dict[str, Any]) -> str:
        algorithm = self._options.search_alg
        if algorithm is not None and not isinstance(algorithm, BasicVariantGenerator):
            return naming.tag(number + 1, naming.format_vars(dict(naming.flattened(split_off(config)[0]))))
        resolved = {}
        for variable in self._marked.space.variables:
            try:
                path, value = naming.at(config, variable.path)
            except (KeyError, IndexError, TypeError, ValueError):  # it belongs to an option that was not chosen
                continue
            resolved[path[2:] if path[1] == ASIDE else path] = value
        return naming.tag(number, naming.format_vars(resolved))


def _refuse_files_of_2019(spec: Mapping[str, Any]) -> None:
    """Raise TuneError for what RLlib can't do any more with what it wrote then."""
    for name, instead in (("restore", "resume=True goes on with a run"), ("export_formats", "checkpoints are whole")):
        if spec[name]:
            raise TuneError(f"{name}= is not there for RLlib's algorithms: {instead}. Leave it out.")


def _refuse_marks(spec: Mapping[str, Any]) -> None:
    """Raise TuneError if something is to be resolved in a part of the spec that is the same for all trials."""
    for name, part in spec.items():
        if name not in ("config", *RESOLVED) and is_marked(part):
            raise TuneError(
                f"{name} is to be resolved for each trial: {part!r}. Here config, {' and '.join(RESOLVED)} can be. "
                "Give it as it is."
            )


def _keeping(number: int | None, score: str | None) -> dict[str, Any]:
    """Return which checkpoints are kept: the last ones, or those with the highest score."""
    if number is None or score in (None, "training_iteration"):
        return {"keep_checkpoints_num": number}
    directed = score if score.startswith("min-") else f"max-{score}"
    return {"keep_best_checkpoints_num": number, "checkpoint_score_attr": directed}


def _nobody(number: int) -> bool:
    return False


def _scheduler(scheduler: Any, roster: Roster) -> Scheduler:
    """Return a scheduler that no other run has used."""
    if scheduler is None or type(scheduler) is FIFOScheduler:
        return tunesmith.FIFOScheduler()
    if isinstance(scheduler, TrialScheduler):
        return OwnScheduler(scheduler, roster.find)
    if isinstance(scheduler, Scheduler):
        return copy.deepcopy(scheduler)
    raise TuneError(f"scheduler must be an object of one of ray.tune.schedulers, got {scheduler!r}.")


def _max_concurrent(algorithm: Any) -> int | None:
    most = getattr(algorithm, "max_concurrent", None) or getattr(algorithm, "_max_concurrent", None)
    return most if isinstance(most, int) else None


def _amounts(resources: Resources) -> dict[str, float]:
    request = resources.request()
    return {"cpu": request.cpu, "gpu": request.gpu, **request.named}


def _capped(resources: Resources, total: Request) -> Resources:
    """Return resources as far as there are so many; what is extra gives way first."""
    cpu, gpu = min(resources.cpu, total.cpu), min(resources.gpu, total.gpu)
    custom = {n: min(a, total.named.get(n, 0)) for n, a in resources.custom_resources.items()}
    extra = {n: min(a, total.named.get(n, 0) - custom.get(n, 0)) for n, a in resources.extra_custom_resources.items()}
    return Resources(
        cpu, gpu, min(resources.extra_cpu, total.cpu - cpu), min(resources.extra_gpu, total.gpu - gpu), custom, extra
    )


def _shown(total: Request) -> str:
    return Resources(total.cpu, total.gpu, custom_resources=total.named).summary_string()


def _seed_of(database: Path) -> int:
    """Return the seed of an experiment, from which the ids of its trials follow."""
    with EventReader.open_to_read(database) as store:
        created = read_created(store)
    return 0 if created is None else created.seed


def _put_aside(folder: Path) -> None:
    """Give the record of an earlier run another name, so that a new one can begin in the same folder."""
    with ExperimentLock(folder):
        begun = time.strftime("%Y-%m-%d_%H-%M-%S", time.localtime((folder / DATABASE).stat().st_mtime))
        target, n = folder / f"experiment-{begun}.db", 1
        while target.exists():
            target, n = folder / f"experiment-{begun}-{n}.db", n + 1
        for suffix in BESIDE:
            part = folder / (DATABASE + suffix)
            if part.exists():
                part.rename(folder / (target.name + suffix))
        (folder / DATABASE).rename(target)
