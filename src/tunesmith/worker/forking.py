"""Forks a process that has one thread, without the work that only several threads make necessary.

What modules register with ``os.register_at_fork`` runs in every child. The standard library's own hooks put locks and
thread tables right for the case that other threads existed. Where there are none they change nothing, but the memory
that they touch has to be copied, which doubles the cost of a fork. So the zygote keeps the registrations itself, and
runs those of everybody else; in the processes that it has forked everything is as usual.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any, Final

# The first thing a zygote runs, before any module can register: see `Forks`.
RECORDING: Final = (
    "import os\nhooks, register = [], os.register_at_fork\nos.register_at_fork = lambda **given: hooks.append(given)\n"
)
_ONLY_FOR_THREADS = ("threading", "logging", "concurrent.futures.thread")

Hooks = list[dict[str, Callable[[], Any]]]


class Forks:
    """Forks, and answers for the hooks that were kept from the interpreter.

    Args:
        hooks: what was registered; grows when more is.
        register: the interpreter's own function.
    """

    __slots__ = ("_chosen", "_hooks")

    def __init__(self, hooks: Hooks, register: Callable[..., None]) -> None:
        self._hooks = hooks
        self._chosen: Hooks | None = None  # while `fork` is under way: those to be run; None: all
        register(before=self._before, after_in_parent=self._after_in_parent, after_in_child=self._after_in_child)

    def fork(self) -> int:
        """Fork as ``os.fork`` does."""
        self._chosen = [h for h in self._hooks if not all(f.__module__ in _ONLY_FOR_THREADS for f in h.values())]
        pid = os.fork()
        self._chosen = None
        return pid

    def _before(self) -> None:
        for given in reversed(self._hooks if self._chosen is None else self._chosen):
            if "before" in given:
                given["before"]()

    def _after_in_parent(self) -> None:
        for given in self._hooks if self._chosen is None else self._chosen:
            if "after_in_parent" in given:
                given["after_in_parent"]()

    def _after_in_child(self) -> None:
        for given in self._hooks if self._chosen is None else self._chosen:
            if "after_in_child" in given:
                given["after_in_child"]()
