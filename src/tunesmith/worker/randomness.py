"""Gives each trial numbers of its own from the generators that user code shares: Python's, NumPy's and PyTorch's.

All forked workers inherit the same generators, so that without this ``random.random()`` and ``numpy.random.rand()``
would return the same numbers in every trial.
"""

from __future__ import annotations

import random
import sys
from importlib import import_module
from typing import Any

from tunesmith.streams import label, stream


def load_generators() -> None:
    """Load NumPy's generator if NumPy is loaded, which does it by itself only when the generator is first used."""
    if "numpy" in sys.modules:
        try:
            import_module("numpy.random")
        except ImportError:  # the user's own module of that name
            pass


def seed_generators(seed: int, trial: int, iteration: int, attempt: int) -> None:
    """Seed those that are loaded, from a stream of the experiment's seed and of where the trial stands.

    The same trial that starts from the same iteration draws the same numbers, in every process and after every crash.
    `attempt` counts its failures there: one that is tried again because it failed draws others. A generator that is
    loaded later, because the trainable imports its package by itself, comes with a seed that nobody chose.
    """
    place = "worker", trial, iteration, attempt
    random.seed(label(seed, *place))
    if (numpy := _loaded("numpy.random", "seed")) is not None:
        numbers = stream(seed, *place, "numpy")
        numpy.seed([numbers.getrandbits(32) for _ in range(4)])
    if (torch := _loaded("torch", "manual_seed")) is not None:
        torch.manual_seed(stream(seed, *place, "torch").getrandbits(63))


def snapshot() -> tuple[Any, Any, Any]:
    """Return where the generators stand; None for one that is not loaded."""
    numpy, torch = _loaded("numpy.random", "get_state"), _loaded("torch", "get_rng_state")
    return (
        random.getstate(),
        None if numpy is None else numpy.get_state(legacy=False),
        None if torch is None else torch.get_rng_state(),
    )


def put_back(states: tuple[Any, Any, Any]) -> None:
    """Set the generators to where they stood."""
    own, numpy_state, torch_state = states
    random.setstate(own)
    if numpy_state is not None:
        sys.modules["numpy.random"].set_state(numpy_state)
    if torch_state is not None:
        sys.modules["torch"].set_rng_state(torch_state)


def _loaded(name: str, function: str) -> Any:
    """Return a module that is loaded, to its end: it has the function that is wanted."""
    module = sys.modules.get(name)
    return module if hasattr(module, function) else None
