"""Makes ``import ray`` and what is below it find this package."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib import import_module
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

from tunesmith.compat.ray.errors import NotHereError
from tunesmith.compat.ray.names import MODULES, advice, public_names

_HERE = __name__.rpartition(".")[0]


class RayModule(ModuleType):
    """A module of Ray whose names are looked up when they are used."""

    def __getattr__(self, name: str) -> Any:
        known = public_names(self.__name__)
        if name in known:
            home, own = known[name]
            value = getattr(import_module(f"{_HERE}.{home}"), own)
        elif f"{self.__name__}.{name}" in MODULES:
            value = import_module(f"{self.__name__}.{name}")
        elif name.startswith("__"):
            raise AttributeError(name)
        else:
            raise AttributeError(advice(f"{self.__name__}.{name}"))
        setattr(self, name, value)
        return value

    def __reduce__(self) -> tuple[Any, ...]:
        return import_module, (self.__name__,)

    def __dir__(self) -> list[str]:
        inner = [module.rpartition(".")[2] for module in MODULES if module.rpartition(".")[0] == self.__name__]
        return sorted([*public_names(self.__name__), *inner])


class RayFinder:
    """Finds the modules of Ray that this layer has, and says of the others what to do. A meta path finder and loader.

    As every module here is a package, ``from ray.tune import name`` asks for a module of that name as well, when there
    is no such attribute: so a name that is missing is told of in this one place.
    """

    def find_spec(self, name: str, path: Sequence[str] | None = None, target: object = None) -> ModuleSpec | None:
        """Return the spec of a module below ``ray``.

        Raises:
            NotHereError: Ray may have such a module, but this layer does not.
        """
        if name != "ray" and not name.startswith("ray."):
            return None
        if name not in MODULES:
            raise NotHereError(advice(name))
        return ModuleSpec(name, self, is_package=True)  # type: ignore[arg-type]  # has what a loader needs

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        """Return a new module."""
        module = RayModule(spec.name)
        module.__all__ = sorted(public_names(spec.name))  # type: ignore[attr-defined]  # as for any module
        return module

    def exec_module(self, module: ModuleType) -> None:
        """Do nothing: the names come when they are used."""


def install() -> None:
    """Let this process find them, before and instead of a Ray that is installed."""
    if not any(isinstance(finder, RayFinder) for finder in sys.meta_path):
        sys.meta_path.insert(0, RayFinder())
