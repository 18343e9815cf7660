from __future__ import annotations

from random import Random

from hypothesis import given, settings
from hypothesis import strategies as st

from tunesmith import events as e
from tunesmith.core.experiment import Experiment
from tunesmith.core.retention import Keep, Retention
from tunesmith.objective import Objective
from tunesmith.resources import Allocation, Resources
from tunesmith.trial import CheckpointRef, Status

LOSS = Objective("loss", "min")


def ref(trial: int, iteration: int, size: int = 10) -> CheckpointRef:
    return CheckpointRef(f"folder{trial}/checkpoint_{iteration}", iteration, size=size)


class Ledger:
    """An experiment and its retention, side by side, as the controller has them. All trials are running at first."""

    def __init__(self, keep: Keep | None = None, trials: int = 3) -> None:
        self.log: list[e.Event] = []
        self.experiment = Experiment()
        self.retention = Retention(self.experiment.trials, keep)
        for trial in range(trials):
            self.apply(e.Suggested(trial, f"id{trial}", f"name{trial}", f"folder{trial}", {}))
            self.place(trial)

    def apply(self, event: e.Event, model: Model | None = None) -> list[CheckpointRef]:
        """Fold an event and return what is discarded after it, which is to be what a model says."""
        self.fold(event)
        discarded = self.retention.review()
        if model is not None:
            assert {each.checkpoint.path for each in discarded} == model.review()
        for each in discarded:
            self.fold(each)
        return [each.checkpoint for each in discarded]

    def fold(self, event: e.Event) -> None:
        self.log.append(event)
        self.experiment.apply(event)
        self.retention.apply(event)

    def place(self, trial: int) -> None:
        record = self.experiment.trials[trial]
        number = record.incarnation + 1
        self.apply(e.Placed(trial, number, Allocation(Resources()), record.checkpoint))
        self.apply(e.Started(trial, number, 1, "host", "ip"))

    def report(self, trial: int, iteration: int, loss: float = 0.0, size: int = 10) -> list[CheckpointRef]:
        checkpoint, number = ref(trial, iteration, size), self.experiment.trials[trial].incarnation
        return self.apply(e.Reported(trial, number, iteration, {"loss": loss}, 0.0, 1.0, 1.0, 1.0, 1, checkpoint))

    def save(self, trial: int, iteration: int) -> list[CheckpointRef]:
        return self.apply(e.Saved(trial, self.experiment.trials[trial].incarnation, ref(trial, iteration)))

    def end(self, trial: int) -> list[CheckpointRef]:
        return self.apply(e.Completed(trial, self.experiment.trials[trial].incarnation))

    def clone(self, trial: int, donor: int) -> list[CheckpointRef]:
        checkpoint = self.experiment.trials[donor].checkpoint
        assert checkpoint is not None
        gone = self.apply(e.Cloned(trial, donor, checkpoint, {}, {}, "name", "it is better"))
        gone += self.apply(e.Paused(trial, self.experiment.trials[trial].incarnation))
        self.place(trial)
        return gone


def test_the_last_few_reported_ones_are_kept() -> None:
    ledger = Ledger(Keep(last=2))
    assert [ledger.report(0, i) for i in (1, 2, 3)] == [[], [], [ref(0, 1)]]
    keeps_all = Ledger()
    assert [keeps_all.report(0, i) for i in range(1, 20)] == [[]] * 19


def test_of_those_that_the_run_asks_for_only_the_last_is_kept_whatever_the_user_keeps() -> None:
    ledger = Ledger()
    assert ledger.save(0, 1) == []
    assert ledger.save(0, 2) == [ref(0, 1)]
    assert ledger.save(0, 2) == []
    assert ledger.report(0, 3) == [ref(0, 2)]


def test_the_best_ones_are_kept_beside_the_last() -> None:
    ledger = Ledger(Keep(best=2, score=LOSS))
    losses = {1: 0.5, 2: 0.1, 3: float("nan"), 4: 0.3, 5: 0.9, 6: 0.2}
    gone = [ledger.report(0, i, loss) for i, loss in losses.items()]
    assert gone == [[], [], [], [ref(0, 1), ref(0, 3)], [], [ref(0, 4), ref(0, 5)]]


def test_a_report_without_the_score_is_never_among_the_best() -> None:
    ledger = Ledger(Keep(last=1, best=1, score=Objective("accuracy", "max")))
    assert ledger.report(0, 1) == []
    assert ledger.report(0, 2) == [ref(0, 1)]


def test_a_checkpoint_at_the_end_is_as_good_as_the_last_report() -> None:
    ledger = Ledger(Keep(best=1, score=LOSS))
    ledger.report(0, 1, 0.5)
    ledger.apply(e.Reported(0, 1, 2, {"loss": 0.1}, 0.0, 1.0, 1.0, 1.0, 1))
    assert ledger.apply(e.Completed(0, 1, ref(0, 2))) == [ref(0, 1)]


def test_one_that_a_clone_goes_on_from_stays_until_the_clone_has_its_own() -> None:
    ledger = Ledger()
    ledger.save(0, 1)
    assert ledger.clone(1, 0) + ledger.clone(2, 0) == []
    assert ledger.save(0, 2) == []
    assert ledger.save(1, 2) == []
    assert ledger.report(2, 2) == [ref(0, 1)]


def test_a_clones_own_state_stays_as_long_as_it_may_have_to_go_back_to_it() -> None:
    ledger = Ledger()
    ledger.save(0, 1)
    ledger.save(1, 1)
    assert ledger.clone(1, 0) == []
    assert ledger.save(1, 2) == [ref(1, 1)]


def test_beyond_the_quota_the_oldest_go_first_and_what_ended_trials_show_goes_last() -> None:
    ledger = Ledger(Keep(quota=40))
    ledger.report(0, 1)
    ledger.end(0)
    assert ledger.report(1, 1) + ledger.report(1, 2) + ledger.report(2, 1) == []
    assert ledger.report(2, 2) == [ref(1, 1)]
    assert ledger.report(2, 3) == [ref(2, 1)]
    assert ledger.report(2, 4, size=20) == [ref(2, 2), ref(2, 3)]
    assert ledger.report(2, 5, size=20) == [ref(2, 4, 20)]
    assert ledger.report(2, 6, size=30) == [ref(2, 5, 20), ref(0, 1)]
    assert ledger.experiment.trials[1].checkpoint == ref(1, 2)


def test_what_trials_need_is_kept_though_it_is_more_than_the_quota() -> None:
    ledger = Ledger(Keep(quota=15))
    assert ledger.report(0, 1) + ledger.report(1, 1) + ledger.report(2, 1) == []
    assert ledger.retention.is_full
    ledger.end(0)
    assert ledger.experiment.trials[0].checkpoint is None  # it is no more shown than it is there
    ledger.end(1)
    assert not ledger.retention.is_full


def test_a_damaged_one_is_not_deleted_and_does_not_count() -> None:
    ledger = Ledger(Keep(last=2, quota=25))
    ledger.report(0, 1)
    ledger.report(0, 2)
    ledger.apply(e.SessionOpened(2, 1, "host", 0.0, Resources()))
    ledger.place(0)
    assert ledger.apply(e.Damaged(0, 2, ref(0, 2), "torn")) == []
    assert ledger.retention.size == 10
    ledger.place(0)
    assert ledger.apply(e.Reported(0, 3, 2, {}, 0.0, 1.0, 1.0, 1.0, 1, ref(0, 22))) == []


def test_a_resumed_run_with_stricter_rules_lets_the_rest_go() -> None:
    log: list[e.Event] = []
    generous = Ledger()
    for iteration in (1, 2, 3):
        generous.report(0, iteration)
        log.append(e.Reported(0, 1, iteration, {}, 0.0, 1.0, 1.0, 1.0, 1, ref(0, iteration)))
    strict = Ledger(Keep(last=1))
    for event in log:
        strict.experiment.apply(event)
        strict.retention.apply(event)
    opened = e.SessionOpened(2, 1, "host", 0.0, Resources())
    assert strict.apply(opened) == [ref(0, 1), ref(0, 2)]


class Written:
    """A checkpoint of the model. What was displaced from the last or the best ones does not come back among them."""

    def __init__(self, owner: int, checkpoint: CheckpointRef, by_rule: bool, score: float) -> None:
        self.owner, self.path, self.size, self.score = owner, checkpoint.path, checkpoint.size, score
        self.is_last = self.is_best = by_rule


class Model:
    """The rules once more, without any cleverness: a list that is searched from end to end after each event."""

    def __init__(self, keep: Keep, ledger: Ledger) -> None:
        self.keep, self.trials = keep, ledger.experiment.trials
        self.there: list[Written] = []  # in the order of writing

    def write(self, owner: int, checkpoint: CheckpointRef, *, by_rule: bool, score: float = 0.0) -> None:
        self.there.append(Written(owner, checkpoint, by_rule, score))
        last = [each for each in self.there if each.owner == owner and each.is_last]
        for each in [] if self.keep.newest is None else last[: -self.keep.newest]:
            each.is_last = False
        best = sorted((each for each in self.there if each.owner == owner and each.is_best), key=lambda w: w.score)
        for each in best if self.keep.best is None else best[: -self.keep.best]:
            each.is_best = False

    def lose(self, path: str) -> None:
        self.there = [each for each in self.there if each.path != path]

    def needed(self) -> set[str]:
        return {path for trial in self.trials if not trial.status.is_final for path in trial.needs()}

    def review(self) -> set[str]:
        """Strike off what is to go, and return it."""
        needed = self.needed()
        shown = {path for trial in self.trials if trial.status.is_final for path in trial.needs()[:1]}
        gone = {w.path for w in self.there if not (w.is_last or w.is_best or w.path in needed | shown)}
        free = [w for w in self.there if w.path not in gone | needed]
        free.sort(key=lambda w: w.is_best or w.path in shown)  # stable: the oldest first
        size = sum(w.size for w in self.there if w.path not in gone)
        while self.keep.quota is not None and size > self.keep.quota and free:
            size -= free[0].size
            gone.add(free.pop(0).path)
        self.there = [each for each in self.there if each.path not in gone]
        return gone


def something(rng: Random, n: int, trial: int, ledger: Ledger, model: Model) -> list[e.Event]:
    """Let a trial that runs do something, and the model know what is written or lost by it."""
    record = ledger.experiment.trials[trial]
    made, before, number = ref(trial, n, rng.randint(1, 20)), record.checkpoint, record.incarnation
    match rng.choice(["report"] * 5 + ["save", "pause", "clone", "clone", "damage", "end"]):
        case "report":
            loss = rng.choice([0.0, 0.5, 1.0, float("nan")])
            model.write(trial, made, by_rule=True, score=LOSS.score_of(loss))
            return [e.Reported(trial, number, n, {"loss": loss}, 0.0, 1.0, 1.0, 1.0, 1, made)]
        case "save":
            model.write(trial, made, by_rule=False)
            return [e.Saved(trial, number, made)]
        case "pause":
            return [e.Judged(trial, "pause", "a rest"), e.Paused(trial, number, before)]
        case "clone":
            donor = rng.choice([t for t in ledger.experiment.trials if t.status is Status.RUNNING])
            if donor.checkpoint is not None and donor is not record:
                clone = e.Cloned(trial, donor.number, donor.checkpoint, {}, {}, "clone", "better")
                return [clone, e.Paused(trial, number)]
        case "damage" if before is not None:
            model.lose(before.path)
            return [e.Damaged(trial, number, before, "torn")]
        case "end":
            return [e.Completed(trial, number)]
    return []


@settings(max_examples=300)
@given(
    seed=st.integers(0, 10**9),
    keep=st.builds(
        Keep,
        st.sampled_from([None, 1, 3]),
        st.sampled_from([None, 1, 2]),
        st.just(LOSS),
        st.sampled_from([None, 20, 60, 150]),
    ),
)
def test_what_may_still_be_needed_is_never_discarded_and_a_resumed_run_discards_the_same(seed: int, keep: Keep) -> None:
    rng = Random(seed)
    ledger, twin = Ledger(keep, trials=4), Ledger(keep, trials=4)
    model = Model(keep, ledger)
    for n in range(1, 60):
        alive = [trial.number for trial in ledger.experiment.trials if trial.status is Status.RUNNING]
        if not alive:
            break
        trial = rng.choice(alive)
        for event in something(rng, n, trial, ledger, model):
            gone = ledger.apply(event, model)
            assert not {checkpoint.path for checkpoint in gone} & model.needed()
            assert twin.apply(event) == gone  # what it has folded are the same events, as in a resumed run
        if ledger.experiment.trials[trial].status in (Status.PAUSED, Status.PENDING):
            ledger.place(trial)
            twin.place(trial)
    assert twin.retention.size == ledger.retention.size


@given(seed=st.integers(0, 10**9), cut=st.integers(1, 40), last=st.sampled_from([None, 2]))
def test_a_run_that_was_resumed_in_the_middle_discards_what_an_uninterrupted_one_does(
    seed: int, cut: int, last: int | None
) -> None:
    rng, keep = Random(seed), Keep(last=last, best=1, score=LOSS, quota=60)
    whole = Ledger(keep, trials=4)
    log = whole.log
    for n in range(1, 40):
        if n == cut:
            resumed = Ledger(keep, trials=0)
            for event in log:
                resumed.fold(event)
            assert resumed.retention.review() == []
        alive = [trial.number for trial in whole.experiment.trials if trial.status is Status.RUNNING]
        if not alive:
            return
        trial = rng.choice(alive)
        for event in something(rng, n, trial, whole, Model(keep, whole)):
            gone = whole.apply(event)
            assert n < cut or resumed.apply(event) == gone
        if whole.experiment.trials[trial].status in (Status.PAUSED, Status.PENDING):
            whole.place(trial)
            if n >= cut:
                resumed.place(trial)
