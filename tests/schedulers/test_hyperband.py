from __future__ import annotations

import json
from math import nan
from pathlib import Path
from typing import Any

import pytest

from tests.schedulers.world import World, traced_rewards
from tunesmith import events as e
from tunesmith.errors import ArgumentError
from tunesmith.objective import Objective
from tunesmith.resources import Resources
from tunesmith.schedulers.hyperband import HyperBandScheduler
from tunesmith.schedulers.rules import RULES_2019, Rules
from tunesmith.trial import CheckpointRef, Failure, Status

TRACES = json.loads((Path(__file__).parent / "traces.json").read_text())
REWARD = Objective("episode_reward_mean", "max")
SCORE, LOSS = Objective("score", "max"), Objective("loss", "min")


def paper(*arguments: Any, **named: Any) -> HyperBandScheduler:
    """Brackets in the order of the paper: the first one is cut most often."""
    return HyperBandScheduler(*arguments, **{"rules": Rules(hyperband_most_trials_first=True), **named})


def fading(trial: int, t: int) -> dict[str, float]:
    """The later a trial was made, the worse it is."""
    return {"score": -trial - 1.0, "loss": trial + 1.0}


def play(scheduler: HyperBandScheduler, trials: int, slots: int, **options: Any) -> World:
    return World(scheduler, trials, slots, **{"metrics": fading, "objective": SCORE, **options})


def ends(world: World) -> list[int]:
    return [trial.iteration for trial in world.trials]


def in_words_of_2019(log: list[tuple[Any, ...]]) -> list[list[Any]]:
    """Tell decisions as Ray did: the trial that completes a bracket's round is held here until all are compared."""
    told: list[list[Any]] = []
    held: tuple[Any, ...] = (None, None)
    for trial, iteration, action in log:
        if action == "hold":
            held = (trial, iteration)
        elif iteration is not None:
            told.append([trial, iteration, action.upper()])
        else:
            told.append([*held, "STOP"] if trial == held[0] else [trial, "stopped_by_scheduler"])
    return told


@pytest.mark.parametrize(
    ("name", "max_t"), [("hyperband_max100_n20_slots8", 100), ("hyperband_max20_none_brackets", 20)]
)
def test_the_decisions_of_2019_are_reproduced_in_their_order(name: str, max_t: int) -> None:
    trace = TRACES[name]
    rewards = traced_rewards(trace["n"], trace["rewards_seed"])
    scheduler = HyperBandScheduler(max_t=max_t, rules=RULES_2019)
    world = play(scheduler, trace["n"], trace["slots"], metrics=rewards, objective=REWARD).run()
    assert in_words_of_2019(world.log) == trace["result"]["log"]
    assert [[trial.status.value, trial.iteration] for trial in world.trials] == trace["result"]["final"]
    assert scheduler.describe(world) == trace["result"]["debug"]


def test_a_run_of_twenty_trials_shows_the_brackets_of_the_tutorial() -> None:
    scheduler = HyperBandScheduler(max_t=100, rules=RULES_2019)
    world = play(scheduler, 0, 8)
    assert scheduler.describe(world) == "Using HyperBand: num_stopped=0 total_brackets=0\nRound #0:"
    for trial in range(20):
        world.suggest(trial)
    chosen = scheduler.choose(world)
    assert chosen == 0
    world.emit(e.Placed(0, 1, e.Allocation(world.request)))
    assert scheduler.describe(world).split("\n") == [
        "Using HyperBand: num_stopped=0 total_brackets=3",
        "Round #0:",
        "  Bracket(Max Size (n)=5, Milestone (r)=100, completed=0.0%): {PENDING: 4, RUNNING: 1} ",
        "  Bracket(Max Size (n)=8, Milestone (r)=33, completed=0.0%): {PENDING: 8} ",
        "  Bracket(Max Size (n)=15, Milestone (r)=11, completed=0.0%): {PENDING: 7} ",
    ]


def test_two_hundred_trials_fill_nine_brackets_in_two_rounds_of_2019() -> None:
    scheduler = HyperBandScheduler(max_t=100, rules=RULES_2019)
    lines = scheduler.describe(play(scheduler, 200, 8)).split("\n")
    assert lines[0] == "Using HyperBand: num_stopped=0 total_brackets=9"
    assert [line[:28] for line in lines if "Bracket" in line or "Round" in line] == [
        "Round #0:",
        "  Bracket(Max Size (n)=5, Mi",
        "  Bracket(Max Size (n)=8, Mi",
        "  Bracket(Max Size (n)=15, M",
        "  Bracket(Max Size (n)=34, M",
        "  Bracket(Max Size (n)=81, M",
        "Round #1:",
        "  Bracket(Max Size (n)=5, Mi",
        "  Bracket(Max Size (n)=8, Mi",
        "  Bracket(Max Size (n)=15, M",
        "  Bracket(Max Size (n)=34, M",
    ]
    assert lines[-1].endswith("{PENDING: 29} ")


def test_a_winner_that_waits_for_a_worker_is_shown_as_pending() -> None:
    scheduler = HyperBandScheduler(max_t=100, rules=RULES_2019)
    world = play(scheduler, 20, 8, metrics=traced_rewards(20, 0), objective=REWARD)
    while scheduler.num_stopped == 0:
        world.turn()
    bracket = scheduler.describe(world).split("\n")[4]
    assert (
        bracket
        == "  Bracket(Max Size (n)=5, Milestone (r)=44, completed=15.2%): {PENDING: 4, RUNNING: 1, TERMINATED: 2} "
    )


def test_a_full_bracket_of_today_halves_down_to_one() -> None:
    world = play(paper(max_t=27, reduction_factor=3), 27, 4).run()
    assert sorted(ends(world), reverse=True) == [27, *[9] * 2, *[3] * 6, *[1] * 18]
    assert ends(world)[0] == 27
    assert world.scheduler.describe(world).split("\n") == [
        "Using HyperBand: num_stopped=26 total_brackets=1",
        "Round #0:",
        "  Bracket(Max Size (n)=1, Milestone (r)=27, completed=100.0%): {TERMINATED: 27} ",
    ]


def test_a_few_trials_still_give_a_winner_that_was_trained_to_its_end() -> None:
    assert ends(play(paper(), 7, 3).run()) == [81, 3, 1, 1, 1, 1, 1]


def test_the_one_for_which_all_waited_goes_on_without_a_pause() -> None:
    world = play(paper(max_t=3), 3, 3, metrics=lambda trial, t: {"score": trial}).run()
    assert world.log == [
        (0, 1, "pause"), (1, 1, "pause"), (2, 1, "hold"), (0, None, "stop"), (1, None, "stop"), (2, 3, "stop"),
    ]  # fmt: skip


def test_decisions_are_told_in_the_values_that_were_reported() -> None:
    world = play(paper(max_t=4, reduction_factor=2), 4, 2, objective=LOSS, metrics=lambda trial, t: {
        "loss": [0.5, 0.25, 0.25, nan][trial]
    }).run()  # fmt: skip
    assert world.reasons == [
        "paused at milestone 1 with 0.5: 1 of the 4 trials of its bracket are there",
        "paused at milestone 1 with 0.25: 2 of the 4 trials of its bracket are there",
        "paused at milestone 1 with 0.25: 3 of the 4 trials of its bracket are there",
        "at milestone 1 with a value that is not finite: all of its bracket are there to be compared",
        "stopped at milestone 1: 0.5 is above the cutoff 0.25 of 4 trials, the best 2 of which go on",
        "stopped at milestone 1: a value that is not finite is above the cutoff 0.25 of 4 trials, the best 2 of which"
        " go on",
        "paused at milestone 2 with 0.25: 1 of the 2 trials of its bracket are there",
        "at milestone 2 with 0.25: all of its bracket are there to be compared",
        "stopped at milestone 2: 0.25 is level with the cutoff 0.25 of 2 trials, the best 1 of which go on",
        "training_iteration reached 4, and training ends at 4",
    ]


def test_a_bracket_that_is_not_full_waits_while_more_trials_may_come() -> None:
    world = play(paper(max_t=9), 4, 4, complete=False).run()
    assert [trial.status for trial in world.trials] == [Status.PAUSED] * 4
    assert world.reasons[-1] == (
        "paused at milestone 1 with -4: 4 of the 4 trials of its bracket are there, and more may join"
    )
    world.complete = True
    assert ends(world.run()) == [9, 1, 1, 1]
    assert all(trial.status is Status.TERMINATED for trial in world.trials)


def test_trials_that_come_after_all_join_a_bracket_of_their_own() -> None:
    world = play(paper(max_t=9), 4, 4)
    world.turn()
    world.complete = False
    world.suggest(4)
    assert "total_brackets=2" in world.scheduler.describe(world)


@pytest.mark.parametrize("rules", [{}, {"rules": RULES_2019}])
@pytest.mark.parametrize("stop_at", [1, 2, 3, 5, 9])
def test_nobody_waits_for_those_that_end_early(rules: dict[str, Any], stop_at: int) -> None:
    errors = [(trial, 1 + trial % 4) for trial in range(0, 30, 3)]
    world = play(paper(max_t=9, **rules), 30, 4, stop_at=stop_at, errors=errors).run()
    assert all(trial.status.is_final for trial in world.trials)


def test_jumps_over_milestones_count_for_each_of_them() -> None:
    world = play(paper(max_t=27), 9, 9)
    world.place()
    for trial in range(9):
        world.report(trial, skip=5 if trial == 0 else 1)
    assert [trial.iteration for trial in world.trials if not trial.status.is_final] == [5, 1, 1]
    world.run()
    assert ends(world) == [27, 3, 3, 1, 1, 1, 1, 1, 1]
    assert [entry[1] for entry in world.log if entry[0] == 0] == [5, 9, 27]


def test_what_starts_from_the_beginning_again_is_not_judged_twice() -> None:
    world = play(paper(max_t=9), 9, 3, saves=False).run()
    judged = [(trial, iteration) for trial, iteration, _ in world.log if iteration is not None]
    assert len(judged) == len(set(judged))
    assert ends(world)[0] == 9


@pytest.mark.parametrize(
    "loss",
    [e.Lost(0, 1, Failure("killed", "it is gone")), e.SessionOpened(2, 1, "host", 0.0, Resources(cpu=1))],
)
def test_a_trial_lost_on_the_way_to_its_pause_has_arrived_and_is_counted_once(loss: e.Event) -> None:
    world = play(paper(max_t=9), 3, 1, max_failures=1)
    world.place()
    report = e.Reported(0, 1, 1, {"score": 5.0}, 0.0, 1.0, 1.0, 1.0, 1)
    world.emit(report)
    world.emit(e.Judged(0, "pause", world.scheduler.judge(report, world).reason, 1))
    world.emit(loss)
    world.running.clear()
    world.paused = {0: None}
    assert world.trials[0].status is Status.PAUSED
    assert world.scheduler.choose(world) == 1
    assert ends(world.run()) == [9, 1, 1]
    assert "stopped at milestone 1: -3 is below the cutoff 5 of 3 trials, the best 1 of which go on" in world.reasons


def test_trials_paused_by_others_go_on() -> None:
    world = play(paper(max_t=9), 5, 1)
    world.place()
    world.emit(e.Judged(0, "pause", "the run was interrupted"))
    world.emit(e.Paused(0, 1, CheckpointRef("folder0/0", 0)))
    assert world.scheduler.choose(world) == 0
    world.run()
    assert all(trial.status is Status.TERMINATED for trial in world.trials)


def test_after_every_worker_has_died_the_run_goes_on() -> None:
    world = play(paper(max_t=9), 9, 4, max_failures=0)
    world.turn()
    world.place()
    world.emit(e.SessionOpened(2, 1, "host", 0.0, world.total))
    world.running.clear()
    world.pending = [trial.number for trial in world.trials if trial.status is Status.PENDING]
    assert world.scheduler.choose(world) == 4
    assert sorted(ends(world.run())) == [1] * 6 + [3] * 2 + [9]


def test_those_that_reach_max_t_may_go_on_to_their_own_end() -> None:
    for rules in ({}, {"rules": RULES_2019}):
        world = play(paper(max_t=9, stop_last_trials=False, **rules), 9, 9, stop_at=20).run()
        assert max(ends(world)) == 20


def test_any_number_that_grows_is_a_measure_of_progress() -> None:
    world = play(paper("seconds", max_t=9), 9, 9, metrics=lambda trial, t: {"score": trial, "seconds": t / 4}).run()
    assert sorted(ends(world)) == [4] * 6 + [12] * 2 + [36]


@pytest.mark.parametrize(("seconds", "complaint"), [(None, "is not in the report"), ("7", "must be a number")])
def test_a_report_without_a_time_fails_its_trial(seconds: Any, complaint: str) -> None:
    metrics = {"score": 1.0} | ({} if seconds is None else {"seconds": seconds})
    world = play(paper("seconds"), 2, 2, metrics=lambda trial, t: metrics).run()
    assert complaint in world.reasons[0]
    assert [trial.status for trial in world.trials] == [Status.ERROR] * 2


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ({"max_t": 0}, "max_t must be a number from 1, got 0"),
        ({"max_t": "9"}, "max_t must be a number from 1, got '9'"),
        ({"max_t": nan}, "max_t must be a number from 1, got nan"),
        ({"reduction_factor": 1}, "reduction_factor must be a number above 1, got 1"),
        ({"reduction_factor": True}, "reduction_factor must be a number above 1, got True"),
        ({"time_attr": 3}, "time_attr must be the name of a reported number"),
        ({"metric": "loss"}, "metric= without mode="),
    ],
)
def test_wrong_arguments_are_refused(arguments: dict[str, Any], complaint: str) -> None:
    with pytest.raises(ArgumentError, match=complaint.replace("'", ".")):
        HyperBandScheduler(**arguments)


def test_the_trials_that_are_never_cut_come_first() -> None:
    world = play(HyperBandScheduler(max_t=9), 6, 6)
    assert [plan.stages[0].size for plan in world.scheduler.plans if plan] == [3, 5, 9]  # type: ignore[attr-defined]
    assert ends(world.run())[:3] == [9, 9, 9]
