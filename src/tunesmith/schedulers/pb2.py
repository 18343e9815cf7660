"""PB2: population based training in which a model, instead of chance, says what to change."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from math import inf
from typing import Any

from tunesmith.domains import Float, Integer
from tunesmith.errors import ArgumentError, SpaceError
from tunesmith.events import Changed, Cloned, Event, Reported, Suggested
from tunesmith.linear_algebra import one_thread
from tunesmith.objective import Mode
from tunesmith.paths import join
from tunesmith.schedulers.explore import Explored, Keys
from tunesmith.schedulers.pbt import PopulationBasedTraining
from tunesmith.schedulers.population import Member
from tunesmith.schedulers.protocol import TrialView, View
from tunesmith.streams import stream

_ROWS = 1000  # the model forgets what was before


class PB2(PopulationBasedTraining):
    """Population based training whose clones get the hyperparameters that a model expects the most of.

    The model is a Gaussian process of how much a configuration improves the metric in an interval, in which old
    observations count for less. It weighs what it expects against what it does not know yet. So small populations, of
    four trials say, do well, where chance needs many. All else is as in `PopulationBasedTraining`.

    It learns from values that the search space draws or that it chose itself. What is a constant in the space is left
    out, until it was changed once; and until there are two observations, values are drawn at random.

    Args:
        time_attr: the measure of progress, as for `PopulationBasedTraining`.
        metric: what to compare; the run's own metric by default.
        mode: ``"min"`` or ``"max"``; the run's own by default.
        perturbation_interval: from one perturbation to the next, above 0, in units of `time_attr`.
        hyperparam_bounds: the range of each hyperparameter, by name, nested as the configuration is:
            ``{"lr": [1e-4, 1e-1]}``. Both included; whole numbers if both are. Or a domain with bounds, such as
            ``tune.loguniform(1e-4, 1e-1)``, whose scale is the model's: what differs by orders of magnitude needs it.
        quantile_fraction: which share of the trials are the best, and the worst; from 0 to 0.5.
        custom_explore_fn: is given the new configuration and returns the one to be used.
        burn_in_period: before it there is no perturbation; 0 or more, in units of `time_attr`.
        synch: whether all trials come to a perturbation before any goes on.

    Raises:
        ArgumentError: a number is out of its range, or there are no bounds.
        MissingPackageError: NumPy or SciPy is not installed.

    Source: Parker-Holder et al., Provably Efficient Online Hyperparameter Optimization with Population-Based Bandits,
    arXiv 2002.02518 (2020), algorithm 1.

    >>> scheduler = PB2("training_iteration", "loss", "min", 5, hyperparam_bounds={"lr": [1e-4, 1e-1]})
    """

    def __init__(  # noqa: PLR0917 - the order of Tune's arguments
        self,
        time_attr: str = "time_total_s",
        metric: str | None = None,
        mode: Mode | None = None,
        perturbation_interval: float = 60.0,
        hyperparam_bounds: Mapping[str, Any] | None = None,
        quantile_fraction: float = 0.25,
        custom_explore_fn: Callable[[dict[str, Any]], dict[str, Any]] | None = None,
        *,
        burn_in_period: float = 0.0,
        synch: bool = False,
    ) -> None:
        if not isinstance(hyperparam_bounds, Mapping) or not hyperparam_bounds:
            raise ArgumentError(
                "PB2 has nothing to change: give hyperparam_bounds= as a dict of ranges, such as"
                f' {{"lr": [1e-4, 1e-1]}}; got {hyperparam_bounds!r}.'
            )
        super().__init__(
            time_attr,
            metric,
            mode,
            perturbation_interval,
            burn_in_period,
            _ranges(hyperparam_bounds),
            quantile_fraction,
            custom_explore_fn=custom_explore_fn,
            synch=synch,
        )
        from tunesmith.schedulers import pb2_model  # NumPy and SciPy: only who needs them waits

        self._model, self._one_thread = pb2_model, one_thread()
        self._domains: dict[Keys, Float | Integer] = self._explorer.mutations
        self._values: dict[int, dict[str, Any]] = {}  # of each trial, as recorded
        self._bases: dict[int, tuple[float, float]] = {}  # time and score from which a trial's next gain is counted
        self._rows: deque[Any] = deque(maxlen=_ROWS)

    def apply(self, event: Event, trial: TrialView | None) -> None:
        """Fold an event: learn what each configuration has gained."""
        super().apply(event, trial)
        match event:
            case Suggested():
                self._values[event.trial] = event.values
            case Cloned():
                self._values[event.trial] = {**event.values, **event.overrides}
                self._count_from(event.trial, self._bases.get(event.donor))
            case Changed() if event.overrides is not None:
                self._values[event.trial] = {**self._values[event.trial], **event.overrides}
        if trial is not None and trial.status.is_final:
            self._values.pop(trial.number, None)
            self._bases.pop(trial.number, None)

    def _rank(self, member: Member, report: Reported, t: float, score: float) -> None:
        number = member.trial.number
        since, before = self._bases.get(number, (t, 0.0))
        point = self._point(number)
        if t > since and score > -inf and point is not None:
            interval = self.perturbation_interval
            self._rows.append(self._model.Row(since / interval, point, (score - before) * interval / (t - since)))
        self._count_from(number, (t, score) if score > -inf else None)
        super()._rank(member, report, t, score)

    def _count_from(self, trial: int, base: tuple[float, float] | None) -> None:
        if base is None:
            self._bases.pop(trial, None)
        else:
            self._bases[trial] = base

    def _point(self, trial: int) -> tuple[float, ...] | None:
        """Return where a trial's configuration is in the unit cube, if that is known."""
        values = self._values[trial]
        pairs: list[tuple[Any, Any]] = [(domain, values.get(join(keys))) for keys, domain in self._domains.items()]
        if not all(isinstance(value, (int, float)) and (value > 0 or not domain.log) for domain, value in pairs):
            return None
        return tuple(domain.share(value) for domain, value in pairs)

    def _explore(self, donor: Member, member: Member, view: View) -> Explored:
        number = member.trial.number
        rng = stream(self.seed, "explore", number, member.iteration)
        if len(self._rows) < 2:
            values: dict[Keys, Any] = {keys: domain.sample(rng) for keys, domain in self._domains.items()}
        else:
            interval = self.perturbation_interval
            others = [
                (since / interval, point)
                for other, (since, _) in self._bases.items()
                if other != number and (point := self._point(other)) is not None
            ]
            with self._one_thread():
                point = self._model.suggest(self._rows, donor.last / interval, others, rng)
            shares = map(float, point)
            values = {keys: domain.at(next(shares)) for keys, domain in self._domains.items()}
        return self._explorer.put(view.config(donor.trial.number), values)


def _ranges(bounds: Mapping[str, Any]) -> dict[str, Any]:
    return {key: _ranges(child) if isinstance(child, Mapping) else _range(key, child) for key, child in bounds.items()}


def _range(key: str, bounds: Any) -> Float | Integer:
    match bounds:
        case Float() | Integer() if bounds.low < bounds.high:
            return bounds
        case [int(low), int(high)] if low < high:
            return Integer(low, high)
        case [int() | float() as low, int() | float() as high]:
            try:
                return Float(low, high)
            except SpaceError as error:
                raise ArgumentError(f"hyperparam_bounds at {key!r}: {error}") from error
    raise ArgumentError(f"hyperparam_bounds must be [low, high] at {key!r}, or a domain with bounds; got {bounds!r}.")
