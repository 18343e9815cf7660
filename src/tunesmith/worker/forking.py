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

    __slots__ = ("_chosen", "_hooks", "_needed", "_seen")

    def __init__(self, hooks: Hooks, register: Callable[..., None]) -> None:
        self._hooks = hooks
        self._chosen: Hooks | None = None  # while `fork` is under way: those to be run; None: all
        self._needed: Hooks = []  # those of the first `_seen` that do more than to mend threads
        self._seen = 0
        register(before=self._before, after_in_parent=self._after_in_parent, after_in_child=self._after_in_child)

    def fork(self) -> int:
        """Fork as ``os.fork`` does."""
        if self._seen != len(self._hooks):
            new = self._hooks[self._seen :]
            self._needed += [h for h in new if not all(f.__module__ in _ONLY_FOR_THREADS for f in h.values())]
            self._seen = len(self._hooks)
        self._chosen = self._needed
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
