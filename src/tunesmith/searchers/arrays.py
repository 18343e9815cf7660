"""NumPy for the searchers that compute with it, an extra: imported on use."""

from __future__ import annotations

from typing import Any, TypeAlias

from tunesmith.errors import MissingPackageError

try:
    import numpy as np
    from numpy.random import PCG64, Generator
except ImportError as error:
    raise MissingPackageError('This searcher needs NumPy and SciPy: pip install "tunesmith[search]".') from error

Array: TypeAlias = "np.ndarray[Any, Any]"

__all__ = ["Array", "Generator", "generator", "np"]


def generator(seed: int) -> Generator:
    """Return NumPy's generator for a seed of any size."""
    return Generator(PCG64(seed))
