"""The launcher, the names that it makes, and what it says of those that are not there."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.compat.stage import ROOT, act, play


def test_a_script_finds_itself_as_if_python_had_been_started_with_it(tmp_path: Path) -> None:
    (tmp_path / "beside.py").write_text("VALUE = 7\n")
    played = act(
        tmp_path, "import beside\ntell([__name__, os.path.basename(__file__), sys.argv[1:], beside.VALUE])", "--a", "b"
    )
    assert played.told == ["__main__", "script.py", ["--a", "b"], 7]


def test_workers_find_rays_names_in_modules_and_in_functions(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(
        "from ray.tune import Trainable\n"
        "class Mine(Trainable):\n"
        "    def _train(self):\n"
        "        from ray.tune.util import merge_dicts\n"
        "        import ray.tune.schedulers\n"
        "        return {'mean_accuracy': merge_dicts({'a': 1}, {'a': 2})['a']}\n"
    )
    played = act(
        tmp_path,
        "from mine import Mine\n"
        "[trial] = run(Mine, stop={'training_iteration': 1}, verbose=0)\n"
        "tell(trial.last_result['mean_accuracy'])",
    )
    assert played.told == 2


def test_a_ray_that_is_installed_is_not_touched(tmp_path: Path) -> None:
    (tmp_path / "ray").mkdir()
    (tmp_path / "ray" / "__init__.py").write_text("REAL = True\n")
    played = act(tmp_path, "tell(hasattr(ray, 'REAL'))")
    assert played.told is False
    plain = subprocess.run(
        [sys.executable, "-c", "import tunesmith; import ray; print(ray.REAL)"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT / "src")},
        capture_output=True,
        text=True,
        check=True,
    )
    assert plain.stdout == "True\n"


def test_without_the_launcher_there_is_no_ray(tmp_path: Path) -> None:
    code = (
        "import sys, tunesmith.compat.ray.running\n"
        "print([finder for finder in sys.meta_path if 'Ray' in type(finder).__name__])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": str(ROOT / "src")},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "[]\n"


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("from ray.tune import rum", "has no 'ray.tune.rum'. Did you mean 'run'?"),
        ("from ray.tune.schedulers import AsyncHyperBand", "Did you mean 'AsyncHyperBandScheduler'?"),
        ("import ray.tune.loggers", "has no 'ray.tune.loggers'. Did you mean 'logger'?"),
        ("from ray import tune; tune.report(loss=1)", "reporter(mean_loss=...)"),
        ("import ray; ray.remote(print)", "Install Ray, start the script with plain python"),
        ("import ray.rllib.agents.ppo as ppo", "RLlib of today runs its algorithms by name"),
        ("from ray.tune.suggest.bayesopt import BayesOptSearch", "this searcher comes with a later version"),
        ("from ray.tune.suggest import NevergradSearch", "this searcher comes with a later version"),
        ("import ray; ray.init(redis_address='10.0.0.1:6379')", "runs trials on this machine"),
    ],
)
def test_a_name_that_is_not_there_is_told_with_what_to_use(tmp_path: Path, line: str, words: str) -> None:
    played = play(tmp_path, line)
    assert played.status == 1
    assert words in played.err


def test_a_syntax_error_is_shown_as_python_shows_it(tmp_path: Path) -> None:
    played = play(tmp_path, "import ray\nray.init(\n")
    assert played.status == 1
    assert 'script.py", line 2' in played.err
    assert "SyntaxError" in played.err
    assert "tunesmith" not in played.err


def test_a_character_that_only_looks_like_pythons_is_named(tmp_path: Path) -> None:
    played = play(tmp_path, "import ray\nx = 1\u3000# a comment\n")
    assert played.status == 1
    assert "Line 2 has '\u3000' (U+3000)" in played.err or "Line 2 has '\\u3000' (U+3000)" in played.err


def test_an_error_of_the_script_is_shown_from_its_own_first_line_on(tmp_path: Path) -> None:
    played = play(tmp_path, "import ray\n1 / 0\n")
    assert played.status == 1
    assert played.err.startswith("Traceback (most recent call last):\n  File")
    assert "__main__.py" not in played.err
    assert "ZeroDivisionError" in played.err


def test_a_script_chooses_its_own_exit_status(tmp_path: Path) -> None:
    assert play(tmp_path, "import sys\nsys.exit(3)").status == 3


def test_a_script_that_is_not_there_is_told_in_a_line(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tunesmith.compat.ray", "nowhere.py"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT / "src")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert done.stderr == "nowhere.py can't be read: No such file or directory.\n"


def test_ray_init_takes_what_it_took_and_says_what_there_is(tmp_path: Path) -> None:
    body = """
ray.init(num_cpus=3, num_gpus=0, object_store_memory=10**9, local_mode=False, logging_level=30)
ray.init(num_cpus=3, resources={"licence": 2}, ignore_reinit_error=True)
tell([ray.is_initialized(), ray.cluster_resources(), ray.__version__])
ray.shutdown()
"""
    assert act(tmp_path, body).told == [True, {"CPU": 3, "licence": 2}, "0.6.5"]


def test_deleting_the_layer_leaves_everything_else_whole(tmp_path: Path) -> None:
    shutil.copytree(ROOT / "src" / "tunesmith", tmp_path / "tunesmith", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.rmtree(tmp_path / "tunesmith" / "compat")
    code = """
import importlib, pkgutil
import tunesmith as tune
for module in pkgutil.walk_packages(tune.__path__, "tunesmith."):
    if not module.name.endswith("__main__"):
        importlib.import_module(module.name)
def train(config):
    tune.report(loss=config["x"])
if __name__ == "__main__":
    results = tune.run(train, {"x": tune.grid_search([1, 2])}, metric="loss", mode="min", verbose=0, storage_path=".")
    print(results.best_config, len(results.errors))
"""
    (tmp_path / "script.py").write_text(code)
    done = subprocess.run(
        [sys.executable, "script.py"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout == "{'x': 1} 0\n", done.stderr
