"""Functions of ``(config, reporter)`` and ``tune.track`` (1.4)."""

from __future__ import annotations

from pathlib import Path

from tests.compat.stage import HEAD, act, play


def test_a_function_that_returns_ends_its_trial_and_its_last_result_is_logged_once(tmp_path: Path) -> None:
    body = """
[t] = run(climb, verbose=2)
lines = [json.loads(line) for line in open(os.path.join(t.logdir, "result.json"))]
tell([t.status, t.last_result["done"], [r["timesteps_total"] for r in lines]])
"""
    played = act(tmp_path, body)
    assert played.told == ["TERMINATED", True, [0, 1, 2]]
    assert played.out.count("Result for climb_0") == 1


def test_a_function_reports_from_a_thread(tmp_path: Path) -> None:
    body = """
import threading
def threaded(config, reporter):
    def work():
        for i in range(5):
            reporter(mean_loss=i)
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
[t] = run(threaded, verbose=0)
[s] = run(threaded, verbose=0, stop={"training_iteration": 2})
tell([t.last_result["training_iteration"], s.last_result["training_iteration"], t.status, s.status])
"""
    assert act(tmp_path, body).told == [5, 2, "TERMINATED", "TERMINATED"]


def test_a_report_after_the_end_is_an_error_that_says_so(tmp_path: Path) -> None:
    body = """
import threading
def late(config, reporter):
    reporter(mean_loss=1)
    done = threading.Event()
    def work():
        done.wait()
        try:
            reporter(mean_loss=2)
        except TuneError as error:
            open(config["file"], "w").write(str(error))
    config["thread"] = threading.Thread(target=work)
    config["thread"].start()
    done_later.append(done)
done_later = []
def outer(config, reporter):
    from tunesmith.worker.session import AMBIENT
    late(config, reporter)
    session, AMBIENT.session = AMBIENT.session, None
    done_later[0].set()
    config["thread"].join()
    AMBIENT.session = session
[t] = run(outer, config={"file": os.path.abspath("late.txt")}, verbose=0)
tell([t.status, t.last_result["mean_loss"], open("late.txt").read()])
"""
    status, loss, text = act(tmp_path, body).told
    assert (status, loss) == ("TERMINATED", 1)
    assert text.startswith("reporter(...) was called where no trial is running")


def test_a_function_that_never_reports_is_told_so(tmp_path: Path) -> None:
    body = """
def silent(config, reporter):
    pass
[t] = run(silent, verbose=0, raise_on_failed_trial=False)
tell([t.status, open(t.error_file).read()])
"""
    status, story = act(tmp_path, body).told
    assert status == "ERROR"
    assert story.startswith("silent returned without reporting any result. Call its second argument")


def test_an_exception_keeps_its_traceback_and_the_results_before_it(tmp_path: Path) -> None:
    body = """
def broken(config, reporter):
    reporter(mean_loss=0.5)
    raise KeyError("weights")
[t] = run(broken, verbose=0, raise_on_failed_trial=False)
tell([t.status, t.last_result["mean_loss"], open(t.error_file).read()])
"""
    status, loss, story = act(tmp_path, body).told
    assert (status, loss) == ("ERROR", 0.5)
    assert "KeyError: 'weights'" in story
    assert 'raise KeyError("weights")' in story


def test_the_loss_is_turned_also_when_it_is_zero(tmp_path: Path) -> None:
    body = """
def zero(config, reporter):
    reporter(mean_loss=0.0)
    reporter(mean_loss=2, neg_mean_loss=-7)
[t] = run(zero, verbose=0)
tell([json.loads(line)["neg_mean_loss"] for line in open(os.path.join(t.logdir, "result.json"))])
"""
    assert act(tmp_path, body).told == [-0.0, -7]


def test_a_value_that_can_not_be_written_is_kept_as_its_text(tmp_path: Path) -> None:
    body = """
class Odd:
    def __repr__(self):
        return "odd"
def strange(config, reporter):
    reporter(mean_loss=1, what=Odd(), nan=float("nan"), many=[1, 2], inner={"a": 1})
[t] = run(strange)
tell([t.status, t.last_result["what"], t.last_result["many"], t.last_result["inner"]])
"""
    played = act(tmp_path, body)
    assert played.told == ["TERMINATED", "odd", [1, 2], {"a": 1}]
    assert "  inner:\n    a: 1\n" in played.out
    assert "  many:\n  - 1\n  - 2\n" in played.out
    assert "  nan: .nan\n" in played.out


def test_a_function_is_not_checkpointed_and_that_is_said(tmp_path: Path) -> None:
    played = act(tmp_path, "run(climb, checkpoint_freq=1, checkpoint_at_end=True, verbose=0)")
    assert "A function can't be checkpointed" in played.err


def test_a_trial_that_is_stopped_never_returns_from_its_report(tmp_path: Path) -> None:
    body = """
def train(config, reporter):
    try:
        for i in range(100):
            reporter(timesteps_total=i)
            if i >= 3:
                open(config["file"], "w").close()
    except Exception:
        open(config["file"], "w").close()
[t] = run(train, config={"file": os.path.abspath("went_on")}, stop={"timesteps_total": 3}, verbose=0)
tell([t.last_result["timesteps_total"], os.path.exists("went_on")])
"""
    assert act(tmp_path, body).told == [3, False]


def test_functions_of_the_configuration_alone_report_by_track(tmp_path: Path) -> None:
    body = """
from ray.tune import track
def train(config):
    for i in range(3):
        track.log(mean_accuracy=i / 10, where=track.trial_dir())
[t] = run(train, verbose=0)
tell([t.last_result["mean_accuracy"], t.last_result["training_iteration"], t.last_result["where"] == t.logdir])
"""
    assert act(tmp_path, body).told == [0.2, 3, True]


def test_track_writes_files_outside_of_a_run(tmp_path: Path) -> None:
    body = """
from ray.tune import track
track.init(trial_name="alone", experiment_dir="logs")
track.log(mean_loss=0.5)
track.log(mean_loss=0.25)
tell([track.trial_name(), [json.loads(line)["mean_loss"] for line in open("logs/alone/result.json")]])
track.shutdown()
try:
    track.log(mean_loss=1)
except ValueError as error:
    print(error)
"""
    played = act(tmp_path, body)
    assert played.told == ["alone", [0.5, 0.25]]
    assert "Session not detected" in played.out


def test_numpys_numbers_are_others_in_every_trial(tmp_path: Path) -> None:
    body = """
import numpy as np
def draw(config, reporter):
    reporter(mean_loss=float(np.random.rand()), other=random.random())
trials = run(draw, num_samples=4, verbose=0)
tell([len({t.last_result[name] for t in trials}) for name in ("mean_loss", "other")])
"""
    assert act(tmp_path, body).told == [4, 4]


def test_a_lambda_over_the_arguments_runs_by_its_registered_name(tmp_path: Path) -> None:
    body = """
import argparse
args = argparse.Namespace(lr=0.0, steps=2)
def train(args, config, reporter):
    before = vars(args).copy()
    vars(args).update(config)
    for i in range(args.steps):
        reporter(timesteps_total=i, before=before["lr"], lr=args.lr)
tune.register_trainable("TRAIN_FN", lambda config, reporter: train(args, config, reporter))
trials = run("TRAIN_FN", config={"lr": grid_search([0.1, 0.2])}, verbose=0)
tell([[str(t), t.last_result["before"], t.last_result["lr"]] for t in trials])
"""
    assert act(tmp_path, body).told == [["TRAIN_FN_0_lr=0.1", 0.0, 0.1], ["TRAIN_FN_1_lr=0.2", 0.0, 0.2]]


def test_a_partial_runs_by_its_registered_name(tmp_path: Path) -> None:
    body = """
import functools
def train(steps, config, reporter):
    reporter(timesteps_total=steps)
tune.register_trainable("part", functools.partial(train, 5))
[t] = run("part", verbose=0)
tell([str(t), t.last_result["timesteps_total"]])
"""
    assert act(tmp_path, body).told == ["part_0", 5]


def test_an_unpicklable_closure_is_refused_before_anything_runs(tmp_path: Path) -> None:
    body = """
import threading
lock = threading.Lock()
def train(config, reporter):
    with lock:
        reporter(mean_loss=1)
run(train)
"""
    played = play(tmp_path, HEAD + body)
    assert played.status == 1
    assert "global 'lock'" in played.err
