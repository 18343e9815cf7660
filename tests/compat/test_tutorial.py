"""The tutorial's scripts, as they are printed, run to the end and print what the tutorial shows."""

from __future__ import annotations

import importlib.util
import json
import re
from pathlib import Path

import pytest

from tests.compat.stage import Played, play, tutorial

FIT = ("--fit-resources",)
needs_hyperopt = pytest.mark.skipif(importlib.util.find_spec("hyperopt") is None, reason="HyperOpt is not installed")
has_rllib = all(importlib.util.find_spec(name) is not None for name in ("ray", "gymnasium", "torch", "mujoco"))
needs_torch = pytest.mark.skipif(importlib.util.find_spec("torch") is None, reason="PyTorch is not installed")


def run(name: str, folder: Path, *arguments: str, options: tuple[str, ...] = ()) -> Played:
    # threads that wait for each other by turning in circles would wait for long where others have the CPUs
    played = play(folder, tutorial()[name], *arguments, options=options, OMP_NUM_THREADS="1")
    assert played.status == 0, played.err
    return played


def progress(text: str) -> tuple[str, int]:
    """The status and the iterations of a line."""
    found = re.fullmatch(r"(\w+), \[\d CPUs, 0 GPUs\], \[pid=\d+\], \d+ s, (\d+) iter(, .*)?", text)
    assert found, text
    return found[1], int(found[2])


# -- logging_example


def test_logging_example_tells_its_own_logger_of_every_result(tmp_path: Path) -> None:
    played = run("logging_example", tmp_path)
    assert played.out.count("TestLogger {") == 2 * 999
    assert [progress(line) for line in played.trials().values()] == [("TERMINATED", 999)] * 2
    assert "Using FIFO scheduling algorithm.\n" in played.last_status()
    assert "Number of trials: 2 ({'TERMINATED': 2})\n" in played.last_status()
    assert all(re.fullmatch(r"MyTrainableClass_[0-9a-f]{8}_123", name) for name in played.trials())


def test_logging_example_shows_results_with_the_tutorials_fields(tmp_path: Path) -> None:
    played = run("logging_example", tmp_path, "--smoke-test")
    block = re.search(r"^Result for MyTrainableClass_\w+_123:\n((?:  .*\n)+)", played.out, re.MULTILINE)
    assert block
    names = [line.split(":")[0].strip() for line in block[1].splitlines() if line.strip()]
    assert names == [
        "date", "done", "episode_reward_mean", "experiment_id", "hostname", "iterations_since_restore", "node_ip",
        "pid", "time_since_restore", "time_this_iter_s", "time_total_s", "timestamp", "timesteps_since_restore",
        "training_iteration",
    ]  # fmt: skip
    assert "  done: true\n" in block[1]
    (_, shown) = re.findall(r"^TestLogger (\{.*\})$", played.out, re.MULTILINE)
    assert set(eval(shown)) == {
        *names, "config", "episodes_total", "timesteps_total",
    }  # fmt: skip


def test_with_loggers_of_its_own_there_are_no_files_of_the_default_ones(tmp_path: Path) -> None:
    played = run("logging_example", tmp_path, "--smoke-test")
    for folder in played.folders("hyperband_test"):
        assert not {"result.json", "progress.csv", "params.json"} & {path.name for path in folder.iterdir()}


# -- async_hyperband_example


def test_async_hyperband_example_has_the_tutorials_brackets_and_rungs(tmp_path: Path) -> None:
    played = run("async_hyperband_example", tmp_path)
    assert played.out.startswith(
        "== Status ==\n"
        "Using AsyncHyperBand: num_stopped=0\n"
        "Bracket: Iter 45.000: None | Iter 15.000: None | Iter 5.000: None\n"
        "Bracket: Iter 45.000: None | Iter 15.000: None\n"
        "Bracket: Iter 45.000: None\n"
        "Resources requested: 0/"
    )
    assert "Using AsyncHyperBand: num_stopped=30\n" in played.last_status()
    reached = [progress(line) for line in played.trials().values()]
    assert len(reached) == 30
    assert {status for status, _ in reached} == {"TERMINATED"}
    assert {iterations for _, iterations in reached} <= {5, 15, 45, 100}
    names = [re.fullmatch(r"MyTrainableClass_(\d+)_height=\d+,width=\d+", name) for name in played.trials()]
    assert [int(name[1]) for name in names if name] == list(range(30))


def test_async_hyperband_example_shortens_its_second_status_as_the_tutorial_does(tmp_path: Path) -> None:
    played = run("async_hyperband_example", tmp_path)
    second = played.out.split("== Status ==\n")[2]
    running = second.count("\tRUNNING\n")
    shown = (20 - running) // 2 * 2
    assert f"  ... {30 - running - shown} not shown\n" in second
    assert second.count("\tPENDING\n") == shown


def test_the_smoke_test_of_async_hyperband_ends_each_trial_at_once(tmp_path: Path) -> None:
    played = run("async_hyperband_example", tmp_path, "--smoke-test")
    assert {progress(line) for line in played.trials().values()} == {("TERMINATED", 1)}
    assert "num_stopped=0\n" in played.last_status()


def test_files_are_where_the_tutorials_reader_looks_for_them(tmp_path: Path) -> None:
    played = run("async_hyperband_example", tmp_path, "--smoke-test")
    experiment = played.results / "asynchyperband_test"
    (state,) = experiment.glob("experiment_state-*.json")
    assert len(json.loads(state.read_text())["checkpoints"]) == 30
    for folder in played.folders("asynchyperband_test"):
        assert re.fullmatch(
            r"MyTrainableClass_\d+_height=\d+,width=\d+_\d{4}-\d\d-\d\d_\d\d-\d\d-\d\d\w{8}", folder.name
        )
        assert {"params.json", "params.pkl", "result.json", "progress.csv"} <= {path.name for path in folder.iterdir()}
        (line,) = (folder / "result.json").read_text().splitlines()
        assert json.loads(line)["config"] == json.loads((folder / "params.json").read_text())


# -- hyperband_example


def test_hyperband_example_cuts_as_the_tutorials_last_status_says(tmp_path: Path) -> None:
    played = run("hyperband_example", tmp_path)
    assert (
        "Using HyperBand: num_stopped=10 total_brackets=3\n"
        "Round #0:\n"
        "  Bracket(Max Size (n)=5, Milestone (r)=100, completed=100.0%): {TERMINATED: 5} \n"
        "  Bracket(Max Size (n)=3, Milestone (r)=100, completed=100.0%): {TERMINATED: 8} \n"
        "  Bracket(Max Size (n)=2, Milestone (r)=100, completed=100.0%): {TERMINATED: 7} \n"
    ) in played.last_status()
    reached = [progress(line)[1] for line in played.trials().values()]
    assert reached[:5] == [100] * 5
    assert sorted(reached[5:13]) == [33] * 5 + [100] * 3
    assert sorted(reached[13:]) == [11] * 2 + [44] * 3 + [100] * 2


def test_hyperband_example_begins_with_the_tutorials_brackets(tmp_path: Path) -> None:
    played = run("hyperband_example", tmp_path)
    first, second = played.out.split("== Status ==\n")[1:3]
    assert first.startswith("Using HyperBand: num_stopped=0 total_brackets=0\nRound #0:\nResources requested: 0/")
    shape = re.sub(r"PENDING: (\d+), RUNNING: (\d+)", lambda m: f"PENDING: {int(m[1]) + int(m[2])}", second)
    assert shape.startswith(
        "Using HyperBand: num_stopped=0 total_brackets=3\n"
        "Round #0:\n"
        "  Bracket(Max Size (n)=5, Milestone (r)=100, completed=0.0%): {PENDING: 5} \n"
        "  Bracket(Max Size (n)=8, Milestone (r)=33, completed=0.0%): {PENDING: 8} \n"
        "  Bracket(Max Size (n)=15, Milestone (r)=11, completed=0.0%): {PENDING: 7} \n"
    )


def test_two_scripts_take_turns_in_a_folder_and_only_a_tip_is_logged(tmp_path: Path) -> None:
    first = run("logging_example", tmp_path, "--smoke-test")
    second = run("hyperband_example", tmp_path, "--smoke-test")
    assert "Did not find checkpoint file in " in first.err
    assert "Tip: to resume incomplete experiments, pass resume='prompt' or resume=True to run()" in second.err
    assert len(second.folders("hyperband_test")) == 22
    assert len(second.trials()) == 20


# -- pbt_example


def exploits(played: Played) -> list[dict[str, float]]:
    """The configurations that trials went on with, each told in the tutorial's two lines."""
    line, number = r"INFO \w+\.py:\d+ -- ", r"[0-9.e-]+"
    explored = re.findall(line + r"\[explore\] perturbed config from \{.*\} -> (\{.*\})$", played.err, re.MULTILINE)
    exploited = re.findall(
        line + r"\[exploit\] transferring weights from trial MyTrainableClass_\d\S* "
        rf"\(score {number}\) -> MyTrainableClass_\d\S* \(score {number}\)$",
        played.err,
        re.MULTILINE,
    )
    assert len(explored) == len(exploited)
    return [eval(config) for config in explored]


def test_the_smoke_test_of_pbt_shares_four_cpus_and_prints_nothing_but_the_log(tmp_path: Path) -> None:
    played = run("pbt_example", tmp_path, "--smoke-test")
    assert played.out == ""  # verbose=0
    assert {type(config["factor_2"]) for config in exploits(played)} <= {int}
    ends = set(re.findall(r"Destroying actor for trial MyTrainableClass_(\d)", played.err))
    assert ends == set("0123456789")


@pytest.mark.heavy
def test_pbt_example_runs_in_full(tmp_path: Path) -> None:
    played = run("pbt_example", tmp_path)
    found = exploits(played)
    assert found
    assert {type(config["factor_2"]) for config in found} == {int}
    results = [folder / "result.json" for folder in played.folders("pbt_test")]
    assert [json.loads(path.read_text().splitlines()[-1])["training_iteration"] for path in results] == [100] * 10


# -- those that need more


@pytest.mark.skipif(has_rllib, reason="RLlib is installed")
def test_pbt_ppo_example_says_what_to_install_where_there_is_no_rllib(tmp_path: Path) -> None:
    played = play(tmp_path, tutorial()["pbt_ppo_example"], options=FIT)
    assert played.status == 1
    assert "TuneError: PPO is an algorithm of RLlib, which needs ray" in played.err
    assert 'pip install "tunesmith[rllib]"' in played.err


@pytest.mark.heavy
@pytest.mark.skipif(not has_rllib, reason="RLlib is not installed")
def test_pbt_ppo_example_says_how_to_run_without_its_eight_gpus(tmp_path: Path) -> None:
    played = play(tmp_path, tutorial()["pbt_ppo_example"])
    assert played.status == 1
    assert "trial requested 9 CPUs, 8 GPUs but the cluster has only" in played.err
    assert "--fit-resources" in played.err
    assert "num_workers is how many CPUs beside one, num_gpus how many GPUs" in played.err


@pytest.mark.heavy
@pytest.mark.timeout(600)
@pytest.mark.skipif(not has_rllib, reason="RLlib is not installed")
def test_pbt_ppo_example_trains_perturbs_and_goes_on_from_donors(tmp_path: Path) -> None:
    # The script says no end, and a perturbation comes every two minutes; its batches take minutes, too.
    quick = {
        "perturbation_interval=120": "perturbation_interval=1",
        "choice([10000, 20000, 40000])": "choice([300, 400, 500])",
        "randint(2000, 160000)": "randint(300, 600)",
        "choice([128, 512, 2048])": "choice([64, 128])",
        "randint(128, 16384)": "randint(64, 128)",
        "choice([10, 20, 30])": "choice([1, 2])",
        "randint(1, 30)": "randint(1, 2)",
        '"num_samples": 8': '"num_samples": 2, "stop": {"training_iteration": 5}',
        "ray.init()": "ray.init(num_cpus=1)",
    }
    source = tutorial()["pbt_ppo_example"]
    for old, new in quick.items():
        assert source.count(old) == 1
        source = source.replace(old, new)
    # Two untrained walkers differ by chance: now and then none is the worse when its turn comes, and nobody is cloned.
    for attempt in range(4):
        played = play(tmp_path / str(attempt), source, options=FIT)
        assert played.status == 0, played.err
        if "[exploit]" in played.err:
            break
    assert played.err.count("Humanoid-v1 is Humanoid-v5") == 1
    assert "num_sgd_iter is num_epochs" in played.err
    assert "A trial asks for 9 CPUs, 8 GPUs, and there are 1 CPUs, 0 GPUs: it gets 1 CPUs, 0 GPUs" in played.err
    assert "[exploit] transferring weights from trial PPO_Humanoid-v1_" in played.err
    folders = played.folders("pbt_humanoid_test")
    assert len(folders) == 2
    for folder in folders:
        last = json.loads((folder / "result.json").read_text().splitlines()[-1])
        assert last["training_iteration"] >= 5  # a clone goes on from its donor's
        assert last["timesteps_total"] >= 700
        assert 50 < last["episode_reward_mean"] < 300


@pytest.mark.heavy
@needs_hyperopt
@pytest.mark.parametrize(("arguments", "count"), [(("--smoke-test",), 10), ((), 100)])
def test_hyperopt_example_begins_with_its_points_the_last_one_first(
    tmp_path: Path, arguments: tuple[str, ...], count: int
) -> None:
    played = run("hyperopt_example", tmp_path, *arguments)
    names = list(played.trials())
    assert len(names) == count
    assert names[:2] == [
        "easy_objective_1_activation=tanh,height=2.0,iterations=100,width=4.0",
        "easy_objective_2_activation=relu,height=2.0,iterations=100,width=1.0",
    ]
    for line in played.trials().values():
        status, iterations = progress(line)
        assert status == "TERMINATED"
        assert iterations in (10, 30, 90, 100)
        assert line.endswith(f"{iterations} iter, {iterations - 1} ts")
    first = played.folders("easy_objective")
    assert any(
        json.loads((folder / "result.json").read_text().splitlines()[0])["neg_mean_loss"] == -143.0 for folder in first
    )
    assert "Bracket: Iter 90.000: None | Iter 30.000: None | Iter 10.000: None\n" in played.out


@pytest.mark.heavy
@pytest.mark.parametrize(("arguments", "count", "ends"), [(("--smoke-test",), 1, {10}), ((), 10, {20, 60, 180, 300})])
def test_tune_mnist_keras_reports_from_within_fit(
    tmp_path: Path, arguments: tuple[str, ...], count: int, ends: set[int]
) -> None:
    played = run("tune_mnist_keras", tmp_path, *arguments)
    assert len(played.trials()) == count
    for name, line in played.trials().items():
        assert re.fullmatch(r"TRAIN_FN_\d_dropout1=[\d.]+,hidden=\d+,lr=[\d.]+,momentum=[\d.]+", name)
        status, iterations = progress(line)
        assert status == "TERMINATED"
        assert iterations in ends
        assert "[2 CPUs, 0 GPUs], [pid=" in line
        assert re.search(rf"{iterations} iter, {iterations} ts, 0\.\d+ acc$", line)
    assert "Bracket: Iter 180.000: None | Iter 60.000: None | Iter 20.000: None\n" in played.out


@pytest.mark.heavy
def test_trials_whose_function_changes_its_closure_do_not_see_each_others_values(tmp_path: Path) -> None:
    played = run("tune_mnist_keras", tmp_path)
    rates = {json.loads((folder / "params.json").read_text())["lr"] for folder in played.folders("exp")}
    assert len(rates) == 10


@pytest.mark.heavy
@needs_torch
@pytest.mark.parametrize(("arguments", "count"), [(("--smoke-test",), 1), ((), 10)])
def test_mnist_pytorch_reports_once_for_its_one_epoch(tmp_path: Path, arguments: tuple[str, ...], count: int) -> None:
    played = run("mnist_pytorch", tmp_path, *arguments, options=FIT)
    assert len(played.trials()) == count
    for name, line in played.trials().items():
        assert re.fullmatch(r"TRAIN_FN_\d_lr=[\de.-]+,momentum=[\d.]+", name)
        assert progress(line) == ("TERMINATED", 1)
        assert re.search(r"1 iter, [\d.]+ loss, [\d.]+ acc$", line)
    assert "num_stopped=0\n" in played.last_status()
    block = re.search(r"^  mean_loss: (.*)$", played.out, re.MULTILINE)
    assert block
    assert f"  neg_mean_loss: -{block[1]}\n" in played.out


@pytest.mark.heavy
@needs_torch
def test_mnist_pytorch_says_how_to_run_with_fewer_cpus_than_it_asks_for(tmp_path: Path) -> None:
    played = play(tmp_path, tutorial()["mnist_pytorch"].replace("ray.init()", "ray.init(num_cpus=2)"), "--smoke-test")
    assert played.status == 1
    assert (
        "Insufficient cluster resources to launch trial: trial requested 3 CPUs, 0 GPUs but the cluster has only "
        "2 CPUs, 0 GPUs." in played.err
    )
    assert "--fit-resources" in played.err


@pytest.mark.heavy
@needs_torch
@pytest.mark.timeout(600)
@pytest.mark.parametrize(("arguments", "count"), [(("--smoke-test",), 1), ((), 20)])
def test_mnist_pytorch_trainable_pauses_and_goes_on_with_its_weights(
    tmp_path: Path, arguments: tuple[str, ...], count: int
) -> None:
    played = run("mnist_pytorch_trainable", tmp_path, *arguments, options=FIT)
    assert len(played.trials()) == count
    for name, line in played.trials().items():
        assert re.fullmatch(r"TrainMNIST_\d+_lr=[\de.-]+,momentum=[\d.]+", name)
        assert progress(line)[0] == "TERMINATED"
    for folder in played.folders("TrainMNIST"):
        assert list(folder.glob("checkpoint_*/model.pth"))
        assert list(folder.glob("checkpoint_*/model.pth.tune_metadata"))
        assert "Namespace(" in json.loads((folder / "params.json").read_text())["args"]
