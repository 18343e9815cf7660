"""A model of PyTorch goes where its trial goes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import tunesmith as tune
from tests.conftest import Run
from tunesmith.integrations.torch import device, load, save

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.heavy


def make(momentum: float = 0.9) -> tuple[Any, Any]:
    torch.manual_seed(0)
    model = torch.nn.Linear(3, 1).to(device())
    return model, torch.optim.SGD(model.parameters(), lr=0.05, momentum=momentum)


def step(model: Any, optimizer: Any) -> float:
    optimizer.zero_grad()
    loss = (model(torch.ones(4, 3, device=device())) - 1).pow(2).mean()
    loss.backward()
    optimizer.step()
    return float(loss.item())


def test_a_model_and_its_optimiser_go_on_as_if_nothing_had_happened(tmp_path: Path) -> None:
    model, optimizer = make()
    for _ in range(3):
        step(model, optimizer)
    save(tmp_path / "s", model=model, optimizer=optimizer, epoch=3, note=("a", [1, None]))
    straight = [step(model, optimizer) for _ in range(3)]
    other, its_optimizer = make()
    rest = load(tmp_path / "s", model=other, optimizer=its_optimizer)
    assert rest == {"epoch": 3, "note": ("a", [1, None])}
    assert [step(other, its_optimizer) for _ in range(3)] == straight


def test_a_trial_that_fails_goes_on_from_its_checkpoint(run: Run, tmp_path: Path) -> None:
    def train(config: dict[str, Any]) -> None:
        model, optimizer = make(config["momentum"])
        state = load(tune.get_checkpoint(), model=model, optimizer=optimizer)
        for epoch in range(state.get("epoch", -1) + 1, 6):
            if config["fails"] and epoch == 3 and not state:
                raise RuntimeError("once")
            loss = step(model, optimizer)
            tune.report(loss=loss, checkpoint=save(model=model, optimizer=optimizer, epoch=epoch))

    space = {"momentum": 0.9, "fails": tune.grid_search([True, False])}
    failing, straight = run(train, space, max_failures=1)
    assert failing.failures == 1
    assert [r["loss"] for r in failing.history] == [r["loss"] for r in straight.history]


def test_nothing_to_load_is_no_error() -> None:
    model, _ = make()
    assert load(None, model=model) == {}


def test_a_checkpoint_that_would_run_code_is_refused(tmp_path: Path) -> None:
    class Evil:
        def __reduce__(self) -> Any:
            return Path.touch, (tmp_path / "touched",)

    torch.save({"model": Evil()}, tmp_path / "state.pt")
    with pytest.raises(tune.StorageError, match="more than tensors and plain values"):
        load(tmp_path)
    assert not (tmp_path / "touched").exists()


def test_what_could_not_be_loaded_is_not_saved(tmp_path: Path) -> None:
    with pytest.raises(tune.ArgumentError, match="'history' holds a PosixPath"):
        save(tmp_path / "s", history=[tmp_path])


def test_what_is_not_there_is_named(tmp_path: Path) -> None:
    model, optimizer = make()
    save(tmp_path, model=model)
    with pytest.raises(tune.ArgumentError, match=r"There is no 'optimizer' in .*; it has model"):
        load(tmp_path, optimizer=optimizer)
    with pytest.raises(tune.StorageError, match=r"There is no .*state\.pt"):
        load(tmp_path / "none")
    (tmp_path / "state.pt").write_bytes(b"torn")
    with pytest.raises(tune.StorageError, match="can't be read"):
        load(tmp_path)
