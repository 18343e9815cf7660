"""Trainables that know what they must find, and a journal of what they were told, apart from the experiment.

Everything reported is a function of the configuration and the step. `chain` folds all steps from the first one on, so
that a step which was lost, done twice or done with another configuration shows in every later value.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path
from time import sleep
from typing import Any, NamedTuple

import tunesmith as tune
from tests.faults import points

STEP_S = 0.002  # what a step takes: long enough for a kill to meet one


def follow(chain: int, config: Mapping[str, Any], step: int) -> int:
    """Return the chain after one more step."""
    return _number(chain, config["x"], config["lr"], step)


def loss(config: Mapping[str, Any], step: int) -> float:
    """Return the metric of a step: it falls, and is better for some configurations than for others."""
    wobble = _number(config["x"], step) / 2**48
    return float((config["x"] - 0.3) ** 2 + config["lr"] + 1 / step + 0.1 * wobble)


def _number(*parts: Any) -> int:
    return int.from_bytes(sha256(repr(parts).encode()).digest()[:6], "big")


# -- the journal


class Line(NamedTuple):
    """``before`` a report is made, ``after`` it has returned; or ``torn``: a checkpoint that is not whole was given."""

    what: str
    trial: int
    pid: int
    step: int
    chain: int


class Journal:
    """A file of lines, each written in one piece by whichever process."""

    def __init__(self, path: str) -> None:
        self.path = path

    def write(self, what: str, trial: int, step: int, chain: int) -> None:
        fd = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644)
        os.write(fd, f"{what} {trial} {os.getpid()} {step} {chain}\n".encode())
        os.close(fd)

    def read(self) -> list[Line]:
        if not Path(self.path).exists():
            return []
        lines = (line.split() for line in Path(self.path).read_text().splitlines())
        return [Line(what, *map(int, numbers)) for what, *numbers in lines]

    def reports(self) -> int:
        """How many reports have returned."""
        return Path(self.path).read_bytes().count(b"after ") if Path(self.path).exists() else 0


# -- checkpoints


class State(NamedTuple):
    """What a trial carries from step to step."""

    step: int = 0
    chain: int = 0

    def save(self, folder: Path) -> None:
        """Write the state, and a sum over it, to several files."""
        folder.mkdir(exist_ok=True)
        text = json.dumps(self._asdict())
        (folder / "state.json").write_text(text)
        (folder / "weights").mkdir(exist_ok=True)
        (folder / "weights" / "block").write_bytes(sha256(text.encode()).digest() * 64)
        (folder / "sum").write_text(sha256(text.encode()).hexdigest())

    @classmethod
    def load(cls, folder: Path) -> State | None:
        """Read a state; None when it is not whole."""
        try:
            text = (folder / "state.json").read_text()
            found = sha256(text.encode())
            if (folder / "sum").read_text() != found.hexdigest():
                return None
            if (folder / "weights" / "block").read_bytes() != found.digest() * 64:
                return None
            return cls(**json.loads(text))
        except (OSError, ValueError):
            return None


def _resume(folder: str, trial: int, journal: Journal) -> State:
    state = State.load(Path(folder))
    if state is None:
        journal.write("torn", trial, 0, 0)
        raise RuntimeError(f"the checkpoint in {folder} is not whole")
    return state


# -- the trainables


def function(config: dict[str, Any], journal: str, length: int, every: int) -> None:
    """Report each step; save itself every so many."""
    trial, notes, checkpoint = tune.get_context().trial_number, Journal(journal), tune.get_checkpoint()
    state = _resume(checkpoint.path, trial, notes) if checkpoint else State()
    while state.step < length:
        sleep(STEP_S)
        step = state.step + 1
        state = State(step, follow(state.chain, config, step))
        saved = None
        if every and step % every == 0:
            state.save(Path("save"))
            saved = tune.Checkpoint.from_directory("save")
        notes.write("before", trial, *state)
        try:
            tune.report(loss=loss(config, step), chain=state.chain, checkpoint=saved)
        finally:  # also when the answer is to end here
            notes.write("after", trial, *state)


class Steps(tune.Trainable):
    """The same as a class. That a report has returned shows when it is called the next time."""

    def setup(self, config: dict[str, Any], journal: str, length: int, every: int) -> None:
        self.state, self.length, self.notes = State(), length, Journal(journal)
        self.told: tuple[int, int, int] | None = None

    def step(self) -> dict[str, Any]:
        self._acknowledge()
        sleep(STEP_S)
        step = self.state.step + 1
        self.state = State(step, follow(self.state.chain, self.config, step))
        self.told = (self._trial, *self.state)
        self.notes.write("before", *self.told)
        return {"loss": loss(self.config, step), "chain": self.state.chain, "done": step >= self.length}

    @property
    def _trial(self) -> int:
        return int(self.trial_id.rpartition("_")[2])

    def save_checkpoint(self, checkpoint_dir: str) -> None:
        self.state.save(Path(checkpoint_dir))

    def load_checkpoint(self, checkpoint: Any) -> None:
        self.state = _resume(checkpoint, self._trial, self.notes)

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        self._acknowledge()
        self.state = State()
        return True

    def cleanup(self) -> None:
        self._acknowledge()

    def _acknowledge(self) -> None:
        if self.told is not None:
            self.notes.write("after", *self.told)
            self.told = None


points.install_in_worker()
