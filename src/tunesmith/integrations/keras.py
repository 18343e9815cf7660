"""Keras 3: a callback that reports what is logged and saves the model, and the way back."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from tunesmith.errors import ArgumentError, MissingPackageError, StorageError
from tunesmith.worker.checkpoint import Checkpoint
from tunesmith.worker.reporting import get_checkpoint, report

try:
    import keras
    from keras.callbacks import Callback as _Callback
except ImportError as error:  # Keras is missing, or its backend is
    _missing: ImportError | None = error
    _Callback = object
else:
    _missing = None

_WEIGHTS = "model.weights.h5"
_OPTIMIZER = "optimizer.npz"
_EPOCH = "epoch.json"


class ReportCallback(_Callback):  # type: ignore[misc]  # Keras has no types
    """Report to the trial what Keras logs, and save the model, after epochs or after batches.

    Args:
        metrics: the names to report, or a mapping of reported names to logged ones, such as
            ``{"accuracy": "val_accuracy"}``; all that is logged by default.
        on: ``"epoch"`` or ``"batch"``.
        every: report after every so many of them.
        save_every: save with every so many reports; 0 never saves.

    Raises:
        ArgumentError: an argument is wrong.
        MissingPackageError: Keras or its backend is not installed.

    Example::

        def train(config):
            model = build(config)
            model.fit(x, y, epochs=20, initial_epoch=restore(model), callbacks=[ReportCallback()])
    """

    def __init__(
        self,
        metrics: Iterable[str] | Mapping[str, str] | None = None,
        *,
        on: str = "epoch",
        every: int = 1,
        save_every: int = 1,
    ) -> None:
        _check_keras()
        super().__init__()
        if on not in ("epoch", "batch"):
            raise ArgumentError(f"on must be 'epoch' or 'batch'; got {on!r}.")
        if every < 1 or save_every < 0:
            raise ArgumentError(
                f"every must be 1 or more and save_every 0 or more; got every={every!r}, save_every={save_every!r}."
            )
        if metrics is not None:
            metrics = [metrics] if isinstance(metrics, str) else metrics
            metrics = dict(metrics) if isinstance(metrics, Mapping) else {name: name for name in metrics}
        self._metrics: dict[str, str] | None = metrics
        self._on, self._every, self._save_every = on, every, save_every
        self._passed = self._reports = self._epochs = 0

    def on_epoch_begin(self, epoch: int, logs: Mapping[str, Any] | None = None) -> None:
        """Remember how many epochs are complete."""
        self._epochs = epoch

    def on_epoch_end(self, epoch: int, logs: Mapping[str, Any] | None = None) -> None:
        """Report, if that is done by epochs."""
        self._epochs = epoch + 1
        self._pass("epoch", logs)

    def on_train_batch_end(self, batch: int, logs: Mapping[str, Any] | None = None) -> None:
        """Report, if that is done by batches."""
        self._pass("batch", logs)

    def _pass(self, what: str, logs: Mapping[str, Any] | None) -> None:
        if what != self._on:
            return
        self._passed += 1
        if self._passed % self._every:
            return
        self._reports += 1
        due = self._save_every and self._reports % self._save_every == 0
        report(self._chosen(logs or {}), checkpoint=save(self.model, epoch=self._epochs) if due else None)

    def _chosen(self, logs: Mapping[str, Any]) -> dict[str, Any]:
        if self._metrics is None:
            return dict(logs)
        missing = [name for name in self._metrics.values() if name not in logs]
        if missing:
            raise ArgumentError(
                f"Keras has not logged {missing[0]!r}; it has logged {', '.join(sorted(logs)) or 'nothing'}. "
                "A name with val_ needs validation data, and is there after an epoch only."
            )
        return {reported: logs[logged] for reported, logged in self._metrics.items()}


def save(model: Any, folder: str = "state", *, epoch: int = 0) -> Checkpoint:
    """Write the model's weights and its optimiser's state to `folder`, and return it as a checkpoint to report.

    `epoch` is the number of epochs that are complete.
    """
    import numpy as np

    place = Path(folder)
    place.mkdir(parents=True, exist_ok=True)
    model.save_weights(place / _WEIGHTS)
    optimizer = getattr(model, "optimizer", None)
    variables = optimizer.variables if optimizer is not None else []
    np.savez(place / _OPTIMIZER, *[keras.ops.convert_to_numpy(variable) for variable in variables])
    (place / _EPOCH).write_text(json.dumps({"epoch": epoch}), encoding="utf-8")
    return Checkpoint.from_directory(place)


def restore(model: Any, source: Checkpoint | None = None) -> int:
    """Put the state of a checkpoint into a compiled model and return the epoch to go on with, for ``initial_epoch``.

    `source` is the trial's own checkpoint by default. When there is none the model stays as it is, and 0 is returned.
    A checkpoint that was taken within an epoch leads back to that epoch's beginning, with the weights of the moment.

    Raises:
        StorageError: the checkpoint was not written by `save`, or is of another model.
        MissingPackageError: Keras or its backend is not installed.
    """
    _check_keras()
    import numpy as np

    checkpoint = get_checkpoint() if source is None else source
    if checkpoint is None:
        return 0
    place = Path(checkpoint.path)
    try:
        model.load_weights(place / _WEIGHTS)
        with np.load(place / _OPTIMIZER) as kept:
            arrays = [kept[name] for name in kept.files]
        epoch = int(json.loads((place / _EPOCH).read_text(encoding="utf-8"))["epoch"])
        optimizer = getattr(model, "optimizer", None)
        if optimizer is not None and arrays:
            optimizer.build(model.trainable_variables)
            for variable, array in zip(optimizer.variables, arrays, strict=True):
                variable.assign(array)
    except (OSError, ValueError, KeyError) as error:
        raise StorageError(f"{place} can't be put into this model: {error}") from error
    return epoch


def _check_keras() -> None:
    if _missing is not None:
        raise MissingPackageError(
            'This needs Keras 3 and a backend of it: pip install "tunesmith[keras]" and, for example, torch; '
            f"KERAS_BACKEND names the backend ({_missing})."
        ) from _missing
