"""The schedulers of 2019: Tunesmith's, under the rules of that time, which always maximise `reward_attr`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Literal

from tunesmith.compat.ray.errors import TuneError
from tunesmith.compat.ray.log import log
from tunesmith.events import Reported
from tunesmith.schedulers import asha, hyperband, median, pbt
from tunesmith.schedulers.protocol import Decision, View
from tunesmith.schedulers.rules import RULES_2019

Mode = Literal["min", "max"]


def _objective(reward_attr: str | None, metric: str | None, mode: Mode | None) -> tuple[str, Mode]:
    """Return what is compared; `metric` and `mode` are of June 2019 and take the place of `reward_attr`."""
    if metric is None and mode is None:
        return reward_attr or "episode_reward_mean", "max"
    if mode not in (None, "min", "max"):
        raise AssertionError(f"`mode` must be 'min' or 'max', got {mode!r}!")
    return metric or reward_attr or "episode_reward_mean", mode or "max"


class AsyncHyperBandScheduler(asha.AsyncHyperBandScheduler):
    """Stops trials at rungs, without waiting for others."""

    def __init__(  # noqa: PLR0917 - the order of 2019
        self,
        time_attr: str = "training_iteration",
        reward_attr: str | None = None,
        max_t: float = 100,
        grace_period: float = 10,
        reduction_factor: float = 3,
        brackets: int = 3,
        *,
        metric: str | None = None,
        mode: Mode | None = None,
    ) -> None:
        if not max_t > 0:
            raise AssertionError("Max (time_attr) not valid!")
        if not max_t >= grace_period:
            raise AssertionError("grace_period must be <= max_t!")
        if not grace_period > 0:
            raise AssertionError("grace_period must be positive!")
        if not reduction_factor > 1:
            raise AssertionError("Reduction Factor not valid!")
        if not brackets > 0:
            raise AssertionError("brackets must be positive!")
        super().__init__(
            time_attr,
            *_objective(reward_attr, metric, mode),
            max_t=max_t,
            grace_period=grace_period,
            reduction_factor=reduction_factor,
            brackets=brackets,
            rules=RULES_2019,
        )


ASHAScheduler = AsyncHyperBandScheduler


class HyperBandScheduler(hyperband.HyperBandScheduler):
    """Lets trials wait for each other at milestones and stops the worse ones."""

    def __init__(
        self,
        time_attr: str = "training_iteration",
        reward_attr: str | None = None,
        max_t: float = 81,
        *,
        metric: str | None = None,
        mode: Mode | None = None,
    ) -> None:
        if not max_t > 0:
            raise AssertionError("Max (time_attr) not valid!")
        super().__init__(time_attr, *_objective(reward_attr, metric, mode), max_t=max_t, rules=RULES_2019)


class MedianStoppingRule(median.MedianStoppingRule):
    """Stops trials that are worse than the median of those that have completed.

    With `verbose`, a log line says of each result what it led to.
    """

    def __init__(  # noqa: PLR0917 - the order of 2019
        self,
        time_attr: str = "time_total_s",
        reward_attr: str | None = None,
        grace_period: float = 60.0,
        min_samples_required: int = 3,
        hard_stop: bool = True,
        verbose: bool = True,
        *,
        metric: str | None = None,
        mode: Mode | None = None,
    ) -> None:
        super().__init__(
            time_attr,
            *_objective(reward_attr, metric, mode),
            grace_period=grace_period,
            min_samples_required=min_samples_required,
            hard_stop=hard_stop,
            rules=RULES_2019,
        )
        self._verbose = verbose

    def judge(self, report: Reported, view: View) -> Decision:
        """Compare the trial's best value with the others' means, and log the answer."""
        decision = super().judge(report, view)
        if self._verbose:
            reached = report.result().get(self.time_attr)
            answer = f"{decision.action.upper()}, {decision.reason}" if decision.reason else decision.action.upper()
            log("INFO", f"Trial {view.trials[report.trial].name} at {self.time_attr} {reached}: {answer}")
        return decision


class PopulationBasedTraining(pbt.PopulationBasedTraining):
    """Lets bad trials go on from good ones, with a perturbed configuration."""

    def __init__(  # noqa: PLR0917 - the order of 2019
        self,
        time_attr: str = "time_total_s",
        reward_attr: str | None = None,
        perturbation_interval: float = 60.0,
        hyperparam_mutations: Mapping[str, Any] | None = None,
        resample_probability: float = 0.25,
        custom_explore_fn: Callable[[dict[str, Any]], dict[str, Any]] | None = None,
        log_config: bool = True,
        *,
        quantile_fraction: float = 0.25,
        metric: str | None = None,
        mode: Mode | None = None,
    ) -> None:
        if not hyperparam_mutations and custom_explore_fn is None:
            raise TuneError(
                "You must specify at least one of `hyperparam_mutations` or `custom_explore_fn` to use PBT."
            )
        super().__init__(
            time_attr,
            *_objective(reward_attr, metric, mode),
            perturbation_interval=perturbation_interval,
            hyperparam_mutations=_plain(hyperparam_mutations or {}),
            quantile_fraction=quantile_fraction,
            resample_probability=resample_probability,
            custom_explore_fn=custom_explore_fn,
            rules=RULES_2019,
        )
        self.log_config = log_config


def _plain(mutations: Mapping[str, Any]) -> dict[str, Any]:
    """Return mutations without the marks of 2019: a `sample_from` is drawn from without a spec."""
    from tunesmith.compat.ray.markers import function, sample_from

    def turned(value: Any) -> Any:
        if isinstance(value, Mapping):
            return _plain(value)
        if isinstance(value, function):
            return value.func
        if isinstance(value, sample_from):
            return lambda: value.func(None)
        return value

    return {name: turned(value) for name, value in mutations.items()}
