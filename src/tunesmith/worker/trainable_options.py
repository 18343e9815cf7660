"""What can be tied to a trainable before a run: big objects, and the resources that each trial needs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from tunesmith.errors import ArgumentError, nearest
from tunesmith.worker.trainable import Trainable

ResourceRequest = Mapping[str, Any] | Callable[[dict[str, Any]], Mapping[str, Any]]


class TrainableOptions:
    """A trainable with what was tied to it. `resources` is a mapping, a function of the configuration, or None."""

    __slots__ = ("parameters", "resources", "trainable")

    def __init__(
        self, trainable: Callable[..., Any], parameters: dict[str, Any], resources: ResourceRequest | None
    ) -> None:
        self.trainable = trainable
        self.parameters = parameters
        self.resources = resources

    @property
    def __name__(self) -> str:
        return trainable_name(self.trainable)

    def __call__(self, config: dict[str, Any]) -> Any:
        """Call the function by hand, as a trial would; for a class, make an object."""
        return self.trainable(config, **self.parameters)

    def __repr__(self) -> str:
        return f"TrainableOptions({self.__name__}, parameters={sorted(self.parameters)}, resources={self.resources!r})"


def with_parameters(trainable: Callable[..., Any], /, **parameters: Any) -> TrainableOptions:
    """Tie big objects to a trainable: they are sent to the workers once and shared by them, without a copy each.

    A function receives them as keyword arguments, a class in ``setup``.

    Raises:
        ArgumentError: the trainable does not accept one of the names.

    Example::

        def train(config, data):
            ...

        tune.run(tune.with_parameters(train, data=load()), ...)
    """
    bare, before, resources, _ = unwrap(trainable)
    _check_names(bare, parameters)
    return TrainableOptions(bare, {**before, **parameters}, resources)


def with_resources(trainable: Callable[..., Any], resources: ResourceRequest, /) -> TrainableOptions:
    """Say what each trial needs, such as ``{"cpu": 2, "gpu": 0.5}``, or how to work it out from a configuration.

    Raises:
        ArgumentError: `resources` is neither a mapping nor a function.
    """
    if not isinstance(resources, Mapping) and not callable(resources):
        raise ArgumentError(
            f"resources must be a mapping such as {{'cpu': 1, 'gpu': 0.5}} or a function that returns one, "
            f"got {resources!r}."
        )
    bare, parameters, _, _ = unwrap(trainable)
    return TrainableOptions(bare, parameters, resources)


def unwrap(trainable: Any) -> tuple[Callable[..., Any], dict[str, Any], ResourceRequest | None, str]:
    """Return a trainable's parts: the function or class itself, its parameters, its resources and its name.

    Raises:
        ArgumentError: it is neither a function nor a subclass of Trainable.
    """
    parameters: dict[str, Any] = {}
    resources: ResourceRequest | None = None
    if isinstance(trainable, TrainableOptions):
        parameters, resources, trainable = dict(trainable.parameters), trainable.resources, trainable.trainable
    if isinstance(trainable, Trainable):
        raise ArgumentError(
            f"The trainable must be the class {type(trainable).__name__} itself, not an object of it: every trial "
            "makes its own."
        )
    if isinstance(trainable, type) and not issubclass(trainable, Trainable):
        raise ArgumentError(
            f"The class {trainable.__name__} must inherit from tunesmith.Trainable to be run, or give a function."
        )
    if not callable(trainable):
        of_name = " tunesmith.integrations.rllib.trainable makes one of a name." if isinstance(trainable, str) else ""
        raise ArgumentError(
            "The trainable must be a function of the configuration or a subclass of tunesmith.Trainable, "
            f"got {trainable!r:.200}.{of_name}"
        )
    return trainable, parameters, resources, trainable_name(trainable)


def trainable_name(trainable: Any) -> str:
    """Return the name that a run and its trials take from a trainable.

    >>> trainable_name(lambda config: 0)
    'lambda'
    """
    while True:
        inner = getattr(trainable, "func", None)  # functools.partial
        if inner is None or hasattr(trainable, "__name__"):
            break
        trainable = inner
    name = getattr(trainable, "__name__", None) or type(trainable).__name__
    return "lambda" if name == "<lambda>" else str(name)


def _check_names(trainable: Callable[..., Any], parameters: Mapping[str, Any]) -> None:
    import inspect

    is_class = isinstance(trainable, type)
    function: Any = getattr(trainable, "setup", trainable) if is_class else trainable
    what = f"{trainable_name(trainable)}.setup" if is_class else trainable_name(trainable)
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):  # built in: it will say so itself when it is called
        return
    kinds = [p.kind for p in signature.parameters.values()]
    if inspect.Parameter.VAR_KEYWORD in kinds:
        return
    keyword = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    known = [p.name for p in signature.parameters.values() if p.kind in keyword]
    known = known[2 if is_class else 1 :]  # (self and) the configuration come first
    for name in parameters:
        if name not in known:
            accepted = ", ".join(known) or "none"
            raise ArgumentError(
                f"{what}() has no parameter {name!r}; beside the configuration it takes: {accepted}."
                f"{nearest(name, known)}"
            )
