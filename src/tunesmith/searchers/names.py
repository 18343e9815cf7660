"""Where the searchers are, and their short names, as ``tunesmith.run(search_alg="gp")`` has them."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from tunesmith.errors import ArgumentError, nearest
from tunesmith.searchers.protocol import Searcher

# The module of each; imported on use, since most of them compute with packages that are extras.
MODULES = {
    "AutoSearch": "auto",
    "BOHBSearch": "bohb",
    "CMAESSearch": "cmaes",
    "ConcurrencyLimiter": "wrapping",
    "DefineByRunSearch": "define_by_run",
    "GPSearch": "gp",
    "HyperTuneSearch": "hyper_tune",
    "NSGA2Search": "nsga2",
    "PriorBandSearch": "priorband",
    "Repeater": "wrapping",
    "SobolSearch": "sobol",
    "TPESearch": "tpe",
    "VariantSearcher": "variants",
}
_BY_NAME = {
    "random": "VariantSearcher",
    "grid": "VariantSearcher",
    "sobol": "SobolSearch",
    "auto": "AutoSearch",
    "gp": "GPSearch",
    "tpe": "TPESearch",
    "cmaes": "CMAESSearch",
    "bohb": "BOHBSearch",
    "hyper-tune": "HyperTuneSearch",
    "nsga2": "NSGA2Search",
}
NAMES = tuple(_BY_NAME)


def searcher_class(name: str) -> Any:
    """Return the searcher of this name, a class.

    Raises:
        AttributeError: there is none.
        MissingPackageError: it needs a package that is not installed.

    >>> searcher_class("VariantSearcher").__name__
    'VariantSearcher'
    """
    if name not in MODULES:
        raise AttributeError(f"tunesmith.searchers has no {name!r}.{nearest(name, MODULES)}")
    return getattr(import_module(f"tunesmith.searchers.{MODULES[name]}"), name)


def by_name(name: str) -> Searcher:
    """Return a searcher with its defaults, by its short name.

    Raises:
        ArgumentError: there is none of this name.
        MissingPackageError: it needs a package that is not installed.

    >>> type(by_name("random")).__name__
    'VariantSearcher'
    """
    if name not in _BY_NAME:
        raise ArgumentError(f"There is no searcher {name!r}; there are: {', '.join(NAMES)}.{nearest(name, NAMES)}")
    searcher: Searcher = searcher_class(_BY_NAME[name])()
    return searcher
