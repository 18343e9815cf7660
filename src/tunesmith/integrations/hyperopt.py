"""Searches with HyperOpt's tree-structured Parzen estimators."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from math import isfinite, log
from typing import Any

from tunesmith.domains import Choice, Domain, Float, Grid, Integer, Normal, SampleFrom
from tunesmith.errors import ArgumentError, MissingPackageError, SpaceError
from tunesmith.objective import Objective
from tunesmith.paths import CHOSEN, join
from tunesmith.searchers.protocol import Suggestion
from tunesmith.space import Space
from tunesmith.streams import stream


class HyperOptSearch:
    """Suggest configurations by HyperOpt's TPE, an extra: ``pip install "tunesmith[hyperopt]"``.

    What is drawn depends on the run's seed, the trial's number and what was told before. Trials that were stopped count
    with their last result, those that have failed do not count. A run that is resumed goes on with what it knew.

    Args:
        space: a dict of HyperOpt's own expressions, such as ``{"lr": hp.loguniform("lr", -9, 0)}``. What it draws is
            put into the run's configuration, where a dict within goes into a dict. By default the search space of the
            run is taken.
        points_to_evaluate: values for the first trials, by the labels of `space`, or by path: of a choice the index of
            the option.
        n_initial_points: so many trials, at least 1, are drawn at random before the estimators are used.
        gamma: which share of the trials, above 0 and below 1, are those that are good.

    Raises:
        ArgumentError: a number is out of its range.
        MissingPackageError: HyperOpt is not installed.

    Source: Bergstra et al., Algorithms for Hyper-Parameter Optimization, NIPS 2011.

    Example:
        >>> search = HyperOptSearch(n_initial_points=10)  # doctest: +SKIP
        >>> tune.run(train, space, metric="loss", mode="min", search_alg=search)  # doctest: +SKIP
    """

    eager = False

    def __init__(
        self,
        space: Mapping[str, Any] | None = None,
        points_to_evaluate: Sequence[Mapping[str, Any]] | None = None,
        *,
        n_initial_points: int = 20,
        gamma: float = 0.25,
    ) -> None:
        if not isinstance(n_initial_points, int) or n_initial_points < 1:
            raise ArgumentError(f"n_initial_points must be a whole number from 1, got {n_initial_points!r}.")
        if not 0 < gamma < 1:
            raise ArgumentError(f"gamma must be a number between 0 and 1, got {gamma!r}.")
        self._hyperopt = _import()
        self._given = space
        self._points = [dict(point) for point in points_to_evaluate or ()]
        self._initial, self._gamma = n_initial_points, gamma

    def setup(self, space: Space, objective: Objective | None, seed: int, num_samples: int) -> None:
        """Take the problem.

        Raises:
            ArgumentError: there is no objective.
            SpaceError: the space has what HyperOpt can't search.
        """
        if objective is None:
            raise ArgumentError("HyperOptSearch needs to know what is good: give metric= and mode= to run().")
        if objective.others:
            raise ArgumentError(
                f"HyperOptSearch optimises one metric, and the run has several: {', '.join(objective.metrics)}."
                ' Use search_alg="nsga2", or give run() one of them.'
            )
        self._objective, self._seed, self._num_samples = objective, seed, num_samples
        self._space = space
        space.refuse_grid("HyperOptSearch")
        expression = _expression(space, self._hyperopt.hp) if self._given is None else self._given
        self._domain = self._hyperopt.Domain(dict, expression)
        for index, point in enumerate(self._points):
            _check_point(self._domain, point, index)
        self._conditions = self._hyperopt.conditions(self._domain.expr)
        self._trials = self._hyperopt.Trials()
        self._drawn: dict[int, dict[str, Any]] = {}  # by trial, of those that have not ended

    def total(self) -> int | None:
        """Return how many trials there will be."""
        return None if self._num_samples < 0 else self._num_samples

    def ask(self, first: int, count: int) -> list[Suggestion]:
        """Return the values of the next trials, and by what draws they came about."""
        return [self._suggest(number) for number in range(first, first + count)]

    def _suggest(self, number: int) -> Suggestion:
        drawn = self._draw(number)
        if number < len(self._points):
            drawn = self._completed({**drawn, **self._points[number]}, number)
        config = _plain(self._hyperopt.space_eval(self._domain.expr, drawn))
        values = dict(_flat(config) if self._given is None else _by_path(config, ()))
        return Suggestion(self._space.sample(self._seed, number, given=values), drawn)

    def _draw(self, number: int) -> dict[str, Any]:
        seed = stream(self._seed, "hyperopt", number).getrandbits(31)
        documents = self._hyperopt.suggest(
            [number],
            self._domain,
            self._trials,
            seed,
            n_startup_jobs=self._initial,
            gamma=self._gamma,
            verbose=False,
        )
        return {label: _plain(v[0]) for label, v in documents[0]["misc"]["vals"].items() if len(v)}

    def _completed(self, drawn: dict[str, Any], number: int) -> dict[str, Any]:
        """Return draws with what the options of a point need, and without what belongs to other options."""
        rng = self._hyperopt.generator(stream(self._seed, "hyperopt", "point", number).getrandbits(31))
        found: dict[str, Any] = {}

        def holds(condition: Any) -> bool:
            return condition is True or (condition.name in drawn and drawn[condition.name] == condition.val)

        for _ in self._conditions:  # as deep as options may lie within options
            for label, conditions in self._conditions.items():
                if any(all(map(holds, each)) for each in conditions):
                    if label not in drawn:
                        drawn[label] = _plain(self._hyperopt.sample(self._domain.params[label], rng))
                    found[label] = drawn[label]
        return found

    def remind(self, trial: int, values: Mapping[str, Any], memo: Any) -> None:
        """Learn by what draws a trial's values came about."""
        if isinstance(memo, dict):
            self._drawn[trial] = memo

    def tell(self, trial: int, metrics: Mapping[str, Any] | None, final: bool, failed: bool) -> None:
        """Learn what became of a trial; of one that is under way nothing is learnt."""
        if not final or trial not in self._drawn:
            return
        drawn = self._drawn.pop(trial)
        if failed or metrics is None or self._objective.metric not in metrics:
            return
        score = self._objective.score(metrics)
        if isfinite(score):
            self._trials.insert_trial_docs([self._document(trial, drawn, -score)])
            self._trials.refresh()

    def _document(self, trial: int, drawn: Mapping[str, Any], loss: float) -> dict[str, Any]:
        labels = list(self._domain.params)
        misc = {
            "tid": trial,
            "cmd": self._domain.cmd,
            "workdir": self._domain.workdir,
            "idxs": {label: [trial] if label in drawn else [] for label in labels},
            "vals": {label: [drawn[label]] if label in drawn else [] for label in labels},
        }
        result = {"loss": loss, "status": "ok"}
        (document,) = self._trials.new_trial_docs([trial], [None], [result], [misc])
        document["state"] = self._hyperopt.JOB_STATE_DONE
        found: dict[str, Any] = document
        return found


class _HyperOpt:
    """What is used of HyperOpt."""

    def __init__(self) -> None:
        import hyperopt
        from hyperopt.base import Domain
        from hyperopt.pyll.stochastic import sample
        from hyperopt.pyll_utils import expr_to_config
        from numpy.random import default_rng

        self.hp, self.space_eval, self.Trials = hyperopt.hp, hyperopt.space_eval, hyperopt.Trials
        self.suggest, self.JOB_STATE_DONE, self.Domain = hyperopt.tpe.suggest, hyperopt.JOB_STATE_DONE, Domain
        self.sample, self.generator, self._conditions = sample, default_rng, expr_to_config

    def conditions(self, expression: Any) -> dict[str, Any]:
        """Return by label under which draws of others it is needed: alternatives, each a tuple of what must hold."""
        found: dict[str, Any] = {}
        self._conditions(expression, (True,), found)
        return {label: each["conditions"] for label, each in found.items()}


def _import() -> _HyperOpt:
    try:
        return _HyperOpt()
    except ImportError as error:
        raise MissingPackageError('HyperOptSearch needs HyperOpt: pip install "tunesmith[hyperopt]"') from error


def _expression(space: Space, hp: Any, below: tuple[str, int] | None = None) -> dict[str, Any]:
    """Return the variables of the space, or those within one option, as expressions of HyperOpt, by path.

    An option with variables becomes a dict of them with its index; `_flat` puts it where it belongs.
    """
    found = {}
    for variable in space.variables:
        if variable.condition != below or isinstance(variable.domain, SampleFrom):
            continue
        path, domain = variable.path, variable.domain
        if isinstance(domain, Choice) and any(v.condition and v.condition[0] == path for v in space.variables):
            options = [{path + CHOSEN: i, **_expression(space, hp, (path, i))} for i in range(len(domain.options))]
            found[path + CHOSEN] = hp.choice(path + CHOSEN, options)
        else:
            path, node = _node(path, domain, hp)
            found[path] = node
    return found


def _flat(values: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Yield the values of what `_expression` returns, those of chosen options included."""
    for path, value in values.items():
        if isinstance(value, dict):
            yield from _flat(value)
        else:
            yield path, value


def _check_point(domain: Any, point: Mapping[str, Any], index: int) -> None:
    """Raise ArgumentError if a point names what is not there, or an option that a choice has not."""
    for label, value in point.items():
        if label not in domain.params:
            raise ArgumentError(
                f"points_to_evaluate names {label!r}, which is not in the space; there are: "
                f"{', '.join(sorted(domain.params))}."
            )
        node = domain.params[label]
        if node.name == "randint":
            *low, high = (argument.obj for argument in node.pos_args)
            options = range(low[0] if low else 0, high)
        elif node.name == "categorical":
            options = range(len(node.pos_args[0].pos_args))
        else:
            continue
        if isinstance(value, bool) or not isinstance(value, int) or value not in options:
            raise ArgumentError(
                f"points_to_evaluate[{index}] must name an option of {label!r} by its index, "
                f"from {options.start} to {options.stop - 1}; got {value!r}."
            )


def _node(path: str, domain: Domain, hp: Any) -> tuple[str, Any]:
    match domain:
        case Float(q=None):
            if domain.log:
                return path, hp.loguniform(path, log(domain.low), log(domain.high))
            return path, hp.uniform(path, domain.low, domain.high)
        case Float():
            if domain.log:
                return path, hp.qloguniform(path, log(domain.low), log(domain.high), domain.q)
            return path, hp.quniform(path, domain.low, domain.high, domain.q)
        case Normal():
            if domain.q is None:
                return path, hp.normal(path, domain.mean, domain.sd)
            return path, hp.qnormal(path, domain.mean, domain.sd, domain.q)
        case Choice(options=options):
            if all(isinstance(option, (str, int, float, bool, type(None))) for option in options):
                return path, hp.choice(path, list(options))
            return path + CHOSEN, hp.choice(path, list(range(len(options))))
        case Integer() if not domain.log and domain.q == 1:
            return path, hp.uniformint(path, domain.low, domain.high)
        case _:
            what = "a grid" if isinstance(domain, Grid) else f"{domain!r}"
            raise SpaceError(
                f"HyperOptSearch can't search {path!r}, {what}. Give the space in HyperOpt's own words: "
                "HyperOptSearch({...})."
            )


def _by_path(node: Any, path: tuple[Any, ...]) -> Iterator[tuple[str, Any]]:
    if isinstance(node, dict) and (node or not path):
        for key, value in node.items():
            yield from _by_path(value, (*path, key))
    else:
        yield join(path), node


def _plain(value: Any) -> Any:
    """Return what was drawn without NumPy's types."""
    if isinstance(value, Mapping):
        return {key: _plain(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(_plain(inner) for inner in value)
    return value.item() if type(value).__module__ == "numpy" and hasattr(value, "item") else value
