"""``Trainable``: on its own, and in a run (1.3)."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import pytest

from tests.compat.stage import act
from tunesmith.compat.ray.errors import TuneError
from tunesmith.compat.ray.trainable import ExportFormat, Trainable


class Count(Trainable):
    def _setup(self, config: dict[str, Any]) -> None:
        self.popped = config.pop("args", None)
        self.x = 0

    def _train(self) -> dict[str, Any]:
        self.x += 1
        return {"mean_loss": 1 / self.x, "timesteps_this_iter": 10, "episodes_this_iter": 0}

    def _save(self, checkpoint_dir: str) -> str | dict[str, Any]:
        path = f"{checkpoint_dir}/state"
        Path(path).write_text(str(self.x))
        Path(checkpoint_dir, "beside").write_text("kept")
        return path

    def _restore(self, checkpoint: Any) -> None:
        self.beside = Path(checkpoint).with_name("beside").read_text()
        self.x = int(Path(checkpoint).read_text())


class Dicts(Count):
    def _save(self, checkpoint_dir: str) -> dict[str, Any]:
        return {"x": self.x}

    def _restore(self, checkpoint: Any) -> None:
        self.x = checkpoint["x"]


@pytest.fixture(autouse=True)
def _home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tunesmith.compat.ray.trainable.DEFAULT_RESULTS_DIR", str(tmp_path / "results"))


def test_a_result_has_all_that_is_counted_and_measured() -> None:
    trainable = Count(config={"a": 1, "args": 2})
    trainable.train()
    result = trainable.train()
    assert set(result) == {
        "mean_loss", "neg_mean_loss", "timesteps_this_iter", "episodes_this_iter", "time_this_iter_s", "done",
        "timesteps_total", "episodes_total", "training_iteration", "experiment_id", "date", "timestamp",
        "time_total_s", "pid", "hostname", "node_ip", "config", "time_since_restore", "timesteps_since_restore",
        "iterations_since_restore",
    }  # fmt: skip
    assert result["neg_mean_loss"] == -0.5
    assert (result["timesteps_total"], result["episodes_total"], result["training_iteration"]) == (20, 0, 2)
    assert (result["timesteps_since_restore"], result["iterations_since_restore"]) == (20, 2)
    assert result["done"] is False
    assert result["config"] == {"a": 1, "args": 2}
    assert len(result["experiment_id"]) == 32


def test_setup_gets_a_copy_and_the_configuration_keeps_its_keys() -> None:
    config = {"args": [1]}
    trainable = Count(config=config)
    assert trainable.popped == [1]
    assert trainable.popped is not config["args"]
    assert trainable.config == config == {"args": [1]}


def test_what_was_never_reported_is_none_and_what_is_given_counts() -> None:
    class Plain(Trainable):
        def _train(self) -> dict[str, Any]:
            return {"time_this_iter_s": 5.0, "training_iteration": 70, "done": 1}

    result = Plain().train()
    assert result["timesteps_total"] is None
    assert result["episodes_total"] is None
    assert (result["time_total_s"], result["training_iteration"], result["done"]) == (5.0, 70, 1)


@pytest.mark.parametrize("cls", [Count, Dicts])
def test_a_checkpoint_holds_the_counters_and_the_state(cls: type[Count], tmp_path: Path) -> None:
    first = cls()
    for _ in range(3):
        first.train()
    path = first.save(str(tmp_path))
    assert Path(path).parent == tmp_path / "checkpoint_3"
    told = pickle.loads(Path(path + ".tune_metadata").read_bytes())
    assert told["iteration"] == 3
    assert told["timesteps_total"] == 30
    assert told["saved_as_dict"] is (cls is Dicts)
    second = cls()
    second.restore(path)
    result = second.train()
    assert (second.x, result["training_iteration"], result["timesteps_total"]) == (4, 4, 40)
    assert (result["iterations_since_restore"], result["timesteps_since_restore"]) == (1, 10)
    assert result["experiment_id"] == first.train()["experiment_id"]


@pytest.mark.parametrize("cls", [Count, Dicts])
def test_a_state_goes_through_bytes_with_all_its_files(cls: type[Count]) -> None:
    first = cls()
    first.train()
    second = cls()
    second.restore_from_object(first.save_to_object())
    assert (second.train()["training_iteration"], second.x) == (2, 2)
    assert getattr(second, "beside", "kept") == "kept"


@pytest.mark.parametrize("saved", [None, 7, "/elsewhere", ["x"]])
def test_what_save_returns_has_to_be_a_path_inside_or_a_dict(saved: Any) -> None:
    class Bad(Count):
        def _save(self, checkpoint_dir: str) -> Any:
            return saved

    with pytest.raises(ValueError, match=r"Bad\._save\(\) returned"):
        Bad().save()


def test_what_train_returns_has_to_be_a_dict() -> None:
    class Bad(Trainable):
        def _train(self) -> Any:
            return 7

    with pytest.raises(AssertionError, match=r"Bad\._train\(\) needs to return a dict of metrics, but it returned 7"):
        Bad().train()


def test_a_duplicate_is_returned_as_it_is() -> None:
    class Again(Trainable):
        def _train(self) -> dict[str, Any]:
            return {"__duplicate__": True}

    assert Again().train() == {"__duplicate__": True}


def test_on_its_own_it_logs_to_a_folder_of_the_results_and_stops(tmp_path: Path) -> None:
    class Ends(Count):
        def _stop(self) -> None:
            self.ended = True

    trainable = Ends(config={"b": 1})
    trainable.train()
    trainable.stop()
    assert trainable.ended
    assert Path(trainable.logdir).parent == tmp_path / "results"
    assert {path.name for path in Path(trainable.logdir).iterdir()} >= {"result.json", "progress.csv", "params.json"}


def test_a_model_is_exported_where_it_is_wanted(tmp_path: Path) -> None:
    class Model(Count):
        def _export_model(self, export_formats: list[str], export_dir: str) -> dict[str, str]:
            return dict.fromkeys(export_formats, export_dir)

    assert Model().export_model([" Model "], str(tmp_path)) == {"model": str(tmp_path)}
    with pytest.raises(TuneError, match="Unsupported export format: onnx"):
        Model().export_model("onnx")
    with pytest.raises(TuneError):
        ExportFormat.validate(["x"])


# -- in a run


def test_methods_of_its_authors_own_may_have_any_name(tmp_path: Path) -> None:
    body = """
class Free(Count):
    def _setup(self, config):
        super(Free, self)._setup(config)
        self.iteration = 100
        self.trial_id = "mine"
        self.setup("a")
    def setup(self, what):
        self.what = what
    def step(self):
        return 1 / 0
    def cleanup(self):
        return 1 / 0
    def save_checkpoint(self):
        return 1 / 0
    def _train(self):
        self.iteration += 1
        return {"mean_loss": self.iteration, "what": self.what, "id": self.trial_id}
[t] = run(Free, stop={"training_iteration": 2}, checkpoint_at_end=True, verbose=0)
tell([t.last_result[name] for name in ("mean_loss", "what", "id", "training_iteration")])
"""
    assert act(tmp_path, body).told == [102, "a", "mine", 2]


def test_a_namespace_in_the_configuration_is_each_trials_own(tmp_path: Path) -> None:
    body = """
import argparse
class Args(Trainable):
    def _setup(self, config):
        args = config.pop("args")
        vars(args).update(config)
        self.args = args
    def _train(self):
        return {"mean_loss": self.args.lr, "kept": "args" in self.config}
args = argparse.Namespace(lr=0.5, seed=1)
trials = run(Args, config={"args": args, "lr": grid_search([0.1, 0.2])}, stop={"training_iteration": 1}, verbose=0)
params = [json.load(open(os.path.join(t.logdir, "params.json"))) for t in trials]
tell([[str(t), t.last_result["mean_loss"], t.last_result["kept"], t.config["args"].lr] for t in trials])
print(params)
"""
    played = act(tmp_path, body)
    assert played.told == [["Args_0_lr=0.1", 0.1, True, 0.5], ["Args_1_lr=0.2", 0.2, True, 0.5]]
    assert "'args': 'Namespace(lr=0.5, seed=1)'" in played.out


@pytest.mark.parametrize("method", ["_setup", "_train", "_save", "_log_result"])
def test_a_method_that_raises_is_named(tmp_path: Path, method: str) -> None:
    body = f"""
class Bad(Count):
    def {method}(self, *args):
        raise IOError("no disk")
[t] = run(Bad, stop={{"training_iteration": 1}}, checkpoint_at_end=True, verbose=0, raise_on_failed_trial=False)
tell([t.status, open(t.error_file).read()])
"""
    status, story = act(tmp_path, body).told
    assert status == "ERROR"
    assert story.startswith(f"Bad.{method} raised OSError: no disk")
    assert 'raise IOError("no disk")' in story


def test_a_restore_that_raises_never_goes_on_with_fresh_weights(tmp_path: Path) -> None:
    body = """
class Bad(Count):
    def _train(self):
        if self.x == 2:
            raise RuntimeError("falls")
        return super(Bad, self)._train()
    def _restore(self, path):
        raise TypeError("a path is no state")
[t] = run(Bad, stop={"training_iteration": 9}, checkpoint_freq=1, max_failures=1, raise_on_failed_trial=False)
tell([t.status, t.num_failures, t.last_result["training_iteration"], open(t.error_file).read()])
"""
    status, failures, iterations, story = act(tmp_path, body).told
    assert (status, failures, iterations) == ("ERROR", 2, 2)
    assert "Bad._restore raised TypeError: a path is no state" in story


def test_a_save_that_returns_nothing_is_told(tmp_path: Path) -> None:
    body = """
class Bad(Count):
    def _save(self, folder):
        pass
[t] = run(Bad, stop={"training_iteration": 1}, checkpoint_at_end=True, verbose=0, raise_on_failed_trial=False)
tell([t.status, open(t.error_file).read()])
"""
    status, story = act(tmp_path, body).told
    assert status == "ERROR"
    assert "`_save` must return a dict or string type: Bad._save() returned None" in story


def test_a_class_may_be_in_the_script_with_models_that_it_pickles_itself(tmp_path: Path) -> None:
    body = """
import pickle
class Model(object):
    def __init__(self):
        self.w = 1
class Pickles(Count):
    def _setup(self, config):
        super(Pickles, self)._setup(config)
        self.model = Model()
    def _save(self, folder):
        path = os.path.join(folder, "model.pkl")
        with open(path, "wb") as f:
            pickle.dump(self.model, f)
        return path
    def _restore(self, path):
        with open(path, "rb") as f:
            self.model = pickle.load(f)
[t] = run(Pickles, stop={"training_iteration": 2}, checkpoint_at_end=True, verbose=0)
tell([t.status, t.has_checkpoint()])
"""
    assert act(tmp_path, body).told == ["TERMINATED", True]


def test_log_result_sees_the_complete_result_in_the_trials_process(tmp_path: Path) -> None:
    body = """
class Logs(Count):
    def _log_result(self, result):
        with open(os.path.join(self.logdir, "mine.txt"), "a") as f:
            f.write("%s %s %s\\n" % (result["training_iteration"], result["pid"] == os.getpid(), "config" in result))
[t] = run(Logs, stop={"training_iteration": 2}, verbose=0)
tell(open(os.path.join(t.logdir, "mine.txt")).read())
"""
    assert act(tmp_path, body).told == "1 True True\n2 True True\n"
