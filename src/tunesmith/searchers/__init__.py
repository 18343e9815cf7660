"""Policies that suggest configurations: ``tune.searchers.SobolSearch(...)``. Each is imported on its first use."""

from __future__ import annotations

from typing import Any

from tunesmith.searchers.names import MODULES, searcher_class

__all__ = sorted(MODULES)  # noqa: PLE0605 - the names are those of one table


def __getattr__(name: str) -> Any:
    """Import a searcher on its first use."""
    found = searcher_class(name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *MODULES})
