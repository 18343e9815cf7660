"""A conversation with an executor, whatever its kind, and trainables to talk about."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import tunesmith as tune
from tunesmith.commands import Continue, Start, WorkerCommand
from tunesmith.events import Completed, Damaged, Failed, Lost, Paused, Reported, Stopped, WorkerEvent
from tunesmith.executors.protocol import Executor
from tunesmith.resources import Allocation, Resources
from tunesmith.worker.job import Job

PATIENCE_S = 60.0

KINDS: dict[str, Callable[[], tuple[Executor, bool]]] = {
    "inline": lambda: (tune.InlineExecutor(), False),
    "inline, kept": lambda: (tune.InlineExecutor(), True),
    "local": lambda: (tune.LocalExecutor(cpus=4, gpus=2), False),
    "local, kept": lambda: (tune.LocalExecutor(cpus=4, gpus=2), True),
    "local, spawned": lambda: (tune.LocalExecutor(cpus=4, start="spawn"), False),
}

# These need Ray, and join the one that the fixture `started_ray` has started.
RAY_KINDS: dict[str, Callable[[], tuple[Executor, bool]]] = {
    "ray": lambda: (tune.RayExecutor(), False),
    "ray, kept": lambda: (tune.RayExecutor(), True),
}


class Talk:
    """A conversation with an executor."""

    def __init__(self, executor: Executor, keep: bool, path: Path) -> None:
        self.executor, self.keep, self.path = executor, keep, path
        self.arrived: list[WorkerEvent] = []
        self.total = Resources()

    def open(self, trainable: Any, **job: Any) -> Talk:
        self.total = self.executor.open(
            Job(trainable, job.pop("parameters", {}), str(self.path), "e1", "experiment", metric="loss", **job),
            self.keep,
        )
        return self

    def start(self, trial: int, config: Any = None, incarnation: int = 1, **rest: Any) -> None:
        allocation = rest.pop("allocation", Allocation(Resources()))
        folder = f"trial-{trial}"
        self.tell(Start(trial, incarnation, f"id{trial}", f"name{trial}", folder, config or {}, allocation, **rest))

    def tell(self, *commands: WorkerCommand) -> None:
        self.executor.obey(commands)

    def wait(self, kind: type[WorkerEvent] | tuple[type[WorkerEvent], ...], trial: int = 0) -> Any:
        """Return the next event of this kind and trial; others stay."""
        until = time.monotonic() + PATIENCE_S
        while True:
            for event in self.arrived:
                if isinstance(event, kind) and event.trial == trial:
                    self.arrived.remove(event)
                    return event
            assert time.monotonic() < until, f"{kind} did not come; there are {self.arrived}"
            self.arrived += self.executor.poll(1.0)

    def end(self, trial: int = 0) -> Any:
        """Answer all reports of the trial until its end and return that."""
        while True:
            event = self.wait((Reported, Completed, Damaged, Failed, Lost, Stopped, Paused), trial)
            if type(event) is not Reported:
                return event
            self.tell(Continue(trial, event.incarnation))


def two_reports(config: dict[str, Any]) -> None:
    tune.report(loss=config.get("x", 0.5))
    tune.report(loss=0.25)


class Steps(tune.Trainable):
    def setup(self, config: dict[str, Any]) -> None:
        self.total = config.get("start", 0)

    def step(self) -> dict[str, Any]:
        self.total += 1
        return {"loss": float(self.total)}

    def save_checkpoint(self, checkpoint_dir: str) -> None:
        Path(checkpoint_dir, "total").write_text(str(self.total))

    def load_checkpoint(self, checkpoint_dir: str) -> None:
        self.total = int(Path(checkpoint_dir, "total").read_text())
