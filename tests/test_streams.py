"""Streams are the same everywhere."""

from __future__ import annotations

import subprocess
import sys

from tunesmith.streams import stream


def test_a_stream_is_the_same_in_every_process_and_under_every_hash_seed() -> None:
    code = "from tunesmith.streams import stream; print(stream(7, 'suggest', 17).random())"
    drawn = {
        subprocess.run(
            [sys.executable, "-c", code], env={"PYTHONHASHSEED": seed}, capture_output=True, text=True, check=True
        ).stdout.strip()
        for seed in ("0", "1", "random")
    }
    assert drawn == {str(stream(7, "suggest", 17).random())}


def test_paths_that_look_alike_are_different() -> None:
    drawn = {
        stream(1, "a", 12).random(),
        stream(1, "a", "12").random(),
        stream(1, "a1", 2).random(),
        stream(11, "a", 2).random(),
    }
    assert len(drawn) == 4
