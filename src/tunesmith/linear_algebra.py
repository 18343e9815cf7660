"""Keeps the linear algebra of a policy to one thread, since the trials have the other CPUs."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext


def one_thread() -> Callable[[], AbstractContextManager[object]]:
    """Return a maker of contexts in which BLAS has one thread; they do nothing where threadpoolctl is not installed.

    Call it after NumPy and SciPy are imported, since it looks for what is loaded.
    """
    try:
        from threadpoolctl import ThreadpoolController
    except ImportError:
        return nullcontext
    controller = ThreadpoolController()
    return lambda: controller.limit(limits=1, user_api="blas")
