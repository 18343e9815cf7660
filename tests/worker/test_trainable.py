"""Class trainables on their own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import tunesmith as tune


class Count(tune.Trainable):
    def setup(self, config: dict[str, Any]) -> None:
        self.value = config["start"]
        self.cleaned = False
        config.pop("start")  # its own copy

    def step(self) -> dict[str, Any]:
        self.value += 1
        return {"value": self.value, "timesteps_this_iter": 10}

    def save_checkpoint(self, checkpoint_dir: str) -> Any:
        return {"value": self.value}

    def load_checkpoint(self, checkpoint: Any) -> None:
        self.value = checkpoint["value"]

    def cleanup(self) -> None:
        self.cleaned = True


def test_it_trains_without_a_run() -> None:
    trainable = Count(config={"start": 5})
    assert trainable.config == {"start": 5}
    assert trainable.iteration == 0
    first, second = trainable.train(), trainable.train()
    assert (first["value"], first["training_iteration"], first["timesteps_total"]) == (6, 1, 10)
    assert (second["value"], second["training_iteration"], second["timesteps_total"]) == (7, 2, 20)
    assert second["time_total_s"] >= second["time_this_iter_s"] >= 0
    assert second["done"] is False
    trainable.stop()
    assert trainable.cleaned


def test_it_saves_and_another_one_goes_on(tmp_path: Path) -> None:
    one = Count(config={"start": 0})
    one.train()
    one.train()
    path = one.save(tmp_path)
    assert Path(path).parent == tmp_path
    other = Count(config={"start": 100})
    other.restore(path)
    assert (other.value, other.iteration) == (2, 2)
    assert other.train()["timesteps_total"] == 30


class ByFile(Count):
    def save_checkpoint(self, checkpoint_dir: str) -> Any:
        path = Path(checkpoint_dir, "model.txt")
        path.write_text(str(self.value))
        return str(path)

    def load_checkpoint(self, checkpoint: Any) -> None:
        self.value = int(Path(checkpoint).read_text())


class ByFolder(Count):
    def save_checkpoint(self, checkpoint_dir: str) -> None:
        Path(checkpoint_dir, "a.txt").write_text(str(self.value))

    def load_checkpoint(self, checkpoint: Any) -> None:
        self.value = int(Path(checkpoint, "a.txt").read_text())


@pytest.mark.parametrize("cls", [Count, ByFile, ByFolder])
def test_a_checkpoint_is_a_dict_a_file_or_a_folder(cls: type[Count], tmp_path: Path) -> None:
    one = cls(config={"start": 3})
    one.train()
    path = Path(one.save(tmp_path / "here"))
    moved = path.rename(tmp_path / "moved")  # nothing in it says where it was
    other = cls(config={"start": 0})
    other.restore(moved)
    assert other.value == 4


def test_what_cannot_be_kept_is_refused(tmp_path: Path) -> None:
    class Strange(Count):
        def save_checkpoint(self, checkpoint_dir: str) -> Any:
            return 3

    class Elsewhere(Count):
        def save_checkpoint(self, checkpoint_dir: str) -> Any:
            return str(tmp_path)

    with pytest.raises(tune.TunesmithError, match=r"Strange.save_checkpoint\(\) must return None, a dict, or a path"):
        Strange(config={"start": 0}).save(tmp_path)
    with pytest.raises(tune.TunesmithError, match=r"not an existing path inside the directory"):
        Elsewhere(config={"start": 0}).save(tmp_path)
    with pytest.raises(tune.StorageError, match=r"no checkpoint of a class trainable"):
        Count(config={"start": 0}).restore(tmp_path)


def test_the_base_class_needs_no_call_from_its_subclass() -> None:
    class Silent(tune.Trainable):
        def __init__(self, config: dict[str, Any]) -> None:
            self.mine = config["x"]  # no super().__init__

        def step(self) -> dict[str, Any]:
            return {"x": self.mine + self.config["x"]}

    assert Silent({"x": 2}).train()["x"] == 4


def test_parameters_reach_setup() -> None:
    class WithData(tune.Trainable):
        def setup(self, config: dict[str, Any], data: Any = None) -> None:
            self.data = data

        def step(self) -> dict[str, Any]:
            return {"n": len(self.data)}

    assert WithData({}, data=[1, 2]).train()["n"] == 2
    with pytest.raises(tune.ArgumentError, match=r"WithData.setup\(\) has no parameter 'dat'.*Did you mean 'data'"):
        tune.with_parameters(WithData, dat=1)


def test_options_of_functions() -> None:
    def train(config: dict[str, Any], data: Any) -> float:
        return float(config["x"] + sum(data))

    tied = tune.with_parameters(train, data=[1, 2])
    assert tied({"x": 3}) == 6.0
    with pytest.raises(tune.ArgumentError, match="no parameter 'extra'"):
        tune.with_parameters(train, extra=3)
    with pytest.raises(tune.ArgumentError, match="resources must be a mapping"):
        tune.with_resources(train, 3)  # type: ignore[arg-type]
    both = tune.with_resources(tied, {"cpu": 2})
    assert "data" in repr(both)
    assert "cpu" in repr(both)
