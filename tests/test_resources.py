"""Resources are booked exactly and deterministically."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tunesmith.errors import ArgumentError, ResourceError
from tunesmith.resources import Allocation, Pool, Resources


def test_the_default_request_is_one_cpu() -> None:
    assert Resources.parse(None) == Resources(cpu=1, gpu=0)
    assert Resources.parse({"gpu": 1}) == Resources(cpu=1, gpu=1)


@pytest.mark.parametrize(
    ("request_", "words"),
    [
        ({"cpu": -1}, "zero or more"),
        ({"cpu": "two"}, "must be a number"),
        ({"gpu": 1.5}, "fraction of one GPU"),
        ({"cpu": float("nan")}, "zero or more"),
        ({"cpu": True}, "must be a number"),
        (["cpu"], "must be a mapping"),
        ([{"cpu": 1}, {"cpu": 1}], r"RayExecutor\(bundles="),
    ],
)
def test_a_bad_request_is_refused(request_: Any, words: str) -> None:
    with pytest.raises(ArgumentError, match=words):
        Resources.parse(request_)


def test_halves_share_a_gpu_and_whole_requests_get_whole_ones() -> None:
    pool = Pool(Resources(cpu=8, gpu=2))
    half = Resources(cpu=1, gpu=0.5)
    assert pool.acquire(half) == Allocation(half, (0,))
    assert pool.acquire(half) == Allocation(half, (0,))
    whole = pool.acquire(Resources(cpu=1, gpu=1))
    assert whole is not None
    assert whole.gpus == (1,)
    assert pool.acquire(half) is None


def test_tenths_add_up_to_a_whole() -> None:
    pool = Pool(Resources(cpu=1, gpu=1))
    tenth = Resources(cpu=0.1, gpu=0.1)
    assert pool.room(tenth) == 10
    grants = [pool.acquire(tenth) for _ in range(11)]
    assert grants[-1] is None
    assert None not in grants[:-1]


def test_what_can_never_fit_is_said_with_what_there_is() -> None:
    pool = Pool(Resources(cpu=2, named={"licence": 1}))
    with pytest.raises(ResourceError, match=r"asks for 1 CPUs, 0 GPUs, 2 licence, but there is only 2 CPUs"):
        pool.check(Resources(named={"licence": 2}))
    with pytest.raises(ResourceError, match="4 CPUs"):
        pool.check(Resources(cpu=4))


@given(st.lists(st.tuples(st.sampled_from([0.25, 0.5, 1.0, 2.0]), st.sampled_from([0, 0.3, 0.5, 1, 2])), max_size=30))
def test_all_that_was_granted_comes_back(requests: list[tuple[float, float]]) -> None:
    pool = Pool(Resources(cpu=4, gpu=3))
    grants = []
    for cpu, gpu in requests:
        wanted = Resources(cpu=cpu, gpu=gpu)
        room = pool.room(wanted)
        grant = pool.acquire(wanted)
        assert (grant is not None) == (room > 0)
        if grant:
            grants.append(grant)
    for grant in grants:
        pool.release(grant)
    assert pool.used().cpu == pytest.approx(0)
    assert pool.used().gpu == pytest.approx(0)
