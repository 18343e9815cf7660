"""Searchers by name, as ``tunesmith.run(search_alg="gp")`` has them."""

from __future__ import annotations

from importlib import import_module

from tunesmith.errors import ArgumentError, nearest
from tunesmith.searchers.protocol import Searcher

# Where each is; imported on use, since most of them compute with packages that are extras.
_HOMES = {
    "random": "variants.VariantSearcher",
    "grid": "variants.VariantSearcher",
    "sobol": "sobol.SobolSearch",
    "tpe": "tpe.TPESearch",
    "bohb": "bohb.BOHBSearch",
    "hyper-tune": "hyper_tune.HyperTuneSearch",
}
NAMES = tuple(_HOMES)


def by_name(name: str) -> Searcher:
    """Return a searcher with its defaults.

    Raises:
        ArgumentError: there is none of this name.
        MissingPackageError: it needs a package that is not installed.

    >>> type(by_name("random")).__name__
    'VariantSearcher'
    """
    if name not in _HOMES:
        raise ArgumentError(f"There is no searcher {name!r}; there are: {', '.join(NAMES)}.{nearest(name, NAMES)}")
    module, attribute = _HOMES[name].split(".")
    searcher: Searcher = getattr(import_module(f"tunesmith.searchers.{module}"), attribute)()
    return searcher
