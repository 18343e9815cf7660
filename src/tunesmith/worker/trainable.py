"""Class trainables: training as an object with steps, which can be saved, restored and given a new configuration."""

from __future__ import annotations

import copy
import os
import pickle
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from tunesmith.errors import StorageError, TunesmithError
from tunesmith.worker import by_value
from tunesmith.worker.checkpoint import Sheet, read_sheet, write_sheet

_STATE = "state.pkl"  # where a dict that save_checkpoint returned is kept


class _Life:
    """The counters of a trainable, apart from the names its author may use."""

    __slots__ = (
        "folder",
        "is_set_up",
        "iteration",
        "parameters",
        "resources",
        "time_total_s",
        "totals",
        "trial_id",
        "trial_name",
    )

    def __init__(self) -> None:
        self.iteration = 0
        self.time_total_s = 0.0
        self.totals: dict[str, float | int] = {}
        self.is_set_up = False
        self.parameters: dict[str, Any] = {}
        self.trial_id = ""
        self.trial_name = ""
        self.resources: dict[str, float] = {}
        self.folder: str | None = None


class Trainable:
    """Subclass it and define at least `step`. ``self.config`` is there before `setup` is called.

    It also works on its own, without a run:

    >>> class Count(Trainable):
    ...     def setup(self, config):
    ...         self.x = config["start"]
    ...     def step(self):
    ...         self.x += 1
    ...         return {"x": self.x}
    >>> trainable = Count(config={"start": 1})
    >>> trainable.train()["x"], trainable.train()["training_iteration"]
    (2, 2)
    >>> trainable.stop()
    """

    config: dict[str, Any]
    _life: _Life

    def __new__(cls, config: Mapping[str, Any] | None = None, *args: Any, **kwargs: Any) -> Trainable:
        """Make the object and its configuration, whether or not the subclass calls ``super().__init__()``."""
        self = super().__new__(cls)
        self.config = dict(config) if isinstance(config, Mapping) else {}
        self._life = _Life()
        return self

    def __init__(self, config: Mapping[str, Any] | None = None, **parameters: Any) -> None:
        self._life.parameters.update(parameters)
        _set_up(self)

    # -- what its author defines

    def setup(self, config: dict[str, Any], **parameters: Any) -> None:
        """Build what is trained. `config` is a deep copy; `parameters` are those of ``tune.with_parameters``."""

    def step(self) -> dict[str, Any]:
        """Train for a while and return the metrics."""
        raise NotImplementedError(f"{type(self).__name__} must define step(), which trains and returns metrics.")

    def save_checkpoint(self, checkpoint_dir: str) -> dict[str, Any] | str | None:
        """Write the state to files in `checkpoint_dir`; or return a dict to be kept, or the path of one file there."""
        raise NotImplementedError(f"{type(self).__name__} does not define save_checkpoint().")

    def load_checkpoint(self, checkpoint: Any) -> None:
        """Restore what `save_checkpoint` saved: given the directory, or the dict or path that it returned."""
        raise NotImplementedError(f"{type(self).__name__} does not define load_checkpoint().")

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        """Take up a new configuration in place and return True; or return False to be made anew (the default)."""
        return False

    def cleanup(self) -> None:
        """Release what `setup` acquired. Called once, at the end."""

    @classmethod
    def check_config(cls, config: dict[str, Any]) -> None:
        """Raise `ArgumentError` for a search space that can't be right, domains included. Called before a run begins.

        It runs in the driver, once a run, and may also tell the user something.
        """

    @classmethod
    def default_resource_request(cls, config: dict[str, Any]) -> Mapping[str, float] | None:
        """Return what a trial of this configuration needs when the run does not say it; None: one CPU."""
        return None

    # -- what it may read

    @property
    def iteration(self) -> int:
        """How many steps were done, those before a restore included."""
        return self._life.iteration

    @property
    def training_iteration(self) -> int:
        """The same as `iteration`."""
        return self._life.iteration

    @property
    def trial_id(self) -> str:
        """The trial's id; empty outside a run."""
        return self._life.trial_id

    @property
    def trial_name(self) -> str:
        """The trial's name; empty outside a run."""
        return self._life.trial_name

    @property
    def trial_resources(self) -> dict[str, float]:
        """What the trial was granted, such as ``{"cpu": 1.0, "gpu": 0.5}``; empty outside a run."""
        return dict(self._life.resources)

    @property
    def logdir(self) -> str:
        """The trial's folder, absolute; a new temporary directory outside a run."""
        if self._life.folder is None:
            import tempfile

            self._life.folder = tempfile.mkdtemp(prefix="tunesmith_")
        return self._life.folder

    # -- use on its own

    def train(self) -> dict[str, Any]:
        """Do one step and return its metrics together with what is counted."""
        _set_up(self)
        metrics, spent = advance(self)
        life = self._life
        for what in ("timesteps", "episodes"):
            step = metrics.get(f"{what}_this_iter")
            if isinstance(step, (int, float)):
                life.totals[f"{what}_total"] = life.totals.get(f"{what}_total", 0) + step
        return {
            "training_iteration": life.iteration,
            "time_this_iter_s": spent,
            "time_total_s": life.time_total_s,
            "timestamp": int(time.time()),
            "done": False,
            **life.totals,
            **metrics,
        }

    def save(self, checkpoint_dir: str | os.PathLike[str] | None = None) -> str:
        """Save to a new directory below `checkpoint_dir` (`logdir` by default) and return its path."""
        _set_up(self)
        folder = Path(checkpoint_dir if checkpoint_dir is not None else self.logdir, f"checkpoint_{self.iteration:06d}")
        folder.mkdir(parents=True, exist_ok=True)
        write_state(self, folder)
        return str(folder)

    def restore(self, path: str | os.PathLike[str]) -> None:
        """Go on from the checkpoint in the directory `path`.

        Raises:
            StorageError: there is no checkpoint at `path`.
        """
        _set_up(self)
        read_state(self, Path(path))

    def stop(self) -> None:
        """Release what was acquired."""
        self.cleanup()


def create(
    cls: type[Trainable],
    config: dict[str, Any],
    parameters: Mapping[str, Any],
    identity: tuple[str, str, str],
    resources: Mapping[str, float],
) -> Trainable:
    """Make a trainable for a trial and set it up. `identity` is the trial's id, its name and its folder."""
    self = cls.__new__(cls, config)
    self._life.trial_id, self._life.trial_name, self._life.folder = identity
    self._life.parameters, self._life.resources = dict(parameters), dict(resources)
    if cls.__init__ is not Trainable.__init__:
        _initialise(self, config)
    _set_up(self)
    return self


def reset(
    self: Trainable, config: dict[str, Any], identity: tuple[str, str, str], resources: Mapping[str, float]
) -> bool:
    """Give a trainable to another trial; False when it can't be and has to be made anew."""
    life = self._life
    life.trial_id, life.trial_name, life.folder = identity
    life.resources = dict(resources)
    self.config = config
    if self.reset_config(copy.deepcopy(config)) is not True:
        return False
    life.iteration, life.time_total_s, life.totals = 0, 0.0, {}
    return True


def resume_counting(self: Trainable, iteration: int, time_total_s: float) -> None:
    """Set the counters to what the trial has behind it."""
    self._life.iteration, self._life.time_total_s = iteration, time_total_s


def totals_of(self: Trainable) -> dict[str, float | int]:
    """Return the running sums that a checkpoint keeps; the caller may replace its items."""
    return self._life.totals


def advance(self: Trainable) -> tuple[dict[str, Any], float]:
    """Do one step; return its metrics, a copy, and the seconds it took.

    Raises:
        TunesmithError: the step returned something else than a dict.
    """
    begun = time.perf_counter()
    metrics = self.step()
    spent = time.perf_counter() - begun
    if not isinstance(metrics, Mapping):
        raise TunesmithError(
            f"{type(self).__name__}.step() must return a dict of metrics, but it returned {metrics!r:.200} "
            f"({type(metrics).__name__})."
        )
    given = metrics.get("time_this_iter_s")
    if isinstance(given, (int, float)):
        spent = given
    self._life.iteration += 1
    self._life.time_total_s += spent
    return dict(metrics), spent


def own_request(cls: Any) -> Callable[[dict[str, Any]], Mapping[str, float] | None] | None:
    """Return the class's own `default_resource_request`; None where it has none, or is a function."""
    own = getattr(cls, "default_resource_request", None)
    if not isinstance(cls, type) or getattr(own, "__func__", None) is Trainable.default_resource_request.__func__:  # type: ignore[attr-defined]  # a class method
        return None
    return own


def can_save(cls: type) -> bool:
    """Whether the class defines `save_checkpoint`."""
    return getattr(cls, "save_checkpoint", None) is not Trainable.save_checkpoint


def write_state(self: Trainable, folder: Path) -> None:
    """Let the trainable save itself into the directory `folder`, and add what the base class has to remember.

    Raises:
        TunesmithError: `save_checkpoint` is not defined or returned what can't be kept.
    """
    name = type(self).__name__
    if not can_save(type(self)):
        raise TunesmithError(
            f"A checkpoint of {name} is due, but it does not define save_checkpoint(). Define it together with "
            "load_checkpoint(), or switch checkpoints off and use a scheduler that does not pause."
        )
    life = self._life
    sheet = Sheet(life.iteration, life.time_total_s, life.totals)
    saved = self.save_checkpoint(str(folder))
    if isinstance(saved, Mapping):
        sheet.form, sheet.relative = "dict", _STATE
        (folder / _STATE).write_bytes(_pickle(dict(saved)))
    elif isinstance(saved, (str, os.PathLike)):
        path = Path(saved)
        path = path if path.is_absolute() or path.exists() else folder / path
        if not path.exists() or not path.resolve().is_relative_to(folder.resolve()):
            raise TunesmithError(
                f"{name}.save_checkpoint() returned {os.fspath(saved)!r}, which is not an existing path inside the "
                f"directory that it was given, {str(folder)!r}."
            )
        if path.resolve() != folder.resolve():
            sheet.form, sheet.relative = "path", str(path.resolve().relative_to(folder.resolve()))
    elif saved is not None:
        raise TunesmithError(
            f"{name}.save_checkpoint() must return None, a dict, or a path in the directory that it was given; "
            f"it returned {saved!r:.200}."
        )
    write_sheet(folder, sheet)


def read_state(self: Trainable, folder: Path) -> None:
    """Restore the trainable and its counters from the directory `folder`.

    Raises:
        StorageError: no checkpoint of a class trainable is there.
    """
    sheet = read_sheet(folder)
    if sheet is None:
        raise StorageError(f"There is no checkpoint of a class trainable in {folder}; save() makes one.")
    life = self._life
    life.iteration, life.time_total_s, life.totals = sheet.iteration, sheet.time_total_s, dict(sheet.totals)
    if sheet.form == "dict":
        self.load_checkpoint(pickle.loads((folder / sheet.relative).read_bytes()))
    else:
        self.load_checkpoint(str(folder / sheet.relative) if sheet.relative else str(folder))


def _set_up(self: Trainable) -> None:
    life = self._life
    if not life.is_set_up:
        life.is_set_up = True
        self.setup(copy.deepcopy(self.config), **life.parameters)


def _initialise(self: Trainable, config: dict[str, Any]) -> None:
    """Call an author's own ``__init__`` with the configuration, or without where it takes none."""
    import inspect

    init = type(self).__init__
    try:
        inspect.signature(init).bind(self, config)
    except TypeError:
        init(self)
    else:
        init(self, config)


def _pickle(state: dict[str, Any]) -> bytes:
    try:
        return pickle.dumps(state, protocol=5)
    except (pickle.PicklingError, AttributeError, TypeError):
        return by_value.dumps(state)
