"""What a searcher knows of trials that were not all trained as long as each other."""

from pathlib import Path
from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

import tunesmith as tune
from tunesmith.objective import Constraint, Objective
from tunesmith.searchers.encoding import Encoding
from tunesmith.searchers.known import Known
from tunesmith.searchers.protocol import Warned
from tunesmith.searchers.split import split
from tunesmith.space import Space

ENCODING = Encoding(Space({"x": tune.uniform(0, 1)}))


def known(count: int = 0, *, by_progress: bool = True) -> Known:
    found = Known(ENCODING, Objective("loss", "min"), None, 0, by_progress=by_progress)
    for number in range(count):
        found.begin(number, np.array([number / 10]), None)
    return found


def result(step: int, loss: float | None = None) -> dict[str, Any]:
    return {"loss": 1 / step if loss is None else loss, "training_iteration": step, "time_total_s": float(step)}


def test_a_trial_that_was_ended_early_was_tried_but_its_result_is_not_taken() -> None:
    found = known(3)
    found.end(0, result(8), failed=False)
    found.end(1, result(4), failed=False, curtailed=True)
    found.end(2, result(3), failed=False, curtailed=True)
    assert found.numbers == [0, 1]
    assert found.scores[:, 0].tolist() == [-1 / 8, -1 / 4]
    assert found.aside.tolist() == [[0.2]]
    assert not len(found.pending)
    assert found.has(2)
    assert found.row_of(2).tolist() == [0.2]


def test_a_trial_that_ended_by_itself_or_failed_counts_however_far_it_came() -> None:
    found = known(4)
    found.end(0, result(100), failed=False)
    found.end(1, result(2), failed=False)
    found.end(2, result(2), failed=True, curtailed=True)
    found.end(3, None, failed=False, curtailed=True)
    assert found.numbers == [0, 1, 2, 3]
    assert found.scores[:2, 0].tolist() == [-1 / 100, -1 / 2]
    assert np.isnan(found.scores[2:, 0]).all()


def test_a_trial_under_way_counts_from_its_reports_when_it_has_come_far_enough() -> None:
    found = known(2)
    found.report(0, result(4))
    found.report(1, result(1))
    assert found.numbers == [0]
    assert found.aside.tolist() == [[0.1]]
    assert not len(found.pending)
    found.report(1, result(2))
    assert found.numbers == [0, 1]
    found.end(1, result(3), failed=False)
    assert found.scores[:, 0].tolist() == [-1 / 4, -1 / 3]
    assert not len(found.aside)


def test_what_was_far_enough_is_not_once_another_trial_has_come_farther() -> None:
    found = known(2)
    found.report(0, result(2))
    found.report(1, result(2))
    version = found.version
    found.report(1, result(8))
    assert found.numbers == [1]
    assert found.aside.tolist() == [[0.0]]
    assert found.version > version
    found.report(0, result(5))
    assert found.numbers == [1, 0]


def test_a_report_soon_after_another_one_is_no_news() -> None:
    found = known(1)
    found.report(0, result(100, loss=3.0))
    found.report(0, result(124, loss=2.0))
    assert found.scores.tolist() == [[-3.0]]
    found.report(0, result(125, loss=1.0))
    assert found.scores.tolist() == [[-1.0]]


def test_reports_of_what_has_not_begun_and_corrections_of_what_has_reported() -> None:
    found = known(1)
    found.report(5, result(1))
    found.end(5, result(1), failed=False)
    assert found.count == 0
    found.report(0, result(1))
    found.correct(0, np.array([0.7]))
    assert found.rows.tolist() == [[0.7]]


def test_without_progress_only_ends_count() -> None:
    found = known(2, by_progress=False)
    found.report(0, result(8))
    assert len(found.pending) == 2
    found.end(0, result(8), failed=False)
    found.end(1, result(1), failed=False, curtailed=True)
    assert found.numbers == [0, 1]
    assert not len(found.aside)


def test_an_older_experiment_is_kept_when_what_is_known_is_made_anew() -> None:
    found = known(2)
    found.observe_score(-1, np.array([0.5]), -0.25)
    found.report(0, result(1))
    found.report(1, result(10))
    assert found.numbers == [-1, 1]
    assert found.rows.tolist() == [[0.5], [0.1]]


def test_a_trial_of_which_a_constraint_is_unknown_is_not_known_to_keep_it() -> None:
    objective = Objective("loss", "min", constraints=(Constraint("mb", "<=", 10),))
    found = Known(ENCODING, objective, None, 0)
    for number, metrics in enumerate([{"mb": 5}, {"mb": 50}, {"mb": float("nan")}, {}]):
        found.begin(number, np.array([number / 10]), None)
        found.end(number, {"loss": 1.0 - number, **metrics}, failed=False)
    found.observe_score(-1, np.array([0.9]), -5.0)
    assert found.feasible.tolist() == [True, False, False, False, True]
    best, _ = split(found, 4)
    assert best.tolist() == [0, 4, 1, 2]
    losses = found.losses(np.arange(5))
    assert losses[0] < losses[4] < losses[1] < losses[2]


step = st.tuples(st.integers(0, 5), st.integers(1, 40), st.sampled_from(["report", "end", "stop", "fail"]))


@settings(deadline=None, max_examples=60)
@given(st.lists(step, max_size=25))
def test_what_is_known_does_not_depend_on_the_way_there(steps: list[tuple[int, int, str]]) -> None:
    found = known(6)
    for number, at, what in steps:
        if what == "report":
            found.report(number, result(at))
        else:
            found.end(number, result(at), failed=what == "fail", curtailed=what == "stop")
    before = {
        n: (s, v) for n, s, v in zip(found.numbers, found.scores[:, 0].tolist(), found.steps.tolist(), strict=True)
    }
    aside = sorted(found.aside[:, 0].tolist())
    found._rebuild()
    after = {
        n: (s, v) for n, s, v in zip(found.numbers, found.scores[:, 0].tolist(), found.steps.tolist(), strict=True)
    }
    assert repr(sorted(before.items())) == repr(sorted(after.items()))  # as text, since NaN is not equal to itself
    assert sorted(found.aside[:, 0].tolist()) == aside
    assert len(found.pending) + len(found.aside) + found.count == 6


class Spy(tune.TPESearch):
    """Notes which trials are said to have been ended early."""

    def __init__(self) -> None:
        super().__init__()
        self.curtailed: set[int] = set()

    def curtail(self, trial: int) -> None:
        self.curtailed.add(trial)
        super().curtail(trial)


def test_a_searcher_is_told_which_trials_the_scheduler_has_ended(tmp_path: Path) -> None:
    search = Spy()
    results = tune.run(
        lambda config, step: ({"loss": config["x"] + 1 / step}, 1.0) if step <= 8 else None,
        {"x": tune.uniform(0, 1)},
        metric="loss", mode="min", num_samples=20, search_alg=tune.ConcurrencyLimiter(search, 4), seed=3,
        scheduler=tune.ASHAScheduler(max_t=8, reduction_factor=2),
        executor=tune.SimulatedExecutor(workers=2), storage_path=tmp_path, verbose=0,
    )  # fmt: skip
    assert isinstance(search, Warned)
    ended = {trial.number for trial in results.trials if trial.last_result["training_iteration"] < 8}
    assert search.curtailed == ended
    assert 0 < len(ended) < 20
