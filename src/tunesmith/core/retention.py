"""Which checkpoints may be deleted."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator

from tunesmith import events as e
from tunesmith.trial import CheckpointRef

_DEMANDED = (e.Saved, e.Paused, e.Released)  # what the run itself has asked for, not the user


class Retention:
    """The fold of the checkpoints that were made.

    Kept are the last `keep` that each trial made by itself or by the user's settings, all of them when None; besides
    these the last one that the run has asked a trial for, while the trial has no newer one; and whatever another trial
    goes on from until it has one of its own.
    """

    def __init__(self, keep: int | None = None) -> None:
        self.keep = keep
        self._kept: dict[int, deque[CheckpointRef]] = {}
        self._demanded: dict[int, CheckpointRef] = {}
        self._borrowed: dict[int, str] = {}  # by the trial that goes on from another one's: its path
        self._postponed: dict[str, CheckpointRef] = {}

    def apply(self, event: e.Event) -> tuple[CheckpointRef, ...]:
        """Fold an event and return the checkpoints that nothing needs any more."""
        kind = type(event)
        if kind is e.Cloned:
            return tuple(self._clone(event))  # type: ignore[arg-type]  # narrowed by the line above
        if kind is e.Reopened and event.checkpoint is None:  # type: ignore[attr-defined]  # as above
            return tuple(self._begin_again(event.trial))  # type: ignore[attr-defined]  # as above
        checkpoint: CheckpointRef | None = getattr(event, "checkpoint", None)
        if checkpoint is None or not isinstance(event, e.WorkerEvent):
            return ()
        if kind is e.Placed:
            return tuple(self._go_back(event.trial, checkpoint))
        if isinstance(event, _DEMANDED):
            return tuple(self._demand(event.trial, checkpoint))
        return tuple(self._keep(event.trial, checkpoint))

    def _clone(self, event: e.Cloned) -> Iterator[CheckpointRef]:
        before = self._borrowed.get(event.trial)
        self._borrowed[event.trial] = event.checkpoint.path
        yield from self._not_needed(before)
        yield from self._drop(self._demanded.pop(event.trial, None))

    def _begin_again(self, trial: int) -> Iterator[CheckpointRef]:
        """Drop all that a trial has saved: it goes on from nothing."""
        for checkpoint in self._kept.pop(trial, ()):
            yield from self._drop(checkpoint)
        yield from self._drop(self._demanded.pop(trial, None))
        yield from self._give_back(trial)

    def _go_back(self, trial: int, checkpoint: CheckpointRef) -> Iterator[CheckpointRef]:
        """Drop what was saved after the checkpoint that the trial goes on from: it belongs to work that is undone."""
        kept = self._kept.get(trial, ())
        known = next((i for i, other in enumerate(kept) if other.path == checkpoint.path), None)
        if known is not None:
            for _ in range(len(kept) - known - 1):
                yield from self._drop(self._kept[trial].pop())

    def _demand(self, trial: int, checkpoint: CheckpointRef) -> Iterator[CheckpointRef]:
        if any(other.path == checkpoint.path for other in self._kept.get(trial, ())):
            return
        before = self._demanded.get(trial)
        if before is None or before.path != checkpoint.path:
            self._demanded[trial] = checkpoint
            yield from self._drop(before)
        yield from self._give_back(trial)

    def _keep(self, trial: int, checkpoint: CheckpointRef) -> Iterator[CheckpointRef]:
        yield from self._drop(self._demanded.pop(trial, None), unless=checkpoint)
        yield from self._give_back(trial)
        kept = self._kept.setdefault(trial, deque())
        if not any(other.path == checkpoint.path for other in kept):
            kept.append(checkpoint)
        while self.keep is not None and len(kept) > self.keep:
            yield from self._drop(kept.popleft())

    def _give_back(self, trial: int) -> Iterator[CheckpointRef]:
        yield from self._not_needed(self._borrowed.pop(trial, None))

    def _not_needed(self, path: str | None) -> Iterator[CheckpointRef]:
        """Let go of what was to go once nobody goes on from it."""
        if path in self._postponed and path not in self._borrowed.values():
            yield self._postponed.pop(path)

    def _drop(self, checkpoint: CheckpointRef | None, unless: CheckpointRef | None = None) -> Iterator[CheckpointRef]:
        """Let go of a checkpoint, or remember to do so when nobody goes on from it any more."""
        if checkpoint is None or (unless is not None and unless.path == checkpoint.path):
            return
        if checkpoint.path in self._borrowed.values():
            self._postponed[checkpoint.path] = checkpoint
        else:
            yield checkpoint
