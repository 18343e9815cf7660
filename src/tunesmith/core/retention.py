"""Which checkpoints may be deleted."""

from __future__ import annotations

from collections import deque

from tunesmith.events import Event, WorkerEvent
from tunesmith.trial import CheckpointRef


class Retention:
    """Keep the last `keep` checkpoints of each trial, all of them when None. The fold of the checkpoints reported."""

    def __init__(self, keep: int | None = None) -> None:
        self.keep = keep
        self._kept: dict[int, deque[CheckpointRef]] = {}

    def apply(self, event: Event) -> tuple[CheckpointRef, ...]:
        """Fold an event and return the checkpoints that nothing needs any more."""
        checkpoint: CheckpointRef | None = getattr(event, "checkpoint", None)
        if self.keep is None or checkpoint is None or not isinstance(event, WorkerEvent):
            return ()
        kept = self._kept.setdefault(event.trial, deque())
        known = next((i for i, other in enumerate(kept) if other.path == checkpoint.path), None)
        if known is not None:
            # Placed from an earlier checkpoint: what was saved after it belongs to work that is rolled back.
            dropped = [kept.pop() for _ in range(len(kept) - known - 1)]
            return tuple(dropped)
        kept.append(checkpoint)
        return tuple(kept.popleft() for _ in range(len(kept) - self.keep))
