"""Tells whether a trainable's code is the one that it was."""

from __future__ import annotations

import dis
import functools
import hashlib
import sys
from collections.abc import Iterator
from types import CodeType, FunctionType, MethodType
from typing import Any

from tunesmith.worker.trainable import Trainable

_PLAIN = (str, bytes, int, float, complex, bool, type(None))
_PLACES = frozenset({"__firstlineno__", "__module__", "__qualname__", "__doc__", "__static_attributes__"})


def qualified_name(trainable: Any) -> str:
    """Return the trainable's name within its module.

    >>> qualified_name(dict.fromkeys)
    'dict.fromkeys'
    """
    bare = _bare(trainable)
    return str(getattr(bare, "__qualname__", None) or type(bare).__qualname__)


def code_fingerprint(trainable: Any) -> str:
    """Return a hash over what the trainable's own code does, or an empty text where there is no Python code.

    It covers a function with its default values and the functions within it, and of a class its methods and plain
    attributes, with those that it inherits, up to `tunesmith.Trainable`. Comments, docstrings, line numbers and file
    names don't count. What the code calls, and what it finds in variables from outside, is not covered. As compilers
    differ, only hashes of the same `compiler` can be compared.
    """
    lines = list(_describe(_bare(trainable)))
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()[:16] if lines else ""


def compiler() -> str:
    """Return which Python compiles the code, such as ``cpython-3.12``."""
    return f"{sys.implementation.name}-{sys.version_info.major}.{sys.version_info.minor}"


def _bare(trainable: Any) -> Any:
    while isinstance(trainable, (functools.partial, MethodType)):
        trainable = trainable.func if isinstance(trainable, functools.partial) else trainable.__func__
    return trainable


def _describe(thing: Any) -> Iterator[str]:
    if isinstance(thing, type):
        for cls in thing.__mro__[: thing.__mro__.index(Trainable) if Trainable in thing.__mro__ else -1]:
            for name, member in sorted(vars(cls).items()):
                if name not in _PLACES:
                    yield from (f"{cls.__name__}.{name} {line}" for line in _member(member))
    elif isinstance(thing, FunctionType):
        yield from _function(thing)
    elif isinstance(vars(type(thing)).get("__call__"), FunctionType):  # an object that can be called
        yield from _describe(type(thing))


def _member(member: Any) -> Iterator[str]:
    if isinstance(member, (staticmethod, classmethod)):
        yield from _describe(member.__func__)
    elif isinstance(member, property):
        yield from _describe(member.fget)
    elif isinstance(member, FunctionType):
        yield from _function(member)
    elif isinstance(member, _PLAIN):
        yield repr(member)


def _function(function: FunctionType) -> Iterator[str]:
    wrapped = getattr(function, "__wrapped__", None)
    if isinstance(wrapped, FunctionType):
        yield from _function(wrapped)
    defaults = [*(function.__defaults__ or ()), *sorted((function.__kwdefaults__ or {}).items())]
    yield f"defaults {[_constant(value) for value in defaults]}"
    yield from _code(function.__code__)


def _code(code: CodeType) -> Iterator[str]:
    """Yield the instructions, with the values and names that they use instead of numbers in tables."""
    yield f"code {code.co_name} {code.co_argcount} {code.co_kwonlyargcount} {code.co_varnames[: code.co_argcount]}"
    steps = [step for step in dis.get_instructions(code) if step.opname not in ("CACHE", "EXTENDED_ARG")]
    order = {step.offset: number for number, step in enumerate(steps)}
    told: list[list[str]] = []
    for step in steps:
        if step.argval in _PLACES and step.opname == "STORE_NAME":
            told.pop()  # where a class stands, and what is said of it
        elif isinstance(step.argval, CodeType):
            told.append(list(_code(step.argval)))
        else:
            is_jump = step.opcode in dis.hasjrel or step.opcode in dis.hasjabs
            argument = order.get(step.argval) if is_jump else _constant(step.argval)
            told.append([f"{step.opname} {argument}"])
    for lines in told:
        yield from lines


def _constant(value: Any) -> str:
    if isinstance(value, (tuple, list)):
        return f"({', '.join(map(_constant, value))})"
    if isinstance(value, frozenset):
        return f"{{{', '.join(sorted(map(_constant, value)))}}}"
    return repr(value) if isinstance(value, _PLAIN) or value is Ellipsis else type(value).__qualname__
