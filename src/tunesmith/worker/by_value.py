"""Pickles functions and classes by value, so that they need not be importable where they are read."""

from __future__ import annotations

import io
from collections.abc import Callable
from pickle import PickleBuffer
from types import CodeType
from typing import Any

_pickler: Any = None


def dumps(value: Any, buffer_callback: Callable[[PickleBuffer], Any] | None = None) -> bytes:
    """Return `value` as a pickle; large buffers go to `buffer_callback` if there is one.

    Code keeps the name of its file, which cloudpickle leaves out: a traceback without lines of source is of little use.
    """
    global _pickler  # noqa: PLW0603 - made on first use, as the import takes longer than all else at start-up
    if _pickler is None:
        _pickler = _make_pickler()
    file = io.BytesIO()
    _pickler(file, protocol=5, buffer_callback=buffer_callback).dump(value)
    return file.getvalue()


def _make_pickler() -> Any:
    from collections import ChainMap

    import cloudpickle

    shipped = cloudpickle.CloudPickler.dispatch_table
    reduce_code = shipped[CodeType]

    def with_file(code: CodeType) -> Any:
        make, arguments = reduce_code(code)
        return make, tuple(code.co_filename if a == "<dynamic-code>" else a for a in arguments)

    table = ChainMap({CodeType: with_file}, shipped)
    return type("Pickler", (cloudpickle.CloudPickler,), {"dispatch_table": table})
