"""The experiment on a Ray cluster, again and again: ``python -m tests.faults.on_ray PLACE ADDRESS``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import msgspec

import tunesmith as tune
from tests.faults import trainables
from tests.faults.experiment import NAME
from tests.faults.plan import Settings

STEP_S = 0.25  # the whole is long enough for all that happens to its cluster, however busy the machine


def steady(config: dict[str, Any], journal: str, length: int, every: int) -> None:
    """The trainable of the fault tests, with longer steps."""
    trainables.STEP_S = STEP_S
    trainables.function(config, journal, length, every)


def main(place: Path, address: str) -> None:
    settings = msgspec.json.decode((place / "settings.json").read_bytes(), type=Settings)
    from tests.faults.on_ray import steady as by_name  # not as a part of __main__, which workers have not

    tune.run(
        tune.with_parameters(by_name, journal=str(place / "journal"), length=settings.length, every=settings.every),
        storage_path=place,
        name=NAME,
        resume="auto",
        executor=tune.RayExecutor(address),
        **settings.arguments(),
    )


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
