"""Named random streams: the only source of randomness in the library.

A stream is a pure function of a seed and a path of names. Nothing has to be saved to continue one after a
crash, and it yields the same numbers in every process, whatever ``PYTHONHASHSEED`` is.
"""

from __future__ import annotations

from random import Random


def stream(seed: int, *path: str | int) -> Random:
    """Return the random generator that belongs to `path` under `seed`.

    Two different paths give independent streams; the same path always gives the same one.

    >>> stream(7, "suggest", 17).random() == stream(7, "suggest", 17).random()
    True
    >>> stream(7, "suggest", 17).random() == stream(7, "suggest", 18).random()
    False
    """
    return Random(label(seed, *path))


def label(seed: int, *path: str | int) -> str:
    """Return what the generator of a stream is seeded with, for one that is there already.

    >>> from random import Random
    >>> Random(label(7, "suggest", 17)).random() == stream(7, "suggest", 17).random()
    True
    """
    return repr((seed, *path))
