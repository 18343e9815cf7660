"""Runs functions that were written for Optuna: ``def objective(trial): x = trial.suggest_float("x", 0, 1)``."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from math import nan
from typing import Any

import msgspec

from tunesmith.errors import ArgumentError
from tunesmith.searchers.define_by_run import PARAMS, RANGES, SEED, Range
from tunesmith.streams import stream
from tunesmith.worker.reporting import get_context, report
from tunesmith.worker.session import AMBIENT

_PLAIN = (str, int, float, bool, type(None))


def objective(function: Callable[[Any], Any], metrics: Sequence[str] | None = None) -> Callable[[Any], None]:
    """Return a trainable that calls an objective function of Optuna with a trial.

    What it suggests is taken from the configuration where that has a fitting value of the name, and is drawn otherwise,
    by the trial's own random stream. Every result has what was suggested as ``params``. So it runs with any searcher
    and a search space that names the parameters, or without a space, with ``search_alg=DefineByRunSearch(...)``.

    ``trial.report(value, step)`` is `tunesmith.report`, whose ``training_iteration`` is ``step + 1``. It ends the
    trial when the scheduler says so, hence ``trial.should_prune()`` is never true. A function that raises
    ``optuna.TrialPruned`` ends its trial as well, with NaN if nothing was reported. Pruners are replaced by schedulers.

    Args:
        function: of a trial; it returns the objective's value, or one for each of `metrics`.
        metrics: the names of the values; by default the run's metric.

    Example::

        def train(trial):
            lr = trial.suggest_float("lr", 1e-5, 1e-1, log=True)
            for epoch in range(10):
                accuracy = ...
                trial.report(accuracy, epoch)
            return accuracy

        tune.run(objective(train), metric="accuracy", mode="max", num_samples=50,
                 search_alg=tune.DefineByRunSearch(OptunaSearch), scheduler=tune.ASHAScheduler())
    """
    if not callable(function):
        raise ArgumentError(f"objective needs a function of a trial, got {function!r}.")
    names = None if metrics is None else [metrics] if isinstance(metrics, str) else list(metrics)

    @functools.wraps(function)
    def train(config: Mapping[str, Any]) -> None:
        trial = SuggestingTrial(config)
        try:
            value = function(trial)
        except Exception as error:
            if type(error).__name__ != "TrialPruned" or not type(error).__module__.startswith("optuna"):
                raise
            trial.prune()
        else:
            trial.finish(value, names)

    return train


class SuggestingTrial:
    """What a function that was written for Optuna gets as its trial: the part of the interface that suggests.

    Attributes:
        number: the trial's number, from 0.
        params: by name, what has been suggested so far.
        user_attrs: what was set by ``set_user_attr``; it is reported with every result.
    """

    def __init__(self, config: Mapping[str, Any]) -> None:
        self._config = config
        self.number = get_context().trial_number
        self.params: dict[str, Any] = {}
        self.user_attrs: dict[str, Any] = {}
        self._new: dict[str, Any] = {}  # ranges that have not been reported
        self._ranges: dict[str, Range] = {}
        self._last: tuple[Any, int] | None = None  # the last value that was reported, and its step
        self._unreported = True

    def suggest_float(
        self, name: str, low: float, high: float, *, step: float | None = None, log: bool = False
    ) -> float:
        """Suggest a number from `low` to `high`, on steps from `low`, or evenly in the logarithm."""
        self._check(name, low, high, step, log=log)
        if step is not None:
            high = float(f"{low + int((high - low) / step + 1e-9) * step:.12g}")
        return float(self._suggest(name, Range(float(low), float(high), step, log)))

    def suggest_int(self, name: str, low: int, high: int, *, step: int = 1, log: bool = False) -> int:
        """Suggest a whole number from `low` to `high`, both included, on steps from `low`."""
        self._check(name, low, high, step, log=log and step != 1)
        return int(self._suggest(name, Range(low, low + (high - low) // step * step, step, log, is_whole=True)))

    def suggest_categorical(self, name: str, choices: Sequence[Any]) -> Any:
        """Suggest one of `choices`: numbers, text, booleans or None."""
        options = list(choices)
        if not options or not all(isinstance(option, _PLAIN) for option in options):
            raise ArgumentError(f"The choices of {name!r} must be numbers, text, booleans or None, got {options!r}.")
        return self._suggest(name, Range(options=options))

    @staticmethod
    def _check(name: str, low: float, high: float, step: float | None, *, log: bool) -> None:
        if not low <= high:
            raise ArgumentError(f"The lower bound of {name!r}, {low!r}, must not be above the upper one, {high!r}.")
        if step is not None and (not step > 0 or log):
            raise ArgumentError(
                f"The step of {name!r} must be above 0, and a logarithmic range has none; got {step!r}."
            )

    def _suggest(self, name: str, asked: Range) -> Any:
        known = self._ranges.get(name)
        if known is not None and name in self.params:
            if known != asked:
                raise ArgumentError(f"{name!r} was asked for in two ways by one trial: {known} and {asked}.")
            return self.params[name]
        value = self._config.get(name)
        if name not in self._config or not asked.holds(value):
            rng = stream(self._config.get(SEED, self.number), "define-by-run", name)
            value = asked.domain().sample(rng)
        value = asked.fit(value)
        self._ranges[name], self.params[name] = asked, value
        self._new[name] = msgspec.to_builtins(asked)
        self._unreported = True
        return value

    def report(self, value: float, step: int) -> None:
        """Report the objective's value at a step; ends the trial when the run has decided so. One result a step."""
        if self._last is None or step > self._last[1]:
            self._last = value, step
            self._report(self._named(value), training_iteration=step + 1)

    def should_prune(self) -> bool:
        """Return False: a trial that is to end has ended in `report`."""
        return False

    def set_user_attr(self, key: str, value: Any) -> None:
        """Keep something to be reported with the next result."""
        self.user_attrs[key] = value
        self._unreported = True

    def finish(self, value: Any, names: Sequence[str] | None) -> None:
        """Report what the function has returned, unless its last report has said all of it."""
        if names is not None:
            values = list(value) if isinstance(value, (list, tuple)) else [value]
            if len(values) != len(names):
                raise ArgumentError(f"The function returned {len(values)} values for the metrics {', '.join(names)}.")
            self._report(dict(zip(names, values, strict=True)), **self._iteration())
        elif self._unreported or self._last is None or self._last[0] != value:
            self._report(self._named(value), **self._iteration())

    def prune(self) -> None:
        """End the trial with what it has reported so far."""
        if self._last is None:
            self._report({**self._named(nan), "pruned": True})

    def _iteration(self) -> dict[str, int]:
        return {} if self._last is None else {"training_iteration": self._last[1] + 1}

    @staticmethod
    def _named(value: Any) -> dict[str, Any]:
        session = AMBIENT.session
        named = value if session is None else session.name_number(value)
        if not isinstance(named, Mapping):
            raise ArgumentError(
                f"An objective must return or report a number, got {value!r}. For several, name them: metrics=."
            )
        return dict(named)

    def _report(self, values: Mapping[str, Any], **others: Any) -> None:
        new, self._new, self._unreported = self._new, {}, False
        ranges = {RANGES: new} if new else {}
        attributes = {"user_attrs": self.user_attrs} if self.user_attrs else {}
        report({**values, PARAMS: dict(self.params), **ranges, **attributes, **others})
