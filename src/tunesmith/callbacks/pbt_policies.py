"""Writes down who became a clone of whom, so that the life of a trial can be lived again."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

from tunesmith import codec
from tunesmith import events as e
from tunesmith.callbacks.protocol import Callback
from tunesmith.core.experiment import Experiment
from tunesmith.errors import ArgumentError, StorageError
from tunesmith.readable import readable_config

Line: TypeAlias = list[Any]  # target, donor, target's iteration, donor's iteration, donor's config, new config

_WIDTH = 6


class PolicyFiles(Callback):
    """Append a line to ``pbt_global.txt`` and to ``pbt_policy_<number>.txt`` whenever a trial becomes a clone.

    The files are in the experiment's folder. A line is a JSON list: the name that the trial had first, its donor's,
    the trial's iteration, that of the checkpoint which it goes on from, the donor's configuration, and the new one.
    The file of a trial begins with that of its donor, so that it tells all that its state went through:
    `PopulationBasedTrainingReplay` can be given it. Values that are no plain data are written as the text of their
    repr.
    """

    def __init__(self) -> None:
        self._path = Path()
        self._experiment = Experiment()
        self._configs: dict[int, tuple[Mapping[str, Any], Mapping[str, Any]]] = {}
        self._iterations: dict[int, int] = {}
        self._replaced: dict[int, tuple[str, str]] = {}  # the last clone's checkpoint, and what its file had told

    def on_start(self, path: Path, experiment: Experiment, total: int | None) -> None:
        """Remember where the files are to be, and what each trial is at present."""
        self._path, self._experiment = path, experiment
        self._configs = {trial.number: (trial.values, trial.overrides) for trial in experiment.trials}
        self._iterations = {trial.number: trial.iteration for trial in experiment.trials}

    def on_events(self, events: Sequence[e.Event]) -> None:
        """Follow the trials' configurations, and write each exploit."""
        for event in events:
            match event:
                case e.Suggested():
                    self._configs[event.trial] = (event.values, {})
                case e.Reported():
                    self._iterations[event.trial] = event.iteration
                case e.Placed(parked=False):
                    self._iterations[event.trial] = event.checkpoint.iteration if event.checkpoint else 0
                case e.Changed() if event.overrides is not None:
                    self._configs[event.trial] = (self._configs[event.trial][0], event.overrides)
                case e.Damaged():
                    self._go_back(event)
                case e.Cloned():
                    self._write(event)
                    self._configs[event.trial] = (event.values, event.overrides)

    def _write(self, event: e.Cloned) -> None:
        trials = self._experiment.trials
        line = [
            trials[event.trial].first_name,
            trials[event.donor].first_name,
            self._iterations.get(event.trial, 0) if event.iteration is None else event.iteration,
            event.checkpoint.iteration,
            self._config(*self._configs[event.donor]),
            self._config(event.values, event.overrides),
        ]
        text = json.dumps(line) + "\n"
        donors = self._file(event.donor)
        before = donors.read_text(encoding="utf-8") if donors.exists() else ""
        own = self._file(event.trial)
        self._replaced[event.trial] = event.checkpoint.path, own.read_text(encoding="utf-8") if own.exists() else ""
        own.write_text(before + text, encoding="utf-8")
        with (self._path / "pbt_global.txt").open("a", encoding="utf-8") as file:
            file.write(text)

    def _go_back(self, event: e.Damaged) -> None:
        """Take the line of a clone back that could not go on from its donor's checkpoint, and is what it was before."""
        trial = self._experiment.trials[event.trial]
        self._configs[event.trial] = (trial.values, trial.overrides)
        path, before = self._replaced.pop(event.trial, ("", ""))
        if path == event.checkpoint.path:
            self._file(event.trial).write_text(before, encoding="utf-8")

    def _file(self, trial: int) -> Path:
        return self._path / f"pbt_policy_{trial}.txt"

    def _config(self, values: Mapping[str, Any], overrides: Mapping[str, Any]) -> Any:
        created = self._experiment.created
        space = created.settings.get("space", {}) if created else {}
        return codec.to_plain(readable_config(space, values, overrides))


def read_policy(path: str | Path) -> list[Line]:
    """Return the lines of a file that `PolicyFiles` has written, in order.

    Raises:
        StorageError: the file can't be read.
        ArgumentError: it is not such a file.
    """
    try:
        texts = Path(path).expanduser().read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise StorageError(f"The policy {path} can't be read: {error}. It is a pbt_policy_<number>.txt.") from error
    return [_read(text, path, number) for number, text in enumerate(texts, 1)]


def _read(text: str, path: str | Path, number: int) -> Line:
    try:
        line = codec.from_plain(json.loads(text))
    except ValueError as error:
        raise ArgumentError(f"Line {number} of the policy {path} is not JSON: {error}.") from error
    if not isinstance(line, list) or len(line) != _WIDTH:
        raise ArgumentError(f"Line {number} of the policy {path} must be a list of {_WIDTH} values, got {text:.80}.")
    return line
