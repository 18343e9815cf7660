"""A model of Keras reports by itself and goes on where it was. The backend is PyTorch."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

import tunesmith as tune
from tests.conftest import Run

pytest.importorskip("torch")
os.environ.setdefault("KERAS_BACKEND", "torch")
keras = pytest.importorskip("keras")
pytestmark = [pytest.mark.heavy, pytest.mark.filterwarnings("default")]

from tunesmith.integrations.keras import ReportCallback, restore, save  # noqa: E402 - after the choice of the backend


def make() -> Any:
    keras.utils.set_random_seed(0)
    model = keras.Sequential([keras.layers.Input((3,)), keras.layers.Dense(4), keras.layers.Dense(1)])
    model.compile(optimizer=keras.optimizers.Adam(0.01), loss="mse", metrics=["mae"])
    return model


def fit(model: Any, *callbacks: Any, epochs: int = 1, **more: Any) -> Any:
    import numpy as np

    x = np.arange(24, dtype="float32").reshape(8, 3) / 24
    return model.fit(
        x, x[:, :1], epochs=epochs, batch_size=2, shuffle=False, verbose=0, callbacks=list(callbacks), **more
    )


def test_each_epoch_is_reported_and_saved(run: Run) -> None:
    (trial,) = run(lambda config: fit(make(), ReportCallback(), epochs=3) and None, {}, executor="inline")
    losses = [result["loss"] for result in trial.history]
    assert len(losses) == 3
    assert losses[-1] < losses[0]
    assert {"loss", "mae"} <= trial.history[0].keys()
    assert Path(trial.checkpoint.path, "model.weights.h5").exists()


def test_batches_are_reported_every_so_often(run: Run) -> None:
    reporter = ReportCallback({"loss": "loss"}, on="batch", every=2, save_every=0)
    (trial,) = run(lambda config: fit(make(), reporter, epochs=3) and None, {}, executor="inline")
    assert len(trial.history) == 6  # of 12 batches
    assert trial.checkpoint is None
    assert "mae" not in trial.history[0]


def test_a_trial_that_fails_goes_on_from_its_checkpoint(run: Run) -> None:
    class Fault(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
            if epoch == 3 and tune.get_context().iteration == 3 and not Path("failed").exists():
                Path("failed").touch()
                raise RuntimeError("once")

    def train(config: dict[str, Any]) -> None:
        model = make()
        first = restore(model)
        more = [Fault()] if config["fails"] else []
        fit(model, *more, ReportCallback(), epochs=6, initial_epoch=first)

    space = {"fails": tune.grid_search([True, False])}
    failing, straight = run(train, space, max_failures=1, max_concurrent_trials=1)
    assert failing.failures == 1, failing.error
    assert [r["loss"] for r in failing.history] == pytest.approx([r["loss"] for r in straight.history], rel=1e-5)
    assert len(straight.history) == 6


def test_a_checkpoint_of_another_model_is_refused(tmp_path: Path) -> None:
    checkpoint = save(make(), str(tmp_path / "s"))
    other = keras.Sequential([keras.layers.Input((3,)), keras.layers.Dense(5), keras.layers.Dense(1)])
    with pytest.raises(tune.StorageError, match="can't be put into this model"):
        restore(other, checkpoint)


def test_wrong_arguments_are_refused(run: Run) -> None:
    with pytest.raises(tune.ArgumentError, match="on must be 'epoch' or 'batch'"):
        ReportCallback(on="step")
    with pytest.raises(tune.ArgumentError, match="every must be 1 or more"):
        ReportCallback(every=0)
    reporter = ReportCallback(["val_loss"])
    (trial,) = run(lambda config: fit(make(), reporter) and None, {}, executor="inline")
    assert "has not logged 'val_loss'" in str(trial.error)
