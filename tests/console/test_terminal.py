"""Real runs in real terminals."""

from __future__ import annotations

import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Callable
from fcntl import ioctl
from pathlib import Path

import pyte
import pytest

from tests.console.stage import everything, shown

PROGRAM = """
import sys, time
import tunesmith as tune

def train(config):
    for step in range(config["steps"]):
        time.sleep(0.05)
        tune.report(loss=config["x"] / (step + 1))

class Chatty(tune.Callback):
    def on_events(self, events):
        for event in events:
            if type(event).__name__ == "Completed":
                print("mine:", event.trial)

verbose, count, steps = map(int, sys.argv[2:5])
results = tune.run(train, {"x": tune.uniform(0, 1), "steps": steps}, metric="loss", mode="min", num_samples=count,
                   storage_path=sys.argv[1], name="digits", seed=1, verbose=verbose, max_concurrent_trials=2,
                   callbacks=[Chatty()] if verbose else [])
"""


class Run:
    """A program in a pseudo terminal."""

    def __init__(self, program: Path, *arguments: object, columns: int = 100, lines: int = 24) -> None:
        self.screen = pyte.HistoryScreen(columns, lines, history=10_000)
        self._parser = pyte.ByteStream(self.screen)
        self._master, slave = pty.openpty()
        ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))
        keep = {name: value for name, value in os.environ.items() if name not in ("COLUMNS", "LINES", "NO_COLOR")}
        self.process = subprocess.Popen(
            [sys.executable, str(program), *map(str, arguments)],
            stdin=slave,
            stdout=slave,
            stderr=slave,
            env={**keep, "TERM": "xterm-256color"},
            start_new_session=True,
        )
        os.close(slave)

    def until(self, done: Callable[[str], bool], seconds: float = 60) -> str:
        """Read until `done` says so of the screen, or to the end."""
        deadline = time.monotonic() + seconds
        while not done(text := "\n".join(shown(self.screen))):
            assert time.monotonic() < deadline, text
            if not select.select([self._master], [], [], 1.0)[0]:
                continue
            try:
                data = os.read(self._master, 65536)
            except OSError:  # the program has ended
                return text
            self._parser.feed(data)
        return text

    def finish(self) -> list[str]:
        """Return all that was printed, once the program has ended."""
        self.until(lambda _: False)
        self.process.wait(60)
        os.close(self._master)
        return everything(self.screen)


@pytest.fixture
def program(tmp_path: Path) -> Path:
    path = tmp_path / "program.py"
    path.write_text(PROGRAM, encoding="utf-8")
    return path


def test_the_users_prints_stand_above_the_table_and_are_never_torn(program: Path, tmp_path: Path) -> None:
    run = Run(program, tmp_path, 1, 8, 4, lines=12)
    run.until(lambda text: "Tuning" in text and "mine:" in text)
    lines = run.finish()
    assert run.process.returncode == 0
    assert sorted(line for line in lines if "mine:" in line) == [f"mine: {n}" for n in range(8)]
    assert not any("Tuning" in line for line in lines)
    assert sum(line.startswith("Best    loss") for line in lines) == 1
    assert f"Folder  {tmp_path}/digits" in "".join(lines)


@pytest.mark.parametrize("times", [1, 2])
def test_after_ctrl_c_the_terminal_is_whole_and_the_summary_says_how_to_go_on(
    program: Path, tmp_path: Path, times: int
) -> None:
    run = Run(program, tmp_path, 1, 9, 100_000)
    run.until(lambda text: "2 running" in text and "Best    loss" in text)
    for _ in range(times):
        os.kill(run.process.pid, signal.SIGINT)
        if times == 2:
            run.until(lambda text: "Ending" in text or "Ended" in text)
    text = "\n".join(run.finish())
    assert re.search(r"^Best    loss ", text, re.MULTILINE)
    assert re.search(r"^Ended   Ctrl-C$", text, re.MULTILINE)
    assert 'Go on   the same call with name="digits", resume=True' in text
    assert not run.screen.cursor.hidden
    assert "Tuning " not in text


def test_nothing_is_printed_at_verbose_0(program: Path, tmp_path: Path) -> None:
    run = Run(program, tmp_path, 0, 2, 1)
    assert run.finish() == []
    assert run.process.returncode == 0
