"""PyTorch: what a trial has to do to save its model, to go on with it, and to find its device."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from tunesmith.errors import ArgumentError, MissingPackageError, StorageError
from tunesmith.worker.checkpoint import Checkpoint

_NAME = "state.pt"
_PLAIN = (str, bytes, int, float, bool, type(None))


def device() -> Any:
    """Return the ``torch.device`` of the present process: its first GPU, or the CPU.

    A trial sees the GPUs that it was granted and no others, so that the first one is its own. Apple's GPUs count.

    Raises:
        MissingPackageError: PyTorch is not installed.

    Example:
        >>> model = Net().to(device())  # doctest: +SKIP
    """
    torch = _torch()
    if torch.cuda.is_available():
        return torch.device("cuda", 0)
    return torch.device("mps" if torch.backends.mps.is_available() else "cpu")


def save(folder: str | os.PathLike[str] = "state", **parts: Any) -> Checkpoint:
    """Write the state of `parts` to `folder`, which is made if need be, and return it as a checkpoint to report.

    A part is whatever has a ``state_dict()``, such as a model, an optimiser or a schedule of learning rates; or a
    tensor; or a plain value, or a list, tuple or dict of these. A folder that holds a state already keeps it until the
    new one is whole.

    Raises:
        ArgumentError: a part is something else, which could not be loaded again safely.
        MissingPackageError: PyTorch is not installed.

    Example:
        >>> checkpoint = save(model=model, optimizer=optimizer, epoch=3)  # doctest: +SKIP
        >>> tune.report(loss=0.3, checkpoint=checkpoint)  # doctest: +SKIP
    """
    torch = _torch()
    state = {}
    for name, part in parts.items():
        if not hasattr(part, "state_dict"):
            _check(torch, name, part)
        state[name] = part.state_dict() if hasattr(part, "state_dict") else part
    target = Path(folder, _NAME)
    target.parent.mkdir(parents=True, exist_ok=True)
    aside = target.with_suffix(".tmp")
    torch.save(state, aside)
    aside.replace(target)
    return Checkpoint.from_directory(folder)


def load(source: Checkpoint | str | os.PathLike[str] | None, **parts: Any) -> dict[str, Any]:
    """Put what `save` has written into `parts`, wherever they are, and return all that is not a part.

    `source` is a checkpoint or a folder. With None, which is what `tunesmith.get_checkpoint` returns when a trial
    begins, nothing is loaded and an empty dict returned. Only tensors and plain values are read, no code is run, so
    that a checkpoint from a stranger is safe.

    Raises:
        StorageError: there is no such state, or it can't be read safely.
        ArgumentError: the state has no such part.
        MissingPackageError: PyTorch is not installed.

    Example:
        >>> state = load(tune.get_checkpoint(), model=model, optimizer=optimizer)  # doctest: +SKIP
        >>> for epoch in range(state.get("epoch", -1) + 1, 10): ...  # doctest: +SKIP
    """
    torch = _torch()
    if source is None:
        return {}
    path = Path(source.path if isinstance(source, Checkpoint) else source, _NAME)
    try:
        state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError as error:
        raise StorageError(f"There is no {path}: tunesmith.integrations.torch.save has not written it.") from error
    except Exception as error:  # a damaged pickle may raise anything
        raise StorageError(
            f"{path} can't be read: it is damaged, or holds more than tensors and plain values ({error!s:.300})."
        ) from error
    for name, part in parts.items():
        if name not in state:
            raise ArgumentError(f"There is no {name!r} in {path}; it has {', '.join(sorted(state)) or 'nothing'}.")
        part.load_state_dict(state[name])
    return {name: value for name, value in state.items() if name not in parts}


def _check(torch: Any, name: str, value: Any) -> None:
    """Refuse what could only be loaded by running code."""
    if isinstance(value, dict):
        for key, inner in value.items():
            _check(torch, name, key)
            _check(torch, name, inner)
    elif isinstance(value, (list, tuple)):
        for inner in value:
            _check(torch, name, inner)
    elif type(value) not in _PLAIN and not isinstance(value, torch.Tensor):
        raise ArgumentError(
            f"{name!r} holds a {type(value).__name__}, which can't be loaded again safely. Save tensors, plain values, "
            "or objects with a state_dict(); make a NumPy value a tensor or a number."
        )


def _torch() -> Any:
    try:
        import torch
    except ImportError as error:
        raise MissingPackageError('This needs PyTorch: pip install "tunesmith[torch]"') from error
    return torch
