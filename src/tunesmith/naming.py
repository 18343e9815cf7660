"""Names of trials, their tags and folders."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import msgspec

from tunesmith.paths import CHOSEN, split

_UNSAFE = re.compile(r"[^A-Za-z0-9._=,@+-]+")
_FOLDER_LENGTH = 60


class TrialInfo(msgspec.Struct, frozen=True):
    """What a `trial_name_creator` sees. `experiment_tag` is such as ``3_lr=0.01,width=64``."""

    number: int
    trial_id: str
    trainable_name: str
    experiment_tag: str
    config: dict[str, Any]


def short_key(path: str) -> str:
    """Return the last key of a path with the list indices that follow it.

    >>> short_key("model/layers/0")
    'layers_0'
    """
    parts = split(path)
    start = len(parts) - 1
    while start > 0 and parts[start].isdigit():
        start -= 1
    return "_".join(parts[start:])


def short_value(value: Any) -> str:
    """Return a value as names show it: five significant digits, no slashes."""
    text = f"{value:.5}" if isinstance(value, float) else str(value)
    return text.replace("/", "_")


def tag(number: int, values: Mapping[str, Any]) -> str:
    """Return the experiment tag: the number and the resolved variables, by path.

    >>> tag(0, {"lr": 0.0123456, "nn/0": 16})
    '0_lr=0.012346,nn_0=16'
    """
    pairs = [
        f"{short_key(path)}={'option' if path.endswith(CHOSEN) else ''}{short_value(values[path])}"
        for path in sorted(values)
    ]
    return f"{number}_{','.join(pairs)}" if pairs else str(number)


def slug(name: str) -> str:
    """Return `name` made safe for every file system.

    >>> slug("PPO on Pong/v0: best")
    'PPO_on_Pong_v0_best'
    """
    return _UNSAFE.sub("_", name).strip("_.")[:_FOLDER_LENGTH] or "trial"


def folder(number: int, name: str) -> str:
    """Return the name of a trial's folder: unique by its number, readable by its name.

    >>> folder(7, "train_7_lr=0.1")
    '00007_train_7_lr=0.1'
    """
    return f"{number:05d}_{slug(name)}"
