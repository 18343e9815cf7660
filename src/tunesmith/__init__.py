"""Tunesmith tunes the hyperparameters of anything that trains. Use it as ``import tunesmith as tune``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tunesmith.version import __version__ as __version__

if TYPE_CHECKING:
    from tunesmith import searchers as searchers
    from tunesmith.callbacks.csv import CSVLogger as CSVLogger
    from tunesmith.callbacks.json_lines import JSONLogger as JSONLogger
    from tunesmith.callbacks.protocol import Callback as Callback
    from tunesmith.callbacks.tensorboard import TensorBoardLogger as TensorBoardLogger
    from tunesmith.callbacks.trial_callback import TrialCallback as TrialCallback
    from tunesmith.domains import choice as choice
    from tunesmith.domains import grid_search as grid_search
    from tunesmith.domains import lograndint as lograndint
    from tunesmith.domains import loguniform as loguniform
    from tunesmith.domains import qlograndint as qlograndint
    from tunesmith.domains import qloguniform as qloguniform
    from tunesmith.domains import qrandint as qrandint
    from tunesmith.domains import qrandn as qrandn
    from tunesmith.domains import quniform as quniform
    from tunesmith.domains import randint as randint
    from tunesmith.domains import randn as randn
    from tunesmith.domains import sample_from as sample_from
    from tunesmith.domains import uniform as uniform
    from tunesmith.errors import ArgumentError as ArgumentError
    from tunesmith.errors import DamagedCheckpointError as DamagedCheckpointError
    from tunesmith.errors import ExperimentBusyError as ExperimentBusyError
    from tunesmith.errors import ExperimentDamagedError as ExperimentDamagedError
    from tunesmith.errors import ExperimentExistsError as ExperimentExistsError
    from tunesmith.errors import MetricError as MetricError
    from tunesmith.errors import MissingPackageError as MissingPackageError
    from tunesmith.errors import NotPicklableError as NotPicklableError
    from tunesmith.errors import ResourceError as ResourceError
    from tunesmith.errors import SearchError as SearchError
    from tunesmith.errors import SpaceError as SpaceError
    from tunesmith.errors import StorageError as StorageError
    from tunesmith.errors import TrialError as TrialError
    from tunesmith.errors import TunesmithError as TunesmithError
    from tunesmith.errors import WorkerError as WorkerError
    from tunesmith.executors.curves import CurveTable as CurveTable
    from tunesmith.executors.inline import InlineExecutor as InlineExecutor
    from tunesmith.executors.local import LocalExecutor as LocalExecutor
    from tunesmith.executors.ray_executor import RayExecutor as RayExecutor
    from tunesmith.executors.simulated import SimulatedExecutor as SimulatedExecutor
    from tunesmith.remote.storage import RemoteStorage as RemoteStorage
    from tunesmith.replaying import Replayed as Replayed
    from tunesmith.replaying import replay as replay
    from tunesmith.resources import Resources as Resources
    from tunesmith.results import Results as Results
    from tunesmith.results import Trial as Trial
    from tunesmith.results import importance as importance
    from tunesmith.results import load as load
    from tunesmith.running import run as run
    from tunesmith.schedulers.asha import ASHAScheduler as ASHAScheduler
    from tunesmith.schedulers.asha import AsyncHyperBandScheduler as AsyncHyperBandScheduler
    from tunesmith.schedulers.fifo import FIFOScheduler as FIFOScheduler
    from tunesmith.schedulers.hyperband import HyperBandScheduler as HyperBandScheduler
    from tunesmith.schedulers.median import MedianStoppingRule as MedianStoppingRule
    from tunesmith.schedulers.pasha import PASHAScheduler as PASHAScheduler
    from tunesmith.schedulers.pb2 import PB2 as PB2
    from tunesmith.schedulers.pbt import PopulationBasedTraining as PopulationBasedTraining
    from tunesmith.schedulers.pbt_replay import PopulationBasedTrainingReplay as PopulationBasedTrainingReplay
    from tunesmith.schedulers.protocol import Change as Change
    from tunesmith.schedulers.protocol import Decision as Decision
    from tunesmith.schedulers.protocol import Exploit as Exploit
    from tunesmith.schedulers.protocol import Scheduler as Scheduler
    from tunesmith.schedulers.resource_changing import DistributeResources as DistributeResources
    from tunesmith.schedulers.resource_changing import DistributeResourcesToTopJob as DistributeResourcesToTopJob
    from tunesmith.schedulers.resource_changing import ResourceChangingScheduler as ResourceChangingScheduler
    from tunesmith.schedulers.rules import RULES_2019 as RULES_2019
    from tunesmith.schedulers.rules import RULES_TODAY as RULES_TODAY
    from tunesmith.schedulers.rules import Rules as Rules
    from tunesmith.searchers.auto import AutoSearch as AutoSearch
    from tunesmith.searchers.bohb import BOHBSearch as BOHBSearch
    from tunesmith.searchers.cmaes import CMAESSearch as CMAESSearch
    from tunesmith.searchers.define_by_run import DefineByRunSearch as DefineByRunSearch
    from tunesmith.searchers.gp import GPSearch as GPSearch
    from tunesmith.searchers.hyper_tune import HyperTuneSearch as HyperTuneSearch
    from tunesmith.searchers.nsga2 import NSGA2Search as NSGA2Search
    from tunesmith.searchers.priorband import PriorBandSearch as PriorBandSearch
    from tunesmith.searchers.sobol import SobolSearch as SobolSearch
    from tunesmith.searchers.tpe import TPESearch as TPESearch
    from tunesmith.searchers.variants import VariantSearcher as VariantSearcher
    from tunesmith.searchers.wrapping import ConcurrencyLimiter as ConcurrencyLimiter
    from tunesmith.searchers.wrapping import Repeater as Repeater
    from tunesmith.stoppers.protocol import Stopper as Stopper
    from tunesmith.stoppers.rules import CombinedStopper as CombinedStopper
    from tunesmith.stoppers.rules import ExperimentPlateauStopper as ExperimentPlateauStopper
    from tunesmith.stoppers.rules import FunctionStopper as FunctionStopper
    from tunesmith.stoppers.rules import MaximumIterationStopper as MaximumIterationStopper
    from tunesmith.stoppers.rules import TrialPlateauStopper as TrialPlateauStopper
    from tunesmith.warming import WarmStart as WarmStart
    from tunesmith.worker.checkpoint import Checkpoint as Checkpoint
    from tunesmith.worker.reporting import get_checkpoint as get_checkpoint
    from tunesmith.worker.reporting import get_context as get_context
    from tunesmith.worker.reporting import report as report
    from tunesmith.worker.trainable import Trainable as Trainable
    from tunesmith.worker.trainable_options import with_parameters as with_parameters
    from tunesmith.worker.trainable_options import with_resources as with_resources

# Where each public name lives. It is imported on its first use, so that ``import tunesmith`` costs next to nothing.
_HOMES = {
    "callbacks.csv": ("CSVLogger",),
    "callbacks.json_lines": ("JSONLogger",),
    "callbacks.protocol": ("Callback",),
    "callbacks.tensorboard": ("TensorBoardLogger",),
    "callbacks.trial_callback": ("TrialCallback",),
    "domains": (
        "choice", "grid_search", "lograndint", "loguniform", "qlograndint", "qloguniform", "qrandint", "qrandn",
        "quniform", "randint", "randn", "sample_from", "uniform",
    ),
    "errors": (
        "ArgumentError", "DamagedCheckpointError", "ExperimentBusyError", "ExperimentDamagedError",
        "ExperimentExistsError", "MetricError",
        "MissingPackageError", "NotPicklableError", "ResourceError", "SearchError", "SpaceError", "StorageError",
        "TrialError", "TunesmithError", "WorkerError",
    ),
    "executors.curves": ("CurveTable",),
    "executors.inline": ("InlineExecutor",),
    "executors.local": ("LocalExecutor",),
    "executors.ray_executor": ("RayExecutor",),
    "executors.simulated": ("SimulatedExecutor",),
    "remote.storage": ("RemoteStorage",),
    "replaying": ("Replayed", "replay"),
    "resources": ("Resources",),
    "results": ("Results", "Trial", "importance", "load"),
    "running": ("run",),
    "schedulers.asha": ("ASHAScheduler", "AsyncHyperBandScheduler"),
    "schedulers.fifo": ("FIFOScheduler",),
    "schedulers.hyperband": ("HyperBandScheduler",),
    "schedulers.median": ("MedianStoppingRule",),
    "schedulers.pasha": ("PASHAScheduler",),
    "schedulers.pb2": ("PB2",),
    "schedulers.pbt": ("PopulationBasedTraining",),
    "schedulers.pbt_replay": ("PopulationBasedTrainingReplay",),
    "schedulers.protocol": ("Change", "Decision", "Exploit", "Scheduler"),
    "schedulers.resource_changing": (
        "DistributeResources", "DistributeResourcesToTopJob", "ResourceChangingScheduler",
    ),
    "schedulers.rules": ("RULES_2019", "RULES_TODAY", "Rules"),
    "searchers.nsga2": ("NSGA2Search",),
    "searchers.cmaes": ("CMAESSearch",),
    "searchers.define_by_run": ("DefineByRunSearch",),
    "searchers.bohb": ("BOHBSearch",),
    "searchers.hyper_tune": ("HyperTuneSearch",),
    "searchers.priorband": ("PriorBandSearch",),
    "searchers.auto": ("AutoSearch",),
    "searchers.gp": ("GPSearch",),
    "searchers.sobol": ("SobolSearch",),
    "searchers.tpe": ("TPESearch",),
    "searchers.variants": ("VariantSearcher",),
    "searchers.wrapping": ("ConcurrencyLimiter", "Repeater"),
    "stoppers.protocol": ("Stopper",),
    "stoppers.rules": (
        "CombinedStopper", "ExperimentPlateauStopper", "FunctionStopper", "MaximumIterationStopper",
        "TrialPlateauStopper",
    ),
    "warming": ("WarmStart",),
    "worker.checkpoint": ("Checkpoint",),
    "worker.trainable_options": ("with_parameters", "with_resources"),
    "worker.reporting": ("get_checkpoint", "get_context", "report"),
    "worker.trainable": ("Trainable",),
}  # fmt: skip
_HOME = {name: module for module, names in _HOMES.items() for name in names}
_ROOMS = ("searchers",)  # packages that are public as they are

__all__ = ["__version__", *sorted([*_HOME, *_ROOMS])]  # noqa: PLE0604 - the names are those of the table above


def __getattr__(name: str) -> Any:
    """Import a public name on its first use."""
    from importlib import import_module

    if name in _ROOMS:
        return import_module(f"tunesmith.{name}")
    module = _HOME.get(name)
    if module is None:
        from tunesmith.errors import nearest

        raise AttributeError(f"tunesmith has no {name!r}.{nearest(name, _HOME)}")
    value = getattr(import_module(f"tunesmith.{module}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
