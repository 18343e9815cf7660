"""What a trial of RLlib costs beside its training: its start, its Ray, and a clone's change of configuration.

Needs RLlib: pip install "tunesmith[rllib]"
Run it with:  python benchmarks/rllib.py
"""

from __future__ import annotations

import os
import tempfile
import time
from pathlib import Path

from tunesmith.integrations.rllib import trainable
from tunesmith.integrations.rllib_engine import ENGINE
from tunesmith.integrations.rllib_settings import default_config

CONFIG = {"env": "CartPole-v1", "train_batch_size": 1000, "num_epochs": 6}


def timed(what: str, do, *args):
    begun, cpu = time.perf_counter(), time.process_time()
    result = do(*args)
    print(f"{what:52} {time.perf_counter() - begun:7.3f} s, {time.process_time() - cpu:7.3f} s of CPU in this process")
    return result


def descendants(pid: int) -> list[int]:
    parents = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                parents[int(entry.name)] = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
            except OSError:
                continue
    found, wanted = [], [pid]
    while wanted:
        inner = [child for child, parent in parents.items() if parent in wanted]
        found += inner
        wanted = inner
    return found


def memory(pids: list[int]) -> float:
    """Proportional set sizes, in MB: pages that several share count once."""
    total = 0
    for pid in pids:
        try:
            lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
        except OSError:
            continue
        total += sum(int(line.split()[1]) for line in lines if line.startswith("Pss:"))
    return total / 1024


def main() -> None:
    timed("import RLlib", default_config, "PPO")
    timed("start a Ray", ENGINE.join)
    time.sleep(5)
    own = descendants(os.getpid())
    print(f"Ray's {len(own)} processes: {memory(own):.0f} MB; this one: {memory([os.getpid()]):.0f} MB")
    folder = tempfile.mkdtemp()
    for workers in (0, 1):
        config = {**CONFIG, "num_env_runners": workers}
        print(f"-- with {workers} env runners of their own")
        agent = timed("build an algorithm", trainable("PPO"), config)
        timed("train for 1,000 steps", agent.train)
        timed("train for 1,000 steps", agent.train)
        path = timed("save", agent.save, folder)
        timed("take up a new configuration", agent.reset_config, {**config, "lr": 1e-4})
        timed("take up another's state", agent.restore, path)
        agent.stop()
    timed("end the Ray", ENGINE.leave)


if __name__ == "__main__":
    main()
