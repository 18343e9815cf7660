"""What is compared, ours: any searcher, driven as the controller does it, without a run."""

from __future__ import annotations

import ast
import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, Protocol, TypeAlias

import tunesmith as tune
from searching.problems import Outcome
from searching.spaces import Category, Config, Number, Space
from tunesmith.objective import Constraint, Objective
from tunesmith.searchers.names import NAMES, by_name
from tunesmith.searchers.protocol import Reminded, Suggestion
from tunesmith.space import Space as OwnSpace


class Problem(NamedTuple):
    """What a side is told beforehand.

    `first` are the configurations that it is to begin with; with None it begins as it likes.
    """

    space: Space
    goals: int
    constraints: int
    evaluations: int
    seed: int
    first: Sequence[Config] | None
    fidelities: tuple[int, ...] = ()  # where there are several
    workers: int = 1


class Side(Protocol):
    """A searcher, ours or a peer's, that is asked for configurations and told what they gave."""

    def ask(self, number: int) -> Config:
        """The configuration of trial `number`; trials are asked for in order."""
        ...

    def report(self, number: int, fidelity: int, value: float) -> bool:
        """What a trial gives at a fidelity, where there are several; whether it is to go on."""
        ...

    def tell(self, number: int, outcome: Outcome, is_complete: bool = True) -> None:
        """The end of a trial, in any order; not complete if it was not to go on."""
        ...


Make: TypeAlias = Callable[[Problem], Side]


class UnableError(Exception):
    """A side can't do a task; why is the message."""


def own_space(space: Space) -> dict[str, Any]:
    """The space as a user of Tunesmith writes it: options that have parameters of their own are dicts."""
    return {parameter.name: _domain(parameter) for parameter in space}


def _domain(parameter: Number | Category) -> Any:
    if isinstance(parameter, Category):
        if not parameter.branches:
            return tune.choice(list(parameter.options))
        return tune.choice(
            [{"is": option, **own_space(parameter.branches.get(option, ()))} for option in parameter.options]
        )
    _, low, high, is_log, is_whole = parameter
    if is_whole:
        return (tune.lograndint if is_log else tune.randint)(int(low), int(high) + 1)
    return (tune.loguniform if is_log else tune.uniform)(low, high)


def own_point(space: Space, config: Config, above: str = "") -> dict[str, Any]:
    """A configuration by the paths of the space."""
    found: dict[str, Any] = {}
    for parameter in space:
        path, value = above + parameter.name, config[parameter.name]
        if isinstance(parameter, Category) and parameter.branches:
            branch = parameter.branches.get(value, ())
            # An option that holds no domains is kept by value.
            found |= {f"{path}?": parameter.options.index(value)} if branch else {path: {"is": value}}
            found |= own_point(branch, config, f"{path}/")
        else:
            found[path] = value
    return found


def flat(config: Mapping[str, Any]) -> Config:
    """The parameters of a configuration of ours, by name."""
    found: Config = {}
    for name, value in config.items():
        if isinstance(value, dict):
            found[name] = value["is"]
            found |= flat({inner: v for inner, v in value.items() if inner != "is"})
        else:
            found[name] = value
    return found


class OwnMake(NamedTuple):
    """Makes sides of ours: of a searcher's class and its settings."""

    kind: Callable[..., Any]
    settings: Mapping[str, Any]

    def searcher(self, problem: Problem) -> Any:
        """The searcher, which begins as it is told to if it can."""
        settings: dict[str, Any] = {}
        if problem.first is not None:
            settings["points_to_evaluate"] = [own_point(problem.space, config) for config in problem.first]
            if problem.workers == 1:
                settings["n_initial_points"] = 0  # these are all; of many workers some must begin before these end
        taken = inspect.signature(self.kind).parameters
        return self.kind(**{name: value for name, value in settings.items() if name in taken} | dict(self.settings))

    def __call__(self, problem: Problem) -> Side:
        return Ours(self.searcher(problem), problem)


class Ours:
    """A searcher of Tunesmith's."""

    def __init__(self, searcher: Any, problem: Problem) -> None:
        self._searcher = searcher
        self._space = OwnSpace(own_space(problem.space))
        others = tuple(Objective(f"loss{i}", "min") for i in range(1, problem.goals))
        bounds = tuple(Constraint(f"bound{i}", "<=", 0.0) for i in range(problem.constraints))
        objective = Objective("loss0", "min", others, bounds)
        try:
            searcher.setup(self._space, objective, problem.seed, problem.evaluations)
        except tune.TunesmithError as error:
            raise UnableError(str(error)) from error

    def ask(self, number: int) -> Config:
        found = self._searcher.ask(number, 1)
        if not found:
            raise UnableError("it has no more to suggest")
        suggestion = found[0] if isinstance(found[0], Suggestion) else Suggestion(found[0])
        if isinstance(self._searcher, Reminded):
            self._searcher.remind(number, suggestion.values, suggestion.memo)
        return flat(self._space.build(suggestion.values))

    def remind(self, number: int, values: Mapping[str, Any]) -> None:
        """Let it know a trial that it has not suggested."""
        if isinstance(self._searcher, Reminded):
            self._searcher.remind(number, values, None)

    def report(self, number: int, fidelity: int, value: float) -> bool:
        raise NotImplementedError  # ours are run, where there are fidelities

    def tell(self, number: int, outcome: Outcome, is_complete: bool = True) -> None:
        metrics: dict[str, Any] = {f"loss{i}": value for i, value in enumerate(outcome.seen)}
        metrics |= {f"bound{i}": value for i, value in enumerate(outcome.violations)}
        metrics |= {"training_iteration": 1, "time_total_s": 1.0}
        has_failed = any(value != value for value in outcome.seen)
        self._searcher.tell(number, None if has_failed else metrics, True, has_failed)


def ours(text: str) -> OwnMake:
    """A side of ours by a searcher's name or a class of `tunesmith`, with settings if need be.

    >>> ours("SobolSearch(seed=2)").settings
    {'seed': 2}
    """
    name, settings = text, dict[str, Any]()
    if text.endswith(")"):
        call = ast.parse(text, mode="eval").body
        if not isinstance(call, ast.Call) or not isinstance(call.func, ast.Name) or call.args:
            raise ValueError(f"{text!r} is no name of a searcher with settings by name, such as TPESearch(gamma=0.1).")
        name = call.func.id
        settings = {keyword.arg: ast.literal_eval(keyword.value) for keyword in call.keywords if keyword.arg}
    return OwnMake(type(by_name(name)) if name in NAMES else getattr(tune, name), settings)
