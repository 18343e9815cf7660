"""The function API of 2019: ``def train(config, reporter)``."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any

from tunesmith.compat.ray import track
from tunesmith.compat.ray.errors import TuneError
from tunesmith.compat.ray.markers import split_off
from tunesmith.compat.ray.reporter import StatusReporter


def wrap_function(function: Callable[..., Any]) -> Callable[[dict[str, Any]], None]:
    """Return a trainable for a run: a function of the configuration."""

    @functools.wraps(function, updated=())
    def train(config: dict[str, Any]) -> None:
        config, _ = split_off(config)
        reporter = StatusReporter()
        if wants_reporter(function):
            function(config, reporter)
        else:
            track.begin(reporter)
            function(config)
        if not reporter.has_reported:
            raise TuneError(
                f"{name_of(function)} returned without reporting any result. Call its second argument with the "
                "metrics, such as reporter(mean_loss=0.5), at least once."
            )

    train.__name__ = train.__qualname__ = name_of(function)
    return train


FunctionRunner = wrap_function


def wants_reporter(function: Callable[..., Any]) -> bool:
    """Whether a function takes a reporter; one of the configuration alone reports by ``tune.track.log``."""
    try:
        inspect.signature(function).bind({}, None)
    except TypeError:
        return False
    except ValueError:  # no signature: built in
        return True
    return True


def name_of(function: Any) -> str:
    """Return the name of a function, or of what it is made of."""
    return str(
        getattr(function, "__name__", None) or getattr(getattr(function, "func", function), "__name__", "lambda")
    )
