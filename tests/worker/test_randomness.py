"""The generators that user code shares with the rest of its process."""

from __future__ import annotations

import random
import sys

import numpy as np
import pytest

from tunesmith.worker.randomness import load_generators, put_back, seed_generators, snapshot


@pytest.fixture(autouse=True)
def _leave_no_trace() -> None:
    load_generators()
    states = snapshot()
    yield
    put_back(states)


def drawn(*place: int) -> tuple[float, float]:
    seed_generators(*place)
    return random.random(), float(np.random.rand())


def test_the_same_place_gives_the_same_numbers_and_any_other_gives_others() -> None:
    places = [(7, 0, 0, 0), (8, 0, 0, 0), (7, 1, 0, 0), (7, 0, 1, 0), (7, 0, 0, 1)]
    assert drawn(7, 0, 0, 0) == drawn(7, 0, 0, 0)
    assert len({drawn(*place)[0] for place in places}) == len({drawn(*place)[1] for place in places}) == 5


def test_generators_go_back_to_where_they_stood() -> None:
    seed_generators(1, 2, 3, 0)
    states = snapshot()
    first = random.random(), float(np.random.rand()), np.random.randn()
    seed_generators(9, 9, 9, 9)
    put_back(states)
    assert (random.random(), float(np.random.rand()), np.random.randn()) == first


def test_what_is_not_loaded_stays_so(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.split(".")[0] in ("numpy", "torch")]:
        monkeypatch.delitem(sys.modules, name)
    load_generators()
    seed_generators(1, 2, 3, 0)
    put_back(snapshot())
    assert not {"numpy", "numpy.random", "torch"} & set(sys.modules)


@pytest.mark.heavy
def test_pytorch_is_seeded_when_it_is_loaded() -> None:
    import torch

    numbers = []
    for trial in (3, 3, 4):
        seed_generators(7, trial, 0, 0)
        numbers.append(float(torch.rand(1)))
    states = snapshot()
    following = float(torch.rand(1))
    put_back(states)
    assert numbers[0] == numbers[1] != numbers[2]
    assert float(torch.rand(1)) == following
