"""Files, loggers, resuming, and what reads them (1.10, 1.11, 1.17)."""

from __future__ import annotations

import csv
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.compat.stage import HEAD, act, play


def test_a_trials_folder_has_the_files_of_2019(tmp_path: Path) -> None:
    body = """
[t] = run(Count, config={"w": 2, "args": {1, }}, stop={"training_iteration": 3}, checkpoint_freq=2, verbose=0)
tell(t.logdir)
"""
    logdir = Path(act(tmp_path, body).told)
    assert re.fullmatch(r"Count_0_\d{4}-\d\d-\d\d_\d\d-\d\d-\d\d[a-z0-9_]{8}", logdir.name)
    assert (logdir / "params.json").read_text() == '{\n  "args": "{1}",\n  "w": 2\n}'
    results = [json.loads(line) for line in (logdir / "result.json").read_text().splitlines()]
    assert [(r["training_iteration"], r["episode_reward_mean"], r["done"]) for r in results] == [
        (1, 2, False), (2, 4, False), (3, 6, True),
    ]  # fmt: skip
    with (logdir / "progress.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["episode_reward_mean"] for row in rows] == ["2", "4", "6"]
    assert (logdir / "checkpoint_2" / "state").read_text() == "2"
    assert (logdir / "checkpoint_2" / "state.tune_metadata").exists()
    (state,) = logdir.parent.glob("experiment_state-*.json")
    told = json.loads(state.read_text())
    assert set(told) >= {"checkpoints", "runner_data", "timestamp"}
    assert told["checkpoints"][0]["status"] == "TERMINATED"


def test_a_column_that_comes_later_gets_its_place(tmp_path: Path) -> None:
    body = """
def train(config, reporter):
    reporter(mean_loss=1)
    reporter(mean_loss=2, mean_accuracy=0.5)
[t] = run(train, verbose=0)
tell(t.logdir)
"""
    with (Path(act(tmp_path, body).told) / "progress.csv").open() as file:
        assert [row["mean_accuracy"] for row in csv.DictReader(file)] == ["", "0.5"]


def test_several_loggers_are_told_and_one_that_raises_is_switched_off(tmp_path: Path) -> None:
    body = """
from ray.tune.logger import Logger, JsonLogger
class Mine(tune.logger.Logger):
    def _init(self):
        self.seen = []
    def on_result(self, result):
        self.seen.append(result["training_iteration"])
    def close(self):
        print("CLOSED", self.seen, os.path.basename(self.logdir)[:7], self.config)
class Bad(Logger):
    def on_result(self, result):
        raise IOError("full")
class Never(Logger):
    def _init(self):
        raise ValueError("no")
[t] = run(Count, config={"w": 1}, stop={"training_iteration": 3}, loggers=[Bad, Never, Mine, JsonLogger], verbose=0)
tell([t.status, sorted(os.listdir(t.logdir))])
"""
    played = act(tmp_path, body)
    status, files = played.told
    assert status == "TERMINATED"
    assert "result.json" in files
    assert "progress.csv" not in files
    assert "CLOSED [1, 2, 3] Count_0 {'w': 1}\n" in played.out
    assert played.err.count("Bad.on_result raised OSError: full") == 1
    assert "Could not instantiate Never - skipping." in played.err


def test_no_loggers_write_no_files(tmp_path: Path) -> None:
    body = "[t] = run(Count, stop={'training_iteration': 1}, loggers=[], verbose=0)\ntell(os.listdir(t.logdir))"
    assert not {"result.json", "params.json", "progress.csv"} & set(act(tmp_path, body).told)


def test_a_clones_new_configuration_reaches_the_files(tmp_path: Path) -> None:
    body = """
from ray.tune.schedulers import PopulationBasedTraining
pbt = PopulationBasedTraining("training_iteration", perturbation_interval=2, hyperparam_mutations={"w": lambda: 100})
trials = run(Count, config={"w": grid_search([1, 2, 3, 4])}, stop={"training_iteration": 12}, scheduler=pbt, verbose=0)
tell([[str(t), t.config["w"], json.load(open(os.path.join(t.logdir, "params.json")))["w"]] for t in trials])
"""
    told = act(tmp_path, body).told
    assert all(config == params for _, config, params in told)
    cloned = [name for name, _, _ in told if "@perturbed[w=" in name]
    assert cloned
    assert re.fullmatch(r"Count_\d_w=\d@perturbed\[w=[\d.]+\]", cloned[0])


def test_a_killed_run_is_resumed_with_what_has_ended(tmp_path: Path) -> None:
    body = """
import signal
class Dies(Count):
    def _train(self):
        if self.config["i"] == 1 and self.x == 3 and not os.path.exists(self.config["mark"]):
            open(self.config["mark"], "w").close()
            os.kill(int(self.config["pid"]), signal.SIGKILL)
            time.sleep(60)
        return super(Dies, self)._train()
ray.init(num_cpus=1)
config = {"i": grid_search([0, 1, 2]), "mark": os.path.abspath("mark"), "pid": sample_from(lambda spec: os.getpid())}
trials = run(Dies, "mine", {"training_iteration": 4}, config, checkpoint_freq=2, resume=True, verbose=0)
tell([[t.status, t.trial_id, t.last_result["episode_reward_mean"],
       len(open(os.path.join(t.logdir, "result.json")).readlines())] for t in trials])
"""
    first = play(tmp_path, HEAD + body)
    assert first.status == -9
    assert "Did not find checkpoint file" in first.err
    second = play(tmp_path, HEAD + body)
    assert second.status == 0, second.err
    assert "Attempting to resume experiment from" in second.err
    assert [(status, reward) for status, _, reward, _ in second.told] == [("TERMINATED", 4)] * 3
    assert len({trial for _, trial, _, _ in second.told}) == 3
    assert all(lines in (4, 5) for *_, lines in second.told)  # an iteration that was lost was done twice


def test_resume_may_ask(tmp_path: Path) -> None:
    body = """
run(Count, name="mine", stop={"training_iteration": 1}, verbose=0)
import builtins
for answer in ("n", "y"):
    builtins.input = lambda text: print(text) or answer
    [t] = run(Count, name="mine", stop={"training_iteration": 1}, verbose=0, resume="prompt")
    print("ID", t.trial_id)
"""
    played = act(tmp_path, body)
    first, second = re.findall(r"^ID (\w+)$", played.out, re.MULTILINE)
    assert first == second
    assert played.out.count("Would you like to resume it?") == 2


def test_an_analysis_reads_a_folder(tmp_path: Path) -> None:
    body = """
from ray.tune import ExperimentAnalysis
trials = run(Count, name="mine", config={"w": grid_search([1, 5, 2])}, stop={"training_iteration": 2},
             checkpoint_at_end=True, verbose=0)
analysis = ExperimentAnalysis(os.path.join(os.environ["TUNE_RESULT_DIR"], "mine"))
frame = analysis.dataframe()
best = analysis.get_best_trainable("episode_reward_mean", Count)
tell([sorted(frame["trial_id"]) == sorted(t.trial_id for t in trials), list(frame["config:w"]),
      list(analysis.trial_dataframe(trials[1].trial_id)["episode_reward_mean"]),
      analysis.get_best_config("episode_reward_mean"), best.x, best.config, sorted(analysis.stats())])
try:
    ExperimentAnalysis("/nowhere")
except TuneError as error:
    print(error)
"""
    played = act(tmp_path, body)
    assert played.told == [True, [1, 5, 2], [5, 10], {"w": 5}, 2, {"w": 5}, ["start_time", "timestamp"]]
    assert "/nowhere is not a valid experiment directory" in played.out


def test_the_last_checkpoints_are_kept(tmp_path: Path) -> None:
    body = """
[t] = run(Count, stop={"training_iteration": 5}, checkpoint_freq=1, keep_checkpoints_num=2, verbose=0)
tell(sorted(d for d in os.listdir(t.logdir) if d.startswith("checkpoint_0")))
"""
    assert act(tmp_path, body).told == ["checkpoint_000004", "checkpoint_000005"]


@pytest.mark.heavy
def test_tensorboard_finds_the_curves_of_2019_and_the_table_of_hparams(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    played = act(
        tmp_path,
        """
class Steps(Count):
    def _train(self):
        return {**super()._train(), "timesteps_this_iter": 5, "info": {"deep": self.x}, "note": "text"}

run(Steps, name="x", stop={"training_iteration": 3}, config={"w": grid_search([1, 2])}, verbose=0)
""",
    )
    assert "TFLogger" not in played.err
    code = """
import json, sys
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.hparams import metadata
read = EventAccumulator(sys.argv[1]).Reload()
start = read.summary_metadata[metadata.SESSION_START_INFO_TAG].plugin_data.content
end = read.summary_metadata[metadata.SESSION_END_INFO_TAG].plugin_data.content
print(json.dumps([
    {tag: [[p.step, p.value] for p in read.Scalars(tag)] for tag in read.Tags()["scalars"]},
    {n: v.number_value for n, v in metadata.parse_session_start_info_plugin_data(start).hparams.items()},
    metadata.parse_session_end_info_plugin_data(end).status,
]))
"""
    for weight, folder in enumerate(played.folders("x"), 1):
        done = subprocess.run([sys.executable, "-c", code, str(folder)], capture_output=True, text=True, check=True)
        curves, hparams, status = json.loads(done.stdout)
        assert sorted(curves) == [
            f"ray/tune/{name}"
            for name in (
                "episode_reward_mean", "info/deep", "iterations_since_restore", "time_since_restore",
                "time_this_iter_s", "timesteps_since_restore", "timesteps_this_iter", "timesteps_total",
                "training_iteration",
            )
        ]  # fmt: skip
        assert curves["ray/tune/episode_reward_mean"] == [[5, weight], [10, 2 * weight], [15, 3 * weight]]
        assert curves["ray/tune/training_iteration"] == [[5, 1], [10, 2], [15, 3]]
        assert hparams == {"w": weight}
        assert status == 1  # success


def test_what_is_resumed_may_have_changed_as_in_2019(tmp_path: Path) -> None:
    body = """
from ray.tune.schedulers import AsyncHyperBandScheduler
run(Count, name="x", config={"w": grid_search([1, 2])}, stop={"training_iteration": 2}, verbose=0,
    scheduler=AsyncHyperBandScheduler())
trials = run(climb, name="x", config={"w": grid_search([1, 2])}, resume=True, verbose=0)
tell([[str(t), t.status, t.last_result["training_iteration"]] for t in trials])
"""
    assert [each[1:] for each in act(tmp_path, body).told] == [["TERMINATED", 2]] * 2
