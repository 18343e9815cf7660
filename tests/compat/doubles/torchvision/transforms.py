from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any


class Compose:
    def __init__(self, steps: Sequence[Callable[[Any], Any]]) -> None:
        self.steps = steps

    def __call__(self, picture: Any) -> Any:
        for step in self.steps:
            picture = step(picture)
        return picture


class ToTensor:
    def __call__(self, picture: Any) -> Any:
        return picture


class Normalize:
    def __init__(self, mean: Sequence[float], std: Sequence[float]) -> None:
        self.mean, self.std = mean[0], std[0]

    def __call__(self, picture: Any) -> Any:
        return (picture - self.mean) / self.std
