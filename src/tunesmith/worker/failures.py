"""Tells of a user's exception: a message, and a traceback that begins in the user's code."""

from __future__ import annotations

import os
from pathlib import Path
from types import TracebackType

from tunesmith.errors import TunesmithError
from tunesmith.retrying import type_name
from tunesmith.trial import Failure

_HERE = str(Path(__file__).parent.parent) + os.sep
_LIMIT = 100_000  # characters; a deep recursion's traceback has no end


def describe(error: BaseException) -> Failure:
    """Return the failure for what the trainable raised, without the frames of this library around it."""
    types = tuple(type_name(cls) for cls in type(error).__mro__ if issubclass(cls, BaseException))
    if isinstance(error, SystemExit):
        return Failure("exit", _exit_message(error), format_traceback(error), types)
    name = type(error).__name__
    text = _text(error)
    if isinstance(error, TunesmithError):
        message = text
    elif isinstance(error, KeyboardInterrupt):
        message = "The trainable was interrupted (KeyboardInterrupt)."
    else:
        message = f"{name}: {text}" if text else name
    return Failure("error", message, format_traceback(error), types)


def format_traceback(error: BaseException) -> str:
    """Return the traceback as text, causes included, cut to 100,000 characters."""
    import traceback

    try:
        story = traceback.TracebackException.from_exception(error, compact=True)
        _trim(story, set())
        text = "".join(story.format())
    except Exception:  # noqa: BLE001 - an exception whose own repr raises must still be told of
        text = "".join(traceback.format_tb(_users(error.__traceback__))) + type(error).__name__
    text = text.encode("utf-8", "replace").decode("utf-8")
    if len(text) > _LIMIT:
        text = f"{text[: _LIMIT // 2]}\n[...]\n{text[-_LIMIT // 2 :]}"
    return text


def _trim(story: object, seen: set[int]) -> None:
    import traceback

    if not isinstance(story, traceback.TracebackException) or id(story) in seen:
        return
    seen.add(id(story))
    kept = [line for line in story.stack if not line.filename.startswith(_HERE)]
    if kept:
        story.stack = traceback.StackSummary.from_list(kept)
    for inner in (story.__cause__, story.__context__, *(getattr(story, "exceptions", None) or ())):
        _trim(inner, seen)


def _users(tb: TracebackType | None) -> TracebackType | None:
    while tb is not None and tb.tb_frame.f_code.co_filename.startswith(_HERE):
        tb = tb.tb_next
    return tb


def _text(error: BaseException) -> str:
    try:
        text = str(error)
    except Exception:  # noqa: BLE001 - a user's __str__
        return ""
    return text.encode("utf-8", "replace").decode("utf-8")[:_LIMIT]


def _exit_message(error: SystemExit) -> str:
    code = "" if error.code is None else repr(error.code)
    return (
        f"The trainable called sys.exit({code}), which would end its worker. "
        "Return from the function to end the trial, or raise an exception to fail it."
    )
