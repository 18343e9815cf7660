"""Who works where on a Ray cluster, with a crew that has no Ray."""

from __future__ import annotations

import time

import pytest

from tunesmith.commands import Start
from tunesmith.executors.ray_crew import RayWorker, Reservation
from tunesmith.executors.ray_demand import Demand
from tunesmith.executors.ray_link import Hello
from tunesmith.executors.ray_queue import Waiting
from tunesmith.executors.ray_staff import Staff
from tunesmith.resources import Allocation, Resources
from tunesmith.worker import wire

ONE, TWO = Demand([Resources(1)]), Demand([Resources(2)])
WITH_GPU = Demand([Resources(1, 1)])


class Crew:
    """Hires at once, and writes down what it does."""

    def __init__(self) -> None:
        self.reservations: list[Reservation] = []
        self.workers: dict[int, RayWorker] = {}
        self.deeds: list[str] = []

    def reserve(self, demand: Demand) -> Reservation:
        made = Reservation(demand, None)
        self.reservations.append(made)
        self.deeds.append("reserve")
        self.hire(made)
        return made

    def hire(self, reservation: Reservation) -> RayWorker:
        worker = RayWorker(len(self.workers), reservation, None)
        self.workers[worker.index] = worker
        reservation.workers.append(worker)
        self.deeds.append(f"hire {worker.index}")
        return worker

    def dismiss(self, worker: RayWorker) -> None:
        worker.doomed = True
        self.deeds.append(f"dismiss {worker.index}")

    def give_back(self, reservation: Reservation) -> None:
        reservation.is_gone = True
        self.reservations.remove(reservation)
        self.deeds.append("give back")

    def forget(self, worker: RayWorker) -> None:
        worker.reservation.workers.remove(worker)


class Office:
    """A staff, its crew, and what was sent to the workers."""

    def __init__(self, **how: bool) -> None:
        self.crew, self.sent = Crew(), []  # type: ignore[var-annotated]
        self.staff = Staff(self.crew, lambda number, data: self.sent.append((number, data)), **how)  # type: ignore[arg-type]

    def wait(self, trial: int, demand: Demand) -> Waiting:
        start = Start(trial, 1, f"id{trial}", f"t{trial}", "folder", {}, Allocation(Resources()))
        order = wire.encode(wire.Assignment(trial, 1, "", "", "folder", b"", "", 1.0, 0.0, {}, None, 0, 0.0))
        return Waiting(start, order, demand, time.monotonic())

    def add(self, trial: int, demand: Demand = ONE) -> None:
        self.staff.waiting.add(self.wait(trial, demand))
        self.staff.match(demand)

    def ready(self, number: int, visible: str = "") -> RayWorker:
        worker = self.crew.workers[number]
        worker.hello = Hello(number, 1, "h", "10.0.0.1", "n", visible)
        self.staff.is_free(worker)
        return worker

    def end(self, trial: int, *, gone: bool = False) -> RayWorker:
        """End a trial as a worker that leaves does."""
        worker: RayWorker = self.staff.running.pop(trial)
        self.crew.dismiss(worker)
        if gone:
            self.staff.strike(worker)
        self.staff.vacate(worker.reservation)
        return worker

    @property
    def news(self) -> list[str]:
        found, self.crew.deeds = self.crew.deeds, []
        return found


@pytest.fixture
def fresh() -> Office:
    return Office(reuse=False, start_ahead=True)


@pytest.fixture
def kept() -> Office:
    return Office(reuse=True, start_ahead=True)


def test_a_place_is_reserved_for_each_trial_that_waits_and_no_more(kept: Office) -> None:
    kept.add(0)
    kept.add(1)
    assert kept.news == ["reserve", "hire 0", "reserve", "hire 1"]
    kept.staff.match(ONE)
    assert kept.news == []
    assert kept.sent == []
    kept.ready(1)
    kept.ready(0)
    assert [number for number, _ in kept.sent] == [1, 0]  # who has waited longest, by whoever comes first
    assert sorted(kept.staff.running) == [0, 1]


def test_a_kept_worker_takes_the_next_trial(kept: Office) -> None:
    kept.add(0)
    worker = kept.ready(0)
    kept.news  # noqa: B018 - what was done so far
    del kept.staff.running[0]
    worker.forget_trial()
    worker.reservation.busy = False
    kept.staff.is_free(worker)
    kept.add(1)
    assert kept.news == []
    assert kept.staff.running == {1: worker}


def test_the_next_worker_of_a_place_is_started_while_its_trial_runs(fresh: Office) -> None:
    fresh.add(0)
    fresh.ready(0)
    assert fresh.news == ["reserve", "hire 0", "hire 1"]
    fresh.ready(1)
    fresh.add(1)
    assert fresh.news == ["reserve", "hire 2"]  # the first place is taken, though it has a worker more
    fresh.end(0)
    assert fresh.staff.running[1].index == 1
    assert fresh.news == ["dismiss 0", "hire 3"]


def test_a_place_whose_next_worker_is_not_there_yet_is_waited_for(fresh: Office) -> None:
    fresh.add(0)
    fresh.ready(0)
    fresh.end(0)
    fresh.news  # noqa: B018 - what was done so far
    fresh.add(1)
    assert fresh.news == []
    fresh.ready(1)
    assert fresh.staff.running[1].index == 1


def test_what_only_a_workers_end_sets_free_has_no_next_worker_before(fresh: Office) -> None:
    fresh.add(0, WITH_GPU)
    fresh.ready(0, visible="3")
    assert wire.decode_assignment(fresh.sent[0][1][5:]).visible == "3"
    assert fresh.news == ["reserve", "hire 0"]
    fresh.add(1, WITH_GPU)
    fresh.end(0, gone=True)
    # The place that is free now is not let wait for the one that is to come: that may wait for what this one holds.
    assert fresh.news == ["reserve", "hire 1", "dismiss 0", "hire 2"]


def test_places_of_another_size_are_given_back_unless_somebody_needs_them(kept: Office) -> None:
    kept.add(0)
    kept.ready(0)
    worker = kept.staff.running.pop(0)
    worker.reservation.busy = False
    kept.staff.is_free(worker)
    kept.news  # noqa: B018 - what was done so far
    kept.add(1, TWO)
    assert kept.news == ["give back", "reserve", "hire 1"]
    kept.add(2, ONE)  # somebody waits for the larger place
    assert kept.news == ["reserve", "hire 2"]


def test_a_place_that_becomes_free_is_given_back_to_those_who_wait_for_another(kept: Office) -> None:
    kept.add(0)
    worker = kept.ready(0)
    kept.add(1, TWO)
    kept.news  # noqa: B018 - what was done so far
    del kept.staff.running[0]
    worker.reservation.busy = False
    kept.staff.is_free(worker)
    assert kept.news == ["give back"]
    kept.add(2)
    assert kept.news == ["reserve", "hire 2"]


def test_a_worker_that_stays_for_its_trial_is_given_back_to_it(fresh: Office) -> None:
    fresh.add(0)
    worker = fresh.ready(0)
    del fresh.staff.running[0]
    worker.forget_trial()
    fresh.staff.stay(worker, 0)
    assert not fresh.staff.return_to(fresh.wait(1, ONE))
    assert fresh.staff.return_to(fresh.wait(0, ONE))
    assert fresh.staff.running == {0: worker}


@pytest.mark.parametrize("reuse", [True, False])
def test_a_worker_that_stays_makes_room_for_a_trial_that_has_its_share_now(reuse: bool) -> None:
    office = Office(reuse=reuse, start_ahead=False)
    office.add(0)
    worker = office.ready(0)
    del office.staff.running[0]
    worker.forget_trial()
    office.staff.stay(worker, 0)
    office.news  # noqa: B018 - what was done so far
    office.add(1)
    if reuse:
        assert office.news == []
        assert office.staff.running == {1: worker}
    else:
        assert office.news == ["dismiss 0", "hire 1"]  # in the same place: there may be no other
    assert not office.staff.return_to(office.wait(0, ONE))


def test_a_worker_does_not_stay_where_others_wait(fresh: Office) -> None:
    fresh.add(0)
    worker = fresh.ready(0)
    fresh.add(1)
    fresh.news  # noqa: B018 - what was done so far
    del fresh.staff.running[0]
    worker.forget_trial()
    fresh.staff.stay(worker, 0)
    assert fresh.news == ["dismiss 0"]
    assert not fresh.staff.return_to(fresh.wait(0, ONE))
    fresh.ready(1)  # started ahead in that place
    assert fresh.staff.running[1].index == 1


def test_a_worker_that_stayed_leaves_its_place_to_the_one_that_is_ready_there(fresh: Office) -> None:
    fresh.add(0)
    worker = fresh.ready(0)
    fresh.ready(1)  # started ahead
    del fresh.staff.running[0]
    worker.forget_trial()
    fresh.staff.stay(worker, 0)
    fresh.news  # noqa: B018 - what was done so far
    fresh.add(1)
    assert fresh.staff.running[1].index == 1
    assert fresh.news == ["dismiss 0", "hire 2"]


def test_a_worker_that_is_gone_gets_no_trial(kept: Office) -> None:
    kept.add(0)
    worker = kept.ready(0)
    del kept.staff.running[0]
    worker.reservation.busy = False
    kept.staff.is_free(worker)
    kept.staff.strike(worker)
    kept.add(1)
    assert kept.staff.running == {}
    assert kept.news[-1] == "hire 1"


def test_nobody_is_hired_when_the_run_is_over(kept: Office) -> None:
    kept.staff.is_closing = True
    kept.add(0)
    assert kept.news == []
