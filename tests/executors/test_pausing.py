"""What every executor keeps to when trials are paused, parked, saved on demand or given another state."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

import pytest

import tunesmith as tune
from tests.executors.talk import Steps, Talk, two_reports
from tunesmith.commands import Continue, Pause, Release, Stop
from tunesmith.events import Completed, Lost, Paused, Released, Reported, Saved, Started, Stopped
from tunesmith.executors.slots import Parking, Slot


def counting(config: dict[str, Any]) -> None:
    """Report how many times this very process has reported."""
    for number in range(1, 10):
        tune.report(loss=float(number), pid=os.getpid())


class Malleable(Steps):
    """Takes up another configuration in place and says how often it was set up."""

    def setup(self, config: dict[str, Any]) -> None:
        super().setup(config)
        self.made = 1
        self.given = 0

    def step(self) -> dict[str, Any]:
        return {**super().step(), "made": self.made, "given": self.given, "pid": os.getpid()}

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        self.given += 1
        return True


def test_a_parked_function_goes_on_in_memory_as_a_new_incarnation(parking: Talk) -> None:
    parking.open(counting).start(0)
    assert parking.wait(Started).incarnation == 1
    first = parking.wait(Reported)
    parking.tell(Pause(0, 1, 30.0, "park"))
    assert parking.wait(Paused).parked
    assert parking.executor.poll(0) == []
    parking.start(0, incarnation=2, parked=True, iteration=1)
    assert parking.wait(Started).incarnation == 2
    second = parking.wait(Reported)
    assert (second.incarnation, second.iteration, second.metrics["loss"]) == (2, 2, 2.0)
    assert second.metrics["pid"] == first.metrics["pid"]
    parking.tell(Stop(0, 2))
    assert parking.wait(Stopped).incarnation == 2


def test_others_run_while_a_trial_is_parked(parking: Talk) -> None:
    parking.open(two_reports).start(0, {"x": 1.0})
    parking.wait(Reported)
    parking.tell(Pause(0, 1, 30.0, "park"))
    parking.wait(Paused)
    parking.start(1, {"x": 2.0})
    assert type(parking.end(1)) is Completed
    parking.start(0, {"x": 1.0}, incarnation=2, parked=True, iteration=1)
    assert parking.wait(Reported).metrics == {"loss": 0.25}


def test_a_parked_class_is_saved_when_it_is_released(parking: Talk) -> None:
    parking.open(Steps).start(0, {"start": 4})
    parking.wait(Reported)
    parking.tell(Pause(0, 1, 30.0, "park"))
    assert parking.wait(Paused).checkpoint is None
    parking.tell(Release(0, 1))
    checkpoint = parking.wait(Released).checkpoint
    assert checkpoint.iteration == 1
    parking.start(0, {"start": 0}, incarnation=2, checkpoint=checkpoint, iteration=1)
    assert parking.wait(Reported).metrics["loss"] == 6.0


def test_a_parked_function_without_checkpoints_has_nothing_to_save(parking: Talk) -> None:
    parking.open(two_reports).start(0)
    parking.wait(Reported)
    parking.tell(Pause(0, 1, 30.0, "park"))
    parking.wait(Paused)
    parking.tell(Release(0, 1), Release(0, 1))
    assert parking.wait(Released).checkpoint is None


def test_a_parked_trial_can_be_stopped_and_started_anew(parking: Talk) -> None:
    parking.open(two_reports).start(0)
    parking.wait(Reported)
    parking.tell(Pause(0, 1, 30.0, "park"))
    parking.wait(Paused)
    parking.tell(Stop(0, 1))
    parking.wait(Stopped)
    parking.start(0, incarnation=2, parked=True, iteration=1)
    lost = parking.wait(Lost)
    assert (lost.incarnation, lost.failure.kind) == (2, "parked")


def test_a_class_saves_when_it_is_told_to_and_goes_on(talk: Talk) -> None:
    talk.open(Steps).start(0)
    talk.wait(Reported)
    talk.tell(Continue(0, 1, save=True))
    saved = talk.wait(Saved)
    assert saved.checkpoint.iteration == 1
    assert Path(talk.path, saved.checkpoint.path, "total").read_text() == "1"
    assert talk.wait(Reported).metrics["loss"] == 2.0
    talk.tell(Continue(0, 1))
    assert talk.wait(Reported).iteration == 3


def test_a_function_that_is_told_to_save_just_goes_on(talk: Talk) -> None:
    talk.open(two_reports).start(0)
    talk.wait(Reported)
    talk.tell(Continue(0, 1, save=True))
    assert talk.wait(Reported).iteration == 2


def test_a_state_that_is_given_up_is_not_saved(talk: Talk) -> None:
    talk.open(Steps).start(0)
    talk.wait(Reported)
    talk.tell(Pause(0, 1, 30.0, "drop"))
    paused = talk.wait(Paused)
    assert (paused.checkpoint, paused.parked) == (None, False)


def test_a_clone_takes_its_new_configuration_up_in_place_where_the_class_can(talk: Talk) -> None:
    talk.open(Malleable).start(0, {"start": 10})
    talk.start(1, {"start": 20})
    donor, clone = talk.wait(Reported, 0), talk.wait(Reported, 1) if talk.total.cpu > 1 else None
    talk.tell(Continue(0, 1, save=True))
    checkpoint = talk.wait(Saved).checkpoint
    talk.wait(Reported, 0)
    if clone is None:  # one at a time: let the donor leave
        talk.tell(Stop(0, 1))
        talk.wait(Stopped, 0)
        clone = talk.wait(Reported, 1)
    talk.tell(Pause(1, 1, 30.0, "drop"))
    talk.wait(Paused, 1)
    talk.start(1, {"start": 30}, incarnation=2, checkpoint=checkpoint, iteration=1)
    again = talk.wait(Reported, 1)
    assert (again.incarnation, again.iteration, again.metrics["loss"]) == (2, 2, 12.0)
    assert (again.metrics["made"], again.metrics["pid"]) == (1, clone.metrics["pid"])
    assert again.metrics["given"] > clone.metrics["given"]
    assert donor.metrics["loss"] == 11.0


def test_no_more_are_parked_than_the_user_allows(tmp_path: Path) -> None:
    executor = tune.LocalExecutor(cpus=2, park=1)
    talk = Talk(executor, False, tmp_path).open(Steps)
    for trial in (0, 1):
        talk.start(trial)
        talk.wait(Reported, trial)
        talk.tell(Pause(trial, 1, 30.0, "park"))
    assert talk.wait(Paused, 0).parked
    second = talk.wait(Paused, 1)
    assert (second.parked, second.checkpoint.iteration) == (False, 1)
    executor.close()


def test_a_parked_worker_that_dies_is_told_of_and_its_trial_is_not_to_blame(tmp_path: Path) -> None:
    executor = tune.LocalExecutor(cpus=2)
    talk = Talk(executor, False, tmp_path).open(counting)
    talk.start(0)
    pid = talk.wait(Reported).metrics["pid"]
    talk.tell(Pause(0, 1, 30.0, "park"))
    talk.wait(Paused)
    os.kill(pid, signal.SIGKILL)
    lost = talk.wait(Lost)
    assert (lost.incarnation, lost.failure.kind) == (1, "parked")
    executor.close()


def test_no_process_is_left_of_trials_that_are_parked_or_kept(tmp_path: Path) -> None:
    executor = tune.LocalExecutor(cpus=4)
    talk = Talk(executor, False, tmp_path).open(Malleable)
    pids = []
    for trial, keep in enumerate(("park", "drop")):
        talk.start(trial)
        pids.append(talk.wait(Reported, trial).metrics["pid"])
        talk.tell(Pause(trial, 1, 30.0, keep))
        talk.wait(Paused, trial)
    executor.close()
    for pid in pids:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)


def test_nothing_is_parked_when_memory_is_short_and_the_oldest_has_to_leave() -> None:
    left = [0.5]
    parking = Parking(9, lambda: left[0])
    slots = [Slot(i, -1) for i in range(3)]
    for trial, slot in enumerate(slots):
        slot.trial, slot.incarnation, slot.owed = trial, 1, 1
    assert parking.has_room(slots[0])
    parking.put(slots[0])
    parking.put(slots[1])
    assert parking.surplus() is None
    left[0] = 0.01
    assert not parking.has_room(slots[2])
    assert parking.surplus() is slots[0]
    assert parking.leave(slots[0])
    assert parking.surplus() is slots[1]
    assert not parking.leave(slots[0])
    assert parking.wake(0) is None
    slots[2].visible = "0"
    left[0] = 0.5
    assert not parking.has_room(slots[2])


def test_a_start_of_what_was_never_parked_is_lost(talk: Talk) -> None:
    talk.open(two_reports).start(3, incarnation=2, parked=True)
    assert talk.wait(Lost, 3).failure.kind == "parked"
