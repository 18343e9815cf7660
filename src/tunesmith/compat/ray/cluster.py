"""``ray.init`` and what it says of the machine."""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping
from typing import Any, Final

import msgspec

from tunesmith.compat.ray.log import log
from tunesmith.errors import ArgumentError, nearest
from tunesmith.executors.machine import total
from tunesmith.resources import Resources


class Cluster(msgspec.Struct):
    """What `init` was told of this machine. None: what there is."""

    cpus: float | None = None
    gpus: int | None = None
    resources: dict[str, float] | None = None
    is_on: bool = False
    fits: bool = False  # whether requests are capped to what there is, as the launcher was told

    def total(self) -> Resources:
        """Return all that trials may use."""
        return total(self.cpus, self.gpus, self.resources)[0]


CLUSTER = Cluster()

# What is true of this layer whatever is said: it may begin twice, and trials' output goes to their folders.
_HARMLESS: Final = frozenset({
    "ignore_reinit_error", "log_to_driver", "redirect_output", "redirect_worker_output", "include_webui",
    "logging_level", "logging_format", "configure_logging",
})  # fmt: skip
_OF_RAY: Final = _HARMLESS | {
    "object_store_memory", "redis_max_memory", "node_ip_address", "object_id_seed", "num_workers", "local_mode",
    "driver_mode", "worker_path", "huge_pages", "plasma_directory", "plasma_store_socket_name", "raylet_socket_name",
    "temp_dir", "load_code_from_local", "use_raylet", "redis_password", "webui_host", "job_id", "driver_id", "head",
    "memory", "driver_object_store_memory", "lru_evict", "_internal_config",
}  # fmt: skip
_KNOWN: Final = (*_OF_RAY, "redis_address", "num_cpus", "num_gpus", "resources", "address")


def init(
    redis_address: str | None = None,
    num_cpus: float | None = None,
    num_gpus: int | None = None,
    resources: Mapping[str, float] | None = None,
    *args: Any,
    address: str | None = None,
    **others: Any,
) -> dict[str, Any]:
    """Take note of how many CPUs, GPUs and other resources trials may use.

    What else there was to say was about Ray's own processes, which are not here; a log line says so.

    Raises:
        ArgumentError: an address of a cluster is given: trials run on this machine.
        TypeError: there was no such argument.
    """
    for name in others:
        if name not in _OF_RAY:
            raise TypeError(f"ray.init() got an unexpected keyword argument {name!r}.{nearest(name, _KNOWN)}")
    idle = [name for name, value in others.items() if value not in (None, False) and name not in _HARMLESS]
    if idle or args:
        named = ", ".join(idle) or "the arguments after resources"
        log("WARNING", f"ray.init: {named}: without effect, as there are no processes of Ray here.")
    address = redis_address or address
    if address not in (None, "", "auto", "local"):
        raise ArgumentError(
            f"ray.init was given the address {address!r}, but this layer runs trials on this machine, without Ray. "
            "Take the address out of the call, or run the script on the cluster with Ray itself."
        )
    total(num_cpus, num_gpus, resources)
    CLUSTER.cpus, CLUSTER.gpus = num_cpus, num_gpus
    CLUSTER.resources = dict(resources) if resources else None
    CLUSTER.is_on = True
    return {"node_ip_address": "127.0.0.1", "redis_address": None, "object_store_address": None, "webui_url": ""}


def shutdown(exiting_interpreter: bool = False) -> None:
    """Forget what `init` was told."""
    CLUSTER.cpus = CLUSTER.gpus = CLUSTER.resources = None
    CLUSTER.is_on = False


def is_initialized() -> bool:
    """Whether `init` was called."""
    return CLUSTER.is_on


def cluster_resources() -> dict[str, float]:
    """Return all that trials may use, by the names of Ray."""
    found = CLUSTER.total()
    named = {"CPU": found.cpu, "GPU": found.gpu, **found.named}
    return {name: amount for name, amount in named.items() if amount}


def available_resources() -> dict[str, float]:
    """Return what trials may use; between two runs that is all."""
    return cluster_resources()


def nodes() -> list[dict[str, Any]]:
    """Return this machine as the only node of a cluster."""
    return [{"Alive": True, "NodeManagerHostname": socket.gethostname(), "Resources": cluster_resources()}]


def node_memory() -> tuple[float, float] | None:
    """Return the memory that is in use on this machine and all that there is, in bytes; None where nobody knows."""
    try:
        with open("/proc/meminfo", encoding="ascii") as file:  # noqa: PTH123 - no path of a user's
            amounts = dict(line.split(":", 1) for line in file)
        whole, free = (float(amounts[name].split()[0]) * 1024 for name in ("MemTotal", "MemAvailable"))
    except (OSError, KeyError, ValueError, IndexError):
        return None
    return whole - free, whole


def results_dir() -> str:
    """Return where experiments are kept unless `local_dir` says otherwise."""
    return os.path.expanduser(os.environ.get("TUNE_RESULT_DIR") or "~/ray_results")  # noqa: PTH111 - text as in 2019
