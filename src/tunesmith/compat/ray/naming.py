"""Names of trials and their folders, as in 2019."""

from __future__ import annotations

import hashlib
import random
import string
import time
from collections.abc import Iterator, Mapping
from typing import Any, Final

from tunesmith.naming import short_value
from tunesmith.paths import split

_SKIPPED: Final = ("run", "env", "resources_per_trial")
_NAME_LENGTH: Final = 130
_ALPHABET: Final = string.ascii_lowercase + string.digits + "_"


def trial_id(seed: int, number: int) -> str:
    """Return the id of a trial: eight hexadecimal digits, the same after a crash."""
    return hashlib.sha256(f"{seed}/{number}".encode()).hexdigest()[:8]


def experiment_id(seed: int, number: int) -> str:
    """Return the id of a trial's trainable: 32 hexadecimal digits, the same after a crash."""
    return hashlib.sha256(f"experiment/{seed}/{number}".encode()).hexdigest()[:32]


def format_vars(resolved: Mapping[tuple[Any, ...], Any]) -> str:
    """Return resolved variables as names show them, by path.

    >>> format_vars({("config", "lr"): 0.0123456, ("config", "nn", 0): 16, ("config", "nn", 1): 8})
    'lr=0.012346,nn_0=16,nn_1=8'
    """
    pairs = []
    for path in sorted(resolved, key=lambda path: [(isinstance(part, str), part) for part in path]):
        if path[0] in _SKIPPED:
            continue
        start = max((i for i, part in enumerate(path) if isinstance(part, str)), default=0)
        key = "_".join(str(part) for part in path[start:])
        pairs.append(f"{key.replace('/', '_')}={short_value(resolved[path])}")
    return ",".join(pairs)


def at(config: Any, path: str) -> tuple[tuple[Any, ...], Any]:
    """Return the components of a path in a configuration, list indices as numbers, and what stands there."""
    parts: list[Any] = ["config"]
    node = config
    for part in split(path):
        if isinstance(node, (list, tuple)):
            key: Any = int(part)
        else:
            key = part if part in node else next((k for k in node if str(k) == part), part)
        node = node[key]
        parts.append(key)
    return tuple(parts), node


def flattened(config: Any, path: tuple[Any, ...] = ("config",)) -> Iterator[tuple[tuple[Any, ...], Any]]:
    """Yield the paths and values of a whole configuration."""
    if isinstance(config, dict) and config:
        for key, value in config.items():
            yield from flattened(value, (*path, key))
    else:
        yield path, config


def tag(number: int, variables: str) -> str:
    """Return the experiment tag."""
    return f"{number}_{variables}" if variables else str(number)


def folder(name: str) -> str:
    """Return a new name for the folder of the trial `name`: with the date and eight random letters."""
    stamp = time.strftime("%Y-%m-%d_%H-%M-%S")
    letters = "".join(random.SystemRandom().choices(_ALPHABET, k=8))
    return f"{name[:_NAME_LENGTH]}_{stamp}{letters}".replace("/", "_")
