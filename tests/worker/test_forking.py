"""Forking without the repairs that only threads need."""

from __future__ import annotations

import subprocess
import sys

from tunesmith.worker.forking import RECORDING

PROGRAM = (
    RECORDING
    + """
import logging, random, sys, threading
from tunesmith.worker.forking import Forks
import os
seen = []
os.register_at_fork(before=lambda: seen.append("before"), after_in_child=lambda: seen.append("child"),
                    after_in_parent=lambda: seen.append("parent"))
forks = Forks(hooks, register)

def in_child(fork):
    reader, writer = os.pipe()
    pid = fork()
    if pid == 0:
        draw = random.random()
        inner = os.fork()  # as usual again, with all the hooks
        if inner == 0:
            os._exit(0)
        os.waitpid(inner, 0)
        thread = threading.Thread(target=lambda: logging.getLogger().setLevel(10))
        thread.start()
        thread.join()
        os.write(writer, f"{seen} {draw}".encode())
        os._exit(0)
    os.waitpid(pid, 0)
    return os.read(reader, 1000).decode()

random.seed(1)
one, two = in_child(forks.fork), in_child(forks.fork)
print(one)
print(seen)
print(one.split()[-1] != two.split()[-1])
"""
)


def test_hooks_of_others_run_once_and_children_are_complete() -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, timeout=60, check=False)
    child, parent, differ = done.stdout.splitlines()
    assert child.startswith("['before', 'child', 'before', 'parent']"), done.stderr
    assert parent == "['before', 'parent', 'before', 'parent']"
    assert differ == "True"  # the random module's own hook has run: two children never draw the same
