"""What this machine offers to trials."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path

from tunesmith.errors import ArgumentError
from tunesmith.resources import Resources


def usable_cpus(root: Path = Path("/")) -> float:
    """Return how many CPUs this process may use: its affinity, and the quota of its control group if that is less."""
    count = float(len(os.sched_getaffinity(0))) if hasattr(os, "sched_getaffinity") else float(os.cpu_count() or 1)
    quota = _quota(root)
    return count if quota is None else max(1.0, min(count, quota))


def visible_gpus(environ: Mapping[str, str], devices: Path = Path("/dev")) -> list[str]:
    """Return the ids of the NVIDIA GPUs that may be used, as CUDA_VISIBLE_DEVICES takes them."""
    stated = environ.get("CUDA_VISIBLE_DEVICES")
    if stated is not None:
        ids = [part.strip() for part in stated.split(",") if part.strip()]
        return ids[: ids.index("-1")] if "-1" in ids else ids
    try:
        names = os.listdir(devices)  # noqa: PTH208 - names are all that is wanted
    except OSError:
        return []
    return sorted((m[1] for m in (re.fullmatch(r"nvidia(\d+)", name) for name in names) if m), key=int)


def total(cpus: float | None, gpus: int | None, named: Mapping[str, float] | None) -> tuple[Resources, list[str]]:
    """Return the resources there are, those that the user states taken at their word, and the GPUs' ids.

    Raises:
        ArgumentError: an amount is negative or no number.
    """
    for name, amount in (("cpus", cpus), ("gpus", gpus)):
        if amount is not None and (isinstance(amount, bool) or not isinstance(amount, (int, float)) or amount < 0):
            raise ArgumentError(f"{name} must be zero or more, got {amount!r}.")
    if gpus is not None and gpus != int(gpus):
        raise ArgumentError(f"gpus must be a whole number of devices, got {gpus!r}; trials may ask for fractions.")
    ids = visible_gpus(os.environ)
    if gpus is not None:
        ids = ids[: int(gpus)]
        ids += [str(i) for i in range(len(ids), int(gpus))]
    amounts = Resources.parse(named).named if named else {}
    return Resources(cpu=usable_cpus() if cpus is None else float(cpus), gpu=float(len(ids)), named=amounts), ids


def _quota(root: Path) -> float | None:
    try:
        limit, period = (root / "sys/fs/cgroup/cpu.max").read_text().split()[:2]
        return None if limit == "max" else int(limit) / int(period)
    except (OSError, ValueError):
        pass
    try:
        limit_us = int((root / "sys/fs/cgroup/cpu/cpu.cfs_quota_us").read_text())
        period_us = int((root / "sys/fs/cgroup/cpu/cpu.cfs_period_us").read_text())
    except (OSError, ValueError):
        return None
    return limit_us / period_us if limit_us > 0 else None


def oom_kills(root: Path = Path("/")) -> int:
    """Return how many processes the kernel has killed for memory so far: in this control group, or in all.

    The group is this process's own, which its workers are in as well; in a container it is the one at the top.
    """
    for path in (*_memory_counters(root), root / "proc/vmstat"):
        try:
            found = re.search(r"^oom_kill (\d+)$", path.read_text(encoding="ascii"), re.MULTILINE)
        except OSError:
            continue
        if found:
            return int(found[1])
    return 0


def _memory_counters(root: Path) -> list[Path]:
    """Return the files that count such deaths, those of this process's own group first."""
    groups = {"": "/", "memory": "/"}
    try:
        for line in (root / "proc/self/cgroup").read_text().splitlines():
            _, controllers, group = line.split(":", 2)
            groups.update(dict.fromkeys(controllers.split(","), group))
    except (OSError, ValueError):
        pass
    unified, divided = root / "sys/fs/cgroup", root / "sys/fs/cgroup/memory"
    return [
        unified / groups[""].strip("/") / "memory.events",
        divided / groups["memory"].strip("/") / "memory.oom_control",
        unified / "memory.events",
        divided / "memory.oom_control",
    ]


def memory_left(path: Path = Path("/proc/meminfo")) -> float:
    """Return the share of the machine's memory that is available, from 0 to 1; 1 where the system can't tell."""
    try:
        amounts = dict(re.findall(r"^(MemTotal|MemAvailable):\s+(\d+)", path.read_text(encoding="ascii"), re.MULTILINE))
        return int(amounts["MemAvailable"]) / int(amounts["MemTotal"])
    except (OSError, KeyError, ZeroDivisionError):
        return 1.0
