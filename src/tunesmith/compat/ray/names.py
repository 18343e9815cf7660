"""Which names of Ray there are, where each of them lives here, and what to say of those that are not there.

A module of Ray is a row: its public names, by the module of this package that defines them. A name may be given as
``"name=other"`` when it is called otherwise here. Modules within ray that have a row themselves are attributes of the
one above them.
"""

from __future__ import annotations

from typing import Final

from tunesmith.errors import nearest

MODULES: Final[dict[str, dict[str, tuple[str, ...]]]] = {
    "ray": {
        "cluster": ("init", "shutdown", "is_initialized", "cluster_resources", "available_resources", "nodes"),
        "errors": ("RayError",),
        "version": ("__version__",),
    },
    "ray.tune": {
        "errors": ("TuneError",),
        "experiment": ("Experiment",),
        "markers": ("function", "grid_search", "sample_from", "uniform", "loguniform", "choice", "randint", "randn"),
        "registry": ("register_env", "register_trainable"),
        "running": ("run", "run_experiments"),
        "trainable": ("Trainable",),
        "analysis": ("ExperimentAnalysis",),
    },
    "ray.tune.analysis": {"analysis": ("ExperimentAnalysis",)},
    "ray.tune.error": {"errors": ("TuneError", "AbortTrialExecution")},
    "ray.tune.experiment": {"experiment": ("Experiment", "convert_to_experiment_list")},
    "ray.tune.function_runner": {
        "reporter": ("StatusReporter",),
        "function": ("FunctionRunner", "wrap_function"),
    },
    "ray.tune.log_sync": {"sync": ("validate_sync_function", "get_syncer")},
    "ray.tune.logger": {
        "loggers": (
            "Logger", "NoopLogger", "JsonLogger", "CSVLogger", "TFLogger", "UnifiedLogger", "DEFAULT_LOGGERS",
            "to_tf_values",
        ),
        "result": ("pretty_print",),
    },
    "ray.tune.registry": {
        "registry": ("register_env", "register_trainable", "get_trainable_cls", "validate_trainable"),
    },
    "ray.tune.resources": {"resources": ("Resources", "resources_to_json", "json_to_resources")},
    "ray.tune.result": {
        "result": (
            "DEFAULT_RESULTS_DIR", "DONE", "TRAINING_ITERATION", "TIME_THIS_ITER_S", "TIME_TOTAL_S", "TIMESTEPS_TOTAL",
            "TIMESTEPS_THIS_ITER", "EPISODES_TOTAL", "EPISODES_THIS_ITER", "EPISODE_REWARD_MEAN", "MEAN_ACCURACY",
            "MEAN_LOSS", "NODE_IP", "HOSTNAME", "PID", "RESULT_DUPLICATE",
        ),
    },
    "ray.tune.sample": {
        "markers": ("sample_from", "function", "uniform", "loguniform", "choice", "randint", "randn"),
    },
    "ray.tune.schedulers": {
        "schedulers": (
            "AsyncHyperBandScheduler", "ASHAScheduler", "HyperBandScheduler", "MedianStoppingRule",
            "PopulationBasedTraining",
        ),
        "own_scheduler": ("TrialScheduler", "FIFOScheduler"),
    },
    "ray.tune.schedulers.async_hyperband": {"schedulers": ("AsyncHyperBandScheduler", "ASHAScheduler")},
    "ray.tune.schedulers.hyperband": {"schedulers": ("HyperBandScheduler",)},
    "ray.tune.schedulers.median_stopping_rule": {"schedulers": ("MedianStoppingRule",)},
    "ray.tune.schedulers.pbt": {"schedulers": ("PopulationBasedTraining",)},
    "ray.tune.schedulers.trial_scheduler": {
        "own_scheduler": ("TrialScheduler", "FIFOScheduler"),
    },
    "ray.tune.suggest": {
        "suggest": ("SearchAlgorithm", "SuggestionAlgorithm", "BasicVariantGenerator"),
        "markers": ("grid_search",),
        "hyperopt": ("HyperOptSearch",),
    },
    "ray.tune.suggest.basic_variant": {"suggest": ("BasicVariantGenerator",)},
    "ray.tune.suggest.hyperopt": {"hyperopt": ("HyperOptSearch",)},
    "ray.tune.suggest.search": {"suggest": ("SearchAlgorithm",)},
    "ray.tune.suggest.suggestion": {"suggest": ("SuggestionAlgorithm",)},
    "ray.tune.suggest.variant_generator": {
        "variants": ("generate_variants",),
        "naming": ("format_vars",),
        "errors": ("RecursiveDependencyError",),
        "markers": ("sample_from", "function", "grid_search"),
    },
    "ray.tune.track": {"track": ("init", "log", "shutdown", "trial_dir", "trial_name", "metric", "get_session")},
    "ray.tune.trainable": {"trainable": ("Trainable",)},
    "ray.tune.trial": {"trial": ("Trial",), "trainable": ("ExportFormat",), "resources": ("Resources",)},
    "ray.tune.tune": {"running": ("run", "run_experiments")},
    "ray.tune.util": {
        "util": ("pin_in_object_store", "get_pinned_object", "merge_dicts", "deep_update", "flatten_dict"),
    },
    "ray.tune.web_server": {"client": ("TuneClient",), "server": ("TuneServer",)},
}  # fmt: skip

_RAY: Final = (
    "that is Ray's own, not Tune's. Install Ray, start the script with plain python and rewrite it for "
    "ray.tune of today; or take that part out: trials run in processes of their own without it"
)
_RLLIB: Final = (
    'RLlib of today runs its algorithms by name, tune.run("PPO", config=...); the modules of 2019 are gone. Give the'
    " name, or register your own trainable with tune.register_trainable(name, cls)"
)
_SEARCHERS: Final = (
    "this searcher comes with a later version. Until then use HyperOptSearch or the random search, which is the default"
)
_REPORT: Final = "in 2019 a function reports by its second argument, reporter(mean_loss=...), or by tune.track.log(...)"

# What to use instead of a name that is known and not here, longest prefix first.
ELSEWHERE: Final[dict[str, str]] = {
    **{f"ray.{name}": _RAY for name in ("remote", "get", "put", "wait", "kill", "method", "actor", "get_gpu_ids")},
    "ray.rllib": _RLLIB,
    "ray.experimental": _RAY,
    "ray.util": _RAY,
    "ray.worker": _RAY,
    "ray.services": _RAY,
    "ray.serve": _RAY,
    "ray.train": _RAY,
    "ray.data": _RAY,
    "ray.tune.report": _REPORT,
    "ray.tune.get_checkpoint": "in 2019 a checkpoint comes to Trainable._restore(checkpoint)",
    "ray.tune.Tuner": "that is Ray's of today. In a script for Tunesmith it is tunesmith.run(...)",
    "ray.tune.ray_trial_executor": "an executor is tunesmith.LocalExecutor, for tunesmith.run(executor=...)",
    "ray.tune.trial_runner": "the loop is inside; tune.run(...) starts it, with_server=True steers it",
    "ray.tune.automl": _SEARCHERS,
    **{
        f"ray.tune.suggest.{name}": _SEARCHERS
        for name in (
            "bayesopt", "BayesOptSearch", "skopt", "SkOptSearch", "sigopt", "SigOptSearch", "nevergrad",
            "NevergradSearch", "ax", "AxSearch", "bohb", "TuneBOHB", "dragonfly", "zoopt",
        )
    },
    "ray.tune.schedulers.HyperBandForBOHB": _SEARCHERS,
    "ray.tune.schedulers.hb_bohb": _SEARCHERS,
}  # fmt: skip


def advice(name: str) -> str:
    """Return what there is to say of a full name, such as ``ray.tune.report``, that is not here.

    >>> advice("ray.tune.rum")
    "tunesmith.compat.ray has no 'ray.tune.rum'. Did you mean 'run'? It has what Ray Tune had in 2019 (0.6.5 to 0.7)."
    """
    missing = f"tunesmith.compat.ray has no {name!r}"
    way = name
    while way:
        if way in ELSEWHERE:
            return f"{missing}: {ELSEWHERE[way]}."
        way = way.rpartition(".")[0]
    parent, _, last = name.rpartition(".")
    modules = [module.rpartition(".")[2] for module in MODULES if module.rpartition(".")[0] == parent]
    hint = nearest(last, public_names(parent)) or nearest(last, modules)
    return f"{missing}.{hint} It has what Ray Tune had in 2019 (0.6.5 to 0.7)."


def public_names(module: str) -> dict[str, tuple[str, str]]:
    """Return the names of a module of Ray: the module of this package and the name there, by name."""
    found = {}
    for home, names in MODULES.get(module, {}).items():
        for each in names:
            name, _, other = each.partition("=")
            found[name] = (home, other or name)
    return found
