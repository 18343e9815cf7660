"""The experiment as its user runs it, again and again: ``python -m tests.faults.experiment PLACE``."""

from __future__ import annotations

import sys
from pathlib import Path

import msgspec

import tunesmith as tune
from tests.faults import points
from tests.faults.plan import Settings

NAME = "run"


def storage(settings: Settings, place: Path) -> Path | tune.RemoteStorage:
    """Return where the experiment is; its own folder is below `place` in any case."""
    if settings.place != "elsewhere":
        return place
    return tune.RemoteStorage(f"file://{place}/there", local=place, copy_every_s=0.05)


def checkpoints(settings: Settings, place: Path) -> Path:
    """Return the folder that checkpoints are kept in."""
    return (place / "there" if settings.place == "elsewhere" else place) / NAME


def main(place: Path) -> None:
    points.install_in_driver()
    from tests.faults import trainables

    settings = msgspec.json.decode((place / "settings.json").read_bytes(), type=Settings)
    trainable = trainables.Steps if settings.trainable == "class" else trainables.function
    tune.run(
        tune.with_parameters(trainable, journal=str(place / "journal"), length=settings.length, every=settings.every),
        storage_path=storage(settings, place),
        name=NAME,
        resume="auto",
        executor=tune.LocalExecutor(cpus=settings.workers, park=settings.park),
        **settings.arguments(),
    )


if __name__ == "__main__":
    main(Path(sys.argv[1]))
